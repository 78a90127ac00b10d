//! P1 readers that tell single values over HTTP instead of passing telegrams on.
//!
//! | reader | asked for |
//! |---|---|
//! | DSMR-logger and its descendants | `/api/v2/sm/actual`, `/api/v1/sm/actual`: all values |
//! | ESPHome (SlimmeLezer and others) | `/sensor/power_delivered` and `/sensor/power_returned`, or their newer names |

use std::time::{Duration, Instant};

use ems::{Ems, EmsError, EmsErrorKind, EmsReading, Pace, Section, Shared, Stop};
use ems_meter::{Meter, PhaseValues, Role};
use http_client::{Client, HttpError, Kind};
use json_pick::{Doc, PickError, watts_factor};
use serde_json::Value;

/// Readers on small chips.
const INTERVAL: Duration = Duration::from_secs(5);
const ACTUAL: [&str; 2] = ["/api/v2/sm/actual", "/api/v1/sm/actual"];
/// Import and export; names before 2026, after, and as ESPHome addresses its entities since.
const SENSORS: [[&str; 2]; 3] = [
    ["/sensor/power_delivered", "/sensor/power_returned"],
    ["/sensor/power_consumed", "/sensor/power_produced"],
    ["/sensor/Power%20Consumed", "/sensor/Power%20Produced"],
];

/// What a kind of reader is asked for.
#[derive(Debug, Clone, Copy)]
enum Question {
    Actual(&'static str),
    Sensors([&'static str; 2]),
}

/// A reader behind the address at the key `url`.
pub(crate) fn open(section: &mut Section, shared: &Shared, url: &str) -> Option<Box<dyn Ems>> {
    let base = ems_http::base_of(section, "url", url, 0, false);
    let client = ems_http::client(section, shared, base.as_deref(), "url", |builder| builder);
    let client = client.filter(|_| !section.has_errors())?;
    Some(Box::new(Reader { client, question: None, clock: ems_http::Stamp::default() }))
}

struct Reader {
    client: Client,
    /// What was answered last.
    question: Option<Question>,
    clock: ems_http::Stamp,
}

impl Ems for Reader {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        let known = self.question.take();
        let all = || ACTUAL.map(Question::Actual).into_iter().chain(SENSORS.map(Question::Sensors));
        let questions: Vec<Question> = known.map_or_else(|| all().collect(), |question| vec![question]);
        for question in questions {
            match self.ask(question) {
                Ok((meter, stamp)) => {
                    self.question = Some(question);
                    let taken_at = self.clock.taken_at(stamp.as_deref(), Instant::now());
                    return match meter.watts {
                        Some(_) => meter.reading(Role::Grid, taken_at),
                        None => {
                            Err(EmsError::retry("the P1 reader has no telegram yet; look at its cable to the meter"))
                        }
                    };
                }
                // Another kind of reader answers 404, or with its start page.
                Err(Refused::Http(error)) if matches!(error.kind(), Kind::Status(404) | Kind::NotJson { .. }) => {}
                Err(Refused::Http(error)) => return Err(ems_http::failed(&error)),
                Err(Refused::Answer(error)) => return Err(ems_http::garbled(&error)),
            }
        }
        Err(EmsError::new(
            EmsErrorKind::Misconfigured,
            "no known P1 reader answers there; look at sources.DSMR.url, or use host and port when it passes telegrams on",
        ))
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

enum Refused {
    Http(Box<HttpError>),
    Answer(PickError),
}

impl Reader {
    fn ask(&self, question: Question) -> Result<(Meter, Option<String>), Refused> {
        let get = |path: &str| self.client.get_json(path).map_err(|error| Refused::Http(Box::new(error)));
        match question {
            Question::Actual(path) => actual(&get(path)?).map_err(Refused::Answer),
            Question::Sensors([import, export]) => {
                let [import, export] =
                    [sensor(&get(import)?), sensor(&get(export)?)].map(|watts| watts.map_err(Refused::Answer));
                let watts = import?.zip(export?).map(|(import, export)| import - export);
                Ok((Meter { watts, ..Meter::default() }, None))
            }
        }
    }
}

/// Reads the power in one of ESPHome's sensors in watts; `None` while it has none.
///
/// # Errors
/// When it is no sensor, or its unit is none of power.
pub fn sensor(answer: &Value) -> Result<Option<f64>, PickError> {
    let doc = Doc::new(answer);
    if !doc.has("state") {
        return Err(doc.missing("state"));
    }
    // The unit stands here only.
    doc.watts("state")
}

/// Reads all values of a DSMR-logger, as object or as list, and the time of its telegram.
///
/// # Errors
/// When it is neither, or something stands where a number should.
pub fn actual(answer: &Value) -> Result<(Meter, Option<String>), PickError> {
    let doc = Doc::new(answer);
    let find = |name: &str| -> Result<Option<Doc<'_>>, PickError> {
        if doc.value().is_object() {
            return doc.at(name);
        }
        for entry in doc.list("")?.unwrap_or_default() {
            if entry.text("name")?.as_deref() == Some(name) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    };
    let number = |name: &str| find(name)?.map_or(Ok(None), |entry| entry.number("value"));
    let power = |name: &str| -> Result<Option<f64>, PickError> {
        let Some(entry) = find(name)? else { return Ok(None) };
        let factor = entry.text("unit")?.and_then(|unit| watts_factor(&unit));
        Ok(entry.number("value")?.zip(factor).map(|(value, factor)| value * factor))
    };
    let net =
        |import: &str, export: &str| Ok(power(import)?.zip(power(export)?).map(|(import, export)| import - export));
    let mut phases = [PhaseValues::default(); 3];
    for (phase, n) in phases.iter_mut().zip(["l1", "l2", "l3"]) {
        *phase = PhaseValues {
            watts: net(&format!("power_delivered_{n}"), &format!("power_returned_{n}"))?,
            amps: number(&format!("current_{n}"))?,
            volts: number(&format!("voltage_{n}"))?,
        };
    }
    let watts = net("power_delivered", "power_returned")?;
    let stamp = find("timestamp")?.map_or(Ok(None), |entry| entry.text("value"))?;
    Ok((Meter { watts, phases, ..Meter::default() }, stamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_and_lists_say_the_same() {
        let (object, stamp) =
            actual(&json!({"timestamp": {"value": "260604130000S"}, "power_delivered": {"value": 0.5, "unit": "kW"},
            "power_returned": {"value": 0, "unit": "kW"}, "current_l1": {"value": 2, "unit": "A"}}))
            .unwrap();
        assert_eq!(
            (object.watts, object.phases[0].amps, stamp.as_deref()),
            (Some(500.0), Some(2.0), Some("260604130000S"))
        );
        let (list, _) = actual(&json!([{"name": "power_delivered", "value": 0.5, "unit": "kW"},
            {"name": "power_returned", "value": 0, "unit": "kW"}, {"name": "current_l1", "value": 2, "unit": "A"}]))
        .unwrap();
        assert_eq!(list, object);
        let (partial, _) = actual(&json!({"power_delivered": {"value": 0.5, "unit": "kW"}})).unwrap();
        assert_eq!(partial.watts, None);
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("p1-http") {
            let answer = recording.json();
            if recording.text_at(&["request", "path"]).contains("/sensor/") {
                recording.assert_number("consumption_w", sensor(&answer).unwrap());
            } else {
                let watts = actual(&answer).unwrap().0.watts;
                recording.assert_number("grid_w", watts);
                recording.assert_number("consumption_w", watts.map(|watts| watts.max(0.0)));
                recording.assert_number("generation_w", watts.map(|watts| (-watts).max(0.0)));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_answer_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-z_0-9.eE+-]{0,200}", number in ".{0,12}") {
            let entry = json!({"name": "power_delivered", "value": number, "unit": "kW", "state": number});
            let other = [json!({"power_delivered": entry, "timestamp": number}), json!([entry]), entry];
            for value in serde_json::from_str::<Value>(&text).into_iter().chain(other) {
                let _ = (actual(&value), sensor(&value));
            }
        }
    }
}

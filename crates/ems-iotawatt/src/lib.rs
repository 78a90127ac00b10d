//! Energy source: IoTaWatt, named inputs and outputs.
//!
//! One query a poll for all of them; the names are checked against the device's own list first. Old firmware without
//! queries is asked for its status instead.
//!
//! Facts: IoTaWatt documentation of `/status` and `/query`; configuration and quirks in `docs/ems/iotawatt.md`.

mod parse;

use std::time::{Duration, Instant};

use ems::{
    Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop, WireReading,
};
use http_client::{Auth, Client, Kind};

pub use parse::{Series, check, output, row, series};

/// A query stalls the device's sampling, so not more often than this.
const INTERVAL: Duration = Duration::from_secs(10);

/// Keys and what their series tells, in the order of a query's columns.
const KEYS: [&str; 6] =
    ["outputConsumption", "outputGeneration", "outputGrid", "outputGridL1", "outputGridL2", "outputGridL3"];

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "IotaWatt",
    summary: "IoTaWatt, named inputs and outputs",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of the device"),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 80)"),
        KeySpec::new(KEYS[0], KeyKind::Text, "Input or output with the consumption"),
        KeySpec::new(KEYS[1], KeyKind::Text, "Input or output with the generation"),
        KeySpec::new(KEYS[2], KeyKind::Text, "Input or output with the power at the grid connection, import positive"),
        KeySpec::new(KEYS[3], KeyKind::Text, "The same for L1 alone"),
        KeySpec::new(KEYS[4], KeyKind::Text, "The same for L2 alone"),
        KeySpec::new(KEYS[5], KeyKind::Text, "The same for L3 alone"),
        KeySpec::new("username", KeyKind::Text, "User, where a password is set: admin (default) or user"),
        KeySpec::new("password", KeyKind::Secret, "Its password"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let port = section.port("serverPort", 80);
    let base = ems_http::base(section, "serverIP", port, false);
    let wanted: Vec<(usize, String)> =
        KEYS.iter().enumerate().filter_map(|(at, key)| Some((at, section.text(key)?))).collect();
    if wanted.is_empty() && !section.has_errors() {
        section.error(KEYS[0], "is missing; name at least one of outputConsumption, outputGeneration, outputGrid");
    }
    let user = section.text("username").unwrap_or_else(|| "admin".to_owned());
    let password = section.text("password");
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| match password {
        Some(password) => builder.auth(Auth::Digest { user, password }),
        None => builder,
    });
    let client = client.filter(|_| !section.has_errors())?;
    Some(Box::new(IotaWatt { client, wanted, way: None }))
}

#[derive(Clone, Copy)]
enum Way {
    Query,
    Status,
}

struct IotaWatt {
    client: Client,
    /// Index of the key, and the name there.
    wanted: Vec<(usize, String)>,
    /// How this device is asked, once its names have been checked.
    way: Option<Way>,
}

impl IotaWatt {
    fn find_way(&self) -> Result<Way, EmsError> {
        let answer = match self.client.get_json("/query?show=series") {
            Ok(answer) => answer,
            Err(error) if matches!(error.kind(), Kind::Status(400 | 404)) => return Ok(Way::Status),
            Err(error) => return Err(ems_http::failed(&error)),
        };
        let all = series(&answer).map_err(|error| ems_http::garbled(&error))?;
        for (key, name) in &self.wanted {
            check(std::slice::from_ref(name), &all).map_err(|why| {
                let key = KEYS.get(*key).copied().unwrap_or_default();
                EmsError::new(EmsErrorKind::Misconfigured, format!("`{key}`: {why}"))
            })?;
        }
        Ok(Way::Query)
    }

    fn values(&self, way: Way) -> Result<Vec<Option<f64>>, EmsError> {
        match way {
            Way::Query => {
                let columns: Vec<String> = self.wanted.iter().map(|(_, name)| format!("{name}.watts")).collect();
                let request = self.client.get("/query").query("select", &format!("[{}]", columns.join(",")));
                let request = request.query("begin", "s-10s").query("end", "s").query("group", "all");
                let answer = request.query("missing", "null").send_json().map_err(|error| ems_http::failed(&error))?;
                row(&answer, columns.len()).map_err(|error| ems_http::garbled(&error))
            }
            Way::Status => {
                let answer = self.client.get_json("/status?outputs").map_err(|error| ems_http::failed(&error))?;
                let value = |name: &String| output(&answer, name).map_err(EmsError::garbled);
                self.wanted.iter().map(|(_, name)| value(name)).collect()
            }
        }
    }
}

/// Puts the values of the keys together.
fn reading(wanted: &[(usize, String)], values: &[Option<f64>]) -> WireReading {
    let of = |key: usize| {
        let at = wanted.iter().position(|(index, _)| *index == key)?;
        values.get(at).copied().flatten()
    };
    let phases = [of(3), of(4), of(5)];
    let named: Vec<Option<f64>> = (3..6).filter(|key| wanted.iter().any(|(k, _)| k == key)).map(of).collect();
    let sum = if named.is_empty() { None } else { named.into_iter().sum() };
    WireReading {
        consumption_w: of(0).map(|watts| watts.max(0.0)),
        generation_w: of(1).and_then(ems::generation),
        grid_w: if wanted.iter().any(|(key, _)| *key == 2) { of(2) } else { sum },
        grid_phase_w: phases.iter().any(Option::is_some).then(|| phases.to_vec()),
        ..WireReading::default()
    }
}

impl Ems for IotaWatt {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        let way = match self.way {
            Some(way) => way,
            None => self.find_way()?,
        };
        let values = self.values(way).inspect_err(|_| self.way = None)?;
        let reading = reading(&self.wanted, &values);
        if reading.consumption_w.is_none() && reading.generation_w.is_none() && reading.grid_w.is_none() {
            self.way = None;
            let names: Vec<&str> = self.wanted.iter().map(|(_, name)| name.as_str()).collect();
            let list = names.join(", ");
            return Err(match values.iter().flatten().next() {
                Some(watts) => EmsError::new(
                    EmsErrorKind::Misconfigured,
                    format!(
                        "{list} shows {watts:.0} W of generation; turn the current transformer round, or reverse the input"
                    ),
                ),
                None => EmsError::retry(format!(
                    "there is no value of {list}; check the names, letter case counts, and that the device logs"
                )),
            });
        }
        self.way = Some(way);
        reading.into_reading(Instant::now()).map_err(EmsError::garbled)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recordings::{Answer, Peer};
    use serde_json::{Value, json};

    fn open_on(peer: &Peer, mut values: Value) -> Box<dyn Ems> {
        values["serverIP"] = json!(peer.url());
        let mut section = Section::new("sources.IotaWatt", values.as_object().cloned().unwrap());
        let driver = (DRIVER.open)(&mut section, &Shared::new());
        assert_eq!(section.problems(), []);
        driver.unwrap()
    }

    const SERIES: &str =
        r#"{"series":[{"name":"Haus","unit":"Watts"},{"name":"sun","unit":"Watts"},{"name":"V","unit":"Volts"}]}"#;

    fn device(row: &'static str) -> Peer {
        Peer::start(move |asked| match asked.target.contains("show=series") {
            true => Answer::json(SERIES),
            false if asked.path() == "/query" => Answer::json(row),
            false => Answer::status(404),
        })
    }

    #[test]
    fn one_query_for_all_names() {
        let peer = device("[[640.5,-4]]");
        let mut driver = open_on(&peer, json!({"outputConsumption": "Haus", "outputGeneration": "sun"}));
        for _ in 0..2 {
            let found = WireReading::from(&driver.read(&Stop::never()).unwrap());
            assert_eq!((found.consumption_w, found.generation_w), (Some(640.5), Some(0.0)));
        }
        let asked = peer.asked();
        assert_eq!(asked.len(), 3);
        assert!(asked[1].target.contains("select=%5BHaus.watts%2Csun.watts%5D"), "{}", asked[1].target);
    }

    #[test]
    fn nothing_logged_is_unknown_and_a_part_may_be() {
        let settings = json!({"outputConsumption": "Haus", "outputGeneration": "sun"});
        assert!(open_on(&device("[[null,null]]"), settings.clone()).read(&Stop::never()).is_err());
        let found = open_on(&device("[[null,700]]"), settings).read(&Stop::never()).unwrap();
        assert_eq!((found.consumption, found.generation.map(|w| w.get())), (None, Some(700.0)));
    }

    #[test]
    fn names_that_are_not_there_are_told_with_those_that_are() {
        let peer = device("[[1]]");
        let error = open_on(&peer, json!({"outputConsumption": "haus"})).read(&Stop::never()).unwrap_err();
        assert_eq!(error.kind(), EmsErrorKind::Misconfigured);
        assert!(error.to_string().contains("outputConsumption") && error.to_string().contains("Haus, sun"), "{error}");
    }

    #[test]
    fn old_firmware_is_asked_for_its_status() {
        let peer = Peer::start(|asked| match asked.target.as_str() {
            "/status?outputs" => Answer::json(r#"{"outputs":[{"name":"T","units":"Watts","value":" 874.5"}]}"#),
            _ => Answer::status(404),
        });
        let mut driver = open_on(&peer, json!({"outputConsumption": "T"}));
        assert_eq!(driver.read(&Stop::never()).unwrap().consumption.map(|w| w.get()), Some(874.5));
        assert!(open_on(&peer, json!({"outputConsumption": "t"})).read(&Stop::never()).is_err());
    }

    #[test]
    fn phases_make_the_grid() {
        let wanted = [(3, "a".to_owned()), (4, "b".to_owned())];
        let found = reading(&wanted, &[Some(300.0), Some(-900.0)]);
        assert_eq!((found.grid_w, found.grid_phase_w), (Some(-600.0), Some(vec![Some(300.0), Some(-900.0), None])));
        assert_eq!(reading(&wanted, &[Some(300.0), None]).grid_w, None);
    }

    #[test]
    fn failures_and_wrong_settings_are_told() {
        for answer in [Answer::status(401), Answer::status(500), Answer::html("<html></html>"), Answer::json("[[")] {
            let shown = answer.clone();
            let peer = Peer::start(move |_| shown.clone());
            assert!(open_on(&peer, json!({"outputGrid": "a"})).read(&Stop::never()).is_err(), "{answer:?}");
        }
        for (values, key) in [
            (json!({"outputGrid": "a"}), "serverIP"),
            (json!({"serverIP": "192.0.2.7"}), "outputConsumption"),
            (json!({"serverIP": "192.0.2.7", "outputConsumption": "", "outputGeneration": ""}), "outputConsumption"),
        ] {
            let mut section = Section::new("sources.IotaWatt", values.as_object().cloned().unwrap());
            assert!((DRIVER.open)(&mut section, &Shared::new()).is_none());
            assert_eq!(section.problems()[0].key, format!("sources.IotaWatt.{key}"));
        }
    }
}

//! Energy source: solar generation estimated by forecast.solar, one call an hour.
//!
//! Facts: the service's documentation and recorded answers; configuration and quirks in `docs/ems/forecast-solar.md`.

mod parse;

use std::time::Duration;

use ems::{Ems, EmsDriver, EmsError, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use ems_forecast::{Curve, Fetched, PLANE, Plane, now, reading};
use http_client::Client;

pub use parse::parse;

/// The free service allows 12 calls an hour and address, for all planes together, and computes anew once an hour.
const INTERVAL: Duration = Duration::from_secs(3600);
/// It tells today and tomorrow.
const LONGEST_AGE: Duration = Duration::from_secs(24 * 3600);
/// How often the estimate for "now" is told; costs no call.
const PACE: Duration = Duration::from_secs(30);

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "ForecastSolar",
    summary: "solar generation estimated by forecast.solar",
    keys: &[
        PLANE[0],
        PLANE[1],
        PLANE[2],
        PLANE[3],
        PLANE[4],
        KeySpec::new("apiKey", KeyKind::Secret, "Key of a paid account (without: 12 calls an hour and address)"),
        KeySpec::new("baseUrl", KeyKind::Text, "Another address of the service (default https://api.forecast.solar)"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let Plane { latitude, longitude, declination, azimuth, kwp } = Plane::read(section);
    let key = section.text("apiKey");
    if key.as_deref().is_some_and(|key| !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')) {
        section.error("apiKey", "is no key of forecast.solar; copy it from your account there, or leave it out");
    }
    let base = ems_http::cloud_base(section, "https://api.forecast.solar");
    let question = format!("/estimate/{latitude}/{longitude}/{declination}/{azimuth}/{kwp}?time=utc");
    let forecast = Fetched::new(section, shared, question.clone(), INTERVAL, LONGEST_AGE);
    let target = key.as_ref().map_or(question.clone(), |key| format!("/{key}{question}"));
    let client = ems_http::client(section, shared, base.as_deref(), "baseUrl", |builder| {
        key.iter().fold(builder, |builder, key| builder.secret(key)).proxy_from_environment()
    });
    let client = client.filter(|_| !section.has_errors())?;
    Some(Box::new(ForecastSolar { client, target, forecast }))
}

struct ForecastSolar {
    client: Client,
    target: String,
    forecast: Fetched<Curve>,
}

impl Ems for ForecastSolar {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        let now = now();
        let fetch = || {
            let answer = self.client.get(&self.target).send().map_err(|error| ems_http::failed(&error))?;
            match answer.json() {
                // Errors of the service come as JSON with a reason; only what is none is judged by its status.
                Ok(body) if body.get("message").is_some() => parse(&body, now),
                Ok(_) | Err(_) if !answer.is_success() => Err(answer
                    .ok()
                    .err()
                    .map_or_else(|| EmsError::retry("no answer"), |error| ems_http::failed(&error))),
                Ok(body) => parse(&body, now),
                Err(error) => Err(ems_http::failed(&error)),
            }
        };
        let curve = self.forecast.get(now, fetch)?;
        match curve.at(now) {
            Some(watts) => reading(watts),
            None => Err(EmsError::retry("the forecast does not cover this moment; is the computer's clock right?")),
        }
    }

    fn pace(&self) -> Pace {
        Pace::Every(PACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ems::EmsErrorKind;
    use recordings::{Answer, Peer};
    use serde_json::{Value, json};

    fn open_at(url: &str, more: Value) -> (Option<Box<dyn Ems>>, Vec<String>) {
        let mut options = json!({"latitude": 52.1, "longitude": "5.2", "declination": 30, "azimuth": -10, "kwp": 4.5, "baseUrl": url});
        for (key, value) in more.as_object().into_iter().flatten() {
            options[key] = value.clone();
        }
        let mut section = Section::new("sources.ForecastSolar", options.as_object().cloned().unwrap_or_default());
        let driver = super::open(&mut section, &Shared::new());
        (driver, section.problems().iter().map(|problem| problem.key.clone()).collect())
    }

    #[test]
    fn the_estimate_for_now_costs_one_call() {
        // A constant forecast around whatever the time is.
        let peer = Peer::start(|_| {
            let watts: serde_json::Map<String, Value> = (-2..3)
                .map(|hours| {
                    let stamp = jiff::Timestamp::from_second(now() + hours * 3600).expect("a time");
                    (stamp.to_string(), json!(1200))
                })
                .collect();
            Answer::json(
                json!({"result": {"watts": watts}, "message": {"code": 0, "info": {"timezone": "UTC"}}}).to_string(),
            )
        });
        let mut driver = open_at(&peer.url(), json!({"apiKey": "K3y"})).0.unwrap();
        for _ in 0..3 {
            let reading = driver.read(&Stop::never()).unwrap();
            assert_eq!((reading.generation.map(|watts| watts.get()), reading.is_estimate), (Some(1200.0), true));
        }
        assert_eq!(peer.count("/K3y/estimate/52.1/5.2/30/-10/4.5"), 1);
    }

    #[test]
    fn refusals_are_kept_to_and_say_what_to_do() {
        for (status, body, kind) in [
            (
                429,
                json!({"result": "Rate limit", "message": {"code": 429, "text": "Rate limit for API calls reached."}}),
                EmsErrorKind::RateLimited,
            ),
            (
                400,
                json!({"result": null, "message": {"code": 400, "text": "Invalid latitude"}}),
                EmsErrorKind::Misconfigured,
            ),
            (403, json!({"result": null, "message": {"code": 403, "text": "Invalid API key"}}), EmsErrorKind::Denied),
            (500, json!("oops"), EmsErrorKind::Retry),
            (200, json!({"result": {}}), EmsErrorKind::Garbled),
        ] {
            let body = body.to_string();
            let peer = Peer::start(move |_| Answer { status, ..Answer::json(body.clone()) });
            let mut driver = open_at(&peer.url(), json!({})).0.unwrap();
            let first = driver.read(&Stop::never()).unwrap_err();
            assert_eq!(first.kind(), kind, "{first}");
            let again = driver.read(&Stop::never()).unwrap_err();
            assert!(again.kind() == kind && again.retry_after() >= Some(Duration::from_secs(290)), "{again}");
            assert_eq!(peer.asked().len(), 1, "{status}");
        }
    }

    #[test]
    fn mistakes_name_their_key() {
        assert_eq!(open_at("http://h", json!({"kwp": null})).1, ["sources.ForecastSolar.kwp"]);
        assert_eq!(open_at("http://h", json!({"declination": 120})).1, ["sources.ForecastSolar.declination"]);
        assert_eq!(open_at("http://h", json!({"apiKey": "a/b"})).1, ["sources.ForecastSolar.apiKey"]);
    }
}

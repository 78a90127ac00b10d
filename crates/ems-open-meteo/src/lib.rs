//! Energy source: solar generation estimated from Open-Meteo's irradiance on the plane of the modules.
//!
//! Facts: the service's documentation; the model is that of `docs/ems/open-meteo.md`.

mod parse;

use std::time::Duration;

use ems::{Ems, EmsDriver, EmsError, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use ems_forecast::{Curve, Fetched, PLANE, Plane, now, reading};
use http_client::Client;

pub use parse::{Model, parse};

/// Models behind the service run every one to six hours; it allows 10 000 calls a day.
const INTERVAL: Duration = Duration::from_secs(1800);
/// Two days are asked for.
const LONGEST_AGE: Duration = Duration::from_secs(24 * 3600);
/// How often the estimate for "now" is told; costs no call.
const PACE: Duration = Duration::from_secs(30);
/// Share that cables, inverter and dirt leave, unless `efficiency` says otherwise.
const EFFICIENCY: f64 = 0.9;

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "OpenMeteo",
    summary: "solar generation estimated from Open-Meteo's irradiance",
    keys: &[
        PLANE[0],
        PLANE[1],
        PLANE[2],
        PLANE[3],
        PLANE[4],
        KeySpec::new("efficiency", KeyKind::Number, "Share that cables, inverter and dirt leave (default 0.9)"),
        KeySpec::new("maxPower", KeyKind::Number, "Most that the inverter gives, in W (default: no limit)"),
        KeySpec::new("apiKey", KeyKind::Secret, "Key of a commercial account; needs its baseUrl too"),
        KeySpec::new("baseUrl", KeyKind::Text, "Another address of the service (default https://api.open-meteo.com)"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let Plane { latitude, longitude, declination, azimuth, kwp } = Plane::read(section);
    let efficiency = section.number_within("efficiency", EFFICIENCY, 0.1, 1.0);
    let max_watts = section.number_within("maxPower", f64::MAX, 1.0, f64::MAX);
    let model = Model { kwp, efficiency, max_watts };
    let key = section.text("apiKey");
    let base = ems_http::cloud_base(section, "https://api.open-meteo.com");
    let question = format!(
        "/v1/forecast?latitude={latitude}&longitude={longitude}&tilt={declination}&azimuth={azimuth}\
         &minutely_15=temperature_2m,global_tilted_irradiance_instant&timeformat=unixtime&timezone=GMT&forecast_days=2"
    );
    // The kept answer is power already, so the model is a part of the question.
    let forecast = Fetched::new(section, shared, format!("{question} {model:?}"), INTERVAL, LONGEST_AGE);
    let client = ems_http::client(section, shared, base.as_deref(), "baseUrl", |builder| {
        key.iter().fold(builder, |builder, key| builder.secret(key)).proxy_from_environment()
    });
    let client = client.filter(|_| !section.has_errors())?;
    Some(Box::new(OpenMeteo { client, question, key, model, forecast }))
}

struct OpenMeteo {
    client: Client,
    question: String,
    key: Option<String>,
    model: Model,
    forecast: Fetched<Curve>,
}

impl Ems for OpenMeteo {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        let now = now();
        let fetch = || {
            let request = self.client.get(&self.question);
            let request = self.key.iter().fold(request, |request, key| request.query("apikey", key));
            let answer = request.send().map_err(|error| ems_http::failed(&error))?;
            // A refusal is JSON with a reason; without one it is judged by its status.
            match answer.json() {
                Ok(body) if body.get("reason").is_some() && answer.status() != 429 => parse(&body, &self.model),
                _ => {
                    parse(&answer.ok().and_then(|answer| answer.json()).map_err(|e| ems_http::failed(&e))?, &self.model)
                }
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
        let mut options =
            json!({"latitude": 52.1, "longitude": 5.2, "declination": 30, "azimuth": -10, "kwp": 5, "baseUrl": url});
        for (key, value) in more.as_object().into_iter().flatten() {
            options[key] = value.clone();
        }
        let mut section = Section::new("sources.OpenMeteo", options.as_object().cloned().unwrap_or_default());
        let driver = super::open(&mut section, &Shared::new());
        (driver, section.problems().iter().map(|problem| problem.key.clone()).collect())
    }

    #[test]
    fn the_estimate_for_now_costs_one_call() {
        let peer = Peer::start(|_| {
            let times: Vec<i64> = (-4..8).map(|quarters| now() + quarters * 900).collect();
            let (gti, celsius) = (vec![500.0; times.len()], vec![10.0; times.len()]);
            let body = json!({"minutely_15": {"time": times, "global_tilted_irradiance_instant": gti, "temperature_2m": celsius}});
            Answer::json(body.to_string())
        });
        let mut driver = open_at(&peer.url(), json!({"maxPower": 2000})).0.unwrap();
        for _ in 0..3 {
            let reading = driver.read(&Stop::never()).unwrap();
            assert_eq!((reading.generation.map(|watts| watts.get()), reading.is_estimate), (Some(2000.0), true));
        }
        assert_eq!(peer.count("/v1/forecast"), 1);
        assert!(peer.asked()[0].target.contains("azimuth=-10"));
    }

    #[test]
    fn refusals_are_kept_to_and_say_what_to_do() {
        for (status, body, kind) in [
            (400, json!({"error": true, "reason": "Latitude must be in range"}), EmsErrorKind::Misconfigured),
            (429, json!({"error": true, "reason": "Minutely API request limit exceeded"}), EmsErrorKind::RateLimited),
            (502, json!("oops"), EmsErrorKind::Retry),
            (200, json!({}), EmsErrorKind::Garbled),
        ] {
            let body = body.to_string();
            let peer = Peer::start(move |_| Answer { status, ..Answer::json(body.clone()) });
            let mut driver = open_at(&peer.url(), json!({})).0.unwrap();
            for _ in 0..2 {
                let error = driver.read(&Stop::never()).unwrap_err();
                assert_eq!(error.kind(), kind, "{error}");
            }
            assert_eq!(peer.asked().len(), 1, "{status}");
        }
    }

    #[test]
    fn mistakes_name_their_key() {
        assert_eq!(open_at("http://h", json!({"latitude": "north"})).1, ["sources.OpenMeteo.latitude"]);
        assert_eq!(open_at("http://h", json!({"efficiency": 90})).1, ["sources.OpenMeteo.efficiency"]);
    }
}

//! Energy source: Efergy (Engage hub) by the vendor's cloud.
//!
//! Facts: the cloud's `mobile_proxy`, as pyefergy uses it; configuration and quirks in `docs/ems/efergy.md`.

mod parse;

use std::time::{Duration, Instant};

use ems::{Ems, EmsDriver, EmsError, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop, WireReading};
use http_client::Client;

pub use parse::{Power, power};

const CLOUD: &str = "https://engage.efergy.com";
/// Hubs report to the cloud about as often; asking more only uses up its patience.
const INTERVAL_S: f64 = 30.0;
/// What the cloud tells is up to so old.
const LAG: Duration = Duration::from_secs(120);

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "Efergy",
    summary: "Efergy (Engage hub) by the vendor's cloud",
    keys: &[
        KeySpec::new(
            "token",
            KeyKind::Secret,
            "Application token, made at engage.efergy.com under Settings > App tokens",
        ),
        KeySpec::new("sid", KeyKind::Text, "A single sensor; otherwise all whole-house sensors are added up"),
        KeySpec::new("role", KeyKind::Text, "What it measures: consumption (default), generation, or grid (import)"),
        KeySpec::new("interval", KeyKind::Number, "Seconds between calls, at least and by default 30"),
        KeySpec::new("baseUrl", KeyKind::Text, "Another address of the cloud (https://engage.efergy.com)"),
    ],
    open,
};

#[derive(Debug, Clone, Copy)]
enum Role {
    Consumption,
    Generation,
    Grid,
}

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let token = section.required_text("token");
    if ems_http::placeholder(&token).is_some() {
        section.error("token", "is still the sample's placeholder; put your own token there");
    }
    let sid = section.text("sid");
    let role = match section.text("role").map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("consumption") => Role::Consumption,
        Some("generation") => Role::Generation,
        Some("grid") => Role::Grid,
        Some(_) => {
            section.error("role", "must be `consumption`, `generation` or `grid`");
            Role::Consumption
        }
    };
    let interval = Duration::from_secs_f64(section.number_within("interval", INTERVAL_S, INTERVAL_S, 3600.0));
    let base = ems_http::cloud_base(section, CLOUD);
    let client = ems_http::client(section, shared, base.as_deref(), "baseUrl", |builder| {
        builder.secret(&token).proxy_from_environment()
    });
    let client = client.filter(|_| !section.has_errors())?;
    Some(Box::new(Efergy { client, token, sid, role, interval }))
}

struct Efergy {
    client: Client,
    token: String,
    sid: Option<String>,
    role: Role,
    interval: Duration,
}

impl Ems for Efergy {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        let request = self.client.get("/mobile_proxy/getCurrentValuesSummary").query("token", &self.token);
        // The content type is text/html for everything.
        let answer = request.send_json().map_err(|error| ems_http::failed(&error))?;
        let power = power(&answer, self.sid.as_deref())?;
        let mut reading = WireReading::default();
        match self.role {
            Role::Consumption => reading.consumption_w = Some(power.watts.max(0.0)),
            // Clamps see no direction.
            Role::Generation => reading.generation_w = Some(power.watts.abs()),
            Role::Grid => reading.grid_w = Some(power.watts),
        }
        let now = Instant::now();
        let reading = reading.into_reading(now.checked_sub(power.age).unwrap_or(now)).map_err(EmsError::garbled)?;
        Ok(reading.usable_for(self.interval * 3 + LAG))
    }

    fn pace(&self) -> Pace {
        Pace::Every(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ems::EmsErrorKind;
    use recordings::{Answer, Peer};
    use serde_json::{Value, json};

    fn open_on(peer: &Peer, mut values: Value) -> Box<dyn Ems> {
        values["baseUrl"] = json!(peer.url());
        values["token"] = json!("s3cr3t-t0k3n");
        let mut section = Section::new("sources.Efergy", values.as_object().cloned().unwrap());
        let driver = (DRIVER.open)(&mut section, &Shared::new());
        assert_eq!(section.problems(), []);
        driver.unwrap()
    }

    #[test]
    fn values_are_as_old_as_the_sensor_says() {
        let body = r#"[{"cid":"PWER","data":[{"1485853183000":218}],"sid":"728386","units":"kWm","age":40}]"#;
        let peer = Peer::start(move |asked| match asked.target.contains("token=s3cr3t-t0k3n") {
            true => Answer::html(body),
            false => Answer::html(r#"{"status":"error","description":"bad token"}"#),
        });
        let found = open_on(&peer, json!({})).read(&Stop::never()).unwrap();
        assert_eq!((found.consumption.map(|w| w.get()), found.generation, found.grid), (Some(218.0), None, None));
        assert!(found.taken_at.elapsed() >= Duration::from_secs(40));
        assert_eq!(found.max_age, Some(Duration::from_secs(210)));
        let solar = open_on(&peer, json!({"role": "generation", "sid": 728386})).read(&Stop::never()).unwrap();
        assert_eq!(solar.generation.map(|w| w.get()), Some(218.0));
    }

    #[test]
    fn failures_are_told_without_the_token() {
        let bad_token = Answer::html(r#"{"status":"error","description":"bad token"}"#);
        for (answer, kind) in [
            (bad_token, EmsErrorKind::Denied),
            (Answer::status(429), EmsErrorKind::RateLimited),
            (Answer::status(500), EmsErrorKind::Retry),
            (Answer::html("<html>maintenance</html>"), EmsErrorKind::Garbled),
            (Answer::html("[{\"cid\":"), EmsErrorKind::Retry),
            (Answer::html("7"), EmsErrorKind::Retry),
        ] {
            let shown = answer.clone();
            let peer = Peer::start(move |_| shown.clone());
            let error = open_on(&peer, json!({})).read(&Stop::never()).unwrap_err();
            assert_eq!(error.kind(), kind, "{answer:?}: {error}");
            assert!(!error.to_string().contains("s3cr3t"), "{error}");
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        for (values, key) in [
            (json!({}), "token"),
            (json!({"token": "xxx"}), "token"),
            (json!({"token": "0123456789", "role": "gas"}), "role"),
            (json!({"token": "0123456789", "interval": 5}), "interval"),
        ] {
            let mut section = Section::new("sources.Efergy", values.as_object().cloned().unwrap());
            assert!((DRIVER.open)(&mut section, &Shared::new()).is_none(), "{values}");
            assert_eq!(section.problems()[0].key, format!("sources.Efergy.{key}"));
        }
    }
}

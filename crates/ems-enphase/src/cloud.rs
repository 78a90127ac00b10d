//! The vendor's cloud: values of up to a quarter of an hour ago, few calls a month. For show, not for following the sun.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ems::{Ems, EmsError, EmsErrorKind, EmsReading, Pace, Stop, WireReading};
use ems_http::{Keep, LoginGate};
use http_client::{Auth, Client};
use json_pick::{Doc, PickError};
use serde_json::{Value, json};

use crate::local::epoch_now;

/// An access token is renewed this long (seconds) before its end.
const EARLY_S: i64 = 300;
/// The cloud tells values of a quarter of an hour ago.
const LAG: Duration = Duration::from_secs(900);

/// How one logs in.
pub(crate) enum Access {
    /// The interface that was switched off in January 2023; some run a look-alike.
    V2 { api_key: String, user_id: String },
    /// The one of today.
    V4 { api_key: String, client_id: String, client_secret: String, refresh_token: String },
}

pub(crate) struct Cloud {
    client: Client,
    system_id: String,
    access: Access,
    interval: Duration,
    keep: Arc<Keep>,
    path: String,
    token_ends: Option<i64>,
    gate: LoginGate,
}

impl Cloud {
    pub fn new(
        client: Client,
        system_id: String,
        access: Access,
        interval: Duration,
        keep: Arc<Keep>,
        path: String,
    ) -> Self {
        match &access {
            Access::V2 { api_key, .. } => client.secret(api_key),
            Access::V4 { api_key, client_id, client_secret, refresh_token } => {
                let basic = STANDARD.encode(format!("{client_id}:{client_secret}"));
                [api_key, client_secret, refresh_token, &basic].iter().for_each(|secret| client.secret(secret));
            }
        }
        let gate = LoginGate::new(Duration::from_secs(60), Duration::from_secs(3600));
        Cloud { client, system_id, access, interval, keep, path, token_ends: None, gate }
    }

    fn telemetry(&mut self, now: Instant) -> Result<EmsReading, EmsError> {
        if self.token_ends.is_none_or(|ends| ends.saturating_sub(epoch_now()) <= EARLY_S) {
            self.log_in(now)?;
        }
        let read = |cloud: &Cloud| {
            let Access::V4 { api_key, .. } = &cloud.access else { return Ok(Value::Null) };
            let path = format!("/api/v4/systems/{}/latest_telemetry", http_client::url::encode(&cloud.system_id));
            cloud.client.get(&path).header("key", api_key).send_json()
        };
        let answer = match read(self) {
            Err(error) if error.status() == Some(401) => {
                self.log_in(now)?;
                read(self)
            }
            other => other,
        };
        let answer = answer.map_err(|error| ems_http::failed(&error))?;
        self.gate.proven(now);
        let (values, told_at) = telemetry(&answer).map_err(|error| ems_http::garbled(&error))?;
        let age = told_at.map_or(0, |at| epoch_now().saturating_sub(at).max(0));
        let age = Duration::from_secs(u64::try_from(age).unwrap_or_default());
        values.into_reading(now.checked_sub(age).unwrap_or(now)).map_err(EmsError::garbled)
    }

    /// Trades the refresh token for an access token. The cloud gives a new refresh token each time, which is kept.
    fn log_in(&mut self, now: Instant) -> Result<(), EmsError> {
        let Access::V4 { client_id, client_secret, refresh_token, .. } = &self.access else { return Ok(()) };
        self.gate.enter(now)?;
        let path = format!("{}.cloud", self.path);
        // What is kept belongs to the configured token; after a change of the configuration that one counts.
        let kept = self.keep.load(&path).filter(|kept| kept.get("configured") == Some(&json!(refresh_token)));
        let refresh = kept.and_then(|kept| Some(kept.get("refresh")?.as_str()?.to_owned()));
        let refresh = refresh.unwrap_or_else(|| refresh_token.clone());
        self.client.secret(&refresh);
        let basic = STANDARD.encode(format!("{client_id}:{client_secret}"));
        let request = self
            .client
            .post("/oauth/token")
            .query("grant_type", "refresh_token")
            .query("refresh_token", &refresh)
            .header("Authorization", &format!("Basic {basic}"))
            .anonymous();
        let answer = request.send_json().map_err(|error| {
            let failed = ems_http::failed(&error);
            let text =
                format!("{failed}; if this stays, authorise the application again and put the new `refreshToken` in");
            self.gate.failed(now, EmsError::new(failed.kind(), text))
        })?;
        let doc = Doc::new(&answer);
        let access = doc.text("access_token").ok().flatten();
        let access =
            access.ok_or_else(|| EmsError::garbled("the Enphase cloud gave no access token; check `refreshToken`"))?;
        let lives = doc.integer("expires_in").ok().flatten().unwrap_or(3600);
        self.client.set_auth(Auth::Bearer(access));
        self.token_ends = Some(epoch_now().saturating_add(lives));
        if let Ok(Some(next)) = doc.text("refresh_token") {
            self.client.secret(&next);
            self.keep.save(&path, json!({"configured": refresh_token, "refresh": next}));
        }
        Ok(())
    }

    fn summary(&self, api_key: &str, user_id: &str) -> Result<EmsReading, EmsError> {
        let path = format!("/api/v2/systems/{}/summary", http_client::url::encode(&self.system_id));
        let answer = self.client.get(&path).query("key", api_key).query("user_id", user_id).send_json();
        let answer = answer.map_err(|error| ems_http::failed(&error))?;
        let watts = Doc::new(&answer).require_number("current_power").map_err(|error| ems_http::garbled(&error))?;
        let values = WireReading { generation_w: ems::generation(watts), ..WireReading::default() };
        values.into_reading(Instant::now()).map_err(EmsError::garbled)
    }
}

impl Ems for Cloud {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        let result = match &self.access {
            Access::V2 { api_key, user_id } => self.summary(api_key, user_id),
            Access::V4 { .. } => self.telemetry(Instant::now()),
        };
        let result = result.map(|reading| reading.usable_for(self.interval * 2 + LAG));
        // Each failed attempt counts against the month's calls as well.
        result.map_err(|error| match (error.kind(), error.retry_after()) {
            (EmsErrorKind::RateLimited, None) => error.after(Duration::from_secs(86_400)),
            (_, None) => error.after(Duration::from_secs(300)),
            _ => error,
        })
    }

    fn pace(&self) -> Pace {
        Pace::Every(self.interval)
    }
}

/// Reads `latest_telemetry`: the values and the epoch second of the oldest of them.
fn telemetry(answer: &Value) -> Result<(WireReading, Option<i64>), PickError> {
    let doc = Doc::new(answer);
    let devices = doc.at("devices")?.ok_or_else(|| doc.missing("devices"))?;
    let mut told_at: Option<i64> = None;
    let mut sum = |list: &str, name: Option<&str>| -> Result<Option<f64>, PickError> {
        let mut total = None;
        for device in devices.list(list)?.unwrap_or_default() {
            if name.is_some() && device.text("name")?.as_deref() != name {
                continue;
            }
            // One device without a value makes the sum unknown: a part is not the whole.
            let Some(watts) = device.number("power")? else { return Ok(None) };
            total = Some(total.unwrap_or(0.0) + watts);
            if let Some(at) = device.integer("last_report_at")? {
                told_at = Some(told_at.map_or(at, |oldest| oldest.min(at)));
            }
        }
        Ok(total)
    };
    let values = WireReading {
        generation_w: sum("meters", Some("production"))?.and_then(ems::generation),
        consumption_w: sum("meters", Some("consumption"))?.map(|watts| watts.max(0.0)),
        battery_w: sum("encharges", None)?,
        ..WireReading::default()
    };
    Ok((values, told_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_adds_up_channels_and_tells_its_age() {
        let answer = json!({"system_id": 1, "devices": {"meters": [
            {"id": 1, "name": "production", "channel": 1, "last_report_at": 1_700_000_000, "power": 1000},
            {"id": 2, "name": "production", "channel": 2, "last_report_at": 1_700_000_900, "power": 500},
            {"id": 3, "name": "consumption", "last_report_at": 1_700_000_900, "power": null}]}});
        let (values, told_at) = telemetry(&answer).unwrap();
        assert_eq!((values.generation_w, values.consumption_w, told_at), (Some(1500.0), None, Some(1_700_000_000)));
        assert!(telemetry(&json!({"message": "Not found"})).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_document_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-z0-9.eE+-]{0,200}") {
            if let Ok(value) = serde_json::from_str(&text) {
                let _ = telemetry(&value);
            }
        }
    }
}

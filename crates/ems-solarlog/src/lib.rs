//! Energy source: Solar-Log data loggers over their open JSON interface.
//!
//! One question for the house; further ones for battery and single devices where they are needed and allowed.
//!
//! Facts: Solar-Log's description of the open JSON interface, solarlog_cli; quirks and configuration in
//! `docs/ems/solarlog.md`.

pub mod parse;

use std::time::{Duration, Instant};

use ems::{
    Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop, WireReading,
};
use ems_http::{LoginGate, Stamp};
use http_client::Client;
use serde_json::Value;

use parse::{Battery, basic, battery, devices, grid, refusals};

/// The vendor asks for no more than one call in fifteen seconds.
const INTERVAL: Duration = Duration::from_secs(15);
/// What the logger lacks or refuses is asked for again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "SolarLog",
    summary: "Solar-Log data loggers (open JSON interface)",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of the Solar-Log"),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 80)"),
        KeySpec::new("password", KeyKind::Secret, "Password of its user page, if it has one"),
        KeySpec::new(
            "excludeConsumptionInverters",
            KeyKind::Texts,
            "Numbers of devices whose power is taken off consumption",
        ),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let port = section.port("serverPort", 80);
    let base = ems_http::base(section, "serverIP", port, false);
    let password = section.text("password");
    let mut excluded = Vec::new();
    for text in section.texts("excludeConsumptionInverters") {
        match text.parse::<u32>() {
            Ok(index) => excluded.push(index),
            Err(_) => section.error(
                "excludeConsumptionInverters",
                format!("`{text}` is no device number; whole numbers from 0 are, as in `[0, 3]`"),
            ),
        }
    }
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| {
        builder.cookies(true).header("X-SL-CSRF-PROTECTION", "1")
    });
    (!section.has_errors()).then_some(())?;
    let client = client?;
    if let Some(password) = &password {
        client.secret(password);
    }
    Some(Box::new(SolarLog {
        client,
        password,
        excluded,
        gate: LoginGate::new(Duration::from_secs(60), Duration::from_secs(3600)),
        stamp: Stamp::default(),
        no_battery_since: None,
        no_devices_since: None,
    }))
}

struct SolarLog {
    client: Client,
    password: Option<String>,
    excluded: Vec<u32>,
    gate: LoginGate,
    stamp: Stamp,
    /// Since when it is known that there is no battery (true), or that the logger does not tell (false).
    no_battery_since: Option<(Instant, bool)>,
    no_devices_since: Option<Instant>,
}

impl SolarLog {
    fn ask(&self, question: &str) -> Result<Value, EmsError> {
        // With a login some firmware wants its token in the body as well.
        let token = self.client.cookie("SolarLog").map(|token| format!("token={token};")).unwrap_or_default();
        let request = self.client.post("/getjp").raw("application/json", format!("{token}{question}"));
        let answer = request.send_ok().map_err(|error| ems_http::failed(&error))?;
        refusals(&answer.text())?;
        answer.json().map_err(|error| ems_http::failed(&error))
    }

    /// Asks; logs in once when refused and there is a password.
    fn ask_with_login(&mut self, question: &str, now: Instant) -> Result<Value, EmsError> {
        match self.ask(question) {
            Err(error) if error.kind() == EmsErrorKind::Denied && self.password.is_some() => {
                self.log_in(now)?;
                self.ask(question)
            }
            result => result,
        }
    }

    fn log_in(&mut self, now: Instant) -> Result<(), EmsError> {
        self.gate.enter(now)?;
        self.client.clear_cookies();
        let password = self.password.as_deref().unwrap_or_default();
        let answer = self.client.post("/login").form(&[("u", "user"), ("p", password)]).send_ok();
        if let Err(error) = answer {
            return Err(self.gate.failed(now, ems_http::failed(&error)));
        }
        if self.client.cookie("SolarLog").is_none() {
            let text = "the Solar-Log refuses the login: check `password`; firmware that wants the password hashed is not \
                        supported yet, so take the password off its open JSON interface there";
            return Err(self.gate.failed(now, EmsError::new(EmsErrorKind::Denied, text)));
        }
        Ok(())
    }

    /// The battery as far as the logger tells: `None` when it does not.
    fn battery(&mut self, now: Instant) -> Option<Battery> {
        if let Some((since, is_absent)) = self.no_battery_since
            && now.duration_since(since) < LOOK_AGAIN
        {
            return is_absent.then_some(Battery::Absent);
        }
        let told = self.ask_with_login(r#"{"858":null}"#, now);
        let found = told.and_then(|answer| battery(&answer).map_err(|error| ems_http::garbled(&error)));
        self.no_battery_since = match &found {
            Ok(Battery::Present { .. }) => None,
            Ok(Battery::Absent) => Some((now, true)),
            Err(error) if error.kind() == EmsErrorKind::Retry => None,
            Err(_) => Some((now, false)),
        };
        found.ok()
    }

    /// What the excluded devices use now. Without it consumption is that of the whole house: less is left for the car.
    fn excluded_power(&mut self, now: Instant) -> f64 {
        let is_refused = self.no_devices_since.is_some_and(|since| now.duration_since(since) < LOOK_AGAIN);
        if self.excluded.is_empty() || is_refused {
            return 0.0;
        }
        let told = self.ask_with_login(r#"{"782":null}"#, now);
        let found = told.and_then(|answer| devices(&answer, &self.excluded).map_err(|error| ems_http::garbled(&error)));
        match found {
            Ok(Some(watts)) => watts,
            Ok(None) => 0.0,
            Err(error) => {
                if error.kind() != EmsErrorKind::Retry {
                    log::warn!("SolarLog: `excludeConsumptionInverters` has no effect: {error}");
                    self.no_devices_since = Some(now);
                }
                0.0
            }
        }
    }
}

impl Ems for SolarLog {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        let now = Instant::now();
        let answer = self.ask_with_login(r#"{"801":{"170":null}}"#, now)?;
        let found = basic(&answer).map_err(|error| ems_http::garbled(&error))?;
        let found = found.ok_or_else(|| {
            EmsError::new(
                EmsErrorKind::Asleep,
                "the Solar-Log is starting: its clock is not set yet; wait some minutes",
            )
        })?;
        self.gate.proven(now);
        let battery = self.battery(now);
        let excluded = self.excluded_power(now);
        let (battery_w, battery_soc) = match battery {
            Some(Battery::Present { power, soc }) => (power, soc),
            _ => (None, None),
        };
        let values = WireReading {
            generation_w: found.generation,
            consumption_w: found.consumption.map(|watts| (watts - excluded).max(0.0)),
            grid_w: grid(&found, battery),
            battery_w,
            battery_soc,
            ..WireReading::default()
        };
        values.into_reading(self.stamp.taken_at(found.stamp.as_deref(), now)).map_err(EmsError::garbled)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ems::units::{Percent, Watts};
    use recordings::{Answer, Asked, Peer};
    use serde_json::json;

    const DAY: &str = r#"{"801": {"170": {"100": "26.08.24 14:19:45", "101": 2891, "110": 3110, "115": 9}}}"#;

    fn open_at(peer: &Peer, more: &Value) -> Box<dyn Ems> {
        let mut values = json!({"serverIP": "127.0.0.1", "serverPort": peer.port()});
        values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut section = Section::new("sources.SolarLog", values.as_object().unwrap().clone());
        (DRIVER.open)(&mut section, &Shared::new()).unwrap_or_else(|| panic!("{:?}", section.problems()))
    }

    fn logger(asked: &Asked) -> Answer {
        match (asked.path(), asked.body.as_str()) {
            ("/getjp", r#"{"801":{"170":null}}"#) => Answer::json(DAY),
            ("/getjp", r#"{"858":null}"#) => Answer::json(r#"{"858": [48, 79, 1074, 0]}"#),
            ("/getjp", r#"{"782":null}"#) => Answer::json(r#"{"782": {"0": "3170", "1": "0", "3": "110"}}"#),
            _ => Answer::status(404),
        }
    }

    #[test]
    fn house_battery_and_excluded_devices() {
        let peer = Peer::start(logger);
        let reading = open_at(&peer, &json!({"excludeConsumptionInverters": [1, "3"]})).read(&Stop::never()).unwrap();
        assert_eq!(reading.generation.map(Watts::get), Some(2891.0));
        assert_eq!(reading.consumption.map(Watts::get), Some(3000.0));
        assert_eq!(reading.battery.map(Watts::get), Some(-1074.0));
        assert_eq!(reading.battery_soc.map(Percent::get), Some(79.0));
        // The excluded devices do use what comes from the grid.
        assert_eq!(reading.grid.map(Watts::get), Some(3110.0 - 2891.0 + 1074.0));
    }

    #[test]
    fn a_password_is_used_once_and_a_session_lasts() {
        let peer = Peer::start(|asked| match asked.path() {
            "/login" if asked.body == "u=user&p=S3CRT" => Answer::html("SUCCESS").header("Set-Cookie: SolarLog=tok"),
            "/login" => Answer::html("FAILED"),
            _ if asked.body.starts_with("token=tok;") && asked.header("cookie") == Some("SolarLog=tok") => {
                logger(&Asked { body: asked.body.replace("token=tok;", ""), ..asked.clone() })
            }
            _ => Answer::json(r#"{"801": {"170": "ACCESS DENIED"}}"#),
        });
        let mut driver = open_at(&peer, &json!({"password": "S3CRT"}));
        for _ in 0..3 {
            assert_eq!(driver.read(&Stop::never()).unwrap().generation.map(Watts::get), Some(2891.0));
        }
        assert_eq!(peer.count("/login"), 1);
        let mut wrong = open_at(&peer, &json!({"password": "wr0ng"}));
        for _ in 0..3 {
            let error = wrong.read(&Stop::never()).unwrap_err();
            assert!(error.kind() == EmsErrorKind::Denied && error.to_string().contains("`password`"), "{error}");
        }
        assert_eq!(peer.count("/login"), 2);
    }

    #[test]
    fn trouble_of_every_kind_is_an_error_never_zero() {
        for (body, kind) in [
            ("{\"QUERY IMPOSSIBLE 000\"}", EmsErrorKind::Misconfigured),
            ("{\"801\":{\"170\":\"ACCESS DENIED\"}}", EmsErrorKind::Denied),
            ("{\"801\":{\"170\":{\"100\":\"01.01.99 19:00:00\",\"101\":0}}}", EmsErrorKind::Asleep),
            ("<html>login</html>", EmsErrorKind::Garbled),
            ("", EmsErrorKind::Garbled),
            ("{\"801\":{\"170\":{\"100\"", EmsErrorKind::Retry),
            ("{\"801\":{\"170\":{\"101\":1e308}}}", EmsErrorKind::Garbled),
        ] {
            let peer = Peer::start(move |_| Answer::html(body));
            let error = open_at(&peer, &json!({})).read(&Stop::never()).unwrap_err();
            assert_eq!(error.kind(), kind, "{body}: {error}");
        }
        let peer = Peer::start(|_| Answer::status(500));
        assert_eq!(open_at(&peer, &json!({})).read(&Stop::never()).unwrap_err().kind(), EmsErrorKind::Retry);
    }
}

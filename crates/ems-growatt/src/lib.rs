//! Energy source: Growatt inverters and batteries through the interface of the vendor's app.
//!
//! | part | does |
//! |---|---|
//! | [`parse`] | reads the cloud's answers |
//! | [`Boost`] | charging from the house's battery in the small hours |
//!
//! Facts: PyPi_GrowattServer, Home Assistant's `growatt_server`; quirks and configuration in `docs/ems/growatt.md`.

mod boost;
pub mod parse;

use std::time::{Duration, Instant};

use ems::{
    Attribute, Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop,
    WireReading,
};
use ems_http::LoginGate;
use http_client::{Client, HttpError, Kind as HttpKind, Request};
use jiff::civil::Time;
use json_pick::PickError;
use serde_json::Value;

pub use boost::Boost;
use parse::{Device, Kind, Login, combine, devices, hashed, login, plants, status};

const CLOUD_BASE: &str = "https://openapi.growatt.com";
const TIMEOUT: Duration = Duration::from_secs(20);
/// The dongle reports every one to five minutes, and those who ask too often are banned for a day.
const INTERVAL_S: f64 = 120.0;
/// The dongle reports to the cloud at least this often.
const LAG: Duration = Duration::from_secs(300);
/// Least pause between logins, and the longest after refusals.
const LOGIN_PAUSES: (Duration, Duration) = (Duration::from_secs(900), Duration::from_secs(86_400));
/// New devices are looked for this often.
const LOOK_AGAIN: Duration = Duration::from_secs(86_400);
/// The service refuses clients that name themselves as a library.
const USER_AGENT: &str = "Mozilla/5.0 (Linux; Android 14) ShinePhone";

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "Growatt",
    summary: "Growatt inverters and batteries (cloud)",
    keys: &[
        KeySpec::new("username", KeyKind::Text, "User of the Growatt app"),
        KeySpec::new("password", KeyKind::Secret, "Its password"),
        KeySpec::new("plantID", KeyKind::Text, "Number of the plant (default: all of the account)"),
        KeySpec::new("baseUrl", KeyKind::Text, "Server of your region (default https://openapi.growatt.com)"),
        KeySpec::new("interval", KeyKind::Number, "Seconds between questions, 60 to 3600 (default 120)"),
        KeySpec::new("useBatteryAt", KeyKind::Number, "Percent above which the battery may charge the car at night"),
        KeySpec::new("useBatteryTill", KeyKind::Number, "Percent down to which it may (default 0)"),
        KeySpec::new("batteryMaxOutput", KeyKind::Number, "Watts the battery gives then"),
        KeySpec::new(
            "useBatteryBefore",
            KeyKind::Text,
            "End of that time as HH:MM; it begins at midnight (default 00:00: never)",
        ),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let username = section.required_text("username");
    let password = section.required_text("password");
    for (key, text) in [("username", &username), ("password", &password)] {
        if ems_http::placeholder(text).is_some() {
            section.warn(key, "looks like the sample's placeholder; the ones of the Growatt app belong there");
        }
    }
    let boost = boost(section);
    let interval = section.number_within("interval", INTERVAL_S, 60.0, 3600.0);
    let plant = section.text("plantID");
    let base = ems_http::cloud_base(section, CLOUD_BASE);
    let client = ems_http::client(section, shared, base.as_deref(), "baseUrl", |builder| {
        builder
            .total_timeout(TIMEOUT)
            .cookies(true)
            .follow_redirects(false)
            .user_agent(USER_AGENT)
            .proxy_from_environment()
    });
    (!section.has_errors()).then_some(())?;
    let client = client?;
    let hash = hashed(&password);
    [&password, &hash].into_iter().for_each(|secret| client.secret(secret));
    Some(Box::new(Growatt {
        client,
        username,
        hash,
        plant,
        boost,
        interval: Duration::from_secs_f64(interval),
        gate: LoginGate::new(LOGIN_PAUSES.0, LOGIN_PAUSES.1),
        is_refused: false,
        user: None,
        devices: None,
    }))
}

fn boost(section: &mut Section) -> Option<Boost> {
    let at = section.number_within("useBatteryAt", 100.0, 0.0, 100.0);
    let till = section.number_within("useBatteryTill", 0.0, 0.0, 100.0);
    let watts = section.number_within("batteryMaxOutput", 0.0, 0.0, 100_000.0);
    let text = section.text("useBatteryBefore").unwrap_or_else(|| "00:00".to_owned());
    let Some(before) = time_of_day(&text) else {
        section.error("useBatteryBefore", "is no time of day; write it as `06:30`");
        return None;
    };
    (before != Time::midnight() && watts > 0.0).then_some(Boost { at, till, watts, before, is_on: false })
}

fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::new(hour.trim().parse().ok()?, minute.trim().parse().ok()?, 0, 0).ok()
}

struct Growatt {
    client: Client,
    username: String,
    /// The password as it is sent.
    hash: String,
    plant: Option<String>,
    boost: Option<Boost>,
    interval: Duration,
    gate: LoginGate,
    /// Whether the last login was refused.
    is_refused: bool,
    /// The user's number, while a session is thought to be good.
    user: Option<String>,
    devices: Option<(Instant, Vec<Device>)>,
}

/// Why a question failed.
enum Trouble {
    /// The session ended: the answer is the login page, a redirect to it, or not of the expected form.
    Session(EmsError),
    Other(EmsError),
}

impl From<HttpError> for Trouble {
    fn from(error: HttpError) -> Self {
        let is_login_page = matches!(
            error.kind(),
            HttpKind::Redirected { .. } | HttpKind::NotJson { .. } | HttpKind::Empty | HttpKind::Status(401)
        );
        match (is_login_page, error.status()) {
            (true, _) => Trouble::Session(ems_http::failed(&error)),
            (false, Some(403)) => Trouble::Other(
                EmsError::new(
                    EmsErrorKind::Denied,
                    format!("{error}; Growatt bans accounts that ask too often for a day: raise `interval`, end other programs"),
                )
                .after(Duration::from_secs(3600)),
            ),
            _ => Trouble::Other(ems_http::failed(&error)),
        }
    }
}

impl From<PickError> for Trouble {
    fn from(error: PickError) -> Self {
        Trouble::Session(ems_http::garbled(&error))
    }
}

impl From<Trouble> for EmsError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Session(error) | Trouble::Other(error) => error,
        }
    }
}

impl Growatt {
    fn log_in(&mut self, now: Instant) -> Result<(), EmsError> {
        self.gate.enter(now)?;
        self.client.clear_cookies();
        let form = [("userName", self.username.as_str()), ("password", self.hash.as_str())];
        let answer = self.client.post("/newTwoLoginAPI.do").form(&form).send_json();
        let result = answer.map_err(|error| EmsError::from(Trouble::from(error)));
        let result = result.and_then(|answer| login(&answer).map_err(|error| ems_http::garbled(&error)));
        match result {
            Ok(Login::Good { user }) => {
                self.user = Some(user);
                self.is_refused = false;
                Ok(())
            }
            Ok(Login::Refused { code }) => {
                self.is_refused = true;
                let hint =
                    if code == "502" { "`username` or `password` is wrong" } else { "check `username` and `password`" };
                let text = format!(
                    "Growatt refuses the login (code {code}): {hint}; it is tried again rarely, since accounts get locked"
                );
                Err(self.gate.failed(now, EmsError::new(EmsErrorKind::Denied, text)))
            }
            Err(error) => Err(self.gate.failed(now, error)),
        }
    }

    fn ask<T>(request: Request<'_>, read: impl Fn(&Value) -> Result<T, PickError>) -> Result<T, Trouble> {
        Ok(read(&request.send_json()?)?)
    }

    fn find_devices(&self, user: &str) -> Result<Vec<Device>, Trouble> {
        let plants = match &self.plant {
            Some(plant) => vec![plant.clone()],
            None => Self::ask(self.client.get("/PlantListAPI.do").query("userId", user), plants)?,
        };
        let mut all = Vec::new();
        for plant in plants {
            let request =
                self.client.get("/newTwoPlantAPI.do").query("op", "getAllDeviceList").query("plantId", &plant);
            all.extend(Self::ask(request, |answer| devices(answer, &plant))?);
        }
        if all.is_empty() {
            let text = "this Growatt account has no inverter that can be read; check `plantID`";
            return Err(Trouble::Other(EmsError::new(EmsErrorKind::Misconfigured, text)));
        }
        Ok(all)
    }

    fn ask_device(&self, device: &Device) -> Result<Option<WireReading>, Trouble> {
        let request = match device.kind {
            Kind::Mix => self
                .client
                .post("/newMixApi.do?op=getSystemStatus_KW")
                .form(&[("mixId", &device.serial), ("plantId", &device.plant)]),
            Kind::Tlx => self
                .client
                .post("/newTlxApi.do?op=getSystemStatus_KW")
                .form(&[("tlxId", &device.serial), ("plantId", &device.plant)]),
            Kind::Inverter => self
                .client
                .get("/newInverterAPI.do")
                .query("op", "getInverterDetailData")
                .query("inverterId", &device.serial),
        };
        Self::ask(request, |answer| status(answer, device.kind))
    }

    fn poll(&mut self, now: Instant, stop: &Stop) -> Result<WireReading, Trouble> {
        let user = self.user.clone().unwrap_or_default();
        let known = self.devices.as_ref().filter(|(at, _)| now.duration_since(*at) < LOOK_AGAIN);
        let all = match known {
            Some((_, all)) => all.clone(),
            None => {
                let all = self.find_devices(&user)?;
                self.devices = Some((now, all.clone()));
                all
            }
        };
        let mut parts = Vec::with_capacity(all.len());
        for device in &all {
            if stop.is_asked() {
                return Err(Trouble::Other(EmsError::stopped()));
            }
            parts.push(self.ask_device(device)?);
        }
        if parts.iter().all(Option::is_none) {
            let text = "Growatt has no values of now: the inverter or its dongle is not in touch with the cloud";
            return Err(Trouble::Other(EmsError::new(EmsErrorKind::Asleep, text).after(self.interval)));
        }
        Ok(combine(&parts))
    }
}

impl Ems for Growatt {
    fn read(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        let now = Instant::now();
        if self.user.is_none() {
            self.log_in(now)?;
        }
        let polled = match self.poll(now, stop) {
            Err(Trouble::Session(error)) => {
                log_in_again(self, now, &error)?;
                self.poll(now, stop)
            }
            other => other,
        };
        // A failure is no reason to ask more often.
        let mut values = polled.map_err(|trouble| {
            let error = EmsError::from(trouble);
            let wait = error.retry_after().unwrap_or_default().max(self.interval);
            error.after(wait)
        })?;
        self.gate.proven(now);
        values.attributes.extend(values.battery_soc.map(|soc| ("batterySOC".to_owned(), Attribute::Number(soc))));
        if let Some(boost) = &mut self.boost {
            let watts = boost.add(jiff::Zoned::now().time(), values.battery_soc);
            if watts > 0.0 && values.generation_w.is_some() {
                values.generation_w = values.generation_w.map(|generation| generation + watts);
                values.attributes.insert("batteryBoostW".into(), Attribute::Number(watts));
            }
        }
        Ok(values.into_reading(now).map_err(EmsError::garbled)?.usable_for(self.interval * 3 + LAG))
    }

    fn pace(&self) -> Pace {
        Pace::Every(self.interval)
    }
}

/// A session that ended is renewed; when logins are not allowed yet, what the cloud said stands, with the time to wait.
fn log_in_again(source: &mut Growatt, now: Instant, said: &EmsError) -> Result<(), EmsError> {
    source.user = None;
    let allowed = source.log_in(now);
    let is_refused = source.is_refused;
    allowed.map_err(|error| match error.retry_after() {
        Some(wait) if error.kind() == EmsErrorKind::Denied && !is_refused => {
            EmsError::new(EmsErrorKind::Retry, format!("{said}; the next login is in {} s", wait.as_secs())).after(wait)
        }
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ems::units::{Percent, Watts};
    use recordings::{Answer, Asked, Peer};
    use serde_json::json;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn cloud(asked: &Asked, is_session_over: bool) -> Answer {
        if asked.path() == "/newTwoLoginAPI.do" {
            let is_right = asked.body.contains(&hashed("S3CRT")) && asked.body.starts_with("userName=me&");
            return match is_right {
                true => Answer::json(r#"{"back": {"success": true, "user": {"id": 5}, "data": []}}"#)
                    .header("Set-Cookie: JSESSIONID=abc; Path=/; HttpOnly"),
                false => Answer::json(r#"{"back": {"success": false, "msg": "502"}}"#),
            };
        }
        if is_session_over || asked.header("cookie") != Some("JSESSIONID=abc") {
            return Answer::html("<!DOCTYPE html><html><title>Growatt login</title></html>");
        }
        match (asked.target.as_str(), asked.body.as_str()) {
            ("/PlantListAPI.do?userId=5", _) => {
                Answer::json(r#"{"back": {"data": [{"plantId": "9"}], "success": true}}"#)
            }
            ("/newTwoPlantAPI.do?op=getAllDeviceList&plantId=9", _) => Answer::json(
                r#"{"deviceList": [{"deviceType": "mix", "deviceSn": "SN1", "deviceAilas": "My roof"}, {"deviceType": "meter"}]}"#,
            ),
            ("/newMixApi.do?op=getSystemStatus_KW", "mixId=SN1&plantId=9") => Answer::json(
                r#"{"result": 1, "obj": {"lost": "mix.status.normal", "ppv": 1.18, "pLocalLoad": "0.84", "pactogrid": 0.34,
                    "pactouser": 0, "chargePower": 0, "pdisCharge1": 0, "SOC": "95"}}"#,
            ),
            _ => Answer::status(404),
        }
    }

    fn open_at(peer: &Peer, password: &str) -> Box<dyn Ems> {
        let values = json!({"username": "me", "password": password, "baseUrl": peer.url(), "useBatteryAt": "80"});
        let mut section = Section::new("sources.Growatt", values.as_object().unwrap().clone());
        (DRIVER.open)(&mut section, &Shared::new()).unwrap_or_else(|| panic!("{:?}", section.problems()))
    }

    #[test]
    fn one_login_serves_many_polls() {
        let peer = Peer::start(|asked| cloud(asked, false));
        let mut driver = open_at(&peer, "S3CRT");
        for _ in 0..3 {
            let reading = driver.read(&Stop::never()).unwrap();
            assert_eq!(reading.generation.map(Watts::get), Some(1180.0));
            assert_eq!((reading.grid.map(Watts::get), reading.battery.map(Watts::get)), (Some(-340.0), Some(0.0)));
            assert_eq!(reading.battery_soc.map(Percent::get), Some(95.0));
            assert_eq!(reading.attributes["batterySOC"], Attribute::Number(95.0));
        }
        assert_eq!((peer.count("/newTwoLoginAPI.do"), peer.count("/newTwoPlantAPI.do")), (1, 1));
        assert!(peer.asked()[0].header("user-agent").unwrap().starts_with("Mozilla"));
    }

    #[test]
    fn a_session_that_ends_at_once_costs_no_flood_of_logins() {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let peer = Peer::start(move |asked| cloud(asked, over.load(Ordering::SeqCst)));
        let mut driver = open_at(&peer, "S3CRT");
        driver.read(&Stop::never()).unwrap();
        is_over.store(true, Ordering::SeqCst);
        for _ in 0..5 {
            let error = driver.read(&Stop::never()).unwrap_err();
            assert!(error.retry_after() > Some(Duration::from_secs(60)), "{error}");
        }
        assert_eq!(peer.count("/newTwoLoginAPI.do"), 1);
    }

    #[test]
    fn a_wrong_password_is_tried_once() {
        let peer = Peer::start(|asked| cloud(asked, false));
        let mut driver = open_at(&peer, "wr0ng");
        for _ in 0..5 {
            let error = driver.read(&Stop::never()).unwrap_err();
            assert_eq!(error.kind(), EmsErrorKind::Denied);
            assert!(error.to_string().contains("`password`") && !error.to_string().contains("wr0ng"), "{error}");
        }
        assert_eq!(peer.asked().len(), 1);
    }

    #[test]
    fn a_ban_and_trouble_are_told_apart() {
        for (status, kind) in
            [(403, EmsErrorKind::Denied), (500, EmsErrorKind::Retry), (429, EmsErrorKind::RateLimited)]
        {
            let peer = Peer::start(move |_| Answer::status(status));
            assert_eq!(open_at(&peer, "S3CRT").read(&Stop::never()).unwrap_err().kind(), kind, "{status}");
        }
        for body in ["", "<html></html>", "{\"back\": {\"succ", "[]", "null"] {
            let peer = Peer::start(move |_| Answer::json(body));
            assert!(open_at(&peer, "S3CRT").read(&Stop::never()).is_err(), "{body}");
        }
    }

    #[test]
    fn mistakes_are_named_at_start() {
        for (values, key) in [
            (json!({"username": "me"}), "password"),
            (json!({"username": "me", "password": "p", "useBatteryBefore": "25:00"}), "useBatteryBefore"),
            (json!({"username": "me", "password": "p", "useBatteryAt": "full"}), "useBatteryAt"),
        ] {
            let mut section = Section::new("sources.Growatt", values.as_object().unwrap().clone());
            assert!((DRIVER.open)(&mut section, &Shared::new()).is_none());
            assert_eq!(section.problems()[0].key, format!("sources.Growatt.{key}"));
        }
    }
}

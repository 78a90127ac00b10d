//! Energy source: TED, The Energy Detective (5000; Pro and 6000 by what is known of their pages).
//!
//! Facts: TED 5000 `api/LiveData.xml`; configuration and quirks in `docs/ems/ted.md`.

mod parse;

use std::time::{Duration, Instant};

use ems::{Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use ems_http::Stamp;
use http_client::{Auth, Client, Kind};

pub use parse::{Gateway, Role, Roles, gateway, reading, seen};

/// Pages by model: TED 5000; TED Pro and 6000.
const PAGES: [&str; 2] = ["/api/LiveData.xml", "/api/SystemOverview.xml"];
const INTERVAL: Duration = Duration::from_secs(10);
/// The gateway's clock may show minutes only.
const CLOCK_STEP: Duration = Duration::from_secs(90);

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "TED",
    summary: "TED, The Energy Detective",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of the gateway"),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 80)"),
        KeySpec::new("username", KeyKind::Text, "User, where the gateway asks for one"),
        KeySpec::new("password", KeyKind::Secret, "Its password"),
        KeySpec::new("mtu1", KeyKind::Text, "What unit 1 measures: generation, consumption, grid or ignore"),
        KeySpec::new("mtu2", KeyKind::Text, "The same for unit 2"),
        KeySpec::new("mtu3", KeyKind::Text, "The same for unit 3"),
        KeySpec::new("mtu4", KeyKind::Text, "The same for unit 4"),
        KeySpec::new("mtu5", KeyKind::Text, "The same for unit 5"),
        KeySpec::new("mtu6", KeyKind::Text, "The same for unit 6"),
        KeySpec::new("mtu7", KeyKind::Text, "The same for unit 7"),
        KeySpec::new("mtu8", KeyKind::Text, "The same for unit 8"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let port = section.port("serverPort", 80);
    let base = ems_http::base(section, "serverIP", port, false);
    let mut roles = Roles::new();
    for mtu in 1..=8 {
        let key = format!("mtu{mtu}");
        let Some(text) = section.text(&key) else { continue };
        let (word, is_turned) = match text.strip_prefix('-') {
            Some(word) => (word, true),
            None => (text.as_str(), false),
        };
        match word.trim().to_ascii_lowercase().as_str() {
            "generation" | "solar" => drop(roles.insert(mtu, (Role::Generation, is_turned))),
            "consumption" | "load" => drop(roles.insert(mtu, (Role::Consumption, is_turned))),
            "grid" | "net" => drop(roles.insert(mtu, (Role::Grid, is_turned))),
            "ignore" => drop(roles.insert(mtu, (Role::Ignore, is_turned))),
            _ => section.error(
                &key,
                "must be `generation`, `consumption`, `grid` or `ignore`, with `-` before it to turn the sign",
            ),
        }
    }
    let login = (section.text("username"), section.text("password"));
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| match login {
        (Some(user), Some(password)) => builder.auth(Auth::Basic { user, password }),
        _ => builder,
    });
    let client = client.filter(|_| !section.has_errors())?;
    Some(Box::new(Ted { client, roles, page: None, is_solar: false, clock: Stamp::default() }))
}

struct Ted {
    client: Client,
    roles: Roles,
    /// The page that this model has.
    page: Option<&'static str>,
    /// Without roles: the only unit has shown generation.
    is_solar: bool,
    clock: Stamp,
}

impl Ted {
    fn fetch(&mut self) -> Result<Gateway, EmsError> {
        if let Some(page) = self.page {
            let text = self.client.get_text(page).map_err(|error| ems_http::failed(&error))?;
            return gateway(&text).map_err(EmsError::garbled);
        }
        let mut last = None;
        for page in PAGES {
            match self.client.get_text(page) {
                Ok(text) => match gateway(&text) {
                    Ok(found) => {
                        self.page = Some(page);
                        return Ok(found);
                    }
                    Err(why) => last = last.or(Some(EmsError::garbled(why))),
                },
                Err(error) if *error.kind() == Kind::Status(404) => {
                    last = Some(ems_http::failed(&error));
                }
                Err(error) => return Err(ems_http::failed(&error)),
            }
        }
        Err(last.unwrap_or_else(|| EmsError::garbled("the gateway has no page with data")))
    }

    /// The user's roles, or what an old configuration without them lets us guess: a single unit that shows generation.
    fn roles(&mut self, gateway: &Gateway) -> Result<Roles, EmsError> {
        if !self.roles.is_empty() {
            return Ok(self.roles.clone());
        }
        let mut units = gateway.mtus.iter();
        if let (Some((mtu, watts)), None) = (units.next(), units.next()) {
            self.is_solar |= ems::generation(*watts).is_none();
            if self.is_solar {
                return Ok([(*mtu, (Role::Generation, false))].into());
            }
        }
        Err(EmsError::new(
            EmsErrorKind::Misconfigured,
            format!(
                "nothing says what the units measure; the gateway shows {}. Set `mtu1` and so on to generation, consumption, \
                 grid or ignore",
                seen(gateway)
            ),
        ))
    }
}

impl Ems for Ted {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        let result = self.fetch();
        if result.as_ref().is_err_and(|error| error.kind() == EmsErrorKind::Garbled) {
            // Perhaps another model by now: all pages are tried next time.
            self.page = None;
        }
        let gateway = result?;
        let roles = self.roles(&gateway)?;
        let reading = reading(&gateway, &roles).map_err(EmsError::retry)?;
        let now = Instant::now();
        let seen_at = self.clock.taken_at(gateway.clock.as_deref(), now);
        let taken_at = if now.saturating_duration_since(seen_at) < CLOCK_STEP { now } else { seen_at };
        reading.into_reading(taken_at).map_err(EmsError::garbled)
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
    use std::sync::Mutex;

    fn open_on(peer: &Peer, mut values: Value) -> Box<dyn Ems> {
        values["serverIP"] = json!("127.0.0.1");
        values["serverPort"] = json!(peer.port().to_string());
        let mut section = Section::new("sources.TED", values.as_object().cloned().unwrap());
        let driver = (DRIVER.open)(&mut section, &Shared::new());
        assert_eq!(section.problems(), []);
        driver.unwrap()
    }

    fn xml(mtu1: f64) -> Answer {
        Answer::html(format!("<LiveData><Power><MTU1><PowerNow>{mtu1}</PowerNow></MTU1></Power></LiveData>"))
    }

    fn read(driver: &mut dyn Ems) -> Result<EmsReading, EmsError> {
        driver.read(&Stop::never())
    }

    #[test]
    fn an_old_configuration_takes_a_single_unit_that_generates() {
        let watts = std::sync::Arc::new(Mutex::new(0.0));
        let shown = watts.clone();
        let peer = Peer::start(move |_| xml(*shown.lock().unwrap()));
        let mut driver = open_on(&peer, json!({}));
        let error = read(&mut *driver).unwrap_err();
        assert_eq!(error.kind(), EmsErrorKind::Misconfigured);
        assert!(error.to_string().contains("MTU1 0 W"), "{error}");
        *watts.lock().unwrap() = -3200.0;
        assert_eq!(read(&mut *driver).unwrap().generation.map(|w| w.get()), Some(3200.0));
        *watts.lock().unwrap() = 4.0;
        assert_eq!(read(&mut *driver).unwrap().generation.map(|w| w.get()), Some(0.0));
    }

    #[test]
    fn newer_models_have_another_page() {
        let peer = Peer::start(|asked| match asked.path() {
            "/api/SystemOverview.xml" => Answer::html(
                "<DialDataDetail><MTUVal><MTU1><Value>1200</Value><Voltage>1200</Voltage></MTU1></MTUVal></DialDataDetail>",
            ),
            _ => Answer::status(404),
        });
        let mut driver = open_on(&peer, json!({"mtu1": "grid"}));
        for _ in 0..2 {
            assert_eq!(read(&mut *driver).unwrap().grid.map(|w| w.get()), Some(1200.0));
        }
        assert_eq!((peer.count("/api/LiveData.xml"), peer.count("/api/SystemOverview.xml")), (1, 2));
    }

    #[test]
    fn failures_are_no_readings() {
        for answer in [
            Answer::status(401),
            Answer::status(500),
            Answer::status(404),
            Answer::html("<html></html>"),
            Answer::html(""),
        ] {
            let shown = answer.clone();
            let peer = Peer::start(move |_| shown.clone());
            assert!(read(&mut *open_on(&peer, json!({"mtu1": "grid"}))).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        for (values, key) in [
            (json!({}), "serverIP"),
            (json!({"serverIP": "192.0.2.7", "mtu2": "heat pump"}), "mtu2"),
            (json!({"serverIP": "192.0.2.7", "serverPort": "x"}), "serverPort"),
        ] {
            let mut section = Section::new("sources.TED", values.as_object().cloned().unwrap());
            assert!((DRIVER.open)(&mut section, &Shared::new()).is_none());
            assert_eq!(section.problems()[0].key, format!("sources.TED.{key}"));
        }
    }
}

//! Energy source: channels of a Volkszaehler middleware, or of vzlogger itself.
//!
//! Facts: the middleware's API and vzlogger's local HTTP; configuration and quirks in `docs/ems/volkszaehler.md`.

mod parse;

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ems::{
    Attribute, Ems, EmsDriver, EmsError, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop, WireReading,
};
use ems_http::Stamp;
use http_client::{Auth, Client, Kind};

pub use parse::{Point, newest};

const INTERVAL: Duration = Duration::from_secs(10);
/// A pulse counter says little at low power: its last value is right for minutes.
const MAX_AGE_S: f64 = 600.0;
/// Where middlewares are installed, most likely first.
const PATHS: [&str; 4] = ["/api", "/middleware", "/middleware.php", ""];

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    // Spelt as TWCManager spells it.
    name: "Volkszahler",
    summary: "channels of a Volkszaehler middleware, or of vzlogger",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of the middleware, or of vzlogger"),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 80; vzlogger 8081)"),
        KeySpec::new(
            "serverPath",
            KeyKind::Text,
            "Path of the middleware (default /api, else the usual ones are tried)",
        ),
        KeySpec::new("useHttps", KeyKind::Flag, "Whether to use https (default false)"),
        KeySpec::new("uuidTotalGridW", KeyKind::Text, "Channel of the grid power in W, import positive"),
        KeySpec::new("uuidPhotovoltaikW", KeyKind::Text, "Channel of the solar power in W"),
        KeySpec::new("vzlogger", KeyKind::Flag, "Whether the address is vzlogger's own (default false)"),
        KeySpec::new("maxAge", KeyKind::Number, "Seconds after which a value is unknown (600)"),
        KeySpec::new("username", KeyKind::Text, "User, where the web server asks for one"),
        KeySpec::new("password", KeyKind::Secret, "Its password"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let is_logger = section.flag("vzlogger", false);
    let is_https = section.flag("useHttps", false);
    let port = section.port(
        "serverPort",
        if is_logger {
            8081
        } else if is_https {
            443
        } else {
            80
        },
    );
    let base = ems_http::base(section, "serverIP", port, is_https);
    let path = section.text("serverPath").map(|path| match path.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    });
    let mut uuid = |key: &str| {
        let text = section.text(key)?;
        if !text.chars().all(|c| c.is_ascii_hexdigit() || c == '-') || ems_http::placeholder(&text).is_some() {
            section.error(key, "is no uuid; the middleware's page shows it under the channel's details");
        }
        Some(text)
    };
    let (grid, solar) = (uuid("uuidTotalGridW"), uuid("uuidPhotovoltaikW"));
    if grid.is_none() && solar.is_none() && !section.has_errors() {
        section.error("uuidTotalGridW", "is missing; name the channel of the grid, of the solar system, or both");
    }
    if section.raw("uuid").is_some() {
        section.warn("uuid", "is not used; the keys are uuidTotalGridW and uuidPhotovoltaikW");
    }
    let max_age = section.number_within("maxAge", MAX_AGE_S, 10.0, 86_400.0);
    let login = (section.text("username"), section.text("password"));
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| match login {
        (Some(user), Some(password)) => builder.auth(Auth::Basic { user, password }),
        _ => builder,
    });
    let client = client.filter(|_| !section.has_errors())?;
    Some(Box::new(Volkszaehler { client, is_logger, path, grid, solar, max_age, stamps: HashMap::new() }))
}

struct Volkszaehler {
    client: Client,
    is_logger: bool,
    /// Path of the middleware, once it is known.
    path: Option<String>,
    grid: Option<String>,
    solar: Option<String>,
    max_age: f64,
    /// Times of the newest values: one that stands still for long is old, whatever the two clocks say.
    stamps: HashMap<String, Stamp>,
}

impl Volkszaehler {
    fn channel(&mut self, uuid: &str) -> Result<Option<f64>, EmsError> {
        let body = match (self.is_logger, &self.path) {
            (true, _) => self.client.get_text(&format!("/{uuid}")).map_err(|error| ems_http::failed(&error))?,
            (false, Some(path)) => {
                self.client.get_text(&target(path, uuid)).map_err(|error| ems_http::failed(&error))?
            }
            (false, None) => self.look_for(uuid)?,
        };
        let Some(point) = newest(&body, uuid)? else { return Ok(None) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        // The text view tells no time; the newest value the middleware has then has to do.
        let age = point
            .at_ms
            .map_or(0.0, |at| now - Duration::from_millis(u64::try_from(at).unwrap_or_default()).as_secs_f64());
        let stamp = point.at_ms.map(|at| at.to_string());
        let instant = Instant::now();
        let seen = self.stamps.entry(uuid.to_owned()).or_default().taken_at(stamp.as_deref(), instant);
        let age = age.max(instant.saturating_duration_since(seen).as_secs_f64());
        Ok((age <= self.max_age).then_some(point.watts))
    }

    fn look_for(&mut self, uuid: &str) -> Result<String, EmsError> {
        let mut last = None;
        for path in PATHS {
            match self.client.get_text(&target(path, uuid)) {
                Ok(body) if !body.trim_start().starts_with('<') => {
                    self.path = Some(path.to_owned());
                    return Ok(body);
                }
                Ok(_) => {}
                Err(error) if *error.kind() == Kind::Status(404) => last = Some(ems_http::failed(&error)),
                Err(error) => return Err(ems_http::failed(&error)),
            }
        }
        Err(last.unwrap_or_else(|| EmsError::garbled("there is no middleware at the usual paths; set `serverPath`")))
    }
}

fn target(path: &str, uuid: &str) -> String {
    format!("{path}/data/{uuid}.json?from=now")
}

/// What the two channels make together.
fn reading(has_solar: bool, grid: Option<f64>, solar: Option<f64>) -> WireReading {
    let mut reading = WireReading { grid_w: grid, ..WireReading::default() };
    if has_solar {
        reading.generation_w = solar.and_then(ems::generation);
        reading.consumption_w = reading.generation_w.zip(grid).map(|(solar, grid)| (solar + grid).max(0.0));
    } else {
        reading.consumption_w = grid.map(|watts| watts.max(0.0));
        reading.generation_w = grid.map(|watts| (-watts).max(0.0));
        reading.attributes.insert("gridOnly".to_owned(), Attribute::Flag(true));
    }
    reading
}

impl Ems for Volkszaehler {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        let (grid, solar) = (self.grid.clone(), self.solar.clone());
        let watts_grid = grid.as_deref().map(|uuid| self.channel(uuid)).transpose()?.flatten();
        let watts_solar = solar.as_deref().map(|uuid| self.channel(uuid)).transpose()?.flatten();
        if watts_grid.is_none() && watts_solar.is_none() {
            return Err(EmsError::retry(format!(
                "no channel has a value of the last {:.0} s; look whether vzlogger runs and sends",
                self.max_age
            )));
        }
        reading(solar.is_some(), watts_grid, watts_solar).into_reading(Instant::now()).map_err(EmsError::garbled)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ems::EmsErrorKind;
    use recordings::{Answer, Peer};
    use serde_json::{Value, json};

    const GRID: &str = "a301d8d0-903b-11e1-a4a7-0123456789aa";
    const SUN: &str = "b301d8d0-903b-11e1-a4a7-0123456789bb";

    fn open_on(peer: &Peer, mut values: Value) -> Box<dyn Ems> {
        values["serverIP"] = json!("127.0.0.1");
        values["serverPort"] = json!(peer.port().to_string());
        let mut section = Section::new("sources.Volkszahler", values.as_object().cloned().unwrap());
        let driver = (DRIVER.open)(&mut section, &Shared::new());
        assert_eq!(section.problems(), []);
        driver.unwrap()
    }

    fn tuple(age_s: u64, watts: f64) -> Answer {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Answer::json(
            json!({"version": "0.3", "data": {"uuid": "x", "tuples": [[(now - age_s) * 1000, watts, 1]]}}).to_string(),
        )
    }

    /// A middleware below a path.
    fn middleware(path: &'static str, grid_age: u64) -> Peer {
        Peer::start(move |asked| match asked.path().strip_prefix(path) {
            Some(rest) if rest == format!("/data/{GRID}.json") => tuple(grid_age, -1200.5),
            Some(rest) if rest == format!("/data/{SUN}.json") => tuple(3, 2000.0),
            _ => Answer::status(404),
        })
    }

    #[test]
    fn both_channels_make_the_house() {
        for path in ["/api", "/middleware.php"] {
            let peer = middleware(path, 5);
            let mut driver = open_on(&peer, json!({"uuidTotalGridW": GRID, "uuidPhotovoltaikW": SUN}));
            for _ in 0..2 {
                let found = WireReading::from(&driver.read(&Stop::never()).unwrap());
                assert_eq!(
                    (found.grid_w, found.generation_w, found.consumption_w),
                    (Some(-1200.5), Some(2000.0), Some(799.5))
                );
                assert!(found.attributes.is_empty());
            }
            // The path is looked for once.
            assert_eq!(peer.count(&format!("/api/data/{GRID}.json")), if path == "/api" { 2 } else { 1 });
        }
    }

    #[test]
    fn one_channel_alone_tells_what_it_can() {
        let peer = middleware("/vz", 5);
        let grid = open_on(&peer, json!({"serverPath": "vz/", "uuidTotalGridW": GRID})).read(&Stop::never()).unwrap();
        let grid = WireReading::from(&grid);
        assert_eq!((grid.grid_w, grid.generation_w, grid.consumption_w), (Some(-1200.5), Some(1200.5), Some(0.0)));
        assert_eq!(grid.attributes["gridOnly"], Attribute::Flag(true));
        let sun = open_on(&peer, json!({"serverPath": "vz", "uuidPhotovoltaikW": SUN})).read(&Stop::never()).unwrap();
        assert_eq!((sun.generation.map(|w| w.get()), sun.consumption, sun.grid), (Some(2000.0), None, None));
    }

    #[test]
    fn old_values_are_unknown() {
        let peer = middleware("/api", 3000);
        let found =
            open_on(&peer, json!({"uuidTotalGridW": GRID, "uuidPhotovoltaikW": SUN})).read(&Stop::never()).unwrap();
        assert_eq!((found.grid, found.consumption, found.generation.map(|w| w.get())), (None, None, Some(2000.0)));
        assert!(open_on(&peer, json!({"uuidTotalGridW": GRID})).read(&Stop::never()).is_err());
    }

    #[test]
    fn vzlogger_answers_by_itself() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let body = format!(
            r#"{{"version":"0.8","generator":"vzlogger","data":[{{"uuid":"{GRID}","tuples":[[{now},345.6]]}}]}}"#
        );
        let peer = Peer::start(move |asked| match asked.path() == format!("/{GRID}") {
            true => Answer::json(body.clone()),
            false => Answer::status(404),
        });
        let found = open_on(&peer, json!({"vzlogger": true, "uuidTotalGridW": GRID})).read(&Stop::never()).unwrap();
        assert_eq!(found.grid.map(|w| w.get()), Some(345.6));
    }

    #[test]
    fn failures_are_told() {
        let refused = Answer::json(r#"{"exception":{"message":"No entity","code":0}}"#);
        for (answer, kind) in [
            (refused, EmsErrorKind::Misconfigured),
            (Answer::status(401), EmsErrorKind::Denied),
            (Answer::status(500), EmsErrorKind::Retry),
            (Answer::html("<html>It works!</html>"), EmsErrorKind::Garbled),
            (Answer::json("{\"data\":{\"tup"), EmsErrorKind::Garbled),
        ] {
            let shown = answer.clone();
            let peer = Peer::start(move |_| shown.clone());
            let error = open_on(&peer, json!({"uuidTotalGridW": GRID})).read(&Stop::never()).unwrap_err();
            assert_eq!(error.kind(), kind, "{answer:?}: {error}");
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        for (values, key) in [
            (json!({"uuidTotalGridW": GRID}), "serverIP"),
            (json!({"serverIP": "192.0.2.7"}), "uuidTotalGridW"),
            (json!({"serverIP": "192.0.2.7", "uuidTotalGridW": "xxxxxxxx-xxxx"}), "uuidTotalGridW"),
            (json!({"serverIP": "192.0.2.7", "uuidPhotovoltaikW": "../../etc"}), "uuidPhotovoltaikW"),
        ] {
            let mut section = Section::new("sources.Volkszahler", values.as_object().cloned().unwrap());
            assert!((DRIVER.open)(&mut section, &Shared::new()).is_none());
            assert_eq!(section.problems()[0].key, format!("sources.Volkszahler.{key}"));
        }
    }
}

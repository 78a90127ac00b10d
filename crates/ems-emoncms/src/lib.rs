//! Energy source: feeds of emonCMS (OpenEnergyMonitor), on a computer of one's own or at emoncms.org.
//!
//! TWCManager exchanges generation and consumption when both feeds are set; here each is what its key says, with a switch for
//! those who have exchanged the ids to make up for it, and an eye on feeds that look exchanged.
//!
//! Facts: emonCMS feed API; configuration and quirks in `docs/ems/emoncms.md`.

mod parse;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ems::{
    Attribute, Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop,
    WireReading,
};
use http_client::{Auth, Client, Kind};

pub use parse::{Exchange, Feed, fetched, in_list, refusal};

/// emoncms.org bears about one call in ten seconds.
const INTERVAL: Duration = Duration::from_secs(10);
/// A feed that was not updated for longer is unknown, unless `maxAge` says otherwise.
const MAX_AGE_S: f64 = 120.0;

/// Keys of the feeds, in this order everywhere.
const FEEDS: [&str; 4] = ["consumptionFeed", "generationFeed", "gridFeed", "batteryFeed"];

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "EmonCMS",
    summary: "feeds of emonCMS (OpenEnergyMonitor)",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of the server; emoncms.org for the public one"),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 80, 443 with useHttps)"),
        KeySpec::new("serverPath", KeyKind::Text, "Path of emonCMS on it, such as /emoncms"),
        KeySpec::new("useHttps", KeyKind::Flag, "Whether to use https (default false)"),
        KeySpec::new("apiKey", KeyKind::Secret, "API key; the one for reading is enough"),
        KeySpec::new(FEEDS[0], KeyKind::Text, "Id of the feed with the consumption in W"),
        KeySpec::new(FEEDS[1], KeyKind::Text, "Id of the feed with the generation in W"),
        KeySpec::new(FEEDS[2], KeyKind::Text, "Id of the feed with the grid power in W, import positive"),
        KeySpec::new(FEEDS[3], KeyKind::Text, "Id of the feed with the battery power in W, discharge positive"),
        KeySpec::new(
            "swapFeeds",
            KeyKind::Flag,
            "Exchange consumptionFeed and generationFeed, as TWCManager did (false)",
        ),
        KeySpec::new("maxAge", KeyKind::Number, "Seconds after which a feed that was not updated is unknown (120)"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let is_https = section.flag("useHttps", false);
    let port = section.port("serverPort", if is_https { 443 } else { 80 });
    let base = ems_http::base(section, "serverIP", port, is_https);
    let path = section.text("serverPath").unwrap_or_default();
    let path = path.trim_matches('/');
    let base = base.map(|base| if path.is_empty() { base } else { format!("{}/{path}", base.trim_end_matches('/')) });
    let mut feeds = FEEDS.map(|key| section.text(key).map(|id| id.trim_end_matches(".0").to_owned()));
    for (key, id) in FEEDS.iter().zip(&feeds) {
        if id.as_ref().is_some_and(|id| id.is_empty() || !id.chars().all(|c| c.is_ascii_digit())) {
            section.error(key, "must be the number of a feed, as the page Feeds shows it");
        }
    }
    if feeds.iter().all(Option::is_none) && !section.has_errors() {
        section.error(FEEDS[0], "is missing; name at least one of consumptionFeed, generationFeed, gridFeed");
    }
    let max_age = section.number_within("maxAge", MAX_AGE_S, 10.0, 86_400.0);
    match (section.raw("swapFeeds").is_some(), section.flag("swapFeeds", false)) {
        (_, true) => feeds.swap(0, 1),
        (false, false) if feeds[0].is_some() && feeds[1].is_some() => section.warn(
            "swapFeeds",
            "is not set: TWCManager exchanged consumptionFeed and generationFeed, this program does not. Set it to true if you \
             had exchanged their ids to make up for that, to false if each id is what its key says",
        ),
        _ => {}
    }
    let key = section.text("apiKey");
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| match key {
        Some(key) => builder.auth(Auth::Bearer(key)),
        None => builder,
    });
    let client = client.filter(|_| !section.has_errors())?;
    let path = section.path().to_owned();
    Some(Box::new(EmonCms {
        client,
        feeds,
        max_age,
        has_list: true,
        exchange: Exchange::default(),
        was_told: false,
        path,
    }))
}

struct EmonCms {
    client: Client,
    feeds: [Option<String>; 4],
    max_age: f64,
    /// Old versions and some keys have no list; then nothing tells how old values are.
    has_list: bool,
    exchange: Exchange,
    was_told: bool,
    path: String,
}

impl EmonCms {
    fn fetch(&mut self) -> Result<[Option<Feed>; 4], EmsError> {
        if self.has_list {
            match self.client.get_json("/feed/list.json") {
                Ok(answer) => {
                    refusal(&answer)?;
                    let mut found = [None; 4];
                    for (slot, id) in found.iter_mut().zip(&self.feeds) {
                        if let Some(id) = id {
                            *slot = in_list(&answer, id).map_err(|error| ems_http::garbled(&error))?;
                        }
                    }
                    return Ok(found);
                }
                Err(error) if matches!(error.kind(), Kind::Status(400 | 404 | 406) | Kind::TooLarge { .. }) => {
                    self.has_list = false;
                }
                Err(error) => return Err(ems_http::failed(&error)),
            }
        }
        let ids: Vec<&str> = self.feeds.iter().flatten().map(String::as_str).collect();
        let answer = self.client.get_json(&format!("/feed/fetch.json?ids={}", ids.join(",")));
        let answer = answer.map_err(|error| ems_http::failed(&error))?;
        refusal(&answer)?;
        let mut values = fetched(&answer, ids.len()).map_err(|error| ems_http::garbled(&error))?.into_iter();
        Ok([0, 1, 2, 3]
            .map(|at: usize| self.feeds.get(at).and_then(Option::as_ref).and_then(|_| values.next().flatten())))
    }

    fn watch(&mut self, reading: &mut WireReading) {
        let (Some(consumption), Some(generation)) = (reading.consumption_w, reading.generation_w) else { return };
        if self.exchange.looks_exchanged(Instant::now(), consumption, generation) {
            reading.attributes.insert("feedsLookExchanged".to_owned(), Attribute::Flag(true));
            if !self.was_told {
                log::warn!(
                    "{}: generation never stops and consumption is nothing for hours: the two feeds look exchanged. Exchange \
                     the ids of consumptionFeed and generationFeed, or turn swapFeeds round",
                    self.path
                );
                self.was_told = true;
            }
        }
    }
}

impl Ems for EmonCms {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        let found = self.fetch()?;
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut oldest = 0.0_f64;
        let mut trouble = None;
        let mut values = [None; 4];
        for ((slot, feed), id) in values.iter_mut().zip(found).zip(&self.feeds) {
            let Some(id) = id else { continue };
            let age = feed.and_then(|feed| feed.time).map(|time| {
                let time = u64::try_from(time).unwrap_or_default();
                // A clock ahead of ours makes no value from the future.
                clock.saturating_sub(Duration::from_secs(time)).as_secs_f64()
            });
            match (feed, age) {
                (None, _) => {
                    let text = format!("emonCMS has no feed {id}, or the key may not read it; look at the page Feeds");
                    trouble = Some(EmsError::new(EmsErrorKind::Misconfigured, text));
                }
                (Some(_), Some(age)) if age > self.max_age => {
                    let text = format!("the feed {id} was last updated {age:.0} s ago; look at what sends to it");
                    trouble = trouble.or(Some(EmsError::retry(text)));
                }
                (Some(feed), age) => {
                    *slot = feed.watts;
                    oldest = oldest.max(age.unwrap_or_default());
                    if feed.watts.is_none() {
                        trouble = trouble.or(Some(EmsError::retry(format!("the feed {id} has no value now"))));
                    }
                }
            }
        }
        let [consumption, generation, grid, battery] = values;
        let mut reading = WireReading {
            consumption_w: consumption.map(|watts: f64| watts.max(0.0)),
            generation_w: generation.and_then(ems::generation),
            grid_w: grid,
            battery_w: battery,
            ..WireReading::default()
        };
        if values.iter().all(Option::is_none) {
            return Err(trouble.unwrap_or_else(|| EmsError::retry("emonCMS has no values now")));
        }
        self.watch(&mut reading);
        let now = Instant::now();
        let taken_at = now.checked_sub(Duration::from_secs_f64(oldest)).unwrap_or(now);
        reading.into_reading(taken_at).map_err(EmsError::garbled)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ems::ProblemLevel;
    use recordings::{Answer, Peer};
    use serde_json::{Value, json};

    fn try_open(mut values: Value, port: u16) -> (Option<Box<dyn Ems>>, Section) {
        values["serverIP"] = json!("127.0.0.1");
        values["serverPort"] = json!(port.to_string());
        values["apiKey"] = json!("0123456789abcdef0123456789abcdef");
        let mut section = Section::new("sources.EmonCMS", values.as_object().cloned().unwrap());
        ((DRIVER.open)(&mut section, &Shared::new()), section)
    }

    fn read(values: Value, peer: &Peer) -> Result<WireReading, EmsError> {
        let driver = try_open(values, peer.port()).0;
        driver.unwrap().read(&Stop::never()).map(|reading| WireReading::from(&reading))
    }

    /// A server of emonCMS with a list, or an old one without.
    fn server(has_list: bool, age: u64) -> Peer {
        Peer::start(move |asked| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            if asked.header("Authorization") != Some("Bearer 0123456789abcdef0123456789abcdef") {
                return Answer::json(r#"{"success":false,"message":"Invalid API key"}"#);
            }
            match asked.target.as_str() {
                "/emoncms/feed/list.json" if has_list => Answer::json(
                    json!([{"id": "11", "value": "1834.2", "time": now - age, "unit": "W"}, {"id": "12", "value": 2410, "time": now}]).to_string(),
                ),
                "/emoncms/feed/fetch.json?ids=11,12" => Answer::json("[1834.2,2410]"),
                "/emoncms/feed/fetch.json?ids=12,11" => Answer::json("[2410,1834.2]"),
                "/emoncms/feed/fetch.json?ids=99,12" => Answer::json("[false,2410]"),
                "/emoncms/feed/fetch.json?ids=99" => Answer::json("[false]"),
                _ => Answer::status(404),
            }
        })
    }

    #[test]
    fn each_feed_is_what_its_key_says_unless_told_otherwise() {
        for has_list in [true, false] {
            let peer = server(has_list, 5);
            let ids = json!({"serverPath": "emoncms/", "consumptionFeed": 11, "generationFeed": "12"});
            let found = read(ids.clone(), &peer).unwrap();
            assert_eq!((found.consumption_w, found.generation_w), (Some(1834.2), Some(2410.0)));
            let mut swapped = ids;
            swapped["swapFeeds"] = json!(true);
            let found = read(swapped, &peer).unwrap();
            assert_eq!((found.consumption_w, found.generation_w), (Some(2410.0), Some(1834.2)));
        }
    }

    #[test]
    fn two_feeds_without_the_switch_are_warned_about() {
        let warned = |values: Value| {
            let (driver, section) = try_open(values, 80);
            assert!(driver.is_some());
            section.problems().iter().any(|p| p.level == ProblemLevel::Warning && p.key == "sources.EmonCMS.swapFeeds")
        };
        assert!(warned(json!({"consumptionFeed": 1, "generationFeed": 2})));
        assert!(!warned(json!({"consumptionFeed": 1, "generationFeed": 2, "swapFeeds": false})));
        assert!(!warned(json!({"consumptionFeed": 1})));
    }

    #[test]
    fn old_and_missing_feeds_are_unknown() {
        let settings = json!({"serverPath": "/emoncms", "consumptionFeed": 11, "generationFeed": 12});
        let found = read(settings, &server(true, 4000)).unwrap();
        assert_eq!((found.consumption_w, found.generation_w), (None, Some(2410.0)));
        for has_list in [true, false] {
            let peer = server(has_list, 1);
            let found =
                read(json!({"serverPath": "emoncms", "consumptionFeed": 99, "generationFeed": 12}), &peer).unwrap();
            assert_eq!((found.consumption_w, found.generation_w), (None, Some(2410.0)));
            let error = read(json!({"serverPath": "emoncms", "consumptionFeed": 99}), &peer).unwrap_err();
            assert_eq!(error.kind(), EmsErrorKind::Misconfigured);
            assert!(error.to_string().contains("99"), "{error}");
        }
    }

    #[test]
    fn failures_are_told_without_the_key() {
        for (answer, kind) in [
            (Answer::status(401), EmsErrorKind::Denied),
            (Answer::json(r#"{"success":false,"message":"Invalid API key"}"#), EmsErrorKind::Denied),
            (Answer::json("false"), EmsErrorKind::Denied),
            (Answer::status(500), EmsErrorKind::Retry),
            (Answer::status(429), EmsErrorKind::RateLimited),
            (Answer::html("<html>login</html>"), EmsErrorKind::Garbled),
        ] {
            let shown = answer.clone();
            let error = read(json!({"consumptionFeed": 11}), &Peer::start(move |_| shown.clone())).unwrap_err();
            assert_eq!(error.kind(), kind, "{answer:?}: {error}");
            assert!(!error.to_string().contains("0123456789abcdef"), "{error}");
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        for (values, key) in [
            (json!({}), "consumptionFeed"),
            (json!({"consumptionFeed": "solar"}), "consumptionFeed"),
            (json!({"consumptionFeed": 1, "maxAge": 1}), "maxAge"),
        ] {
            let (driver, section) = try_open(values.clone(), 80);
            assert!(driver.is_none(), "{values}");
            assert_eq!(section.problems()[0].key, format!("sources.EmonCMS.{key}"));
        }
    }
}

//! An interface over a site that is not there, and shorthand for asking.

use std::sync::Arc;

use control_http::{Api, ApiConfig};
use evse::{Activity, Plug};
use http_door::{Body, Method, Request, Response};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use site::{AlertView, Command, FreshnessView, MeasuredView, SitePort, Snapshot, SourceView};
use twc_names::testing::{self, FakeSite, NOW};

/// Three charging points on a sunny day: one charges, one waits, one has no car; one source is lost.
pub fn scene() -> Snapshot {
    let mut snapshot = testing::snapshot();
    snapshot.power.generation = snapshot.power.generation.map(|measured| MeasuredView { w: 6840.0, ..measured });
    let detail = |value| evse::Detail::Number(value);
    let mut waiting = testing::evse("gen2-4085");
    waiting.plug = Plug::PluggedIn;
    waiting.activity = Activity::WaitingForOffer;
    waiting.last_vin = Some("LRW3F7EK0NC000001".to_owned());
    snapshot.evses.truncate(1);
    snapshot.evses.extend([waiting, testing::evse("gen2-4142")]);
    for evse in &mut snapshot.evses {
        evse.details.extend([("state", detail(1.0)), ("protocol", detail(2.0))]);
    }
    snapshot.evses[0].soc = Some(64.0);
    let source = |name: &str, ok| SourceView {
        name: name.to_owned(),
        ok,
        error: (!ok).then(|| "no answer from 192.168.1.5: check sources.MQTT.brokerIP".to_owned()),
        taken_at: ok.then_some(NOW - 2.0),
        freshness: ok.then_some(FreshnessView::Live),
        reading: None,
    };
    snapshot.sources = vec![source("Fronius", true), source("MQTT", false)];
    snapshot.alerts = vec![AlertView {
        code: "source_failing".to_owned(),
        level: "warning",
        text: "The source MQTT has given no reading for 12 minutes: check sources.MQTT.brokerIP.".to_owned(),
        evse: None,
        since: 1_794_999_280,
    }];
    snapshot
}

/// An interface, the site behind it and shorthand for asking.
pub struct Bench {
    pub site: Arc<FakeSite>,
    pub api: Api,
}

impl Bench {
    pub fn new(settings: Value) -> Bench {
        Bench::with(settings, |_| ())
    }

    /// With another configuration of the interface.
    pub fn with(settings: Value, change: impl FnOnce(&mut ApiConfig)) -> Bench {
        let site = Arc::new(FakeSite::new(scene(), settings));
        let mut config = ApiConfig {
            config_masked: json!({"config": {"wiringMaxAmpsAllTWCs": 32, "greenEnergyAmpsOffset": 0}}),
            version: "9.8.7".to_owned(),
            uuid: "187723572702975".to_owned(),
            time_zone: TimeZone::UTC,
            ..ApiConfig::default()
        };
        change(&mut config);
        let api = Api::new(config, Arc::clone(&site) as Arc<dyn SitePort>);
        Bench { site, api }
    }

    pub fn ask(&self, request: &Request) -> Answer {
        Answer::of(self.api.answer(request, NOW))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask(&Request::new(Method::Get, path))
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(&Request::new(Method::Post, path).with_body(body))
    }

    pub fn native(&self, method: Method, path: &str, body: &str) -> Answer {
        self.ask(&Request::new(method, path).with_header("content-type", "application/json").with_body(body))
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Answer {
    pub fn of(response: Response) -> Answer {
        let text = match &response.body {
            Body::Empty => String::new(),
            Body::Static(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Shared(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Owned(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Events(_) => "(events)".to_owned(),
        };
        let headers =
            response.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_string())).collect();
        Answer { status: response.status, headers, text }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub fn set(key: &str, value: impl Into<Value>) -> Command {
    Command::SetSetting { key: key.to_owned(), value: value.into() }
}

/// Settings that change together.
pub fn set_all(changes: &[(&str, Value)]) -> Command {
    Command::SetSettings(changes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

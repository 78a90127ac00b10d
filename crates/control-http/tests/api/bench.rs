//! An interface over a site that is not there, and shorthand for asking.

use std::sync::Arc;

use control_http::{Api, ApiConfig};
use http_door::{Body, Method, Request, Response};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use site::{Command, SitePort};

use crate::testing::{self, FakeSite, NOW};

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
        let site = Arc::new(FakeSite::new(testing::snapshot(), settings));
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

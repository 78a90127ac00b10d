//! What is asked of the cloud and what it answers, before and after HTTP.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::car::CarCommand;

/// Which address a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// The Fleet API of the account's region.
    Api,
    /// The Fleet API of another region: everything gets 421.
    OtherRegion,
    /// Login page and token service.
    Auth,
    /// TeslaBleHttpProxy at home.
    Ble,
    /// The vendor's `tesla-http-proxy` at home: the Fleet API's paths, plain commands, signed on the way.
    Proxy,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The login page.
    Authorize,
    /// The token service.
    Token,
    /// Pairing page of a domain.
    PairingPage,
    /// Which region the account is in.
    Region,
    /// List of cars.
    Vehicles,
    /// One car of the list.
    Vehicle,
    /// A car's data.
    VehicleData,
    /// Wake a car.
    Wake,
    /// A plain command, by name.
    Command(String),
    /// A signed command or handshake.
    SignedCommand,
    /// What cars need.
    FleetStatus,
    /// Registration of the application.
    PartnerAccounts,
    /// The registered public key.
    PartnerKey,
    /// A Bluetooth proxy's look at a sleeping car.
    BodyController,
    /// A Bluetooth proxy's version.
    ProxyVersion,
    /// Nothing we serve.
    Unknown,
}

/// What a request costs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// 1,000 a dollar.
    Command,
    /// 500 a dollar.
    Data,
    /// 50 a dollar.
    Wake,
}

/// A request, taken apart.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where it came to.
    pub door: Door,
    /// `GET`, `POST`, …
    pub method: String,
    /// Path without query, as sent.
    pub path: String,
    /// Query, as sent.
    pub query: String,
    /// Headers; names in small letters.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers beside the length.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// To be held back so long, in real time.
    pub held_back: Duration,
    /// The connection is closed instead of answering.
    pub is_lost: bool,
}

/// A request that was made, and what became of it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// When, counted from the cloud's beginning.
    pub at: Duration,
    /// Where.
    pub door: Door,
    /// How.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query, as sent.
    pub query: String,
    /// Body as text.
    pub body: String,
    /// The bearer token, if any.
    pub bearer: Option<String>,
    /// What it is about.
    pub kind: Kind,
    /// Of which car.
    pub vin: Option<String>,
    /// The status; also of answers that were lost on the way.
    pub status: u16,
    /// Whether the answer was sent.
    pub was_answered: bool,
    /// What it was billed as; `None` is free.
    pub billed: Option<Class>,
    /// The command that reached the car.
    pub command: Option<CarCommand>,
    /// The fault a signed message got; 0 is none.
    pub fault: u32,
}

impl Request {
    /// A request without headers or body, for use without HTTP.
    #[must_use]
    pub fn new(door: Door, method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request {
            door,
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The same with a bearer token.
    #[must_use]
    pub fn bearer(mut self, token: &str) -> Self {
        self.headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn bearer_token(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ").map(str::trim)
    }

    /// A value of the query, decoded.
    pub(crate) fn queried(&self, name: &str) -> Option<String> {
        pair(&self.query, name)
    }

    /// A value of a body that is a form or a JSON object.
    pub(crate) fn given(&self, name: &str) -> Option<String> {
        if let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(&self.body) {
            return match object.get(name)? {
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
        }
        pair(std::str::from_utf8(&self.body).ok()?, name)
    }

    /// The body as JSON; an empty one is an empty object.
    pub(crate) fn json(&self) -> Option<Value> {
        if self.body.is_empty() { Some(json!({})) } else { serde_json::from_slice(&self.body).ok() }
    }

    /// What it is about, and of which car.
    pub(crate) fn kind(&self) -> (Kind, Option<String>) {
        let parts: Vec<&str> = self.path.split('/').filter(|part| !part.is_empty()).collect();
        let method = self.method.as_str();
        let of = |kind: Kind, vin: &str| (kind, Some(vin.to_owned()));
        match (self.door, method, parts.as_slice()) {
            (Door::Auth, "GET", ["oauth2", "v3", "authorize"]) => (Kind::Authorize, None),
            (Door::Auth, "POST", ["oauth2", "v3", "token"]) => (Kind::Token, None),
            (Door::Auth, "GET", ["_ak", _]) => (Kind::PairingPage, None),
            (Door::Auth, ..) => (Kind::Unknown, None),
            (Door::Ble, "GET", ["api", "proxy", "1", "version"]) => (Kind::ProxyVersion, None),
            (Door::Ble, "GET", ["api", "1", "vehicles", vin, "body_controller_state"]) => of(Kind::BodyController, vin),
            (Door::Ble, "POST", ["api", "1", "vehicles", vin, "command", "wake_up"]) => of(Kind::Wake, vin),
            (_, "GET", ["api", "1", "users", "region"]) => (Kind::Region, None),
            (_, "POST", ["api", "1", "partner_accounts"]) => (Kind::PartnerAccounts, None),
            (_, "GET", ["api", "1", "partner_accounts", "public_key"]) => (Kind::PartnerKey, None),
            (_, "GET", ["api", "1", "vehicles"]) => (Kind::Vehicles, None),
            (_, "POST", ["api", "1", "vehicles", "fleet_status"]) => (Kind::FleetStatus, None),
            (_, "GET", ["api", "1", "vehicles", vin]) => of(Kind::Vehicle, vin),
            (_, "GET", ["api", "1", "vehicles", vin, "vehicle_data"]) => of(Kind::VehicleData, vin),
            (_, "POST", ["api", "1", "vehicles", vin, "wake_up"]) => of(Kind::Wake, vin),
            (_, "POST", ["api", "1", "vehicles", vin, "signed_command"]) => of(Kind::SignedCommand, vin),
            (_, "POST", ["api", "1", "vehicles", vin, "command", name]) => of(Kind::Command((*name).to_owned()), vin),
            _ => (Kind::Unknown, None),
        }
    }
}

impl Kind {
    /// What it costs as, at the Fleet API.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        match self {
            Kind::Vehicles | Kind::Vehicle | Kind::VehicleData | Kind::FleetStatus => Some(Class::Data),
            Kind::Wake => Some(Class::Wake),
            Kind::Command(_) | Kind::SignedCommand => Some(Class::Command),
            _ => None,
        }
    }
}

impl Reply {
    /// JSON with a status.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Reply {
            status,
            headers: vec![("Content-Type".to_owned(), "application/json; charset=utf-8".to_owned())],
            body: body.to_string().into_bytes(),
            held_back: Duration::ZERO,
            is_lost: false,
        }
    }

    /// The usual envelope around a good answer.
    #[must_use]
    pub fn good(response: &Value) -> Self {
        Reply::json(200, &json!({ "response": response }))
    }

    /// The usual envelope around an error.
    #[must_use]
    pub fn error(status: u16, error: &str) -> Self {
        Reply::json(status, &json!({ "response": null, "error": error, "error_description": "" }))
    }

    /// A web page.
    #[must_use]
    pub fn html(status: u16, body: &str) -> Self {
        Reply {
            status,
            headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
            body: body.as_bytes().to_vec(),
            held_back: Duration::ZERO,
            is_lost: false,
        }
    }

    /// The same with a further header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

fn pair(text: &str, name: &str) -> Option<String> {
    text.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
    })
}

//! The cloud without HTTP: requests in, answers out, cars behind it.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p256::PublicKey;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::DecodePublicKey;
use serde_json::{Value, json};
use units::{Amps, Percent};

use crate::billing::Billing;
use crate::car::{Availability, Car, CarCommand, CommandWay};
use crate::exchange::{Asked, Door, Kind, Reply, Request};
use crate::failure::{Failure, Failures, Target, wrong_region};
use crate::signed::Envelope;
use crate::tokens::{Allowed, TokenService};

/// Addresses the cloud tells of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Urls {
    pub(crate) api: String,
}

/// The cloud and its cars. [`Cloud::handle`] is all of it; [`crate::Running`] puts HTTP around it.
#[derive(Debug, Clone)]
pub struct Cloud {
    now: Duration,
    pub(crate) unix_start: u64,
    pub(crate) cars: Vec<Car>,
    pub(crate) tokens: TokenService,
    pub(crate) failures: Failures,
    pub(crate) is_registered: bool,
    pub(crate) credit: Option<u64>,
    pub(crate) urls: Urls,
    /// Public keys by the domain that hosts them.
    hosted: BTreeMap<String, Vec<u8>>,
    domains: Vec<String>,
    billing: Billing,
    log: Vec<Asked>,
}

/// What handling a request left for the log.
#[derive(Debug, Default)]
struct Note {
    command: Option<CarCommand>,
    fault: u32,
}

impl Cloud {
    pub(crate) fn new(cars: Vec<Car>, tokens: TokenService, unix_start: u64) -> Self {
        let mut cloud = Cloud {
            now: Duration::ZERO,
            unix_start,
            cars,
            tokens,
            failures: Failures::default(),
            is_registered: true,
            credit: None,
            urls: Urls::default(),
            hosted: BTreeMap::new(),
            domains: Vec::new(),
            billing: Billing::default(),
            log: Vec::new(),
        };
        cloud.tokens.unix_start = unix_start;
        for car in &mut cloud.cars {
            let number = car.number();
            car.begin(number, unix_start);
        }
        cloud
    }

    /// Its time, counted from its beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Its time as seconds since 1970.
    #[must_use]
    pub fn unix(&self) -> u64 {
        self.unix_start + self.now.as_secs()
    }

    /// Lets time pass for the cloud and its cars. An earlier moment changes nothing.
    pub fn advance_to(&mut self, now: Duration) {
        self.now = self.now.max(now);
        for car in &mut self.cars {
            car.pass_to(self.now);
        }
    }

    /// The car with this VIN.
    pub fn car(&mut self, vin: &str) -> Option<&mut Car> {
        self.cars.iter_mut().find(|car| car.vin() == vin)
    }

    /// All cars.
    #[must_use]
    pub fn cars(&self) -> &[Car] {
        &self.cars
    }

    /// What was billed so far.
    #[must_use]
    pub fn billing(&self) -> &Billing {
        &self.billing
    }

    /// A new month begins.
    pub fn clear_billing(&mut self) {
        self.billing = Billing::default();
    }

    /// What was asked so far.
    #[must_use]
    pub fn log(&self) -> &[Asked] {
        &self.log
    }

    /// Forgets what was asked so far.
    pub fn clear_log(&mut self) {
        self.log.clear();
    }

    /// Orders a failure for the next `times` requests that fit; `None` is until [`Cloud::clear_failures`].
    pub fn order_failure(&mut self, target: Target, failure: Failure, times: Option<u32>) {
        self.failures.order(target, failure, times);
    }

    /// Everything works again.
    pub fn clear_failures(&mut self) {
        self.failures.clear();
    }

    /// A domain hosts this public key (PEM), as `/.well-known/appspecific/com.tesla.3p.public-key.pem` would.
    ///
    /// # Panics
    /// When the text is no public key on P-256.
    pub fn host_key(&mut self, domain: &str, pem: &str) {
        let key = PublicKey::from_public_key_pem(pem).unwrap_or_else(|error| panic!("no public key in PEM: {error}"));
        self.hosted.insert(domain.to_owned(), key.to_sec1_point(false).as_bytes().to_vec());
    }

    /// The owner confirms the domain's key for a car, or for all.
    pub fn pair(&mut self, domain: &str, vin: Option<&str>) -> bool {
        let Some(key) = self.hosted.get(domain).cloned() else { return false };
        for car in self.cars.iter_mut().filter(|car| vin.is_none_or(|vin| car.vin() == vin)) {
            car.security.pair(&key);
        }
        true
    }

    /// Answers a request at the present time.
    pub fn handle(&mut self, request: &Request) -> Reply {
        let (kind, vin) = request.kind();
        let failure = self.failures.take(request.door, &kind, vin.as_deref());
        let mut note = Note::default();
        let own = failure.as_ref().and_then(|failure| failure.reply(&self.urls.api));
        let reached = !matches!(failure, Some(Failure::LostRequest));
        let mut reply = match own {
            Some(reply) => reply,
            None => self.answer(request, &kind, vin.as_deref(), &mut note),
        };
        match failure {
            Some(Failure::LostAnswer) => reply.is_lost = true,
            Some(Failure::Slow(time)) => reply.held_back = time,
            _ => {}
        }
        let class = match request.door {
            Door::Api | Door::OtherRegion | Door::Proxy if reached => kind.class(),
            _ => None,
        };
        let billed = self.billing.take(class, vin.as_deref(), reply.status);
        self.log.push(Asked {
            at: self.now,
            door: request.door,
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
            bearer: request.bearer_token().map(str::to_owned),
            kind,
            vin,
            status: reply.status,
            was_answered: !reply.is_lost,
            billed,
            command: note.command,
            fault: note.fault,
        });
        reply
    }

    fn answer(&mut self, request: &Request, kind: &Kind, vin: Option<&str>, note: &mut Note) -> Reply {
        match request.door {
            Door::OtherRegion => return wrong_region(&self.urls.api),
            Door::Ble => {
                let car = vin.and_then(|vin| self.cars.iter_mut().find(|car| car.vin() == vin));
                return crate::ble_proxy::answer(request, kind, car, &mut note.command);
            }
            Door::Auth => return self.answer_auth(request, kind),
            Door::Api | Door::Proxy => {}
        }
        if self.credit.is_some_and(|credit| self.billing.total.micro_dollars() >= credit) {
            return Reply::error(402, "payment required");
        }
        let allowed = match self.tokens.allowed(self.now, request.bearer_token()) {
            Ok(allowed) => allowed,
            Err(error) => return Reply::error(401, error),
        };
        match kind {
            Kind::PartnerAccounts => return self.register(request, &allowed),
            Kind::PartnerKey => return self.registered_key(request, &allowed),
            Kind::Unknown => return Reply::error(404, "not_found"),
            _ => {}
        }
        if !self.is_registered {
            return Reply::error(412, "Account must be registered in the current region");
        }
        if let Some(error) = missing_scope(kind, &allowed) {
            return Reply::error(403, error);
        }
        match kind {
            Kind::Region => {
                let region = self.tokens.region.to_lowercase();
                Reply::good(&json!({ "region": region, "fleet_api_base_url": self.urls.api }))
            }
            Kind::Vehicles => {
                let cars: Vec<Value> = self.cars.iter().map(Car::vehicle_json).collect();
                Reply::json(200, &json!({ "response": cars, "count": cars.len() }))
            }
            Kind::FleetStatus => self.fleet_status(request),
            _ => {
                let car = vin.and_then(|vin| self.cars.iter_mut().find(|car| is_called(car, vin)));
                match car {
                    Some(car) => answer_for(car, request, kind, &allowed, note),
                    None => Reply::error(404, "not_found"),
                }
            }
        }
    }

    fn answer_auth(&mut self, request: &Request, kind: &Kind) -> Reply {
        match kind {
            Kind::Authorize => self.tokens.authorize(self.now, request),
            Kind::Token => self.tokens.token(self.now, request),
            Kind::PairingPage => {
                let domain = request.path.trim_start_matches("/_ak/").to_owned();
                if self.pair(&domain, None) {
                    Reply::html(200, "<html><body>The key was added to your cars.</body></html>")
                } else {
                    Reply::html(404, "<html><body>This domain hosts no key.</body></html>")
                }
            }
            _ => Reply::error(404, "not_found"),
        }
    }

    fn register(&mut self, request: &Request, allowed: &Allowed) -> Reply {
        if !allowed.is_partner {
            return Reply::error(403, "Unauthorized: a partner token is needed");
        }
        let domain = request.given("domain").unwrap_or_default();
        let Some(key) = self.hosted.get(&domain) else {
            return Reply::error(424, "public key could not be fetched from the domain");
        };
        let key = hex(key);
        if !self.domains.contains(&domain) {
            self.domains.push(domain.clone());
        }
        self.is_registered = true;
        Reply::good(&json!({ "account_id": "simulated", "domain": domain, "public_key": key }))
    }

    fn registered_key(&self, request: &Request, allowed: &Allowed) -> Reply {
        if !allowed.is_partner {
            return Reply::error(403, "Unauthorized: a partner token is needed");
        }
        let domain = request.queried("domain").unwrap_or_default();
        match self.hosted.get(&domain).filter(|_| self.domains.contains(&domain)) {
            Some(key) => Reply::good(&json!({ "public_key": hex(key) })),
            None => Reply::error(404, "not_found"),
        }
    }

    fn fleet_status(&self, request: &Request) -> Reply {
        let asked = request.json().unwrap_or_default();
        let Some(vins) = asked.get("vins").and_then(Value::as_array) else {
            return Reply::error(400, "invalid_request");
        };
        let (mut paired, mut unpaired, mut info) = (Vec::new(), Vec::new(), serde_json::Map::new());
        for vin in vins.iter().filter_map(Value::as_str) {
            let Some(car) = self.cars.iter().find(|car| car.vin() == vin) else { continue };
            let is_paired = if self.hosted.is_empty() {
                car.security.key_count() > 0
            } else {
                self.hosted.values().any(|key| car.security.is_paired(key))
            };
            if is_paired { &mut paired } else { &mut unpaired }.push(vin);
            let status = json!({
                "vehicle_command_protocol_required": car.odd().commands == CommandWay::Signed,
                "firmware_version": car.firmware(),
                "discounted_device_data": false,
                "fleet_telemetry_version": "1.0.0",
                "total_number_of_keys": car.security.key_count(),
            });
            info.insert(vin.to_owned(), status);
        }
        Reply::good(&json!({ "key_paired_vins": paired, "unpaired_vins": unpaired, "vehicle_info": info }))
    }
}

/// Cars answer to their VIN and to their number.
fn is_called(car: &Car, name: &str) -> bool {
    car.vin() == name || car.number().to_string() == name
}

fn missing_scope(kind: &Kind, allowed: &Allowed) -> Option<&'static str> {
    let may = match kind {
        Kind::Vehicles | Kind::Vehicle | Kind::VehicleData | Kind::FleetStatus => allowed.has("vehicle_device_data"),
        Kind::Wake | Kind::Command(_) | Kind::SignedCommand => {
            allowed.has("vehicle_cmds") || allowed.has("vehicle_charging_cmds")
        }
        _ => true,
    };
    if may { None } else { Some("Unauthorized missing scopes") }
}

fn answer_for(car: &mut Car, request: &Request, kind: &Kind, allowed: &Allowed, note: &mut Note) -> Reply {
    if *kind == Kind::Vehicle {
        return Reply::good(&car.vehicle_json());
    }
    if car.odd().denies_access && *kind != Kind::SignedCommand {
        return Reply::error(401, "mobile_access_disabled");
    }
    if *kind == Kind::Wake {
        // The answer shows the state from before.
        let answer = car.vehicle_json();
        car.wake();
        return Reply::good(&answer);
    }
    let is_proxy = request.door == Door::Proxy;
    match (kind, car.odd().commands) {
        (Kind::Command(_), CommandWay::Signed) if !is_proxy => {
            return Reply::error(403, "Tesla Vehicle Command Protocol required, please refer to the documentation");
        }
        (Kind::SignedCommand, CommandWay::Plain) => {
            return Reply::error(422, "vehicle does not support the Tesla Vehicle Command Protocol");
        }
        _ => {}
    }
    if car.availability() != Availability::Online {
        return Reply::error(408, "vehicle unavailable: vehicle is offline or asleep");
    }
    match kind {
        Kind::VehicleData => {
            car.touch();
            let asked = request.queried("endpoints").unwrap_or_default();
            let sections: Vec<&str> = asked.split(';').filter(|section| !section.is_empty()).collect();
            Reply::good(&car.data_json(&sections, allowed.has("vehicle_location")))
        }
        Kind::Command(name) => {
            let Some(command) = plain_command(name, &request.json().unwrap_or(Value::Null)) else {
                return Reply::error(400, "invalid_command");
            };
            note.command = Some(command.clone());
            match car.obey(command) {
                Ok(()) => Reply::good(&json!({ "result": true, "reason": "" })),
                Err(refusal) if is_proxy => Reply::error(500, &format!("car could not execute command: {}", refusal.0)),
                Err(refusal) => Reply::good(&json!({ "result": false, "reason": refusal.0 })),
            }
        }
        Kind::SignedCommand => {
            let message = request.given("routable_message").and_then(|text| STANDARD.decode(text).ok());
            let Some(envelope) = message.as_deref().and_then(Envelope::open) else {
                return Reply::error(400, "invalid_request");
            };
            if envelope.is_encrypted {
                return Reply::error(400, "invalid_request: message is encrypted, only signed ones can be checked");
            }
            let outcome = car.hear(&envelope);
            note.command = outcome.command;
            note.fault = outcome.fault;
            Reply::json(200, &json!({ "response": STANDARD.encode(outcome.reply) }))
        }
        _ => Reply::error(404, "not_found"),
    }
}

/// A plain command by its name and body; `None` when the body does not fit.
pub(crate) fn plain_command(name: &str, body: &Value) -> Option<CarCommand> {
    let number = |key: &str| body.get(key).and_then(Value::as_u64);
    Some(match name {
        "charge_start" => CarCommand::Start,
        "charge_stop" => CarCommand::Stop,
        "charge_standard" => CarCommand::LimitStandard,
        "charge_max_range" => CarCommand::LimitMaximum,
        "set_charge_limit" => {
            let percent = u32::try_from(number("percent")?).ok()?;
            CarCommand::SetLimit(Percent::new(f64::from(percent)).ok()?)
        }
        "set_charging_amps" => {
            CarCommand::SetAmps(Amps::from_whole(i32::try_from(number("charging_amps")?.min(1000)).ok()?))
        }
        "set_scheduled_charging" => {
            let is_on = body.get("enable").and_then(Value::as_bool)?;
            let minutes = u16::try_from(number("time").unwrap_or(0)).ok()?;
            CarCommand::Schedule(is_on.then_some(minutes))
        }
        "charge_port_door_open" => CarCommand::OpenPort,
        "charge_port_door_close" => CarCommand::ClosePort,
        other => CarCommand::Unknown(other.to_owned()),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;

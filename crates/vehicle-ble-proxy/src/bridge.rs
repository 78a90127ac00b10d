//! Which calls a question takes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use http_client::{Client, HttpError, Kind};
use serde_json::{Value, json};
use vehicle::{CarKey, Facts, Outcome, Request, Trouble, Vin, Wakefulness};
use vehicle_radio::{Awake, Hitch, Line, Radio, WAKE_POLL, WAKE_TAKES, whole_amps, whole_percent};

use crate::reply::{Said, Told};

/// The proxy itself answers at once.
const HELLO: Duration = Duration::from_secs(5);
/// What is said this long ago still says that the car is awake now.
const STILL_AWAKE: Duration = Duration::from_secs(120);

/// The proxy, as the source's thread uses it.
pub(crate) struct Bridge {
    client: Client,
    vins: BTreeSet<Vin>,
    awake: Awake,
}

/// Why a call brought no answer of the proxy's.
enum Failure {
    /// It was not sent, or did not matter.
    Nothing(String),
    /// It may have arrived.
    Lost(String),
    /// The proxy does not know this address: an older version.
    NoSuch,
}

impl Bridge {
    pub(crate) fn new(client: Client, vins: BTreeSet<Vin>) -> Self {
        Bridge { client, vins, awake: Awake::default() }
    }

    fn get(&self, path: &str, line: &Line) -> Result<Said, Failure> {
        self.take(self.client.get(path).send(), line).map_err(|failure| match failure {
            // A question that was lost did nothing.
            Failure::Lost(text) => Failure::Nothing(text),
            other => other,
        })
    }

    /// Whether the proxy is there at all.
    fn is_there(&self, line: &Line) -> Result<(), String> {
        let sent = self.client.get("/api/proxy/1/version").timeout(HELLO).send();
        sent.map(|_| ()).map_err(|error| {
            unreachable(line, &error);
            error.to_string()
        })
    }

    fn post(&self, vin: &Vin, command: &str, body: &Value, line: &Line) -> Result<Said, Failure> {
        let path = format!("/api/1/vehicles/{}/command/{command}?wait=true", vin.as_str());
        self.take(self.client.post(&path).json(body).send(), line)
    }

    /// The proxy's answer, whatever its status: it says 503 when it could not do what it was asked.
    fn take(&self, sent: Result<http_client::Response, HttpError>, line: &Line) -> Result<Said, Failure> {
        let response = sent.map_err(|error| {
            unreachable(line, &error);
            match error.kind() {
                Kind::BadAddress | Kind::UnknownHost | Kind::Tls => Failure::Nothing(error.to_string()),
                _ => Failure::Lost(error.to_string()),
            }
        })?;
        let said = response.json().ok().and_then(|body| Said::parse(&body));
        match said {
            Some(said) => {
                line.trouble(None);
                Ok(said)
            }
            None if response.status() == 404 => Err(Failure::NoSuch),
            None => {
                let text = format!(
                    "what answers at vehicle.teslaBleHttpProxy.url (status {}) is no TeslaBleHttpProxy",
                    response.status()
                );
                line.trouble(Some(Trouble { code: "unreachable", text: text.clone(), needs_person: false }));
                Err(Failure::Lost(text))
            }
        }
    }

    fn read(&mut self, car: &CarKey, vin: &Vin, line: &Line) -> Outcome {
        let path = format!("/api/1/vehicles/{}/vehicle_data?endpoints=charge_state", vin.as_str());
        let said = match self.get(&path, line) {
            Ok(said) => said,
            Err(failure) => return later(failure),
        };
        if !said.result {
            return self.refused(car, Request::Read { with_position: false }, &said, line);
        }
        let now = Instant::now();
        let Some(Told { facts, taken_at }) = said.charge(now, SystemTime::now()) else {
            return Outcome::Later { after: None, text: "the proxy's answer has no charge_state".to_owned() };
        };
        if let Some(at) = taken_at.filter(|at| now.saturating_duration_since(*at) < STILL_AWAKE) {
            self.awake.seen(car, at);
        }
        line.report(car, taken_at, facts);
        Outcome::Done
    }

    /// Asks the body controller, which wakes nobody. `Ok(None)` where the proxy is too old to tell.
    fn ask_sleep(&mut self, car: &CarKey, vin: &Vin, line: &Line) -> Result<Option<Wakefulness>, Outcome> {
        let path = format!("/api/1/vehicles/{}/body_controller_state", vin.as_str());
        let said = match self.get(&path, line) {
            Ok(said) => said,
            Err(Failure::NoSuch) => return Ok(None),
            Err(failure) => return Err(later(failure)),
        };
        if !said.result {
            return Err(self.refused(car, Request::ReadWakefulness, &said, line));
        }
        let wakefulness = said.wakefulness();
        match wakefulness {
            Some(Wakefulness::Awake) => self.awake.seen(car, Instant::now()),
            _ => self.awake.forget(car),
        }
        if wakefulness.is_some() {
            line.report(car, Some(Instant::now()), Facts { wakefulness, ..Facts::default() });
        }
        Ok(wakefulness)
    }

    fn wake(&mut self, car: &CarKey, vin: &Vin, line: &Line) -> Outcome {
        let until = Instant::now() + WAKE_TAKES;
        match self.post(vin, "wake_up", &json!({}), line) {
            Ok(said) if said.result => {}
            Ok(said) => return self.refused(car, Request::Wake, &said, line),
            Err(failure) => return unsure(failure),
        }
        loop {
            match self.ask_sleep(car, vin, line) {
                Ok(Some(Wakefulness::Awake)) => return Outcome::Done,
                // Too old to tell: it says that it woke the car.
                Ok(None) => return Outcome::Done,
                Ok(Some(Wakefulness::Asleep)) | Err(_) => {}
            }
            if Instant::now() >= until || !line.wait(WAKE_POLL) {
                return Outcome::Asleep;
            }
        }
    }

    fn command(&mut self, car: &CarKey, vin: &Vin, request: Request, line: &Line) -> Outcome {
        // Whether the proxy is there is known before anything is sent that would change something.
        if self.awake.is_sure(car, Instant::now()) {
            if let Err(text) = self.is_there(line) {
                return Outcome::Later { after: None, text };
            }
        } else {
            match self.ask_sleep(car, vin, line) {
                Ok(Some(Wakefulness::Asleep)) => return Outcome::Asleep,
                Ok(_) => {}
                Err(outcome) => return outcome,
            }
        }
        let (name, body) = match request {
            Request::Start => ("charge_start", json!({})),
            Request::Stop => ("charge_stop", json!({})),
            Request::SetAmps(amps) => ("set_charging_amps", json!({ "charging_amps": whole(&whole_amps(amps)) })),
            Request::SetLimit(limit) => ("set_charge_limit", json!({ "percent": whole(&whole_percent(limit)) })),
            Request::List | Request::Read { .. } | Request::ReadWakefulness | Request::Wake => {
                return Outcome::AlreadySo;
            }
        };
        match self.post(vin, name, &body, line) {
            Ok(said) if said.result => {
                self.awake.seen(car, Instant::now());
                Outcome::Done
            }
            Ok(said) => self.refused(car, request, &said, line),
            Err(failure) => {
                self.awake.forget(car);
                unsure(failure)
            }
        }
    }

    /// The proxy said no, in words of its own or of Tesla's library.
    fn refused(&mut self, car: &CarKey, request: Request, said: &Said, line: &Line) -> Outcome {
        let hitch = Hitch::of(&said.reason);
        match hitch {
            Hitch::Reason | Hitch::Busy => {}
            _ => self.awake.forget(car),
        }
        if hitch == Hitch::Asleep {
            line.report(
                car,
                Some(Instant::now()),
                Facts { wakefulness: Some(Wakefulness::Asleep), ..Facts::default() },
            );
        }
        let outcome = hitch.outcome(request, &said.reason, false);
        if let Hitch::Adapter(_) = hitch {
            let text = format!("TeslaBleHttpProxy has no use of its Bluetooth: {}", said.reason);
            line.trouble(Some(Trouble { code: "unreachable", text, needs_person: false }));
        }
        outcome
    }
}

/// A whole number as JSON has it.
fn whole(text: &str) -> Value {
    text.parse::<u8>().map_or(Value::Null, Value::from)
}

fn unreachable(line: &Line, error: &HttpError) {
    line.trouble(Some(Trouble { code: "unreachable", text: error.to_string(), needs_person: false }));
}

/// Surely nothing was done.
fn later(failure: Failure) -> Outcome {
    Outcome::Later { after: None, text: failure.text() }
}

/// It may have been done, unless it surely was not sent.
fn unsure(failure: Failure) -> Outcome {
    match failure {
        Failure::Lost(text) => Outcome::Unsure { text },
        other => later(other),
    }
}

impl Failure {
    fn text(self) -> String {
        match self {
            Failure::Nothing(text) | Failure::Lost(text) => text,
            Failure::NoSuch => "this version of TeslaBleHttpProxy is too old for that: bring it up to date".to_owned(),
        }
    }
}

impl Radio for Bridge {
    fn answer(&mut self, car: &CarKey, request: Request, line: &Line) -> Outcome {
        if request == Request::List {
            for vin in &self.vins {
                line.report(&CarKey::Vin(vin.clone()), None, Facts::default());
            }
            return Outcome::Done;
        }
        let Some(vin) = car.vin().filter(|vin| self.vins.is_empty() || self.vins.contains(*vin)).cloned() else {
            let text = "this car is not among vehicle.teslaBleHttpProxy.vins".to_owned();
            return Outcome::Barred { text };
        };
        match request {
            Request::Read { .. } => self.read(car, &vin, line),
            Request::ReadWakefulness => match self.ask_sleep(car, &vin, line) {
                Ok(Some(_)) => Outcome::Done,
                Ok(None) => {
                    Outcome::Later { after: None, text: "the proxy does not know whether the car sleeps".to_owned() }
                }
                Err(outcome) => outcome,
            },
            Request::Wake => self.wake(car, &vin, line),
            _ => self.command(car, &vin, request, line),
        }
    }
}

//! One car's questions, worked off one after another.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use tesla_command::{ChargeLimit, ChargingAmps, Command};
use units::{Amps, Percent};
use vehicle::{CarKey, Facts, Nearness, Outcome, Refusal, Report, Request, Spent, VehicleListener, Vin, Wakefulness};

use crate::NAME;
use crate::charge_state::taken_at;
use crate::cloud::{Answer, Call, Cloud, Failure, Price, outcome};
use crate::documents::{self, Listed};
use crate::members::{GUEST, Members};
use crate::notes::{Manner, Notes};
use crate::pause::Pause;
use crate::reply::{Fault, command_outcome};
use crate::settings::Settings;
use crate::signed::{Line, Signed};

/// What all threads of the source share.
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) cloud: Cloud,
    pub(crate) notes: Arc<Notes>,
    pub(crate) listener: Arc<dyn VehicleListener>,
    pub(crate) pause: Pause,
    /// Cars that do not have our key.
    pub(crate) unpaired: Arc<Mutex<BTreeSet<Vin>>>,
    pub(crate) members: Members,
}

impl Shared {
    /// Reports all cars of the account.
    pub(crate) fn list(&self, spent: &mut Spent) -> Outcome {
        let mut page = 1;
        let (mut members, mut is_whole) = (BTreeSet::new(), true);
        loop {
            let path = if page == 1 { "/api/1/vehicles".to_owned() } else { format!("/api/1/vehicles?page={page}") };
            let answer = match self.cloud.call(&Call::get(path), spent) {
                Ok(answer) => answer,
                Err(failure) => return outcome(failure, None),
            };
            let Some(cars) = documents::list(&answer.body) else { return unreadable(&answer.body) };
            is_whole &= documents::names_all(&answer.body);
            for car in cars {
                self.report_listed(&car, answer.at);
                members.insert(car.vin);
            }
            if !documents::has_more(&answer.body, page) {
                self.members.listed(members, is_whole && page < documents::MOST_PAGES);
                return Outcome::Done;
            }
            page += 1;
        }
    }

    fn report_listed(&self, car: &Listed, at: Instant) {
        self.report(&car.vin, Some(at), car.facts());
    }

    fn report(&self, vin: &Vin, taken_at: Option<Instant>, facts: Facts) {
        if facts != Facts::default() {
            let car = CarKey::Vin(vin.clone());
            self.listener.report(Report { car, source: NAME.into(), nearness: Nearness::Cloud, taken_at, facts });
        }
    }

    fn report_wakefulness(&self, vin: &Vin, wakefulness: Wakefulness) {
        self.report(vin, Some(Instant::now()), Facts { wakefulness: Some(wakefulness), ..Facts::default() });
    }
}

/// One car, on its own thread.
pub(crate) struct Car {
    vin: Vin,
    shared: Arc<Shared>,
    line: Option<Line>,
}

impl Car {
    pub(crate) fn new(vin: Vin, shared: Arc<Shared>) -> Self {
        Car { vin, shared, line: None }
    }

    /// Does what is asked. What was read is reported before this returns.
    pub(crate) fn answer(&mut self, request: Request, spent: &mut Spent) -> Outcome {
        if self.shared.members.is_guest(&self.vin) && request != Request::List {
            return Outcome::Barred { text: GUEST.to_owned() };
        }
        let outcome = match request {
            Request::List => self.shared.list(spent),
            Request::Read { with_position } => self.read(with_position, spent),
            Request::ReadWakefulness => self.read_wakefulness(spent),
            Request::Wake => self.wake(spent),
            Request::Start | Request::Stop | Request::SetAmps(_) | Request::SetLimit(_) => self.command(request, spent),
        };
        if outcome == Outcome::Asleep {
            self.shared.report_wakefulness(&self.vin, Wakefulness::Asleep);
        }
        outcome
    }

    /// What a failure is to who asked.
    fn failed(&self, failure: Failure, command: Option<Request>) -> Outcome {
        match failure {
            Failure::Said(Fault::NotFound, _) if self.shared.members.refused(&self.vin) => {
                Outcome::Barred { text: GUEST.to_owned() }
            }
            failure => outcome(failure, command),
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/1/vehicles/{}{rest}", self.vin)
    }

    fn read(&self, with_position: bool, spent: &mut Spent) -> Outcome {
        let may_locate = self.shared.cloud.login.look().claims.has("vehicle_location");
        let sections = match with_position {
            true if may_locate => "charge_state%3Bdrive_state%3Blocation_data",
            true => "charge_state%3Bdrive_state",
            false => "charge_state",
        };
        if with_position && !may_locate {
            log::debug!("{}: the sign-in lacks the right `vehicle_location`, so where it is stays unknown", self.vin);
        }
        let answer = match self
            .shared
            .cloud
            .call(&Call::get(self.path(&format!("/vehicle_data?endpoints={sections}"))), spent)
        {
            Ok(answer) => answer,
            Err(failure) => return self.failed(failure, None),
        };
        let Answer { body, at, sender_now } = &answer;
        let when = |stamp| taken_at(stamp, *at, *sender_now);
        let Some(sections) = documents::vehicle_data(body, when) else { return unreadable(body) };
        for told in sections {
            // What has no stamp was told by a car that answers now.
            let taken_at = told.stamp.map_or(Some(*at), when);
            self.shared.report(&self.vin, taken_at, told.facts);
        }
        Outcome::Done
    }

    fn read_wakefulness(&self, spent: &mut Spent) -> Outcome {
        match self.look(spent) {
            Ok(Some(_)) => Outcome::Done,
            Ok(None) => {
                Outcome::Later { after: None, text: "Tesla's cloud does not say whether the car is awake".into() }
            }
            Err(failure) => match self.failed(failure, None) {
                // It was asked whether it sleeps: that is an answer.
                Outcome::Asleep => {
                    self.shared.report_wakefulness(&self.vin, Wakefulness::Asleep);
                    Outcome::Done
                }
                other => other,
            },
        }
    }

    /// Whether it is awake, by its entry in the list; reported.
    fn look(&self, spent: &mut Spent) -> Result<Option<Wakefulness>, Failure> {
        let answer = self.shared.cloud.call(&Call::get(self.path("")), spent)?;
        Ok(self.take_entry(&answer))
    }

    fn take_entry(&self, answer: &Answer) -> Option<Wakefulness> {
        let wakefulness = documents::wakefulness(&answer.body);
        let facts = documents::one(&answer.body).map_or_else(Facts::default, |car| car.facts());
        self.shared.report(&self.vin, Some(answer.at), Facts { wakefulness, ..facts });
        wakefulness
    }

    fn wake(&self, spent: &mut Spent) -> Outcome {
        let begin = Instant::now();
        let call = Call::post(self.path("/wake_up"), json!({}), Price::Wake);
        match self.shared.cloud.call(&call, spent) {
            Ok(answer) if self.take_entry(&answer) == Some(Wakefulness::Awake) => return Outcome::Done,
            // It was received, or may have been: the car shows.
            Ok(_) | Err(Failure::Lost(_) | Failure::Said(Fault::Asleep | Fault::Unsure, _)) => {}
            Err(failure) => return self.failed(failure, None),
        }
        let pace = &self.shared.settings.pace;
        while begin.elapsed() + pace.wake_poll <= pace.wake_limit {
            if self.shared.pause.wait(pace.wake_poll) {
                return Outcome::Unsure { text: "the program ends while the car wakes".into() };
            }
            match self.look(spent) {
                Ok(Some(Wakefulness::Awake)) => return Outcome::Done,
                Ok(_) | Err(Failure::Lost(_) | Failure::NotSent(_)) => {}
                Err(Failure::Said(Fault::Asleep | Fault::Unsure, _)) => {}
                Err(failure) => return self.failed(failure, None),
            }
        }
        Outcome::Asleep
    }

    fn command(&mut self, request: Request, spent: &mut Spent) -> Outcome {
        if self.shared.cloud.others_sign() {
            return match self.plain(request, spent) {
                Ok(outcome) => outcome,
                Err(failure) => self.failed(failure, Some(request)),
            };
        }
        let known = self.shared.notes.manner(&self.vin);
        let mut manner = known.unwrap_or_else(|| self.learn(spent));
        // Once the other way round, when the car turns out to want that.
        for _ in 0..2 {
            let outcome = match manner {
                Manner::Plain => match self.plain(request, spent) {
                    Err(Failure::Said(Fault::NeedsSignature, _)) => None,
                    Err(failure) => Some(self.failed(failure, Some(request))),
                    Ok(outcome) => Some(outcome),
                },
                Manner::Signed => self.signed(request, spent),
            };
            match outcome {
                Some(outcome) => return outcome,
                None => {
                    manner = if manner == Manner::Plain { Manner::Signed } else { Manner::Plain };
                    self.shared.notes.set_manner(&self.vin, manner);
                }
            }
        }
        let text = "the car takes neither plain nor signed commands: update its software, and show the log";
        Outcome::Barred { text: text.into() }
    }

    /// Asks the cloud once whether the car wants signed commands. Where it does not tell, signed is tried: that is what all
    /// but a few old cars want, and those say so.
    fn learn(&self, spent: &mut Spent) -> Manner {
        let body = json!({"vins": [self.vin.as_str()]});
        let call = Call::post("/api/1/vehicles/fleet_status".to_owned(), body, Price::Data);
        let status = match self.shared.cloud.call(&call, spent) {
            Ok(answer) => documents::fleet_status(&answer.body, &self.vin),
            Err(failure) => {
                log::debug!("{}: whether it wants signed commands is not known ({failure:?})", self.vin);
                None
            }
        };
        match status.and_then(|status| status.needs_signature) {
            Some(needs) => {
                let manner = if needs { Manner::Signed } else { Manner::Plain };
                self.shared.notes.set_manner(&self.vin, manner);
                manner
            }
            None => Manner::Signed,
        }
    }

    fn plain(&self, request: Request, spent: &mut Spent) -> Result<Outcome, Failure> {
        let (name, body) = plain_call(request);
        let mut call = Call::post(self.path(&format!("/command/{name}")), body, Price::Command);
        call.is_for_proxy = true;
        let answer = self.shared.cloud.call(&call, spent)?;
        let outcome = command_outcome(request, &answer.body);
        let outcome = outcome.ok_or_else(|| Failure::Lost("the answer to the command cannot be read".to_owned()))?;
        if outcome == Outcome::Refused(Refusal::Other) {
            log::warn!("{}: the car refuses {name}: {}", self.vin, crate::reply::words(Some(&answer.body), ""));
        }
        Ok(outcome)
    }

    /// `None` when the car wants plain commands.
    fn signed(&mut self, request: Request, spent: &mut Spent) -> Option<Outcome> {
        let shared = Arc::clone(&self.shared);
        let mut line = match self.line.take() {
            Some(line) => line,
            None => {
                let Some(key) = shared.settings.key_path() else {
                    return Some(Outcome::Barred { text: "no folder is configured in which a key could be".into() });
                };
                match Line::open(&self.vin, &key, &shared.notes) {
                    Ok(line) => line,
                    Err(text) => return Some(Outcome::Barred { text }),
                }
            }
        };
        let command = signed_command(request)?;
        let result = line.send(request, command, &shared.notes, &shared.cloud, &shared.pause, spent);
        // Reopened with a key that may be another by then.
        if !line.is_unsaved && result != Signed::NotPaired {
            self.line = Some(line);
        }
        match result {
            Signed::Over(outcome) => {
                if matches!(outcome, Outcome::Done | Outcome::AlreadySo | Outcome::Refused(_)) {
                    shared.notes.set_manner(&self.vin, Manner::Signed);
                    self.set_paired(true);
                }
                Some(outcome)
            }
            Signed::NotPaired => {
                self.set_paired(false);
                Some(Outcome::Refused(Refusal::NotPaired))
            }
            Signed::NotKnown => None,
            Signed::Failed(failure) => Some(self.failed(failure, Some(request))),
        }
    }

    fn set_paired(&self, is_paired: bool) {
        let mut unpaired = self.shared.unpaired.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = if is_paired { unpaired.remove(&self.vin) } else { unpaired.insert(self.vin.clone()) };
        if !has_changed {
            return;
        }
        if unpaired.is_empty() {
            self.shared.cloud.troubles.clear(&["pair_key"]);
        } else {
            let text = pairing_text(&self.shared.settings, &unpaired);
            log::warn!("{text}");
            self.shared.cloud.troubles.raise("pair_key", text);
        }
    }
}

/// What a person has to do so that cars take our key.
pub(crate) fn pairing_text(settings: &Settings, unpaired: &BTreeSet<Vin>) -> String {
    let cars: Vec<&str> = unpaired.iter().map(Vin::as_str).collect();
    let cars = cars.join(", ");
    match settings.pairing_domain() {
        Some(domain) => format!(
            "our key is not on the list of {cars}: open {} on the phone with Tesla's app, choose the car and confirm",
            domain.pairing_url()
        ),
        None => format!(
            "our key is not on the list of {cars}: write the domain that it is published on into \
             vehicle.teslaAPI.domain, then follow `twcmanager tesla setup`"
        ),
    }
}

/// Name and body of a plain command.
fn plain_call(request: Request) -> (&'static str, Value) {
    match request {
        Request::Stop => ("charge_stop", json!({})),
        Request::SetAmps(amps) => ("set_charging_amps", json!({"charging_amps": whole_amps(amps).get()})),
        Request::SetLimit(limit) => ("set_charge_limit", json!({"percent": whole_percent(limit).get()})),
        _ => ("charge_start", json!({})),
    }
}

fn signed_command(request: Request) -> Option<Command> {
    match request {
        Request::Start => Some(Command::StartCharging),
        Request::Stop => Some(Command::StopCharging),
        Request::SetAmps(amps) => Some(Command::SetChargingAmps(whole_amps(amps))),
        Request::SetLimit(limit) => Some(Command::SetChargeLimit(whole_percent(limit))),
        Request::List | Request::Read { .. } | Request::ReadWakefulness | Request::Wake => None,
    }
}

/// Rounded down; what is more than any car takes becomes that.
fn whole_amps(amps: Amps) -> ChargingAmps {
    let most = ChargingAmps::MAX.get();
    let whole = amps.at_least_zero().centiamps() / 100;
    u8::try_from(whole).ok().and_then(|amps| ChargingAmps::new(amps.min(most)).ok()).unwrap_or(ChargingAmps::MAX)
}

/// Rounded down, and kept within what cars accept.
fn whole_percent(limit: Percent) -> ChargeLimit {
    let whole = (50..=100).rev().find(|percent| f64::from(*percent) <= limit.get()).unwrap_or(50);
    ChargeLimit::new(whole).unwrap_or_else(|_| unreachable!("it is from 50 to 100"))
}

fn unreadable(body: &Value) -> Outcome {
    let said = crate::reply::words(Some(body), "");
    Outcome::Later { after: None, text: format!("Tesla's cloud answered without the data asked for {said}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amps_and_limits_are_rounded_down_into_what_cars_take() {
        let amps = |amps: f64| whole_amps(Amps::new(amps).unwrap()).get();
        assert_eq!([amps(15.99), amps(0.0), amps(-3.0), amps(80.5), amps(400.0)], [15, 0, 0, 80, 80]);
        let limit = |percent: f64| whole_percent(Percent::new(percent).unwrap()).get();
        assert_eq!([limit(79.9), limit(50.0), limit(10.0), limit(100.0)], [79, 50, 50, 100]);
    }

    #[test]
    fn plain_calls_are_as_documented() {
        assert_eq!(plain_call(Request::Start), ("charge_start", json!({})));
        assert_eq!(
            plain_call(Request::SetAmps(Amps::from_whole(16))),
            ("set_charging_amps", json!({"charging_amps": 16}))
        );
        assert_eq!(plain_call(Request::SetLimit(Percent::FULL)), ("set_charge_limit", json!({"percent": 100})));
    }
}

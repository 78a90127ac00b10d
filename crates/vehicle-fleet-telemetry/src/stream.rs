//! What the topics mean. Pure.
//!
//! A car streams a field when it changed, each at an interval that its owner chose. So a value stays true while the stream
//! flows, give or take that interval: with each message of a car, what it told of charging before counts as a minute old at
//! most. Where the car is gets no such credit: its interval may be long, and a car that drove away must not seem at home.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;
use vehicle::{CarKey, ChargingState, Facts, Nearness, Report, Vin, Wakefulness};
use vehicle_mqtt::values::{amps, hours, kilowatt_hours, kilowatts, percent, phases, volts};
use vehicle_mqtt::{Clock, Message, Reader};

use crate::NAME;
use crate::field::{self, flag, number};

/// A field that did not change is told again after this time at the latest, in stream set-ups as people have them.
const USUAL_INTERVAL: Duration = Duration::from_secs(60);
/// A stream that ends is taken for sleep only after this time: networks change, servers restart.
const GRACE: Duration = Duration::from_secs(60);
/// Most cars that are kept: VINs come from topics, which anybody on the broker can publish.
const MOST_CARS: usize = 50;

/// Fields that are read ...
const FIELDS: [&str; 21] = [
    "DetailedChargeState",
    "Soc",
    "BatteryLevel",
    "ChargeLimitSoc",
    "ChargeAmps",
    "ChargeCurrentRequest",
    "ChargeCurrentRequestMax",
    "ChargerVoltage",
    "ChargerPhases",
    "ACChargingPower",
    "DCChargingPower",
    "ACChargingEnergyIn",
    "TimeToFullCharge",
    "EstimatedHoursToChargeTermination",
    "ScheduledChargingPending",
    "FastChargerPresent",
    "ChargingCableType",
    "VehicleName",
    "Gear",
    "Location",
    "LocatedAtHome",
];
/// ... and those among them that say where the car is.
const OF_PLACE: [&str; 3] = ["Gear", "Location", "LocatedAtHome"];

/// All cars of the stream.
pub(crate) struct Stream {
    prefix: String,
    cars: BTreeMap<Vin, Car>,
}

#[derive(Default)]
struct Car {
    values: BTreeMap<&'static str, Value>,
    /// Fields that came live since the last report, and when.
    live: BTreeSet<&'static str>,
    live_at: Option<Instant>,
    kept: BTreeSet<&'static str>,
    link: Link,
}

/// The car's connection to the server, as the server tells it.
#[derive(Default)]
struct Link {
    /// The connection that is up.
    id: Option<String>,
    /// It is over since then, and that was not told as sleep yet.
    lost_at: Option<Instant>,
    /// Told, not yet reported.
    news: Option<(Option<Instant>, Wakefulness)>,
}

impl Stream {
    pub(crate) fn new(prefix: &str) -> Self {
        Stream { prefix: format!("{prefix}/"), cars: BTreeMap::new() }
    }
}

impl Reader for Stream {
    fn take(&mut self, message: &Message, clock: Clock) {
        let Some((vin, rest)) = message.topic.strip_prefix(&self.prefix).and_then(|rest| rest.split_once('/')) else {
            return;
        };
        let Some(vin) = Vin::parse(vin) else { return };
        if !self.cars.contains_key(&vin) && self.cars.len() >= MOST_CARS {
            return;
        }
        let car = self.cars.entry(vin).or_default();
        if rest == "connectivity" {
            car.connectivity(message, clock);
        } else if let Some(name) = rest.strip_prefix("v/") {
            car.field(name, message);
        }
    }

    fn news(&mut self, clock: Clock) -> Vec<Report> {
        let mut reports = Vec::new();
        for (vin, car) in &mut self.cars {
            let mut tell = |taken_at, facts: Facts| {
                if facts != Facts::default() {
                    let car = CarKey::Vin(vin.clone());
                    reports.push(Report { car, source: NAME.into(), nearness: Nearness::Car, taken_at, facts });
                }
            };
            let (live, kept) = (std::mem::take(&mut car.live), std::mem::take(&mut car.kept));
            if !kept.is_empty() {
                tell(None, car.facts(&kept, None));
            }
            if let Some(at) = car.live_at.filter(|_| !live.is_empty()) {
                let steady: BTreeSet<&str> = FIELDS.into_iter().filter(|name| !OF_PLACE.contains(name)).collect();
                let before = at.checked_sub(USUAL_INTERVAL).unwrap_or(at);
                tell(Some(before), car.facts(&steady, Some(before)));
                let facts = Facts { wakefulness: Some(Wakefulness::Awake), ..car.facts(&live, Some(at)) };
                tell(Some(at), facts);
            }
            if let Some((at, wakefulness)) = car.link.settle(clock.now, car.is_charging()) {
                tell(at, Facts { wakefulness: Some(wakefulness), ..Facts::default() });
            }
        }
        reports
    }

    fn all(&self, _clock: Clock) -> Vec<Report> {
        let all = self.cars.iter().map(|(vin, car)| {
            let at = car.live_at.and_then(|at| at.checked_sub(USUAL_INTERVAL));
            let told = FIELDS.into_iter().filter(|name| !OF_PLACE.contains(name)).collect();
            let (car, facts) = (CarKey::Vin(vin.clone()), car.facts(&told, at));
            Report { car, source: NAME.into(), nearness: Nearness::Car, taken_at: at, facts }
        });
        all.collect()
    }
}

impl Car {
    fn field(&mut self, name: &str, message: &Message) {
        let Some(name) = FIELDS.into_iter().find(|known| *known == name) else { return };
        match field::parse(&message.payload) {
            Some(value) => self.values.insert(name, value),
            None => self.values.remove(name),
        };
        if message.retained {
            self.kept.insert(name);
        } else {
            self.live.insert(name);
            self.live_at = Some(message.received);
            // It streams, so it is there, whatever was told of some connection.
            self.link.lost_at = None;
        }
    }

    fn connectivity(&mut self, message: &Message, clock: Clock) {
        let Ok(value) = serde_json::from_slice::<Value>(&message.payload) else { return };
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let created = text("CreatedAt").and_then(|text| text.parse::<jiff::Timestamp>().ok());
        // The server's own stamp; a server without one that speaks now speaks of now.
        let at = created
            .and_then(|created| clock.moment(created.into()))
            .or_else(|| (!message.retained).then_some(message.received));
        let id = text("ConnectionId").map(str::to_owned);
        match text("Status") {
            Some("CONNECTED") => {
                self.link = Link { id, lost_at: None, news: Some((at, Wakefulness::Awake)) };
            }
            // The end of an older connection may be told after a newer one has begun.
            Some("DISCONNECTED") if self.link.id.is_none() || id.is_none() || self.link.id == id => {
                self.link = Link { id: None, lost_at: at, news: None };
            }
            _ => {}
        }
    }

    fn is_charging(&self) -> bool {
        self.values.get("DetailedChargeState").and_then(field::charging_state) == Some(ChargingState::Charging)
    }

    /// What the values of these fields mean, true at `at`.
    fn facts(&self, told: &BTreeSet<&str>, at: Option<Instant>) -> Facts {
        let value = |name: &str| self.values.get(name).filter(|_| told.contains(name));
        let told_number = |name: &str| value(name).and_then(number);
        let charging = value("DetailedChargeState").and_then(field::charging_state);
        let cable = value("ChargingCableType").and_then(field::has_cable);
        let on_direct_current = value("DCChargingPower").and_then(number).map(|kilowatts| kilowatts > 0.5);
        Facts {
            name: value("VehicleName").and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned),
            soc: told_number("Soc").or_else(|| told_number("BatteryLevel")).and_then(percent),
            limit: told_number("ChargeLimitSoc").and_then(percent),
            charging,
            plugged: charging.map(|state| state != ChargingState::Disconnected).or(cable),
            amps_requested: told_number("ChargeCurrentRequest").and_then(amps),
            amps_possible: told_number("ChargeCurrentRequestMax").and_then(amps),
            amps: told_number("ChargeAmps").and_then(amps),
            volts: told_number("ChargerVoltage").and_then(volts),
            phases: told_number("ChargerPhases").and_then(phases),
            drawn: told_number("ACChargingPower").and_then(kilowatts),
            energy_added: told_number("ACChargingEnergyIn").and_then(kilowatt_hours),
            to_limit: told_number("TimeToFullCharge")
                .or_else(|| told_number("EstimatedHoursToChargeTermination"))
                .and_then(hours),
            parked: value("Gear").and_then(field::parked),
            position: value("Location").and_then(|place| field::position(place, at)),
            says_home: value("LocatedAtHome").and_then(flag),
            schedule_pending: value("ScheduledChargingPending").and_then(flag),
            fast_charger: value("FastChargerPresent").and_then(flag).or(on_direct_current),
            ..Facts::default()
        }
    }
}

impl Link {
    /// What is to be told of it now. A charging car never sleeps: a stream that ends then is trouble on the way.
    fn settle(&mut self, now: Instant, is_charging: bool) -> Option<(Option<Instant>, Wakefulness)> {
        if let Some(news) = self.news.take() {
            return Some(news);
        }
        let lost_at = self.lost_at.filter(|at| now.saturating_duration_since(*at) >= GRACE)?;
        self.lost_at = None;
        (!is_charging).then_some((Some(lost_at), Wakefulness::Asleep))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::SystemTime;
    use vehicle::VehicleState;

    const VIN: &str = "5YJ30123456789ABC";

    struct Bench {
        start: Instant,
        stream: Stream,
        state: VehicleState,
    }

    impl Bench {
        fn new() -> Self {
            let start = Instant::now() + Duration::from_secs(1_000_000);
            let state = VehicleState::new(CarKey::Vin(Vin::parse(VIN).unwrap()));
            Bench { start, stream: Stream::new("deep/telemetry"), state }
        }

        fn clock(&self, seconds: u64) -> Clock {
            let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_725_600 + seconds); // 2025-01-01T10:00:00Z
            Clock { now: self.start + Duration::from_secs(seconds), wall }
        }

        fn say(&mut self, seconds: u64, retained: bool, pairs: &[(&str, &str)]) -> Vec<Report> {
            let clock = self.clock(seconds);
            for (rest, payload) in pairs {
                let topic = format!("deep/telemetry/{VIN}/{rest}");
                let message = Message { topic, payload: payload.as_bytes().to_vec(), retained, received: clock.now };
                self.stream.take(&message, clock);
            }
            let reports = self.stream.news(clock);
            reports.iter().for_each(|report| self.state.take(report));
            reports
        }

        fn wakefulness(&self) -> Option<Wakefulness> {
            self.state.wakefulness.as_ref().map(|seen| seen.value)
        }
    }

    #[test]
    fn a_stream_that_flows_keeps_what_it_told_and_not_the_place() {
        let mut bench = Bench::new();
        let first = [("v/DetailedChargeState", "\"DetailedChargeStateCharging\""), ("v/LocatedAtHome", "true")];
        bench.say(0, false, &first);
        bench.say(900, false, &[("v/Soc", "\"41\"")]);
        let age = |at: Option<Instant>| at.unwrap().duration_since(bench.start).as_secs();
        assert_eq!(age(bench.state.charging.as_ref().unwrap().at), 840);
        assert_eq!(age(bench.state.soc.as_ref().unwrap().at), 900);
        assert_eq!(age(bench.state.says_home.as_ref().unwrap().at), 0);
        assert_eq!(bench.state.charging.as_ref().unwrap().nearness, Nearness::Car);
    }

    #[test]
    fn what_the_broker_kept_has_no_age() {
        let mut bench = Bench::new();
        let kept = bench.say(0, true, &[("v/Soc", "63.2"), ("v/Location", "{\"latitude\":52.5,\"longitude\":13.4}")]);
        assert_eq!((kept.len(), kept[0].taken_at, kept[0].facts.position.unwrap().fixed_at), (1, None, None));
        assert_eq!(kept[0].facts.wakefulness, None);
    }

    #[test]
    fn the_end_of_a_stream_hints_at_sleep_after_a_while_unless_it_charges() {
        let up = r#"{"ConnectionId":"c1","Status":"CONNECTED","CreatedAt":"2025-01-01T10:00:00Z"}"#;
        let down = r#"{"ConnectionId":"c1","Status":"DISCONNECTED","CreatedAt":"2025-01-01T10:05:00Z"}"#;
        let older = r#"{"ConnectionId":"c0","Status":"DISCONNECTED","CreatedAt":"2025-01-01T10:05:00Z"}"#;
        for (state, end, at, expected) in [
            ("Stopped", down, 330, Wakefulness::Awake),
            ("Stopped", down, 361, Wakefulness::Asleep),
            ("Charging", down, 361, Wakefulness::Awake),
            ("Stopped", older, 999, Wakefulness::Awake),
        ] {
            let mut bench = Bench::new();
            bench.say(0, false, &[("connectivity", up), ("v/DetailedChargeState", &format!("\"{state}\""))]);
            assert_eq!(bench.wakefulness(), Some(Wakefulness::Awake));
            bench.say(300, false, &[("connectivity", end)]);
            bench.say(at, false, &[]);
            assert_eq!(bench.wakefulness(), Some(expected), "{state} {at}");
        }
        let mut bench = Bench::new();
        bench.say(0, false, &[("connectivity", up)]);
        bench.say(300, false, &[("connectivity", down)]);
        bench.say(310, false, &[("v/Soc", "50")]);
        bench.say(400, false, &[]);
        assert_eq!(bench.wakefulness(), Some(Wakefulness::Awake), "it streams again");
    }

    #[test]
    fn an_invalid_value_is_none() {
        let mut bench = Bench::new();
        let told = bench.say(
            0,
            false,
            &[("v/Soc", "null"), ("v/ChargeAmps", "{\"value\":null}"), ("v/Gear", "\"ShiftStateD\"")],
        );
        let facts = &told.last().unwrap().facts;
        assert_eq!((facts.soc, facts.amps, facts.parked), (None, None, Some(false)));
        assert!(bench.say(1, false, &[("v/Odometer", "12"), ("alerts/x/current", "{}")]).is_empty());
    }

    #[test]
    fn the_recording_reads_as_expected() {
        for recording in recordings::vendor("tesla").iter().filter(|found| found.name().starts_with("fleet_telemetry"))
        {
            let mut bench = Bench::new();
            let mut pairs = Vec::new();
            for line in recording.text().lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                let topic = line["topic"].as_str().unwrap();
                let expected_head = format!("telemetry/{}/", recording.text_at(&["expected", "vin"]));
                let rest = topic.strip_prefix(&expected_head).unwrap();
                pairs.push((rest.to_owned(), line["payload"].as_str().unwrap().to_owned()));
            }
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(rest, payload)| (&**rest, &**payload)).collect();
            bench.say(0, false, &pairs);
            let (state, expected) = (&bench.state, recording.expected());
            assert_eq!(state.name.as_ref().unwrap().value, expected["name"].as_str().unwrap());
            assert_eq!(bench.wakefulness() == Some(Wakefulness::Awake), expected["online"].as_bool().unwrap());
            assert_eq!(state.plugged.as_ref().unwrap().value, expected["plugged_in"].as_bool().unwrap());
            assert_eq!(state.is_charging(), expected["charging"].as_bool().unwrap());
            assert_eq!(state.parked.as_ref().map(|seen| seen.value), expected["parked"].as_bool());
            assert_eq!(state.soc.as_ref().map(|seen| seen.value.get()), expected["soc_percent"].as_f64());
            recording.assert_number("limit_percent", state.limit.as_ref().map(|seen| seen.value.get()));
            recording.assert_number("requested_amps", state.amps_requested.as_ref().map(|seen| seen.value.get()));
            recording.assert_number("max_requestable_amps", state.amps_possible.as_ref().map(|seen| seen.value.get()));
            assert_eq!(state.amps.as_ref().map(|seen| seen.value.get()), expected["actual_amps"].as_f64());
            recording.assert_number("phases", state.phases.as_ref().map(|seen| f64::from(seen.value.count())));
            assert_eq!(state.volts.as_ref().map(|seen| seen.value.get()), expected["volts"].as_f64());
            assert_eq!(state.drawn.as_ref().map(|seen| seen.value.get()), expected["power_w"].as_f64());
            recording.assert_number("power_w", state.power().map(|watts| watts.get()));
            let minutes = state.to_limit.as_ref().map(|seen| seen.value.as_secs_f64() / 60.0);
            recording.assert_number("minutes_to_limit", minutes);
            let position = state.position.as_ref().map(|seen| seen.value);
            assert_eq!(position.map(|place| place.latitude), expected["latitude"].as_f64());
            assert_eq!(position.map(|place| place.longitude), expected["longitude"].as_f64());
        }
    }

    proptest! {
        #[test]
        fn any_payloads_are_survived(
            messages in proptest::collection::vec((0..=FIELDS.len(), "\\PC{0,12}|-?[0-9]{1,9}|\\{\"value\":[0-9]\\}", any::<bool>()), 0..30)
        ) {
            let mut bench = Bench::new();
            for (at, (field, payload, retained)) in messages.iter().enumerate() {
                let rest = FIELDS.get(*field).map_or("connectivity".to_owned(), |name| format!("v/{name}"));
                bench.say(at as u64, *retained, &[(&rest, payload)]);
                prop_assert!(bench.state.amps.as_ref().is_none_or(|amps| amps.value.get() <= 200.0));
            }
        }
    }
}

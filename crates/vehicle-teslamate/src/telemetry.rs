//! What TeslaMate's topics mean. Pure.
//!
//! TeslaMate publishes a value when it changed, and all that changed since its last look at the car at once. So a live value of
//! a car that TeslaMate looks at proves the others: they were looked at too, and did not change. What the broker had kept has
//! an age only where `since` tells one: at that moment the state was entered, and the car had just been heard of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Instant, SystemTime};

use serde_json::Value;
use vehicle::{CarKey, ChargingState, Facts, Nearness, Position, Report, Vin, Wakefulness};
use vehicle_mqtt::values::{amps, hours, kilowatt_hours, number, percent, phases, volts};
use vehicle_mqtt::{Clock, Message, Reader};

use crate::NAME;

/// Most cars that are kept: numbers come from topics, which anybody on the broker can publish.
const MOST_CARS: usize = 50;
/// A geofence of this name is home even when none is configured.
const USUAL_HOME: &str = "Home";
/// Keys that say nothing about when the car was looked at.
const NOT_FROM_THE_CAR: [&str; 4] = ["state", "since", "healthy", "update_available"];
/// Keys that are read.
const KEYS: [&str; 22] = [
    "state",
    "since",
    "display_name",
    "plugged_in",
    "charging_state",
    "battery_level",
    "charge_limit_soc",
    "charger_actual_current",
    "charge_current_request",
    "charge_current_request_max",
    "charger_voltage",
    "charger_phases",
    "charge_energy_added",
    "time_to_full_charge",
    "scheduled_charging_start_time",
    "location",
    "latitude",
    "longitude",
    "geofence",
    "shift_state",
    "healthy",
    "charger_power",
];

/// All cars that TeslaMate told of.
pub(crate) struct Telemetry {
    /// Levels of a topic before the car's number.
    prefix: String,
    vins: BTreeMap<String, Vin>,
    home_geofence: Option<String>,
    cars: BTreeMap<String, Car>,
}

#[derive(Default)]
struct Car {
    /// The newest payload of each key; empty ones are not kept.
    values: BTreeMap<&'static str, String>,
    /// Keys that came live since the last report, and when the last of them did.
    live: BTreeSet<&'static str>,
    live_at: Option<Instant>,
    /// Keys that the broker had kept, since the last report.
    kept: BTreeSet<&'static str>,
    /// When the car was last looked at, as far as that is proven.
    looked_at: Option<Instant>,
}

impl Telemetry {
    pub(crate) fn new(prefix: &str, vins: BTreeMap<String, Vin>, home_geofence: Option<String>) -> Self {
        Telemetry { prefix: format!("{prefix}/cars/"), vins, home_geofence, cars: BTreeMap::new() }
    }

    /// Which car a number is. `None` while neither VIN nor name is known, and for names that two cars share.
    fn key(&self, number: &str) -> Option<CarKey> {
        if let Some(vin) = self.vins.get(number) {
            return Some(CarKey::Vin(vin.clone()));
        }
        let name = self.cars.get(number)?.values.get("display_name")?.trim();
        let is_shared = self.cars.iter().any(|(other, car)| {
            other != number && car.values.get("display_name").is_some_and(|other| other.trim() == name)
        });
        (!name.is_empty() && !is_shared).then(|| CarKey::Name(name.to_owned()))
    }

    fn report(&self, car: CarKey, taken_at: Option<Instant>, facts: Facts) -> Option<Report> {
        (facts != Facts::default()).then(|| Report {
            car,
            source: NAME.into(),
            nearness: Nearness::Copy,
            taken_at,
            facts,
        })
    }
}

impl Reader for Telemetry {
    fn take(&mut self, message: &Message, _clock: Clock) {
        let Some((number, key)) = message.topic.strip_prefix(&self.prefix).and_then(|rest| rest.split_once('/')) else {
            return;
        };
        let Some(key) = KEYS.into_iter().find(|known| *known == key) else { return };
        let Some(text) = message.text() else { return };
        if !self.cars.contains_key(number) && self.cars.len() >= MOST_CARS {
            return;
        }
        let car = self.cars.entry(number.to_owned()).or_default();
        let is_new = match text {
            "" => car.values.remove(key).is_some(),
            text => car.values.insert(key, text.to_owned()).as_deref() != Some(text),
        };
        if !message.retained {
            car.live.insert(key);
            car.live_at = Some(message.received);
        } else if is_new {
            // The same once more, after a connection broke, says nothing new.
            car.kept.insert(key);
        }
    }

    fn news(&mut self, clock: Clock) -> Vec<Report> {
        let mut reports = Vec::new();
        let numbers: Vec<String> = self.cars.keys().cloned().collect();
        for number in numbers {
            let Some(key) = self.key(&number) else { continue };
            let home = self.home_geofence.clone();
            let Some(car) = self.cars.get_mut(&number) else { continue };
            let live = std::mem::take(&mut car.live);
            let kept = std::mem::take(&mut car.kept);
            let kept_facts = (!kept.is_empty()).then(|| {
                let at = car.kept_at(clock);
                (at, car.facts(&kept, at, home.as_deref(), clock.wall))
            });
            let live_facts = car.live_at.filter(|_| !live.is_empty()).map(|at| {
                let is_look = car.is_looked_at() && live.iter().any(|key| !NOT_FROM_THE_CAR.contains(key));
                let told: BTreeSet<&str> = if is_look { KEYS.into_iter().collect() } else { live };
                if is_look {
                    car.looked_at = Some(at);
                }
                (Some(at), car.facts(&told, Some(at), home.as_deref(), clock.wall))
            });
            for (at, facts) in kept_facts.into_iter().chain(live_facts) {
                reports.extend(self.report(key.clone(), at, facts));
            }
        }
        reports
    }

    fn all(&self, clock: Clock) -> Vec<Report> {
        let all = self.cars.iter().filter_map(|(number, car)| {
            let at = car.kept_at(clock);
            let facts = car.facts(&KEYS.into_iter().collect(), at, self.home_geofence.as_deref(), clock.wall);
            self.report(self.key(number)?, at, facts)
        });
        all.collect()
    }
}

impl Car {
    fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// Whether TeslaMate reads the car's data in the state that it is in.
    fn is_looked_at(&self) -> bool {
        matches!(self.text("state"), Some("online" | "charging" | "driving" | "updating"))
    }

    /// The age of what the broker had kept: at least as new as the last look, or as the beginning of the state.
    fn kept_at(&self, clock: Clock) -> Option<Instant> {
        let has_been_heard =
            self.is_looked_at() || matches!(self.text("state"), Some("asleep" | "offline" | "suspended"));
        let since = self.text("since").and_then(stamp).and_then(|since| clock.moment(since)).filter(|_| has_been_heard);
        since.max(self.looked_at)
    }

    /// What the values of these keys mean, true at `at`.
    fn facts(&self, told: &BTreeSet<&str>, at: Option<Instant>, home: Option<&str>, wall: SystemTime) -> Facts {
        let told_text = |key: &str| self.text(key).filter(|_| told.contains(key));
        let told_number = |key: &str| told_text(key).and_then(number);
        let charging = told_text("charging_state").and_then(charging_state);
        // A car that just began or ended charging is told by `state` first.
        let state = told_text("state");
        Facts {
            name: told_text("display_name").map(str::to_owned),
            soc: told_number("battery_level").and_then(percent),
            limit: told_number("charge_limit_soc").and_then(percent),
            charging,
            plugged: told_text("plugged_in").and_then(flag),
            amps_requested: told_number("charge_current_request").and_then(amps),
            amps_possible: told_number("charge_current_request_max").and_then(amps),
            amps: told_number("charger_actual_current").and_then(amps),
            volts: told_number("charger_voltage").and_then(volts),
            phases: told_number("charger_phases").and_then(phases),
            energy_added: told_number("charge_energy_added").and_then(kilowatt_hours),
            to_limit: told_number("time_to_full_charge").and_then(hours),
            wakefulness: state.and_then(wakefulness),
            parked: parked(told_text("shift_state"), state),
            position: self.position(told, at),
            says_home: self.says_home(told, home),
            schedule_pending: self.schedule_pending(told, wall),
            ..Facts::default()
        }
    }

    fn position(&self, told: &BTreeSet<&str>, at: Option<Instant>) -> Option<Position> {
        if told.contains("location")
            && let Some(text) = self.text("location")
        {
            let value: Value = serde_json::from_str(text).ok()?;
            return Position::new(value.get("latitude")?.as_f64()?, value.get("longitude")?.as_f64()?, at);
        }
        // Versions before 1.28 have these two only. Never one from before and one from after a drive.
        let is_told = told.contains("latitude") && told.contains("longitude") && self.text("location").is_none();
        let [latitude, longitude] = ["latitude", "longitude"].map(|key| self.text(key).and_then(number));
        if is_told { Position::new(latitude?, longitude?, at) } else { None }
    }

    fn says_home(&self, told: &BTreeSet<&str>, home: Option<&str>) -> Option<bool> {
        if !told.contains("geofence") {
            return None;
        }
        let geofence = self.text("geofence").unwrap_or_default();
        match home {
            Some(home) => Some(geofence.eq_ignore_ascii_case(home)),
            // Whether there is a geofence of that name is not known, so that being outside says nothing.
            None => geofence.eq_ignore_ascii_case(USUAL_HOME).then_some(true),
        }
    }

    /// TeslaMate tells when a timer will start, not whether the car waits for it: it does when it is plugged in, does not
    /// charge, and that time is to come.
    fn schedule_pending(&self, told: &BTreeSet<&str>, wall: SystemTime) -> Option<bool> {
        let keys = ["scheduled_charging_start_time", "charging_state"];
        if !keys.iter().any(|key| told.contains(key)) {
            return None;
        }
        let charging = self.text("charging_state").and_then(charging_state)?;
        let start = self.text("scheduled_charging_start_time").and_then(stamp);
        Some(charging == ChargingState::Stopped && start.is_some_and(|start| start > wall))
    }
}

fn stamp(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn charging_state(text: &str) -> Option<ChargingState> {
    match text {
        "Charging" => Some(ChargingState::Charging),
        "Disconnected" => Some(ChargingState::Disconnected),
        "Stopped" => Some(ChargingState::Stopped),
        "NoPower" => Some(ChargingState::NoPower),
        "Complete" => Some(ChargingState::Complete),
        "Starting" | "Calibrating" => Some(ChargingState::Starting),
        _ => None,
    }
}

fn wakefulness(state: &str) -> Option<Wakefulness> {
    match state {
        "online" | "charging" | "driving" | "updating" => Some(Wakefulness::Awake),
        "asleep" | "offline" => Some(Wakefulness::Asleep),
        // `suspended`: TeslaMate looks away so that the car may fall asleep. Others: it does not know either.
        _ => None,
    }
}

fn parked(shift: Option<&str>, state: Option<&str>) -> Option<bool> {
    match (shift, state) {
        (Some("P"), _) | (None, Some("charging")) => Some(true),
        (Some("D" | "R" | "N"), _) | (None, Some("driving")) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;
    use vehicle::VehicleState;

    const WALL: u64 = 1_735_725_600; // 2025-01-01T10:00:00Z

    struct Bench {
        start: Instant,
        telemetry: Telemetry,
    }

    impl Bench {
        fn new(cars: &[(&str, &str)], home: Option<&str>) -> Self {
            let vins = cars.iter().map(|(number, vin)| ((*number).to_owned(), Vin::parse(vin).unwrap())).collect();
            let start = Instant::now() + Duration::from_secs(1_000_000);
            Bench { start, telemetry: Telemetry::new("teslamate", vins, home.map(str::to_owned)) }
        }

        fn clock(&self, seconds: u64) -> Clock {
            let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(WALL + seconds);
            Clock { now: self.start + Duration::from_secs(seconds), wall }
        }

        fn say(&mut self, seconds: u64, retained: bool, pairs: &[(&str, &str)]) -> Vec<Report> {
            let clock = self.clock(seconds);
            for (rest, payload) in pairs {
                let topic = format!("teslamate/cars/{rest}");
                let message = Message { topic, payload: payload.as_bytes().to_vec(), retained, received: clock.now };
                self.telemetry.take(&message, clock);
            }
            self.telemetry.news(clock)
        }

        /// Seconds from the start at which facts were true.
        fn at(&self, report: &Report) -> Option<i64> {
            let at = report.taken_at?;
            let after = at.saturating_duration_since(self.start).as_secs() as i64;
            Some(after - self.start.saturating_duration_since(at).as_secs() as i64)
        }
    }

    const VIN: &str = "5YJ30123456789ABC";

    #[test]
    fn what_the_broker_kept_has_no_age_until_a_live_value_proves_it() {
        let mut bench = Bench::new(&[("1", VIN)], None);
        let kept = bench.say(0, true, &[("1/battery_level", "55"), ("1/state", "charging"), ("1/plugged_in", "true")]);
        assert_eq!((kept.len(), kept[0].taken_at, kept[0].facts.soc.map(|soc| soc.get())), (1, None, Some(55.0)));
        assert_eq!(kept[0].car.vin().unwrap().as_str(), VIN);
        assert!(bench.say(5, false, &[("1/healthy", "true")]).is_empty());
        let live = bench.say(10, false, &[("1/charger_actual_current", "16")]);
        assert_eq!((bench.at(&live[0]), live[0].facts.plugged), (Some(10), Some(true)));
        assert_eq!(live[0].facts.soc.unwrap().get(), 55.0);
    }

    #[test]
    fn since_tells_the_age_of_what_was_kept() {
        let mut bench = Bench::new(&[("1", VIN)], None);
        let since = "2025-01-01T09:00:00.123456Z";
        let kept = bench.say(0, true, &[("1/battery_level", "55"), ("1/state", "asleep"), ("1/since", since)]);
        assert_eq!((bench.at(&kept[0]), kept[0].facts.wakefulness), (Some(-3599), Some(Wakefulness::Asleep)));
        // Waking alone says nothing about the battery.
        let live = bench.say(60, false, &[("1/state", "online"), ("1/since", "2025-01-01T10:01:00Z")]);
        assert_eq!((live[0].facts.soc, live[0].facts.wakefulness), (None, Some(Wakefulness::Awake)));
        // A state in which TeslaMate knows nothing gives no age.
        let mut bench = Bench::new(&[("1", VIN)], None);
        let kept = bench.say(0, true, &[("1/battery_level", "55"), ("1/state", "unavailable"), ("1/since", since)]);
        assert_eq!(kept[0].taken_at, None);
    }

    #[test]
    fn what_changed_while_the_connection_was_broken_is_taken_up() {
        let mut bench = Bench::new(&[("1", VIN)], None);
        let mut state = VehicleState::new(CarKey::Vin(Vin::parse(VIN).unwrap()));
        bench
            .say(0, false, &[("1/state", "online"), ("1/plugged_in", "true"), ("1/battery_level", "50")])
            .iter()
            .for_each(|report| state.take(report));
        let again =
            bench.say(300, true, &[("1/state", "online"), ("1/plugged_in", "false"), ("1/battery_level", "50")]);
        assert_eq!((bench.at(&again[0]), again[0].facts.soc), (Some(0), None), "the unchanged is not told again");
        again.iter().for_each(|report| state.take(report));
        assert!(!state.plugged.unwrap().value);
    }

    #[test]
    fn cars_without_a_vin_go_by_name_unless_two_share_it() {
        let mut bench = Bench::new(&[], None);
        assert!(bench.say(0, true, &[("1/battery_level", "55")]).is_empty(), "no name yet");
        let told = bench.say(1, true, &[("1/display_name", "Nikola"), ("1/battery_level", "56")]);
        assert_eq!(told[0].car, CarKey::Name("Nikola".into()));
        assert!(bench.say(2, false, &[("2/display_name", "Nikola"), ("2/battery_level", "20")]).is_empty());
        assert!(bench.say(3, false, &[("1/battery_level", "57")]).is_empty());
    }

    #[test]
    fn an_empty_payload_is_no_value() {
        let mut bench = Bench::new(&[("1", VIN)], None);
        let full = bench.say(0, false, &[("1/charger_phases", "3"), ("1/state", "charging")]);
        assert!(full[0].facts.phases.is_some());
        let empty =
            bench.say(1, false, &[("1/charger_phases", ""), ("1/charger_actual_current", ""), ("1/shift_state", "")]);
        assert_eq!((empty[0].facts.phases, empty[0].facts.amps), (None, None));
        let noise = bench.say(2, false, &[("1/charger_actual_current", "NaN"), ("1/battery_level", "-3")]);
        assert_eq!((noise[0].facts.amps, noise[0].facts.soc), (None, None));
    }

    #[test]
    fn a_geofence_says_home_only_as_far_as_it_is_known() {
        for (home, geofence, says) in [
            (None, "Home", Some(true)),
            (None, "", None),
            (None, "Work", None),
            (Some("Villa"), "villa", Some(true)),
            (Some("Villa"), "", Some(false)),
            (Some("Villa"), "Home", Some(false)),
        ] {
            let mut bench = Bench::new(&[("1", VIN)], home);
            let told = bench.say(0, false, &[("1/battery_level", "5"), ("1/geofence", geofence)]);
            assert_eq!(told[0].facts.says_home, says, "{home:?} {geofence}");
        }
    }

    #[test]
    fn a_timer_is_pending_when_the_car_waits_for_it() {
        let pending = |charging: &str, start: &str| {
            let mut bench = Bench::new(&[("1", VIN)], None);
            let pairs = [("1/charging_state", charging), ("1/scheduled_charging_start_time", start)];
            bench.say(0, false, &pairs)[0].facts.schedule_pending
        };
        assert_eq!(pending("Stopped", "2025-01-01T22:00:00Z"), Some(true));
        assert_eq!(pending("Stopped", "2024-12-31T22:00:00Z"), Some(false));
        assert_eq!(pending("Charging", "2025-01-01T22:00:00Z"), Some(false));
        assert_eq!(pending("Stopped", ""), Some(false));
    }

    #[test]
    fn the_recording_reads_as_expected() {
        for recording in recordings::vendor("tesla").iter().filter(|found| found.name().starts_with("teslamate_mqtt")) {
            let mut bench = Bench::new(&[], None);
            let clock = bench.clock(0);
            for line in recording.text().lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                let message = Message {
                    topic: line["topic"].as_str().unwrap().to_owned(),
                    payload: line["payload"].as_str().unwrap().as_bytes().to_vec(),
                    retained: line["retained"].as_bool().unwrap(),
                    received: clock.now,
                };
                bench.telemetry.take(&message, clock);
            }
            let reports = bench.telemetry.news(clock);
            let expected = recording.expected();
            assert_eq!(bench.telemetry.cars.keys().next().unwrap(), expected["car_id"].as_str().unwrap());
            let mut state = VehicleState::new(reports[0].car.clone());
            reports.iter().for_each(|report| state.take(report));
            assert_eq!(state.name.as_ref().unwrap().value, expected["name"].as_str().unwrap());
            assert_eq!(state.plugged.as_ref().unwrap().value, expected["plugged_in"].as_bool().unwrap());
            assert_eq!(state.is_charging(), expected["charging"].as_bool().unwrap());
            recording.assert_number("soc_percent", state.soc.as_ref().map(|seen| seen.value.get()));
            recording.assert_number("limit_percent", state.limit.as_ref().map(|seen| seen.value.get()));
            recording.assert_number("requested_amps", state.amps_requested.as_ref().map(|seen| seen.value.get()));
            recording.assert_number("actual_amps", state.amps.as_ref().map(|seen| seen.value.get()));
            recording.assert_number("phases", state.phases.as_ref().map(|seen| f64::from(seen.value.count())));
            recording.assert_number("volts", state.volts.as_ref().map(|seen| seen.value.get()));
            recording.assert_number("power_w", state.power().map(|watts| watts.get()));
            let minutes = state.to_limit.as_ref().map(|seen| seen.value.as_secs_f64() / 60.0);
            recording.assert_number("minutes_to_limit", minutes);
            let position = state.position.as_ref().map(|seen| seen.value);
            assert_eq!(position.map(|place| place.latitude), expected["latitude"].as_f64());
            assert_eq!(position.map(|place| place.longitude), expected["longitude"].as_f64());
            assert!(expected["home_geofence"] == "Home" && state.says_home.unwrap().value);
        }
    }

    proptest! {
        #[test]
        fn any_payloads_are_survived(
            messages in proptest::collection::vec((0..KEYS.len(), "\\PC{0,12}|-?[0-9]{1,9}|true|Charging", any::<bool>()), 0..30)
        ) {
            let mut bench = Bench::new(&[("1", VIN)], None);
            for (at, (key, payload, retained)) in messages.iter().enumerate() {
                let topic = format!("1/{}", KEYS[*key]);
                for report in bench.say(at as u64, *retained, &[(&topic, payload)]) {
                    prop_assert!(report.facts.amps.is_none_or(|amps| (0.0..=200.0).contains(&amps.get())));
                }
            }
        }
    }
}

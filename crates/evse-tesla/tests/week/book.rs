//! What was seen in the household: limits passed, cars counted twice, starts and stops with their reasons.

use std::collections::BTreeMap;

use evse::MatchedBy;

use crate::connector::VOLTS;
use crate::household::{BLUE, CARS, DAY, FUSE, GREEN, GUEST, HOUR, Household, RED, WIRING};

/// A reason is looked for among those of the last so many seconds.
const LATELY: u64 = 90;
/// From this on current flows.
const FLOWS: f64 = 0.5;

/// What the page said of the place where a car is, at one moment.
#[derive(Debug, Clone)]
struct Said {
    second: u64,
    target: f64,
    offered: f64,
    text: String,
}

/// One start or stop of a car.
#[derive(Debug, Clone)]
pub struct Turn {
    pub second: u64,
    pub car: &'static str,
    pub is_start: bool,
    pub reason: Option<String>,
}

#[derive(Default)]
pub struct Book {
    said: BTreeMap<&'static str, Vec<Said>>,
    flows: BTreeMap<&'static str, bool>,
    pub turns: Vec<Turn>,
    /// Seconds in which the main fuse has been passed without a pause, and the longest such time, with its amps.
    over: u64,
    pub longest_over: (u64, f64, u64),
    /// The same of cars reckoned as more than they draw.
    twice: u64,
    pub longest_twice: (u64, u64),
    /// The same of the car that only its cloud knows: what it draws no more is taken for surplus.
    stale: u64,
    pub longest_stale: (u64, u64),
    /// Seconds in which a car had a share both at its connector and of its own.
    pub two_shares: BTreeMap<&'static str, u64>,
    /// Seconds in which the blue car was plugged in and not recognised, by day, and the longest time without a pause.
    pub unclear: BTreeMap<u64, u64>,
    /// Seconds in which a car that was not recognised left alone what its connector was granted, although it is not full.
    left_alone: u64,
    pub longest_left_alone: (u64, u64),
    pub asleep: BTreeMap<(&'static str, u64), u64>,
    /// How full each car was when it left, with its limit.
    pub left_with: Vec<(u64, &'static str, f64, f64)>,
    woken: BTreeMap<&'static str, u32>,
    pub wakes: BTreeMap<(&'static str, u64), u32>,
    /// What the green car took from ten minutes after it was forbidden on.
    pub denied_wh: f64,
    was_plugged: BTreeMap<&'static str, bool>,
    pub real_wh: f64,
    pub told_wh: f64,
}

impl Book {
    pub fn note(&mut self, house: &Household, step: u64) {
        self.limits(house, step);
        self.counts(house, step);
        self.reasons(house, step);
        for vin in CARS {
            let car = house.look(vin);
            if !car.is_awake() {
                *self.asleep.entry((vin, house.second / DAY)).or_default() += step;
            }
            let is_plugged = car.supply().is_some();
            if self.was_plugged.insert(vin, is_plugged) == Some(true) && !is_plugged {
                self.left_with.push((house.second, vin, car.soc().get(), car.charge_limit().get()));
            }
            let before = self.woken.insert(vin, car.wakes()).unwrap_or(0);
            *self.wakes.entry((vin, house.second / DAY)).or_default() += car.wakes() - before;
            let is_denied = (2 * DAY + 13 * HOUR + 600..3 * DAY + 13 * HOUR).contains(&house.second);
            if vin == GREEN && is_denied {
                self.denied_wh += car.power().get() * step as f64 / 3600.0;
            }
        }
    }

    fn limits(&mut self, house: &Household, step: u64) {
        let drawn: f64 = house.seen.iter().map(|seen| seen.drawn).sum();
        let now: f64 = [RED, BLUE, GUEST].into_iter().map(|vin| house.look(vin).drawn().get()).sum();
        let offered: f64 = house.connectors.iter().map(|connector| connector.offered()).sum();
        let most = drawn.max(now).max(offered);
        assert!(most <= WIRING + 1e-6, "second {}: {drawn} A drawn, {offered} A offered", house.second);
        let worst = house.grid_amps().into_iter().fold(0.0, f64::max);
        self.over = if worst > FUSE + 0.3 { self.over + step } else { 0 };
        if self.over > self.longest_over.0 {
            self.longest_over = (self.over, worst, house.second);
        }
    }

    fn counts(&mut self, house: &Household, step: u64) {
        let snapshot = house.snapshot();
        let (told, real) = (snapshot.power.cars_w, house.drawn_watts());
        self.real_wh += real * step as f64 / 3600.0;
        self.told_wh += told * step as f64 / 3600.0;
        // The car that only its cloud knows may have done something else since its last report.
        let alone = snapshot.evses.iter().find(|evse| evse.id.ends_with(GREEN)).and_then(|evse| evse.power_w);
        let stale = alone.unwrap_or(0.0) - house.look(GREEN).power().get();
        // The least car is 5 A on one phase.
        let is_twice = told > real + stale + 5.0 * VOLTS;
        self.twice = if is_twice { self.twice + step } else { 0 };
        self.longest_twice = self.longest_twice.max((self.twice, house.second));
        let surplus = real - house.grid_amps().iter().sum::<f64>() * VOLTS;
        let is_stale = snapshot.power.surplus_w.is_some_and(|told| told > surplus + 5.0 * VOLTS);
        self.stale = if is_stale { self.stale + step } else { 0 };
        self.longest_stale = self.longest_stale.max((self.stale, house.second));
        for vin in [RED, BLUE] {
            let own = format!("tesla-{vin}");
            let is_apart = snapshot.evses.iter().any(|evse| evse.id == own && evse.target_w > 0.0);
            if is_apart && house.place(vin).is_some() {
                *self.two_shares.entry(vin).or_default() += step;
            }
        }
        if house.place(BLUE).is_some() {
            let is_known = |evse: &&site::EvseView| {
                evse.id == "gen2-2"
                    && evse
                        .car
                        .views
                        .iter()
                        .any(|view| view.id.as_str().ends_with(BLUE) && view.by != MatchedBy::Possible)
            };
            let is_unclear = !snapshot.evses.iter().any(|evse| is_known(&evse));
            if is_unclear {
                *self.unclear.entry(house.second / DAY).or_default() += step;
            }
            let car = house.look(BLUE);
            let has_room = car.soc().get() < car.charge_limit().get() - 0.5;
            let is_granted = snapshot.evses.iter().any(|evse| evse.id == "gen2-2" && evse.target_w > 0.0);
            let is_left = is_unclear && is_granted && has_room && car.drawn().get() <= FLOWS;
            self.left_alone = if is_left { self.left_alone + step } else { 0 };
            self.longest_left_alone = self.longest_left_alone.max((self.left_alone, house.second));
        }
        for evse in &snapshot.evses {
            assert!(
                !evse.bound_by.text.is_empty() && !evse.bound_by.code.is_empty() && !evse.sentence.is_empty(),
                "second {}: {} without a reason",
                house.second,
                evse.id
            );
            if let Some(view) = evse.car.views.iter().find(|view| view.by == MatchedBy::Behaviour) {
                // Connector 1, too, does not know its car for the first seconds.
                let is_right = [("gen2-1", RED), ("gen2-2", BLUE)]
                    .into_iter()
                    .any(|(place, vin)| evse.id.as_str() == place && view.id.as_str() == format!("tesla-{vin}"));
                assert!(is_right, "second {}: {} is not at {}", house.second, view.id, evse.id);
            }
        }
        for vin in CARS.into_iter().chain([GUEST]) {
            let Some(place) = house.place(vin) else { continue };
            let Some(evse) = snapshot.evses.iter().find(|evse| evse.id == place) else { continue };
            let why =
                house.handle.views().iter().find(|view| view.key.as_str() == vin).map(|view| view.why.to_string());
            let said = self.said.entry(vin).or_default();
            said.push(Said {
                second: house.second,
                target: evse.target_w,
                offered: evse.offered_a.unwrap_or(0.0),
                text: format!("{} [{}]", evse.sentence, why.unwrap_or_default()),
            });
            said.retain(|said| said.second + LATELY >= house.second);
        }
    }

    fn reasons(&mut self, house: &Household, step: u64) {
        for vin in CARS.into_iter().chain([GUEST]) {
            let car = house.look(vin);
            let flows = car.drawn().get() > FLOWS;
            if self.flows.insert(vin, flows).unwrap_or(false) == flows {
                continue;
            }
            let lately = self.said.get(vin).cloned().unwrap_or_default();
            // What was said before this step.
            let before = lately.iter().rev().filter(|said| said.second + step <= house.second);
            let reason = if flows { Book::start(house, vin, before) } else { Book::stop(house, vin, before) };
            self.turns.push(Turn { second: house.second, car: vin, is_start: flows, reason });
        }
    }

    fn start<'a>(house: &Household, vin: &'static str, mut lately: impl Iterator<Item = &'a Said>) -> Option<String> {
        if house.second < house.plugged_since(vin) + 2 * LATELY && house.plugged_since(vin) > 0 {
            return Some("plugged in just now".to_owned());
        }
        if house.second <= 60 {
            return Some("the beginning".to_owned());
        }
        let granted = lately.find(|said| said.target > 0.0)?;
        Some(format!("{:.0} W: {}", granted.target, granted.text))
    }

    fn stop<'a>(house: &Household, vin: &'static str, mut lately: impl Iterator<Item = &'a Said>) -> Option<String> {
        let car = house.look(vin);
        if car.supply().is_none() {
            return Some("unplugged".to_owned());
        }
        if car.soc().get() >= car.charge_limit().get() - 0.01 {
            return Some(format!("full at {:.0} %", car.charge_limit().get()));
        }
        let ended = lately.find(|said| said.target <= 0.0)?;
        Some(format!("offered {:.0}: {}", ended.offered, ended.text))
    }

    pub fn starts(&self, vin: &str) -> Vec<u64> {
        self.turns.iter().filter(|turn| turn.is_start && turn.car == vin).map(|turn| turn.second).collect()
    }
}

/// Day, hour and minute.
pub fn clock(second: u64) -> String {
    format!("day {} {:02}:{:02}:{:02}", second / DAY, second % DAY / HOUR, second % HOUR / 60, second % 60)
}

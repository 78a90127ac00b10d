//! What the policies may ask of the site.

use std::time::Instant;

use config::Settings;
use evse::{Plug, Vin};
use policy::{Fact, Facts};
use serde_json::{Map, Value};
use units::Percent;

use crate::Site;
use crate::decide::demand;
use crate::sources::Sources;
use crate::surplus::{Scale, power_factor};

/// A flexible start that has begun keeps so much in hand, so that it does not end when the battery gains a percent.
const FLEX_IN_HAND: f64 = 1.0;
/// The name under which policies ask for cars, as in TWCManager.
const CARS: &str = "TeslaAPI";
/// What TWCManager tells as the least state of charge while none is known.
const UNKNOWN_LEVEL: f64 = 10_000.0;

/// What is known of all cars, wherever they are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CarsFacts {
    /// Each car.
    pub cars: Vec<CarFact>,
}

/// What is known of one car.
#[derive(Debug, Clone, PartialEq)]
pub struct CarFact {
    /// Its VIN, where it is known.
    pub vin: Option<Vin>,
    /// Whether it is at home.
    pub is_at_home: bool,
    /// Its state of charge.
    pub soc: Option<Percent>,
    /// At which it stops by itself.
    pub limit: Option<Percent>,
}

impl CarsFacts {
    /// What `modules.TeslaAPI.ATTRIBUTE` of a policy is.
    fn attribute(&self, attribute: &str) -> Fact {
        let here = self.cars.iter().filter(|car| car.is_at_home);
        match attribute {
            "numCarsAtHome" => Fact::Number(u32::try_from(here.count()).map_or(f64::MAX, f64::from)),
            "minBatteryLevelAtHome" => {
                Fact::Number(here.filter_map(|car| car.soc).map(Percent::get).fold(UNKNOWN_LEVEL, f64::min))
            }
            _ => Fact::Unknown,
        }
    }
}

/// Whether a policy that names this module is about cars.
pub(crate) fn is_about_cars(module: &str) -> bool {
    module == CARS
}

/// What the policies may ask, gathered from the parts of the site.
pub(crate) struct SiteFacts<'a> {
    pub(crate) now: Instant,
    pub(crate) settings: &'a Settings,
    pub(crate) config: &'a Map<String, Value>,
    pub(crate) sources: &'a Sources,
    /// Amps per phase of the site that the surplus allows.
    pub(crate) green_amps: Option<f64>,
    /// The cars that are plugged in; none where the state of charge of one of them is not known.
    pub(crate) cars: Vec<Car>,
    /// What is told of all cars.
    pub(crate) told: Option<&'a CarsFacts>,
}

/// What a schedule has to know of a car.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Car {
    /// Percent.
    pub(crate) soc: f64,
    /// Percent.
    pub(crate) limit: f64,
    /// Kilowatt-hours.
    pub(crate) battery: f64,
    /// Real watts for one amp.
    pub(crate) watts_per_amp: f64,
    /// More hours, so that a flexible start that has begun does not end when the state of charge moves on a percent.
    pub(crate) in_hand: f64,
}

impl Facts for SiteFacts<'_> {
    fn setting(&self, key: &str) -> Option<&Value> {
        self.settings.value(key)
    }

    fn config(&self, key: &str) -> Option<&Value> {
        self.config.get(key)
    }

    fn module(&self, name: &str, attribute: &str) -> Fact {
        match self.told {
            Some(cars) if is_about_cars(name) => cars.attribute(attribute),
            _ => self.sources.attribute(name, attribute, self.now),
        }
    }

    fn green_amps(&self) -> Option<f64> {
        self.green_amps
    }

    fn hours_to_charge(&self, amps: f64) -> Option<(f64, f64)> {
        let first = self.cars.first()?;
        let kilowatts = amps * first.watts_per_amp / 1000.0;
        if kilowatts <= 0.0 {
            return None;
        }
        // The rate is for all of them together.
        let missing = |car: &Car| car.battery * (car.limit - car.soc).max(0.0) / 100.0;
        let energy: f64 = self.cars.iter().map(missing).sum();
        let limit = self.cars.iter().map(|car| car.limit).fold(0.0, f64::max);
        Some((energy / kilowatts + first.in_hand, limit))
    }
}

impl Site {
    /// What is known of all cars, for policies that ask, and for schedules that start as late as they can.
    pub fn handle_cars(&mut self, now: &policy::Now, cars: CarsFacts) {
        if self.cars.as_ref() != Some(&cars) {
            self.cars = Some(cars);
            self.judge_now |= self.setup.policy.is_some();
            self.note(now);
        }
    }

    /// The cars that a schedule is to fill; none where that cannot be told of each.
    pub(crate) fn plugged_cars(&self, scale: Scale) -> Vec<Car> {
        let limit = self.setup.config.get("scheduledLimit").and_then(|value| Fact::from_json(value).number());
        let limit = limit.filter(|limit| (50.0..=100.0).contains(limit));
        let is_charging_by_it = self.judged.as_ref().is_some_and(|judged| judged.kind == "scheduled");
        let schedule = self.settings.schedule();
        let own_limit = |vin: &Vin| self.cars.as_ref()?.cars.iter().find(|car| car.vin.as_ref() == Some(vin))?.limit;
        let is_only = self.points.len() == 1;
        let takes_part = |point: &&crate::point::Point| {
            is_only || !(point.status.plug == Plug::Unplugged || matches!(demand(point), allocator::Demand::None(_)))
        };
        let of = |point: &crate::point::Point| {
            let own = point.status.vin.as_ref().and_then(own_limit).map(Percent::get);
            Some(Car {
                soc: point.status.soc?.get(),
                // Without a limit of ours the car may want all: better to start early.
                limit: limit.or(own).unwrap_or(100.0),
                battery: schedule.battery_kwh,
                watts_per_amp: scale.watts_per_amp() * power_factor(&self.setup, schedule.rate.get()),
                in_hand: if is_charging_by_it { FLEX_IN_HAND } else { 0.0 },
            })
        };
        let cars: Option<Vec<Car>> = self.points.values().filter(takes_part).map(of).collect();
        cars.unwrap_or_default()
    }
}

//! On what terms the car at a charging point takes part: whether it may charge at all, whether it comes before all
//! others, and how it is stopped.

use config::ChargeStopMode;
use evse::{EvseStatus, View};
use policy::Ask;
use units::Percent;

use crate::cars::{self, Permission, PermittedBy};
use crate::point::Point;
use crate::{Output, Site, SiteSetup, words};

/// On what terms a car takes part, as of the last decision.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Terms {
    pub(crate) permission: Permission,
    pub(crate) by: PermittedBy,
    /// Why it may not charge now.
    pub(crate) bar: Option<Bar>,
    /// Its state of charge is below its least, so it comes before all others and is charged whatever the rule.
    pub(crate) is_first: bool,
    /// Rank set for the car itself.
    pub(crate) priority: Option<i32>,
    /// Least state of charge that is set for it, or for all cars.
    pub(crate) min_soc: Option<f64>,
    /// Whether a stop may be asked for, beyond being offered nothing.
    pub(crate) may_stop: bool,
}

/// Why a car may not charge now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bar {
    /// It may not charge at all.
    Denied(PermittedBy),
    /// It may charge from surplus alone, and the rule in force gives something else.
    OnlyGreen,
}

impl Site {
    /// Judges the terms of every car anew.
    pub(crate) fn weigh(&mut self) {
        let is_green = self.judged.as_ref().is_some_and(|judged| judged.ask == Ask::Surplus);
        let is_off_grid = self.off_grid_source().is_some();
        for point in self.points.values_mut() {
            let vin = point.status.vin.as_ref().map(evse::Vin::as_str);
            let options = cars::options(&self.settings, vin);
            let (permission, by) = cars::permission(&self.settings, vin);
            let min_soc = options.min_soc.or_else(|| min_charge_level(&self.setup));
            let is_below = matches!((point.status.soc, min_soc), (Some(soc), Some(least)) if soc.get() < least);
            let is_first = is_below && permission != Permission::Deny && !is_off_grid;
            let bar = match permission {
                Permission::Deny => Some(Bar::Denied(by)),
                Permission::Green if !is_green && !is_first => Some(Bar::OnlyGreen),
                _ => None,
            };
            let stop = cars::stop_mode(&self.settings, &point.status.id, vin);
            point.terms = Terms {
                permission,
                by,
                bar,
                is_first,
                priority: options.priority,
                min_soc,
                may_stop: may_stop(point, stop, bar),
            };
        }
        self.tell_permissions();
    }

    /// Tells of every car that is at home whether it may charge, where that changed.
    fn tell_permissions(&mut self) {
        for point in self.points.values() {
            let Some(vin) = &point.status.vin else { continue };
            let terms = &point.terms;
            let refusal =
                matches!(terms.bar, Some(Bar::Denied(_))).then(|| words::permission(terms.permission, terms.by));
            // At first also that it may: an earlier site may have told otherwise.
            if self.refused.get(vin) == Some(&refusal) {
                continue;
            }
            self.refused.insert(vin.clone(), refusal.clone());
            self.outputs.push_back(Output::CarPermission { vin: vin.clone(), refusal });
        }
    }

    /// Least that cars which come before all others are charged with, whatever the rule: amps per phase, and watts.
    pub(crate) fn first_needs(&self) -> (units::Amps, f64) {
        let first = self.points.values().filter(|point| {
            point.terms.is_first && !matches!(crate::decide::demand(point), allocator::Demand::None(_))
        });
        first.fold((units::Amps::ZERO, 0.0), |(amps, watts), point| {
            let limits = self.limits_of(&point.status);
            (amps + limits.min, watts + limits.min_power().get())
        })
    }
}

/// Whether a car that draws without being granted anything may be told to stop: always where it is the only one to hear it
/// or may not charge; at a connector, by the way that people chose.
fn may_stop(point: &Point, mode: ChargeStopMode, bar: Option<Bar>) -> bool {
    let has_own_view = point.views.iter().any(is_own_view);
    let is_elsewhere = !point.status.is_on_circuit;
    bar.is_some()
        || is_elsewhere
        || mode == ChargeStopMode::Connector
        || (mode == ChargeStopMode::Vehicle && has_own_view)
}

fn is_own_view(view: &View) -> bool {
    !view.is_local && view.by != evse::MatchedBy::Possible
}

/// `config.minChargeLevel`: below it a car is never stopped.
fn min_charge_level(setup: &SiteSetup) -> Option<f64> {
    let level = setup.config.get("minChargeLevel").and_then(|value| policy::Fact::from_json(value).number())?;
    (level > 0.0 && level <= 100.0).then_some(level)
}

/// State of charge as people read it.
pub(crate) fn soc(status: &EvseStatus) -> f64 {
    status.soc.map_or(0.0, Percent::get)
}

//! What somebody should know about the site: found anew with every decision.

use evse::{EventLevel, Link};
use policy::{Ask, Now, PolicyList, Schedule};
use units::Amps;

use crate::alerts::Condition;
use crate::limits::{Headroom, breach};
use crate::sources::{HoldBack, Sources};
use crate::surplus::NoSurplus;
use crate::{FreshnessView, Site, SiteSetup, words};

/// What the configuration alone has to be told about.
pub(crate) fn remarks(setup: &SiteSetup, list: &PolicyList, sources: &Sources) -> Vec<Condition> {
    let mut found = Vec::new();
    if setup.min_amps_each > setup.max_amps_each.min(setup.max_amps_all) {
        let most = setup.max_amps_each.min(setup.max_amps_all);
        found.push(Condition::new(
            "min_above_max",
            EventLevel::Warning,
            format!(
                "Nothing is ever charged: `minAmpsPerTWC` is {}, but the wiring allows {} for one charging point. Correct \
                 `minAmpsPerTWC` or `wiringMaxAmpsPerTWC`.",
                words::amps(setup.min_amps_each.get()),
                words::amps(most.get())
            ),
        ));
    }
    for remark in list.remarks() {
        let about = if remark.policy.is_empty() { String::new() } else { format!(" (policy \"{}\")", remark.policy) };
        found.push(Condition::new(
            format!("policy_remark:{}", remark.key),
            EventLevel::Info,
            format!("`{}`{about}: {}.", remark.key, remark.text),
        ));
    }
    for module in list
        .modules()
        .into_iter()
        .filter(|module| !sources.knows_module(module) && !crate::facts::is_about_cars(module))
    {
        found.push(Condition::new(
            format!("policy_module:{module}"),
            EventLevel::Warning,
            format!("A policy asks for `modules.{module}`, which is no configured source: its conditions about it never hold."),
        ));
    }
    found
}

impl Site {
    pub(crate) fn settle_alerts(&mut self, now: &Now, grid: &Headroom, fuse: &Headroom) {
        let mut found = self.remarks.clone();
        self.note_sources(now, &mut found);
        self.note_grid(&mut found);
        self.note_limits(grid, fuse, &mut found);
        self.note_points(now, &mut found);
        if let Some(error) = &self.save_error {
            let text = format!("The settings cannot be saved: {error}. Changes are lost when the program ends.");
            found.push(Condition::new("settings_not_saved", EventLevel::Warning, text));
        }
        let facts = self.facts(now.mono);
        if let Some(text) = Schedule::mismatch(&facts) {
            found.push(Condition::new("schedule_mismatch", EventLevel::Info, capitalised(&text)));
        }
        for event in self.alerts.settle(now, found) {
            self.outputs.push_back(crate::Output::Event(event));
        }
    }

    fn note_sources(&self, now: &Now, found: &mut Vec<Condition>) {
        for source in &self.sources.all {
            let error = source.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            let text = match source.freshness(now.mono, self.sources.stale_after) {
                Some(FreshnessView::Stale) => format!(
                    "{} has given no reading for more than {} s{error}",
                    source.name,
                    source.stale_after(self.sources.stale_after).as_secs()
                ),
                None if source.error.is_some() => format!("{} has given no reading yet{error}", source.name),
                _ => continue,
            };
            let code = format!("source_stale:{}", source.name);
            found.push(Condition::new(code, EventLevel::Warning, format!("{}.", text.trim_end_matches('.'))));
        }
        let is_green = self.judged.as_ref().is_some_and(|judged| judged.ask == Ask::Surplus);
        let warmed_up = now.mono.saturating_duration_since(self.started.mono) >= self.sources.stale_after / 4;
        let unknown = self.state.grantable.as_ref().err().filter(|why| !matches!(why, NoSurplus::HeldBack(_)));
        if let (true, true, Some(why)) = (is_green, warmed_up, unknown) {
            let text = format!("The surplus is not known, so nothing is offered: {}.", words::no_surplus(why));
            found.push(Condition::new("surplus_unknown", EventLevel::Warning, text));
        }
    }

    fn note_grid(&self, found: &mut Vec<Condition>) {
        if let Some(HoldBack::OffGrid(source)) = &self.state.hold_back {
            let text = format!(
                "The house is cut off from the grid, as {source} tells: no car is charged until it is back. Charge Now, asked for \
                 from now on, charges all the same."
            );
            found.push(Condition::new("off_grid", EventLevel::Warning, text));
        }
        if let Some(names) = self.sources.rival_grid_meters() {
            let first = names.first().copied().unwrap_or_default();
            let text = format!(
                "{} all say that they sit at the grid connection: {first} counts, the next one only while that gives no \
                 reading. Set `role` of a meter that measures something else, or remove it.",
                names.join(", ")
            );
            found.push(Condition::new("several_grid_meters", EventLevel::Warning, text));
        }
    }

    fn note_limits(&self, grid: &Headroom, fuse: &Headroom, found: &mut Vec<Condition>) {
        for (headroom, key, code) in
            [(grid, "maxAmpsAllowedFromGrid", "grid_limit_blind"), (fuse, "gridFuseAmpsPerPhase", "fuse_blind")]
        {
            if matches!(headroom, Headroom::Unknown) {
                let text = format!(
                    "`{key}` is set, but no source tells what the house draws now (`staleAfter`): each car gets at most {} (`failSafeAmps`).",
                    words::amps(self.setup.fail_safe.get())
                );
                found.push(Condition::new(code, EventLevel::Warning, text));
            }
        }
        if self.setup.grid_fuse.is_some() && !matches!(fuse, Headroom::Unknown) && self.picture.phases.is_none() {
            found.push(Condition::new(
                "fuse_without_phases",
                EventLevel::Info,
                "No meter tells the current of each phase: the main fuse is judged by the total, which a one-sided load can pass.",
            ));
        }
        if let Some((phase, amps)) = breach(self.setup.grid_fuse, &self.picture) {
            let text = format!(
                "{phase} of the main fuse carries {} of {}: cars are held back; switch off large loads.",
                words::amps(amps.get()),
                words::amps(self.setup.grid_fuse.map_or(0.0, Amps::get))
            );
            found.push(Condition::new("fuse_breach", EventLevel::Alarm, text));
        }
    }

    fn note_points(&self, now: &Now, found: &mut Vec<Condition>) {
        for point in self.points.values() {
            let status = &point.status;
            let id = status.id.as_str();
            if status.link == Link::Lost {
                let text = format!("{} does not answer: look at its supply and its cable.", status.name);
                found.push(Condition::new("evse_lost", EventLevel::Warning, text).about(id));
            }
            if point.disobeys(now.mono) {
                let text = format!(
                    "{} still draws {} although nothing is offered: stop the car itself, or let the connector stop it \
                     (`chargeStopMode` 3 in the settings).",
                    status.name,
                    words::amps(point.drawn_amps())
                );
                found.push(Condition::new("car_disobeys", EventLevel::Warning, text).about(id));
            }
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).chain(['.']).collect())
}

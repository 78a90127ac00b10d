//! One decision: from what is known to what each charging point is told.

use std::time::{Duration, Instant};

use allocator::{
    Cap, Circuit, CircuitId, CircuitLimit, Circuits, Demand, EvseRequest, PhaseMap, PowerSource, Request, Timing,
    Unserved,
};
use config::OffsetUnit;
use evse::{EvseLimits, EvseStatus};
use policy::{Ask, Now, sun_hours};
use units::{Amps, PerPhase, Phases, Volts, Watts};

use crate::combine::combine;
use crate::facts::SiteFacts;
use crate::limits::{Headroom, base_per_phase, headroom};
use crate::site::CircuitChain;
use crate::sources::HoldBack;
use crate::surplus::{NoSurplus, Scale, base, grantable, surplus};
use crate::{Event, Output, Site, words};

/// What a Gen 2 connector and most others are told is a whole number of amps.
const STEP: Amps = Amps::from_whole(1);
/// What was offered and drawn is written down this often while a car charges.
const OFFER_EVERY: Duration = Duration::from_secs(60);
/// The circuits by which the site bounds its charging points, from the grid connection in: all cars share the grid limit, the
/// main fuse and what the rule gives; the charging points among them share their wiring as well. A car on somebody else's
/// charger hangs on the rule.
pub(crate) fn circuits() -> (Circuits, Option<CircuitChain>) {
    let chain = [
        (words::GRID, None),
        (words::FUSE, Some(words::GRID)),
        (words::RULE, Some(words::FUSE)),
        (words::WIRING, Some(words::RULE)),
    ];
    let all = chain.map(|(name, parent)| Circuit {
        id: CircuitId::new(name),
        limit: CircuitLimit::default(),
        parent: parent.map(CircuitId::new),
    });
    // Four different names, each fed by the one before: a tree.
    let circuits = Circuits::new(all.to_vec()).unwrap_or_default();
    let key = |name| circuits.key(&CircuitId::new(name));
    let keys = (|| {
        Some(CircuitChain {
            wiring: key(words::WIRING)?,
            grid: key(words::GRID)?,
            fuse: key(words::FUSE)?,
            rule: key(words::RULE)?,
        })
    })();
    (circuits, keys)
}

/// What the grid connection leaves, and what follows.
struct Bounds {
    grid: Headroom,
    fuse: Headroom,
}

impl Site {
    /// Judges everything anew and tells what follows.
    pub(crate) fn decide(&mut self, now: &Now) {
        self.follow_the_sun(now);
        self.picture = combine(&self.sources, now.mono, self.setup.default_volts);
        let scale = self.scale();
        let offset = self.offset_watts(scale);
        self.state.hold_back = self.sources.hold_back(now.mono);
        self.state.may_charge_off_grid &= self.is_off_grid();
        let hold_back = self.state.hold_back.as_ref();
        let found =
            surplus(&self.setup, &self.picture, &self.sources, hold_back, &mut self.meters, &self.history, offset);
        self.state.surplus = match &found {
            Ok(surplus) => Some(surplus.watts),
            Err(NoSurplus::HeldBack(_)) => Some(0.0),
            Err(_) => None,
        };
        self.state.grantable = found.map(|surplus| match surplus.watts {
            watts if watts > 0.0 => grantable(&self.setup, scale, watts).get(),
            watts => watts,
        });
        self.judge(now);
        let bounds = self.bounds(now.mono, scale);
        self.share(now, scale, &bounds);
        self.settle_alerts(now, &bounds.grid, &bounds.fuse);
        self.record(now);
        self.plan_wake(now);
    }

    /// Voltage and phases of the site: measured where the charging points agree, configured otherwise.
    pub(crate) fn scale(&self) -> Scale {
        let (mut sum, mut count) = (0.0, 0u32);
        let mut phases: Option<u8> = None;
        let mut agree = true;
        for point in self.points.values().filter(|point| point.status.is_on_circuit) {
            let known = point.status.volts.into_array();
            let connected = known.iter().flatten().filter(|volts| volts.get() > 50.0);
            let here = connected.fold(0u8, |here, volts| {
                sum += volts.get();
                count += 1;
                here + 1
            });
            if here > 0 {
                agree &= phases.is_none_or(|phases| phases == here);
                phases = Some(here);
            }
        }
        let measured = phases.filter(|_| agree).and_then(Phases::from_count);
        match (measured, count) {
            (Some(phases), 1..) => Scale { volts: Volts::saturating(sum / f64::from(count)), phases },
            _ => Scale { volts: self.setup.default_volts, phases: self.setup.phases },
        }
    }

    pub(crate) fn is_off_grid(&self) -> bool {
        matches!(self.state.hold_back, Some(HoldBack::OffGrid(_)))
    }

    /// The source that keeps every rule from charging since the house is cut off from the grid: it lives on its battery. Only
    /// Charge Now that somebody asked for in full knowledge of that goes on.
    pub(crate) fn off_grid_source(&self) -> Option<&str> {
        let is_wanted =
            self.state.may_charge_off_grid && self.judged.as_ref().is_some_and(|judged| judged.kind == "charge_now");
        match &self.state.hold_back {
            Some(HoldBack::OffGrid(source)) if !is_wanted => Some(source),
            _ => None,
        }
    }

    fn offset_watts(&self, scale: Scale) -> f64 {
        let named: f64 = self
            .settings
            .consumption_offsets()
            .iter()
            .map(|offset| match offset.unit {
                OffsetUnit::Watts => offset.value,
                OffsetUnit::Amps => offset.value * scale.watts_per_amp(),
            })
            .sum();
        let offset = named + self.setup.legacy_offset * scale.watts_per_amp();
        if offset.is_finite() { offset } else { 0.0 }
    }

    fn follow_the_sun(&mut self, now: &Now) {
        let position = self.setup.position.or_else(|| self.settings.home());
        let key = (now.wall.date(), position);
        if self.sun_of == Some(key) {
            return;
        }
        self.sun_of = Some(key);
        let (rise, set) = sun_hours(key.0, position, now.wall.time_zone());
        let is_same = |name: &str, hour: u8| {
            self.settings.value(name).and_then(serde_json::Value::as_u64) == Some(u64::from(hour))
        };
        if !(is_same("sunrise", rise) && is_same("sunset", set)) {
            self.settings.set_sun(rise, set);
            self.save();
        }
    }

    /// What the policies may ask now.
    pub(crate) fn facts(&self, now: Instant) -> SiteFacts<'_> {
        let scale = self.scale();
        SiteFacts {
            now,
            settings: &self.settings,
            config: &self.setup.config,
            sources: &self.sources,
            green_amps: self.green_amps(scale),
            cars: self.plugged_cars(scale),
            told: self.cars.as_ref(),
        }
    }

    fn green_amps(&self, scale: Scale) -> Option<f64> {
        let watts = match &self.state.grantable {
            Ok(watts) => *watts,
            Err(NoSurplus::HeldBack(_)) => 0.0,
            Err(_) => return None,
        };
        Some((watts.max(0.0) / scale.watts_per_amp() * 100.0).round() / 100.0)
    }

    /// Judges the policies when it is time, and tells what a change brings.
    fn judge(&mut self, now: &Now) {
        if !self.judge_now && self.judge_at.is_some_and(|at| at > now.mono) {
            return;
        }
        self.judge_now = false;
        let scale = self.scale();
        let facts = SiteFacts {
            now: now.mono,
            settings: &self.settings,
            config: &self.setup.config,
            sources: &self.sources,
            green_amps: self.green_amps(scale),
            cars: self.plugged_cars(scale),
            told: self.cars.as_ref(),
        };
        let judged = self.engine.judge(now, &facts);
        self.judge_at = Some(self.next_judgement(now));
        let was_green = self.judged.as_ref().is_some_and(|judged| judged.ask == Ask::Surplus);
        let is_green = judged.as_ref().is_some_and(|judged| judged.ask == Ask::Surplus);
        if was_green && !is_green {
            // What the surplus asked to wait for does not bind another rule.
            self.points.values_mut().for_each(|point| point.gate.pardon());
            self.damper.forget();
        }
        let limit = judged.as_ref().and_then(|judged| judged.charge_limit);
        let change =
            judged.as_ref().and_then(|judged| judged.change.clone().map(|change| (judged.name.clone(), change)));
        self.judged = judged;
        if let Some((name, change)) = change {
            // Whoever rests or waits for his turn under one rule does not under the next.
            self.rotation = allocator::Rotation::default();
            self.judged_since = Some(now.epoch());
            self.call(change.exit, change.from.as_deref().unwrap_or_default(), "exit");
            self.call(change.enter, &name, "enter");
            let reason = words::policy(&self.context(now));
            self.outputs.push_back(Output::Event(Event::Policy { from: change.from, to: name, reason }));
        }
        if self.vehicle_limit != Some(limit) {
            self.vehicle_limit = Some(limit);
            self.outputs.push_back(Output::VehicleLimit(limit));
        }
    }

    /// At the latest after the check interval; before that when a minute begins, Charge Now ends or a hold ends.
    fn next_judgement(&self, now: &Now) -> Instant {
        let epoch = now.epoch();
        let in_seconds = |seconds: f64| now.mono + Duration::from_secs_f64(seconds.clamp(0.001, 3600.0));
        let minute = in_seconds(60.0 - epoch.rem_euclid(60.0) + 0.001);
        let end = self.settings.charge_now_time_end();
        let charge_now = (end > epoch).then(|| in_seconds(end - epoch + 0.001));
        [Some(now.mono + self.setup.check_interval), Some(minute), charge_now, self.engine.held_until()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(minute)
    }

    fn bounds(&mut self, now: Instant, scale: Scale) -> Bounds {
        if self.setup.grid_limit.is_none() && self.setup.grid_fuse.is_none() {
            return Bounds { grid: Headroom::Unlimited, fuse: Headroom::Unlimited };
        }
        let by_phase = base_per_phase(&self.picture, &mut self.meters, &self.history);
        let total = base(&self.setup, &self.picture, &mut self.meters, &self.history, now);
        Bounds {
            grid: headroom(self.setup.grid_limit, by_phase, total, scale),
            fuse: headroom(self.setup.grid_fuse, by_phase, total, scale),
        }
    }

    /// What bounds one charging point, with what the configuration adds. `minAmpsPerTWC` and `wiringMaxAmpsPerTWC` are about
    /// our charging points: a car on another charger has its own bounds.
    pub(crate) fn limits_of(&self, status: &EvseStatus) -> EvseLimits {
        let limits = &status.limits;
        if !status.is_on_circuit {
            let most = if self.state.has_fail_safe { limits.max.min(self.setup.fail_safe) } else { limits.max };
            return EvseLimits { max: most, ..*limits };
        }
        let most = limits.max.min(self.setup.max_amps_each);
        let most = if self.state.has_fail_safe { most.min(self.setup.fail_safe) } else { most };
        EvseLimits { min: limits.min.max(self.setup.min_amps_each), max: most, ..*limits }
    }

    fn share(&mut self, now: &Now, scale: Scale, bounds: &Bounds) {
        let wiring = self.setup.max_amps_all;
        self.state.has_fail_safe = matches!(bounds.grid, Headroom::Unknown) || matches!(bounds.fuse, Headroom::Unknown);
        self.state.headroom = [bounds.grid.least(), bounds.fuse.least()].into_iter().flatten().min();

        self.weigh();
        let ask = self.judged.as_ref().map_or(Ask::Unknown, |judged| judged.ask);
        let flex = self.judged.as_ref().map_or(0.0, |judged| judged.flex);
        let green = (ask == Ask::Surplus).then(|| self.green(now, flex * scale.watts_per_amp()));
        self.state.held_until = green.as_ref().and_then(|green| green.held_until);
        let fixed = match ask {
            Ask::Surplus => None,
            Ask::Unknown => Some(self.fixed(0.0, 0.0)),
            Ask::Amps(_) if self.off_grid_source().is_some() => Some(self.fixed(0.0, 0.0)),
            Ask::Amps(amps) => Some(self.fixed(amps, flex)),
        };
        let granted_w = green.as_ref().map_or(0.0, |green| green.budget.max(0.0));
        let granted_amps = fixed.map_or(granted_w / scale.watts_per_amp(), |amps| amps.min(wiring).get());
        self.state.granted_amps = granted_amps;
        self.state.granted_w = granted_amps * scale.watts_per_amp();

        if let Some(keys) = self.keys {
            let amps = |headroom: Headroom| match headroom {
                Headroom::Amps(amps) => CircuitLimit { amps, power: None },
                _ => CircuitLimit::default(),
            };
            self.circuits.set_limit(keys.wiring, CircuitLimit::per_phase(wiring));
            self.circuits.set_limit(keys.grid, amps(bounds.grid));
            self.circuits.set_limit(keys.fuse, amps(bounds.fuse));
            self.circuits.set_limit(keys.rule, fixed.map_or_else(CircuitLimit::default, CircuitLimit::per_phase));
        }
        let may_take_turns = self.points.values().filter(|point| !matches!(demand(point), Demand::None(_))).count() > 1;
        let requests: Vec<EvseRequest> =
            self.points.values().map(|point| self.request(now.mono, point, may_take_turns)).collect();
        let request = Request {
            power: green.map(|green| Cap { amount: Watts::saturating(green.budget), source: PowerSource::Surplus }),
            circuits: &self.circuits,
            evses: &requests,
            timing: Timing::default(),
        };
        let allocation = allocator::allocate(&request, &self.rotation, now.mono);
        self.rotation = allocation.rotation;
        self.wake = allocation.decide_again_at;
        self.tell_circuit_limit(wiring, bounds, &allocation.shares);
        self.tell(now, &requests, allocation.shares);
    }

    fn request(&self, now: Instant, point: &crate::point::Point, has_others: bool) -> EvseRequest {
        let mut request = EvseRequest::from_status(&point.status);
        request.limits = self.limits_of(&point.status);
        request.circuit = self.keys.map(|keys| if point.status.is_on_circuit { keys.wiring } else { keys.rule });
        request.priority = match point.terms.priority.unwrap_or(point.priority) {
            _ if point.terms.is_first => i32::MAX,
            rank => rank,
        };
        request.target = point.target;
        request.step = STEP;
        request.demand = demand(point);
        if has_others {
            // What it leaves alone is for others.
            request.can_take = point.can_take(now, &request.limits);
            if point.takes_nothing(now) && request.demand == Demand::Wants {
                request.demand = Demand::MightWant;
            }
        }
        if let Some(most) = point.beside_first {
            request.can_take = Some(request.can_take.map_or(most, |can_take| can_take.min(most)));
        }
        if point.wait.is_some() && !matches!(request.demand, Demand::None(_)) {
            request.demand = Demand::None(Unserved::NotAllowed);
        }
        if point.status.limits.phases.count() < self.setup.phases.count() {
            // Nobody knows on which phase it hangs, so it is counted on each.
            request.phase_map = PhaseMap::UNKNOWN;
        }
        request
    }

    fn tell_circuit_limit(&mut self, wiring: Amps, bounds: &Bounds, shares: &[allocator::Share]) {
        let ours = self.points.values().filter(|point| point.status.is_on_circuit).count();
        let count = i32::try_from(ours).unwrap_or(i32::MAX).max(1);
        // What cars on other chargers take of the grid connection, or are told that they may, is not for our charging points.
        let elsewhere: Amps = self
            .points
            .values()
            .zip(shares)
            .filter(|(point, _)| !point.status.is_on_circuit)
            .map(|(point, share)| {
                let EvseLimits { volts, phases, .. } = point.status.limits;
                let told = point.target.max(share.permitted).amps_floor(volts, phases);
                told.max(point.status.committed).max(point.status.drawn.unwrap_or(Amps::ZERO))
            })
            .fold(Amps::ZERO, |sum, amps| sum + amps);
        let safe = Amps::from_centiamps(self.setup.fail_safe.centiamps().saturating_mul(count));
        let of = |headroom: &Headroom, phase| match headroom {
            Headroom::Unlimited => wiring,
            Headroom::Unknown => safe.min(wiring),
            Headroom::Amps(amps) => amps[phase].map_or(wiring, |left| (left - elsewhere).at_least_zero().min(wiring)),
        };
        let limit = PerPhase::from_fn(|phase| of(&bounds.grid, phase).min(of(&bounds.fuse, phase)));
        let [l1, l2, l3] = limit.into_array();
        self.state.limit = l1.min(l2).min(l3);
        if self.circuit_limit != Some(limit) {
            self.circuit_limit = Some(limit);
            self.outputs.push_back(Output::CircuitLimit(limit));
        }
    }

    /// Hands out the shares.
    fn tell(&mut self, now: &Now, requests: &[EvseRequest], shares: Vec<allocator::Share>) {
        let outputs = &mut self.outputs;
        let mut out = |output| outputs.push_back(output);
        // The points, the requests and the shares are in one order. Falls go out before rises.
        let mut told: Vec<_> = self.points.values_mut().zip(requests).zip(shares).collect();
        told.sort_by_key(|((point, _), share)| share.permitted > point.target);
        for ((point, request), share) in told {
            point.tell(now.mono, share.permitted, &request.limits, &mut out);
            point.bound_by = share.bound_by;
            point.watch(now.mono);
            point.command(now.mono, point.terms.may_stop, &mut out);
        }
        self.note_draw(now);
        self.note_offers(now);
    }

    fn note_offers(&mut self, now: &Now) {
        let due = |point: &crate::point::Point| match point.offer_noted {
            None => true,
            Some((at, offered)) => {
                offered != point.status.offered
                    || (point.status.is_charging() && now.mono.saturating_duration_since(at) >= OFFER_EVERY)
            }
        };
        let ids: Vec<_> = self.points.iter().filter(|(_, point)| due(point)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            let Some(point) = self.points.get(&id) else { continue };
            let reason = self.reason(now, point).code;
            let (offered, drawn, power) = (point.status.offered, point.status.drawn, point.status.power);
            if let Some(point) = self.points.get_mut(&id) {
                point.offer_noted = Some((now.mono, offered));
            }
            self.outputs.push_back(Output::Event(Event::Offer { evse: id, offered, drawn, power, reason }));
        }
    }

    fn plan_wake(&mut self, now: &Now) {
        let points = self
            .points
            .values()
            .flat_map(|point| [point.renewal(), point.next_command(now.mono), point.next_watch(now.mono)]);
        let all =
            points.chain([self.wake, self.green_wake.take(), self.judge_at, self.sources.next_staleness(now.mono)]);
        // What lies in the past was dealt with just now.
        let soonest = now.mono + Duration::from_millis(1);
        self.wake = all.flatten().map(|at| at.max(soonest)).min();
    }

    pub(crate) fn reason(&self, now: &Now, point: &crate::point::Point) -> crate::ReasonView {
        let limits = self.limits_of(&point.status);
        words::reason(&self.context(now), &limits, point)
    }

    pub(crate) fn context<'a>(&'a self, now: &'a Now) -> words::Context<'a> {
        let schedule = self.judged.as_ref().is_some_and(|judged| judged.kind == "scheduled").then(|| {
            let facts = self.facts(now.mono);
            policy::Schedule::from_facts(&facts).current(&now.wall, &facts)
        });
        words::Context {
            now,
            judged: self.judged.as_ref(),
            off_grid: self.off_grid_source(),
            surplus: &self.state.grantable,
            charge_now_until: self.settings.charge_now_time_end(),
            schedule_until: schedule.flatten().map(|occurrence| occurrence.end.as_duration().as_secs_f64()),
            held_until: self.state.held_until,
            has_fail_safe: self.state.has_fail_safe,
            headroom: self.state.headroom,
        }
    }
}

/// Whether power offered to it would be used, and whether it takes part at all.
pub(crate) fn demand(point: &crate::point::Point) -> Demand {
    match Demand::of(&point.status) {
        other @ Demand::None(reason) if reason != Unserved::Declined || !point.is_stopped_by_us => other,
        _ if !point.is_enabled || point.terms.bar.is_some() => Demand::None(Unserved::NotAllowed),
        Demand::None(_) => Demand::Wants,
        other => other,
    }
}

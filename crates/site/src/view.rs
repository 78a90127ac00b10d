//! The snapshot: what the site knows and why it does what it does, for every front end.

use policy::{Ask, Now};
use units::{Amps, PerPhase, Percent, Volts, WattHours, Watts};

use crate::combine::{Channel, Flow};
use crate::point::Point;
use crate::{
    CarView, ChargeNowView, EvseView, ExchangeView, MeasuredView, PolicyView, PowerView, SessionView, Site, SiteView,
    Snapshot, SourceView, words,
};

impl Site {
    /// The state for front ends, as of the last drain.
    #[must_use]
    pub fn snapshot(&self, now: &Now) -> Snapshot {
        Snapshot {
            sequence: self.sequence,
            at: now.epoch(),
            started_at: self.started.epoch(),
            site: SiteView {
                max_amps_all: self.setup.max_amps_all.get(),
                max_amps_each: self.setup.max_amps_each.get(),
                min_amps_each: self.setup.min_amps_each.get(),
                default_volts: self.setup.default_volts.get(),
                phases: self.setup.phases.count(),
                is_demo: self.setup.is_demo,
            },
            power: self.power_view(now),
            policy: self.policy_view(now),
            charge_now: self.charge_now_view(now),
            evses: self.points.values().map(|point| self.evse_view(now, point)).collect(),
            sources: self.source_views(now),
            alerts: self.alerts.view(),
        }
    }

    fn power_view(&self, now: &Now) -> PowerView {
        let measured = |channel: Channel| channel.shown().map(|flow| measured(now, flow));
        let cars = self.points.values().map(|point| point.shown_watts(&self.setup)).sum::<f64>();
        let sees_cars = self.setup.subtract_charger_load
            || self.picture.is_consumption_derived
            || self.picture.grid != Channel::Absent;
        let house = measured(self.picture.consumption).map(|consumption| MeasuredView {
            w: if sees_cars { (consumption.w - cars).max(0.0) } else { consumption.w },
            ..consumption
        });
        PowerView {
            generation: measured(self.picture.generation),
            exchange: self
                .picture
                .exchange
                .map(|(export, import)| ExchangeView { export: measured(export), import: measured(import) }),
            house,
            consumption: measured(self.picture.consumption),
            grid: measured(self.picture.grid),
            grid_amps: self
                .picture
                .phases
                .map_or_else(PerPhase::unknown, |sample| sample.amps.map(|amps| amps.map(Amps::get))),
            battery: measured(self.picture.battery),
            battery_soc: self.picture.battery_soc.map(Percent::get),
            cars_w: cars,
            surplus_w: self.state.surplus,
            granted_w: self.state.granted_w,
            granted_amps: self.state.granted_amps,
            limit_amps: self.state.limit.get(),
        }
    }

    fn policy_view(&self, now: &Now) -> PolicyView {
        let judged = self.judged.as_ref();
        PolicyView {
            name: judged.map_or_else(|| "None".to_owned(), |judged| judged.name.clone()),
            kind: judged.map_or("none", |judged| judged.kind),
            is_green: judged.is_some_and(|judged| judged.ask == Ask::Surplus),
            reason: words::policy(&self.context(now)),
            since: self.judged_since.unwrap_or_else(|| self.started.epoch()),
        }
    }

    fn charge_now_view(&self, now: &Now) -> Option<ChargeNowView> {
        let (amps, until) = (self.settings.charge_now_amps().get(), self.settings.charge_now_time_end());
        (amps > 0.0 && until > now.epoch()).then_some(ChargeNowView { amps, until })
    }

    fn evse_view(&self, now: &Now, point: &Point) -> EvseView {
        let status = &point.status;
        let reason = self.reason(now, point);
        let (least, most) = if status.is_on_circuit {
            (status.limits.min.max(self.setup.min_amps_each), status.limits.max.min(self.setup.max_amps_each))
        } else {
            (status.limits.min, status.limits.max)
        };
        let sentence = words::evse(now, status, point.target, &reason);
        EvseView {
            id: status.id.to_string(),
            name: status.name.clone(),
            controller: status.controller.clone(),
            link: status.link,
            plug: status.plug,
            activity: status.activity,
            sentence,
            bound_by: reason,
            target_w: point.target.get(),
            offered_a: status.offered.map(Amps::get),
            reported_max_a: status.reported_max.map(Amps::get),
            drawn_a: status.drawn.map(Amps::get),
            drawn_per_phase_a: status.drawn_per_phase.map(|amps| amps.map(Amps::get)),
            power_w: status.power.map(Watts::get),
            volts: status.volts.map(|volts| volts.map(Volts::get)),
            phases: status.limits.phases.count(),
            min_a: least.get(),
            max_a: most.get(),
            is_estimate: status.is_estimate,
            is_on_circuit: status.is_on_circuit,
            car: car_view(point),
            session: point.session.as_ref().map(|session| SessionView {
                id: session.id.clone(),
                started_at: session.started_at,
                energy_wh: session.energy().get(),
                is_estimate: session.is_estimate(),
                charging_s: session.charging_s,
            }),
            vin: status.vin.as_ref().map(ToString::to_string),
            last_vin: point.last_vin.clone(),
            soc: status.soc.map(Percent::get),
            energy_total_wh: status.energy_total.map(WattHours::get),
            heard_at: now.epoch_of(status.heard_at),
            is_enabled: point.is_enabled,
            priority: point.priority,
            capabilities: status.capabilities,
            details: status.details.clone(),
        }
    }

    fn source_views(&self, now: &Now) -> Vec<SourceView> {
        let view = |source: &crate::sources::Source| SourceView {
            name: source.name.clone(),
            ok: source.error.is_none() && source.reading.is_some(),
            error: source.error.clone(),
            taken_at: source.reading.as_ref().map(|reading| now.epoch_of(reading.taken_at)),
            freshness: source.freshness(now.mono, self.sources.stale_after),
            reading: source.reading.as_deref().map(ems::WireReading::from),
        };
        self.sources.all.iter().map(view).collect()
    }
}

fn car_view(point: &Point) -> CarView {
    let terms = &point.terms;
    CarView {
        permission: terms.permission,
        permission_by: terms.by,
        permission_text: words::permission(terms.permission, terms.by),
        priority: terms.priority,
        min_soc: terms.min_soc,
        is_first: terms.is_first,
        views: if point.views.len() > 1 { point.views.clone() } else { Vec::new() },
    }
}

fn measured(now: &Now, flow: Flow) -> MeasuredView {
    MeasuredView {
        w: flow.power.get(),
        taken_at: now.epoch_of(flow.taken_at),
        freshness: flow.freshness,
        is_estimate: flow.is_estimate,
    }
}

//! How a connector and the bus look from outside.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use evse::{Capabilities, Detail, EvseLimits, EvseStatus, Link};
use gen2_protocol::ProtocolVersion;
use units::{Amps, PerPhase, Phase, Watts};

use super::connector::Connector;
use super::controller::{Controller, Line};
use crate::{BusStatus, LineState, StopMode, evse_id};

/// Phase currents are shown while they are this fresh; the meter is read every 8 s during a charge.
const CURRENTS_HOLD: Duration = Duration::from_secs(25);

/// What else belongs in a status beside the connector's own record.
pub(super) struct Frame<'a> {
    pub(super) controller: &'a str,
    pub(super) limits: EvseLimits,
    pub(super) offered: Option<Amps>,
    pub(super) committed: Amps,
    pub(super) capabilities: Capabilities,
    pub(super) note: Option<String>,
}

pub(super) fn of_connector(machine: &Controller, connector: &Connector, now: Instant) -> EvseStatus {
    let offered = machine.ledger.told(connector.id, now);
    let second_version = connector.version == ProtocolVersion::V2;
    let mode = machine.settings.stop_mode;
    let capabilities = Capabilities {
        set_target: true,
        start: second_version && mode == StopMode::Contactor,
        stop: !second_version || mode != StopMode::Vehicle,
        on_request: second_version,
    };
    let frame = Frame {
        controller: &machine.settings.name,
        limits: machine.limits(connector),
        offered,
        committed: machine.ledger.committed(connector.id, now),
        capabilities,
        note: note(machine, connector, now),
    };
    of_record(connector, frame, now)
}

/// A status from a connector's record.
pub(super) fn of_record(connector: &Connector, frame: Frame<'_>, now: Instant) -> EvseStatus {
    let heard = connector.heard;
    let drawn = heard.map(|heard| heard.drawn);
    let currents = connector.metering.currents(now, CURRENTS_HOLD);
    let limits = frame.limits;
    let measured = drawn.map(|drawn| if connector.charging { drawn } else { Amps::ZERO });
    EvseStatus {
        id: evse_id(connector.id),
        name: format!("Wall Connector {}", connector.id),
        controller: frame.controller.to_owned(),
        heard_at: connector.heard_at,
        link: connector.link,
        plug: connector.plug,
        activity: connector.activity(frame.offered.unwrap_or(Amps::ZERO)),
        note: frame.note,
        offered: frame.offered,
        reported_max: heard.map(|heard| heard.limit),
        drawn,
        drawn_per_phase: per_phase(connector, measured, currents, &limits),
        power: power(connector, measured, currents, &limits),
        volts: connector.metering.volts(),
        committed: frame.committed,
        limits,
        energy_total: connector.metering.energy(),
        vin: connector.vin.clone(),
        soc: None,
        is_estimate: false,
        is_on_circuit: true,
        capabilities: frame.capabilities,
        details: details(connector),
    }
}

/// The heartbeat tells the current of the highest phase every second, the meter that of each phase every few seconds: the
/// meter's shape, scaled to the newer value.
fn per_phase(
    connector: &Connector,
    drawn: Option<Amps>,
    currents: Option<PerPhase<Amps>>,
    limits: &EvseLimits,
) -> PerPhase<Option<Amps>> {
    let Some(drawn) = drawn else { return PerPhase::unknown() };
    if !connector.charging {
        return PerPhase::splat(Some(Amps::ZERO));
    }
    let highest = currents.and_then(|currents| currents.into_array().into_iter().max());
    match (currents, highest) {
        (Some(currents), Some(highest)) if highest >= Amps::from_whole(1) => currents.map(|current| {
            let scaled = i64::from(current.centiamps()) * i64::from(drawn.centiamps()) / i64::from(highest.centiamps());
            Some(Amps::from_centiamps(i32::try_from(scaled).unwrap_or(i32::MAX)))
        }),
        _ => PerPhase::from_fn(|phase| Some(if limits.phases.uses(phase) { drawn } else { Amps::ZERO })),
    }
}

fn power(
    connector: &Connector,
    drawn: Option<Amps>,
    currents: Option<PerPhase<Amps>>,
    limits: &EvseLimits,
) -> Option<Watts> {
    let shares = per_phase(connector, drawn, currents, limits);
    drawn?;
    let volts = connector.metering.volts();
    let of_phase = |phase: Phase| {
        let volts = volts[phase].unwrap_or(limits.volts);
        shares[phase].map_or(Watts::ZERO, |amps| amps.watts(volts, units::Phases::One))
    };
    Some(Phase::ALL.into_iter().map(of_phase).sum())
}

fn details(connector: &Connector) -> BTreeMap<&'static str, Detail> {
    let mut details = BTreeMap::new();
    let mut number = |name, value: f64| details.insert(name, Detail::Number(value));
    number("protocol", if connector.version == ProtocolVersion::V1 { 1.0 } else { 2.0 });
    if let Some(heard) = connector.heard {
        number("state", f64::from(heard.state.code()));
    }
    if let Some(rated) = connector.rated {
        number("max_amps_rating", rated.get());
    }
    if let Some(energy) = connector.metering.energy() {
        number("lifetime_kwh", energy.get() / 1_000.0);
    }
    number("missed_answers", f64::from(connector.missed));
    let mut text = |name, value: String| details.insert(name, Detail::Text(value));
    text("twc_id", connector.id.to_string());
    if let Some(serial) = &connector.serial {
        text("serial", serial.clone());
    }
    if let Some(firmware) = &connector.firmware {
        text("firmware", firmware.clone());
    }
    details
}

fn note(machine: &Controller, connector: &Connector, now: Instant) -> Option<String> {
    let id = Some(connector.id);
    let holds = |code| machine.conditions.contains(&(id, code));
    if machine.line == Line::StoodDown {
        return Some(
            "Another controller is on the bus. Turn every rotary switch to F and stop other programs.".to_owned(),
        );
    }
    if connector.is_faulted() {
        return Some(
            "It reports an error. Hold its reset button for 4 s; if that does not help, switch its breaker off and on."
                .to_owned(),
        );
    }
    if holds("connector_deaf") {
        return Some("It does not hear us. Check D+ and D-, the adapter and its ground.".to_owned());
    }
    if connector.link == Link::Lost {
        let reserved = machine.ledger.committed(connector.id, now);
        return Some(if reserved > Amps::ZERO {
            format!("It is silent. {reserved:.0} stay counted for it until its charge must have ended.")
        } else {
            "It is silent. Check its power and the bus wiring.".to_owned()
        });
    }
    if connector.is_silenced(now) {
        return Some("It hears no heartbeat for a minute, to stop its car.".to_owned());
    }
    if holds("cannot_stop") {
        return Some("It cannot stop its car: told to stop, it goes on at 6 A.".to_owned());
    }
    if holds("not_obeying") {
        return Some("It does not obey a lower limit; what it uses stays counted.".to_owned());
    }
    connector.spike.is_up().then(|| "It is offered more for some seconds, because its car stays near 6 A.".to_owned())
}

pub(super) fn of_bus(machine: &Controller, bus: &mut BusStatus, now: Instant) {
    bus.taken_at = now;
    bus.line = match machine.line {
        Line::Closed => LineState::Closed,
        Line::StoodDown => LineState::StoodDown,
        Line::Open if machine.announcing.is_some() => LineState::Announcing,
        Line::Open => LineState::Running,
    };
    bus.own_id = machine.own_id;
    bus.other_controller = machine.watch.other();
    bus.connectors = machine.connectors.len();
    bus.echoes = machine.tally.echoes;
    bus.unanswered = machine.tally.unanswered;
    bus.late_answers = machine.tally.late_answers;
    bus.queries_unanswered = machine.tally.queries_unanswered;
    bus.heartbeat_lateness = machine.tally.lateness;
    bus.worst_heartbeat_lateness = machine.tally.worst_lateness();
    bus.committed = machine.ledger.sum(now);
    bus.circuit_limit = machine.ledger.limit();
}

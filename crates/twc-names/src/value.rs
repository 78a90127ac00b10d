//! A snapshot as the list of values that TWCManager publishes.

use std::fmt;

use evse::{Activity, Detail, Link, Plug};
use serde_json::Value;
use site::{EvseView, Snapshot};

use crate::id_of;

/// Unit of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A text, a code or a count.
    None,
    /// Amps per phase.
    Amps,
    /// Watts.
    Watts,
    /// Volts.
    Volts,
    /// Kilowatt-hours.
    KilowattHours,
}

impl Unit {
    /// As it is written; empty without a unit.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Amps => "A",
            Unit::Watts => "W",
            Unit::Volts => "V",
            Unit::KilowattHours => "kWh",
        }
    }
}

/// A value in the spelling of TWCManager. `Display` gives the payload.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// A whole number.
    Whole(i64),
    /// A number that always has a decimal point, with two decimals at most: `22.0`, `12.84`.
    Decimal(f64),
    /// A number with two decimals at most and none when whole: `22`, `12.84`.
    Plain(f64),
    /// A text.
    Text(String),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Whole(number) => write!(f, "{number}"),
            Number::Decimal(number) => write!(f, "{:?}", rounded(*number)),
            Number::Plain(number) => write!(f, "{}", rounded(*number)),
            Number::Text(text) => f.write_str(text),
        }
    }
}

impl Number {
    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Number::Whole(number) => Value::from(*number),
            Number::Plain(number) if rounded(*number).fract() == 0.0 => Value::from(whole(*number)),
            Number::Decimal(number) | Number::Plain(number) => Value::from(rounded(*number)),
            Number::Text(text) => Value::from(text.as_str()),
        }
    }
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// Whose: four digits of a connector, `all` or `config`.
    pub id: String,
    /// Its key in topics.
    pub key: &'static str,
    /// Its key in Home Assistant.
    pub hass_key: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// It.
    pub value: Number,
    /// Whether a change is worth telling at once: it changes seldom, and somebody waits for it.
    pub is_event: bool,
}

/// Every value that is known. Nothing is told of a connector that does not answer: what was told last stays.
#[must_use]
pub fn values(snapshot: &Snapshot) -> Vec<Reported> {
    let mut out = Vec::new();
    for evse in snapshot.evses.iter().filter(|evse| evse.link != Link::Lost) {
        of_evse(evse, snapshot, &mut out);
    }
    let drawn = snapshot.evses.iter().filter(|evse| evse.link != Link::Lost).filter_map(|evse| evse.drawn_a).sum();
    let power = &snapshot.power;
    let all =
        |key, hass_key, unit, value, is_event| Reported { id: "all".to_owned(), key, hass_key, unit, value, is_event };
    out.push(all("totalAmpsInUse", "total_amps_in_use", Unit::Amps, Number::Decimal(drawn), false));
    out.push(all("currentPolicy", "current_policy", Unit::None, Number::Text(snapshot.policy.name.clone()), true));
    let granted = power.granted_amps.min(power.limit_amps);
    out.push(all("maxAmpsForSlaves", "max_amps_for_slaves", Unit::Amps, Number::Plain(granted), false));
    out.push(Reported {
        id: "config".to_owned(),
        ..all("minAmpsPerTWC", "min_amps_per_twc", Unit::Amps, Number::Plain(snapshot.site.min_amps_each), false)
    });
    out
}

fn of_evse(evse: &EvseView, snapshot: &Snapshot, out: &mut Vec<Reported>) {
    let id = id_of(&evse.id);
    let mut put = |key, hass_key, unit, value: Option<Number>, is_event| {
        out.extend(value.map(|value| Reported { id: id.clone(), key, hass_key, unit, value, is_event }));
    };
    put("chargerLoadInW", "charger_load_w", Unit::Watts, evse.power_w.map(|w| Number::Whole(whole(w))), false);
    // The offer that the connector confirms, not its rating.
    let confirmed = evse.reported_max_a.or(evse.offered_a);
    put("ampsMax", "amps_max", Unit::Amps, confirmed.map(Number::Decimal), false);
    put("ampsInUse", "amps_in_use", Unit::Amps, evse.drawn_a.map(Number::Decimal), false);
    // Amps under the name of power: up to 1.3.4, and somebody's page may show it.
    put("power", "power", Unit::Amps, evse.drawn_a.map(Number::Decimal), false);
    put("state", "state", Unit::None, Some(Number::Whole(state_code(evse))), true);
    let charging = Number::Whole(i64::from(is_charging(evse)));
    put("carsCharging", "cars_charging", Unit::None, Some(charging), true);
    put("ampsOffered", "amps_offered", Unit::Amps, evse.offered_a.map(Number::Plain), false);
    let desired = evse.target_w / watts_per_amp(evse, snapshot);
    put("ampsDesired", "amps_desired", Unit::Amps, Some(Number::Plain(desired)), false);
    // Counters of connectors are whole kilowatt-hours.
    let kwh = evse.energy_total_wh.map(|wh| Number::Plain(wh / 1000.0));
    put("lifetimekWh", "lifetime_kwh", Unit::KilowattHours, kwh, false);
    if evse.volts.into_array().iter().any(Option::is_some) {
        // A phase that is not connected is shown as 0 V, as connectors report it.
        let volts = |volts: Option<f64>| Some(Number::Whole(whole(volts.unwrap_or(0.0).round())));
        put("voltagePhaseA", "voltage_phase_a", Unit::Volts, volts(evse.volts.l1), false);
        put("voltagePhaseB", "voltage_phase_b", Unit::Volts, volts(evse.volts.l2), false);
        put("voltagePhaseC", "voltage_phase_c", Unit::Volts, volts(evse.volts.l3), false);
    }
    let vin = |vin: &Option<String>| Some(Number::Text(vin.clone().unwrap_or_default()));
    put("currentVehicleVIN", "current_vehicle_vin", Unit::None, vin(&evse.vin), true);
    put("lastVehicleVIN", "last_vehicle_vin", Unit::None, vin(&evse.last_vin), true);
}

/// Whether current flows.
#[must_use]
pub fn is_charging(evse: &EvseView) -> bool {
    evse.activity == Activity::Charging
}

fn watts_per_amp(evse: &EvseView, snapshot: &Snapshot) -> f64 {
    let known: Vec<f64> = evse.volts.into_array().into_iter().flatten().filter(|volts| *volts > 50.0).collect();
    #[expect(clippy::cast_precision_loss, reason = "three at most")]
    let count = known.len() as f64;
    let volts = if known.is_empty() { snapshot.site.default_volts } else { known.iter().sum::<f64>() / count };
    (volts * f64::from(evse.phases.max(1))).max(1.0)
}

/// The state code of the connector; where its own is not known, the one that it would send.
fn state_code(evse: &EvseView) -> i64 {
    if let Some(Detail::Number(code)) = evse.details.get("state") {
        return whole(*code);
    }
    match (evse.plug, evse.activity) {
        (_, Activity::Faulted) => 2,
        (_, Activity::Charging) => 1,
        (Plug::Unplugged, _) | (_, Activity::Idle) => 0,
        (_, Activity::WaitingForOffer) => 3,
        (_, Activity::WaitingForCar | Activity::Declined) => 4,
    }
}

/// Two decimals, and no negative zero.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0 + 0.0
}

/// Without its fraction; `as` saturates.
#[expect(clippy::cast_possible_truncation, reason = "saturates")]
fn whole(number: f64) -> i64 {
    number as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelt_as_python_does() {
        for (number, text) in [
            (Number::Decimal(22.0), "22.0"),
            (Number::Decimal(0.25), "0.25"),
            (Number::Decimal(-0.001), "0.0"),
            (Number::Decimal(12.839_999), "12.84"),
            (Number::Plain(22.0), "22"),
            (Number::Plain(22.92), "22.92"),
            (Number::Plain(-0.0), "0"),
            (Number::Whole(5280), "5280"),
        ] {
            assert_eq!(number.to_string(), text);
        }
        assert_eq!(Number::Plain(12.0).to_json(), 12);
        assert_eq!(Number::Decimal(12.0).to_json(), 12.0);
    }
}

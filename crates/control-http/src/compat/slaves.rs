//! `/api/getSlaveTWCs`.

use evse::{Activity, Detail, Plug};
use garage::CarView;
use http_door::Response;
use serde_json::{Map, Value, json};
use site::{EvseView, Snapshot};
use vehicle::Whereabouts;

use super::{RenderKey, plain, truncated};
use crate::api::Inner;
use crate::cars::Cars;
use crate::route::Call;

/// What the ids of Gen 2 connectors begin with; the four digits after it are the TWC's own.
const GEN2: &str = "gen2-";
/// Details of a Gen 2 connector that this answer shows.
const TWC_STATE: &str = "state";
const PROTOCOL_VERSION: &str = "protocol";
const RATED_AMPS: &str = "max_amps_rating";

pub(crate) fn get(api: &Inner, call: &Call) -> Response {
    let snapshot = api.snapshot();
    let settings = api.site.settings();
    let key = RenderKey::new(snapshot.sequence, call.now, &settings);
    let bytes = api.slaves_cache.get(key, || {
        let cars = api.cars().map(Cars::views).unwrap_or_default();
        slaves(&snapshot, &cars, call.now).to_string().into_bytes()
    });
    Response::json(200, bytes)
}

/// The object: one entry a connector, then the total.
fn slaves(snapshot: &Snapshot, cars: &[CarView], now: f64) -> Value {
    let twcs: Vec<(String, &EvseView)> = snapshot
        .evses
        .iter()
        .filter_map(|evse| evse.id.strip_prefix(GEN2).map(|id| (id.to_ascii_uppercase(), evse)))
        .collect();
    let mut out: Map<String, Value> = twcs.iter().map(|(id, evse)| (id.clone(), one(id, evse, cars, now))).collect();
    let sum = |value: fn(&EvseView) -> Option<f64>| twcs.iter().filter_map(|(_, evse)| value(evse)).sum::<f64>();
    let least_max = twcs.iter().map(|(_, evse)| rated(evse)).reduce(f64::min).unwrap_or(0.0);
    let total = json!({
        "carsCharging": twcs.iter().filter(|(_, evse)| is_charging(evse)).count(),
        "lastAmpsOffered": plain(rounded(sum(|evse| evse.offered_a))),
        "lifetimekWh": twcs.iter().map(|(_, evse)| lifetime_kwh(evse)).sum::<i64>(),
        "maxAmps": least_max,
        "reportedAmpsActual": rounded(sum(|evse| evse.drawn_a)),
        "TWCID": "total",
    });
    out.insert("total".to_owned(), total);
    Value::Object(out)
}

fn one(id: &str, evse: &EvseView, cars: &[CarView], now: f64) -> Value {
    let volts = |volts: Option<f64>| truncated(volts.unwrap_or(0.0).round());
    let mut out = json!({
        // A number in every released version.
        "carsCharging": u8::from(is_charging(evse)),
        "chargerLoadInW": truncated(evse.power_w.unwrap_or(0.0)),
        "currentVIN": evse.vin.as_deref().unwrap_or(""),
        "lastAmpsOffered": plain(rounded(evse.offered_a.unwrap_or(0.0))),
        "lastHeartbeat": rounded((now - evse.heard_at).max(0.0)),
        "lastVIN": evse.last_vin.as_deref().unwrap_or(""),
        "lifetimekWh": lifetime_kwh(evse),
        "maxAmps": rated(evse),
        "reportedAmpsActual": rounded(evse.drawn_a.unwrap_or(0.0)),
        "state": detail(evse, TWC_STATE).map_or_else(|| likely_state(evse), truncated),
        "version": detail(evse, PROTOCOL_VERSION).map_or(2, truncated),
        "voltsPhaseA": volts(evse.volts.l1),
        "voltsPhaseB": volts(evse.volts.l2),
        "voltsPhaseC": volts(evse.volts.l3),
        "TWCID": id,
        "chargeTime": charge_time(evse),
    });
    if let (Some(vin), Some(fields)) = (&evse.vin, out.as_object_mut()) {
        let car = cars.iter().find(|car| car.key.as_str() == vin);
        fields.extend(of_car(evse, car).into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    }
    out
}

/// What is there only when a car is known by its VIN, and of that only what somebody tells.
fn of_car(evse: &EvseView, car: Option<&CarView>) -> [(&'static str, Option<Value>); 4] {
    let state = car.map(|car| &car.state);
    let soc = evse.soc.or_else(|| Some(state?.soc.as_ref()?.value.get()));
    let limit = state.and_then(|state| state.limit.as_ref()).map(|limit| limit.value.get());
    let hours = state.and_then(|state| state.to_limit.as_ref()).map(|time| time.value.as_secs_f64() / 3600.0);
    [
        ("lastAtHome", car.map(|car| (car.place.0 == Whereabouts::Home).into())),
        ("lastBatterySOC", soc.map(|soc| truncated(soc).into())),
        ("lastChargeLimit", limit.map(|limit| truncated(limit).into())),
        ("lastTimeToFullCharge", hours.map(|hours| rounded(hours).into())),
    ]
}

fn is_charging(evse: &EvseView) -> bool {
    evse.activity == Activity::Charging
}

fn lifetime_kwh(evse: &EvseView) -> i64 {
    truncated(evse.energy_total_wh.unwrap_or(0.0) / 1000.0)
}

/// The connector's own rating.
fn rated(evse: &EvseView) -> f64 {
    detail(evse, RATED_AMPS).unwrap_or(evse.max_a)
}

fn detail(evse: &EvseView, name: &str) -> Option<f64> {
    match evse.details.get(name) {
        Some(Detail::Number(number)) => Some(*number),
        _ => None,
    }
}

/// The state code that a connector in this condition would send, where its own is not known.
fn likely_state(evse: &EvseView) -> i64 {
    match (evse.plug, evse.activity) {
        (_, Activity::Faulted) => 2,
        (_, Activity::Charging) => 1,
        (Plug::Unplugged, _) | (_, Activity::Idle) => 0,
        (_, Activity::WaitingForOffer) => 3,
        (_, Activity::WaitingForCar | Activity::Declined) => 4,
    }
}

/// As Python prints a duration.
fn charge_time(evse: &EvseView) -> String {
    let Some(session) = evse.session.as_ref().filter(|_| is_charging(evse)) else { return "--:--:--".to_owned() };
    let seconds = truncated(session.charging_s.max(0.0));
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => clock,
        1 => format!("1 day, {clock}"),
        _ => format!("{days} days, {clock}"),
    }
}

fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use twc_names::testing;

    use super::*;

    #[test]
    fn a_long_charge_is_printed_as_python_does() {
        let mut evse = testing::snapshot().evses.remove(0);
        let mut after = |seconds: f64| {
            if let Some(session) = &mut evse.session {
                session.charging_s = seconds;
            }
            charge_time(&evse)
        };
        assert_eq!(after(3873.9), "1:04:33");
        assert_eq!(after(93_784.0), "1 day, 2:03:04");
        assert_eq!(after(180_000.0), "2 days, 2:00:00");
    }
}

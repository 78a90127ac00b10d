//! `/api/getStatus`.

use http_door::Response;
use serde_json::{Map, Value, json};
use site::{MeasuredView, Snapshot};

use super::{RenderKey, number, offsets, plain, schedule, truncated, two_decimals};
use crate::api::Inner;
use crate::route::Call;

pub(crate) fn get(api: &Inner, call: &Call) -> Response {
    let snapshot = api.snapshot();
    let settings = api.site.settings();
    let key = RenderKey::new(snapshot.sequence, call.now, &settings);
    let bytes = api.status_cache.get(key, || status(api, &snapshot, &settings, call.now).to_string().into_bytes());
    Response::json(200, bytes)
}

/// The object.
pub(crate) fn status(api: &Inner, snapshot: &Snapshot, settings: &Value, now: f64) -> Value {
    let amps = |watts: f64| watts / (snapshot.site.default_volts * f64::from(snapshot.site.phases)).max(1.0);
    let power = &snapshot.power;
    let charging = snapshot.evses.iter().filter(|evse| evse.activity == evse::Activity::Charging).count();
    let offset = offsets::total_watts(api, settings);
    let generation = watts(power.told_generation()) + (-offset).max(0.0);
    let consumption = watts(power.told_consumption()) + offset.max(0.0);

    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("carsCharging", charging.into());
    put("chargerLoadWatts", two_decimals(power.cars_w).into());
    put("chargerLoadAmps", json!([two_decimals(amps(power.cars_w))]));
    put("currentPolicy", snapshot.policy.name.clone().into());
    put("maxAmpsToDivideAmongSlaves", two_decimals(power.granted_amps.min(power.limit_amps)).into());
    if settings.get("sendServerTime").and_then(Value::as_f64) == Some(1.0) {
        put("currentServerTime", server_time(api, now).into());
    }
    put("consumptionAmps", odd_amps(amps(consumption)));
    put("consumptionWatts", two_decimals(consumption).into());
    put("generationAmps", odd_amps(amps(generation)));
    put("generationWatts", two_decimals(generation).into());
    put("isGreenPolicy", if snapshot.policy.is_green { "Yes" } else { "No" }.into());

    let schedule = schedule::Schedule::of(settings);
    put("scheduledChargingStartHour", truncated(schedule.start_hour).into());
    put("scheduledChargingFlexStart", plain(schedule.start_hour));
    put("scheduledChargingEndHour", plain(schedule.end_hour));
    put("ScheduledCharging", schedule.to_json());

    let now_set = number(settings, "chargeNowAmps").unwrap_or(0.0);
    let end_set = number(settings, "chargeNowTimeEnd").unwrap_or(0.0);
    let charge_now = snapshot.charge_now.as_ref();
    let end = charge_now.map_or(end_set, |charge_now| charge_now.until);
    let charge_now_amps = truncated(charge_now.map_or(now_set, |charge_now| charge_now.amps));
    if end > now {
        put("chargeNowTimeEnd", end.into());
    }
    if charge_now_amps > 0 {
        put("chargeNowAmps", charge_now_amps.into());
    }
    Value::Object(out)
}

/// TWCManager knows no absent value here: unknown is shown as zero, as it always was. Programs that care ask `/api/v2/snapshot`.
fn watts(measured: Option<&MeasuredView>) -> f64 {
    measured.map_or(0.0, |measured| measured.w.max(0.0))
}

/// A list of one text when there is something, a bare text when there is nothing.
fn odd_amps(amps: f64) -> Value {
    let text = two_decimals(amps);
    if amps == 0.0 { text.into() } else { json!([text]) }
}

fn server_time(api: &Inner, now: f64) -> String {
    let local = jiff::Timestamp::from_second(truncated(now))
        .map(|time| time.to_zoned(api.config.time_zone.clone()).strftime("%Y-%m-%d, %H:%M").to_string())
        .unwrap_or_default();
    format!("{local}&nbsp;|&nbsp;")
}

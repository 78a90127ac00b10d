//! Native commands.

use std::time::Duration;

use evse::EvseId;
use http_door::Response;
use serde_json::Value;
use site::{Change, Command};
use units::Amps;

use super::body::{Fields, bad};
use super::cars::{rate_control, stop_mode};
use super::no_such_evse;
use crate::api::Inner;
use crate::compat::STRUCTURED;
use crate::mask::{holds_secret, is_secret};
use crate::route::Call;

/// What is set for one charging point.
const EVSE_FIELDS: [&str; 4] = ["is_enabled", "priority", "rate_control", "stop_mode"];
/// Longest Charge Now and longest hold of a policy.
const LONGEST_HOURS: f64 = 168.0;

type Answer = Result<Response, Response>;

fn finish(answer: Answer) -> Response {
    answer.unwrap_or_else(|response| response)
}

fn done() -> Response {
    Response::new(204)
}

/// `POST charge-now`.
pub(super) fn charge_now(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let fields = Fields::of(call.request, &["amps", "hours", "seconds"])?;
        let most = most_amps(api);
        let amps = fields
            .number("amps", 1.0, most)?
            .ok_or_else(|| bad("amps is missing: amps per phase for all charging points"))?;
        let amps = Amps::new(amps).map_err(|_| bad("amps is out of range"))?;
        let duration = duration(&fields)?;
        api.command(Command::ChargeNow { amps: Some(amps), duration })?;
        Ok(done())
    })())
}

/// The most that Charge Now can ask for.
pub(super) fn most_amps(api: &Inner) -> f64 {
    api.snapshot().site.max_amps_all.max(1.0)
}

/// One of `hours` and `seconds`.
fn duration(fields: &Fields) -> Result<Duration, Response> {
    let hours = fields.number("hours", 1.0 / 60.0, LONGEST_HOURS)?;
    let seconds = fields.number("seconds", 60.0, LONGEST_HOURS * 3600.0)?;
    match (hours, seconds) {
        (Some(hours), None) => Ok(Duration::from_secs_f64(hours * 3600.0)),
        (None, Some(seconds)) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(bad("send either hours or seconds")),
    }
}

/// `DELETE charge-now`.
pub(super) fn cancel_charge_now(api: &Inner, _: &Call) -> Response {
    finish(api.command(Command::CancelChargeNow).map(|()| done()))
}

/// The charging point that the path names.
fn known_evse(api: &Inner, call: &Call) -> Result<EvseId, Response> {
    let id = call.parameter.as_deref().unwrap_or_default();
    if api.snapshot().evses.iter().any(|evse| evse.id == id) { Ok(EvseId::new(id)) } else { Err(no_such_evse(call)) }
}

/// `POST evses/{id}/start`.
pub(super) fn start(api: &Inner, call: &Call) -> Response {
    finish(known_evse(api, call).and_then(|evse| api.command(Command::Start { evse: Some(evse) })).map(|()| done()))
}

/// `POST evses/{id}/stop`.
pub(super) fn stop(api: &Inner, call: &Call) -> Response {
    finish(known_evse(api, call).and_then(|evse| api.command(Command::Stop { evse: Some(evse) })).map(|()| done()))
}

/// `PATCH evses/{id}`. Everything is read before the first command, so that a wrong field changes nothing.
pub(super) fn change_evse(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let evse = known_evse(api, call)?;
        let fields = Fields::of(call.request, &EVSE_FIELDS)?;
        let (is_enabled, priority) = (fields.flag("is_enabled")?, fields.whole("priority", -100, 100)?);
        let (rate, stop) = (rate_control(&fields)?, stop_mode(&fields)?);
        let has_routing = rate != Change::Keep || stop != Change::Keep;
        if is_enabled.is_none() && priority.is_none() && !has_routing {
            return Err(bad(&format!("send at least one of {}", EVSE_FIELDS.join(", "))));
        }
        if let Some(is_enabled) = is_enabled {
            api.command(Command::SetEnabled { evse: evse.clone(), is_enabled })?;
        }
        if let Some(priority) = priority {
            api.command(Command::SetPriority { evse: evse.clone(), priority })?;
        }
        if has_routing {
            api.command(Command::SetRouting { evse, rate, stop })?;
        }
        Ok(done())
    })())
}

/// `PUT policy/hold`.
pub(super) fn hold_policy(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let fields = Fields::of(call.request, &["name", "hours", "seconds"])?;
        let name =
            fields.text("name")?.ok_or_else(|| bad("name is missing: the name of a policy in /api/v2/policy"))?;
        let duration = duration(&fields)?;
        let policies = api.site.policies();
        if !policies.as_array().is_some_and(|list| list.iter().any(|policy| policy["name"] == name)) {
            return Err(Response::error(
                404,
                &format!("there is no policy {name:?}; /api/v2/policy lists those that there are"),
            ));
        }
        api.command(Command::HoldPolicy { name: Some(name), duration })?;
        Ok(done())
    })())
}

/// `DELETE policy/hold`.
pub(super) fn release_policy(api: &Inner, _: &Call) -> Response {
    finish(api.command(Command::HoldPolicy { name: None, duration: Duration::ZERO }).map(|()| done()))
}

/// `PUT settings/{key}`.
pub(super) fn put_setting(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let fields = Fields::of(call.request, &["value"])?;
        let value = fields.any("value").cloned().filter(|value| !value.is_null());
        let value = value.ok_or_else(|| bad("value is missing; DELETE removes a setting"))?;
        let key = setting_name(call)?;
        if holds_secret(&value) {
            return Err(Response::error(403, &format!("{key} holds secrets and is not changed over this interface")));
        }
        if STRUCTURED.contains(&key) && !value.is_object() && !value.is_array() {
            return Err(bad(&format!("{key} must be an object or a list, as GET shows it")));
        }
        api.set(key, value)?;
        Ok(done())
    })())
}

/// `DELETE settings/{key}`: its default holds again.
pub(super) fn delete_setting(api: &Inner, call: &Call) -> Response {
    finish((|| {
        api.set(setting_name(call)?, Value::Null)?;
        Ok(done())
    })())
}

fn setting_name<'a>(call: &'a Call) -> Result<&'a str, Response> {
    let key = call.parameter.as_deref().unwrap_or_default();
    if is_secret(key) {
        return Err(Response::error(403, &format!("{key} is a secret and is not changed over this interface")));
    }
    let is_name = (1..=64).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if !is_name {
        return Err(bad("the name of a setting has 1 to 64 letters, digits, dots, dashes and underscores"));
    }
    Ok(key)
}

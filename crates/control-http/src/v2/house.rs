//! What belongs to the house as a whole: where it is, all its charging points at once, its bus and its past.

use http_door::Response;
use serde_json::{Value, json};
use site::Command;

use super::body::{Fields, bad};
use super::json_of;
use crate::DebugMessage;
use crate::api::Inner;
use crate::compat::{bytes, number, thinned};
use crate::route::Call;

/// The settings that hold the place.
const LATITUDE: &str = "homeLat";
const LONGITUDE: &str = "homeLon";
/// What is shown of the past without a choice, and the most that one answer holds, in hours.
const USUAL_HOURS: f64 = 24.0;
const MOST_HOURS: f64 = 744.0;
/// The year 2100, in seconds since 1970.
const LATEST: f64 = 4_102_444_800.0;

fn finish(done: Result<(), Response>) -> Response {
    done.map_or_else(|response| response, |()| Response::new(204))
}

/// `POST start`: every car.
pub(super) fn start(api: &Inner, _: &Call) -> Response {
    finish(api.command(Command::Start { evse: None }))
}

/// `POST stop`: every car.
pub(super) fn stop(api: &Inner, _: &Call) -> Response {
    finish(api.command(Command::Stop { evse: None }))
}

/// `GET home`. Numbers that are no place are how TWCManager says that there is none.
pub(super) fn home(api: &Inner, _: &Call) -> Response {
    let settings = api.site.settings();
    let within = |key: &str, most: f64| number(&settings, key).filter(|degrees| degrees.abs() <= most);
    let place = within(LATITUDE, 90.0).zip(within(LONGITUDE, 180.0));
    json_of(&json!({ "latitude": place.map(|(lat, _)| lat), "longitude": place.map(|(_, lon)| lon) }))
}

/// `PUT home`.
pub(super) fn put_home(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let fields = Fields::of(call.request, &["latitude", "longitude"])?;
        let missing = || bad("send latitude and longitude, in degrees");
        let latitude = fields.number("latitude", -90.0, 90.0)?.ok_or_else(missing)?;
        let longitude = fields.number("longitude", -180.0, 180.0)?.ok_or_else(missing)?;
        api.set_all(vec![(LATITUDE, latitude.into()), (LONGITUDE, longitude.into())])
    })())
}

/// `DELETE home`.
pub(super) fn delete_home(api: &Inner, _: &Call) -> Response {
    finish(api.set_all(vec![(LATITUDE, Value::Null), (LONGITUDE, Value::Null)]))
}

/// `POST bus/message`: the bus sends only what harms nobody, and says why not.
pub(super) fn send(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let fields = Fields::of(call.request, &["message", "bytes"])?;
        let message = match (fields.text("message")?.as_deref(), fields.text("bytes")?) {
            (Some("firmware_version"), None) => DebugMessage::FirmwareVersion,
            (None, Some(text)) if text.bytes().all(|byte| byte.is_ascii_hexdigit()) => bytes(&text)?,
            _ => {
                return Err(bad(
                    "send either message, which is firmware_version, or bytes, 2 to 32 of them in hexadecimal",
                ));
            }
        };
        api.send_debug(&message)?.map_err(|reason| Response::error(409, &reason))
    })())
}

/// `GET bus/answer`.
pub(super) fn answer(api: &Inner, _: &Call) -> Response {
    let (refusal, answer) = api.last_debug();
    let hex = answer.map(|bytes| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>());
    json_of(&json!({ "bytes": hex, "refusal": refusal }))
}

/// `GET history`.
pub(super) fn history(api: &Inner, call: &Call) -> Response {
    let chosen = (|| {
        let value = |key: &str, least: f64, most: f64, usual: f64| {
            let Some(text) = call.request.query_value(key) else { return Ok(usual) };
            let number = text.parse().ok().filter(|number: &f64| (least..=most).contains(number));
            number.ok_or_else(|| bad(&format!("{key} must be a number from {least} to {most}")))
        };
        Ok((value("until", 0.0, LATEST, call.now)?, value("hours", 0.1, MOST_HOURS, USUAL_HOURS)?))
    })();
    let (until, hours) = match chosen {
        Ok(chosen) => chosen,
        Err(response) => return response,
    };
    let Some(history) = &api.config.history else {
        return Response::error(409, "nothing is written down: the journal needs config.settingsPath");
    };
    match history.flows(until - hours * 3600.0, until) {
        Ok(flows) => {
            let shown: Vec<Value> = thinned(&flows)
                .map(|flow| {
                    json!({
                        "at": flow.at,
                        "generation_w": flow.generation_w,
                        "consumption_w": flow.consumption_w,
                        "cars_w": flow.cars_w,
                    })
                })
                .collect();
            json_of(&json!({ "flows": shown }))
        }
        Err(text) => Response::error(503, &text),
    }
}

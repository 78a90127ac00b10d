//! `/graphs/date` and `/graphs/dates`: what the old page of graphs asks for.

use http_door::Response;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::{Map, Value, json};

use super::{merge, truncated};
use crate::Flows;
use crate::api::Inner;
use crate::route::Call;

/// Longest stretch that one question may be about, in seconds.
const LONGEST: f64 = 31.0 * 86_400.0;
/// More points than a screen can show are thinned out.
const MOST_POINTS: usize = 5000;
/// Without a choice the last day is shown.
const USUAL: f64 = 86_400.0;
/// How the old page writes a moment: local time.
const SHAPE: &str = "%Y-%m-%dT%H:%M";

/// `/graphs/date`, for what was chosen by `/graphs/dates` or for `?initial=…&end=…`.
pub(crate) fn date(api: &Inner, call: &Call) -> Response {
    merge(range(api, call).and_then(|(from, to)| {
        let Some(history) = &api.config.history else {
            return Err(Response::error(400, "nothing is written down: the journal needs config.settingsPath"));
        };
        let flows = history.flows(from, to).map_err(|text| Response::error(503, &text))?;
        Ok(super::json(&Value::Object(points(api, from, to, &flows))))
    }))
}

/// `/graphs/dates`: chooses what the graphs show.
pub(crate) fn dates(api: &Inner, call: &Call) -> Response {
    let form = call.request.body_form();
    let field = |name: &str| {
        form.iter().find(|(have, value)| have == name && !value.is_empty()).map(|(_, value)| value.as_str())
    };
    merge((|| {
        let (Some(first), Some(last)) = (field("dateIni"), field("dateEnd")) else {
            return Ok(Response::new(302).with_header("Location", "/graphs"));
        };
        checked(moment(api, first)?, moment(api, last)?)?;
        api.set("Graphs", json!({"Initial": first, "End": last}))?;
        Ok(Response::new(302).with_header("Location", "/graphsP"))
    })())
}

fn range(api: &Inner, call: &Call) -> Result<(f64, f64), Response> {
    let asked = (call.request.query_value("initial"), call.request.query_value("end"));
    let settings = api.site.settings();
    let kept = |key: &str| settings.pointer(&format!("/Graphs/{key}")).and_then(Value::as_str).map(str::to_owned);
    let chosen = match asked {
        (Some(first), Some(last)) => Some((first, last)),
        _ => kept("Initial").zip(kept("End")),
    };
    match chosen {
        Some((first, last)) => checked(moment(api, &first)?, moment(api, &last)?),
        None => Ok((call.now - USUAL, call.now)),
    }
}

fn checked(from: f64, to: f64) -> Result<(f64, f64), Response> {
    if from < to && to - from <= LONGEST {
        return Ok((from, to));
    }
    Err(Response::error(400, "the end must come after the beginning, by 31 days at most"))
}

/// A local time as the old page writes it, in seconds since 1970.
fn moment(api: &Inner, text: &str) -> Result<f64, Response> {
    let zoned = text.parse::<DateTime>().and_then(|time| time.to_zoned(api.config.time_zone.clone()));
    zoned
        .map(|time| time.timestamp().as_duration().as_secs_f64())
        .map_err(|_| Response::error(400, &format!("{text:?} must be a local time such as 2026-08-19T14:00")))
}

fn points(api: &Inner, from: f64, to: f64, flows: &[Flows]) -> Map<String, Value> {
    let local = |at: f64, shape: &str| {
        Timestamp::from_second(truncated(at))
            .map(|time| time.to_zoned(api.config.time_zone.clone()).strftime(shape).to_string())
            .unwrap_or_default()
    };
    // Unknown has always been zero here.
    let watts = |watts: Option<f64>| format!("{:.3}", watts.unwrap_or(0.0) + 0.0);
    let mut out = Map::new();
    out.insert("0".to_owned(), json!({"initial": local(from, SHAPE), "end": local(to, SHAPE)}));
    for (index, flow) in thinned(flows).enumerate() {
        let point = json!({
            "time": local(flow.at, "%Y-%m-%dT%H:%M:%S"),
            "genW": watts(flow.generation_w),
            "conW": watts(flow.consumption_w),
            "chgW": watts(flow.cars_w),
        });
        out.insert((index + 1).to_string(), point);
    }
    out
}

/// Not more of them than a screen can show.
pub(crate) fn thinned(flows: &[Flows]) -> impl Iterator<Item = &Flows> {
    flows.iter().step_by(flows.len().div_ceil(MOST_POINTS).max(1))
}

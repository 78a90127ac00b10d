//! `/production.json`, `/api/v1/production` and the oldest gateways' page. Pure.

use ems::WireReading;
use json_pick::{Doc, PickError, parse_number, watts_factor};
use serde_json::Value;

/// An AC battery that reports itself later than the meters by more than this (seconds) tells of the past.
const BATTERY_LAG_S: i64 = 900;

/// What one answer tells, and when by the gateway's own clock.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// The values.
    pub values: WireReading,
    /// Epoch seconds of the meters' last measurement.
    pub stamp: Option<i64>,
    /// Whether a battery is there that `consumption_w` may contain the charging of.
    pub may_include_battery: bool,
}

/// Reads `/production.json?details=1`.
///
/// # Errors
/// When a value is not what it should be.
pub fn production(answer: &Value) -> Result<Found, PickError> {
    let doc = Doc::new(answer);
    let made = doc.list("production")?.ok_or_else(|| doc.missing("production"))?;
    let used = doc.list("consumption")?.unwrap_or_default();

    // Firmware 4.2.33 names no measurement type: there the position tells.
    let meter = pick(&made, "production", 1)?;
    let total = pick(&used, "total-consumption", 0)?;
    let net = pick(&used, "net-consumption", 1)?;
    let metered = watts(meter)?;
    let grid = watts(net)?;

    let mut inverters = None;
    for entry in &made {
        if entry.text("type")?.as_deref() == Some("inverters") {
            inverters = entry.number("wNow")?;
        }
    }
    let consumption = match (total, net) {
        // Firmware 8.3.5433 reports the grid as the house: both counters are then the same as well.
        (Some(total), Some(net)) if is_same(total, net)? => match (metered, grid) {
            (Some(made), Some(grid)) => Some(made + grid),
            _ => None,
        },
        _ => watts(total)?,
    };
    let stamp = match net.or(meter).or(total) {
        Some(entry) => entry.integer("readingTime")?.filter(|time| *time > 0),
        None => None,
    };
    let mut found = Found {
        values: WireReading {
            generation_w: metered.or(inverters).and_then(ems::generation),
            consumption_w: consumption.map(|watts| watts.max(0.0)),
            grid_w: grid,
            ..WireReading::default()
        },
        stamp,
        may_include_battery: false,
    };
    if let Some(net) = net {
        lines(net, &mut found.values)?;
    }
    battery(doc, stamp, &mut found)?;
    Ok(found)
}

/// The enabled meter of a type, or the one at a position when the firmware names no types.
fn pick<'a>(entries: &[Doc<'a>], kind: &str, position: usize) -> Result<Option<Doc<'a>>, PickError> {
    let mut has_types = false;
    let mut named = None;
    for entry in entries {
        let measures = entry.text("measurementType")?;
        has_types |= measures.is_some();
        if measures.as_deref() == Some(kind) {
            named = Some(*entry);
        }
    }
    let entry = if has_types { named } else { entries.get(position).copied() };
    // Transformers that are not set up give plausible figures all the same: only `activeCount` tells.
    match entry {
        Some(entry) if entry.text("type")?.as_deref() == Some("eim") => {
            Ok(entry.number("activeCount")?.is_some_and(|count| count > 0.0).then_some(entry))
        }
        _ => Ok(None),
    }
}

fn watts(entry: Option<Doc<'_>>) -> Result<Option<f64>, PickError> {
    entry.map_or(Ok(None), |entry| entry.number("wNow"))
}

fn is_same(total: Doc<'_>, net: Doc<'_>) -> Result<bool, PickError> {
    let counter = "whLifetime";
    let is_same_power = total.number("wNow")? == net.number("wNow")?;
    Ok(is_same_power && total.number(counter)? == net.number(counter)?.filter(|energy| *energy != 0.0))
}

/// The phases of the meter at the grid connection. A phase that the supply lacks is a line of zeros.
fn lines(net: Doc<'_>, values: &mut WireReading) -> Result<(), PickError> {
    let (mut power, mut amps, mut volts) = (Vec::new(), Vec::new(), Vec::new());
    for line in net.list("lines")?.unwrap_or_default().iter().take(3) {
        let line_volts = line.number("rmsVoltage")?.filter(|volts| *volts > 0.0);
        let is_there = |value: Option<f64>| value.filter(|_| line_volts.is_some());
        let line_power = is_there(line.number("wNow")?);
        power.push(line_power);
        amps.push(signed(is_there(line.number("rmsCurrent")?), line_power));
        volts.push(line_volts);
    }
    if volts.iter().any(Option::is_some) {
        values.grid_phase_w = Some(power);
        values.grid_amps = Some(amps);
        values.grid_volts = Some(volts);
    }
    Ok(())
}

/// A current with the direction of its power.
pub(crate) fn signed(amps: Option<f64>, watts: Option<f64>) -> Option<f64> {
    match (amps, watts) {
        (Some(amps), Some(watts)) if watts < 0.0 => Some(-amps.abs()),
        (amps, _) => amps.map(f64::abs),
    }
}

fn battery(doc: Doc<'_>, stamp: Option<i64>, found: &mut Found) -> Result<(), PickError> {
    for entry in doc.list("storage")?.unwrap_or_default() {
        if entry.number("activeCount")?.is_none_or(|count| count <= 0.0) {
            continue;
        }
        found.may_include_battery = true;
        let told_at = entry.integer("readingTime")?.filter(|time| *time > 0);
        let is_late = match (told_at, stamp) {
            (Some(told_at), Some(stamp)) => stamp.saturating_sub(told_at) > BATTERY_LAG_S,
            (None, _) => true,
            (Some(_), None) => false,
        };
        if !is_late {
            found.values.battery_w = entry.number("wNow")?;
            found.values.battery_soc = entry.number("percentFull")?.map(|soc| soc.clamp(0.0, 100.0));
        }
    }
    Ok(())
}

/// Reads `/api/v1/production`, which knows generation only.
///
/// # Errors
/// When a value is not what it should be.
pub fn production_v1(answer: &Value) -> Result<Found, PickError> {
    let generation = Doc::new(answer).require_number("wattsNow")?;
    Ok(generated(Some(generation)))
}

/// Takes generation out of the page of gateways before R3.9: a table row `Currently`, then a number with its unit.
#[must_use]
pub fn production_page(html: &str) -> Option<Found> {
    let (_, after) = html.split_once("Currently")?;
    let text: String =
        after.split('<').filter_map(|piece| piece.split_once('>')).map(|(_, text)| text).take(4).collect();
    let measure = parse_number(text.trim()).ok()??;
    let watts = measure.value * watts_factor(measure.unit.as_deref()?)?;
    Some(generated(Some(watts)))
}

fn generated(watts: Option<f64>) -> Found {
    let values = WireReading { generation_w: watts.and_then(ems::generation), ..WireReading::default() };
    Found { values, ..Found::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_house_counted_as_the_grid_is_mended() {
        let answer = json!({
            "production": [{"type": "eim", "activeCount": 1, "measurementType": "production", "wNow": 3000.0}],
            "consumption": [
                {"type": "eim", "activeCount": 1, "measurementType": "total-consumption", "wNow": -2000.0, "whLifetime": 7.5},
                {"type": "eim", "activeCount": 1, "measurementType": "net-consumption", "wNow": -2000.0, "whLifetime": 7.5}]});
        let found = production(&answer).unwrap().values;
        assert_eq!((found.consumption_w, found.grid_w), (Some(1000.0), Some(-2000.0)));
    }

    #[test]
    fn an_ac_battery_of_yesterday_is_unknown() {
        let answer = |told_at: i64| {
            json!({
                "production": [{"type": "eim", "activeCount": 1, "measurementType": "production", "wNow": 0, "readingTime": 1_700_000_000}],
                "storage": [{"type": "acb", "activeCount": 2, "readingTime": told_at, "wNow": 260, "percentFull": 40}]})
        };
        let found = production(&answer(1_699_999_900)).unwrap();
        assert_eq!((found.values.battery_w, found.values.battery_soc), (Some(260.0), Some(40.0)));
        let found = production(&answer(1_699_800_000)).unwrap();
        assert_eq!((found.values.battery_w, found.values.battery_soc, found.may_include_battery), (None, None, true));
    }

    #[test]
    fn a_transformer_mounted_backwards_is_unknown_not_sun() {
        let answer = json!({"production": [{"type": "eim", "activeCount": 1, "measurementType": "production", "wNow": -3000.0}]});
        assert_eq!(production(&answer).unwrap().values.generation_w, None);
    }

    #[test]
    fn the_oldest_gateways_have_a_page_only() {
        let page = "<tr><td>Currently</td>    <td> 5.32 kW</td></tr><tr><td>Today</td><td>27.5 kWh</td></tr>";
        assert_eq!(production_page(page).unwrap().values.generation_w, Some(5320.0));
        let page = "<tr><td>Currently</td>\n<td>  0 W</td></tr>";
        assert_eq!(production_page(page).unwrap().values.generation_w, Some(0.0));
        assert_eq!(production_page("<html>Not found</html>"), None);
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("enphase") {
            let found = match recording.text_at(&["request", "path"]) {
                // Bodies that are no JSON are the client's affair: see the tests of the driver.
                "/production.json" if recording.name().ends_with(".json") => production(&recording.json()),
                "/api/v1/production" => production_v1(&recording.json()),
                _ => continue,
            };
            let found = found.unwrap().values;
            recording.assert_number("generation_w", found.generation_w);
            recording.assert_number("consumption_w", found.consumption_w);
            recording.assert_number("grid_w", found.grid_w);
            recording.assert_number("battery_w", found.battery_w);
            recording.assert_number("battery_soc", found.battery_soc);
            recording.assert_numbers("grid_phase_w", &found.grid_phase_w.unwrap_or_default());
            recording.assert_numbers("grid_v", &found.grid_volts.clone().unwrap_or_default());
            match recording.expected().get("grid_a") {
                Some(Value::Null) => assert_eq!(found.grid_amps, None, "{}", recording.name()),
                _ => recording.assert_numbers("grid_a", &found.grid_amps.unwrap_or_default()),
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_document_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-zA-Z_0-9.eE+-]{0,200}") {
            let _ = production_page(&text);
            if let Ok(value) = serde_json::from_str(&text) {
                let _ = (production(&value), production_v1(&value));
            }
        }

        #[test]
        fn any_figures_give_generation_above_zero(made in -1e308f64..1e308, used in -1e308f64..1e308, count in 0u8..3) {
            let entry = |kind: &str, watts: f64| json!({"type": "eim", "activeCount": count, "measurementType": kind, "wNow": watts});
            let answer = json!({"production": [entry("production", made)], "consumption": [entry("total-consumption", used)]});
            if let Ok(found) = production(&answer) {
                proptest::prop_assert!(found.values.generation_w.is_none_or(|watts| (0.0..=1e9).contains(&watts)));
                proptest::prop_assert!(found.values.consumption_w.is_none_or(|watts| (0.0..=1e9).contains(&watts)));
            }
        }
    }
}

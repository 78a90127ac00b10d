//! The cloud's answers. Pure.

use ems::WireReading;
use json_pick::{Doc, PickError, watts_factor};
use serde_json::Value;

/// Reads `currentPowerFlow`; `None` for a site that cannot tell its flow (no meter).
///
/// Powers come without a sign: the connections tell the direction.
///
/// # Errors
/// When it is something else, or a value is not what it should be.
pub fn power_flow(answer: &Value) -> Result<Option<WireReading>, PickError> {
    let doc = Doc::new(answer);
    let flow = doc.at("siteCurrentPowerFlow")?.ok_or_else(|| doc.missing("siteCurrentPowerFlow"))?;
    let Some(connections) = flow.list("connections")? else { return Ok(None) };
    let mut ways = Vec::with_capacity(connections.len());
    for connection in connections {
        let end = |name| Ok::<_, PickError>(connection.text(name)?.unwrap_or_default().to_ascii_lowercase());
        ways.push((end("from")?, end("to")?));
    }
    // A power in a unit that we do not know is unknown.
    let factor = flow.text("unit")?.and_then(|unit| watts_factor(&unit));
    let watts = |block: &str| {
        let power = flow.number(&format!("{block}.currentPower"))?;
        Ok::<_, PickError>(power.zip(factor).map(|(power, factor)| power * factor))
    };
    // `source` says that power comes from there: positive.
    let directed = |name: &str, power: Option<f64>, status: Option<bool>| {
        let goes = ways.iter().any(|(_, to)| to == name);
        let comes = ways.iter().any(|(from, _)| from == name);
        match (power.map(f64::abs), goes, comes, status) {
            (Some(power), true, _, _) | (Some(power), false, false, Some(false)) => Some(-power),
            (Some(power), false, true, _) | (Some(power), false, false, Some(true)) => Some(power),
            (Some(0.0), ..) => Some(0.0),
            _ => None,
        }
    };
    let status = flow.text("STORAGE.status")?.map(|status| status.to_ascii_lowercase());
    let discharges = match status.as_deref() {
        Some("discharging") => Some(true),
        Some("charging") => Some(false),
        _ => None,
    };
    Ok(Some(WireReading {
        generation_w: watts("PV")?.and_then(ems::generation),
        consumption_w: watts("LOAD")?.map(f64::abs),
        grid_w: directed("grid", watts("GRID")?, None),
        battery_w: directed("storage", watts("STORAGE")?, discharges),
        battery_soc: flow.number("STORAGE.chargeLevel")?.map(|soc| soc.clamp(0.0, 100.0)),
        ..WireReading::default()
    }))
}

/// Reads `overview`: generation, and the site's local time of it.
///
/// # Errors
/// When it is something else, or a value is not what it should be.
pub fn overview(answer: &Value) -> Result<(WireReading, Option<String>), PickError> {
    let doc = Doc::new(answer);
    let overview = doc.at("overview")?.ok_or_else(|| doc.missing("overview"))?;
    let watts = overview.number("currentPower.power")?;
    let values = WireReading { generation_w: watts.and_then(ems::generation), ..WireReading::default() };
    Ok((values, overview.text("lastUpdateTime")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn flow(value: Value) -> WireReading {
        power_flow(&json!({ "siteCurrentPowerFlow": value })).unwrap().unwrap()
    }

    #[test]
    fn the_connections_tell_the_direction_whatever_their_case() {
        let found = flow(
            json!({"unit": "W", "connections": [{"from": "PV", "to": "Load"}, {"from": "LOAD", "to": "Grid"},
            {"from": "PV", "to": "Storage"}], "GRID": {"currentPower": "800"}, "PV": {"currentPower": 3000},
            "LOAD": {"currentPower": 700}, "STORAGE": {"status": "Charging", "currentPower": 1500, "chargeLevel": 40}}),
        );
        assert_eq!((found.grid_w, found.battery_w, found.generation_w), (Some(-800.0), Some(-1500.0), Some(3000.0)));
    }

    #[test]
    fn idle_blocks_are_zero_and_missing_ones_unknown() {
        let found =
            flow(json!({"unit": "kW", "connections": [{"from": "GRID", "to": "Load"}], "GRID": {"currentPower": 0.4},
            "PV": {"status": "Idle", "currentPower": 0.0}, "STORAGE": {"status": "Idle", "currentPower": 0}}));
        assert_eq!((found.generation_w, found.consumption_w, found.battery_w), (Some(0.0), None, Some(0.0)));
        let found = flow(json!({"unit": "kW", "connections": [], "GRID": {"currentPower": 2}}));
        assert_eq!(found.grid_w, None);
    }

    #[test]
    fn an_unknown_unit_leaves_all_unknown() {
        let found =
            flow(json!({"unit": "BTU/h", "connections": [], "PV": {"currentPower": 2}, "LOAD": {"currentPower": 1}}));
        assert_eq!((found.generation_w, found.consumption_w), (None, None));
    }

    #[test]
    fn overview_tells_generation_and_its_time() {
        let answer = json!({"overview": {"lastUpdateTime": "2024-05-01 12:15:00", "currentPower": {"power": 1234.5}}});
        let (values, time) = overview(&answer).unwrap();
        assert_eq!((values.generation_w, time.as_deref()), (Some(1234.5), Some("2024-05-01 12:15:00")));
        assert!(overview(&json!({"String": "Invalid token"})).is_err());
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("solaredge") {
            if !recording.text_at(&["request", "path"]).contains("currentPowerFlow") {
                continue;
            }
            let found = power_flow(&recording.json()).unwrap();
            let falls_back = recording.expected()["fallback"] == "overview";
            assert_eq!(found.is_none(), falls_back, "{}", recording.name());
            let found = found.unwrap_or_default();
            recording.assert_number("generation_w", found.generation_w);
            recording.assert_number("consumption_w", found.consumption_w);
            recording.assert_number("grid_w", found.grid_w);
            recording.assert_number("battery_w", found.battery_w);
            recording.assert_number("battery_soc", found.battery_soc);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_document_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-zA-Z0-9.eE+-]{0,200}") {
            if let Ok(value) = serde_json::from_str(&text) {
                let _ = (power_flow(&value), overview(&value));
            }
        }

        #[test]
        fn any_figure_is_sane(power in proptest::num::f64::ANY, unit in "(W|kW|MW|x)") {
            let value = json!({"siteCurrentPowerFlow": {"unit": unit, "connections": [{"from": "GRID", "to": "Load"}],
                "PV": {"currentPower": power}, "GRID": {"currentPower": power}}});
            if let Ok(Some(found)) = power_flow(&value) {
                // What is too large for a house is refused when the reading is made.
                let _ = found.clone().into_reading(std::time::Instant::now());
                proptest::prop_assert!(found.generation_w.is_none_or(|watts| watts >= 0.0));
            }
        }
    }
}

//! From the gateway's and the cloud's answers to values. Pure.

use ems::{Attribute, WireReading};
use json_pick::{Doc, PickError};
use serde_json::Value;

/// The gateway keeps this much (percent) for itself: users are shown the rest as 0 to 100.
const HIDDEN_PERCENT: f64 = 5.0;

/// How a meter that is not there dates its last message.
const NEVER: &str = "0001-01-01";

/// A percentage on the gateway's scale as the app shows it.
#[must_use]
pub fn app_percent(raw: f64) -> f64 {
    ((raw - HIDDEN_PERCENT) / (1.0 - HIDDEN_PERCENT / 100.0)).clamp(0.0, 100.0)
}

/// Values, and the device's own time of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// The values.
    pub values: WireReading,
    /// The device's time, as it writes it.
    pub stamp: Option<String>,
}

/// Reads `/api/meters/aggregates`. Its signs are ours.
///
/// # Errors
/// When it is something else, or a value is not what it should be.
pub fn aggregates(answer: &Value) -> Result<Found, PickError> {
    let doc = Doc::new(answer);
    let site = present(doc, "site")?;
    let power = |name: &str| present(doc, name)?.map_or(Ok(None), |meter| meter.number("instant_power"));
    let mut values = WireReading {
        generation_w: power("solar")?.and_then(ems::generation),
        consumption_w: power("load")?.map(|watts| watts.max(0.0)),
        grid_w: power("site")?,
        battery_w: power("battery")?,
        ..WireReading::default()
    };
    if ["site", "load", "solar", "battery"].iter().all(|name| !doc.has(name)) {
        return Err(doc.missing("site"));
    }
    let mut stamp = None;
    if let Some(site) = site {
        stamp = site.text("last_communication_time")?;
        let volts = site.number("instant_average_voltage")?.filter(|volts| *volts > 0.0);
        number(&mut values, "voltage", volts);
    }
    Ok(Found { values, stamp })
}

/// The object of a meter that is there and has told something.
fn present<'a>(doc: Doc<'a>, name: &str) -> Result<Option<Doc<'a>>, PickError> {
    let Some(meter) = doc.at(name)? else { return Ok(None) };
    let told = meter.text("last_communication_time")?;
    Ok((!told.is_some_and(|told| told.starts_with(NEVER))).then_some(meter))
}

/// Reads `/api/system_status/soe`: state of charge as the app shows it.
///
/// # Errors
/// When a value is not what it should be.
pub fn state_of_energy(answer: &Value) -> Result<Option<f64>, PickError> {
    Ok(Doc::new(answer).number("percentage")?.map(app_percent))
}

/// Reads `/api/operation`: mode, and reserve as the app shows it.
///
/// # Errors
/// When a value is not what it should be.
pub fn operation(answer: &Value) -> Result<(Option<String>, Option<f64>), PickError> {
    let doc = Doc::new(answer);
    let mode = doc.text("real_mode")?;
    let reserve = match mode.as_deref() {
        Some("backup") => Some(100.0),
        _ => doc.number("backup_reserve_percent")?.map(app_percent),
    };
    Ok((mode, reserve))
}

/// Reads `/api/system_status/grid_status`: whether the house is on the grid; `None` in between and when unknown.
///
/// # Errors
/// When a value is not what it should be.
pub fn grid_status(answer: &Value) -> Result<Option<bool>, PickError> {
    Ok(match Doc::new(answer).text("grid_status")?.as_deref() {
        Some("SystemGridConnected") => Some(true),
        Some("SystemIslandedActive" | "SystemIslandedReady" | "SystemMicroGridFaulted" | "SystemWaitForUser") => {
            Some(false)
        }
        // Transitions, and whatever a later firmware says: never taken for connected.
        _ => None,
    })
}

/// Reads `/api/sitemaster`: whether the part that measures is running.
///
/// # Errors
/// When a value is not what it should be.
pub fn is_running(answer: &Value) -> Result<Option<bool>, PickError> {
    Doc::new(answer).flag("running")
}

/// Adds the phases from `/api/meters/site`. Several meters at the grid connection are added up.
///
/// # Errors
/// When it is something else, or a value is not what it should be.
pub fn add_phases(answer: &Value, values: &mut WireReading) -> Result<(), PickError> {
    let mut power = [None; 3];
    let mut amps: [Option<f64>; 3] = [None; 3];
    let mut volts = [None; 3];
    for meter in Doc::new(answer).list("")?.unwrap_or_default() {
        let Some(told) = present(meter, "Cached_readings")? else { continue };
        let slots = power.iter_mut().zip(&mut amps).zip(&mut volts);
        for ((letter, line), ((power, amps), volts)) in [("a", 1), ("b", 2), ("c", 3)].into_iter().zip(slots) {
            let phase_volts = told.number(&format!("v_l{line}n"))?.filter(|volts| *volts > 0.0);
            let phase_power = told.number(&format!("real_power_{letter}"))?;
            // A phase without voltage and power is not there; a current of 0 beside a power is not available.
            let Some(watts) = phase_power.filter(|watts| phase_volts.is_some() || *watts != 0.0) else { continue };
            let current = told.number(&format!("i_{letter}_current"))?.filter(|amps| *amps != 0.0 || watts == 0.0);
            *power = Some(power.unwrap_or(0.0) + watts);
            *amps = match (*amps, current) {
                (sum, Some(current)) => {
                    let signed = if watts < 0.0 { -current.abs() } else { current.abs() };
                    Some(sum.unwrap_or(0.0) + signed)
                }
                (sum, None) => sum,
            };
            *volts = volts.or(phase_volts);
        }
    }
    let known = |phases: [Option<f64>; 3]| phases.iter().any(Option::is_some).then(|| phases.to_vec());
    (values.grid_phase_w, values.grid_amps, values.grid_volts) = (known(power), known(amps), known(volts));
    Ok(())
}

/// Reads the cloud's `live_status`. Its signs and its percentages are ours.
///
/// # Errors
/// When it is something else, or a value is not what it should be.
pub fn live_status(answer: &Value) -> Result<Found, PickError> {
    let doc = Doc::new(answer);
    let live = doc.at("response")?.ok_or_else(|| doc.missing("response"))?;
    let mut values = WireReading {
        generation_w: live.number("solar_power")?.and_then(ems::generation),
        consumption_w: live.number("load_power")?.map(|watts| watts.max(0.0)),
        grid_w: live.number("grid_power")?,
        battery_w: live.number("battery_power")?,
        battery_soc: live.number("percentage_charged")?.map(|soc| soc.clamp(0.0, 100.0)),
        ..WireReading::default()
    };
    let island = live.text("island_status")?.unwrap_or_default();
    let is_on_grid = match (live.text("grid_status")?.as_deref(), island.as_str()) {
        (_, island) if island.starts_with("off_grid") => Some(false),
        (Some("Inactive"), _) => Some(false),
        (Some("Active"), _) | (_, "on_grid") => Some(true),
        _ => None,
    };
    flag(&mut values, "gridStatus", is_on_grid);
    flag(&mut values, "stormWatch", live.flag("storm_mode_active")?);
    Ok(Found { values, stamp: live.text("timestamp")? })
}

/// The id of the first site with a battery in the cloud's list of products.
///
/// # Errors
/// When it is something else, or a value is not what it should be.
pub fn battery_site(answer: &Value) -> Result<Option<String>, PickError> {
    for product in Doc::new(answer).list("response")?.unwrap_or_default() {
        if product.text("resource_type")?.as_deref() == Some("battery")
            && let Some(id) = product.text("energy_site_id")?
        {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

pub(crate) fn flag(values: &mut WireReading, name: &str, value: Option<bool>) {
    values.attributes.extend(value.map(|value| (name.to_owned(), Attribute::Flag(value))));
}

pub(crate) fn number(values: &mut WireReading, name: &str, value: Option<f64>) {
    values.attributes.extend(value.map(|value| (name.to_owned(), Attribute::Number(value))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_apps_scale() {
        for (raw, app) in [(5.0, 0.0), (100.0, 100.0), (52.5, 50.0), (3.0, 0.0), (101.0, 100.0)] {
            assert!((app_percent(raw) - app).abs() < 1e-9, "{raw}");
        }
        assert_eq!(operation(&json!({"real_mode": "backup", "backup_reserve_percent": 100})).unwrap().1, Some(100.0));
    }

    #[test]
    fn only_connected_is_connected() {
        let status = |text: &str| grid_status(&json!({ "grid_status": text })).unwrap();
        assert_eq!(status("SystemGridConnected"), Some(true));
        assert_eq!(status("SystemIslandedActive"), Some(false));
        assert_eq!(status("SystemTransitionToGrid"), None);
        assert_eq!(status("SystemSomethingNew"), None);
        assert_eq!(grid_status(&json!({})), Ok(None));
    }

    #[test]
    fn a_meter_that_never_told_anything_is_not_there() {
        let answer = json!({"site": {"instant_power": 200, "last_communication_time": "2024-01-01T00:00:00Z"},
                            "solar": {"instant_power": 0, "last_communication_time": "0001-01-01T00:00:00Z"}});
        let found = aggregates(&answer).unwrap().values;
        assert_eq!((found.generation_w, found.grid_w, found.battery_w), (None, Some(200.0), None));
        assert!(aggregates(&json!({"code": 403, "error": "Unable to GET"})).is_err());
    }

    #[test]
    fn phases_of_two_meters_add_up_and_missing_currents_are_unknown() {
        let mut values = WireReading::default();
        let meter = |a: f64, amps: f64| {
            json!({"Cached_readings": {"real_power_a": a, "real_power_b": 100, "i_a_current": amps, "i_b_current": 0,
                                       "v_l1n": 121.0, "v_l2n": 122.0, "v_l3n": 0, "real_power_c": 0}})
        };
        add_phases(&json!([meter(-500.0, 4.5), meter(200.0, 1.8)]), &mut values).unwrap();
        assert_eq!(values.grid_phase_w, Some(vec![Some(-300.0), Some(200.0), None]));
        assert_eq!(
            values.grid_amps.unwrap().into_iter().map(|a| a.map(f64::round)).collect::<Vec<_>>(),
            [Some(-3.0), None, None]
        );
        assert_eq!(values.grid_volts, Some(vec![Some(121.0), Some(122.0), None]));
    }

    #[test]
    fn the_cloud_tells_whether_the_house_is_an_island() {
        let status = |value: Value| {
            live_status(&json!({ "response": value })).unwrap().values.attributes.get("gridStatus").cloned()
        };
        assert_eq!(status(json!({"grid_status": "Active", "island_status": "on_grid"})), Some(Attribute::Flag(true)));
        assert_eq!(
            status(json!({"grid_status": "Active", "island_status": "off_grid_intentional"})),
            Some(Attribute::Flag(false))
        );
        assert_eq!(status(json!({"grid_status": "Unknown", "island_status": "island_status_unknown"})), None);
    }

    #[test]
    fn the_site_with_a_battery_is_chosen() {
        let list = json!({"response": [{"vin": "5YJ3"}, {"energy_site_id": 7, "resource_type": "wall_connector"},
                                       {"energy_site_id": 1_234_567, "resource_type": "battery"}]});
        assert_eq!(battery_site(&list).unwrap().as_deref(), Some("1234567"));
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("powerwall") {
            let path = recording.text_at(&["request", "path"]).to_owned();
            // An empty answer with an error status is the driver's affair; see its tests.
            if !recording.name().ends_with(".json") {
                continue;
            }
            let answer = recording.json();
            let expected = recording.expected();
            let mut found = Found::default();
            match path.as_str() {
                "/api/meters/aggregates" => found = aggregates(&answer).unwrap(),
                "/api/system_status/soe" => found.values.battery_soc = state_of_energy(&answer).unwrap(),
                "/api/system_status/grid_status" => {
                    assert_eq!(grid_status(&answer).unwrap(), expected["grid_up"].as_bool(), "{}", recording.name());
                }
                "/api/operation" => {
                    let (mode, reserve) = operation(&answer).unwrap();
                    assert_eq!(mode.as_deref(), expected["operating_mode"].as_str(), "{}", recording.name());
                    recording.assert_number("reserve_percent", reserve);
                }
                "/api/sitemaster" => assert_eq!(is_running(&answer).unwrap(), expected["running"].as_bool()),
                "/api/meters/site" | "/api/meters/solar" => add_phases(&answer, &mut found.values).unwrap(),
                path if path.ends_with("/live_status") => {
                    found = live_status(&answer).unwrap();
                    let storm = expected["storm_watch"].as_bool().map(Attribute::Flag);
                    assert_eq!(found.values.attributes.get("stormWatch"), storm.as_ref(), "{}", recording.name());
                }
                other => panic!("{}: nothing reads {other}", recording.name()),
            }
            recording.assert_number("generation_w", found.values.generation_w);
            recording.assert_number("consumption_w", found.values.consumption_w);
            recording.assert_number("grid_w", found.values.grid_w);
            recording.assert_number("battery_w", found.values.battery_w);
            recording.assert_number("battery_soc", found.values.battery_soc);
            recording.assert_numbers("grid_phase_w", &found.values.grid_phase_w.unwrap_or_default());
            recording.assert_numbers("grid_a", &found.values.grid_amps.unwrap_or_default());
            recording.assert_numbers("grid_v", &found.values.grid_volts.unwrap_or_default());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_document_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-zA-Z_0-9.eE+-]{0,200}") {
            if let Ok(value) = serde_json::from_str(&text) {
                let _ = (aggregates(&value), state_of_energy(&value), operation(&value), grid_status(&value));
                let _ = (live_status(&value), battery_site(&value), add_phases(&value, &mut WireReading::default()));
            }
        }

        #[test]
        fn any_figure_is_sane(power in -1e308f64..1e308, soc in -1e9f64..1e9) {
            let told = json!({"instant_power": power});
            if let Ok(found) = aggregates(&json!({"solar": told, "load": told})) {
                proptest::prop_assert!(found.values.generation_w.is_none_or(|watts| (0.0..=1e9).contains(&watts)));
                proptest::prop_assert!(found.values.consumption_w.is_none_or(|watts| (0.0..=1e9).contains(&watts)));
            }
            let percent = state_of_energy(&json!({"percentage": soc})).unwrap().unwrap();
            proptest::prop_assert!((0.0..=100.0).contains(&percent));
        }
    }
}

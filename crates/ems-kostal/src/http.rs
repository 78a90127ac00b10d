//! Inverters that speak HTTP: Piko (second generation) and Piko MP plus. Pure.

use ems::WireReading;
use json_pick::{Doc, PickError};
use serde_json::Value;

const DXS_AC: i64 = 67_109_120;
const DXS_DC: i64 = 33_556_736;
const DXS_HOME_FROM_PV: i64 = 83_886_336;
const DXS_HOME_FROM_BATTERY: i64 = 83_886_592;
const DXS_HOME_FROM_GRID: i64 = 83_886_848;
/// 0 is off.
const DXS_STATE: i64 = 16_780_032;

/// The Piko's page with all that is used of it.
pub(crate) const DXS: &str = "/api/dxs.json?dxsEntries=67109120&dxsEntries=33556736&dxsEntries=83886336\
                              &dxsEntries=83886592&dxsEntries=83886848&dxsEntries=16780032";
/// The Piko MP's page.
pub(crate) const MEASUREMENTS: &str = "/measurements.xml";

/// Reads a Piko's answer.
///
/// # Errors
/// When it is something else.
pub fn dxs(answer: &Value) -> Result<WireReading, PickError> {
    let doc = Doc::new(answer);
    let entries = doc.list("dxsEntries")?.ok_or_else(|| doc.missing("dxsEntries"))?;
    let number = |id: i64| -> Result<Option<f64>, PickError> {
        for entry in &entries {
            if entry.integer("dxsId")? == Some(id) {
                return Ok(entry.number("value")?.filter(|value| value.abs() <= 1e6));
            }
        }
        Ok(None)
    };
    let ac = number(DXS_AC)?;
    let from_battery = number(DXS_HOME_FROM_BATTERY)?;
    let has_battery = from_battery.is_some_and(|watts| watts != 0.0);
    // With a battery the AC power is not the sun's alone.
    let watts = if has_battery { number(DXS_DC)? } else { ac };
    let is_off = number(DXS_STATE)? == Some(0.0);
    let home = match (number(DXS_HOME_FROM_PV)?, from_battery, number(DXS_HOME_FROM_GRID)?) {
        (Some(pv), battery, Some(grid)) => Some(pv + battery.unwrap_or(0.0) + grid),
        _ => None,
    };
    // A house never takes nothing: without a sensor all parts are zero.
    let home = home.filter(|watts| *watts > 0.0);
    Ok(WireReading {
        generation_w: watts.or(is_off.then_some(0.0)).and_then(ems::generation),
        consumption_w: home,
        grid_w: home.zip(ac).map(|(home, ac)| home - ac),
        ..WireReading::default()
    })
}

/// Reads a Piko MP's answer.
///
/// # Errors
/// A sentence, when it is something else.
pub fn measurements(text: &str) -> Result<WireReading, String> {
    let document = roxmltree::Document::parse(text.trim_start_matches('\u{feff}'))
        .map_err(|error| format!("the answer is no XML: {error}; check `serverIP` and `model`"))?;
    let find = |kind: &str| {
        let mut nodes = document.descendants().filter(|node| node.has_tag_name("Measurement"));
        nodes.find(|node| node.attribute("Type") == Some(kind))
    };
    let value = |kind: &str| -> Result<Option<f64>, String> {
        let text = find(kind).and_then(|node| node.attribute("Value")).unwrap_or_default();
        let measure = json_pick::parse_number(text).map_err(|fault| format!("`{kind}` is wrong: {fault}"))?;
        Ok(measure.map(|measure| measure.value))
    };
    if find("AC_Power").is_none() {
        return Err("the answer has no measurement `AC_Power`; check `model`".to_owned());
    }
    // The device answers while it does not produce: no value then is a power of zero.
    let watts = value("AC_Power")?.unwrap_or(0.0);
    let (grid, injected, consumed) = (value("GridPower")?, value("GridInjectedPower")?, value("GridConsumedPower")?);
    let grid = match (consumed, injected, grid) {
        (Some(consumed), Some(injected), _) => Some(consumed.abs() - injected.abs()),
        _ => None,
    };
    Ok(WireReading { generation_w: ems::generation(watts), grid_w: grid, ..WireReading::default() })
}

/// The voltage that a Piko MP tells.
#[must_use]
pub fn voltage(text: &str) -> Option<f64> {
    let document = roxmltree::Document::parse(text.trim_start_matches('\u{feff}')).ok()?;
    let node = document.descendants().find(|node| node.attribute("Type") == Some("AC_Voltage"))?;
    let measure = json_pick::parse_number(node.attribute("Value")?).ok()??;
    Some(measure.value).filter(|volts| (0.0..=1000.0).contains(volts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn piko(values: &[(i64, Value)]) -> WireReading {
        let entries: Vec<Value> = values.iter().map(|(id, value)| json!({"dxsId": id, "value": value})).collect();
        dxs(&json!({"dxsEntries": entries, "session": {"sessionId": 0}})).unwrap()
    }

    #[test]
    fn a_piko_with_a_sensor_tells_the_grid() {
        let day = [
            (DXS_AC, json!(3000.5)),
            (DXS_HOME_FROM_PV, json!(600)),
            (DXS_HOME_FROM_GRID, json!(0)),
            (DXS_STATE, json!(3)),
        ];
        let found = piko(&day);
        assert_eq!((found.generation_w, found.consumption_w, found.grid_w), (Some(3000.5), Some(600.0), Some(-2400.5)));
    }

    #[test]
    fn a_piko_at_night_generates_nothing_when_it_says_that_it_is_off() {
        let night = |state: Value| piko(&[(DXS_AC, Value::Null), (DXS_STATE, state)]).generation_w;
        assert_eq!((night(json!(0)), night(json!(3)), night(Value::Null)), (Some(0.0), None, None));
        assert!(dxs(&json!({"status": {"code": 1}})).is_err());
    }

    #[test]
    fn a_piko_without_a_sensor_does_not_know_the_house() {
        let zeros = [DXS_HOME_FROM_PV, DXS_HOME_FROM_BATTERY, DXS_HOME_FROM_GRID].map(|id| (id, json!(0.0)));
        let found = piko(&[&zeros[..], &[(DXS_AC, json!(900))]].concat());
        assert_eq!((found.generation_w, found.consumption_w, found.grid_w), (Some(900.0), None, None));
    }

    #[test]
    fn what_is_no_measurement_is_told() {
        for text in ["", "<html><body>x</body></html>", "<root><a", "{}"] {
            assert!(measurements(text).is_err(), "{text}");
        }
        let wild = r#"<root><Measurement Value="1e308" Type="AC_Power"/></root>"#;
        assert!(measurements(wild).is_err());
        assert_eq!(measurements(&wild.replace("1e308", "nan")).unwrap().generation_w, Some(0.0));
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_sane_numbers_or_an_error(text in "[<>a-zA-Z_=\"/ .0-9{}:,-]{0,200}", value in ".{0,10}") {
            for text in [text, format!("<r><Measurement Type='AC_Power' Value='{value}'/></r>")] {
                if let Ok(found) = measurements(&text) {
                    proptest::prop_assert!(found.into_reading(std::time::Instant::now()).is_ok());
                }
                if let Ok(value) = serde_json::from_str(&text) {
                    let _ = dxs(&value);
                }
                let _ = voltage(&text);
            }
        }
    }
}

//! From Solar API answers to values. Pure.

use ems::EmsError;
use json_pick::{Doc, PickError};
use serde_json::Value;

/// A load that seems to generate up to this many watts is measuring noise; above, the meter is mounted wrongly or an
/// unmetered generator feeds in (seen in the field as positive `P_Load`).
const LOAD_NOISE_W: f64 = 50.0;

/// What one logger tells of its site, in watts with our signs; `None` is unknown or absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PowerFlow {
    /// Generation, foreign inverters on a meter of their own included.
    pub generation: Option<f64>,
    /// Consumption of the house.
    pub consumption: Option<f64>,
    /// Grid, import positive.
    pub grid: Option<f64>,
    /// Battery, discharge positive.
    pub battery: Option<f64>,
    /// Battery state of charge in percent.
    pub battery_soc: Option<f64>,
}

/// The smart meter at the grid connection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GridMeter {
    /// Grid, import positive.
    pub power: Option<f64>,
    /// Power on each phase.
    pub phase_power: [Option<f64>; 3],
    /// Current on each phase, signed like the power.
    pub current: [Option<f64>; 3],
    /// Voltage of each phase.
    pub volts: [Option<f64>; 3],
}

/// Why an answer cannot be used.
#[derive(Debug, Clone, PartialEq)]
pub enum SolarApiError {
    /// The logger says no.
    Refused(String),
    /// A value is not what it should be.
    Garbled(PickError),
}

impl From<PickError> for SolarApiError {
    fn from(error: PickError) -> Self {
        SolarApiError::Garbled(error)
    }
}

impl From<SolarApiError> for EmsError {
    fn from(error: SolarApiError) -> Self {
        match error {
            SolarApiError::Refused(text) => EmsError::retry(text),
            SolarApiError::Garbled(error) => ems_http::garbled(&error),
        }
    }
}

fn data(answer: &Value) -> Result<Doc<'_>, SolarApiError> {
    let doc = Doc::new(answer);
    let code = doc.integer("Head.Status.Code")?;
    if let Some(code) = code.filter(|code| *code != 0) {
        let reason = doc.text("Head.Status.UserMessage")?.or(doc.text("Head.Status.Reason")?).unwrap_or_default();
        return Err(SolarApiError::Refused(format!("the inverter's logger answers with status {code}: {reason}")));
    }
    doc.at("Body.Data")?.ok_or_else(|| doc.missing("Body.Data").into())
}

/// Reads the answer of `GetPowerFlowRealtimeData`.
///
/// # Errors
/// When the logger reports a failure, or the answer is something else.
pub fn power_flow(answer: &Value) -> Result<PowerFlow, SolarApiError> {
    let data = data(answer)?;
    let site = data.at("Site")?.ok_or_else(|| data.missing("Site"))?;

    // The logger answers while the inverters sleep: no PV value then is a PV of zero.
    let own = site.number("P_PV")?.unwrap_or(0.0);
    let mut foreign = 0.0;
    for (_, meter) in data.entries("SecondaryMeters")?.unwrap_or_default() {
        if meter.text("Category")?.as_deref() == Some("METER_CAT_WR") {
            foreign += meter.number("P")?.unwrap_or(0.0);
        }
    }
    let consumption = match site.number("P_Load")? {
        Some(load) if load <= 0.0 => Some(-load),
        Some(load) if load <= LOAD_NOISE_W => Some(0.0),
        _ => None,
    };
    let battery = site.number("P_Akku")?;
    let battery_soc = match battery {
        None => None,
        Some(_) => inverters_soc(data)?,
    };
    Ok(PowerFlow {
        generation: Some((own + foreign).max(0.0)),
        consumption,
        grid: site.number("P_Grid")?,
        battery,
        battery_soc,
    })
}

fn inverters_soc(data: Doc<'_>) -> Result<Option<f64>, SolarApiError> {
    for (_, inverter) in data.entries("Inverters")?.unwrap_or_default() {
        let is_disabled = inverter.text("Battery_Mode")?.as_deref() == Some("disabled");
        if let Some(soc) = inverter.number("SOC")?
            && !is_disabled
        {
            return Ok(Some(soc));
        }
    }
    Ok(None)
}

/// Reads the answer of `GetMeterRealtimeData`; `None` when no meter sits at the grid connection.
///
/// # Errors
/// When the logger reports a failure, or the answer is something else.
pub fn grid_meter(answer: &Value) -> Result<Option<GridMeter>, SolarApiError> {
    let data = data(answer)?;
    // With the scope `Device` the one meter's values stand where a list of meters is otherwise.
    let is_single = data.has("Meter_Location_Current");
    let listed = if is_single { Vec::new() } else { data.entries("")?.unwrap_or_default() };
    let meters = listed.into_iter().map(|(_, meter)| meter).chain(is_single.then_some(data));
    for meter in meters.filter(|meter| meter.value().is_object()) {
        // 0 is the grid connection; 1 the load branch, where signs are turned round; the rest other places.
        let location = match meter.number("Meter_Location_Current")? {
            Some(location) => Some(location),
            None => meter.number("SMARTMETER_VALUE_LOCATION_U16")?,
        };
        if location != Some(0.0) {
            continue;
        }
        let power = first(meter, &["PowerReal_P_Sum", "SMARTMETER_POWERACTIVE_MEAN_SUM_F64"])?;
        let phase_power = three(meter, "PowerReal_P_Phase_{n}", "SMARTMETER_POWERACTIVE_0{n}_F64")?;
        let current = three(meter, "Current_AC_Phase_{n}", "ACBRIDGE_CURRENT_ACTIVE_MEAN_0{n}_F32")?;
        let volts = three(meter, "Voltage_AC_Phase_{n}", "SMARTMETER_VOLTAGE_0{n}_F64")?;
        // Currents may be magnitudes: the phase's power tells the direction.
        let signed = [0, 1, 2].map(|n: usize| match (current.get(n).copied().flatten(), phase_power.get(n)) {
            (Some(amps), Some(Some(watts))) => Some(amps.abs() * watts.signum()),
            (amps, _) => amps,
        });
        return Ok(Some(GridMeter { power, phase_power, current: signed, volts }));
    }
    Ok(None)
}

fn first(meter: Doc<'_>, names: &[&str]) -> Result<Option<f64>, PickError> {
    for name in names {
        if let Some(value) = meter.number(name)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Three phases under today's names, else under those of GEN24 firmware before 1.14.
fn three(meter: Doc<'_>, name: &str, early: &str) -> Result<[Option<f64>; 3], PickError> {
    let phase = |n: &str| first(meter, &[&name.replace("{n}", n), &early.replace("{n}", n)]);
    Ok([phase("1")?, phase("2")?, phase("3")?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn flow(data: Value) -> PowerFlow {
        power_flow(&json!({"Head": {"Status": {"Code": 0}}, "Body": {"Data": data}})).unwrap()
    }

    #[test]
    fn signs_are_turned_to_ours() {
        let flow = flow(json!({"Site": {"P_PV": 1354.0, "P_Load": -294.97, "P_Grid": -1059.03, "P_Akku": null}}));
        assert_eq!((flow.generation, flow.consumption, flow.grid), (Some(1354.0), Some(294.97), Some(-1059.03)));
        assert_eq!((flow.battery, flow.battery_soc), (None, None));
    }

    #[test]
    fn sleeping_inverters_generate_nothing_and_a_missing_meter_is_unknown() {
        let flow = flow(json!({"Site": {"P_PV": null, "P_Load": null, "P_Grid": null}}));
        assert_eq!((flow.generation, flow.consumption, flow.grid), (Some(0.0), None, None));
    }

    #[test]
    fn a_foreign_inverter_on_its_own_meter_is_added() {
        let flow = flow(json!({
            "Site": {"P_PV": 2173.67, "P_Load": -3933.5, "P_Grid": -2632.0, "P_Akku": -11.1},
            "Inverters": {"1": {"SOC": 95.3, "Battery_Mode": "normal"}},
            "SecondaryMeters": {"1": {"Category": "METER_CAT_WR", "P": 4470.0}, "2": {"Category": "METER_CAT_HP", "P": 9.0}}
        }));
        assert_eq!((flow.generation, flow.battery_soc), (Some(6643.67), Some(95.3)));
    }

    #[test]
    fn a_load_that_seems_to_generate_much_is_unknown() {
        assert_eq!(flow(json!({"Site": {"P_Load": 30.0}})).consumption, Some(0.0));
        assert_eq!(flow(json!({"Site": {"P_Load": 900.0}})).consumption, None);
    }

    #[test]
    fn a_refusal_inside_an_answer_is_an_error() {
        let answer = json!({"Head": {"Status": {"Code": 12, "UserMessage": "busy"}}, "Body": {"Data": {"Site": {}}}});
        assert!(matches!(power_flow(&answer), Err(SolarApiError::Refused(text)) if text.contains("busy")));
    }

    #[test]
    fn a_meter_in_the_load_branch_is_no_grid_meter() {
        let meter = |location: f64| {
            grid_meter(&json!({"Head": {"Status": {"Code": 0}}, "Body": {"Data": {"0": {
                "Meter_Location_Current": location, "PowerReal_P_Sum": -600.0, "PowerReal_P_Phase_1": -700.0,
                "PowerReal_P_Phase_2": 100.0, "Current_AC_Phase_1": 3.1, "Current_AC_Phase_2": 0.5}}}}))
            .unwrap()
        };
        assert_eq!(meter(1.0), None);
        assert_eq!(meter(0.0).unwrap().current, [Some(-3.1), Some(0.5), None]);
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("fronius") {
            let path = recording.text_at(&["request", "path"]);
            if path.contains("PowerFlow") {
                let flow = power_flow(&recording.json()).unwrap();
                recording.assert_number("generation_w", flow.generation);
                recording.assert_number("consumption_w", flow.consumption);
                recording.assert_number("grid_w", flow.grid);
                recording.assert_number("battery_w", flow.battery);
                recording.assert_number("battery_soc", flow.battery_soc);
            } else if path.contains("Meter") {
                let meter = grid_meter(&recording.json()).unwrap().unwrap_or_default();
                recording.assert_number("grid_w", meter.power);
                recording.assert_numbers("grid_phase_w", &meter.phase_power);
                recording.assert_numbers("grid_a", &meter.current);
                recording.assert_numbers("grid_v", &meter.volts);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_document_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-zA-Z_0-9.eE+-]{0,300}") {
            if let Ok(value) = serde_json::from_str(&text) {
                let _ = (power_flow(&value), grid_meter(&value));
            }
        }
    }
}

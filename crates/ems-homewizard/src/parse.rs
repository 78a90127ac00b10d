//! From HomeWizard's answers to a meter.

use ems::{EmsError, EmsErrorKind};
use ems_meter::{Meter, PhaseValues};
use json_pick::{Doc, PickError};
use serde_json::Value;

/// What one answer tells.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measurement {
    /// What the device shows; import positive.
    pub meter: Meter,
    /// Battery power and state of charge, when the device is a battery; discharge positive.
    pub battery: Option<Battery>,
    /// When the meter was read, in its local time: good for telling two apart.
    pub stamp: Option<String>,
}

/// A battery, or a group of them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Battery {
    /// Discharge positive.
    pub watts: Option<f64>,
    /// State of charge in percent.
    pub soc: Option<f64>,
}

/// How the two versions of the interface name things.
struct Names {
    power: &'static str,
    phase_power: &'static str,
    volts: &'static str,
    phase_volts: &'static str,
    amps: &'static str,
    phase_amps: &'static str,
    import: &'static str,
    export: &'static str,
}

const V1: Names = Names {
    power: "active_power_w",
    phase_power: "active_power_l{n}_w",
    volts: "active_voltage_v",
    phase_volts: "active_voltage_l{n}_v",
    amps: "active_current_a",
    phase_amps: "active_current_l{n}_a",
    import: "total_power_import",
    export: "total_power_export",
};

const V2: Names = Names {
    power: "power_w",
    phase_power: "power_l{n}_w",
    volts: "voltage_v",
    phase_volts: "voltage_l{n}_v",
    amps: "current_a",
    phase_amps: "current_l{n}_a",
    import: "energy_import",
    export: "energy_export",
};

/// Reads `/api/v1/data`.
///
/// # Errors
/// When something stands where a number should.
pub fn data(answer: &Value) -> Result<Measurement, PickError> {
    Ok(Measurement { meter: meter(Doc::new(answer), &V1)?, ..Measurement::default() })
}

/// Reads `/api/measurement` of version 2.
///
/// # Errors
/// When something stands where a number should.
pub fn measurement(answer: &Value) -> Result<Measurement, PickError> {
    let doc = Doc::new(answer);
    let stamp = doc.text("timestamp")?;
    if let Some(soc) = doc.number("state_of_charge_pct")? {
        // A battery that charges takes power from the house, as any load does.
        let watts = doc.number(V2.power)?.map(|watts| -watts);
        return Ok(Measurement { battery: Some(Battery { watts, soc: Some(soc) }), stamp, ..Measurement::default() });
    }
    Ok(Measurement { meter: meter(doc, &V2)?, battery: None, stamp })
}

/// Reads `/api/batteries`: all batteries of the house together. `None` when there is none.
///
/// # Errors
/// When something stands where a number should.
pub fn batteries(answer: &Value) -> Result<Option<Battery>, PickError> {
    let doc = Doc::new(answer);
    if doc.number("battery_count")? == Some(0.0) {
        return Ok(None);
    }
    Ok(doc.number("power_w")?.map(|watts| Battery { watts: Some(-watts), soc: None }))
}

/// Reads what a device says about itself: its type, such as `HWE-P1`.
///
/// # Errors
/// When it is not such an answer.
pub fn product(answer: &Value) -> Result<Option<String>, PickError> {
    Doc::new(answer).text("product_type")
}

/// Reads the answer to the request for a token.
///
/// # Errors
/// When the button was not pressed, or the device refuses for another reason.
pub fn token(status: u16, answer: &Value) -> Result<String, EmsError> {
    let doc = Doc::new(answer);
    if let Ok(Some(token)) = doc.text("token")
        && (200..300).contains(&status)
    {
        return Ok(token);
    }
    let reason = doc.text("error").ok().flatten().unwrap_or_else(|| format!("HTTP {status}"));
    Err(match reason.as_str() {
        "user:creation-not-enabled" => EmsError::retry(
            "the device waits to be paired: press its button shortly, and again until this message is gone",
        ),
        _ => EmsError::new(EmsErrorKind::Denied, format!("the device refuses to be paired: {reason}")),
    })
}

fn meter(doc: Doc<'_>, names: &Names) -> Result<Meter, PickError> {
    let watts = doc.number(names.power)?;
    let mut phases = [PhaseValues::default(); 3];
    for (phase, n) in phases.iter_mut().zip(["1", "2", "3"]) {
        *phase = PhaseValues {
            watts: doc.number(&names.phase_power.replace("{n}", n))?,
            amps: doc.number(&names.phase_amps.replace("{n}", n))?,
            volts: doc.number(&names.phase_volts.replace("{n}", n))?,
        };
    }
    let [first, others @ ..] = &mut phases;
    let volts = doc.number(names.volts)?;
    let is_single =
        others.iter().all(|phase| *phase == PhaseValues::default()) && (volts.is_some() || first.watts.is_some());
    if is_single {
        // Devices with one phase leave its number out. With three, the same name is a sum of magnitudes.
        first.watts = first.watts.or(watts);
        first.volts = first.volts.or(volts);
        first.amps = match first.amps {
            Some(amps) => Some(amps),
            None => doc.number(names.amps)?,
        };
    }
    Ok(Meter { watts, phases, import_kwh: energy(doc, names.import)?, export_kwh: energy(doc, names.export)? })
}

/// The total, or the sum of the tariffs that there are.
fn energy(doc: Doc<'_>, name: &str) -> Result<Option<f64>, PickError> {
    if let Some(total) = doc.number(&format!("{name}_kwh"))? {
        return Ok(Some(total));
    }
    let mut sum = None;
    for tariff in 1..=4 {
        if let Some(energy) = doc.number(&format!("{name}_t{tariff}_kwh"))? {
            sum = Some(sum.unwrap_or(0.0) + energy);
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Place, as_reading};
    use ems::WireReading;
    use ems_meter::Role;
    use serde_json::json;

    #[test]
    fn null_and_absent_are_unknown() {
        let meter = data(&json!({"active_power_w": null, "active_power_l1_w": 0})).unwrap().meter;
        assert_eq!((meter.watts, meter.phases[0].watts, meter.phases[1].watts), (None, Some(0.0), None));
        assert_eq!(data(&json!({"wifi_ssid": "x"})).unwrap().meter, Meter::default());
    }

    #[test]
    fn a_sum_of_magnitudes_is_no_phase() {
        let three = data(
            &json!({"active_power_w": 100, "active_current_a": 9.5, "active_power_l1_w": 50, "active_power_l2_w": 50}),
        );
        assert_eq!(three.unwrap().meter.phases.map(|phase| phase.amps), [None; 3]);
        let unknown = data(&json!({"active_power_w": 100, "active_current_a": 9.5}));
        assert_eq!(unknown.unwrap().meter.phases.map(|phase| phase.amps), [None; 3]);
    }

    #[test]
    fn charging_batteries_are_negative() {
        assert_eq!(batteries(&json!({"battery_count": 1, "power_w": 1599})).unwrap().unwrap().watts, Some(-1599.0));
        assert_eq!(batteries(&json!({"battery_count": 0, "power_w": 0})).unwrap(), None);
    }

    #[test]
    fn pairing_needs_the_button() {
        assert_eq!(token(200, &json!({"token": "abc", "name": "local/x"})).unwrap(), "abc");
        assert_eq!(token(403, &json!({"error": "user:creation-not-enabled"})).unwrap_err().kind(), EmsErrorKind::Retry);
        assert_eq!(token(400, &json!({"error": "json:bad-value"})).unwrap_err().kind(), EmsErrorKind::Denied);
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("homewizard") {
            let answer = recording.json();
            let expected = recording.expected();
            let (name, path) = (recording.name(), recording.text_at(&["request", "path"]));
            let role = match recording.text_at(&["role"]) {
                "pv meter" => Role::Generation,
                "load meter" => Role::Consumption,
                _ => Role::Grid,
            };
            let read = match path {
                "/api" => {
                    assert_eq!(product(&answer).unwrap().as_deref(), expected["product_type"].as_str(), "{name}");
                    continue;
                }
                "/api/user" => {
                    assert!(token(403, &answer).unwrap_err().to_string().contains("button"), "{name}");
                    continue;
                }
                "/api/v1/data" => data(&answer).unwrap(),
                "/api/batteries" => Measurement { battery: batteries(&answer).unwrap(), ..Measurement::default() },
                _ => measurement(&answer).unwrap(),
            };
            let meter = read.meter;
            recording.assert_number("import_kwh", meter.import_kwh);
            recording.assert_number("export_kwh", meter.export_kwh);
            recording.assert_phases(meter.phases.map(|phase| phase.watts), meter.signed_amps(), meter.volts());
            let place = Place { role, ..Place::default() };
            let wire = WireReading::from(&as_reading(&read, place, std::time::Instant::now()).unwrap());
            recording.assert_number("grid_w", wire.grid_w);
            recording.assert_number("battery_w", wire.battery_w);
            recording.assert_number("battery_soc", wire.battery_soc);
            // A meter elsewhere than at the grid says nothing about the other quantity, whatever TWCManager would show.
            match role {
                Role::Grid => {
                    recording.assert_number("consumption_w", wire.consumption_w);
                    recording.assert_number("generation_w", wire.generation_w);
                }
                Role::Generation => recording.assert_number("generation_w", wire.generation_w),
                Role::Consumption => recording.assert_number("consumption_w", wire.consumption_w),
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_answer_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-z_0-9.eE+-]{0,200}", number in ".{0,12}") {
            let other = json!({"power_w": number, "power_l1_w": number, "active_power_w": number, "state_of_charge_pct": 5});
            for value in serde_json::from_str::<Value>(&text).into_iter().chain([other]) {
                for read in [data(&value), measurement(&value)].into_iter().flatten() {
                    let _ = as_reading(&read, Place::default(), std::time::Instant::now());
                }
                let _ = (batteries(&value), product(&value), token(200, &value));
            }
        }
    }
}

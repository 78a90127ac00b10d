//! From Shelly's answers to a meter.

use ems_meter::{Meter, PhaseValues};
use json_pick::{Doc, PickError};
use serde_json::Value;

/// First-generation devices without emeters count energy in watt-minutes.
const WATT_MINUTES_PER_KWH: f64 = 60_000.0;
const WATT_HOURS_PER_KWH: f64 = 1_000.0;
/// The error that makes a clamp's numbers worthless.
const FAILURE: &str = "power_meter_failure";

/// What a device says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// 1, 2 or more.
    pub generation: i64,
    /// Its model, such as `SHEM-3` or `SPEM-003CEBEU`.
    pub model: String,
    /// `triphase` or `monophase` on devices that can be either.
    pub profile: Option<String>,
    /// Whether it asks for a password.
    pub has_password: bool,
}

/// Reads `/shelly`.
///
/// # Errors
/// When it is not such an answer.
pub fn identity(answer: &Value) -> Result<Identity, PickError> {
    let doc = Doc::new(answer);
    let generation = doc.integer("gen")?.unwrap_or(1);
    let (model, password) = if generation == 1 { ("type", "auth") } else { ("model", "auth_en") };
    Ok(Identity {
        generation,
        model: doc.text(model)?.ok_or_else(|| doc.missing(model))?,
        profile: doc.text("profile")?,
        has_password: doc.flag(password)?.unwrap_or(false),
    })
}

/// Reads `/status` of the first generation. `channels` picks circuits of devices that are no three-phase meter; each becomes
/// a phase. `None` when there is no such circuit.
///
/// # Errors
/// When something stands where a number should.
pub fn first_generation(answer: &Value, channels: &[usize]) -> Result<Option<Meter>, PickError> {
    let doc = Doc::new(answer);
    let emeters = doc.list("emeters")?.unwrap_or_default();
    let circuits = emeters.iter().map(|emeter| circuit(*emeter, WATT_HOURS_PER_KWH)).collect::<Result<Vec<_>, _>>()?;
    if let [a, b, c] = circuits.as_slice() {
        let mut meter = joined(&[*a, *b, *c]);
        // Its own total has more digits, and goes on counting a clamp that failed.
        if let (Some(_), Some(total)) = (meter.watts, doc.number("total_power")?) {
            meter.watts = Some(total);
        }
        return Ok(Some(meter));
    }
    let circuits = match circuits.is_empty() {
        false => circuits,
        true => {
            let meters = doc.list("meters")?.unwrap_or_default();
            meters.iter().map(|meter| circuit(*meter, WATT_MINUTES_PER_KWH)).collect::<Result<Vec<_>, _>>()?
        }
    };
    Ok(picked(channels, |channel| Ok(circuits.get(channel).copied()))?.map(|circuits| joined(&circuits)))
}

/// Reads `Shelly.GetStatus` of later generations, or the single component of `EM.GetStatus` or `EM1.GetStatus`. `channels`
/// picks circuits of devices that are no three-phase meter; each becomes a phase. `None` when there is no such circuit.
///
/// # Errors
/// When something stands where a number should.
pub fn later_generation(answer: &Value, channels: &[usize]) -> Result<Option<Meter>, PickError> {
    let doc = Doc::new(answer);
    if doc.has("a_act_power") || doc.has("total_act_power") {
        return three_phases(doc, None).map(Some);
    }
    if doc.has("act_power") {
        return Ok(Some(joined(&[component(doc, "act_power", None)?])));
    }
    if let Some(em) = doc.at("[\"em:0\"]")? {
        return three_phases(em, doc.at("[\"emdata:0\"]")?).map(Some);
    }
    let found = picked(channels, |channel| {
        if let Some(em) = doc.at(&format!("[\"em1:{channel}\"]"))? {
            let counters = doc.at(&format!("[\"em1data:{channel}\"]"))?;
            return component(em, "act_power", counters).map(Some);
        }
        for kind in ["pm1", "switch"] {
            if let Some(found) = doc.at(&format!("[\"{kind}:{channel}\"]"))?.filter(|found| found.has("apower")) {
                return component(found, "apower", None).map(Some);
            }
        }
        Ok(None)
    })?;
    Ok(found.map(|circuits| joined(&circuits)))
}

/// The counters of `EMData.GetStatus` and `EM1Data.GetStatus`, in kWh: in and out.
///
/// # Errors
/// When something stands where a number should.
pub fn counters(answer: Doc<'_>) -> Result<[Option<f64>; 2], PickError> {
    let either = |first: &str, second: &str| -> Result<Option<f64>, PickError> {
        let energy = answer.number(first)?;
        let energy = if energy.is_some() { energy } else { answer.number(second)? };
        Ok(energy.map(|wh| wh / WATT_HOURS_PER_KWH))
    };
    Ok([either("total_act", "total_act_energy")?, either("total_act_ret", "total_act_ret_energy")?])
}

/// One clamp, or one outlet.
#[derive(Debug, Clone, Copy, Default)]
struct Circuit {
    values: PhaseValues,
    kwh: [Option<f64>; 2],
}

fn circuit(emeter: Doc<'_>, energy_unit: f64) -> Result<Circuit, PickError> {
    let kwh = |name: &str| Ok(emeter.number(name)?.map(|energy| energy / energy_unit));
    let kwh = [kwh("total")?, kwh("total_returned")?];
    if emeter.flag("is_valid")? == Some(false) {
        return Ok(Circuit { kwh, ..Circuit::default() });
    }
    let values = PhaseValues {
        watts: emeter.number("power")?,
        amps: emeter.number("current")?,
        volts: emeter.number("voltage")?,
    };
    Ok(Circuit { values, kwh })
}

fn component(em: Doc<'_>, power: &str, data: Option<Doc<'_>>) -> Result<Circuit, PickError> {
    let told = errors(em, "errors")?;
    let values = PhaseValues {
        watts: em.number(power)?.filter(|_| !is_out(&told, power)),
        amps: em.number("current")?.filter(|_| !is_out(&told, "current")),
        volts: em.number("voltage")?.filter(|_| !is_out(&told, "voltage")),
    };
    let kwh = match data {
        Some(data) => counters(data)?,
        None => {
            // The first counts both ways, the second what went back.
            let (both, back) = (em.number("aenergy.total")?, em.number("ret_aenergy.total")?);
            let import = both.map(|both| (both - back.unwrap_or(0.0)) / WATT_HOURS_PER_KWH);
            [import, back.map(|back| back / WATT_HOURS_PER_KWH)]
        }
    };
    Ok(Circuit { values, kwh })
}

fn three_phases(em: Doc<'_>, data: Option<Doc<'_>>) -> Result<Meter, PickError> {
    let all = errors(em, "errors")?;
    let mut phases = [PhaseValues::default(); 3];
    let mut is_failed = all.iter().any(|error| error == FAILURE);
    for (phase, letter) in phases.iter_mut().zip(["a", "b", "c"]) {
        let told = errors(em, &format!("{letter}_errors"))?;
        let value = |name: &str| -> Result<Option<f64>, PickError> {
            let number = em.number(&format!("{letter}_{name}"))?;
            Ok(number.filter(|_| !is_out(&told, name) && !all.iter().any(|error| error == FAILURE)))
        };
        *phase = PhaseValues { watts: value("act_power")?, amps: value("current")?, volts: value("voltage")? };
        is_failed |= is_out(&told, "act_power");
    }
    let mut meter = Meter { phases, ..Meter::default() };
    if !is_failed {
        let total = em.number("total_act_power")?;
        meter.watts = total.or_else(|| meter.sum_of_phases());
    }
    if let Some(data) = data {
        [meter.import_kwh, meter.export_kwh] = counters(data)?;
    }
    Ok(meter)
}

/// Whether these errors make a quantity worthless. Others, such as a wrong phase sequence, are warnings.
fn is_out(errors: &[String], quantity: &str) -> bool {
    errors.iter().any(|error| {
        error == FAILURE
            || error
                .strip_prefix("out_of_range:")
                .is_some_and(|what| what == quantity || quantity == "apower" && what == "act_power")
    })
}

fn errors(doc: Doc<'_>, name: &str) -> Result<Vec<String>, PickError> {
    doc.list(name)?.unwrap_or_default().into_iter().filter_map(|error| error.text("").transpose()).collect()
}

/// The picked circuits; `None` when one of them does not exist.
fn picked(
    channels: &[usize],
    mut find: impl FnMut(usize) -> Result<Option<Circuit>, PickError>,
) -> Result<Option<Vec<Circuit>>, PickError> {
    channels.iter().map(|channel| find(*channel)).collect()
}

/// Up to three circuits as phases of one meter.
fn joined(circuits: &[Circuit]) -> Meter {
    let mut meter = Meter::default();
    for (phase, circuit) in meter.phases.iter_mut().zip(circuits) {
        *phase = circuit.values;
    }
    let sum = |value: fn(&Circuit) -> Option<f64>| circuits.iter().map(value).sum::<Option<f64>>();
    meter.watts = sum(|circuit| circuit.values.watts);
    meter.import_kwh = sum(|circuit| circuit.kwh[0]);
    meter.export_kwh = sum(|circuit| circuit.kwh[1]);
    meter
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_clamp_that_failed_makes_the_total_unknown() {
        let em = |extra: Value| {
            let mut em =
                json!({"a_act_power": 10, "b_act_power": 20, "c_act_power": 30, "total_act_power": 60, "b_voltage": 9});
            em.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            later_generation(&em, &[0]).unwrap().unwrap()
        };
        assert_eq!(em(json!({"errors": ["phase_sequence"]})).watts, Some(60.0));
        let one = em(json!({"b_errors": ["power_meter_failure"]}));
        assert_eq!((one.watts, one.phases.map(|phase| phase.watts)), (None, [Some(10.0), None, Some(30.0)]));
        assert_eq!(em(json!({"errors": ["power_meter_failure"]})).phases[0].watts, None);
        let volts = em(json!({"b_errors": ["out_of_range:voltage"]}));
        assert_eq!((volts.watts, volts.phases[1].volts), (Some(60.0), None));
    }

    #[test]
    fn circuits_are_never_added_unless_asked() {
        let status = json!({"emeters": [{"power": 100, "is_valid": true}, {"power": -40, "is_valid": true}]});
        let watts = |channels: &[usize]| first_generation(&status, channels).unwrap().map(|meter| meter.watts);
        assert_eq!(watts(&[0]), Some(Some(100.0)));
        assert_eq!(watts(&[1]), Some(Some(-40.0)));
        assert_eq!(watts(&[0, 1]), Some(Some(60.0)));
        assert_eq!(watts(&[2]), None);
        let later = json!({"em1:0": {"act_power": 1}, "em1:1": {"act_power": 2, "errors": ["power_meter_failure"]}});
        assert_eq!(later_generation(&later, &[0]).unwrap().unwrap().watts, Some(1.0));
        assert_eq!(later_generation(&later, &[0, 1]).unwrap().unwrap().watts, None);
        assert_eq!(later_generation(&later, &[2]).unwrap(), None);
    }

    #[test]
    fn outlets_are_read() {
        let plug = json!({"meters": [{"power": 22.5, "is_valid": true, "total": 60000}]});
        let meter = first_generation(&plug, &[0]).unwrap().unwrap();
        assert_eq!((meter.watts, meter.import_kwh), (Some(22.5), Some(1.0)));
        let switch = json!({"switch:0": {"apower": 8.5, "voltage": 230.1, "current": 0.05,
            "aenergy": {"total": 3000.0}, "ret_aenergy": {"total": 1000.0}}});
        let meter = later_generation(&switch, &[0]).unwrap().unwrap();
        assert_eq!((meter.watts, meter.import_kwh, meter.export_kwh), (Some(8.5), Some(2.0), Some(1.0)));
        assert_eq!(later_generation(&json!({"switch:0": {"output": true}}), &[0]).unwrap(), None);
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("shelly") {
            let answer = recording.json();
            let expected = recording.expected();
            let (name, path) = (recording.name(), recording.text_at(&["request", "path"]));
            let meter = match path {
                "/shelly" => {
                    let identity = identity(&answer).unwrap();
                    assert_eq!(Some(identity.generation), expected["gen"].as_i64(), "{name}");
                    assert_eq!(identity.profile.as_deref(), expected["profile"].as_str(), "{name}");
                    assert_eq!(Some(identity.has_password), expected["auth"].as_bool(), "{name}");
                    continue;
                }
                "/status" => first_generation(&answer, &[0]).unwrap().unwrap(),
                path if path.contains("Data.GetStatus") => {
                    let [import_kwh, export_kwh] = counters(Doc::new(&answer)).unwrap();
                    Meter { import_kwh, export_kwh, ..Meter::default() }
                }
                _ => later_generation(&answer, &[0]).unwrap().unwrap(),
            };
            recording.assert_number("grid_w", meter.watts);
            recording.assert_number("consumption_w", meter.watts.map(|watts| watts.max(0.0)));
            recording.assert_number("generation_w", meter.watts.map(|watts| (-watts).max(0.0)));
            recording.assert_number("import_kwh", meter.import_kwh);
            recording.assert_number("export_kwh", meter.export_kwh);
            recording.assert_phases(meter.phases.map(|phase| phase.watts), meter.signed_amps(), meter.volts());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_answer_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-z_0-9.eE+-]{0,200}", number in ".{0,12}", channel in 0usize..) {
            let first = json!({"emeters": [{"power": number, "is_valid": number}], "meters": [text]});
            let later = json!({"em:0": {"a_act_power": number, "errors": [number]}, "em1:0": number, "switch:0": {"apower": 1, "aenergy": text}});
            for value in serde_json::from_str::<Value>(&text).into_iter().chain([first, later]) {
                let _ = (first_generation(&value, &[0, channel]), later_generation(&value, &[channel]), identity(&value));
            }
        }
    }
}

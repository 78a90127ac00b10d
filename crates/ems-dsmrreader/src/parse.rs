//! From DSMR-reader's messages to a meter.

use ems::EmsError;
use ems_meter::{Meter, PhaseValues};
use json_pick::{Doc, PickError};
use p1_telegram::Telegram;
use serde_json::Value;

/// Watts in DSMR-reader's kilowatts.
const KILO: f64 = 1000.0;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What the meter shows.
    pub meter: Meter,
    /// When the meter was read: good for telling two apart.
    pub stamp: Option<String>,
    /// Whether its currents are cut to whole amps.
    pub has_whole_amps: bool,
}

/// Reads an MQTT payload: the JSON of `dsmr/json`, or the telegram of `dsmr/raw`.
///
/// # Errors
/// When it is neither, or has no power in it.
pub fn payload(bytes: &[u8]) -> Result<Message, EmsError> {
    if bytes.trim_ascii_start().starts_with(b"/") {
        let telegram = Telegram::parse(bytes).map_err(|error| EmsError::garbled(error.to_string()))?;
        let meter = telegram.meter();
        return Ok(Message { meter, stamp: telegram.stamp, has_whole_amps: telegram.has_whole_amps });
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        EmsError::garbled(format!(
            "the payload is not JSON ({error}); use the topic of DSMR-reader's JSON telegram (dsmr/json) in \
             sources.DSMRreader.topic"
        ))
    })?;
    let message = reading(&value).map_err(|error| ems_http::garbled(&error))?;
    if !["electricity_currently_delivered", "electricity_currently_returned"]
        .iter()
        .any(|key| Doc::new(&value).has(key))
    {
        return Err(EmsError::garbled(
            "the message has neither electricity_currently_delivered nor electricity_currently_returned; restore these \
             names in DSMR-reader's mapping of the JSON telegram",
        ));
    }
    Ok(message)
}

/// Reads one reading in JSON, as it is published over MQTT and stored behind REST. Powers are kilowatts.
///
/// # Errors
/// When something stands where a number should.
pub fn reading(value: &Value) -> Result<Message, PickError> {
    let doc = Doc::new(value);
    let delivered = doc.number("electricity_currently_delivered")?;
    let returned = doc.number("electricity_currently_returned")?;
    let mut phases = [PhaseValues::default(); 3];
    for (phase, n) in phases.iter_mut().zip(["l1", "l2", "l3"]) {
        let delivered = doc.number(&format!("phase_currently_delivered_{n}"))?;
        let returned = doc.number(&format!("phase_currently_returned_{n}"))?;
        *phase = PhaseValues {
            watts: phase_watts(delivered, returned),
            amps: doc.number(&format!("phase_power_current_{n}"))?,
            volts: doc.number(&format!("phase_voltage_{n}"))?,
        };
    }
    let sum = |low: &str, high: &str| Ok(doc.number(low)?.zip(doc.number(high)?).map(|(low, high)| low + high));
    let meter = Meter {
        watts: delivered.zip(returned).map(|(delivered, returned)| (delivered - returned) * KILO),
        phases,
        import_kwh: sum("electricity_delivered_1", "electricity_delivered_2")?,
        export_kwh: sum("electricity_returned_1", "electricity_returned_2")?,
    };
    let amps = || phases.iter().filter_map(|phase| phase.amps);
    let has_whole_amps = amps().next().is_some() && amps().all(|amps| amps.fract() == 0.0);
    Ok(Message { meter, stamp: doc.text("timestamp")?, has_whole_amps })
}

/// Some meters have no register for what a phase returns.
fn phase_watts(delivered: Option<f64>, returned: Option<f64>) -> Option<f64> {
    match (delivered, returned) {
        (Some(delivered), Some(returned)) => Some((delivered - returned) * KILO),
        (Some(delivered), None) if delivered > 0.0 => Some(delivered * KILO),
        (None, Some(returned)) if returned > 0.0 => Some(-returned * KILO),
        _ => None,
    }
}

/// Reads the newest of `/api/v2/datalogger/dsmrreading`; `None` while there is none.
///
/// # Errors
/// When it is something else.
pub fn newest(value: &Value) -> Result<Option<Message>, PickError> {
    let results = Doc::new(value).list("results")?.ok_or_else(|| Doc::new(value).missing("results"))?;
    results.first().map(|first| reading(first.value())).transpose()
}

/// Reads `/api/v2/consumption/electricity-live`, whose powers are watts; `None` while there is no reading.
///
/// # Errors
/// When it is something else.
pub fn live(value: &Value) -> Result<Option<Message>, PickError> {
    let doc = Doc::new(value);
    let (delivered, returned) = (doc.number("currently_delivered")?, doc.number("currently_returned")?);
    let watts = delivered.zip(returned).map(|(delivered, returned)| delivered - returned);
    let meter = Meter { watts, ..Meter::default() };
    Ok(watts.map(|_| Message { meter, stamp: doc.text("timestamp").ok().flatten(), has_whole_amps: false }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_numbers_and_null_is_unknown() {
        let value = json!({"electricity_currently_delivered": "0.000", "electricity_currently_returned": "10.250",
            "phase_currently_delivered_l1": "0.1", "phase_currently_returned_l1": null, "phase_currently_delivered_l2": null,
            "phase_currently_returned_l2": null, "phase_power_current_l1": 3, "timestamp": "2024-11-06T08:30:15Z"});
        let message = reading(&value).unwrap();
        assert_eq!(message.meter.watts, Some(-10_250.0));
        assert_eq!(message.meter.phases.map(|phase| phase.watts), [Some(100.0), None, None]);
        assert!(message.has_whole_amps);
        let unknown = json!({"electricity_currently_delivered": "1.0", "electricity_currently_returned": null});
        assert_eq!(reading(&unknown).unwrap().meter.watts, None);
    }

    #[test]
    fn payloads_may_be_telegrams() {
        let message = payload(b"/ABC5M\r\n\r\n1-0:1.7.0(00.244*kW)\r\n1-0:2.7.0(00.000*kW)\r\n!\r\n").unwrap();
        assert_eq!(message.meter.watts, Some(244.0));
    }

    #[test]
    fn other_payloads_are_errors_that_tell_what_to_do() {
        for (text, words) in [
            ("0.247", "an object"),
            ("<html>", "topic"),
            ("{\"power\": 5}", "mapping"),
            ("{\"electricity_currently_delivered\": true}", "electricity_currently_delivered"),
            ("/ABC", "telegram"),
        ] {
            let error = payload(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("dsmr-reader") {
            let message = match recording.text_at(&["request", "method"]) {
                "GET" if recording.text_at(&["request", "path"]).contains("live") => live(&recording.json()).unwrap(),
                "GET" => newest(&recording.json()).unwrap(),
                _ => payload(&recording.bytes()).ok(),
            };
            assert_eq!(message.is_some(), recording.expected()["status"] == "ok", "{}", recording.name());
            let meter = message.map(|message| message.meter).unwrap_or_default();
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
        fn any_payload_gives_a_message_or_an_error(text in "[\\[\\]{}:,\"a-z_0-9.eE+-]{0,200}", number in ".{0,12}") {
            let _ = payload(text.as_bytes());
            let value = json!({"electricity_currently_delivered": number, "electricity_currently_returned": "0",
                "phase_power_current_l1": number, "results": [text]});
            let _ = (payload(value.to_string().as_bytes()), newest(&value), live(&value));
        }
    }
}

//! What an SML message of a German meter tells.

use ems_meter::{Meter, PhaseValues};
use sml_rs::parser::common::{ListEntry, Value};
use sml_rs::parser::complete::{MessageBody, parse};
use sml_rs::transport::decode;

/// How every message begins.
pub(crate) const START: [u8; 8] = [0x1B, 0x1B, 0x1B, 0x1B, 0x01, 0x01, 0x01, 0x01];

/// Units of DLMS (IEC 62056-6-2).
const WATT: u8 = 27;
const WATT_HOUR: u8 = 30;
const AMPERE: u8 = 33;
const VOLT: u8 = 35;
/// A scaler beyond this belongs to no meter.
const LARGEST_SCALER: i8 = 12;
const WATT_HOURS_PER_KWH: f64 = 1000.0;

/// Reads the newest whole message.
pub(crate) fn meter(bytes: &[u8]) -> Result<Meter, String> {
    let mut newest = Err("no whole message".to_owned());
    for message in decode(bytes) {
        newest = match message {
            Ok(message) => read(&message),
            Err(error) if newest.is_err() => Err(format!("{error:?}")),
            Err(_) => newest,
        };
    }
    newest
}

fn read(message: &[u8]) -> Result<Meter, String> {
    let file = parse(message).map_err(|error| format!("{error:?}"))?;
    let list = file.messages.iter().find_map(|message| match &message.message_body {
        MessageBody::GetListResponse(list) => Some(list),
        _ => None,
    });
    let list = list.ok_or("it has no list of values")?;
    let find = |group: u8, kind: u8, unit: u8| {
        list.val_list
            .iter()
            .find(|entry| matches!(entry.obj_name, [1, _, c, d, 0, ..] if (*c, *d) == (group, kind)))
            .and_then(|entry| value(entry, unit))
    };
    let power = |group: u8| find(group, 7, WATT);
    let export_kwh = find(2, 8, WATT_HOUR).map(|wh| wh / WATT_HOURS_PER_KWH);
    let watts = match (power(16), power(1), power(2)) {
        (Some(net), _, _) => Some(net),
        (None, Some(import), export) => Some(import - export.unwrap_or(0.0)),
        // Meters without export have nothing but the magnitude.
        (None, None, _) if export_kwh.is_none() => power(15),
        (None, None, _) => None,
    };
    let mut phases = [PhaseValues::default(); 3];
    for (phase, first) in phases.iter_mut().zip([20u8, 40, 60]) {
        let net = || power(first + 1).map(|import| import - power(first + 2).unwrap_or(0.0));
        *phase = PhaseValues {
            watts: power(first + 16).or_else(net),
            amps: find(first + 11, 7, AMPERE),
            volts: find(first + 12, 7, VOLT),
        };
    }
    let import_kwh = find(1, 8, WATT_HOUR).map(|wh| wh / WATT_HOURS_PER_KWH);
    Ok(Meter { watts, phases, import_kwh, export_kwh })
}

fn value(entry: &ListEntry<'_>, unit: u8) -> Option<f64> {
    if entry.unit != Some(unit) {
        return None;
    }
    let scaler = entry.scaler.unwrap_or(0);
    if scaler.unsigned_abs() > LARGEST_SCALER.unsigned_abs() {
        return None;
    }
    let number = match &entry.value {
        Value::I8(number) => f64::from(*number),
        Value::I16(number) => f64::from(*number),
        Value::I32(number) => f64::from(*number),
        Value::U8(number) => f64::from(*number),
        Value::U16(number) => f64::from(*number),
        Value::U32(number) => f64::from(*number),
        // Counters stay far below 2^53, where every whole number has its float.
        #[allow(clippy::cast_precision_loss)]
        Value::I64(number) => *number as f64,
        #[allow(clippy::cast_precision_loss)]
        Value::U64(number) => *number as f64,
        _ => return None,
    };
    Some(number * 10f64.powi(i32::from(scaler)))
}

#[cfg(test)]
mod tests;

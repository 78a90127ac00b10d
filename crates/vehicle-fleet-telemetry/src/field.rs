//! One payload: JSON, where numbers may be texts and nothing may be `null`.

use serde_json::Value;
use vehicle::{ChargingState, Position};
use vehicle_mqtt::values;

/// The value of a payload: as it stands in older servers, or as the one member `value` of an object in newer ones. `None` for
/// what is no JSON, and for values that the car itself calls invalid.
pub(crate) fn parse(payload: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    let value = match value {
        Value::Object(mut members) if members.len() == 1 && members.contains_key("value") => members.remove("value")?,
        value => value,
    };
    (!value.is_null()).then_some(value)
}

pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64().filter(|number| number.is_finite()),
        Value::String(text) => values::number(text),
        _ => None,
    }
}

pub(crate) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// An enum's name without the enum's own name before it.
fn name<'a>(value: &'a Value, prefix: &str) -> Option<&'a str> {
    let text = value.as_str()?;
    Some(text.strip_prefix(prefix).unwrap_or(text))
}

pub(crate) fn charging_state(value: &Value) -> Option<ChargingState> {
    match name(value, "DetailedChargeState")? {
        "Disconnected" => Some(ChargingState::Disconnected),
        "NoPower" => Some(ChargingState::NoPower),
        "Starting" => Some(ChargingState::Starting),
        "Charging" => Some(ChargingState::Charging),
        "Complete" => Some(ChargingState::Complete),
        "Stopped" => Some(ChargingState::Stopped),
        _ => None,
    }
}

/// `SNA` and `Invalid` come while the drive is off: they say nothing.
pub(crate) fn parked(value: &Value) -> Option<bool> {
    match name(value, "ShiftState")? {
        "P" => Some(true),
        "R" | "N" | "D" => Some(false),
        _ => None,
    }
}

/// Whether a cable is in, by the kind of cable; unknown kinds are cables as well.
pub(crate) fn has_cable(value: &Value) -> Option<bool> {
    match name(value, "CableType")? {
        "Unknown" => None,
        "SNA" | "" => Some(false),
        _ => Some(true),
    }
}

pub(crate) fn position(value: &Value, fixed_at: Option<std::time::Instant>) -> Option<Position> {
    Position::new(number(value.get("latitude")?)?, number(value.get("longitude")?)?, fixed_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn payloads_of_both_shapes() {
        for payload in ["12.5", "\"12.5\"", "{\"value\":12.5}", "{\"value\":\"12.5\"}"] {
            assert_eq!(number(&parse(payload.as_bytes()).unwrap()), Some(12.5), "{payload}");
        }
        for payload in ["null", "{\"value\":null}", "", "{", "nan"] {
            assert_eq!(parse(payload.as_bytes()), None, "{payload}");
        }
        assert!(number(&json!("NaN")).is_none() && number(&json!(true)).is_none());
    }

    #[test]
    fn names_of_enums() {
        assert_eq!(charging_state(&json!("DetailedChargeStateNoPower")), Some(ChargingState::NoPower));
        assert_eq!(charging_state(&json!("Complete")), Some(ChargingState::Complete));
        assert_eq!(charging_state(&json!("DetailedChargeStateUnknown")), None);
        assert_eq!(
            ["ShiftStateP", "D", "ShiftStateSNA", "ShiftStateInvalid"].map(|gear| parked(&json!(gear))),
            [Some(true), Some(false), None, None]
        );
        assert_eq!(
            ["CableTypeIEC", "CableTypeSNA", "CableTypeUnknown"].map(|kind| has_cable(&json!(kind))),
            [Some(true), Some(false), None]
        );
    }
}

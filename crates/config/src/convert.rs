//! One value against one [`Kind`]: every spelling that old programs understood becomes the one that ours use.

use serde_json::{Number, Value};

use crate::keys::{Key, Kind};
use crate::{Content, Node};

/// What came of a value.
pub(crate) enum Converted {
    /// Null, or nothing between the quotes where a number belongs: as if the key were not there.
    Absent,
    /// The value in its usual form, and a remark when it may surprise.
    Value(Value, Option<String>),
    /// Why it cannot be used.
    Wrong(String),
}

/// Brings a value into the form of its key.
pub(crate) fn convert(key: &Key, node: &Node) -> Converted {
    if node.is_null() {
        return Converted::Absent;
    }
    if is_scalar(key.kind)
        && !matches!(key.kind, Kind::Text | Kind::Secret | Kind::TextOrFlag)
        && matches!(&node.content, Content::Scalar { value: Value::String(text), .. } if text.trim().is_empty())
    {
        return Converted::Absent;
    }
    let value = match key.kind {
        Kind::Flag => flag(node).map(Value::Bool),
        Kind::Integer | Kind::Number => return number(key, node),
        Kind::Text | Kind::Secret => text(node).map(Value::String),
        Kind::Choice(words) => {
            let given = text(node);
            given
                .and_then(|given| words.iter().find(|word| word.eq_ignore_ascii_case(given.trim())))
                .map(|word| Value::from(*word))
        }
        Kind::Clock => text(node).and_then(|text| clock(&text)).map(Value::String),
        Kind::Texts => match &node.content {
            Content::List(items) => {
                items.iter().map(|item| text(item).map(Value::String)).collect::<Option<Vec<_>>>().map(Value::Array)
            }
            _ => text(node).map(Value::String),
        },
        Kind::Numbers => match &node.content {
            Content::List(items) => items
                .iter()
                .map(|item| as_number(item).map(Value::Number))
                .collect::<Option<Vec<_>>>()
                .map(Value::Array),
            _ => as_number(node).map(|number| Value::Array(vec![Value::Number(number)])),
        },
        Kind::TextOrFlag => match flag(node) {
            Some(flag) => Some(Value::Bool(flag)),
            None => text(node).map(Value::String),
        },
        Kind::List => matches!(node.content, Content::List(_)).then(|| node.to_value()),
        Kind::Object => matches!(node.content, Content::Object(_)).then(|| node.to_value()),
        Kind::Any => Some(node.to_value()),
    };
    match value {
        Some(value) => Converted::Value(value, None),
        None => Converted::Wrong(wrong(key, node)),
    }
}

fn is_scalar(kind: Kind) -> bool {
    !matches!(kind, Kind::Texts | Kind::Numbers | Kind::List | Kind::Object | Kind::Any)
}

fn number(key: &Key, node: &Node) -> Converted {
    let Some(number) = as_number(node) else { return Converted::Wrong(wrong(key, node)) };
    let plain = number.as_f64().unwrap_or(f64::NAN);
    let number = match key.kind {
        Kind::Integer if plain.fract() != 0.0 || plain.abs() > 9e15 => return Converted::Wrong(wrong(key, node)),
        Kind::Integer => whole(number, plain),
        _ => number,
    };
    if key.range.is_some_and(|(low, high)| !(low..=high).contains(&plain)) {
        return Converted::Wrong(wrong(key, node));
    }
    let octal = match &node.content {
        Content::Scalar { value: Value::Number(_), spelling: Some(word) } => {
            let digits = word.trim_start_matches(['+', '-']);
            digits.len() > 1 && digits.starts_with('0') && digits.chars().all(|c| c.is_ascii_digit() || c == '_')
        }
        _ => false,
    };
    let remark = octal.then(|| format!("a number that starts with a zero is octal, so this means {number}, as it always did; write it without the zero"));
    Converted::Value(Value::Number(number), remark)
}

/// `16.0` as `16`, so that readers of whole numbers need only one form.
fn whole(number: Number, plain: f64) -> Number {
    if number.is_f64() { format!("{plain:.0}").parse::<i64>().map_or(number, Number::from) } else { number }
}

/// The finite number that a value is or spells.
fn as_number(node: &Node) -> Option<Number> {
    match &node.content {
        Content::Scalar { value: Value::Number(number), .. } => Some(number.clone()),
        Content::Scalar { value: Value::String(text), .. } => number_in(text),
        _ => None,
    }
}

/// The finite number that a text spells, with an integer kept exact.
pub(crate) fn number_in(text: &str) -> Option<Number> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Number::from(whole));
    }
    // "inf", "nan" and "infinity" parse as well, but are no numbers to anybody.
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

/// The boolean that a value is or spells.
fn flag(node: &Node) -> Option<bool> {
    match &node.content {
        Content::Scalar { value, .. } => flag_in(value),
        _ => None,
    }
}

/// Booleans as files spell them: `true`, `"yes"`, `1`, `"On"` and their opposites.
pub(crate) fn flag_in(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_f64() {
            Some(1.0) => Some(true),
            Some(0.0) => Some(false),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" | "y" => Some(true),
            "false" | "no" | "off" | "0" | "n" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Text, or the exact spelling of something unquoted: a serial number keeps its leading zero.
fn text(node: &Node) -> Option<String> {
    match &node.content {
        Content::Scalar { spelling: Some(word), .. } => Some(word.clone()),
        Content::Scalar { value: Value::String(text), .. } => Some(text.clone()),
        Content::Scalar { value, .. } => Some(value.to_string()),
        _ => None,
    }
}

/// `6:30` and `06:30:00` as `06:30`.
fn clock(text: &str) -> Option<String> {
    let mut parts = text.trim().split(':');
    let hour: u8 = parts.next()?.parse().ok().filter(|hour| *hour < 24)?;
    let minute: u8 = parts.next()?.parse().ok().filter(|minute| *minute < 60)?;
    match (parts.next(), parts.next()) {
        (None | Some("00" | "0"), None) => Some(format!("{hour:02}:{minute:02}")),
        _ => None,
    }
}

fn wrong(key: &Key, node: &Node) -> String {
    let allowed = allowed(key);
    if key.kind == Kind::Secret {
        return format!("{allowed} is allowed here; put the value in quotes");
    }
    format!("found {}, but {allowed} is allowed here", found(node))
}

/// What a key takes, as part of a sentence.
pub(crate) fn allowed(key: &Key) -> String {
    let range = match (key.range, key.unit) {
        (Some((low, high)), "") => format!(" from {low} to {high}"),
        (Some((low, high)), unit) => format!(" from {low} to {high} {unit}"),
        (None, "") => String::new(),
        (None, unit) => format!(" ({unit})"),
    };
    match key.kind {
        Kind::Flag => "`true` or `false`".into(),
        Kind::Integer => format!("a whole number{range}"),
        Kind::Number => format!("a number{range}"),
        Kind::Text | Kind::Secret => "a text".into(),
        Kind::Choice(words) => format!("one of `{}`", words.join("`, `")),
        Kind::Clock => "a time such as `\"06:30\"`".into(),
        Kind::Texts => "a text or a list of texts".into(),
        Kind::Numbers => "a list of numbers such as `[1, 2]`".into(),
        Kind::TextOrFlag => "a text, `true` or `false`".into(),
        Kind::List => "a list such as `[ … ]`".into(),
        Kind::Object => "an object such as `{ … }`".into(),
        Kind::Any => "anything".into(),
    }
}

/// What a value is, as part of a sentence. Not for secrets.
pub(crate) fn found(node: &Node) -> String {
    match &node.content {
        Content::List(_) => "a list".into(),
        Content::Object(_) => "an object".into(),
        Content::Scalar { value: Value::String(text), .. } => {
            let short: String = text.chars().take(40).collect();
            format!("the text `{short}`")
        }
        Content::Scalar { value, .. } => format!("`{value}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn converted(key: &Key, source: &str) -> Option<Value> {
        let (document, _) = crate::read("t", format!("{{\"k\": {source}}}").as_bytes());
        match convert(key, document.get("k").unwrap()) {
            Converted::Value(value, _) => Some(value),
            _ => None,
        }
    }

    #[test]
    fn values_take_the_form_of_their_key() {
        let key = |kind| Key::new("k", kind, "");
        for (kind, source, value) in [
            (Kind::Flag, "\"On\"", json!(true)),
            (Kind::Flag, "0", json!(false)),
            (Kind::Integer, "\"8123\"", json!(8123)),
            (Kind::Integer, "16.0", json!(16)),
            (Kind::Number, "\" 1e3 \"", json!(1000.0)),
            (Kind::Text, "0123", json!("0123")),
            (Kind::Text, "yes", json!("yes")),
            (Kind::Secret, "1_000", json!("1_000")),
            (Kind::Choice(&["NA", "EU"]), "eu", json!("EU")),
            (Kind::Clock, "6:05", json!("06:05")),
            (Kind::Texts, "[a, 5]", json!(["a", "5"])),
            (Kind::Numbers, "[\"1\", 2]", json!([1, 2])),
            (Kind::TextOrFlag, "no", json!(false)),
            (Kind::TextOrFlag, "/ca.pem", json!("/ca.pem")),
        ] {
            assert_eq!(converted(&key(kind), source), Some(value), "{kind:?} {source}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let amps = Key::new("k", Kind::Number, "").unit("A").range(0.0, 80.0);
        for wrong in ["-1", "81", "\"nan\"", "inf", "[6]", "six", "true"] {
            assert_eq!(converted(&amps, wrong), None, "{wrong}");
        }
        assert_eq!(converted(&Key::new("k", Kind::Integer, ""), "1.5"), None);
        assert_eq!(converted(&Key::new("k", Kind::Clock, ""), "24:00"), None);
    }
}

//! What conditions compare, and where it comes from.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value as Json;

/// One side of a comparison, at one moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// Nobody can tell now: a source is silent, or has no such value. No comparison with it holds, not even `ne`.
    Unknown,
    /// Yes or no; compares as 1 and 0.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

impl Fact {
    /// What a JSON value says; objects, lists and `null` say nothing that can be compared.
    #[must_use]
    pub fn from_json(value: &Json) -> Fact {
        match value {
            Json::Bool(flag) => Fact::Flag(*flag),
            Json::Number(number) => number.as_f64().map_or(Fact::Unknown, Fact::Number),
            Json::String(text) => Fact::Text(text.clone()),
            Json::Null | Json::Array(_) | Json::Object(_) => Fact::Unknown,
        }
    }

    /// The same with numeric text as the number it is: forms and scripts store numbers as text.
    #[must_use]
    pub fn cast(self) -> Fact {
        match &self {
            Fact::Text(text) => numeric(text).map_or(self, Fact::Number),
            _ => self,
        }
    }

    /// The number that this is, numeric text and flags included.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Fact::Unknown => None,
            Fact::Flag(flag) => Some(f64::from(u8::from(*flag))),
            Fact::Number(number) => Some(*number),
            Fact::Text(text) => numeric(text),
        }
    }

    /// Which of the two is larger; `None` when they cannot be compared.
    pub(crate) fn order(&self, other: &Fact) -> Option<Ordering> {
        match (self.number(), other.number()) {
            (Some(left), Some(right)) => left.partial_cmp(&right),
            _ => match (self, other) {
                (Fact::Text(left), Fact::Text(right)) => Some(left.cmp(right)),
                _ => None,
            },
        }
    }

    /// Whether the two are the same; text is never a number here. `None` when one is not known.
    pub(crate) fn equals(&self, other: &Fact) -> Option<bool> {
        match (self, other) {
            (Fact::Unknown, _) | (_, Fact::Unknown) => None,
            (Fact::Text(left), Fact::Text(right)) => Some(left == right),
            (Fact::Text(_), _) | (_, Fact::Text(_)) => Some(false),
            _ => Some(self.number() == other.number()),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fact::Unknown => f.write_str("not known"),
            Fact::Flag(flag) => write!(f, "{flag}"),
            // Two decimals, without those that say nothing.
            Fact::Number(number) => write!(f, "{}", (number * 100.0).round() / 100.0),
            Fact::Text(text) => f.write_str(text),
        }
    }
}

fn numeric(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite())
}

/// Whom the conditions ask.
pub trait Facts {
    /// A value of `settings.json`; `None` when the key is absent.
    fn setting(&self, key: &str) -> Option<&Json>;

    /// A value of the section `config`; `None` when the key is absent.
    fn config(&self, key: &str) -> Option<&Json>;

    /// An attribute of a module, such as `batteryLevel` of `TeslaPowerwall2`; [`Fact::Unknown`] while it is stale.
    fn module(&self, name: &str, attribute: &str) -> Fact;

    /// Amps per phase that the surplus allows; `None` while it is not known.
    fn green_amps(&self) -> Option<f64>;

    /// Hours of charging that the one car needs to reach its limit at `amps`, and that limit in percent; `None` when
    /// that cannot be told.
    fn hours_to_charge(&self, amps: f64) -> Option<(f64, f64)>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Fact {
        Fact::Text(text.to_owned())
    }

    #[test]
    fn ordering_takes_numeric_text_for_numbers() {
        assert_eq!(text("10").order(&Fact::Number(9.0)), Some(Ordering::Greater));
        assert_eq!(text("10").order(&text("9")), Some(Ordering::Greater));
        assert_eq!(text("SystemGridConnected").order(&Fact::Number(1.0)), None);
        assert_eq!(Fact::Unknown.order(&Fact::Number(1.0)), None);
    }

    #[test]
    fn equality_keeps_text_and_numbers_apart_but_not_flags() {
        assert_eq!(text("1").equals(&Fact::Number(1.0)), Some(false));
        assert_eq!(Fact::Flag(true).equals(&Fact::Number(1.0)), Some(true));
        assert_eq!(Fact::Unknown.equals(&Fact::Unknown), None);
        assert_eq!(text("1").cast().equals(&Fact::Number(1.0)), Some(true));
    }
}

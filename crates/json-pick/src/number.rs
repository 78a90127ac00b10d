//! Numbers as devices write them: plain, in quotes, padded, with a unit, or a word that means "none".

/// Largest magnitude that is believed to be a measurement; the same in every unit a house meter uses.
pub const LARGEST: f64 = 1e9;

/// Longest unit that is taken for one.
const LONGEST_UNIT: usize = 12;

/// What systems write for "no value now": openHAB, Home Assistant, ESPHome, Efergy, Python and friends.
const NONE_WORDS: [&str; 12] =
    ["", "-", "--", "null", "undef", "unknown", "unavailable", "na", "n/a", "none", "nan", "-nan"];

/// Units whose number can be used as it stands. Anything with a prefix or another meaning needs [`Measure`].
const BASE_UNITS: [&str; 16] =
    ["W", "V", "A", "VA", "var", "VAr", "Hz", "%", "°C", "°", "C", "K", "Wh", "s", "V AC", "A AC"];

/// A number and the unit that stood behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// The number; finite, at most [`LARGEST`] in magnitude.
    pub value: f64,
    /// The unit as written, if there was one.
    pub unit: Option<String>,
}

impl Measure {
    /// Whether the number can be used without conversion: no unit, or one without a prefix.
    pub fn is_in_base_unit(&self) -> bool {
        self.unit.as_deref().is_none_or(|unit| BASE_UNITS.contains(&unit))
    }

    /// The number in watts: as it stands without a unit, converted with one. `None` if the unit is not one of power.
    pub fn watts(&self) -> Option<f64> {
        match &self.unit {
            None => Some(self.value),
            Some(unit) => watts_factor(unit).map(|factor| self.value * factor),
        }
    }
}

/// Watts in one unit of power, by the unit's exact spelling (`mW` and `MW` differ).
pub fn watts_factor(unit: &str) -> Option<f64> {
    match unit.trim() {
        "W" | "Watts" | "watts" | "Watt" | "watt" => Some(1.0),
        "kW" | "KW" => Some(1e3),
        "MW" => Some(1e6),
        "mW" => Some(1e-3),
        _ => None,
    }
}

/// Why a text or number is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberFault {
    /// No number at its start, or something other than a unit behind it.
    #[error("that is not a number")]
    NotANumber,
    /// `12,5`.
    #[error("it has a comma; a decimal point is needed")]
    Comma,
    /// Infinite, or larger than anything a house can measure.
    #[error("it is too large to be a measurement")]
    TooLarge,
}

/// Reads a number from text: blanks around it, a sign, a decimal point, an exponent and a unit are allowed.
/// `Ok(None)` for a text that means "no value" (empty, `unavailable`, `NaN`, …).
///
/// # Errors
///
/// A [`NumberFault`]; never a number that is not finite.
///
/// ```
/// # use json_pick::parse_number;
/// assert_eq!(parse_number(" 1543 W")?.map(|m| m.value), Some(1543.0));
/// assert_eq!(parse_number("unavailable")?, None);
/// assert!(parse_number("inf").is_err());
/// # Ok::<(), json_pick::NumberFault>(())
/// ```
pub fn parse_number(text: &str) -> Result<Option<Measure>, NumberFault> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '\u{feff}');
    if NONE_WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Ok(None);
    }
    let unsigned = text.strip_prefix(['-', '+', '\u{2212}']).unwrap_or(text);
    if ["inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word)) {
        return Err(NumberFault::TooLarge);
    }
    let length = numeric_length(unsigned);
    let (digits, rest) = unsigned.split_at(length);
    let value: f64 = digits.parse().map_err(|_| NumberFault::NotANumber)?;
    let negative = unsigned.len() != text.len() && !text.starts_with('+');
    let value = check(if negative { -value } else { value })?;
    let unit = rest.trim_start();
    if unit.starts_with(',') {
        return Err(NumberFault::Comma);
    }
    if unit.is_empty() {
        return Ok(Some(Measure { value, unit: None }));
    }
    if !is_unit(unit) {
        return Err(NumberFault::NotANumber);
    }
    Ok(Some(Measure { value, unit: Some(unit.to_owned()) }))
}

/// Passes on a number that can be a measurement.
pub(crate) fn check(value: f64) -> Result<f64, NumberFault> {
    if value.is_finite() && value.abs() <= LARGEST { Ok(value) } else { Err(NumberFault::TooLarge) }
}

/// Length in bytes of `digits[.digits][e[sign]digits]` at the start.
fn numeric_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

fn is_unit(text: &str) -> bool {
    let first = |c: char| c.is_alphabetic() || c == '%' || c == '°';
    let later = |c: char| first(c) || matches!(c, '/' | '·' | '²' | '³' | ' ' | '*' | '.');
    text.len() <= LONGEST_UNIT && text.starts_with(first) && text.chars().all(later)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(text: &str) -> Result<Option<f64>, NumberFault> {
        parse_number(text).map(|m| m.map(|m| m.value))
    }

    #[test]
    fn numbers_as_devices_write_them() {
        for (text, expected, unit) in [
            ("0", 0.0, None),
            (" 5", 5.0, None),
            ("-350.0 W", -350.0, Some("W")),
            ("1.25E+3", 1250.0, None),
            ("1543W", 1543.0, Some("W")),
            ("1.2 kW", 1.2, Some("kW")),
            ("\u{2212}7", -7.0, None),
            ("+7.", 7.0, None),
            (".5", 0.5, None),
            ("000.0", 0.0, None),
            ("21.5 °C", 21.5, Some("°C")),
            ("80%", 80.0, Some("%")),
            ("3 m³", 3.0, Some("m³")),
        ] {
            let measure = parse_number(text).unwrap().unwrap();
            assert_eq!((measure.value, measure.unit.as_deref()), (expected, unit), "{text}");
        }
    }

    #[test]
    fn words_for_no_value_are_none() {
        for text in ["", "  ", "NULL", "UNDEF", "unknown", "unavailable", "NA", "undef", "NaN", "None", "-"] {
            assert_eq!(value(text), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_a_number() {
        for (text, fault) in [
            ("inf", NumberFault::TooLarge),
            ("-Infinity", NumberFault::TooLarge),
            ("1e400", NumberFault::TooLarge),
            ("1000000001", NumberFault::TooLarge),
            ("12,5", NumberFault::Comma),
            ("1 543 W", NumberFault::NotANumber),
            ("1_000", NumberFault::NotANumber),
            ("0x1F", NumberFault::NotANumber),
            ("12:30", NumberFault::NotANumber),
            ("--5", NumberFault::NotANumber),
            ("true", NumberFault::NotANumber),
            ("<html>", NumberFault::NotANumber),
            ("W 5", NumberFault::NotANumber),
            (".", NumberFault::NotANumber),
            ("1.2.3", NumberFault::NotANumber),
        ] {
            assert_eq!(value(text), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn watts_follow_the_unit_to_the_letter() {
        let watts = |text: &str| parse_number(text).unwrap().unwrap().watts();
        assert_eq!(watts("1.5 kW"), Some(1500.0));
        assert_eq!(watts("1500000 mW"), Some(1500.0));
        assert_eq!(watts("0.002 MW"), Some(2000.0));
        assert_eq!(watts("12"), Some(12.0));
        assert_eq!(watts("12 kWh"), None);
    }

    proptest! {
        #[test]
        fn any_text_gives_a_finite_number_or_none(text in ".{0,30}") {
            if let Ok(Some(measure)) = parse_number(&text) {
                prop_assert!(measure.value.is_finite() && measure.value.abs() <= LARGEST);
            }
        }

        #[test]
        fn number_like_text_never_panics(text in "[-+ .,0-9eEkWnaif\u{2212}]{0,12}") {
            let _ = parse_number(&text);
        }

        #[test]
        fn written_numbers_come_back(number in -1e9..1e9f64, unit in "(| W| kW|V|%)") {
            let measure = parse_number(&format!("{number}{unit}")).unwrap().unwrap();
            prop_assert_eq!(measure.value, number);
            prop_assert_eq!(measure.unit.unwrap_or_default(), unit.trim());
        }
    }
}

//! The data lines of a telegram: identifier and value with unit.

/// A register on one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'t> {
    /// Its identifier without `*255` and without the medium of electricity: `1.7.0`, `0-0:1.0.0`.
    pub(crate) id: &'t str,
    /// The text in the last pair of brackets.
    pub(crate) value: &'t str,
}

impl<'t> Line<'t> {
    /// Reads a line; `None` for one that has another form (header, continuation, damaged).
    pub(crate) fn parse(line: &'t str) -> Option<Self> {
        let line = line.trim();
        let (id, rest) = line.split_once('(')?;
        let value = rest.strip_suffix(')')?;
        let value = value.rsplit_once('(').map_or(value, |(_, last)| last);
        let id = id.split_once('*').map_or(id, |(id, _)| id);
        let id = id.strip_prefix("1-0:").or_else(|| id.strip_prefix("1-1:")).unwrap_or(id);
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-:.".contains(&byte));
        (is_id && !value.contains(['(', ')'])).then_some(Line { id, value })
    }

    /// Its number in the unit of the table, when it has one of those units.
    pub(crate) fn number(&self, units: &[(&str, f64)]) -> Option<f64> {
        let (number, unit) = self.value.split_once('*')?;
        let factor = units.iter().find(|(name, _)| unit.trim().eq_ignore_ascii_case(name)).map(|(_, factor)| factor)?;
        plain(number).map(|number| number * factor)
    }

    /// Whether its number has no decimals.
    pub(crate) fn is_whole(&self) -> bool {
        !self.value.contains('.')
    }
}

/// Digits with a decimal point and a sign; nothing that a float parser takes beside these.
fn plain(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b".+-".contains(&byte));
    text.parse().ok().filter(|number: &f64| is_plain && number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POWER: &[(&str, f64)] = &[("kW", 1000.0), ("W", 1.0)];

    #[test]
    fn lines_of_all_dialects() {
        for (line, id, watts) in [
            ("1-0:1.7.0(00.244*kW)", "1.7.0", Some(244.0)),
            ("1-0:1.7.0*255(001688.21*W)", "1.7.0", Some(1688.21)),
            ("1.7.0(000000286*W)", "1.7.0", Some(286.0)),
            ("1-0:1.6.0(231102114500W)(03.064*kW)", "1.6.0", Some(3064.0)),
            ("1-0:1.7.0(00.2x4*kW)", "1.7.0", None),
            ("1-0:1.7.0(00.244)", "1.7.0", None),
            ("1-0:1.7.0(1e9*kW)", "1.7.0", None),
            ("1-0:1.7.0(00.244*kVA)", "1.7.0", None),
            ("0-0:1.0.0(170102192002W)", "0-0:1.0.0", None),
        ] {
            let parsed = Line::parse(line).unwrap();
            assert_eq!((parsed.id, parsed.number(POWER)), (id, watts), "{line}");
        }
        for line in ["", "/ISk5\\2MT382-1000", "(00001.001)", "1-0:1.7.0(00.244*kW", "1-0:1.7.0 00.244*kW)", "!6EEE"] {
            assert_eq!(Line::parse(line), None, "{line}");
        }
    }
}

//! From bytes to lines, and from a line to a reading. Pure: any bytes give a reading or a sentence.

use std::time::Instant;

use ems::{EmsReading, WireReading};
use serde_json::{Map, Value};

/// Longest line that is read, in bytes; what is longer is passed over up to its end.
pub const MAX_LINE: usize = 64 * 1024;

/// Most unknown fields that a message lists.
const LISTED: usize = 5;
/// Longest name that a message quotes.
const QUOTED: usize = 40;

/// What the fields of a line hold. `attributes` stands apart.
const NUMBERS: [&str; 5] = ["generation_w", "consumption_w", "grid_w", "battery_w", "battery_soc"];
const LISTS: [&str; 3] = ["grid_amps", "grid_phase_w", "grid_volts"];

/// Why a line is not a reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError(String);

impl std::fmt::Display for LineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LineError {}

/// The reading in a line that was printed at `taken_at`, and the fields in it that nobody knows. `Ok(None)` for an empty line.
///
/// # Errors
/// A sentence that names the field.
pub fn parse_line(line: &[u8], taken_at: Instant) -> Result<Option<(EmsReading, Vec<String>)>, LineError> {
    let text = std::str::from_utf8(line).map_err(|_| LineError("the line is not UTF-8 text".into()))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Ok(None);
    }
    let mut fields: Map<String, Value> = match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err(LineError("the line is JSON, but not an object like {\"grid_w\": 350}".into())),
        Err(error) => return Err(LineError(format!("the line is not JSON: {error}"))),
    };
    let is_known = |name: &str| {
        NUMBERS.contains(&name) || LISTS.contains(&name) || matches!(name, "is_estimate" | "max_age_s" | "attributes")
    };
    let unknown: Vec<String> = fields.keys().filter(|name| !is_known(name)).take(LISTED).map(|n| short(n)).collect();
    fields.retain(|name, _| is_known(name));
    if fields.is_empty() {
        let found = if unknown.is_empty() { "none at all".to_owned() } else { format!("`{}`", unknown.join("`, `")) };
        return Err(LineError(format!("the line has no field that is known, but {found}; name them like `grid_w`")));
    }
    fields.retain(|_, value| !value.is_null());
    for (name, value) in &mut fields {
        check_field(name, value)?;
    }
    let wire: WireReading = serde_json::from_value(Value::Object(fields))
        .map_err(|error| LineError(format!("the line cannot be understood: {error}")))?;
    let reading = wire.into_reading(taken_at).map_err(LineError)?;
    Ok(Some((reading, unknown)))
}

fn check_field(name: &str, value: &mut Value) -> Result<(), LineError> {
    let is_number = |value: &Value| value.is_number();
    let (is_right, expected) = match name {
        "is_estimate" => (value.is_boolean(), "true or false"),
        "attributes" => match value.as_object_mut() {
            Some(attributes) => {
                attributes.retain(|_, value| !value.is_null());
                let is_right = attributes.values().all(|value| !value.is_array() && !value.is_object());
                (is_right, "an object of texts, numbers and flags")
            }
            None => (false, "an object"),
        },
        name if LISTS.contains(&name) => {
            let is_right = value.as_array().is_some_and(|list| list.iter().all(|v| v.is_null() || is_number(v)));
            (is_right, "a list of up to three numbers, null for unknown")
        }
        _ => (is_number(value), "a number (without quotes), or null for unknown"),
    };
    if is_right { Ok(()) } else { Err(LineError(format!("`{name}` must be {expected}"))) }
}

/// The start of a text, without what could forge a log line.
pub(crate) fn short(text: &str) -> String {
    cut(text, QUOTED)
}

pub(crate) fn cut(text: &str, length: usize) -> String {
    let mut out: String = text.chars().take(length).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(length).is_some() {
        out.push('…');
    }
    out
}

/// One line of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A line, without its end.
    Line(Vec<u8>),
    /// A line that was longer than [`MAX_LINE`].
    TooLong,
}

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// Takes what arrived and gives the lines that it completes.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            if self.buffer.len() + part.len() > MAX_LINE {
                self.is_too_long = true;
            }
            if self.is_too_long {
                self.buffer.clear();
            } else {
                self.buffer.extend_from_slice(part);
            }
            if parts.peek().is_some() {
                pieces.extend(self.end());
            }
        }
        pieces
    }

    /// What stands after the last line's end, once the stream is over.
    pub fn end(&mut self) -> Option<Piece> {
        let line = std::mem::take(&mut self.buffer);
        match std::mem::take(&mut self.is_too_long) {
            true => Some(Piece::TooLong),
            false if line.is_empty() => None,
            false => Some(Piece::Line(line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(line: &str) -> Result<Option<(EmsReading, Vec<String>)>, String> {
        parse_line(line.as_bytes(), Instant::now()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_is_a_reading() {
        let line = r#"{"generation_w": 4200, "grid_w": -3560.5, "grid_amps": [-5.1, null], "battery_soc": 80,
            "attributes": {"stormWatch": false, "mode": "self", "level": 7, "none": null}, "consumption_w": null, "max_age_s": 600}"#;
        let (reading, unknown) = parsed(&line.replace('\n', " ")).unwrap().unwrap();
        assert_eq!(unknown, [""; 0]);
        assert_eq!(reading.grid.map(|watts| watts.get()), Some(-3560.5));
        assert_eq!((reading.consumption, reading.grid_current.l2), (None, None));
        assert_eq!(reading.max_age.map(|age| age.as_secs()), Some(600));
        assert_eq!(reading.attributes.len(), 3);
    }

    #[test]
    fn a_line_may_say_that_all_is_unknown() {
        assert_eq!(parsed(r#"{"grid_w": null}"#).unwrap().unwrap().0.grid, None);
        assert_eq!(parsed("  \r"), Ok(None));
    }

    #[test]
    fn a_bad_line_names_its_field() {
        for (line, named) in [
            ("grid 350", "not JSON"),
            ("[350]", "not an object"),
            ("{}", "none at all"),
            (r#"{"grid": 350, "solar": 1}"#, "`grid`, `solar`"),
            (r#"{"grid_w": "350"}"#, "`grid_w` must be a number"),
            (r#"{"grid_w": true}"#, "`grid_w`"),
            (r#"{"grid_w": 1e300}"#, "`grid_w`"),
            (r#"{"grid_w": NaN}"#, "not JSON"),
            (r#"{"generation_w": -5}"#, "`generation_w`"),
            (r#"{"grid_amps": [1, 2, 3, 4]}"#, "4 phases"),
            (r#"{"grid_amps": 5}"#, "`grid_amps` must be a list"),
            (r#"{"battery_soc": 140}"#, "`battery_soc`"),
            (r#"{"is_estimate": 1}"#, "`is_estimate`"),
            (r#"{"max_age_s": -1}"#, "`max_age_s`"),
            (r#"{"attributes": {"a": []}}"#, "`attributes`"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }

    #[test]
    fn a_field_that_nobody_knows_is_told_beside_the_reading() {
        assert_eq!(parsed(r#"{"grid_w": 1, "sun": 2}"#).unwrap().unwrap().1, ["sun"]);
    }

    #[test]
    fn a_line_that_never_ends_costs_itself_only() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            assert_eq!(lines.feed(&[b'x'; 4096]), []);
        }
        assert!(lines.buffer.len() <= MAX_LINE);
        assert_eq!(lines.feed(b"\nok\n"), [Piece::TooLong, Piece::Line(b"ok".to_vec())]);
        assert_eq!((lines.feed(b"rest"), lines.end()), (vec![], Some(Piece::Line(b"rest".to_vec()))));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_lines(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300), step in 1usize..50) {
            let mut whole = Lines::default();
            let mut expected = whole.feed(&bytes);
            expected.extend(whole.end());
            let mut pieced = Lines::default();
            let mut found: Vec<Piece> = bytes.chunks(step).flat_map(|chunk| pieced.feed(chunk)).collect();
            found.extend(pieced.end());
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_line_gives_sane_numbers_or_a_sentence(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_line(&line, Instant::now());
        }

        #[test]
        fn any_values_give_sane_numbers_or_a_sentence(field in "(generation_w|grid_w|grid_amps|battery_soc|attributes|is_estimate)", value in "(-?[0-9]{1,4}(e[0-9]{1,3})?|null|\\[(1|null|\"a\")?\\]|\\{\"a\":(1|\\{\\})\\}|\"1\"|true)") {
            if let Ok(Some((reading, _))) = parse_line(format!("{{\"{field}\": {value}}}").as_bytes(), Instant::now()) {
                prop_assert!(reading.grid.is_none_or(|watts| watts.get().is_finite()));
                prop_assert!(reading.generation.is_none_or(|watts| watts.get() >= 0.0));
            }
        }
    }
}

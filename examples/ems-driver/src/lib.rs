//! A complete energy source: a meter that writes its values into a file.
//!
//! The file holds one JSON object, such as `{"house": 640, "sun": 4200}`, in watts. Copy this crate, replace `parse` and
//! `read`, and you have a driver. `src/main.rs` compiles it into the program; `src/bin/plugin.rs` makes it a program of its
//! own that `sources.Exec` starts.

use std::path::PathBuf;

use ems::units::Watts;
use ems::{Ems, EmsDriver, EmsError, EmsReading, KeyKind, KeySpec};
use serde_json::Value;

/// The driver, for `Program::with_ems`; enabled by `"sources": {"MeterFile": {"enabled": true, "path": "..."}}`.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "MeterFile",
    summary: "a meter that writes its values into a file",
    keys: &[KeySpec::new("path", KeyKind::Text, "The file")],
    open: |section, _shared| {
        let path = PathBuf::from(section.required_text("path"));
        (!section.has_errors()).then(|| Box::new(MeterFile { path }) as Box<dyn Ems>)
    },
};

/// The source.
pub struct MeterFile {
    /// The file.
    pub path: PathBuf,
}

impl Ems for MeterFile {
    fn read(&mut self, _stop: &ems::Stop) -> Result<EmsReading, EmsError> {
        let text = std::fs::read_to_string(&self.path)
            .map_err(|error| EmsError::retry(format!("{} cannot be read: {error}", self.path.display())))?;
        parse(&text)
    }
}

/// From the file's text to a reading. Pure, so that this is where the tests are.
fn parse(text: &str) -> Result<EmsReading, EmsError> {
    let values: Value =
        serde_json::from_str(text).map_err(|error| EmsError::garbled(format!("the file is not JSON: {error}")))?;
    // A value that is missing stays unknown: `None` is not zero.
    let watts = |key: &str| values.get(key).and_then(Value::as_f64).map(Watts::new).transpose();
    Ok(EmsReading { consumption: watts("house")?, generation: watts("sun")?, ..EmsReading::now() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_value_is_unknown() {
        let reading = parse(r#"{"sun": 4200}"#).unwrap();
        assert_eq!((reading.generation, reading.consumption), (Watts::new(4200.0).ok(), None));
    }

    #[test]
    fn an_impossible_value_is_an_error() {
        assert!(parse(r#"{"sun": 1e300}"#).is_err());
    }
}

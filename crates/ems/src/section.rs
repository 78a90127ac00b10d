//! A driver's part of the configuration, read key by key.

use std::path::PathBuf;

use serde_json::{Map, Value};

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemLevel {
    /// The driver cannot start.
    Error,
    /// It starts; somebody should look at it.
    Warning,
}

/// Something wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub level: ProblemLevel,
    /// Whole path of the key, such as `sources.Fronius.serverIP`.
    pub key: String,
    /// What was found and what is allowed.
    pub message: String,
}

/// One object of the configuration. Each getter accepts what any version of TWCManager accepted for the type (numbers as
/// text and the reverse, YAML spellings of booleans) and notes a [`Problem`] for the rest; nothing is thrown.
#[derive(Debug, Clone)]
pub struct Section {
    path: String,
    values: Map<String, Value>,
    problems: Vec<Problem>,
}

impl Section {
    /// The object at `path` (such as `sources.Fronius`).
    pub fn new(path: impl Into<String>, values: Map<String, Value>) -> Self {
        Section { path: path.into(), values, problems: Vec::new() }
    }

    /// Path of the section.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value as it stands.
    #[must_use]
    pub fn raw(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// The keys that stand in the section.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Text, trimmed; a number is taken as its digits. Empty counts as absent.
    pub fn text(&mut self, key: &str) -> Option<String> {
        let text = match self.raw(key)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            other => {
                let found = kind_of(other);
                self.error(key, format!("found {found}, a text is needed"));
                return None;
            }
        };
        (!text.is_empty()).then_some(text)
    }

    /// Text that the driver cannot do without. Notes an error when absent and gives an empty one.
    pub fn required_text(&mut self, key: &str) -> String {
        let problems = self.problems.len();
        match self.text(key) {
            Some(text) => text,
            None => {
                if self.problems.len() == problems {
                    self.error(key, "is missing; the source cannot be asked without it");
                }
                String::new()
            }
        }
    }

    /// A number.
    pub fn number(&mut self, key: &str) -> Option<f64> {
        let value = self.raw(key)?;
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) if text.trim().is_empty() => return None,
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.filter(|number| number.is_finite()) {
            Some(number) => Some(number),
            None => {
                let found = kind_of(value);
                self.error(key, format!("found {found}, a number is needed"));
                None
            }
        }
    }

    /// A number within `low..=high`, or the default.
    pub fn number_within(&mut self, key: &str, default: f64, low: f64, high: f64) -> f64 {
        match self.number(key) {
            Some(number) if (low..=high).contains(&number) => number,
            Some(number) => {
                self.error(key, format!("is {number}, allowed is {low} to {high}"));
                default
            }
            None => default,
        }
    }

    /// A port number, as number or text, or the default.
    pub fn port(&mut self, key: &str, default: u16) -> u16 {
        match self.number(key) {
            Some(number) if number.fract() == 0.0 && (1.0..=65535.0).contains(&number) => {
                // In range and whole, so nothing is cut off.
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let port = number as u16;
                port
            }
            Some(number) => {
                self.error(key, format!("is {number}, a port is a whole number from 1 to 65535"));
                default
            }
            None => default,
        }
    }

    /// Yes or no in any spelling that YAML 1.1 or JSON knows, or the default.
    pub fn flag(&mut self, key: &str, default: bool) -> bool {
        let Some(value) = self.raw(key) else { return default };
        let flag = match value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => number.as_f64().map(|number| number != 0.0),
            Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some(true),
                "false" | "no" | "off" | "0" | "" => Some(false),
                _ => None,
            },
            _ => None,
        };
        let found = kind_of(value);
        flag.unwrap_or_else(|| {
            self.error(key, format!("found {found}, `true` or `false` is needed"));
            default
        })
    }

    /// A list of texts; a single text counts as a list of one.
    pub fn texts(&mut self, key: &str) -> Vec<String> {
        match self.raw(key).cloned() {
            None => Vec::new(),
            Some(Value::Array(values)) => {
                let mut texts = Vec::with_capacity(values.len());
                for (index, value) in values.iter().enumerate() {
                    match value {
                        Value::String(text) if !text.trim().is_empty() => texts.push(text.trim().to_owned()),
                        Value::Number(number) => texts.push(number.to_string()),
                        other => {
                            let found = kind_of(other);
                            self.error(&format!("{key}[{index}]"), format!("found {found}, a text is needed"));
                        }
                    }
                }
                texts
            }
            Some(_) => self.text(key).into_iter().collect(),
        }
    }

    /// A file or program path.
    pub fn path_of(&mut self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// An inner object, or a list of them, each as a section of its own whose path tells where it stands.
    ///
    /// Problems noted in them are given back through [`Section::absorb`].
    pub fn sections(&mut self, key: &str) -> Vec<Section> {
        let path = format!("{}.{key}", self.path);
        match self.raw(key).cloned() {
            None => Vec::new(),
            Some(Value::Object(values)) => vec![Section::new(path, values)],
            Some(Value::Array(values)) => {
                let mut sections = Vec::with_capacity(values.len());
                for (index, value) in values.into_iter().enumerate() {
                    match value {
                        Value::Object(values) => sections.push(Section::new(format!("{path}[{index}]"), values)),
                        other => self.error(
                            &format!("{key}[{index}]"),
                            format!("found {}, an object `{{...}}` is needed", kind_of(&other)),
                        ),
                    }
                }
                sections
            }
            Some(other) => {
                self.error(key, format!("found {}, an object `{{...}}` is needed", kind_of(&other)));
                Vec::new()
            }
        }
    }

    /// Takes over what was noted in an inner section.
    pub fn absorb(&mut self, inner: Section) {
        self.problems.extend(inner.problems);
    }

    /// Notes that `key` makes the driver unusable.
    pub fn error(&mut self, key: &str, message: impl Into<String>) {
        self.note(ProblemLevel::Error, key, message.into());
    }

    /// Notes something about `key` that somebody should look at.
    pub fn warn(&mut self, key: &str, message: impl Into<String>) {
        self.note(ProblemLevel::Warning, key, message.into());
    }

    /// What was noted so far.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether something makes the driver unusable.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.level == ProblemLevel::Error)
    }

    fn note(&mut self, level: ProblemLevel, key: &str, message: String) {
        let key = format!("{}.{key}", self.path);
        self.problems.push(Problem { level, key, message });
    }
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(flag) => format!("`{flag}`"),
        Value::Number(number) => format!("the number {number}"),
        // Never the text itself: it may be a password that slipped into the wrong key.
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(json: &str) -> Section {
        Section::new("sources.Test", serde_json::from_str(json).unwrap())
    }

    #[test]
    fn ports_may_be_numbers_or_text() {
        let mut values = section(r#"{"a": 80, "b": "8080", "c": "eighty", "d": 70000}"#);
        assert_eq!((values.port("a", 1), values.port("b", 1), values.port("none", 443)), (80, 8080, 443));
        assert!(!values.has_errors());
        assert_eq!((values.port("c", 1), values.port("d", 1)), (1, 1));
        assert_eq!(values.problems().len(), 2);
        assert_eq!(values.problems()[0].key, "sources.Test.c");
    }

    #[test]
    fn a_missing_required_text_is_said_once() {
        let mut values = section(r#"{"serverIP": ""}"#);
        assert_eq!(values.required_text("serverIP"), "");
        assert_eq!(values.problems().len(), 1);
    }

    #[test]
    fn a_wrong_value_is_not_repeated_in_the_message() {
        let mut values = section(r#"{"useHttps": "hunter2"}"#);
        values.flag("useHttps", false);
        assert!(!values.problems()[0].message.contains("hunter2"));
    }
}

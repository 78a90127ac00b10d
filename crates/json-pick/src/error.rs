//! What can be wrong with a value that was picked.

use crate::number::NumberFault;
use crate::path::PathFault;
use serde_json::Value;

/// Longest piece of a device's text that is quoted in a message.
const QUOTED: usize = 40;

/// Most keys that are listed when one is missing.
const LISTED: usize = 12;

/// Why a value could not be picked. Each message names the path and what was found there.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PickError {
    /// The path itself can't be read.
    #[error("the path `{path}` can't be read: {fault}; write it like `Body.Data.Site.P_PV` or `inverters[0].p`")]
    BadPath {
        /// The path as written.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// A value that must be there is absent or null.
    #[error("`{path}` is missing: {found}; check that the path fits this device and its firmware")]
    Missing {
        /// The path as asked for.
        path: String,
        /// What is there instead.
        found: String,
    },
    /// Something is there, of another type.
    #[error("`{path}` should be {expected}, but {found}")]
    WrongType {
        /// The path up to where the surprise is.
        path: String,
        /// What was asked for.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// A text or number is there that is not a usable number.
    #[error("`{path}` should be a number, but {found}: {fault}")]
    BadNumber {
        /// The path as asked for.
        path: String,
        /// What was found.
        found: String,
        /// What is wrong with it.
        fault: NumberFault,
    },
    /// A number with a unit that does not fit.
    #[error("`{path}` is given in `{unit}`, which is not {expected}; choose a value that is")]
    Unit {
        /// The path as asked for.
        path: String,
        /// The unit found.
        unit: String,
        /// What was asked for.
        expected: &'static str,
    },
}

impl PickError {
    /// The path this error is about.
    pub fn path(&self) -> &str {
        match self {
            Self::BadPath { path, .. }
            | Self::Missing { path, .. }
            | Self::WrongType { path, .. }
            | Self::BadNumber { path, .. }
            | Self::Unit { path, .. } => path,
        }
    }
}

/// A clause that says what a value is: `it is the text "abc"`.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "it is null".into(),
        Value::Bool(b) => format!("it is {b}"),
        Value::Number(n) => format!("it is {n}"),
        Value::String(s) => format!("it is the text \"{}\"", quote(s)),
        Value::Array(a) => format!("it is a list of {}", a.len()),
        Value::Object(_) => format!("it is an object with {}", keys(value)),
    }
}

/// The keys of an object, shortened, for a message about one that is missing.
pub(crate) fn keys(value: &Value) -> String {
    let Value::Object(map) = value else {
        return "no keys".into();
    };
    if map.is_empty() {
        return "no keys".into();
    }
    let shown: Vec<String> = map.keys().take(LISTED).map(|k| format!("`{}`", quote(k))).collect();
    let more = if map.len() > LISTED { " and more" } else { "" };
    format!("the keys {}{more}", shown.join(", "))
}

fn quote(text: &str) -> String {
    let mut out: String = text.chars().take(QUOTED).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(QUOTED).is_some() {
        out.push('…');
    }
    out
}

//! Plucking typed values out of a checked section. Types and ranges are settled by then, so nothing here can complain.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value};
use units::{Amps, Percent};

use crate::Secret;

static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// A checked section: known keys have their type, and their default when not given.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// The section at a path; an empty one when it is not there.
    pub(crate) fn at(root: &'a Value, path: &[&str]) -> Fields<'a> {
        let found = path.iter().try_fold(root, |value, name| value.get(*name));
        Fields::of(found)
    }

    pub(crate) fn of(value: Option<&'a Value>) -> Fields<'a> {
        Fields(value.and_then(Value::as_object).unwrap_or(&NOTHING))
    }

    pub(crate) fn below(&self, name: &str) -> Fields<'a> {
        Fields::of(self.0.get(name))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key)
    }

    pub(crate) fn map(&self) -> &'a Map<String, Value> {
        self.0
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(crate) fn opt_number(&self, key: &str) -> Option<f64> {
        self.get(key).and_then(Value::as_f64)
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        self.opt_number(key).unwrap_or(0.0)
    }

    /// A whole number that its range keeps within the type; zero otherwise.
    pub(crate) fn whole<T: TryFrom<i64> + Default>(&self, key: &str) -> T {
        self.opt_whole(key).unwrap_or_default()
    }

    pub(crate) fn opt_whole<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        self.get(key).and_then(Value::as_i64).and_then(|number| T::try_from(number).ok())
    }

    pub(crate) fn opt_amps(&self, key: &str) -> Option<Amps> {
        self.opt_number(key).and_then(|amps| Amps::new(amps).ok())
    }

    pub(crate) fn amps(&self, key: &str) -> Amps {
        self.opt_amps(key).unwrap_or(Amps::ZERO)
    }

    /// A percentage from 0 to 100; nothing for the negative numbers that mean "none".
    pub(crate) fn percent(&self, key: &str) -> Option<Percent> {
        self.opt_number(key).and_then(|number| Percent::new(number).ok())
    }

    /// A charge limit: 50 to 100, anything else means "leave the car's own".
    pub(crate) fn charge_limit(&self, key: &str) -> Option<Percent> {
        self.percent(key).filter(|limit| limit.get() >= 50.0)
    }

    pub(crate) fn opt_seconds(&self, key: &str) -> Option<Duration> {
        self.opt_number(key).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    pub(crate) fn seconds(&self, key: &str) -> Duration {
        self.opt_seconds(key).unwrap_or_default()
    }

    pub(crate) fn minutes(&self, key: &str) -> Option<Duration> {
        self.opt_number(key).and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok())
    }

    /// Text; empty counts as not given.
    pub(crate) fn opt_text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    pub(crate) fn text(&self, key: &str) -> String {
        self.opt_text(key).unwrap_or_default()
    }

    pub(crate) fn opt_path(&self, key: &str) -> Option<PathBuf> {
        self.opt_text(key).map(PathBuf::from)
    }

    pub(crate) fn secret(&self, key: &str) -> Option<Secret> {
        self.opt_text(key).map(Secret::new)
    }

    /// A text, or a list of texts.
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        match self.get(key) {
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn list(&self, key: &str) -> &'a [Value] {
        self.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

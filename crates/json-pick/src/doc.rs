//! Questions to a document.

use crate::error::{PickError, describe, keys};
use crate::number::{Measure, NumberFault, check, parse_number};
use crate::path::{Path, Step};
use serde_json::Value;

/// A place in a JSON document. Cheap to copy; every path is read from here.
///
/// `Ok(None)` means that the device has no value there now; see the crate's page for the three outcomes.
#[derive(Debug, Clone, Copy)]
pub struct Doc<'a> {
    value: &'a Value,
}

impl<'a> Doc<'a> {
    /// The whole document.
    pub fn new(value: &'a Value) -> Self {
        Self { value }
    }

    /// The JSON value at this place.
    pub fn value(self) -> &'a Value {
        self.value
    }

    /// The place at `path`; `None` if it is absent or null.
    ///
    /// # Errors
    ///
    /// [`PickError::BadPath`], also for a path with a wildcard; [`PickError::WrongType`] where the path leads through
    /// something that has no such inside.
    pub fn at(self, path: &str) -> Result<Option<Doc<'a>>, PickError> {
        let parsed = parse(path)?;
        if parsed.has_wildcard() {
            return Err(wildcard(path));
        }
        Ok(self.walk(&parsed)?.first().copied().flatten().map(Doc::new))
    }

    /// Whether something stands at `path`, be it null. False also where the path can't be followed.
    pub fn has(self, path: &str) -> bool {
        let Ok(parsed) = parse(path) else {
            return false;
        };
        let mut here = self.value;
        for step in parsed.steps() {
            match child(here, step) {
                Some(next) => here = next,
                None => return false,
            }
        }
        true
    }

    /// The number at `path`, or the sum if the path has a wildcard. Numbers in quotes count, and so do numbers with a
    /// unit that needs no conversion (`1543 W`); for a power whose unit may vary use [`Self::watts`].
    ///
    /// # Errors
    ///
    /// As [`Self::at`]; [`PickError::BadNumber`] for what is no number, not finite or above 1e9 in magnitude;
    /// [`PickError::Unit`] for a unit that needs conversion.
    pub fn number(self, path: &str) -> Result<Option<f64>, PickError> {
        self.sum(path, |measure| measure.is_in_base_unit().then_some(measure.value), "a unit without prefix")
    }

    /// As [`Self::number`], but an absent value is an error that lists what is there instead.
    ///
    /// # Errors
    ///
    /// As [`Self::number`], and [`PickError::Missing`].
    pub fn require_number(self, path: &str) -> Result<f64, PickError> {
        self.number(path)?.ok_or_else(|| self.missing(path))
    }

    /// The power at `path` in watts (or their sum): a bare number is taken as watts, `kW`, `MW` and `mW` are converted.
    ///
    /// # Errors
    ///
    /// As [`Self::number`]; [`PickError::Unit`] for what is not a power, such as `kWh`.
    pub fn watts(self, path: &str) -> Result<Option<f64>, PickError> {
        self.sum(path, |measure| measure.watts().and_then(|w| check(w).ok()), "a unit of power (W, kW, MW)")
    }

    /// The number at `path` with its unit.
    ///
    /// # Errors
    ///
    /// As [`Self::number`], without [`PickError::Unit`].
    pub fn measure(self, path: &str) -> Result<Option<Measure>, PickError> {
        match self.at(path)? {
            None => Ok(None),
            Some(doc) => measure(path, doc.value),
        }
    }

    /// The numbers at every place a wildcard leads to, unknown ones as `None`, in the document's order.
    ///
    /// # Errors
    ///
    /// As [`Self::number`].
    pub fn numbers(self, path: &str) -> Result<Vec<Option<f64>>, PickError> {
        let places = self.walk(&parse(path)?)?;
        places
            .into_iter()
            .map(|place| match place {
                None => Ok(None),
                Some(value) => match measure(path, value)? {
                    None => Ok(None),
                    Some(measure) if measure.is_in_base_unit() => Ok(Some(measure.value)),
                    Some(measure) => Err(unit(path, measure, "a unit without prefix")),
                },
            })
            .collect()
    }

    /// The whole number at `path`, for codes, counters and times; `1.0` and `"1"` count.
    ///
    /// # Errors
    ///
    /// As [`Self::at`]; [`PickError::WrongType`] for anything that is not a whole number.
    pub fn integer(self, path: &str) -> Result<Option<i64>, PickError> {
        let Some(doc) = self.at(path)? else {
            return Ok(None);
        };
        let whole = match doc.value {
            Value::Number(n) => n.as_i64().or_else(|| n.as_f64().and_then(whole)),
            Value::String(s) if matches!(parse_number(s), Ok(None)) => return Ok(None),
            Value::String(s) => s.trim().parse().ok().or_else(|| s.trim().parse().ok().and_then(whole)),
            _ => None,
        };
        whole.map(Some).ok_or_else(|| wrong(path, "a whole number", doc.value))
    }

    /// The text at `path`; a number there is written out, since ids come as either.
    ///
    /// # Errors
    ///
    /// As [`Self::at`]; [`PickError::WrongType`] for a flag, a list or an object.
    pub fn text(self, path: &str) -> Result<Option<String>, PickError> {
        match self.at(path)?.map(Doc::value) {
            None => Ok(None),
            Some(Value::String(s)) => Ok(Some(s.clone())),
            Some(Value::Number(n)) => Ok(Some(n.to_string())),
            Some(other) => Err(wrong(path, "a text", other)),
        }
    }

    /// The flag at `path`; `"true"`, `"false"` in quotes count, and so do 0 and 1.
    ///
    /// # Errors
    ///
    /// As [`Self::at`]; [`PickError::WrongType`] for anything else.
    pub fn flag(self, path: &str) -> Result<Option<bool>, PickError> {
        let Some(doc) = self.at(path)? else {
            return Ok(None);
        };
        match doc.value {
            Value::Bool(b) => Ok(Some(*b)),
            Value::Number(n) if n.as_i64() == Some(0) => Ok(Some(false)),
            Value::Number(n) if n.as_i64() == Some(1) => Ok(Some(true)),
            Value::String(s) if s.trim().eq_ignore_ascii_case("true") || s.trim() == "1" => Ok(Some(true)),
            Value::String(s) if s.trim().eq_ignore_ascii_case("false") || s.trim() == "0" => Ok(Some(false)),
            other => Err(wrong(path, "true or false", other)),
        }
    }

    /// The elements of the list at `path`; `None` if there is no list (an empty list is `Some` of nothing).
    ///
    /// # Errors
    ///
    /// As [`Self::at`]; [`PickError::WrongType`] if something else is there.
    pub fn list(self, path: &str) -> Result<Option<Vec<Doc<'a>>>, PickError> {
        match self.at(path)?.map(Doc::value) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items.iter().map(Doc::new).collect())),
            Some(other) => Err(wrong(path, "a list", other)),
        }
    }

    /// Keys and values of the object at `path`, nulls included; `None` if there is no object.
    ///
    /// # Errors
    ///
    /// As [`Self::at`]; [`PickError::WrongType`] if something else is there.
    pub fn entries(self, path: &str) -> Result<Option<Vec<(&'a str, Doc<'a>)>>, PickError> {
        match self.at(path)?.map(Doc::value) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map.iter().map(|(k, v)| (k.as_str(), Doc::new(v))).collect())),
            Some(other) => Err(wrong(path, "an object", other)),
        }
    }

    /// The error to return for a value that a driver can't do without.
    pub fn missing(self, path: &str) -> PickError {
        let mut here = self.value;
        let steps = Path::parse(path).map(|p| p.steps().to_vec()).unwrap_or_default();
        for step in &steps {
            match child(here, step) {
                Some(next) => here = next,
                None => break,
            }
        }
        let found = match here {
            Value::Object(_) => format!("there are {}", keys(here)),
            Value::Null => "there is null".into(),
            other => describe(other),
        };
        PickError::Missing { path: path.to_owned(), found }
    }

    fn sum(
        self,
        path: &str,
        convert: impl Fn(&Measure) -> Option<f64>,
        expected: &'static str,
    ) -> Result<Option<f64>, PickError> {
        let mut total = None;
        for place in self.walk(&parse(path)?)? {
            let Some(value) = place else { return Ok(None) };
            let Some(measure) = measure(path, value)? else {
                return Ok(None);
            };
            let Some(number) = convert(&measure) else {
                return Err(unit(path, measure, expected));
            };
            total = Some(total.unwrap_or(0.0) + number);
        }
        match total {
            Some(number) => check(number).map(Some).map_err(|fault| PickError::BadNumber {
                path: path.to_owned(),
                found: format!("the sum is {number}"),
                fault,
            }),
            None => Ok(None),
        }
    }

    /// Every place the path leads to; a place that is absent or null is `None`.
    fn walk(self, path: &Path) -> Result<Vec<Option<&'a Value>>, PickError> {
        let mut places = vec![Some(self.value)];
        for (depth, step) in path.steps().iter().enumerate() {
            let mut next = Vec::with_capacity(places.len());
            for place in places {
                let Some(here) = place.filter(|value| !value.is_null()) else {
                    next.push(None);
                    continue;
                };
                match (step, here) {
                    (Step::All, Value::Array(items)) => next.extend(items.iter().map(Some)),
                    (Step::All, Value::Object(map)) => next.extend(map.values().map(Some)),
                    (Step::Key(_), Value::Object(_) | Value::Array(_)) | (Step::Index(_), Value::Array(_)) => {
                        next.push(child(here, step));
                    }
                    (Step::Index(_), _) => return Err(wrong(&up_to(path, depth), "a list", here)),
                    _ => return Err(wrong(&up_to(path, depth), "an object", here)),
                }
            }
            places = next;
        }
        Ok(places.into_iter().map(|place| place.filter(|value| !value.is_null())).collect())
    }
}

impl<'a> From<&'a Value> for Doc<'a> {
    fn from(value: &'a Value) -> Self {
        Self::new(value)
    }
}

fn parse(path: &str) -> Result<Path, PickError> {
    Path::parse(path).map_err(|fault| PickError::BadPath { path: path.to_owned(), fault })
}

fn child<'v>(value: &'v Value, step: &Step) -> Option<&'v Value> {
    match (value, step) {
        (Value::Object(map), Step::Key(key)) => map.get(key),
        (Value::Array(items), Step::Key(key)) => items.get(key.parse::<usize>().ok()?),
        (Value::Array(items), Step::Index(index)) => {
            let index = if *index < 0 {
                items.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
            } else {
                usize::try_from(*index).ok()?
            };
            items.get(index)
        }
        _ => None,
    }
}

fn measure(path: &str, value: &Value) -> Result<Option<Measure>, PickError> {
    let bad = |fault| PickError::BadNumber { path: path.to_owned(), found: describe(value), fault };
    match value {
        Value::Null => Ok(None),
        Value::Number(n) => {
            let value = check(n.as_f64().ok_or_else(|| bad(NumberFault::TooLarge))?).map_err(bad)?;
            Ok(Some(Measure { value, unit: None }))
        }
        Value::String(s) => parse_number(s).map_err(bad),
        other => Err(wrong(path, "a number", other)),
    }
}

/// A whole number that a float holds exactly.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    // Within 2^53 every whole f64 is an i64, so the text form is exact and free of a narrowing cast.
    if number.fract() == 0.0 && number.abs() <= EXACT { format!("{number:.0}").parse().ok() } else { None }
}

fn wrong(path: &str, expected: &'static str, found: &Value) -> PickError {
    PickError::WrongType { path: path.to_owned(), expected, found: describe(found) }
}

fn wildcard(path: &str) -> PickError {
    PickError::WrongType {
        path: path.to_owned(),
        expected: "one place",
        found: "the path has a *, which can lead to several; use it for numbers only".into(),
    }
}

fn unit(path: &str, measure: Measure, expected: &'static str) -> PickError {
    PickError::Unit { path: path.to_owned(), unit: measure.unit.unwrap_or_default(), expected }
}

/// The first `depth` steps of a path, for a message.
fn up_to(path: &Path, depth: usize) -> String {
    let mut out = String::new();
    for step in path.steps().iter().take(depth) {
        match step {
            Step::Key(key) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(key);
            }
            Step::Index(index) => out.push_str(&format!("[{index}]")),
            Step::All => out.push_str("[*]"),
        }
    }
    if out.is_empty() { "(the whole reply)".into() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn zero_null_and_missing_are_three_things() {
        let value = json!({"a": 0, "b": null, "c": "0.0", "d": "unavailable"});
        let doc = Doc::new(&value);
        assert_eq!(doc.number("a"), Ok(Some(0.0)));
        assert_eq!(doc.number("b"), Ok(None));
        assert_eq!(doc.number("c"), Ok(Some(0.0)));
        assert_eq!(doc.number("d"), Ok(None));
        assert_eq!(doc.number("e"), Ok(None));
        assert!(doc.has("b") && !doc.has("e"));
    }

    #[test]
    fn false_is_not_zero() {
        let value = json!([false, [1], {"x": 1}]);
        for path in ["[0]", "[1]", "[2]"] {
            assert!(matches!(Doc::new(&value).number(path), Err(PickError::WrongType { .. })), "{path}");
        }
    }

    #[test]
    fn a_sum_is_unknown_when_a_member_is() {
        let value = json!({"all": [{"w": 1}, {"w": "2 W"}], "gap": [{"w": 1}, {"w": null}], "hole": [{"w": 1}, {}], "none": [], "map": {"1": {"P": 3.5}, "2": {"P": 4}}});
        let doc = Doc::new(&value);
        assert_eq!(doc.number("all[*].w"), Ok(Some(3.0)));
        assert_eq!(doc.number("gap[*].w"), Ok(None));
        assert_eq!(doc.number("hole[*].w"), Ok(None));
        assert_eq!(doc.number("none[*].w"), Ok(None));
        assert_eq!(doc.number("map.*.P"), Ok(Some(7.5)));
        assert_eq!(doc.numbers("gap[*].w"), Ok(vec![Some(1.0), None]));
    }

    #[test]
    fn units_are_converted_or_refused_but_never_dropped() {
        let value = json!({"p": "1.2 kW", "e": "5 kWh", "w": 7, "v": "230.1 V"});
        let doc = Doc::new(&value);
        assert_eq!(doc.watts("p"), Ok(Some(1200.0)));
        assert_eq!(doc.watts("w"), Ok(Some(7.0)));
        assert_eq!(doc.number("v"), Ok(Some(230.1)));
        assert!(matches!(doc.number("p"), Err(PickError::Unit { .. })));
        assert!(matches!(doc.watts("e"), Err(PickError::Unit { .. })));
    }

    #[test]
    fn errors_name_the_place_and_what_is_there() {
        let value = json!({"result": "rate limit", "Body": {"Data": {"Site": {"P_Load": "x"}}}});
        let doc = Doc::new(&value);
        let error = doc.number("result.watts").unwrap_err().to_string();
        assert_eq!(error, "`result` should be an object, but it is the text \"rate limit\"");
        let error = doc.number("Body.Data.Site.P_Load").unwrap_err().to_string();
        assert!(error.contains("`Body.Data.Site.P_Load`") && error.contains("\"x\""), "{error}");
        let error = doc.require_number("Body.Data.Site.P_PV").unwrap_err().to_string();
        assert!(error.contains("the keys `P_Load`"), "{error}");
        assert!(matches!(doc.number("a..b"), Err(PickError::BadPath { .. })));
    }

    #[test]
    fn texts_flags_lists_and_objects() {
        let value = json!({"id": 123, "name": "x", "on": "true", "off": 0, "list": [1, null], "o": {"a": 1, "b": null}, "n": "17", "f": 3.0});
        let doc = Doc::new(&value);
        assert_eq!(doc.text("id"), Ok(Some("123".into())));
        assert_eq!(doc.text("name"), Ok(Some("x".into())));
        assert_eq!(doc.flag("on"), Ok(Some(true)));
        assert_eq!(doc.flag("off"), Ok(Some(false)));
        assert!(doc.flag("name").is_err());
        assert_eq!(doc.list("list").unwrap().unwrap().len(), 2);
        assert!(doc.list("absent").unwrap().is_none());
        assert!(doc.list("o").is_err());
        let keys: Vec<&str> = doc.entries("o").unwrap().unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["a", "b"]);
        assert_eq!(doc.integer("n"), Ok(Some(17)));
        assert_eq!(doc.integer("f"), Ok(Some(3)));
        assert!(doc.integer("name").is_err());
    }

    #[test]
    fn indices_from_both_ends_and_pointers() {
        let value = json!({"a": [10, 20, 30]});
        let doc = Doc::new(&value);
        assert_eq!(doc.number("a[0]"), Ok(Some(10.0)));
        assert_eq!(doc.number("a[-1]"), Ok(Some(30.0)));
        assert_eq!(doc.number("a[-4]"), Ok(None));
        assert_eq!(doc.number("a.1"), Ok(Some(20.0)));
        assert_eq!(doc.number("/a/2"), Ok(Some(30.0)));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-c0-9 .W-]{0,6}".prop_map(Value::String),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::vec(("[a-c]", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_document_and_path_panics_or_gives_a_wild_number(value in any_json(), path in "[abc0-3.\\[\\]*/-]{0,8}") {
            let doc = Doc::new(&value);
            if let Ok(Some(number)) = doc.number(&path) {
                prop_assert!(number.is_finite() && number.abs() <= crate::LARGEST);
            }
            if let Ok(Some(number)) = doc.watts(&path) {
                prop_assert!(number.is_finite() && number.abs() <= crate::LARGEST);
            }
            let _ = (doc.text(&path), doc.flag(&path), doc.integer(&path), doc.measure(&path), doc.has(&path));
            let _ = (doc.list(&path).map(|_| ()), doc.entries(&path).map(|_| ()), doc.numbers(&path), doc.missing(&path).to_string());
        }
    }
}

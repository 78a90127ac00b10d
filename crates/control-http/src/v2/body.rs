//! Reading the body of a native command: every field is known and of the right kind, or the error names it.

use http_door::{Request, Response};
use serde_json::{Map, Value};

/// The fields of a body, taken out one by one.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The body of a request: a JSON object with no other fields than `allowed`.
    ///
    /// # Errors
    /// 400 with a sentence that names the field and what is allowed.
    pub(super) fn of(request: &Request, allowed: &[&str]) -> Result<Fields, Response> {
        let value: Value = serde_json::from_slice(&request.body)
            .map_err(|error| bad(&format!("the body must be a JSON object with {}: {error}", list(allowed))))?;
        let Value::Object(fields) = value else {
            return Err(bad(&format!("the body must be a JSON object with {}", list(allowed))));
        };
        if let Some(unknown) = fields.keys().find(|key| !allowed.contains(&key.as_str())) {
            return Err(bad(&format!("there is no field {unknown:?} here; allowed are {}", list(allowed))));
        }
        Ok(Fields(fields))
    }

    /// A number within bounds.
    pub(super) fn number(&self, key: &str, least: f64, most: f64) -> Result<Option<f64>, Response> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        value
            .as_f64()
            .filter(|number| (least..=most).contains(number))
            .map(Some)
            .ok_or_else(|| bad(&format!("{key} must be a number from {least} to {most}")))
    }

    /// A whole number within bounds; `5.0` is one too, as JSON has it.
    pub(super) fn whole(&self, key: &str, least: i32, most: i32) -> Result<Option<i32>, Response> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        value
            .as_f64()
            .filter(|number| number.fract() == 0.0 && (f64::from(least)..=f64::from(most)).contains(number))
            .map(|number| {
                #[expect(clippy::cast_possible_truncation, reason = "whole and within the bounds of an i32")]
                let whole = number as i32;
                whole
            })
            .map(Some)
            .ok_or_else(|| bad(&format!("{key} must be a whole number from {least} to {most}")))
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Response> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| bad(&format!("{key} must be true or false")))
    }

    /// Text that is not empty.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, Response> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let text = value.as_str().filter(|text| !text.is_empty() && text.len() <= 200);
        text.map(|text| Some(text.to_owned())).ok_or_else(|| bad(&format!("{key} must be text of 1 to 200 characters")))
    }

    /// Whatever stands there.
    pub(super) fn any(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }
}

/// 400.
pub(super) fn bad(text: &str) -> Response {
    Response::error(400, text)
}

fn list(allowed: &[&str]) -> String {
    allowed.join(", ")
}

//! `/api/v2/logs`: how the outputs of the log are doing.

use std::fmt;

use http_door::Response;
use serde_json::json;

use crate::api::Inner;
use crate::route::{Call, Route};

pub(crate) const ROUTES: &[Route] = &[Route::get("/api/v2/logs", get)];

/// The outputs of the log: console, files, databases.
///
/// # For those who implement it
/// Called from several threads; must not wait for an output.
///
/// # For those who call it
/// Cheap.
pub trait LogOutputs: fmt::Debug + Send + Sync {
    /// How each output is doing.
    fn outputs(&self) -> Vec<LogOutput>;
}

/// How one output of the log is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOutput {
    /// Its section of the configuration.
    pub key: String,
    /// What is wrong now, in a sentence for a person; `None` when nothing is.
    pub trouble: Option<String>,
    /// Records that wait to be written.
    pub waiting: usize,
    /// Records lost since the program started.
    pub lost: u64,
}

fn get(api: &Inner, _: &Call) -> Response {
    let outputs: Vec<_> = outputs(api)
        .into_iter()
        .map(|LogOutput { key, trouble, waiting, lost }| {
            json!({ "key": key, "trouble": trouble, "waiting": waiting, "lost": lost })
        })
        .collect();
    Response::json(200, json!({ "outputs": outputs }).to_string())
}

/// A sentence for each output that is in trouble. Charging goes on without a log, so these are warnings.
pub(crate) fn warnings(api: &Inner) -> impl Iterator<Item = String> {
    outputs(api).into_iter().filter_map(|output| {
        let LogOutput { key, trouble, waiting, lost } = output;
        trouble.map(|trouble| format!("{key}: {trouble} ({waiting} records wait, {lost} are lost)"))
    })
}

fn outputs(api: &Inner) -> Vec<LogOutput> {
    api.config.logs.as_ref().map(|logs| logs.outputs()).unwrap_or_default()
}

//! Signing in at the maker of the cars: what the interface asks of the program, and the rows that ask it.
//!
//! | rows | for whom |
//! | --- | --- |
//! | `/api/v2/tesla`, `/api/v2/tesla/sign-in`, `/api/v2/tesla/sign-in/return` | the page and programs |
//! | `/teslaAccount/…` (in `compat`) | TWCManager's addresses; the callback is what people registered with the maker |
//! | `/.well-known/appspecific/com.tesla.3p.public-key.pem` | the maker, to know our commands |

use std::fmt;

use http_door::{Method, Response};
use serde_json::{Value, json};

use crate::api::Inner;
use crate::route::{Call, Route};

/// Longest address that may be pasted.
const LONGEST_PASTE: usize = 8192;

/// The account at the maker of the cars.
///
/// # For those who implement it
/// Called from several threads. Nothing it gives may hold a secret.
///
/// # For those who call it
/// [`TeslaAccount::finish`] blocks for a call over the internet; the others return at once.
pub trait TeslaAccount: fmt::Debug + Send + Sync {
    /// Begins a sign-in: the address that the person has to open. `region` is `NA`, `EU` or `CN`; the configured one without.
    ///
    /// # Errors
    /// What is missing.
    fn begin(&self, region: Option<&str>) -> Result<String, TeslaRefusal>;

    /// Finishes it with what came back.
    ///
    /// # Errors
    /// Why nobody is signed in.
    fn finish(&self, returned: TeslaReturn<'_>) -> Result<(), TeslaRefusal>;

    /// How it stands, and what is missing: an object without secrets.
    fn status(&self) -> Value;

    /// The public key that our commands are known by, as PEM; `None` before one was made.
    fn public_key_pem(&self) -> Option<String>;
}

/// What came back from the maker's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeslaReturn<'a> {
    /// The query of a redirect to us.
    Redirect(&'a str),
    /// What a person pasted.
    Pasted(&'a str),
}

/// Why signing in did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeslaRefusal {
    /// A word for addresses, those of TWCManager among them: `not_configured`, `state_mismatch`, `response_no_token`.
    pub code: String,
    /// A sentence for people with what to do.
    pub text: String,
}

/// Rows of the native interface.
pub(crate) const ROUTES: &[Route] = &[
    Route::get("/api/v2/tesla", status),
    Route::native(Method::Post, "/api/v2/tesla/sign-in", begin),
    Route::native(Method::Post, "/api/v2/tesla/sign-in/return", finish),
];

/// The row that the maker asks.
pub(crate) const KEY_ROUTES: &[Route] =
    &[Route::open("/.well-known/appspecific/com.tesla.3p.public-key.pem", public_key)];

fn status(api: &Inner, _: &Call) -> Response {
    let mut answer = json!({ "configured": api.config.tesla.is_some() });
    if let (Some(tesla), Some(fields)) = (&api.config.tesla, answer.as_object_mut())
        && let Value::Object(status) = tesla.status()
    {
        fields.extend(status);
    }
    Response::json(200, answer.to_string().into_bytes())
}

fn begin(api: &Inner, call: &Call) -> Response {
    let body = match body(call, "region", 8) {
        Ok(region) => region,
        Err(response) => return response,
    };
    match begun(api, body.as_deref()) {
        Ok(address) => Response::json(200, json!({ "address": address }).to_string().into_bytes()),
        Err(refusal) => refused(&refusal),
    }
}

fn finish(api: &Inner, call: &Call) -> Response {
    let pasted = match body(call, "pasted", LONGEST_PASTE) {
        Ok(Some(pasted)) => pasted,
        Ok(None) => return Response::error(400, "send pasted: the whole address that the browser shows"),
        Err(response) => return response,
    };
    match finished(api, TeslaReturn::Pasted(&pasted)) {
        Ok(()) => Response::new(204),
        Err(refusal) => refused(&refusal),
    }
}

fn public_key(api: &Inner, _: &Call) -> Response {
    match api.config.tesla.as_ref().and_then(|tesla| tesla.public_key_pem()) {
        Some(pem) => Response::with_content(200, "application/x-pem-file", pem.into_bytes()),
        None => Response::error(404, "there is no key yet: make one with `twcmanager tesla setup --create-key`"),
    }
}

/// Begins a sign-in.
pub(crate) fn begun(api: &Inner, region: Option<&str>) -> Result<String, TeslaRefusal> {
    api.config.tesla.as_ref().ok_or_else(unconfigured)?.begin(region)
}

/// Finishes one.
pub(crate) fn finished(api: &Inner, returned: TeslaReturn<'_>) -> Result<(), TeslaRefusal> {
    match &api.config.tesla {
        Some(tesla) => tesla.finish(returned),
        None => Err(TeslaRefusal { code: "state_mismatch".to_owned(), ..unconfigured() }),
    }
}

fn unconfigured() -> TeslaRefusal {
    let text = "Tesla's cloud is not configured: `twcmanager tesla setup` says what is missing";
    TeslaRefusal { code: "not_configured".to_owned(), text: text.to_owned() }
}

fn refused(refusal: &TeslaRefusal) -> Response {
    Response::error(409, &refusal.text)
}

/// The one field that a body may have; `None` when it is absent.
fn body(call: &Call, name: &str, longest: usize) -> Result<Option<String>, Response> {
    if call.request.body.is_empty() {
        return Ok(None);
    }
    let wrong = || Response::error(400, &format!("the body must be a JSON object with nothing but {name}, a text"));
    let value: Value = serde_json::from_slice(&call.request.body).map_err(|_| wrong())?;
    let fields = value.as_object().ok_or_else(wrong)?;
    match (fields.len(), fields.get(name)) {
        (0, _) => Ok(None),
        (1, Some(Value::String(text))) if text.len() <= longest => Ok(Some(text.clone())),
        _ => Err(wrong()),
    }
}

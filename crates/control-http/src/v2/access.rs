//! Signing in and out, and the tokens of programs.

use http_door::Response;
use serde_json::{Value, json};

use super::body::{Fields, bad};
use super::json_of;
use crate::access::{Caller, Denied, Intent, LONGEST_PASSWORD, Proof, TokenView};
use crate::api::Inner;
use crate::route::Call;

/// Longest name of a token, in characters.
const LONGEST_NAME: usize = 64;

/// `GET session`: what this caller may do, and why not more.
pub(super) fn session(api: &Inner, call: &Call) -> Response {
    let found = api.gate.has_password().and_then(|has_password| {
        let rules = api.rules();
        let caller = api.gate.caller(call.request, call.now)?;
        let refusal = rules.check(call.request, Intent::Command, || Ok(caller)).err();
        Ok(json!({
            "is_password_set": has_password,
            "proof": proof(caller),
            "read_needs_password": rules.read_needs_password && has_password,
            "may_command": refusal.is_none(),
            "refusal": refusal.map(|denied| denied.text),
        }))
    });
    found.map_or_else(|denied| denied.response(), |state| json_of(&state))
}

fn proof(caller: Caller) -> Value {
    match caller {
        Caller::Unasked | Caller::Unknown => Value::Null,
        Caller::Known(Proof::Session) => "session".into(),
        Caller::Known(Proof::Password) => "password".into(),
        Caller::Known(Proof::Token) => "token".into(),
    }
}

/// `POST session`.
pub(super) fn sign_in(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let fields = Fields::of(call.request, &["password"])?;
        let password = fields.any("password").and_then(Value::as_str).filter(|text| text.len() <= LONGEST_PASSWORD);
        let password = password.ok_or_else(|| bad("password is missing: text"))?;
        let cookie = api.gate.sign_in(call.request, password, call.now).map_err(respond)?;
        Ok(Response::new(204).with_header("Set-Cookie", cookie).with_header("Cache-Control", "no-store"))
    })())
}

/// `DELETE session`.
pub(super) fn sign_out(api: &Inner, call: &Call) -> Response {
    Response::new(204)
        .with_header("Set-Cookie", api.gate.sign_out(call.request))
        .with_header("Cache-Control", "no-store")
}

/// `GET tokens`.
pub(super) fn tokens(api: &Inner, _: &Call) -> Response {
    let found = api.gate.tokens();
    found.map_or_else(respond, |tokens| json_of(&json!({ "tokens": tokens.iter().map(view).collect::<Vec<_>>() })))
}

/// `POST tokens`: the answer holds the secret, this once.
pub(super) fn create_token(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let fields = Fields::of(call.request, &["name"])?;
        let name = fields
            .text("name")?
            .map(|name| name.trim().to_owned())
            .filter(|name| (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control));
        let name = name.ok_or_else(|| bad("name is missing: what the token is for, 1 to 64 characters"))?;
        let (token, secret) = api.gate.create_token(&name, call.now).map_err(respond)?;
        let mut body = view(&token);
        body["token"] = secret.into();
        Ok(Response::json(201, body.to_string()))
    })())
}

/// `DELETE tokens/{id}`.
pub(super) fn revoke_token(api: &Inner, call: &Call) -> Response {
    let id = call.parameter.as_deref().unwrap_or_default();
    match api.gate.revoke_token(id) {
        Ok(true) => Response::new(204),
        Ok(false) => {
            Response::error(404, &format!("there is no token {id:?}; /api/v2/tokens lists those that there are"))
        }
        Err(denied) => denied.response(),
    }
}

fn view(token: &TokenView) -> Value {
    json!({ "id": token.id, "name": token.name, "created": token.created, "last_used": token.last_used })
}

fn respond(denied: Denied) -> Response {
    denied.response()
}

fn finish(answer: Result<Response, Response>) -> Response {
    answer.unwrap_or_else(|response| response)
}

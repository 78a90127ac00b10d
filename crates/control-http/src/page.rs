//! The page and its files, from a table: a path that is not in it does not exist, so there is nothing to climb out of.

use http_door::{Body, Response};

use crate::api::Inner;
use crate::route::{Call, Route};

/// Only our own files, nothing inline, no frames around us.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                              manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

pub(crate) const ROUTES: &[Route] =
    &[Route::open("/", index), Route::open("/assets/{file}", asset), Route::open("/favicon.ico", icon)];

fn index(_: &Inner, call: &Call) -> Response {
    serve("index.html", call)
}

fn icon(_: &Inner, call: &Call) -> Response {
    serve("icon.svg", call)
}

fn asset(_: &Inner, call: &Call) -> Response {
    serve(call.parameter.as_deref().unwrap_or_default(), call)
}

fn serve(name: &str, call: &Call) -> Response {
    let Some(file) = web::file(name) else {
        return Response::error(404, "there is no such file; the page is at /");
    };
    let tag = format!("\"{}\"", file.tag);
    let is_known = call.request.header("if-none-match").is_some_and(|known| {
        known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag || known.trim() == "*")
    });
    let response = if is_known {
        Response::new(304)
    } else {
        Response::with_content(200, file.content_type, Body::Static(file.bytes))
    };
    response
        .with_header("ETag", tag)
        .with_header("Cache-Control", "no-cache")
        .with_header("Content-Security-Policy", CONTENT_POLICY)
        .with_header("Referrer-Policy", "same-origin")
}

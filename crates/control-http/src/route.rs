//! The table of everything that can be asked, and how a request finds its row.

use http_door::{Method, Request, Response};
use percent_encoding::percent_decode_str;

use crate::access::Intent;
use crate::api::Inner;

/// One request on its way to its row.
pub(crate) struct Call<'a> {
    /// What was asked.
    pub request: &'a Request,
    /// Seconds since 1970.
    pub now: f64,
    /// What stood in the place of `{…}` in the row's path, decoded.
    pub parameter: Option<String>,
}

/// One row of the table.
pub(crate) struct Route {
    /// The method.
    pub method: Method,
    /// The path; one segment may be a name in braces.
    pub path: &'static str,
    /// What it would do.
    pub intent: Intent,
    /// Who does it.
    pub run: fn(&Inner, &Call) -> Response,
}

impl Route {
    /// A row that looks.
    pub(crate) const fn get(path: &'static str, run: fn(&Inner, &Call) -> Response) -> Route {
        Route { method: Method::Get, path, intent: Intent::Read, run }
    }

    /// A row that is never closed.
    pub(crate) const fn open(path: &'static str, run: fn(&Inner, &Call) -> Response) -> Route {
        Route { method: Method::Get, path, intent: Intent::Open, run }
    }

    /// A row that changes something, in the manner of TWCManager.
    pub(crate) const fn post(path: &'static str, run: fn(&Inner, &Call) -> Response) -> Route {
        Route { method: Method::Post, path, intent: Intent::Command, run }
    }

    /// A row of the native API with an intent of its own.
    pub(crate) const fn guarded(
        intent: Intent,
        method: Method,
        path: &'static str,
        run: fn(&Inner, &Call) -> Response,
    ) -> Route {
        Route { method, path, intent, run }
    }

    /// A row that changes something through the native API.
    pub(crate) const fn native(method: Method, path: &'static str, run: fn(&Inner, &Call) -> Response) -> Route {
        Route { method, path, intent: Intent::JsonCommand, run }
    }
}

/// What the table says of a request.
pub(crate) enum Found {
    /// This row, with its parameter.
    Row(&'static Route, Option<String>),
    /// The path exists, the method does not: these do.
    OtherMethods(String),
    /// There is no such path.
    Nothing,
}

/// Looks a request up in the tables.
pub(crate) fn find(tables: &[&'static [Route]], request: &Request) -> Found {
    let method = if request.method == Method::Head { Method::Get } else { request.method };
    let mut others: Vec<&'static str> = Vec::new();
    // A path that stands there in full comes before one with a place for a name.
    let is_in_full = tables.iter().copied().flatten().any(|route| route.path == request.path);
    for route in tables.iter().copied().flatten().filter(|route| !is_in_full || route.path == request.path) {
        let Some(parameter) = matches(route.path, &request.path) else { continue };
        if route.method == method {
            return Found::Row(route, parameter);
        }
        others.push(route.method.as_str());
        if route.method == Method::Get {
            others.push("HEAD");
        }
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others.join(", ")) }
}

/// `Some` when `path` fits `pattern`; the inner value is what fits the braces.
fn matches(pattern: &str, path: &str) -> Option<Option<String>> {
    let Some(open) = pattern.find('{') else { return (pattern == path).then_some(None) };
    let close = pattern.find('}')?;
    let middle = path.strip_prefix(pattern.get(..open)?)?;
    let middle = middle.strip_suffix(pattern.get(close + 1..)?)?;
    if middle.is_empty() || middle.contains('/') {
        return None;
    }
    Some(Some(percent_decode_str(middle).decode_utf8().ok()?.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_takes_exactly_one_segment() {
        assert_eq!(matches("/a", "/a"), Some(None));
        assert_eq!(matches("/a", "/a/"), None);
        assert_eq!(matches("/e/{id}", "/e/gen2-1"), Some(Some("gen2-1".to_owned())));
        assert_eq!(matches("/e/{id}", "/e/a%2Fb%20c"), Some(Some("a/b c".to_owned())));
        assert_eq!(matches("/e/{id}", "/e/"), None);
        assert_eq!(matches("/e/{id}", "/e/a/b"), None);
        assert_eq!(matches("/e/{id}/start", "/e/x/start"), Some(Some("x".to_owned())));
        assert_eq!(matches("/e/{id}/start", "/e/start"), None);
        assert_eq!(matches("/e/{id}", "/e/%ff"), None);
    }
}

//! A DSN: `https://<key>[:<secret>]@<host>[:<port>][/<prefix>]/<project>`.

use std::fmt;

use crate::envelope::SDK;

/// Where reports go, and the key that lets them in. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Dsn {
    scheme: String,
    host: String,
    prefix: String,
    project: String,
    key: String,
    secret: Option<String>,
}

/// Why a text is no DSN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DsnError {
    /// It does not begin with `https://` or `http://`.
    #[error("`logging.Sentry.DSN` does not begin with https://; copy it from the project's settings in Sentry")]
    Scheme,
    /// There is no key before the `@`.
    #[error("`logging.Sentry.DSN` has no key before an @; copy it from the project's settings in Sentry")]
    Key,
    /// The host cannot be used.
    #[error("`logging.Sentry.DSN` has no usable host; copy it from the project's settings in Sentry")]
    Address,
    /// There is no project at the end.
    #[error(
        "`logging.Sentry.DSN` does not end with the number of a project; copy it from the project's settings in Sentry"
    )]
    Project,
}

impl Dsn {
    /// Takes a DSN apart.
    ///
    /// # Errors
    /// Which part is missing; the text itself is not repeated.
    pub fn parse(text: &str) -> Result<Dsn, DsnError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(DsnError::Scheme)?;
        if !matches!(scheme, "https" | "http") {
            return Err(DsnError::Scheme);
        }
        let (keys, rest) = rest.split_once('@').ok_or(DsnError::Key)?;
        let (key, secret) = keys.split_once(':').map_or((keys, None), |(key, secret)| (key, Some(secret)));
        // They go into a header, so nothing but what keys are made of.
        let is_sound =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        if !is_sound(key) || !secret.is_none_or(is_sound) {
            return Err(DsnError::Key);
        }
        let (host, path) = rest.split_once('/').ok_or(DsnError::Project)?;
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(DsnError::Address);
        }
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let (prefix, project) = path.rsplit_once('/').unwrap_or(("", path));
        if !is_sound(project) {
            return Err(DsnError::Project);
        }
        Ok(Dsn {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") },
            project: project.to_owned(),
            key: key.to_owned(),
            secret: secret.map(str::to_owned),
        })
    }

    pub(crate) fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.host)
    }

    pub(crate) fn path(&self) -> String {
        format!("{}/api/{}/envelope/", self.prefix, self.project)
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The value of `X-Sentry-Auth`.
    pub(crate) fn auth(&self, release: &str) -> String {
        let client = release.strip_prefix(SDK).and_then(|rest| rest.strip_prefix('@')).unwrap_or(release);
        let secret = self.secret.as_ref().map(|secret| format!(", sentry_secret={secret}")).unwrap_or_default();
        format!("Sentry sentry_version=7, sentry_client={SDK}/{client}, sentry_key={}{secret}", self.key)
    }
}

impl fmt::Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://********@{}", self.scheme, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let dsn = Dsn::parse("https://abc123@o1.ingest.sentry.io/450").unwrap();
        assert_eq!((dsn.base().as_str(), dsn.path().as_str()), ("https://o1.ingest.sentry.io", "/api/450/envelope/"));
        assert_eq!(
            dsn.auth("twcmanager@1.2"),
            "Sentry sentry_version=7, sentry_client=twcmanager/1.2, sentry_key=abc123"
        );
        let dsn = Dsn::parse("http://k:s@127.0.0.1:9000/some/where/2/").unwrap();
        assert_eq!(
            (dsn.base().as_str(), dsn.path().as_str()),
            ("http://127.0.0.1:9000", "/some/where/api/2/envelope/")
        );
        assert!(dsn.auth("twcmanager@1.2").ends_with("sentry_key=k, sentry_secret=s"));
        assert!(!format!("{dsn:?}").contains("k:s"));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, expected) in [
            ("", DsnError::Scheme),
            ("ftp://k@h/1", DsnError::Scheme),
            ("https://h/1", DsnError::Key),
            ("https://@h/1", DsnError::Key),
            ("https://k\r\nX: y@h/1", DsnError::Key),
            ("https://k@/1", DsnError::Address),
            ("https://k@h", DsnError::Project),
            ("https://k@h/", DsnError::Project),
        ] {
            assert_eq!(Dsn::parse(text), Err(expected), "{text}");
        }
    }
}

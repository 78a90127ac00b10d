//! From a file to a configuration, or to the reasons why not.

use std::path::{Path, PathBuf};

use crate::check::check;
use crate::keys::KeySet;
use crate::rules;
use crate::{Config, Content, Diagnostic, Document, Node, Position, read};

/// Where the configuration is looked for when the user names no file, in this order.
pub const SEARCH: [&str; 2] = ["/etc/twcmanager/config.json", "config.json"];

/// What came of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration; `None` as soon as there is one error.
    pub config: Option<Config>,
    /// What has to be mended first.
    pub errors: Vec<Diagnostic>,
    /// What can stay as it is, but is worth a look.
    pub warnings: Vec<Diagnostic>,
    /// The file as it was understood, for `getConfig` (masked) and for positions of later findings.
    pub document: Document,
}

/// The file to read: the one the user named, or the first of [`SEARCH`] that exists, or else the first.
#[must_use]
pub fn find(explicit: Option<&Path>) -> PathBuf {
    if let Some(path) = explicit {
        return path.to_owned();
    }
    let [first, ..] = SEARCH;
    PathBuf::from(SEARCH.into_iter().find(|path| Path::new(path).is_file()).unwrap_or(first))
}

/// Reads and checks a file. A file that cannot be read is an error among the others.
#[must_use]
pub fn load(path: &Path, keys: &KeySet) -> Loaded {
    let name = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => parse(&name, &bytes, keys),
        Err(error) => {
            let message = format!(
                "this file cannot be read: {error}. Check that it exists and that the program's user may read it"
            );
            let empty = Node { at: Position::START, content: Content::Object(Vec::new()) };
            Loaded {
                config: None,
                errors: vec![Diagnostic::error(&name, Position::START, "", message)],
                warnings: Vec::new(),
                document: Document::new(&name, empty),
            }
        }
    }
}

/// Checks a text that came from elsewhere; `file` is its name in messages.
#[must_use]
pub fn parse(file: &str, bytes: &[u8], keys: &KeySet) -> Loaded {
    let (document, mut found) = read(file, bytes);
    let is_readable = !found.iter().any(Diagnostic::is_error);
    let (value, findings) = check(&document, keys);
    // In a text with broken brackets keys stand in wrong places; only what is surely wrong is worth saying then.
    found.extend(
        findings
            .into_iter()
            .filter(|finding| is_readable || (finding.is_error() && document.position(&finding.key).is_some())),
    );
    let config = is_readable.then(|| Config::resolve(&value, &document));
    // With errors the configuration has gaps, about which these checks would say misleading things.
    if let Some(config) = config.as_ref().filter(|_| !found.iter().any(Diagnostic::is_error)) {
        found.extend(rules::check(config, &document));
    }
    let (mut errors, mut warnings): (Vec<_>, Vec<_>) = found.into_iter().partition(Diagnostic::is_error);
    for list in [&mut errors, &mut warnings] {
        list.sort_by_key(|finding| (finding.line, finding.column));
        list.dedup();
    }
    Loaded { config: config.filter(|_| errors.is_empty()), errors, warnings, document }
}

//! Reading a file as generously as every release did together, without losing a position.
//!
//! | step | file | does |
//! |---|---|---|
//! | bytes → text | `decode` | encodings, line ends; comments become blanks |
//! | text → tree | `relaxed` | the bracketed form, goes on after mistakes |
//! | text → tree | `yaml` | the indented form, and a second try for the bracketed one |
//! | word → value | `scalar` | YAML 1.1's spelling of booleans and numbers |

mod decode;
mod document;
mod relaxed;
mod scalar;
#[cfg(test)]
mod tests;
mod yaml;

pub use document::{Content, Document, Member, Node};

use crate::{Diagnostic, Position};
use decode::{Note, Text};

/// Deepest nesting that is read. Real files have around six levels.
const MAX_DEPTH: usize = 64;
/// Most values that are read.
const MAX_VALUES: usize = 10_000;
/// More mistakes, and more remarks, than this are not worth listing.
const MAX_NOTES: usize = 50;

/// Reads a configuration text. The tree holds what could be understood even when there are errors among the findings;
/// it must not be acted upon then.
///
/// `file` is only a name for messages. Any bytes are fine; nothing panics.
#[must_use]
pub fn read(file: &str, bytes: &[u8]) -> (Document, Vec<Diagnostic>) {
    let mut notes = Vec::new();
    let root = read_notes(bytes, &mut notes);
    notes.sort_by_key(|note| (!note.1, note.0));
    let found = notes
        .into_iter()
        .map(|(at, is_error, message)| {
            if is_error { Diagnostic::error(file, at, "", message) } else { Diagnostic::warning(file, at, "", message) }
        })
        .collect();
    (Document::new(file, root), found)
}

fn read_notes(bytes: &[u8], notes: &mut Vec<Note>) -> Node {
    let empty = Node { at: Position::START, content: Content::Object(Vec::new()) };
    let Some(mut text) = Text::decode(bytes, notes) else { return empty };
    text.blank_comments(notes);
    let Some(first) = text.chars.iter().position(|c| !c.is_whitespace()) else {
        notes.push((
            Position::START,
            true,
            "the file is empty; write at least `{ \"config\": { \"wiringMaxAmpsAllTWCs\": 6 } }`".into(),
        ));
        return empty;
    };
    let root = if text.chars.get(first) == Some(&'{') {
        let mut findings = Vec::new();
        let root = relaxed::parse(&text, &mut findings);
        // What we call a mistake may still be YAML that was always accepted, such as a text over two lines.
        let retried = findings.iter().any(|note| note.1).then(|| {
            let mut remarks = Vec::new();
            yaml::parse(&text, &mut remarks).map(|root| (root, remarks))
        });
        match retried.flatten() {
            Some((root, remarks)) => {
                notes.extend(remarks);
                root
            }
            None => {
                notes.extend(findings);
                root
            }
        }
    } else {
        match yaml::parse(&text, notes) {
            Some(root) => root,
            None => return empty,
        }
    };
    if !matches!(root.content, Content::Object(_)) {
        notes.push((
            text.position(first),
            true,
            "the file has to be an object: `{`, then sections such as `\"config\": { … }`, then `}`".into(),
        ));
        return empty;
    }
    root
}

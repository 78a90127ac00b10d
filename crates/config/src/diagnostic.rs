//! What is wrong with a file, where, and what to do about it.

use std::fmt;

use serde::Serialize;

/// A place in a file as an editor shows it: both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Position {
    /// The first character of a file.
    pub const START: Position = Position { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Whether the program can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth mending, but the meaning is clear.
    Warning,
    /// The file cannot be used as it stands.
    Error,
}

/// One finding about a file. Serialises to exactly `file`, `line`, `column`, `key` and `message`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether it stops the program.
    #[serde(skip)]
    pub severity: Severity,
    /// The file as it was named to us.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Key path such as `sources.Fronius.serverIP`; empty when the finding is about the text and not about a key.
    pub key: String,
    /// A full sentence: what was found, what is allowed, what to do.
    pub message: String,
}

impl Diagnostic {
    /// A finding that stops the program.
    pub fn error(file: &str, at: Position, key: &str, message: impl Into<String>) -> Self {
        Diagnostic::new(Severity::Error, file, at, key, message.into())
    }

    /// A finding that does not stop the program.
    pub fn warning(file: &str, at: Position, key: &str, message: impl Into<String>) -> Self {
        Diagnostic::new(Severity::Warning, file, at, key, message.into())
    }

    fn new(severity: Severity, file: &str, at: Position, key: &str, message: String) -> Self {
        Diagnostic { severity, file: file.to_owned(), line: at.line, column: at.column, key: key.to_owned(), message }
    }

    /// Whether it stops the program.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        f.write_str(if self.is_error() { "error: " } else { "warning: " })?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

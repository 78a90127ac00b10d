//! Bytes to characters: encodings, line ends and comments. Nothing here moves a character, so positions stay those of the file.

use crate::Position;
use crate::read::MAX_NOTES;

/// Largest file that is read, in bytes. Real files are around twenty thousand.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// Text ready for parsing: line ends are `\n`, tabs are spaces, comments are blank.
pub(crate) struct Text {
    pub(crate) chars: Vec<char>,
    line_starts: Vec<usize>,
}

/// A finding of this stage, still without file name: where, whether fatal, what.
pub(crate) type Note = (Position, bool, String);

impl Text {
    /// Decodes a file. The text comes back even when something had to be said about it, unless it is no text at all.
    pub(crate) fn decode(bytes: &[u8], notes: &mut Vec<Note>) -> Option<Text> {
        if bytes.len() > MAX_BYTES {
            let size = bytes.len() / 1024;
            notes.push((
                Position::START,
                true,
                format!(
                    "this file has {size} KiB; at most {} KiB are read, so it is probably not a configuration file",
                    MAX_BYTES / 1024
                ),
            ));
            return None;
        }
        if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
            notes.push((
                Position::START,
                true,
                "this file is stored as UTF-16; save it as UTF-8 (in most editors: Save as, Encoding)".into(),
            ));
            return None;
        }
        let bytes = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => Text::new(text.chars().collect()),
            Err(error) => {
                // Every byte is a character of Latin-1, so this cannot fail; old editors wrote such files.
                let text = Text::new(bytes.iter().map(|&byte| char::from(byte)).collect());
                notes.push((
                    text.position(error.valid_up_to()),
                    false,
                    "this character is not UTF-8; the file is read as Latin-1. Save it as UTF-8 to be sure of names and passwords".into(),
                ));
                text
            }
        };
        if let Some(at) =
            text.chars.iter().position(|&c| c.is_control() && c != '\n' && !('\u{80}'..='\u{9f}').contains(&c))
        {
            let code = u32::from(*text.chars.get(at).unwrap_or(&'\0'));
            notes.push((
                text.position(at),
                true,
                format!("a control character (code {code}) stands here; the file is damaged or is not a text file"),
            ));
            return None;
        }
        Some(text)
    }

    fn new(mut chars: Vec<char>) -> Text {
        for at in 0..chars.len() {
            let next_is_newline = chars.get(at + 1) == Some(&'\n');
            if let Some(c) = chars.get_mut(at) {
                match *c {
                    '\r' if next_is_newline => *c = ' ',
                    '\r' => *c = '\n',
                    '\t' => *c = ' ',
                    _ => {}
                }
            }
        }
        let mut line_starts = vec![0];
        line_starts.extend(chars.iter().enumerate().filter(|&(_, &c)| c == '\n').map(|(at, _)| at + 1));
        Text { chars, line_starts }
    }

    /// Line and column of a character index; the end of the file is a place too.
    pub(crate) fn position(&self, index: usize) -> Position {
        let index = index.min(self.chars.len());
        let line = self.line_starts.partition_point(|&start| start <= index);
        let start = line.checked_sub(1).and_then(|line| self.line_starts.get(line)).copied().unwrap_or(0);
        Position {
            line: u32::try_from(line.max(1)).unwrap_or(u32::MAX),
            column: u32::try_from(index - start + 1).unwrap_or(u32::MAX),
        }
    }

    /// Overwrites comments with spaces. `//` and `#` run to the end of the line, `/* */` may span lines; none counts inside quotes.
    ///
    /// Old files have all of these. A quote opens a text only where a value or name may begin, so that `it's` stays a word, and
    /// a text that is not closed on its line ends with the line: the parser says so later.
    pub(crate) fn blank_comments(&mut self, notes: &mut Vec<Note>) {
        let mut at = 0;
        let mut before = '\n';
        while let Some(&c) = self.chars.get(at) {
            let next = self.chars.get(at + 1).copied().unwrap_or('\n');
            match c {
                '"' | '\'' if opens_text(before) => {
                    at = self.end_of_quoted(at, c).0;
                    before = c;
                    continue;
                }
                '#' => {
                    if !is_boundary(before) && notes.len() < MAX_NOTES {
                        notes.push((
                            self.position(at),
                            false,
                            "everything from `#` on is a comment here; put the value in quotes if the `#` belongs to it".into(),
                        ));
                    }
                    at = self.blank_line_rest(at);
                }
                '/' if next == '/' && (is_boundary(before) || self.follows_literal(at)) => {
                    at = self.blank_line_rest(at)
                }
                '/' if next == '*' && (is_boundary(before) || self.follows_literal(at)) => {
                    at = self.blank_block(at, notes)
                }
                _ => at += 1,
            }
            before = self.chars.get(at.wrapping_sub(1)).copied().unwrap_or('\n');
        }
    }

    fn blank_line_rest(&mut self, from: usize) -> usize {
        let mut at = from;
        while let Some(c) = self.chars.get_mut(at).filter(|c| **c != '\n') {
            *c = ' ';
            at += 1;
        }
        at
    }

    fn blank_block(&mut self, from: usize, notes: &mut Vec<Note>) -> usize {
        let body = from + 2;
        let closing = (body..self.chars.len())
            .find(|&at| self.chars.get(at) == Some(&'*') && self.chars.get(at + 1) == Some(&'/'));
        if closing.is_none() {
            notes.push((
                self.position(from),
                true,
                "the comment opened here with `/*` is never closed; add `*/`".into(),
            ));
        }
        let end = closing.map_or(self.chars.len(), |at| at + 2);
        for c in self.chars.iter_mut().take(end).skip(from).filter(|c| **c != '\n') {
            *c = ' ';
        }
        end
    }

    /// Index after the closing quote, and true; or the index of the line's end and false when there is none.
    pub(crate) fn end_of_quoted(&self, open: usize, quote: char) -> (usize, bool) {
        let mut at = open + 1;
        while let Some(&c) = self.chars.get(at) {
            match c {
                '\n' => return (at, false),
                '\\' if quote == '"' && self.chars.get(at + 1) != Some(&'\n') => at += 2,
                '\'' if quote == '\'' && self.chars.get(at + 1) == Some(&'\'') => at += 2,
                c if c == quote => return (at + 1, true),
                _ => at += 1,
            }
        }
        (self.chars.len(), false)
    }

    /// Whether a complete number or word that needs no quotes ends right before `at`, as in `12//twelve`.
    fn follows_literal(&self, at: usize) -> bool {
        let head = self.chars.get(..at).unwrap_or_default();
        let before_word = head.iter().rposition(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '+' | '-'));
        let word: String = head.get(before_word.map_or(0, |at| at + 1)..).unwrap_or_default().iter().collect();
        let stands_alone = before_word.and_then(|at| head.get(at)).is_none_or(|&before| opens_text(before));
        let is_number = word.starts_with(|c: char| c.is_ascii_digit() || c == '-') && word.parse::<f64>().is_ok();
        stands_alone && (is_number || matches!(word.as_str(), "true" | "false" | "null"))
    }
}

fn is_boundary(before: char) -> bool {
    before.is_whitespace() || matches!(before, ',' | '{' | '}' | '[' | ']' | '"' | '\'')
}

fn opens_text(before: char) -> bool {
    before == ':' || is_boundary(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanked(text: &str) -> String {
        let mut notes = Vec::new();
        let mut text = Text::decode(text.as_bytes(), &mut notes).unwrap();
        text.blank_comments(&mut notes);
        text.chars.iter().collect()
    }

    #[test]
    fn comments_go_and_everything_else_keeps_its_place() {
        assert_eq!(blanked("{ // a\n \"b\": 1 # c\n}"), "{     \n \"b\": 1    \n}");
        assert_eq!(blanked("1/* x\n y */2"), "1    \n     2");
        assert_eq!(blanked("12//twelve"), "12        ");
    }

    #[test]
    fn signs_inside_quotes_and_addresses_are_no_comments() {
        for kept in [r##""ab#cd//e/*f*/""##, r#"'it''s # here'"#, "url: http://host/x", r##""a\"#b""##, "a: it's"] {
            assert_eq!(blanked(kept), kept);
        }
    }

    #[test]
    fn a_latin_1_file_is_read_and_said() {
        let mut notes = Vec::new();
        let text = Text::decode(b"a\nb\xe9", &mut notes).unwrap();
        assert_eq!(text.chars, ['a', '\n', 'b', 'é']);
        assert_eq!(notes.first().map(|note| note.0), Some(Position { line: 2, column: 2 }));
    }

    #[test]
    fn line_ends_of_every_system_count_once() {
        let text = Text::decode(b"\xef\xbb\xbfa\r\nb\rc\n", &mut Vec::new()).unwrap();
        assert_eq!(text.position(text.chars.iter().position(|&c| c == 'b').unwrap()), Position { line: 2, column: 1 });
        assert_eq!(text.position(text.chars.iter().position(|&c| c == 'c').unwrap()), Position { line: 3, column: 1 });
    }
}

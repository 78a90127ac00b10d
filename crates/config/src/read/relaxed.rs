//! The bracketed form: JSON with everything that hands and old programs add or leave out.
//!
//! Written by hand because it has to go on after a mistake, to name as many as it can in one run.

use crate::read::decode::{Note, Text};
use crate::read::document::{Content, Member, Node};
use crate::read::{MAX_DEPTH, MAX_NOTES, MAX_VALUES, scalar};

pub(crate) struct Relaxed<'a> {
    text: &'a Text,
    at: usize,
    open: Vec<(char, usize)>,
    values: usize,
    notes: &'a mut Vec<Note>,
}

/// Parses blanked text whose first character is `{`; always gives a tree, and says in `notes` what was wrong.
pub(crate) fn parse(text: &Text, notes: &mut Vec<Note>) -> Node {
    let mut parser = Relaxed { text, at: 0, open: Vec::new(), values: 0, notes };
    parser.skip_blanks();
    let root = parser.value();
    parser.skip_blanks();
    if let Some(c) = parser.peek() {
        parser.error(
            parser.at,
            format!(
                "found {} after the closing `}}` of the whole file; is there one bracket too many further up?",
                shown(c)
            ),
        );
    }
    root
}

impl Relaxed<'_> {
    fn peek(&self) -> Option<char> {
        self.text.chars.get(self.at).copied()
    }

    fn note(&mut self, at: usize, is_error: bool, message: String) {
        self.push((self.text.position(at), is_error, message));
    }

    /// Warnings and errors are capped apart, so that many warnings never hide an error.
    fn push(&mut self, note: Note) {
        if self.notes.iter().filter(|other| other.1 == note.1).count() < MAX_NOTES {
            self.notes.push(note);
        }
    }

    fn error(&mut self, at: usize, message: String) {
        self.note(at, true, message);
    }

    /// Skips blanks; true when a line end was among them.
    fn skip_blanks(&mut self) -> bool {
        let mut crossed = false;
        while let Some(c) = self.peek().filter(|c| c.is_whitespace()) {
            crossed |= c == '\n';
            self.at += 1;
        }
        crossed
    }

    fn value(&mut self) -> Node {
        let start = self.at;
        let at = self.text.position(start);
        self.values += 1;
        if self.values == MAX_VALUES {
            self.error(
                start,
                format!("there are more than {MAX_VALUES} values; this is probably not a configuration file"),
            );
        }
        if self.values >= MAX_VALUES {
            self.at = self.text.chars.len();
            return Node::null(at);
        }
        match self.peek() {
            Some(c @ ('{' | '[')) if self.open.len() >= MAX_DEPTH => {
                self.error(start, format!("more than {MAX_DEPTH} brackets {} are open here; close some", shown(c)));
                self.at = self.text.chars.len();
                Node::null(at)
            }
            Some('{') => self.bracketed('}', Relaxed::object),
            Some('[') => self.bracketed(']', Relaxed::list),
            Some('"' | '\'') => Node::text(at, self.quoted()),
            Some(c) if "&*!|>@`%".contains(c) || (matches!(c, '-' | '?') && self.next_is_blank()) => {
                self.error(start, format!("a value cannot begin with {}; put it in quotes", shown(c)));
                self.plain_word();
                Node::null(at)
            }
            _ => {
                let word = self.plain_word();
                let value = scalar::plain(&word);
                Node { at, content: Content::Scalar { value, spelling: Some(word) } }
            }
        }
    }

    fn next_is_blank(&self) -> bool {
        self.text.chars.get(self.at + 1).is_none_or(|c| c.is_whitespace())
    }

    fn bracketed(&mut self, close: char, body: fn(&mut Self) -> Content) -> Node {
        let start = self.at;
        self.open.push((close, start));
        self.at += 1;
        let content = body(self);
        self.open.pop();
        Node { at: self.text.position(start), content }
    }

    /// Handles what ends a bracket; true when it has ended.
    fn at_end(&mut self) -> bool {
        let Some(&(close, opened)) = self.open.last() else { return true };
        let opened_at = self.text.position(opened);
        match self.peek() {
            None => {
                let what = if close == '}' { '{' } else { '[' };
                // Say it for the innermost bracket only; the outer ones follow from it.
                if self.values < MAX_VALUES && !self.notes.iter().any(|note| note.2.contains("is never closed")) {
                    self.error(
                        opened,
                        format!("the `{what}` opened here is never closed; the file ends first. Add `{close}`"),
                    );
                }
                true
            }
            Some(c) if c == close => {
                self.at += 1;
                true
            }
            Some(c @ ('}' | ']')) => {
                self.error(
                    self.at,
                    format!(
                        "found `{c}`, but the bracket opened at {opened_at} has to be closed first, with `{close}`"
                    ),
                );
                // On one line it is a slip of the finger; otherwise an outer bracket may be meant.
                let is_slip = self.text.position(self.at).line == opened_at.line;
                if is_slip || !self.open.iter().any(|&(close, _)| close == c) {
                    self.at += 1;
                }
                true
            }
            Some(_) => false,
        }
    }

    /// After a value: the comma, or a line end that stands for it. Leaves anything else for the caller's next round.
    fn separator(&mut self, after: &str) -> bool {
        let end = self.at;
        let crossed = self.skip_blanks();
        match self.peek() {
            Some(',') => {
                self.at += 1;
                true
            }
            None | Some('}' | ']') => true,
            Some(c) if crossed && c != ':' => {
                self.note(end, false, format!("a comma is missing after {after}; the line end is taken for it"));
                false
            }
            Some(c) => {
                self.error(
                    self.at,
                    format!("found {} after {after}; a comma or a closing bracket belongs here", shown(c)),
                );
                if c == ':' {
                    self.at += 1;
                    self.skip_blanks();
                    self.value_unless_separator();
                    self.separator(after);
                }
                false
            }
        }
    }

    fn value_unless_separator(&mut self) -> Node {
        match self.peek() {
            None | Some(',' | '}' | ']') => Node::null(self.text.position(self.at)),
            Some(_) => self.value(),
        }
    }

    fn skip_extra_commas(&mut self) {
        self.skip_blanks();
        while self.peek() == Some(',') {
            self.note(self.at, false, "there is nothing before this comma; it is ignored".into());
            self.at += 1;
            self.skip_blanks();
        }
    }

    fn object(&mut self) -> Content {
        let mut members: Vec<Member> = Vec::new();
        let mut had_comma = true;
        loop {
            self.skip_extra_commas();
            if self.at_end() {
                return Content::Object(members);
            }
            let start = self.at;
            let Some(key) = self.key() else { continue };
            let key_at = self.text.position(start);
            self.skip_blanks_before_colon();
            let node = match self.peek() {
                Some(':') => {
                    self.at += 1;
                    self.skip_blanks();
                    self.value_unless_separator()
                }
                Some(c) if c == ' ' && self.value_follows_on_line() => {
                    self.error(self.at, "a colon is missing between the name and its value".into());
                    self.skip_blanks();
                    self.value()
                }
                next => {
                    let is_alone = matches!(next, Some(',' | '}')) && had_comma;
                    self.note(
                        start,
                        !is_alone,
                        "this name has no value; write a colon and the value after it, or mend the quotes before it"
                            .into(),
                    );
                    Node::null(key_at)
                }
            };
            let after = format!("`{key}`");
            self.add(&mut members, Member { key, key_at, node });
            had_comma = self.separator(&format!("the value of {after}"));
        }
    }

    fn add(&mut self, members: &mut Vec<Member>, member: Member) {
        add_member(members, member, |at, message| self.push((at, false, message)));
    }

    /// A colon may follow on the next line, but a name does not become a value's name across a gap of other things.
    fn skip_blanks_before_colon(&mut self) {
        let back = self.at;
        self.skip_blanks();
        if self.peek().is_some_and(|c| c != ':' && c != ',' && c != '}') {
            self.at = back;
        }
    }

    fn value_follows_on_line(&self) -> bool {
        let rest = self.text.chars.get(self.at..).unwrap_or_default();
        rest.iter().find(|c| **c != ' ').is_some_and(|c| !"\n,]}".contains(*c))
    }

    fn key(&mut self) -> Option<String> {
        match self.peek()? {
            '"' | '\'' => Some(self.quoted()),
            c @ ('{' | '[') => {
                self.error(self.at, format!("found {} where a name is expected, such as `\"enabled\":`", shown(c)));
                self.value();
                self.separator("it");
                None
            }
            ':' => {
                self.error(self.at, "there is no name before this colon".into());
                self.at += 1;
                self.skip_blanks();
                self.value_unless_separator();
                self.separator("the value");
                None
            }
            _ => {
                let rest = self.text.chars.get(self.at..).unwrap_or_default();
                let length = rest.iter().position(|c| "\n:,{}[]".contains(*c)).unwrap_or(rest.len());
                let name: String = rest.get(..length).unwrap_or_default().iter().collect();
                self.at += length;
                if name.trim_end().ends_with(['"', '\'']) {
                    self.error(self.at - length, "this looks like a name whose opening quote is missing".into());
                    return Some(name.trim().trim_end_matches(['"', '\'']).to_owned());
                }
                Some(name.trim().to_owned())
            }
        }
    }

    fn list(&mut self) -> Content {
        let mut items = Vec::new();
        loop {
            self.skip_extra_commas();
            if self.at_end() {
                return Content::List(items);
            }
            let start = self.at;
            let mut item = self.value();
            if self.peek() == Some(':') {
                // `[ a: 1 ]` is a list of one object with one member.
                if let Content::Scalar { value, spelling } = &item.content {
                    let key = spelling.clone().or_else(|| value.as_str().map(str::to_owned)).unwrap_or_default();
                    let key_at = item.at;
                    self.at += 1;
                    self.skip_blanks();
                    let node = self.value_unless_separator();
                    item = Node { at: key_at, content: Content::Object(vec![Member { key, key_at, node }]) };
                }
            }
            items.push(item);
            if self.at == start {
                // Nothing was consumed: step over the character so that every round makes progress.
                self.at += 1;
            }
            self.separator("the list's entry");
        }
    }

    fn quoted(&mut self) -> String {
        let open = self.at;
        let quote = self.peek().unwrap_or('"');
        let (end, is_closed) = self.text.end_of_quoted(open, quote);
        let body = self.text.chars.get(open + 1..if is_closed { end - 1 } else { end }).unwrap_or_default();
        self.at = end;
        if !is_closed {
            self.error(
                open,
                format!("the text opened here with {quote} is not closed on its line; add the closing {quote}"),
            );
            let body: String = body.iter().collect();
            let kept = body.trim_end();
            let has_comma = kept.ends_with(',');
            let kept = kept.trim_end_matches(',').to_owned();
            if has_comma {
                self.at = open + 1 + kept.chars().count();
            }
            return kept;
        }
        let mut text = String::with_capacity(body.len());
        let mut at = 0;
        while let Some(&c) = body.get(at) {
            at += 1;
            match c {
                '\\' if quote == '"' => match scalar::escape(body.get(at..).unwrap_or_default()) {
                    Some((c, length)) => {
                        text.push(c);
                        at += length;
                    }
                    None => {
                        let what = body.get(at).copied().unwrap_or('\\');
                        self.error(
                            open + at,
                            format!("`\\{what}` is no escape that exists; write `\\\\` for one backslash"),
                        );
                        text.push('\\');
                    }
                },
                '\'' if quote == '\'' => {
                    text.push('\'');
                    at += 1;
                }
                c => text.push(c),
            }
        }
        text
    }

    /// An unquoted value: up to a comma, bracket, line end, or a colon before a blank.
    fn plain_word(&mut self) -> String {
        let start = self.at;
        while let Some(c) = self.peek() {
            let is_colon =
                c == ':' && self.text.chars.get(self.at + 1).is_none_or(|c| c.is_whitespace() || ",[]{}".contains(*c));
            if "\n,[]{}".contains(c) || is_colon {
                break;
            }
            self.at += 1;
        }
        let word: String = self.text.chars.get(start..self.at).unwrap_or_default().iter().collect();
        let word = word.trim_end().to_owned();
        if word.contains('"') {
            self.error(
                start,
                "there is a quote inside this unquoted value; is its opening quote or a comma missing?".into(),
            );
        }
        word
    }
}

/// Adds a member; of two with one name the last wins, and `say` is told.
pub(crate) fn add_member(members: &mut Vec<Member>, member: Member, say: impl FnOnce(crate::Position, String)) {
    if let Some(old) = members.iter().position(|other| other.key == member.key) {
        let first = members.remove(old);
        say(member.key_at, format!("`{}` was given before at {}; this later one counts", member.key, first.key_at));
    }
    members.push(member);
}

fn shown(c: char) -> String {
    if c == '`' { "a backquote".to_owned() } else { format!("`{c}`") }
}

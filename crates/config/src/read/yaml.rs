//! The indented form, and the rarer habits of the bracketed one: plain YAML, read by a YAML parser.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use crate::Position;
use crate::read::decode::{Note, Text};
use crate::read::document::{Content, Member, Node};
use crate::read::relaxed::add_member;
use crate::read::{MAX_DEPTH, MAX_VALUES, scalar};

/// Members so far, and the name that waits for its value.
type Members = (Vec<Member>, Option<(String, Position)>);

/// An unfinished list or object.
struct Open {
    at: Position,
    anchor: usize,
    items: Vec<Node>,
    /// `None` for lists.
    members: Option<Members>,
}

/// Parses blanked text as one YAML document. `None` after an error, which is the last note then.
///
/// YAML 1.2 wants brackets over several lines indented; the old reader did not. So a second try has them on one line.
pub(crate) fn parse(text: &Text, notes: &mut Vec<Note>) -> Option<Node> {
    let mut first = Vec::new();
    if let Some(root) = parse_chars(text, &text.chars, &mut first) {
        notes.extend(first);
        return Some(root);
    }
    let mut second = Vec::new();
    let root = parse_chars(text, &joined_brackets(&text.chars), &mut second);
    notes.extend(if root.is_some() { second } else { first });
    root
}

fn parse_chars(text: &Text, chars: &[char], notes: &mut Vec<Note>) -> Option<Node> {
    let source: String = chars.iter().collect();
    let mut builder = Builder { open: Vec::new(), anchors: HashMap::new(), values: 0, root: None, notes };
    // The parser counts a line too many at the end of some texts; its index is right.
    let at = |marker: &Marker| text.position(marker.index());
    for event in Parser::new_from_str(&source) {
        let result = match event {
            Ok((event, span)) => builder.event(event, at(&span.start)),
            Err(error) => Err((
                at(error.marker()),
                format!("this is neither JSON with its usual freedoms nor YAML: {}", error.info()),
            )),
        };
        if let Err((at, message)) = result {
            builder.notes.push((at, true, message));
            return None;
        }
    }
    builder.root.or_else(|| Some(Node { at: Position::START, content: Content::Object(Vec::new()) }))
}

/// The same characters with the line ends inside brackets as spaces.
fn joined_brackets(chars: &[char]) -> Vec<char> {
    let mut joined = chars.to_vec();
    let (mut depth, mut quote, mut line) = (0_usize, None, String::new());
    let mut before = '\n';
    for c in &mut joined {
        match (quote, *c) {
            (Some('"'), _) if before == '\\' => {
                before = ' ';
                continue;
            }
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if before.is_whitespace() || ":,[{".contains(before) => quote = Some(*c),
            (None, '{' | '[') if depth > 0 || begins_value(&line) => depth += 1,
            (None, '}' | ']') => depth = depth.saturating_sub(1),
            (None, '\n') if depth > 0 => *c = ' ',
            (None, _) => {}
        }
        if *c == '\n' {
            line.clear();
        } else {
            line.push(*c);
        }
        before = *c;
    }
    joined
}

/// Whether a value may begin after this beginning of a line, so that a bracket there is no part of a word.
fn begins_value(line: &str) -> bool {
    let line = line.trim_end();
    line.ends_with(':') || line.chars().all(|c| c == ' ' || c == '-')
}

struct Builder<'a> {
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    values: usize,
    root: Option<Node>,
    notes: &'a mut Vec<Note>,
}

type Refused = (Position, String);

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, at: Position) -> Result<(), Refused> {
        match event {
            Event::Scalar(word, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain
                    || tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let node = if is_text {
                    Node::text(at, word.into_owned())
                } else {
                    let value = scalar::plain(&word);
                    Node { at, content: Content::Scalar { value, spelling: Some(word.into_owned()) } }
                };
                self.finished(node, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => self.opened(Open { at, anchor, items: Vec::new(), members: None }),
            Event::MappingStart(anchor, _) => {
                self.opened(Open { at, anchor, items: Vec::new(), members: Some((Vec::new(), None)) })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let content = match open.members {
                    Some((members, _)) => Content::Object(members),
                    None => Content::List(open.items),
                };
                self.finished(Node { at: open.at, content }, open.anchor, 1)
            }
            Event::Alias(id) => match self.anchors.get(&id) {
                Some((node, size)) => {
                    let (node, size) = (Node { at, content: node.content.clone() }, *size);
                    self.finished(node, 0, size)
                }
                None => Err((at, "this `*` refers to a name that is not complete here".into())),
            },
            Event::DocumentStart(_) if self.root.is_some() => {
                Err((at, "a second document begins here with `---`; only one is allowed".into()))
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn opened(&mut self, open: Open) -> Result<(), Refused> {
        if self.open.len() >= MAX_DEPTH {
            return Err((open.at, format!("this is nested more than {MAX_DEPTH} levels deep")));
        }
        self.open.push(open);
        Ok(())
    }

    fn finished(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), Refused> {
        self.values = self.values.saturating_add(size);
        if self.values > MAX_VALUES {
            return Err((
                node.at,
                format!("there are more than {MAX_VALUES} values; this is probably not a configuration file"),
            ));
        }
        if anchor != 0 {
            let size = count(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        let Some((members, pending)) = &mut parent.members else {
            parent.items.push(node);
            return Ok(());
        };
        match pending.take() {
            None => {
                let Content::Scalar { value, spelling } = &node.content else {
                    return Err((node.at, "a list or object cannot be a name".into()));
                };
                let name = spelling.clone().or_else(|| value.as_str().map(str::to_owned)).unwrap_or_default();
                *pending = Some((name, node.at));
            }
            Some((key, key_at)) if key == "<<" => merge(members, &node, key_at)?,
            Some((key, key_at)) => {
                let notes = &mut *self.notes;
                add_member(members, Member { key, key_at, node }, |at, message| notes.push((at, false, message)));
            }
        }
        Ok(())
    }
}

/// YAML 1.1's merge key: members of another object, unless they are given here.
fn merge(members: &mut Vec<Member>, node: &Node, at: Position) -> Result<(), Refused> {
    let sources: Vec<&Node> = match &node.content {
        Content::Object(_) => vec![node],
        Content::List(items) => items.iter().collect(),
        Content::Scalar { .. } => return Err((at, "`<<` needs an object to take members from".into())),
    };
    for member in sources.into_iter().flat_map(Node::members) {
        if !members.iter().any(|other| other.key == member.key) {
            members.push(member.clone());
        }
    }
    Ok(())
}

fn count(node: &Node) -> usize {
    match &node.content {
        Content::Scalar { .. } => 1,
        Content::List(items) => items.iter().map(count).sum::<usize>() + 1,
        Content::Object(members) => members.iter().map(|member| count(&member.node)).sum::<usize>() + 1,
    }
}

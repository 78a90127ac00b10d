//! The tree a file becomes: values that know where they stand.

use std::fmt;

use serde_json::{Map, Value};

use crate::Position;

/// A value with its place in the file. `Debug` prints the place only, since the value may be a secret.
#[derive(Clone, PartialEq)]
pub struct Node {
    /// Where its first character stands.
    pub at: Position,
    /// What it is.
    pub content: Content,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value at {}", self.at)
    }
}

/// What a [`Node`] is.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// Null, a boolean, a number or a text.
    Scalar {
        /// The value.
        value: Value,
        /// How it was spelt, when it stood without quotes: `012` is the number 10, but may have been meant as text.
        spelling: Option<String>,
    },
    /// Values in order.
    List(Vec<Node>),
    /// Named values in the file's order; no name occurs twice.
    Object(Vec<Member>),
}

/// One named value of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The name.
    pub key: String,
    /// Where the name stands.
    pub key_at: Position,
    /// The value.
    pub node: Node,
}

impl Node {
    pub(crate) fn text(at: Position, text: String) -> Node {
        Node { at, content: Content::Scalar { value: Value::String(text), spelling: None } }
    }

    pub(crate) fn null(at: Position) -> Node {
        Node { at, content: Content::Scalar { value: Value::Null, spelling: Some(String::new()) } }
    }

    /// The plain JSON value, without positions.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar { value, .. } => value.clone(),
            Content::List(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Content::Object(members) => Value::Object(
                members.iter().map(|member| (member.key.clone(), member.node.to_value())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// The members of an object; nothing for anything else.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        match &self.content {
            Content::Object(members) => members,
            _ => &[],
        }
    }

    /// The member of that name.
    #[must_use]
    pub fn member(&self, key: &str) -> Option<&Member> {
        self.members().iter().find(|member| member.key == key)
    }

    /// Whether it is null, spelt or implied.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { value: Value::Null, .. })
    }

    fn find(&self, path: &str) -> Option<Found<'_>> {
        match &self.content {
            Content::Scalar { .. } => None,
            Content::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let node = items.get(index.parse::<usize>().ok()?)?;
                descend(Found { at: node.at, node }, rest)
            }
            // Names may contain dots (`controller.Gen3TWCs`), so each member whose name begins the path is tried.
            Content::Object(members) => members.iter().find_map(|member| {
                let rest = path.strip_prefix(member.key.as_str())?;
                descend(Found { at: member.key_at, node: &member.node }, rest)
            }),
        }
    }
}

/// What a path leads to: the value, and where its name (or, in a list, the value itself) stands.
struct Found<'a> {
    at: Position,
    node: &'a Node,
}

fn descend<'a>(found: Found<'a>, rest: &str) -> Option<Found<'a>> {
    if rest.is_empty() {
        return Some(found);
    }
    found.node.find(if rest.starts_with('[') { rest } else { rest.strip_prefix('.')? })
}

/// A file that was read: the tree, the plain JSON value, and where each key stands. `Debug` prints it masked.
#[derive(Clone, PartialEq)]
pub struct Document {
    file: String,
    root: Node,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, crate::masked(&self.to_value()))
    }
}

impl Document {
    pub(crate) fn new(file: &str, root: Node) -> Document {
        Document { file: file.to_owned(), root }
    }

    /// The file as it was named when reading it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The tree with positions.
    #[must_use]
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The whole as a plain JSON value, in the file's order.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.root.to_value()
    }

    /// The value at a key path such as `sources.Fronius.serverIP`, or `interface.RS485[1].port` inside a list.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.root.find(path).map(|found| found.node)
    }

    /// Where the key of a path stands; see [`Document::get`] for the form of paths.
    #[must_use]
    pub fn position(&self, path: &str) -> Option<Position> {
        self.root.find(path).map(|found| found.at)
    }

    /// Like [`Document::position`], but falls back to the nearest enclosing key, and to the start of the file.
    #[must_use]
    pub fn nearest_position(&self, path: &str) -> Position {
        let mut path = path;
        loop {
            if let Some(at) = self.position(path) {
                return at;
            }
            match path.rfind(['.', '[']) {
                Some(cut) => path = path.get(..cut).unwrap_or_default(),
                None => return self.root.at,
            }
        }
    }
}

//! A document against the table of keys: findings, and the same tree in the one form that our own code reads.

use serde_json::{Map, Value};

use crate::convert::{Converted, convert, found};
use crate::keys::{Key, KeySet, Preset, Section, Shape, Standing};
use crate::{Content, Diagnostic, Document, Node, Position};

/// Checks every key. The tree that comes back has known values in their usual form and defaults filled in; unknown ones stay.
pub(crate) fn check(document: &Document, keys: &KeySet) -> (Value, Vec<Diagnostic>) {
    let mut checker = Checker { keys, file: document.file(), found: Vec::new() };
    let root = document.root();
    let value = checker.object(&Place { path: Vec::new(), shown: String::new(), at: root.at }, Some(root), true);
    (value, checker.found)
}

/// Where the checker is.
struct Place<'a> {
    /// Names from the top, without list positions.
    path: Vec<&'a str>,
    /// The path for messages, with list positions.
    shown: String,
    at: Position,
}

impl<'a> Place<'a> {
    fn below(&self, name: &'a str, at: Position) -> Place<'a> {
        let mut path = self.path.clone();
        path.push(name);
        let shown = if self.shown.is_empty() { name.to_owned() } else { format!("{}.{name}", self.shown) };
        Place { path, shown, at }
    }

    fn entry(&self, index: usize, at: Position) -> Place<'a> {
        Place { path: self.path.clone(), shown: format!("{}[{index}]", self.shown), at }
    }
}

struct Checker<'a> {
    keys: &'a KeySet,
    file: &'a str,
    found: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn say(&mut self, is_error: bool, at: Position, key: &str, message: String) {
        let make = if is_error { Diagnostic::error } else { Diagnostic::warning };
        self.found.push(make(self.file, at, key, message));
    }

    /// A section in whichever shape it may have. `in_use` is false below a section that is switched off.
    fn section(&mut self, place: &Place<'_>, node: Option<&Node>, in_use: bool) -> Value {
        let shape = self.keys.section(&place.path).map_or(Shape::One, |section| section.shape);
        let node = node.filter(|node| !node.is_null());
        match (node.map(|node| &node.content), shape) {
            (None, Shape::Many) => Value::Array(Vec::new()),
            (Some(Content::Object(_)), Shape::Many) => Value::Array(vec![self.object(place, node, in_use)]),
            (None | Some(Content::Object(_)), _) => self.object(place, node, in_use),
            (Some(Content::List(items)), Shape::OneOrMany | Shape::Many) => Value::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.entry(&place.entry(index, item.at), item, in_use))
                    .collect(),
            ),
            (Some(_), _) => {
                self.wrong_section(place, node, in_use);
                self.object(place, None, in_use)
            }
        }
    }

    fn entry(&mut self, place: &Place<'_>, item: &Node, in_use: bool) -> Value {
        if !matches!(item.content, Content::Object(_)) {
            self.wrong_section(place, Some(item), in_use);
        }
        self.object(place, Some(item), in_use)
    }

    fn wrong_section(&mut self, place: &Place<'_>, node: Option<&Node>, in_use: bool) {
        let what = node.map_or_else(String::new, found);
        self.say(
            in_use,
            place.at,
            &place.shown,
            format!("found {what}, but an object such as `{{ \"enabled\": true }}` is expected here"),
        );
    }

    fn object(&mut self, place: &Place<'_>, node: Option<&Node>, in_use: bool) -> Value {
        let keys = self.keys;
        let section = keys.section(&place.path);
        let known: &[Key] = section.map_or(&[], |section| &section.keys);
        let children = keys.children(&place.path);
        let in_use = in_use && is_enabled(known, node);
        let mut values = Map::new();
        for member in node.map(Node::members).unwrap_or_default() {
            let name = member.key.as_str();
            let below = place.below(name, member.key_at);
            if let Some(key) = known.iter().find(|key| key.name == name) {
                if let Some(value) = self.value(&below, key, &member.node, in_use) {
                    values.insert(name.to_owned(), value);
                }
            } else if children.contains(&name) {
                let value = self.section(&below, Some(&member.node), in_use);
                values.insert(name.to_owned(), value);
            } else {
                if !section.is_some_and(|section| section.is_open) {
                    self.unknown(&below, known, &children);
                }
                values.insert(name.to_owned(), member.node.to_value());
            }
        }
        self.absent(place, section, &children, &mut values, in_use);
        Value::Object(values)
    }

    fn value(&mut self, place: &Place<'_>, key: &Key, node: &Node, in_use: bool) -> Option<Value> {
        match convert(key, node) {
            Converted::Absent => None,
            Converted::Value(value, remark) => {
                if let Some(remark) = remark {
                    self.say(false, place.at, &place.shown, remark);
                }
                let does_nothing = preset_value(key).as_ref() == Some(&value) || value == Value::Bool(false);
                match key.standing {
                    Standing::Legacy(instead) if !does_nothing => self.say(
                        false,
                        place.at,
                        &place.shown,
                        format!("this is an old key that still works; {instead} instead"),
                    ),
                    Standing::Ignored(why) if !does_nothing => {
                        self.say(false, place.at, &place.shown, format!("this key has no effect: {why}; remove it"))
                    }
                    _ => {}
                }
                Some(value)
            }
            Converted::Wrong(message) => {
                let message =
                    if in_use { message } else { format!("{message}; ignored, since this section is switched off") };
                self.say(in_use, place.at, &place.shown, message);
                None
            }
        }
    }

    /// Defaults for what is not given, in this section and in those below it.
    fn absent(
        &mut self,
        place: &Place<'_>,
        section: Option<&Section>,
        children: &[&str],
        values: &mut Map<String, Value>,
        in_use: bool,
    ) {
        if let Some(section) = section {
            for key in section
                .keys
                .iter()
                .filter(|key| !values.contains_key(key.name) || values.get(key.name).is_some_and(Value::is_null))
                .collect::<Vec<_>>()
            {
                // A wrong value was reported already; the requirement is about keys that are not there.
                let was_reported = self.found.iter().any(|other| other.key == place.below(key.name, place.at).shown);
                if key.standing == Standing::Required && in_use && !was_reported {
                    let shown = place.below(key.name, place.at).shown;
                    self.say(
                        true,
                        place.at,
                        &shown,
                        format!(
                            "this key is missing; write `\"{}\": ` and {}. {}",
                            key.name,
                            crate::convert::allowed(key),
                            key.meaning
                        ),
                    );
                }
                if let Some(value) = preset_value(key).filter(|_| section.has_defaults) {
                    values.insert(key.name.to_owned(), value);
                }
            }
        }
        for &name in children {
            let below = place.below(name, place.at);
            let is_wanted = self.keys.section(&below.path).is_none_or(|section| section.has_defaults);
            if !values.contains_key(name) && is_wanted {
                let value = self.section(&below, None, in_use);
                values.insert(name.to_owned(), value);
            }
        }
    }

    fn unknown(&mut self, place: &Place<'_>, known: &[Key], children: &[&str]) {
        let name = place.path.last().copied().unwrap_or_default();
        let names = known.iter().map(|key| key.name).chain(children.iter().copied());
        let message =
            if let Some(near) = nearest(name, names) {
                format!("there is no key of this name here; did you mean `{near}`?")
            } else if let Some(home) = self.keys.sections().iter().find(|section| {
                section.keys.iter().any(|key| key.name != "enabled" && key.name.eq_ignore_ascii_case(name))
            }) {
                format!("there is no key of this name here; did you mean to put it in `{}`?", home.title())
            } else {
                "there is no key of this name here; it is ignored".to_owned()
            };
        self.say(false, place.at, &place.shown, message);
    }
}

fn is_enabled(known: &[Key], node: Option<&Node>) -> bool {
    let Some(key) = known.iter().find(|key| key.name == "enabled") else { return true };
    let given = node.and_then(|node| node.member(key.name)).map(|member| convert(key, &member.node));
    match given {
        Some(Converted::Value(value, _)) => value == Value::Bool(true),
        Some(Converted::Wrong(_)) => true,
        _ => key.preset == Preset::Flag(true),
    }
}

/// The default as JSON; whole numbers as integers.
pub(crate) fn preset_value(key: &Key) -> Option<Value> {
    match key.preset {
        Preset::Absent => None,
        Preset::Flag(flag) => Some(Value::Bool(flag)),
        Preset::Text(text) => Some(Value::from(text)),
        Preset::Number(number) if number.fract() == 0.0 => format!("{number:.0}").parse::<i64>().ok().map(Value::from),
        Preset::Number(number) => Some(Value::from(number)),
    }
}

/// The known name most like `name`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).clamp(1, 4);
    known
        .map(|other| (distance(&name.to_lowercase(), &other.to_lowercase()), other))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

/// Number of single-character changes between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, pair) in b.iter().zip(row.windows(2)) {
            let [diagonal, above] = pair else { continue };
            left = (above + 1).min(left + 1).min(diagonal + usize::from(x != *y));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let known = ["minAmpsPerTWC", "wiringMaxAmpsPerTWC", "enabled"];
        assert_eq!(nearest("minAmpPerTWC", known.into_iter()), Some("minAmpsPerTWC"));
        assert_eq!(nearest("Enable", known.into_iter()), Some("enabled"));
        assert_eq!(nearest("port", known.into_iter()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}

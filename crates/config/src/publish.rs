//! The table of keys as a JSON Schema for editors and as a page for readers.

use serde_json::{Map, Value, json};

use crate::check::preset_value;
use crate::convert::allowed;
use crate::keys::{Key, KeySet, Kind, Preset, Section, Shape, Standing};

/// The JSON Schema (draft 2020-12) of config.json.
///
/// It describes the usual spelling of each value and the texts that stand for numbers and booleans; the reader takes more.
#[must_use]
pub fn schema(keys: &KeySet) -> Value {
    let mut shared = Map::new();
    let words = json!([0, 1, "true", "false", "yes", "no", "on", "off"]);
    shared.insert("flag".into(), json!({ "anyOf": [{ "type": "boolean" }, { "enum": words }] }));
    let mut root = object_schema(keys, &[], &mut shared);
    if let Some(members) = root.as_object_mut() {
        members.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        members.insert("title".into(), json!("config.json of twcmanager"));
        members.insert("$defs".into(), Value::Object(shared));
    }
    root
}

/// Sections that may be an object or a list of them are put into `shared`, so that they stand there once.
fn object_schema(keys: &KeySet, path: &[&str], shared: &mut Map<String, Value>) -> Value {
    let section = keys.section(path);
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in section.map_or(&[] as &[Key], |section| &section.keys) {
        properties.insert(key.name.to_owned(), key_schema(key));
        if key.standing == Standing::Required {
            required.push(key.name);
        }
    }
    for name in keys.children(path) {
        let mut below = path.to_vec();
        below.push(name);
        let object = object_schema(keys, &below, shared);
        let shaped = match keys.section(&below).map_or(Shape::One, |section| section.shape) {
            Shape::One => object,
            Shape::OneOrMany => {
                let title = below.join(".");
                let reference = json!({ "$ref": format!("#/$defs/{title}") });
                shared.insert(title, object);
                json!({ "anyOf": [reference, { "type": "array", "items": reference }] })
            }
            Shape::Many => json!({ "type": "array", "items": object }),
        };
        properties.insert(name.to_owned(), shaped);
    }
    let mut schema = json!({ "type": "object", "properties": properties });
    if let Some(members) = schema.as_object_mut() {
        if let Some(section) = section {
            members.insert("description".into(), json!(sentence(section.meaning)));
        }
        if !required.is_empty() {
            members.insert("required".into(), json!(required));
        }
    }
    schema
}

fn key_schema(key: &Key) -> Value {
    let mut schema = match key.kind {
        Kind::Flag => json!({ "$ref": "#/$defs/flag" }),
        Kind::Integer => {
            json!({ "anyOf": [bounded("integer", key), { "type": "string", "pattern": "^\\s*-?[0-9]+\\s*$" }] })
        }
        Kind::Number => {
            json!({ "anyOf": [bounded("number", key), { "type": "string", "pattern": "^\\s*-?[0-9]+(\\.[0-9]+)?\\s*$" }] })
        }
        Kind::Text | Kind::Secret => json!({ "type": ["string", "number"] }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Clock => json!({ "type": "string", "pattern": "^[0-9]{1,2}:[0-9]{2}$" }),
        Kind::Texts => json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] }),
        Kind::Numbers => json!({ "type": "array", "items": { "type": "number" } }),
        Kind::TextOrFlag => json!({ "type": ["string", "boolean"] }),
        Kind::List => json!({ "type": "array" }),
        Kind::Object => json!({ "type": "object" }),
        Kind::Any => json!({}),
    };
    if let Some(members) = schema.as_object_mut() {
        let unit = if key.unit.is_empty() { String::new() } else { format!(" Unit: {}.", key.unit) };
        members.insert("description".into(), json!(format!("{}{unit}", described(key))));
        if let Some(default) = preset_value(key) {
            members.insert("default".into(), default);
        }
        if matches!(key.standing, Standing::Legacy(_) | Standing::Ignored(_)) {
            members.insert("deprecated".into(), json!(true));
        }
    }
    schema
}

fn bounded(kind: &str, key: &Key) -> Value {
    match key.range {
        Some((low, high)) => json!({ "type": kind, "minimum": low, "maximum": high }),
        None => json!({ "type": kind }),
    }
}

/// Meaning and standing as sentences.
fn described(key: &Key) -> String {
    match key.standing {
        Standing::Current | Standing::Required => sentence(key.meaning),
        Standing::Legacy(instead) => format!("{} Old key that still works: {instead} instead.", sentence(key.meaning)),
        Standing::Ignored(why) => format!("No effect: {why}."),
    }
}

/// What drivers say of themselves and their keys begins small and has no stop at its end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let stop = if text.is_empty() || text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from the keys in crates/config/src/keys and of every driver; UPDATE_DOCS=1 cargo test -p twcmanager writes it anew. -->

The program reads one file, and never writes it: the one named on the command line, else `/etc/twcmanager/config.json`, else
`config.json` in the current folder. A file of any release of TWCManager from 1.2.1 on works as it is.

The form is JSON, with freedoms: comments (`//`, `#` and `/* */`, outside quotes), a comma too many or one missing at the end of a
line, single quotes or none, `yes`/`no`/`on`/`off` for `true`/`false`, numbers in quotes. Plain YAML works as well. Of two equal
names in one section the last counts.

What the program makes of a file, it says with line and column: an error stops it, a warning does not. Unknown keys are warned
about and ignored. In sections with `\"enabled\": false` mistakes are only warnings.

Passwords, keys and tokens are never shown or logged. Keep the file readable by the program's user only (`chmod 600`).

Every section `sources.…` may also be a list of objects, for several devices of one kind; so may `interface.RS485`, for several
buses. Values of all sources that are switched on are added up.
";

/// `docs/configuration.md`: every key with type, unit, default and meaning.
#[must_use]
pub fn reference(keys: &KeySet) -> String {
    let mut page = String::from(INTRODUCTION);
    for section in keys.sections() {
        section_reference(&mut page, section);
    }
    page
}

fn section_reference(page: &mut String, section: &Section) {
    page.push_str(&format!("\n## `{}`\n\n{}\n\n", section.title(), sentence(section.meaning)));
    page.push_str("| Key | Takes | Default | Meaning |\n|---|---|---|---|\n");
    for key in section.keys.iter() {
        let default = match (key.standing, key.preset) {
            (Standing::Required, _) => "has to be given".to_owned(),
            (_, Preset::Absent) => String::new(),
            _ => preset_value(key).map_or_else(String::new, |value| format!("`{value}`")),
        };
        let takes = allowed(key).replace('|', "\\|");
        page.push_str(&format!("| `{}` | {takes} | {default} | {} |\n", key.name, described(key)));
    }
}

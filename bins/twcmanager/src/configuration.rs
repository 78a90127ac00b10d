//! The configuration, with the sources that it switches on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Config, Diagnostic, KeySet, Loaded, Position};
use ems::{Problem, ProblemLevel, Section, Shared};
use ems_host::{SourceEntry, SourceSpec, open_sources};
use serde_json::{Map, Value};

use crate::controllers::ControllerDriver;
use crate::drivers::Drivers;

/// A configuration as far as it can be used, and all that is to be said of it.
pub struct Configuration {
    /// The values; `None` when the file cannot be used at all.
    pub config: Option<Config>,
    /// The file with all secrets masked, as `/api/getConfig` shows it.
    pub masked: Value,
    /// To look at the file again later.
    pub reread: Reread,
    /// The section `policy` as it stands; its webhooks may hold secrets.
    pub policy: Option<Value>,
    /// Names of the enabled sources that are configured to tell a consumption.
    pub consumption_sources: Vec<String>,
    /// The enabled sources, unusable ones included.
    pub sources: Vec<SourceSpec>,
    /// The sections of enabled controllers that are compiled in, by their driver.
    pub controllers: Vec<(ControllerDriver, Section)>,
    /// What has to be mended.
    pub errors: Vec<Diagnostic>,
    /// What is worth a look.
    pub warnings: Vec<Diagnostic>,
}

impl Configuration {
    /// Reads the file that was named, or else the first that exists where it is looked for.
    pub fn read(named: Option<&Path>, drivers: &Drivers, shared: &Arc<Shared>) -> Configuration {
        let path = config::find(named);
        let keys = key_set(drivers);
        let Loaded { config, mut errors, mut warnings, document } = config::load(&path, &keys);
        let enabled = config.iter().flat_map(|config| &config.sources).filter(|source| source.is_enabled);
        let entries = enabled.map(|source| SourceEntry {
            driver: source.driver.clone(),
            path: source.path.clone(),
            options: source.options.clone().into_map(),
        });
        let (sources, problems) = open_sources(entries, &drivers.ems, shared);
        let tree = document.to_value();
        let mut controllers = Vec::new();
        for driver in &drivers.controllers {
            let values = tree.get(driver.section).and_then(Value::as_object).cloned();
            let mut section = Section::new(driver.section, values.unwrap_or_default());
            if section.flag("enabled", false) {
                controllers.push((*driver, section));
            }
        }
        for Problem { level, key, message } in problems {
            // A key that is missing stands nowhere; the section it is missing from does.
            let section = key.rsplit_once('.').map_or("", |(section, _)| section);
            let position = document.position(&key).or_else(|| document.position(section)).unwrap_or(Position::START);
            match level {
                ProblemLevel::Error => errors.push(Diagnostic::error(document.file(), position, &key, message)),
                ProblemLevel::Warning => warnings.push(Diagnostic::warning(document.file(), position, &key, message)),
            }
        }
        let masked = config::masked(&tree);
        let policy = tree.get("policy").cloned();
        let consumption_sources =
            sources.iter().filter(|source| tells_consumption(source)).map(|source| source.name.clone()).collect();
        let reread = Reread { path, keys, tree };
        Configuration { config, masked, reread, policy, consumption_sources, sources, controllers, errors, warnings }
    }
}

/// Keys by which sources of single values are told where the consumption is.
const CONSUMPTION_KEYS: [&str; 7] = [
    "consumptionItem",
    "topicConsumption",
    "hassEntityConsumption",
    "outputConsumption",
    "consumptionFeed",
    "showConsumption",
    "uuidTotalGridW",
];

fn tells_consumption(source: &SourceSpec) -> bool {
    CONSUMPTION_KEYS.iter().any(|key| source.has_value(key))
}

/// What a running program takes over when it is asked to look at the file again.
const RELOADABLE: [&str; 2] = ["control.HTTP.hostNames", "control.HTTP.readNeedsPassword"];

/// Looks at the file again while the program runs.
pub struct Reread {
    path: PathBuf,
    keys: KeySet,
    tree: Value,
}

impl Reread {
    /// The file as it is now, and the keys that changed since the start and are not taken over without a restart.
    ///
    /// # Errors
    /// What has to be mended before it can be used.
    pub fn again(&self) -> Result<(Config, Vec<String>), Vec<Diagnostic>> {
        let Loaded { config, errors, document, .. } = config::load(&self.path, &self.keys);
        let config = config.ok_or(errors)?;
        let mut changed = Vec::new();
        differences(&self.tree, &document.to_value(), "", &mut changed);
        changed.retain(|key| !RELOADABLE.iter().any(|known| key == known || key.starts_with(&format!("{known}."))));
        Ok((config, changed))
    }
}

/// The keys at which two trees differ.
fn differences(old: &Value, new: &Value, path: &str, found: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            let added = after.keys().filter(|key| !before.contains_key(*key));
            for key in before.keys().chain(added) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let of = |tree: &Map<String, Value>| tree.get(key).cloned().unwrap_or(Value::Null);
                differences(&of(before), &of(after), &path, found);
            }
        }
        // A section that came or went: its keys are named.
        (Value::Object(_), Value::Null) => differences(old, &Value::Object(Map::new()), path, found),
        (Value::Null, Value::Object(_)) => differences(&Value::Object(Map::new()), new, path, found),
        (old, new) if old != new => found.push(path.to_owned()),
        _ => {}
    }
}

/// All keys that are known: the program's own and those of every driver.
fn key_set(drivers: &Drivers) -> KeySet {
    let keys_of = |specs: &[ems::KeySpec]| specs.iter().map(key_of).collect::<Vec<_>>();
    let mut keys = KeySet::builtin();
    for driver in &drivers.ems {
        keys = keys.with(config::Section::source(driver.name, with_enabled(keys_of(driver.keys)), driver.summary));
    }
    for driver in &drivers.controllers {
        keys =
            keys.with(config::Section::controller(driver.section, with_enabled(keys_of(driver.keys)), driver.summary));
    }
    keys
}

fn with_enabled(mut keys: Vec<config::Key>) -> Vec<config::Key> {
    keys.insert(0, config::Key::new("enabled", config::Kind::Flag, "Whether this section is used.").flag(false));
    keys
}

fn key_of(spec: &ems::KeySpec) -> config::Key {
    use ems::KeyKind;
    let kind = match spec.kind {
        KeyKind::Text => config::Kind::Text,
        KeyKind::Secret => config::Kind::Secret,
        KeyKind::Number => config::Kind::Number,
        KeyKind::Port => config::Kind::Integer,
        KeyKind::Flag => config::Kind::Flag,
        KeyKind::Texts => config::Kind::Texts,
        KeyKind::Numbers => config::Kind::Numbers,
        KeyKind::Objects => config::Kind::Any,
    };
    config::Key::new(spec.name, kind, spec.help)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Compares with a file in `docs/`, or writes it when `UPDATE_DOCS` is set.
    fn same_as(name: &str, content: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, content).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == content, "docs/{name} is out of date; run UPDATE_DOCS=1 cargo test -p twcmanager");
    }

    #[test]
    fn the_schema_in_the_docs_has_every_key_of_every_driver() {
        let drivers = Drivers::builtin();
        let schema = config::schema(&key_set(&drivers));
        for driver in &drivers.ems {
            let section = &schema["$defs"][format!("sources.{}", driver.name)]["properties"];
            for name in driver.keys.iter().map(|key| key.name).chain(["enabled"]) {
                assert!(section[name].is_object(), "sources.{}.{name} is missing", driver.name);
            }
        }
        same_as("config.schema.json", &format!("{schema:#}\n"));
    }

    #[test]
    fn the_reference_in_the_docs_has_every_key_of_every_driver() {
        let drivers = Drivers::builtin();
        let page = config::reference(&key_set(&drivers));
        for driver in &drivers.ems {
            let (_, section) = page.split_once(&format!("## `sources.{}`\n", driver.name)).unwrap();
            let section = section.split("\n## ").next().unwrap();
            for key in driver.keys {
                assert!(section.contains(&format!("| `{}` |", key.name)), "sources.{}.{}", driver.name, key.name);
            }
        }
        same_as("configuration.md", &page);
    }

    #[test]
    fn what_changed_is_named_by_its_keys_without_values() {
        let old =
            json!({"config": {"a": 1, "b": [1]}, "control": {"HTTP": {"listenPort": 1}}, "gone": {"x": "secret"}});
        let new =
            json!({"config": {"a": 1, "b": [2]}, "control": {"HTTP": {"listenPort": 1, "hostNames": "x"}}, "new": 5});
        let mut found = Vec::new();
        differences(&old, &new, "", &mut found);
        assert_eq!(found, ["config.b", "control.HTTP.hostNames", "gone.x", "new"]);
    }
}

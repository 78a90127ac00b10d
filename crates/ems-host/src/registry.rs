//! From the `sources` of the configuration to drivers that can be started.

use std::sync::Arc;

use ems::{Ems, EmsDriver, Problem, ProblemLevel, Section, Shared};
use serde_json::{Map, Value};

/// One enabled source, checked and ready to be opened as often as needed (again after a panic, say).
#[derive(Clone)]
pub struct SourceSpec {
    /// Its name: the driver's, with a number from the second of a kind on (`Fronius 2`).
    pub name: String,
    /// Whether the configuration can be used.
    pub is_usable: bool,
    section: Section,
    driver: EmsDriver,
    shared: Arc<Shared>,
}

impl SourceSpec {
    /// A fresh driver. `None` when the configuration leaves nothing to start.
    #[must_use]
    pub fn open(&self) -> Option<Box<dyn Ems>> {
        (self.driver.open)(&mut self.section.clone(), &self.shared)
    }

    /// Whether its section gives `key` a value other than an empty text or `false`.
    #[must_use]
    pub fn has_value(&self, key: &str) -> bool {
        self.section.raw(key).is_some_and(|value| *value != Value::Bool(false) && value.as_str() != Some(""))
    }

    /// Name of the driver: that of its section under `sources`.
    #[must_use]
    pub fn driver_name(&self) -> &'static str {
        self.driver.name
    }
}

/// One entry of `sources` in the configuration.
#[derive(Debug, Clone)]
pub struct SourceEntry {
    /// Name of its driver.
    pub driver: String,
    /// Its path for messages, such as `sources.Fronius[1]`.
    pub path: String,
    /// Its options.
    pub options: Map<String, Value>,
}

/// Finds the driver of every entry, and notes what is wrong with any of them. Give it the enabled entries only.
///
/// One that is unusable is given back too, so that it can be shown as such.
#[must_use]
pub fn open_sources(
    entries: impl IntoIterator<Item = SourceEntry>,
    drivers: &[EmsDriver],
    shared: &Arc<Shared>,
) -> (Vec<SourceSpec>, Vec<Problem>) {
    let mut specs: Vec<SourceSpec> = Vec::new();
    let mut problems = Vec::new();
    for entry in entries {
        let Some(driver) = drivers.iter().find(|driver| driver.name == entry.driver) else {
            problems.push(Problem {
                level: ProblemLevel::Warning,
                key: entry.path,
                message: format!("no driver has this name{}; it is left out", nearest(&entry.driver, drivers)),
            });
            continue;
        };
        let count = 1 + specs.iter().filter(|spec| spec.driver.name == driver.name).count();
        let section = Section::new(entry.path, entry.options);
        let mut opened = section.clone();
        let is_usable = (driver.open)(&mut opened, shared).is_some();
        if !is_usable && !opened.has_errors() {
            opened.error("enabled", "the source cannot be started with these values");
        }
        problems.extend_from_slice(opened.problems());
        specs.push(SourceSpec {
            name: if count == 1 { entry.driver } else { format!("{} {count}", entry.driver) },
            is_usable,
            section,
            driver: *driver,
            shared: Arc::clone(shared),
        });
    }
    (specs, problems)
}

fn nearest(name: &str, drivers: &[EmsDriver]) -> String {
    drivers
        .iter()
        .find(|driver| driver.name.eq_ignore_ascii_case(name))
        .map(|driver| format!(" (`{}` has)", driver.name))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ems::{EmsError, EmsReading, Stop};

    struct Silent;
    impl Ems for Silent {
        fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
            Err(EmsError::retry("silent"))
        }
    }

    const TEST: EmsDriver = EmsDriver {
        name: "Test",
        summary: "for tests",
        keys: &[],
        open: |section, _| {
            section.required_text("serverIP");
            (!section.has_errors()).then(|| Box::new(Silent) as Box<dyn Ems>)
        },
    };

    fn open(entries: &[(&str, &str, &str)]) -> (Vec<SourceSpec>, Vec<Problem>) {
        let entries = entries.iter().map(|(driver, path, json)| SourceEntry {
            driver: (*driver).to_owned(),
            path: (*path).to_owned(),
            options: serde_json::from_str(json).unwrap(),
        });
        open_sources(entries, &[TEST], &Arc::new(Shared::new()))
    }

    #[test]
    fn several_sources_of_a_kind_have_names_of_their_own() {
        let (specs, problems) = open(&[
            ("Test", "sources.Test[0]", r#"{"serverIP": "a"}"#),
            ("Test", "sources.Test[2]", r#"{"serverIP": "b"}"#),
        ]);
        assert_eq!(specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), ["Test", "Test 2"]);
        assert_eq!(problems, []);
    }

    #[test]
    fn mistakes_name_the_whole_key() {
        let (specs, problems) = open(&[("Test", "sources.Test", "{}"), ("test", "sources.test", "{}")]);
        assert!(!specs[0].is_usable);
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["sources.Test.serverIP", "sources.test"]);
    }
}

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

    /// Name of the driver: that of its section under `sources`.
    #[must_use]
    pub fn driver_name(&self) -> &'static str {
        self.driver.name
    }
}

/// Finds the driver of every enabled section of `sources`, and notes what is wrong with any of them.
///
/// A section may be one object or a list of them. One that is not enabled is not looked into. One that is unusable is
/// given back too, so that it can be shown as such.
#[must_use]
pub fn open_sources(
    sources: &Map<String, Value>,
    drivers: &[EmsDriver],
    shared: &Arc<Shared>,
) -> (Vec<SourceSpec>, Vec<Problem>) {
    let mut specs = Vec::new();
    let mut problems = Vec::new();
    for (name, value) in sources {
        let Some(driver) = drivers.iter().find(|driver| driver.name == name) else {
            if sections_of("sources", name, value).iter_mut().any(|section| section.flag("enabled", false)) {
                problems.push(Problem {
                    level: ProblemLevel::Warning,
                    key: format!("sources.{name}"),
                    message: format!("no driver has this name{}; it is left out", nearest(name, drivers)),
                });
            }
            continue;
        };
        let mut count = 0;
        for mut section in sections_of("sources", name, value) {
            if !section.flag("enabled", false) {
                continue;
            }
            count += 1;
            warn_unknown_keys(&mut section, driver);
            let mut opened = section.clone();
            let is_usable = (driver.open)(&mut opened, shared).is_some();
            if !is_usable && !opened.has_errors() {
                opened.error("enabled", "the source cannot be started with these values");
            }
            problems.extend_from_slice(opened.problems());
            specs.push(SourceSpec {
                name: if count == 1 { name.clone() } else { format!("{name} {count}") },
                is_usable,
                section,
                driver: *driver,
                shared: Arc::clone(shared),
            });
        }
    }
    (specs, problems)
}

fn sections_of(parent: &str, name: &str, value: &Value) -> Vec<Section> {
    let mut holder = Section::new(parent, Map::from_iter([(name.to_owned(), value.clone())]));
    holder.sections(name)
}

fn warn_unknown_keys(section: &mut Section, driver: &EmsDriver) {
    let unknown: Vec<String> = section
        .keys()
        .filter(|key| *key != "enabled" && !driver.keys.iter().any(|spec| spec.name == *key))
        .map(str::to_owned)
        .collect();
    for key in unknown {
        let known: Vec<&str> = driver.keys.iter().map(|spec| spec.name).collect();
        section.warn(&key, format!("is not known to {}; it knows {}", driver.name, known.join(", ")));
    }
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
    use ems::{EmsError, EmsReading, KeyKind, KeySpec, Stop};

    struct Silent;
    impl Ems for Silent {
        fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
            Err(EmsError::retry("silent"))
        }
    }

    const TEST: EmsDriver = EmsDriver {
        name: "Test",
        summary: "for tests",
        keys: &[KeySpec::new("serverIP", KeyKind::Text, "address")],
        open: |section, _| {
            section.required_text("serverIP");
            (!section.has_errors()).then(|| Box::new(Silent) as Box<dyn Ems>)
        },
    };

    fn open(json: &str) -> (Vec<SourceSpec>, Vec<Problem>) {
        open_sources(&serde_json::from_str(json).unwrap(), &[TEST], &Arc::new(Shared::new()))
    }

    #[test]
    fn a_list_makes_several_sources_with_names_of_their_own() {
        let (specs, problems) = open(
            r#"{"Test": [{"enabled": true, "serverIP": "a"}, {"enabled": false}, {"enabled": "yes", "serverIP": "b"}]}"#,
        );
        assert_eq!(specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), ["Test", "Test 2"]);
        assert_eq!(problems, []);
    }

    #[test]
    fn mistakes_name_the_whole_key() {
        let (specs, problems) = open(r#"{"Test": {"enabled": true, "serverIp": "a"}, "test": {"enabled": true}}"#);
        assert!(!specs[0].is_usable);
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["sources.Test.serverIp", "sources.Test.serverIP", "sources.test"]);
    }
}

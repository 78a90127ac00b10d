//! The list of policies: the built-in ones with what the configuration adds, or what it puts in their place.

use std::fmt;

use serde_json::{Map, Value as Json, json};

use crate::builtin::builtin_policies;
use crate::rule::Rule;

/// A policy that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    /// Name of the policy; empty when it has none.
    pub policy: String,
    /// Key path in `config.json`, such as `policy.extend.before[0].condition[2]`.
    pub key: String,
    /// A sentence with what to do.
    pub text: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.key)?;
        if !self.policy.is_empty() {
            write!(f, "policy \"{}\": ", self.policy)?;
        }
        f.write_str(&self.text)
    }
}

/// Something about a policy that is worth saying and does not stop the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Name of the policy.
    pub policy: String,
    /// Key path in `config.json`.
    pub key: String,
    /// A sentence.
    pub text: String,
}

/// The policies in the order in which they are judged: the first whose conditions hold is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyList {
    pub(crate) rules: Vec<Rule>,
    remarks: Vec<Remark>,
}

impl PolicyList {
    /// Builds the list from the section `policy` and the value of `config.greenEnergyLatch`.
    ///
    /// # Errors
    /// One for each policy that cannot be understood, naming it and the key to mend.
    pub fn new(section: Option<&Json>, green_latch: Option<&Json>) -> Result<Self, Vec<PolicyError>> {
        let mut errors = Vec::new();
        let mut remarks = Vec::new();
        let own = entries(section, "override", "policy.override", &mut errors);
        let rules = if own.is_empty() {
            extended(section, green_latch, &mut remarks, &mut errors)
        } else {
            if section
                .and_then(|section| section.get("extend"))
                .and_then(Json::as_object)
                .is_some_and(|extend| extend.values().any(is_filled))
            {
                remarks.push(Remark {
                    policy: String::new(),
                    key: "policy.extend".to_owned(),
                    text: "it has no effect, because `policy.override` replaces the whole list".to_owned(),
                });
            }
            read_all(own, "policy.override", &mut remarks, &mut errors)
        };
        if errors.is_empty() { Ok(PolicyList { rules, remarks }) } else { Err(errors) }
    }

    /// What is worth saying about the configuration.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// Names of all modules (`modules.NAME.ATTRIBUTE`) that conditions ask, each once.
    #[must_use]
    pub fn modules(&self) -> Vec<String> {
        let mut names = Vec::new();
        for condition in self.rules.iter().flat_map(|rule| &rule.conditions) {
            condition.modules(&mut names);
        }
        names.sort();
        names.dedup();
        names
    }

    /// The names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }
}

fn is_filled(value: &Json) -> bool {
    match value {
        Json::Array(list) => !list.is_empty(),
        Json::Object(object) => !object.is_empty(),
        _ => false,
    }
}

/// The list under a key; anything but a list is an error, absence is an empty list.
fn entries<'a>(section: Option<&'a Json>, key: &str, path: &str, errors: &mut Vec<PolicyError>) -> &'a [Json] {
    match section.and_then(|section| section.get(key)) {
        Some(Json::Array(list)) => list,
        None | Some(Json::Null) => &[],
        Some(_) => {
            errors.push(PolicyError {
                policy: String::new(),
                key: path.to_owned(),
                text: "it must be a list of policies".to_owned(),
            });
            &[]
        }
    }
}

fn read_all(list: &[Json], path: &str, remarks: &mut Vec<Remark>, errors: &mut Vec<PolicyError>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (index, json) in list.iter().enumerate() {
        match Rule::read(json, &format!("{path}[{index}]"), remarks) {
            Ok(rule) => rules.push(rule),
            Err(error) => errors.push(error),
        }
    }
    rules
}

fn extended(
    section: Option<&Json>,
    green_latch: Option<&Json>,
    remarks: &mut Vec<Remark>,
    errors: &mut Vec<PolicyError>,
) -> Vec<Rule> {
    let mut builtin = builtin_policies();
    if let (Some(latch), Some(green)) = (green_latch, builtin[2].as_object_mut()) {
        green.insert("latch_period".to_owned(), latch.clone());
    }
    let mut rules = read_all(&builtin, "policy", remarks, errors);
    let extend = section.and_then(|section| section.get("extend"));
    let objects = |key: &str| {
        extend.and_then(|extend| extend.get(key)).and_then(Json::as_object).cloned().unwrap_or_else(Map::new)
    };
    for (name, restriction) in objects("restrictions") {
        let path = format!("policy.extend.restrictions.{name}");
        match rules.iter_mut().find(|rule| rule.name == name) {
            Some(rule) => errors.extend(rule.restrict(&restriction, &path, remarks).err()),
            None => errors.push(unknown(&name, path, &rules)),
        }
    }
    for (name, hooks) in objects("webhooks") {
        let path = format!("policy.extend.webhooks.{name}");
        match rules.iter_mut().find(|rule| rule.name == name) {
            Some(rule) => errors.extend(rule.attach(&hooks, &path, remarks).err()),
            None => errors.push(unknown(&name, path, &rules)),
        }
    }
    // From the back, so that each place still means a place in the built-in list.
    for (key, place) in [("after", 3), ("before", 1), ("emergency", 0)] {
        let path = format!("policy.extend.{key}");
        let more = read_all(entries(extend, key, &path, errors), &path, remarks, errors);
        let place = place.min(rules.len());
        rules.splice(place..place, more);
    }
    rules
}

fn unknown(name: &str, key: String, rules: &[Rule]) -> PolicyError {
    let mut names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    names.dedup();
    PolicyError {
        policy: name.to_owned(),
        key,
        text: format!("there is no policy of this name to add to: use one of {}", json!(names)),
    }
}

//! Section `policy`: the user's own rules, as written. What conditions mean is for the `policy` crate.

use std::time::Duration;

use serde_json::Value;

use super::fields::Fields;
use crate::Options;

/// Section `policy`, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySection {
    /// Whether meters are read in every policy.
    pub always_poll_ems: bool,
    /// How often policies are judged; at least a second.
    pub check_interval: Duration,
    /// `override`: replaces the built-in list when not empty.
    pub replacement: Vec<PolicyRule>,
    /// `extend.emergency`: before all others.
    pub emergency: Vec<PolicyRule>,
    /// `extend.before`: after Charge Now.
    pub before: Vec<PolicyRule>,
    /// `extend.after`: before the last resort.
    pub after: Vec<PolicyRule>,
    /// `extend.restrictions`: further conditions by policy name.
    pub restrictions: Vec<(String, Terms)>,
    /// `extend.webhooks`: addresses by policy name.
    pub webhooks: Vec<(String, Webhooks)>,
}

/// Parallel lists of conditions; values as the file has them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Terms {
    /// Left sides.
    pub matches: Vec<Value>,
    /// Operators.
    pub conditions: Vec<Value>,
    /// Right sides.
    pub values: Vec<Value>,
}

/// Addresses to call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Webhooks {
    /// When the policy becomes the active one.
    pub enter: Option<String>,
    /// When a car starts to charge.
    pub start: Option<String>,
    /// When a car stops charging.
    pub stop: Option<String>,
    /// When another policy takes over.
    pub exit: Option<String>,
}

/// One policy as the file has it.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyRule {
    /// Its name.
    pub name: String,
    /// Its conditions; all have to hold.
    pub terms: Terms,
    /// `charge_amps`: a number, or a text that stands for one.
    pub charge_amps: Option<Value>,
    /// `charge_limit`: a number, or a text that stands for one.
    pub charge_limit: Option<Value>,
    /// `background_task`.
    pub background_task: Option<String>,
    /// `latch_period` in minutes: a number, or a text that stands for one.
    pub latch_period: Option<Value>,
    /// `allowed_flex` in amps: a number, or a text that stands for one.
    pub allowed_flex: Option<Value>,
    /// Its own webhooks.
    pub webhooks: Webhooks,
    /// The whole object.
    pub as_given: Options,
}

impl PolicySection {
    pub(super) fn resolve(root: &Value) -> PolicySection {
        let fields = Fields::at(root, &["policy"]);
        let extend = fields.below("extend");
        let by_name = |key: &str| extend.below(key).map().iter();
        PolicySection {
            always_poll_ems: fields.flag("alwaysPollEMS"),
            check_interval: fields.below("engine").seconds("policyCheckInterval").max(Duration::from_secs(1)),
            replacement: rules(fields.list("override")),
            emergency: rules(extend.list("emergency")),
            before: rules(extend.list("before")),
            after: rules(extend.list("after")),
            restrictions: by_name("restrictions")
                .map(|(name, value)| (name.clone(), Terms::of(Fields::of(Some(value)))))
                .collect(),
            webhooks: by_name("webhooks")
                .map(|(name, value)| (name.clone(), Webhooks::of(Fields::of(Some(value)))))
                .collect(),
        }
    }
}

fn rules(items: &[Value]) -> Vec<PolicyRule> {
    items.iter().map(|item| PolicyRule::of(Fields::of(Some(item)))).collect()
}

impl PolicyRule {
    fn of(fields: Fields<'_>) -> PolicyRule {
        let given = |key: &str| fields.get(key).filter(|value| !value.is_null()).cloned();
        PolicyRule {
            name: fields.text("name"),
            terms: Terms::of(fields),
            charge_amps: given("charge_amps"),
            charge_limit: given("charge_limit"),
            background_task: fields.opt_text("background_task"),
            latch_period: given("latch_period"),
            allowed_flex: given("allowed_flex"),
            webhooks: Webhooks::of(fields.below("webhooks")),
            as_given: fields.map().clone().into(),
        }
    }
}

impl Terms {
    fn of(fields: Fields<'_>) -> Terms {
        // A single value stands for a list of one, as in a few published examples.
        let list = |key: &str| match fields.get(key) {
            Some(Value::Array(items)) => items.clone(),
            None | Some(Value::Null) => Vec::new(),
            Some(single) => vec![single.clone()],
        };
        Terms { matches: list("match"), conditions: list("condition"), values: list("value") }
    }
}

impl Webhooks {
    fn of(fields: Fields<'_>) -> Webhooks {
        Webhooks {
            enter: fields.opt_text("enter"),
            start: fields.opt_text("start"),
            stop: fields.opt_text("stop"),
            exit: fields.opt_text("exit"),
        }
    }
}

//! Conditions: three parallel lists of the configuration, read into a tree.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::Value as Json;

use crate::fact::{Fact, Facts};
use crate::operand::Operand;
use crate::{Now, PolicyError, Remark};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    Never,
    Always,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Term {
    left: Operand,
    operator: Operator,
    right: Operand,
    text: String,
}

/// A condition with its parts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    Term(Term),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

/// A condition with the values it has at a moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionExplanation {
    /// A comparison.
    Term {
        /// As it is configured, such as `tm_hour lt settings.sunset`.
        text: String,
        /// Value of the left side.
        left: String,
        /// Value of the right side.
        right: String,
        /// Whether it holds; `None` when a side is not known or they cannot be compared, which counts as no.
        holds: Option<bool>,
    },
    /// Holds when all parts hold.
    All(Vec<ConditionExplanation>),
    /// Holds when one part holds.
    Any(Vec<ConditionExplanation>),
}

/// Where a condition is being read: the policy, its place in the file, and what is worth remarking.
pub(crate) struct Reader<'a> {
    pub(crate) policy: &'a str,
    pub(crate) remarks: &'a mut Vec<Remark>,
}

impl Reader<'_> {
    pub(crate) fn error(&self, key: impl Into<String>, text: impl Into<String>) -> PolicyError {
        PolicyError { policy: self.policy.to_owned(), key: key.into(), text: text.into() }
    }

    /// The conditions of an object with `match`, `condition` and `value`; all must hold.
    pub(crate) fn lists(
        &mut self,
        object: &serde_json::Map<String, Json>,
        path: &str,
    ) -> Result<Vec<Condition>, PolicyError> {
        let member = |name: &str| {
            object.get(name).ok_or_else(|| {
                self.error(
                    format!("{path}.{name}"),
                    format!("`{name}` is missing: a policy needs the three lists `match`, `condition` and `value`"),
                )
            })
        };
        let (left, operator, right) = (member("match")?, member("condition")?, member("value")?);
        match (left, operator, right) {
            (Json::Array(left), Json::Array(operator), Json::Array(right)) => {
                self.terms(left, operator, right, &Path { base: path, index: "" }, true)
            }
            (Json::Array(_), _, _) | (_, Json::Array(_), _) | (_, _, Json::Array(_)) => {
                Err(self.error(path, "`match`, `condition` and `value` must all three be lists of the same length"))
            }
            _ => Ok(vec![self.term(left, operator, right, &Path { base: path, index: "" })?]),
        }
    }

    fn terms(
        &mut self,
        left: &[Json],
        operator: &[Json],
        right: &[Json],
        path: &Path<'_>,
        is_all: bool,
    ) -> Result<Vec<Condition>, PolicyError> {
        if left.len() != operator.len() || operator.len() != right.len() {
            self.remarks.push(Remark {
                policy: self.policy.to_owned(),
                key: path.of("condition"),
                text: format!(
                    "`match` has {}, `condition` {} and `value` {} entries; only as many as the shortest has are used",
                    left.len(),
                    operator.len(),
                    right.len()
                ),
            });
        }
        let mut conditions = Vec::new();
        for (index, ((left, operator), right)) in left.iter().zip(operator).zip(right).enumerate() {
            let place = format!("{}[{index}]", path.index);
            let path = Path { base: path.base, index: &place };
            conditions.push(match (left, operator, right) {
                (Json::Array(left), Json::Array(operator), Json::Array(right)) => {
                    let parts = self.terms(left, operator, right, &path, !is_all)?;
                    if is_all { Condition::Any(parts) } else { Condition::All(parts) }
                }
                (Json::Array(_), _, _) | (_, Json::Array(_), _) | (_, _, Json::Array(_)) => {
                    return Err(self.error(
                        path.of("condition"),
                        "a nested group needs a list at the same place of `match`, `condition` and `value`",
                    ));
                }
                _ => self.term(left, operator, right, &path)?,
            });
        }
        Ok(conditions)
    }

    fn term(&mut self, left: &Json, operator: &Json, right: &Json, path: &Path<'_>) -> Result<Condition, PolicyError> {
        let text = format!("{} {} {}", plain(left), plain(operator), plain(right));
        let operator = match operator {
            // Unquoted in YAML these two are no texts.
            Json::Bool(false) => Operator::Never,
            Json::Null => Operator::Always,
            Json::String(word) => match word.as_str() {
                "gt" => Operator::Greater,
                "gte" => Operator::GreaterOrEqual,
                "lt" => Operator::Less,
                "lte" => Operator::LessOrEqual,
                "eq" => Operator::Equal,
                "ne" => Operator::NotEqual,
                "false" => Operator::Never,
                "none" => Operator::Always,
                _ => return Err(self.operator_error(&plain(operator), path)),
            },
            _ => return Err(self.operator_error(&plain(operator), path)),
        };
        let needs_values = !matches!(operator, Operator::Never | Operator::Always);
        let side = |name: &str, value: &Json| match Operand::parse(value) {
            Ok(operand) => Ok(operand),
            Err(_) if !needs_values => Ok(Operand::Literal(Fact::Unknown)),
            Err(text) => Err(self.error(path.of(name), text)),
        };
        let (left, right) = (side("match", left)?, side("value", right)?);
        Ok(Condition::Term(Term { left, operator, right, text }))
    }

    fn operator_error(&self, word: &str, path: &Path<'_>) -> PolicyError {
        self.error(
            path.of("condition"),
            format!("there is no operator `{word}`: use gt, gte, lt, lte, eq, ne, none (always) or false (never)"),
        )
    }
}

/// A place inside the three lists.
struct Path<'a> {
    base: &'a str,
    index: &'a str,
}

impl Path<'_> {
    fn of(&self, list: &str) -> String {
        format!("{}.{list}{}", self.base, self.index)
    }
}

fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Term {
    /// Whether it holds; `None` when that cannot be told.
    fn holds(&self, now: &Now, facts: &dyn Facts) -> Option<bool> {
        self.judge(&self.left.value(now, facts), &self.right.value(now, facts))
    }

    fn judge(&self, left: &Fact, right: &Fact) -> Option<bool> {
        match self.operator {
            Operator::Greater => left.order(right).map(Ordering::is_gt),
            Operator::GreaterOrEqual => left.order(right).map(Ordering::is_ge),
            Operator::Less => left.order(right).map(Ordering::is_lt),
            Operator::LessOrEqual => left.order(right).map(Ordering::is_le),
            Operator::Equal => left.equals(right),
            Operator::NotEqual => left.equals(right).map(|equal| !equal),
            Operator::Never => Some(false),
            Operator::Always => Some(true),
        }
    }
}

impl Condition {
    /// Whether it holds now. What cannot be told does not hold.
    pub(crate) fn holds(&self, now: &Now, facts: &dyn Facts) -> bool {
        match self {
            Condition::Term(term) => term.holds(now, facts).unwrap_or(false),
            Condition::All(parts) => parts.iter().all(|part| part.holds(now, facts)),
            Condition::Any(parts) => parts.iter().any(|part| part.holds(now, facts)),
        }
    }

    /// The same with every value shown.
    pub(crate) fn explain(&self, now: &Now, facts: &dyn Facts) -> ConditionExplanation {
        let all = |parts: &[Condition]| parts.iter().map(|part| part.explain(now, facts)).collect();
        match self {
            Condition::Term(term) => {
                let (left, right) = (term.left.value(now, facts), term.right.value(now, facts));
                ConditionExplanation::Term {
                    text: term.text.clone(),
                    holds: term.judge(&left, &right),
                    left: left.to_string(),
                    right: right.to_string(),
                }
            }
            Condition::All(parts) => ConditionExplanation::All(all(parts)),
            Condition::Any(parts) => ConditionExplanation::Any(all(parts)),
        }
    }

    /// Every module that a condition asks.
    pub(crate) fn modules(&self, into: &mut Vec<String>) {
        match self {
            Condition::Term(term) => {
                for side in [&term.left, &term.right] {
                    if let Operand::Module { name, .. } = side {
                        into.push(name.clone());
                    }
                }
            }
            Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| part.modules(into)),
        }
    }
}

impl ConditionExplanation {
    /// Whether it holds; what cannot be told does not.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self {
            ConditionExplanation::Term { holds, .. } => holds.unwrap_or(false),
            ConditionExplanation::All(parts) => parts.iter().all(ConditionExplanation::holds),
            ConditionExplanation::Any(parts) => parts.iter().any(ConditionExplanation::holds),
        }
    }

    /// Why it does not hold, as a clause; `None` when it holds.
    #[must_use]
    pub fn objection(&self) -> Option<String> {
        match self {
            ConditionExplanation::Term { text, left, right, holds } => match holds {
                Some(true) => None,
                Some(false) => Some(format!("`{text}` is not so ({left} against {right})")),
                None => Some(format!("`{text}` cannot be told ({left} against {right})")),
            },
            ConditionExplanation::All(parts) => parts.iter().find_map(ConditionExplanation::objection),
            ConditionExplanation::Any(parts) => {
                if self.holds() {
                    return None;
                }
                let objections: Vec<_> = parts.iter().filter_map(ConditionExplanation::objection).collect();
                Some(if objections.is_empty() {
                    "an empty group holds never".to_owned()
                } else {
                    objections.join(" and ")
                })
            }
        }
    }
}

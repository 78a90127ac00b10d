//! Why a policy is in force and the others are not, as data for the page and the log.

use serde::Serialize;

use crate::ConditionExplanation;

/// The whole list, judged at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The one in force.
    pub policy: Option<String>,
    /// All of them, in the order in which they are judged.
    pub policies: Vec<RuleExplanation>,
}

/// One policy, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleExplanation {
    /// Its name.
    pub name: String,
    /// Whether it is the one.
    pub is_in_force: bool,
    /// Whether all its conditions hold.
    pub holds: bool,
    /// Whether it stays in force for a while because they held.
    pub is_latched: bool,
    /// Whether it follows the surplus.
    pub is_green: bool,
    /// A sentence.
    pub why: String,
    /// What its background task comes to in this program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background_task: Option<String>,
    /// Its conditions with their values; all must hold.
    pub terms: Vec<ConditionExplanation>,
}

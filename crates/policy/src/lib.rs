//! Which charging policy holds now, and what it asks for.
//!
//! A [`PolicyList`] is read from the configuration: five built-in policies, what `policy.extend` adds to them, or what
//! `policy.override` puts in their place. An [`Engine`] judges the list at a moment: the first policy whose conditions hold
//! is in force. Everything that conditions look at comes through [`Facts`], the time through [`Now`]; nothing here asks a
//! clock.
//!
//! | file | what |
//! |---|---|
//! | `builtin` | the five policies, the names of background tasks |
//! | `list`, `rule`, `condition`, `operand` | the language: reading, with messages that name the policy and the key |
//! | `engine`, `explain` | judging: latches, holds, changes; and why |
//! | `schedule` | the weekly schedule behind `checkScheduledCharging()` |
//! | `sun` | sunrise and sunset |
//!
//! # Where this differs from TWCManager
//! * A value that is not known (`modules.X.y` of a silent source) fails its own comparison, `ne` included, instead of
//!   stopping the heartbeat.
//! * A schedule is kept to the minute at both ends; equal times mean a whole day instead of never; a flexible start never
//!   comes before the scheduled one; `schedulePerDay` makes the times of each day count.
//! * The latch and the check interval are heeded also without a section `policy`.
//! * A policy that cannot be understood (an operator, a time field or a function that does not exist, lists that do not
//!   match) is refused when the program starts, not when it is first judged.

mod builtin;
mod condition;
mod engine;
mod explain;
mod fact;
mod list;
mod now;
mod operand;
mod rule;
mod schedule;
mod sun;
#[cfg(test)]
mod tests;

pub use builtin::{CHARGE_NOW, GREEN, NON_SCHEDULED, SCHEDULED, background_task};
pub use condition::ConditionExplanation;
pub use engine::{Ask, Because, Change, Engine, Judgement};
pub use explain::{Explanation, RuleExplanation};
pub use fact::{Fact, Facts};
pub use list::{PolicyError, PolicyList, Remark};
pub use now::Now;
pub use rule::Webhooks;
pub use schedule::{Occurrence, Schedule, Window, is_truthy, setting_number};
pub use sun::{Sun, sun, sun_hours};

//! Which policy is in force, and what it asks for.

use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};
use units::Percent;

use crate::builtin::background_task;
use crate::explain::{Explanation, RuleExplanation};
use crate::fact::{Fact, Facts};
use crate::operand::Operand;
use crate::rule::{Rule, Webhooks};
use crate::{Now, PolicyList};

/// Judges the policies again and again; remembers which is in force, the latches, and what a person holds.
#[derive(Debug, Clone)]
pub struct Engine {
    list: PolicyList,
    /// For each policy: until when it stays in force once it was. With the same in seconds since 1970.
    latches: Vec<Option<(Instant, f64)>>,
    active: Option<usize>,
    held: Option<(usize, Instant)>,
}

/// What the policy in force asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Its name.
    pub name: String,
    /// A stable word: `charge_now`, `scheduled`, `green`, `non_scheduled`, `custom`.
    pub kind: &'static str,
    /// What cars may have.
    pub ask: Ask,
    /// Amps that may come from the grid so that a car reaches its least current; at least zero.
    pub flex: f64,
    /// Charge limit of the cars; `None` leaves them their own.
    pub charge_limit: Option<Percent>,
    /// Why it is in force.
    pub because: Because,
    /// Set when another policy took over just now.
    pub change: Option<Change>,
    /// Addresses to call while it is in force.
    pub webhooks: Webhooks,
}

/// What cars may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ask {
    /// What the sun leaves.
    Surplus,
    /// So many amps per phase, all charging points together.
    Amps(f64),
    /// Nothing, because the configured amps cannot be told now: a source is silent or the value is no number.
    Unknown,
}

/// Why a policy is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// Its conditions hold.
    Conditions,
    /// Its conditions held, and it stays so long.
    Latch,
    /// A person holds it.
    Held,
    /// No policy's conditions hold, and it was the last in force.
    NothingElse,
}

/// Another policy took over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The one before; `None` at the start.
    pub from: Option<String>,
    /// Webhook of the one before for its end.
    pub exit: Option<String>,
    /// Webhook of the new one for its beginning.
    pub enter: Option<String>,
}

impl Engine {
    /// An engine in which no policy is in force yet.
    #[must_use]
    pub fn new(list: PolicyList) -> Self {
        let latches = vec![None; list.rules.len()];
        Engine { list, latches, active: None, held: None }
    }

    /// The list.
    #[must_use]
    pub fn list(&self) -> &PolicyList {
        &self.list
    }

    /// Keeps a policy in force whatever its conditions say, until a moment. `false` when there is none of this name.
    pub fn hold(&mut self, name: &str, until: Instant) -> bool {
        let found = self.list.rules.iter().position(|rule| rule.name == name);
        if let Some(index) = found {
            self.held = Some((index, until));
        }
        found.is_some()
    }

    /// Ends that.
    pub fn release(&mut self) {
        self.held = None;
    }

    /// Until when a person holds a policy.
    #[must_use]
    pub fn held_until(&self) -> Option<Instant> {
        self.held.map(|(_, until)| until)
    }

    /// Judges all policies; `None` when none has ever been in force.
    pub fn judge(&mut self, now: &Now, facts: &dyn Facts) -> Option<Judgement> {
        if self.held.is_some_and(|(_, until)| until <= now.mono) {
            self.held = None;
        }
        let (index, because) = self.pick(now, facts)?;
        if because == Because::Conditions {
            self.latch(index, now, facts);
        }
        let rule = self.list.rules.get(index)?;
        let before = self.active.and_then(|active| self.list.rules.get(active));
        // The two entries that track surplus count as one.
        let change = (before.map(|before| &before.name) != Some(&rule.name)).then(|| Change {
            from: before.map(|before| before.name.clone()),
            exit: before.and_then(|before| self.webhooks_of(before).exit.clone()),
            enter: self.webhooks_of(rule).enter.clone(),
        });
        let judgement = Judgement {
            name: rule.name.clone(),
            kind: rule.kind(),
            ask: ask(rule, now, facts),
            flex: number(rule.flex.as_ref(), now, facts).unwrap_or(0.0).max(0.0),
            charge_limit: number(rule.charge_limit.as_ref(), now, facts)
                .filter(|limit| (50.0..=100.0).contains(limit))
                .and_then(|limit| Percent::new(limit).ok()),
            because,
            change,
            webhooks: self.webhooks_of(rule).clone(),
        };
        self.active = Some(index);
        Some(judgement)
    }

    /// Which policy it is and why, without changing anything.
    fn pick(&self, now: &Now, facts: &dyn Facts) -> Option<(usize, Because)> {
        if let Some((index, _)) = self.held.filter(|(_, until)| *until > now.mono) {
            return Some((index, Because::Held));
        }
        for (index, rule) in self.list.rules.iter().enumerate() {
            if rule.conditions.iter().all(|condition| condition.holds(now, facts)) {
                return Some((index, Because::Conditions));
            }
            if self.latched_until(index, now).is_some() {
                return Some((index, Because::Latch));
            }
        }
        self.active.map(|index| (index, Because::NothingElse))
    }

    /// The addresses of a policy: those of the first of its name, because configuration by name reaches only that one.
    fn webhooks_of<'a>(&'a self, rule: &'a Rule) -> &'a Webhooks {
        let first = self.list.rules.iter().find(|other| other.name == rule.name).unwrap_or(rule);
        &first.webhooks
    }

    fn latched_until(&self, index: usize, now: &Now) -> Option<Instant> {
        self.latches.get(index).copied().flatten().map(|(until, _)| until).filter(|until| *until > now.mono)
    }

    fn latch(&mut self, index: usize, now: &Now, facts: &dyn Facts) {
        let minutes = self.list.rules.get(index).and_then(|rule| number(rule.latch.as_ref(), now, facts));
        // More than a day is a slip, and a period without end would be no latch.
        let Some(seconds) = minutes.filter(|minutes| *minutes > 0.0).map(|minutes| (minutes * 60.0).min(86_400.0))
        else {
            return;
        };
        if let Some(latch) = self.latches.get_mut(index) {
            *latch = Some((now.mono + Duration::from_secs_f64(seconds), now.epoch() + seconds));
        }
    }

    /// Which policy would be in force at a moment, why, and why no other is: every term with its value.
    #[must_use]
    pub fn explain(&self, at: &Now, facts: &dyn Facts) -> Explanation {
        let picked = self.pick(at, facts);
        let policies = self.list.rules.iter().enumerate().map(|(index, rule)| {
            let terms: Vec<_> = rule.conditions.iter().map(|condition| condition.explain(at, facts)).collect();
            let objection = terms.iter().find_map(|term| term.objection());
            let because = picked.filter(|(chosen, _)| *chosen == index).map(|(_, because)| because);
            let chosen_before = picked.is_some_and(|(chosen, _)| chosen < index);
            let why = match (because, objection) {
                (Some(Because::Conditions), _) => "In force: it is the first whose conditions all hold.".to_owned(),
                (Some(Because::Latch), _) => "In force: its latch keeps it after its conditions held.".to_owned(),
                (Some(Because::Held), _) => "In force: somebody asked for it by name.".to_owned(),
                (Some(Because::NothingElse), _) => {
                    "In force: no policy's conditions hold, and it was the last.".to_owned()
                }
                (None, Some(objection)) => format!("Not in force: {objection}."),
                (None, None) if chosen_before => "Not in force: another one comes before it.".to_owned(),
                (None, None) => "Not in force: somebody asked for another one by name.".to_owned(),
            };
            let task = rule.raw.get("background_task").and_then(Json::as_str);
            RuleExplanation {
                name: rule.name.clone(),
                is_in_force: because.is_some(),
                holds: terms.iter().all(super::ConditionExplanation::holds),
                is_latched: self.latched_until(index, at).is_some(),
                is_green: rule.is_green(),
                why,
                background_task: task.and_then(|task| background_task(task).map(|what| format!("{task}: {what}"))),
                terms,
            }
        });
        let policies: Vec<_> = policies.collect();
        Explanation {
            policy: picked.and_then(|(index, _)| self.list.rules.get(index)).map(|rule| rule.name.clone()),
            policies,
        }
    }

    /// The list in the shape of TWCManager's `/api/getPolicy`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let object = |(rule, latch): (&Rule, &Option<(Instant, f64)>)| {
            let mut object: Map<String, Json> = rule.raw.clone();
            if let Some((_, until)) = latch {
                object.insert("__latchTime".to_owned(), json!(until));
            }
            Json::Object(object)
        };
        Json::Array(self.list.rules.iter().zip(&self.latches).map(object).collect())
    }
}

fn number(operand: Option<&Operand>, now: &Now, facts: &dyn Facts) -> Option<f64> {
    operand.and_then(|operand| operand.value(now, facts).number()).filter(|number| number.is_finite())
}

fn ask(rule: &Rule, now: &Now, facts: &dyn Facts) -> Ask {
    match &rule.amps {
        None => Ask::Surplus,
        Some(operand) => match operand.value(now, facts) {
            Fact::Unknown => Ask::Unknown,
            fact => fact.number().filter(|amps| amps.is_finite()).map_or(Ask::Unknown, |amps| Ask::Amps(amps.max(0.0))),
        },
    }
}

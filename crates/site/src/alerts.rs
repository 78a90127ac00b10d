//! What somebody should know: conditions that begin and end.

use std::collections::BTreeMap;

use evse::{ControllerEvent, EventLevel};
use policy::Now;

use crate::{AlertView, Event};

/// A condition that holds now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub(crate) code: String,
    pub(crate) level: EventLevel,
    pub(crate) text: String,
    pub(crate) evse: Option<String>,
}

impl Condition {
    pub(crate) fn new(code: impl Into<String>, level: EventLevel, text: impl Into<String>) -> Self {
        Condition { code: code.into(), level, text: text.into(), evse: None }
    }

    pub(crate) fn about(mut self, evse: &str) -> Self {
        self.evse = Some(evse.to_owned());
        self
    }
}

type Key = (String, Option<String>);

#[derive(Debug, Clone)]
struct Alert {
    condition: Condition,
    since: f64,
    /// Told by a controller: stays until the controller clears it.
    is_told: bool,
}

/// All that hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alerts {
    active: BTreeMap<Key, Alert>,
}

impl Alerts {
    /// The site's own conditions as they are now; gives what began and what ended.
    pub(crate) fn settle(&mut self, now: &Now, conditions: Vec<Condition>) -> Vec<Event> {
        let mut events = Vec::new();
        let mut held: Vec<Key> = Vec::with_capacity(conditions.len());
        for condition in conditions {
            let key = (condition.code.clone(), condition.evse.clone());
            held.push(key.clone());
            match self.active.get_mut(&key) {
                Some(alert) => alert.condition = condition,
                None => {
                    events.push(event(&condition, false));
                    self.active.insert(key, Alert { condition, since: now.epoch(), is_told: false });
                }
            }
        }
        self.active.retain(|key, alert| {
            let stays = alert.is_told || held.contains(key);
            if !stays {
                events.push(event(&alert.condition, true));
            }
            stays
        });
        events
    }

    /// What a controller tells. Plain information is passed on and not kept.
    pub(crate) fn tell(&mut self, now: &Now, told: &ControllerEvent) -> Event {
        let condition = Condition {
            code: told.code.to_owned(),
            level: told.level,
            text: told.text.clone(),
            evse: told.evse.as_ref().map(ToString::to_string),
        };
        let event = event(&condition, told.cleared);
        let key = (condition.code.clone(), condition.evse.clone());
        if told.cleared {
            self.active.remove(&key);
        } else if told.level > EventLevel::Info {
            let since = self.active.get(&key).map_or_else(|| now.epoch(), |alert| alert.since);
            self.active.insert(key, Alert { condition, since, is_told: true });
        }
        event
    }

    /// What was told about a charging point that is gone.
    pub(crate) fn forget(&mut self, evse: &str) {
        self.active.retain(|(_, about), _| about.as_deref() != Some(evse));
    }

    /// Most serious first.
    pub(crate) fn view(&self) -> Vec<AlertView> {
        let mut alerts: Vec<&Alert> = self.active.values().collect();
        alerts.sort_by(|a, b| b.condition.level.cmp(&a.condition.level).then(a.since.total_cmp(&b.since)));
        alerts
            .into_iter()
            .map(|alert| AlertView {
                code: alert.condition.code.clone(),
                level: word(alert.condition.level),
                text: alert.condition.text.clone(),
                evse: alert.condition.evse.clone(),
                // Whole seconds, and far inside the type.
                #[allow(clippy::cast_possible_truncation)]
                since: alert.since as i64,
            })
            .collect()
    }
}

fn event(condition: &Condition, cleared: bool) -> Event {
    Event::Alert { code: condition.code.clone(), text: condition.text.clone(), level: word(condition.level), cleared }
}

fn word(level: EventLevel) -> &'static str {
    match level {
        EventLevel::Info => "info",
        EventLevel::Warning => "warning",
        EventLevel::Alarm => "alarm",
    }
}

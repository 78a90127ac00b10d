//! History and what pages remember.

use serde_json::{Value, json};
use units::Watts;

use super::{Settings, number_of, stored};

/// Entries kept: two days of one in five minutes.
const HISTORY_ENTRIES: usize = 2 * 24 * 12;

impl Settings {
    /// `history`: local times with offset (ISO 8601) and the power of all connectors then, oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<(&str, Watts)> {
        self.values
            .get("history")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some((entry.get(0)?.as_str()?, Watts::new(number_of(entry.get(1)?)?).ok()?)))
            .collect()
    }

    /// Adds a moment to the history, and drops what is beyond two days' worth of entries.
    pub fn push_history(&mut self, time: &str, power: Watts) {
        let slot = self.values.entry("history").or_insert_with(|| json!([]));
        if !slot.is_array() {
            *slot = json!([]);
        }
        if let Some(entries) = slot.as_array_mut() {
            entries.push(Value::Array(vec![Value::from(time), stored(power.get())]));
            let excess = entries.len().saturating_sub(HISTORY_ENTRIES);
            entries.drain(..excess);
        }
    }

    /// `Graphs`: first and last moment that the graph page shows, "YYYY-MM-DDTHH:MM".
    #[must_use]
    pub fn graphs(&self) -> Option<(&str, &str)> {
        let graphs = self.values.get("Graphs")?;
        Some((graphs.get("Initial")?.as_str()?, graphs.get("End")?.as_str()?))
    }

    /// Sets `Graphs`.
    pub fn set_graphs(&mut self, first: &str, last: &str) {
        let graphs = self.object_mut("Graphs");
        graphs.insert("Initial".into(), json!(first));
        graphs.insert("End".into(), json!(last));
    }

    /// `Schedule` as the schedule page posted it. It does not act: [`Settings::schedule`] does.
    #[must_use]
    pub fn schedule_page(&self) -> Option<&Value> {
        self.values.get("Schedule")
    }

    /// Stores what the schedule page posted.
    pub fn set_schedule_page(&mut self, page: Value) {
        self.set_value("Schedule", page);
    }
}

//! What is kept of the past: the power flows of the whole site each minute, and the cars' average of five minutes in
//! `history` of `settings.json`.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use policy::Now;
use units::Watts;

use crate::{Event, FlowEvent, Output, Site};

/// The flows of the whole site are written down this often.
const FLOWS_EVERY: Duration = Duration::from_secs(60);
/// Seconds that one entry of `history` stands for, as in TWCManager.
const SLOT: i64 = 300;
/// Less than this is no charging; such entries are left out, as in TWCManager.
const LEAST_W: f64 = 1.0;

/// Sums up what the cars draw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// When it was last brought up to date, and what was drawn from then on.
    last: Option<(Instant, f64)>,
    /// Which five minutes the sums are of, counted since 1970.
    slot: i64,
    watt_seconds: f64,
    seconds: f64,
    flows_at: Option<Instant>,
}

impl Record {
    /// Brings the sums up to now, from when on `watts` are drawn. Gives the five minutes that are over, by their number, with
    /// the average watts.
    fn turn(&mut self, mono: Instant, epoch: f64, watts: f64) -> Option<(i64, f64)> {
        #[expect(clippy::cast_possible_truncation, reason = "a float is cast saturating; far from the ends of i64")]
        let slot = (epoch.floor() as i64).div_euclid(SLOT);
        let last = self.last.replace((mono, watts));
        let elapsed = last.map_or(0.0, |(at, _)| mono.saturating_duration_since(at).as_secs_f64());
        let before = last.map_or(0.0, |(_, watts)| watts);
        #[expect(clippy::cast_precision_loss, reason = "seconds of this age of the world are far below 2^52")]
        let into_slot = epoch - (slot * SLOT) as f64;
        let is_over = last.is_some() && slot != self.slot;
        // What passed after the turn belongs to the new five minutes.
        let after = if is_over { elapsed.min(into_slot) } else { 0.0 };
        self.watt_seconds += before * (elapsed - after);
        self.seconds += elapsed - after;
        let over = is_over.then(|| (self.slot, self.watt_seconds / self.seconds.max(1.0)));
        if is_over || last.is_none() {
            (self.slot, self.watt_seconds, self.seconds) = (slot, before * after, after);
        }
        over
    }
}

impl Site {
    /// Keeps what is to be kept of this moment.
    pub(crate) fn record(&mut self, now: &Now) {
        let watts = self.points.values().map(|point| point.shown_watts(&self.setup)).sum::<f64>();
        if let Some((slot, average)) = self.record.turn(now.mono, now.epoch(), watts)
            && average >= LEAST_W
            && let Ok(start) = Timestamp::from_second(slot * SLOT)
        {
            let label = start.to_zoned(now.wall.time_zone().clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
            self.settings.push_history(&label, Watts::saturating((average * 10.0).round() / 10.0));
            self.outputs.push_back(Output::SaveSettings);
        }
        if self.record.flows_at.is_none_or(|at| now.mono.saturating_duration_since(at) >= FLOWS_EVERY) {
            self.record.flows_at = Some(now.mono);
            let shown = |channel: crate::combine::Channel| channel.known().map(|flow| flow.power);
            self.outputs.push_back(Output::Event(Event::Reading(FlowEvent {
                source: String::new(),
                generation: shown(self.picture.generation),
                consumption: shown(self.picture.consumption),
                grid: shown(self.picture.grid),
                battery: shown(self.picture.battery),
                battery_soc: self.picture.battery_soc,
                cars: Watts::saturating(watts),
            })));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds (seconds, watts from then on) and collects what is over.
    fn averages(start: f64, steps: &[(u64, f64)]) -> Vec<(i64, f64)> {
        let (mut record, began) = (Record::default(), Instant::now());
        let turn = |(after, watts): &(u64, f64)| {
            let passed = Duration::from_secs(*after);
            record.turn(began + passed, start + passed.as_secs_f64(), *watts)
        };
        steps.iter().filter_map(turn).collect()
    }

    #[test]
    fn each_five_minutes_get_the_average_of_what_was_drawn_in_them() {
        // Begins 60 s into slot 10; 6 kW for 120 s, nothing for 120 s; then 3 kW for all of slot 11.
        let steps = [(0, 6000.0), (120, 0.0), (240, 3000.0), (300, 3000.0), (540, 3000.0)];
        assert_eq!(averages(3060.0, &steps), [(10, 3000.0), (11, 3000.0)]);
    }

    #[test]
    fn a_step_across_the_turn_is_shared_between_both_sides() {
        let steps = [(0, 1000.0), (400, 0.0), (600, 0.0)];
        let found = averages(3000.0, &steps);
        assert_eq!(found[0], (10, 1000.0));
        assert!((found[1].1 - 1000.0 / 3.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn a_clock_that_jumps_moves_an_entry_and_nothing_else() {
        let (mut record, began) = (Record::default(), Instant::now());
        assert_eq!(record.turn(began, 3000.0, 500.0), None);
        assert_eq!(record.turn(began + Duration::from_secs(10), 90_000.0, 500.0), Some((10, 500.0)));
        assert_eq!(record.turn(began + Duration::from_secs(20), 3000.0, 500.0), Some((300, 500.0)));
    }
}

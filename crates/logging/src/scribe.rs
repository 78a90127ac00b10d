//! Makes records of what the site tells: TWCManager's four kinds, with the lines that people search for.

use std::collections::BTreeMap;

use evse::Link;
use log::Level;
use site::{Event, EvseView, SessionEvent, Snapshot};
use units::{PerPhase, Volts, WattHours, Watts};

use crate::{Fanout, GreenEnergy, Kind, Record, Session, SlavePower, SlaveStatus, whole_kwh};

/// Generation and consumption are written this often while a green policy holds, as TWCManager does with its usual check
/// interval.
const GREEN_EVERY_S: i64 = 30;
/// Counter and voltages are written this often; TWCManager asks its connectors about once a minute.
const STATUS_EVERY_S: i64 = 60;

/// A record and the sentence that says the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// For sinks with tables.
    pub record: Record,
    /// How serious the sentence is.
    pub level: Level,
    /// For sinks with lines.
    pub text: String,
}

impl Note {
    fn info(record: Record, text: String) -> Note {
        Note { record, level: Level::Info, text }
    }

    /// Logs the sentence and hands the record to the sinks.
    pub fn tell(self, fanout: &Fanout) {
        log::log!(target: self.record.kind().target(), self.level, "{}", self.text);
        fanout.record(self.record);
    }
}

/// Makes records of the site's events. Sans-IO; meant for the site's thread.
///
/// A session is told when current first flowed, when its car became known, and when it ended, also one that was taken up
/// from an earlier run. One in which no current ever flowed is not told: TWCManager knew no such sessions.
#[derive(Debug, Default)]
pub struct EventScribe {
    open: BTreeMap<String, Option<String>>,
}

impl EventScribe {
    /// With no session told so far.
    #[must_use]
    pub fn new() -> EventScribe {
        EventScribe::default()
    }

    /// What is to be written down of an event at `at`, in seconds since 1970.
    pub fn on_event(&mut self, at: f64, event: &Event) -> Option<Note> {
        match event {
            Event::Session(session) => self.on_session(session),
            Event::Offer { evse, offered, drawn, .. } => {
                let evse = twc_names::id_of(evse.as_str());
                let amps =
                    |amps: &Option<units::Amps>| amps.map_or_else(|| "?".to_owned(), |a| format!("{:.2}", a.get()));
                let text = format!("Slave power for TWCID {evse}: {}/{}A", amps(drawn), amps(offered));
                let record = SlavePower { at: whole(at), evse, offered: *offered, drawn: *drawn };
                Some(Note { record: Record::SlavePower(record), level: Level::Debug, text })
            }
            _ => None,
        }
    }

    fn on_session(&mut self, event: &SessionEvent) -> Option<Note> {
        if event.charging_s <= 0.0 && event.energy <= WattHours::ZERO {
            return None;
        }
        let session = session_of(event);
        let told = self.open.get(&event.id);
        let what = match (told, event.ended_at) {
            (_, Some(_)) => "Stopped",
            (None, None) => "Started",
            (Some(vin), None) if *vin != event.vin => "updated",
            (Some(_), None) => return None,
        };
        if event.ended_at.is_some() {
            self.open.remove(&event.id);
        } else {
            self.open.insert(event.id.clone(), event.vin.clone());
        }
        let text = format!("Charge Session {what} for Slave TWC {}", session.evse);
        Some(Note::info(Record::Session(session), text))
    }
}

/// A session of the site as a row of TWCManager's table.
#[must_use]
pub fn session_of(event: &SessionEvent) -> Session {
    // A counter that was not known at the start is reckoned back by what was measured since.
    let (counter_start, counter) = match (event.counter_start, event.counter) {
        (Some(start), Some(now)) => (start, now.max(start)),
        (None, Some(now)) => ((now - event.energy).max(WattHours::ZERO), now),
        (Some(start), None) => (start, start + event.energy),
        (None, None) => (WattHours::ZERO, event.energy),
    };
    Session {
        id: event.id.clone(),
        evse: twc_names::id_of(event.evse.as_str()),
        vin: event.vin.clone(),
        started_at: whole(event.started_at),
        ended_at: event.ended_at.map(whole),
        counter_start,
        counter,
    }
}

/// Makes records of the site's snapshots. Sans-IO.
#[derive(Debug)]
pub struct SnapshotScribe {
    generation_is_delivery: bool,
    green_at: Option<i64>,
    status_at: BTreeMap<String, i64>,
    limit_told: Option<(i64, String)>,
}

impl SnapshotScribe {
    /// `generation_is_delivery` is `config.treatGenerationAsGridDelivery`: what counts as generation is export then.
    #[must_use]
    pub fn new(generation_is_delivery: bool) -> SnapshotScribe {
        SnapshotScribe { generation_is_delivery, green_at: None, status_at: BTreeMap::new(), limit_told: None }
    }

    /// What is to be written down of a snapshot; nothing while it is too soon after the last.
    pub fn on_snapshot(&mut self, snapshot: &Snapshot) -> Vec<Note> {
        let at = whole(snapshot.at);
        let mut notes = Vec::new();
        if is_due(self.green_at, at, GREEN_EVERY_S)
            && let Some(note) = self.green_energy(at, snapshot)
        {
            self.green_at = Some(at);
            notes.push(note);
        }
        for evse in &snapshot.evses {
            if is_due(self.status_at.get(&evse.id).copied(), at, STATUS_EVERY_S)
                && let Some(note) = slave_status(at, evse)
            {
                self.status_at.insert(evse.id.clone(), at);
                notes.push(note);
            }
        }
        notes
    }

    /// The lines that say what all cars may have together: when that changed, every 30 s at most. No sink has a table for it.
    pub fn limit_lines(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let at = whole(snapshot.at);
        let amps = snapshot.power.granted_amps.min(snapshot.power.limit_amps).max(0.0);
        let limit = format!("Limiting charging to {amps:.2}A.");
        let told = self.limit_told.as_ref();
        if !is_due(told.map(|(at, _)| *at), at, GREEN_EVERY_S) || told.is_some_and(|(_, told)| *told == limit) {
            return Vec::new();
        }
        self.limit_told = Some((at, limit.clone()));
        vec![limit, format!("Charge when above {}A (minAmpsPerTWC).", snapshot.site.min_amps_each)]
    }

    fn green_energy(&self, at: i64, snapshot: &Snapshot) -> Option<Note> {
        if !snapshot.policy.is_green {
            return None;
        }
        let known = |view: Option<&site::MeasuredView>| view.map_or(0.0, |view| view.w);
        let (told, consumption) = (known(snapshot.power.told_generation()), known(snapshot.power.told_consumption()));
        if told == 0.0 && consumption == 0.0 {
            return None;
        }
        let cars = snapshot.power.cars_w;
        let generation = if self.generation_is_delivery { (told + cars - consumption).max(0.0) } else { told };
        let text =
            format!("Green energy Generates {generation:.0}W, Consumption {consumption:.0}W (Charger Load {cars:.0}W)");
        let record = GreenEnergy {
            at,
            generation: Watts::saturating(generation),
            consumption: Watts::saturating(consumption),
            cars: Watts::saturating(cars),
        };
        Some(Note::info(Record::GreenEnergy(record), text))
    }
}

/// Only devices with a counter have a status, and only while they answer.
fn slave_status(at: i64, evse: &EvseView) -> Option<Note> {
    let counter = WattHours::saturating(evse.energy_total_wh?);
    if evse.link != Link::Up {
        return None;
    }
    let volts: PerPhase<Volts> = evse.volts.map(|volts| Volts::saturating(volts.unwrap_or_default()));
    let name = twc_names::id_of(&evse.id);
    let [a, b, c] = volts.into_array().map(Volts::get);
    let text =
        format!("Slave TWC {name}: Delivered {} kWh, voltage per phase: ({a:.0}, {b:.0}, {c:.0}).", whole_kwh(counter));
    Some(Note::info(Record::SlaveStatus(SlaveStatus { at, evse: name, counter, volts }), text))
}

/// A clock that was set back is no reason to fall silent.
fn is_due(last: Option<i64>, now: i64, every: i64) -> bool {
    last.is_none_or(|last| now < last || now - last >= every)
}

/// Whole seconds; `as` saturates for floats.
#[allow(clippy::cast_possible_truncation)]
fn whole(seconds: f64) -> i64 {
    seconds.floor() as i64
}

impl Kind {
    /// The kinds that are not lines.
    pub const DATA: [Kind; 4] = [Kind::ChargeSessions, Kind::GreenEnergy, Kind::SlaveStatus, Kind::SlavePower];
}

#[cfg(test)]
mod tests {
    use evse::EvseId;
    use site::FreshnessView;
    use twc_names::testing;

    use super::*;

    fn event(charging_s: f64) -> SessionEvent {
        SessionEvent {
            id: "s1".into(),
            evse: EvseId::new("gen2-4142"),
            vin: None,
            started_at: 1_795_173_694.7,
            ended_at: None,
            updated_at: 0.0,
            energy: WattHours::saturating(charging_s),
            is_estimate: false,
            charging_s,
            counter_start: Some(WattHours::saturating(1_000_000.0)),
            counter: Some(WattHours::saturating(1_002_400.0)),
        }
    }

    /// The sentence and the row of one event.
    fn told(scribe: &mut EventScribe, event: SessionEvent) -> Option<(String, Session)> {
        match scribe.on_event(0.0, &Event::Session(event))? {
            Note { record: Record::Session(session), text, .. } => Some((text, session)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_session_is_told_when_current_flows_when_its_car_is_known_and_when_it_ends() {
        let mut scribe = EventScribe::new();
        assert_eq!(told(&mut scribe, event(0.0)), None);
        let (text, session) = told(&mut scribe, event(5.0)).unwrap();
        assert_eq!(text, "Charge Session Started for Slave TWC 4142");
        assert_eq!((session.started_at, session.ended_at), (1_795_173_694, None));
        assert_eq!(told(&mut scribe, event(10.0)), None);
        let known = |charging_s, ended_at| SessionEvent { vin: Some("5YJ3".into()), ended_at, ..event(charging_s) };
        assert_eq!(told(&mut scribe, known(15.0, None)).unwrap().0, "Charge Session updated for Slave TWC 4142");
        let (text, session) = told(&mut scribe, known(20.0, Some(1_795_180_000.2))).unwrap();
        assert_eq!(text, "Charge Session Stopped for Slave TWC 4142");
        assert_eq!((whole_kwh(session.counter_start), whole_kwh(session.counter)), (1_000, 1_002));
        assert_eq!((session.ended_at, session.vin.as_deref()), (Some(1_795_180_000), Some("5YJ3")));
    }

    #[test]
    fn a_session_of_an_earlier_run_that_ends_now_is_told() {
        let ended = SessionEvent { ended_at: Some(1_795_180_000.0), ..event(5.0) };
        assert!(told(&mut EventScribe::new(), ended).is_some());
        let idle = SessionEvent { ended_at: Some(1_795_180_000.0), ..event(0.0) };
        assert!(told(&mut EventScribe::new(), idle).is_none());
    }

    #[test]
    fn a_device_without_counter_counts_from_what_was_measured() {
        let counters = |start: Option<f64>, now: Option<f64>| {
            let [counter_start, counter] = [start, now].map(|value| value.map(WattHours::saturating));
            let energy = WattHours::saturating(7_000.0);
            let session = session_of(&SessionEvent { energy, counter_start, counter, ..event(1.0) });
            (session.counter_start.get(), session.counter.get())
        };
        assert_eq!(counters(None, None), (0.0, 7_000.0));
        assert_eq!(counters(None, Some(20_000.0)), (13_000.0, 20_000.0));
        assert_eq!(counters(Some(20_000.0), None), (20_000.0, 27_000.0));
        // A counter that was replaced by one that begins anew gives no negative energy.
        assert_eq!(counters(Some(20_000.0), Some(5.0)), (20_000.0, 20_000.0));
    }

    fn snapshot(at: f64) -> Snapshot {
        let mut snapshot = testing::snapshot();
        snapshot.at = at;
        let measured =
            |w| Some(site::MeasuredView { w, taken_at: at, freshness: FreshnessView::Live, is_estimate: false });
        snapshot.policy.is_green = true;
        snapshot.power.generation = measured(6_000.0);
        snapshot.power.consumption = measured(500.0);
        snapshot.power.cars_w = 5_280.0;
        let mut evse = testing::evse("gen2-4142");
        evse.link = Link::Up;
        evse.energy_total_wh = Some(1_000_400.0);
        evse.volts = PerPhase::new(Some(240.4), None, None);
        snapshot.evses = vec![evse];
        snapshot
    }

    fn texts(scribe: &mut SnapshotScribe, snapshot: &Snapshot) -> Vec<String> {
        scribe.on_snapshot(snapshot).into_iter().map(|note| note.text).collect()
    }

    #[test]
    fn samples_come_in_the_rhythm_and_words_of_before() {
        let mut scribe = SnapshotScribe::new(false);
        let green = "Green energy Generates 6000W, Consumption 500W (Charger Load 5280W)";
        let status = "Slave TWC 4142: Delivered 1000 kWh, voltage per phase: (240, 0, 0).";
        assert_eq!(texts(&mut scribe, &snapshot(1_000.0)), [green, status]);
        assert_eq!(texts(&mut scribe, &snapshot(1_029.0)), [""; 0]);
        assert_eq!(texts(&mut scribe, &snapshot(1_030.0)), [green]);
        assert_eq!(texts(&mut scribe, &snapshot(1_060.0)), [green, status]);
        // The clock was set back by an hour.
        assert_eq!(texts(&mut scribe, &snapshot(-2_540.0)), [green, status]);
    }

    #[test]
    fn what_all_cars_may_have_is_said_when_it_changed_in_the_words_of_before() {
        let mut scribe = SnapshotScribe::new(false);
        let mut at = |at, granted_amps, limit_amps| {
            let mut snapshot = snapshot(at);
            (snapshot.power.granted_amps, snapshot.power.limit_amps) = (granted_amps, limit_amps);
            snapshot.site.min_amps_each = 12.0;
            scribe.limit_lines(&snapshot)
        };
        let least = "Charge when above 12A (minAmpsPerTWC).";
        assert_eq!(at(1_000.0, 22.916, 32.0), ["Limiting charging to 22.92A.", least]);
        assert_eq!(at(1_010.0, 25.0, 32.0), [""; 0], "too soon");
        assert_eq!(at(1_030.0, 40.0, 32.0), ["Limiting charging to 32.00A.", least]);
        assert_eq!(at(1_090.0, 40.0, 32.0), [""; 0], "the same");
    }

    #[test]
    fn nothing_is_written_that_is_not_known() {
        let mut scribe = SnapshotScribe::new(false);
        let mut silent = snapshot(0.0);
        silent.evses[0].link = Link::Lost;
        (silent.power.generation, silent.power.consumption) = (None, None);
        assert_eq!(texts(&mut scribe, &silent), [""; 0]);
        let mut other_policy = snapshot(0.0);
        other_policy.policy.is_green = false;
        other_policy.evses[0].energy_total_wh = None;
        assert_eq!(texts(&mut scribe, &other_policy), [""; 0]);
    }

    #[test]
    fn export_that_counts_as_generation_is_written_as_generation() {
        let notes = SnapshotScribe::new(true).on_snapshot(&snapshot(0.0));
        let Record::GreenEnergy(row) = &notes[0].record else { panic!("{notes:?}") };
        assert_eq!(row.generation.get(), 10_780.0);
    }
}

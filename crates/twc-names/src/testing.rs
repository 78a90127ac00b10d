//! A site that is not there, for tests of front ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evse::{Activity, Capabilities, Detail, Link, Plug};
use jiff::Zoned;
use serde_json::{Value, json};
use site::{
    ChargeNowView, Command, EvseView, FreshnessView, MeasuredView, PolicyView, PowerView, ReasonView, Refusal,
    RefusalKind, SessionView, SitePort, SiteView, Snapshot,
};
use units::PerPhase;

/// When all this is, in seconds since 1970.
pub const NOW: f64 = 1_795_000_000.0;

struct State {
    snapshot: Arc<Snapshot>,
    settings: Arc<Value>,
    commands: Vec<Command>,
    refusal: Option<Refusal>,
    policies: Arc<Value>,
}

/// Obeys commands in the plainest way and remembers them.
pub struct FakeSite {
    state: Mutex<State>,
    news: Condvar,
}

impl FakeSite {
    /// A site in this state.
    #[must_use]
    pub fn new(snapshot: Snapshot, settings: Value) -> FakeSite {
        let policies = Arc::new(json!([{"name": "Charge Now"}, {"name": "Track Green Energy"}]));
        let (snapshot, settings) = (Arc::new(snapshot), Arc::new(settings));
        let state = State { snapshot, settings, commands: Vec::new(), refusal: None, policies };
        FakeSite { state: Mutex::new(state), news: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes what `change` makes of the snapshot.
    pub fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut state = self.lock();
        let mut snapshot = (*state.snapshot).clone();
        change(&mut snapshot);
        snapshot.sequence += 1;
        state.snapshot = Arc::new(snapshot);
        self.news.notify_all();
    }

    /// The commands since the last call.
    pub fn taken(&self) -> Vec<Command> {
        std::mem::take(&mut self.lock().commands)
    }

    /// Waits until there were commands, `patience` at most, and gives them.
    pub fn taken_within(&self, patience: Duration) -> Vec<Command> {
        let waited = self.news.wait_timeout_while(self.lock(), patience, |state| state.commands.is_empty());
        std::mem::take(&mut waited.unwrap_or_else(PoisonError::into_inner).0.commands)
    }

    /// Gives another list of policies from now on.
    pub fn set_policies(&self, policies: Value) {
        self.lock().policies = Arc::new(policies);
    }

    /// Refuses every command from now on.
    pub fn refuse(&self, kind: RefusalKind, text: &str) {
        self.lock().refusal = Some(Refusal { kind, text: text.to_owned() });
    }
}

impl SitePort for FakeSite {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.lock().snapshot)
    }

    fn newer_than(&self, sequence: u64, wait: Duration) -> Option<Arc<Snapshot>> {
        let waited = self.news.wait_timeout_while(self.lock(), wait, |state| state.snapshot.sequence <= sequence);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        (state.snapshot.sequence > sequence).then(|| Arc::clone(&state.snapshot))
    }

    fn command(&self, command: Command) -> Result<(), Refusal> {
        {
            let mut state = self.lock();
            if let Some(refusal) = &state.refusal {
                return Err(refusal.clone());
            }
            let changes = match &command {
                Command::SetSetting { key, value } => vec![(key.clone(), value.clone())],
                Command::SetSettings(changes) => changes.clone(),
                _ => Vec::new(),
            };
            if !changes.is_empty() {
                let mut settings = (*state.settings).clone();
                store(&mut settings, changes);
                state.settings = Arc::new(settings);
            }
            state.commands.push(command.clone());
        }
        self.publish(|snapshot| obey(snapshot, &command));
        Ok(())
    }

    fn settings(&self) -> Arc<Value> {
        Arc::clone(&self.lock().settings)
    }

    fn policies(&self) -> Arc<Value> {
        Arc::clone(&self.lock().policies)
    }

    /// The moment it was asked about and the active policy.
    fn explain(&self, at: Option<Zoned>) -> Option<Value> {
        let state = self.lock();
        let at = at.map(|at| at.to_string());
        Some(json!({ "at": at, "policy": state.snapshot.policy.name, "policies": *state.policies }))
    }
}

/// Changes settings; `null` removes one.
fn store(settings: &mut Value, changes: Vec<(String, Value)>) {
    let Some(fields) = settings.as_object_mut() else { return };
    for (key, value) in changes {
        if value.is_null() {
            fields.shift_remove(&key);
        } else {
            fields.insert(key, value);
        }
    }
}

fn obey(snapshot: &mut Snapshot, command: &Command) {
    let at = snapshot.at;
    match command {
        Command::ChargeNow { amps, duration } => {
            let amps = amps.map_or(16.0, units::Amps::get);
            snapshot.charge_now = Some(ChargeNowView { amps, until: at + duration.as_secs_f64() });
        }
        Command::CancelChargeNow => snapshot.charge_now = None,
        Command::SetEnabled { evse, is_enabled } => {
            snapshot
                .evses
                .iter_mut()
                .filter(|one| one.id == evse.as_str())
                .for_each(|one| one.is_enabled = *is_enabled);
        }
        Command::SetPriority { evse, priority } => {
            snapshot.evses.iter_mut().filter(|one| one.id == evse.as_str()).for_each(|one| one.priority = *priority);
        }
        _ => {}
    }
}

fn measured(w: f64) -> Option<MeasuredView> {
    Some(MeasuredView { w, taken_at: NOW - 2.0, freshness: FreshnessView::Live, is_estimate: false })
}

/// Two connectors on a sunny day: `gen2-3a7c` charges, `gen2-4085` has no car.
#[must_use]
pub fn snapshot() -> Snapshot {
    Snapshot {
        sequence: 7,
        at: NOW,
        started_at: NOW - 86_400.0,
        site: SiteView {
            max_amps_all: 32.0,
            max_amps_each: 32.0,
            min_amps_each: 6.0,
            default_volts: 230.0,
            phases: 3,
            is_demo: false,
        },
        power: PowerView {
            generation: measured(6840.4),
            exchange: None,
            house: measured(812.0),
            consumption: measured(6332.0),
            grid: measured(-508.0),
            grid_amps: PerPhase::unknown(),
            battery: None,
            battery_soc: None,
            cars_w: 5520.0,
            surplus_w: Some(6028.0),
            granted_w: 6028.0,
            granted_amps: 8.73,
            limit_amps: 32.0,
        },
        policy: PolicyView {
            name: "Track Green Energy".to_owned(),
            kind: "green",
            is_green: true,
            reason: "Cars get the 6.0 kW that would otherwise go to the grid.".to_owned(),
            since: NOW - 5400.0,
        },
        charge_now: None,
        evses: vec![
            EvseView {
                activity: Activity::Charging,
                plug: Plug::PluggedIn,
                sentence: "Charging with the sun: 8 A of the 32 A that the wiring allows.".to_owned(),
                target_w: 6028.0,
                offered_a: Some(8.0),
                reported_max_a: Some(8.0),
                drawn_a: Some(8.0),
                drawn_per_phase_a: PerPhase::new(Some(8.0), Some(7.9), Some(7.9)),
                power_w: Some(5520.6),
                session: Some(SessionView {
                    id: "17".to_owned(),
                    started_at: NOW - 5400.0,
                    energy_wh: 7423.4,
                    is_estimate: false,
                    charging_s: 3873.0,
                }),
                vin: Some("5YJ3E1EA8KF000001".to_owned()),
                ..evse("gen2-3a7c")
            },
            evse("gen2-4085"),
        ],
        sources: Vec::new(),
        alerts: Vec::new(),
    }
}

/// A Gen 2 connector without a car.
#[must_use]
pub fn evse(id: &str) -> EvseView {
    EvseView {
        id: id.to_owned(),
        name: format!("Wall Connector {}", crate::id_of(id)),
        controller: "Gen2TWCs".to_owned(),
        link: Link::Up,
        plug: Plug::Unplugged,
        activity: Activity::Idle,
        sentence: "No car is plugged in.".to_owned(),
        bound_by: ReasonView { code: "no_car", text: "no car is plugged in".to_owned() },
        target_w: 0.0,
        offered_a: Some(0.0),
        reported_max_a: Some(0.0),
        drawn_a: Some(0.0),
        drawn_per_phase_a: PerPhase::unknown(),
        power_w: Some(0.0),
        volts: PerPhase::new(Some(231.0), Some(229.0), Some(230.0)),
        phases: 3,
        min_a: 6.0,
        max_a: 32.0,
        is_estimate: false,
        is_on_circuit: true,
        car: site::CarView::default(),
        session: None,
        vin: None,
        last_vin: None,
        soc: None,
        energy_total_wh: Some(8_123_000.0),
        heard_at: NOW - 0.61,
        is_enabled: true,
        priority: 0,
        capabilities: Capabilities { set_target: true, start: true, stop: true, on_request: false },
        details: BTreeMap::from([("max_amps_rating", Detail::Number(40.0))]),
    }
}

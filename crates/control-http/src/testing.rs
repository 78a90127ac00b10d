//! A site that is not there: for tests and for looking at the page.
#![allow(dead_code, missing_docs)]

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evse::{Activity, Capabilities, Detail, Link, Plug};
use serde_json::{Value, json};
use site::{
    AlertView, ChargeNowView, Command, EvseView, FreshnessView, MeasuredView, PolicyView, PowerView, ReasonView,
    Refusal, RefusalKind, SessionView, SitePort, SiteView, Snapshot, SourceView,
};
use units::PerPhase;

/// When all this is.
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
    pub fn new(snapshot: Snapshot, settings: Value) -> FakeSite {
        let policies = Arc::new(json!([
            {"name": "Charge Now", "match": ["settings.chargeNowAmps"], "condition": ["gt"], "value": [0],
             "charge_amps": "settings.chargeNowAmps", "charge_limit": "config.chargeNowLimit"},
            {"name": "Track Green Energy", "match": ["settings.nonScheduledAction"], "condition": ["eq"], "value": [3],
             "background_task": "checkGreenEnergy", "allowed_flex": "config.greenEnergyFlexAmps"},
        ]));
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
        let state = self.lock();
        let (state, _) = self
            .news
            .wait_timeout_while(state, wait, |state| state.snapshot.sequence <= sequence)
            .unwrap_or_else(PoisonError::into_inner);
        (state.snapshot.sequence > sequence).then(|| Arc::clone(&state.snapshot))
    }

    fn command(&self, command: Command) -> Result<(), Refusal> {
        {
            let mut state = self.lock();
            if let Some(refusal) = &state.refusal {
                return Err(refusal.clone());
            }
            state.commands.push(command.clone());
            let changes = match &command {
                Command::SetSetting { key, value } => vec![(key.clone(), value.clone())],
                Command::SetSettings(changes) => changes.clone(),
                _ => Vec::new(),
            };
            let mut settings = (*state.settings).clone();
            for (key, value) in changes {
                match (settings.as_object_mut(), value) {
                    (Some(fields), Value::Null) => drop(fields.shift_remove(&key)),
                    (Some(fields), value) => drop(fields.insert(key, value)),
                    (None, _) => {}
                }
            }
            state.settings = Arc::new(settings);
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
}

fn obey(snapshot: &mut Snapshot, command: &Command) {
    let at = snapshot.at;
    let mut each = |id: &Option<evse::EvseId>, change: &dyn Fn(&mut EvseView)| {
        snapshot.evses.iter_mut().filter(|evse| id.as_ref().is_none_or(|id| id.as_str() == evse.id)).for_each(change);
    };
    match command {
        Command::ChargeNow { amps, duration } => {
            let amps = amps.map_or(16.0, units::Amps::get);
            snapshot.charge_now = Some(ChargeNowView { amps, until: at + duration.as_secs_f64() });
        }
        Command::CancelChargeNow => snapshot.charge_now = None,
        Command::SetEnabled { evse, is_enabled } => {
            each(&Some(evse.clone()), &|evse| evse.is_enabled = *is_enabled);
        }
        Command::SetPriority { evse, priority } => each(&Some(evse.clone()), &|evse| evse.priority = *priority),
        Command::Start { evse } => each(evse, &|evse| evse.activity = Activity::Charging),
        Command::Stop { evse } => each(evse, &|evse| evse.activity = Activity::WaitingForOffer),
        _ => {}
    }
}

fn measured(w: f64) -> Option<MeasuredView> {
    Some(MeasuredView { w, taken_at: NOW - 2.0, freshness: FreshnessView::Live, is_estimate: false })
}

/// Three charging points on a sunny day: one charges, one waits, one has no car.
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
            is_demo: true,
        },
        power: PowerView {
            generation: measured(6840.0),
            exchange: None,
            house: measured(812.0),
            consumption: measured(6332.0),
            grid: measured(-508.0),
            grid_amps: PerPhase::unknown(),
            battery: measured(0.0),
            battery_soc: Some(81.0),
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
                sentence: "Charging with the sun: 8 A of the 32 A that the wiring allows.".to_owned(),
                bound_by: ReasonView { code: "surplus", text: "the surplus".to_owned() },
                target_w: 6028.0,
                offered_a: Some(8.0),
                drawn_a: Some(8.0),
                drawn_per_phase_a: PerPhase::new(Some(8.0), Some(7.9), Some(7.9)),
                power_w: Some(5520.0),
                session: Some(SessionView {
                    id: "17".to_owned(),
                    started_at: NOW - 5400.0,
                    energy_wh: 7423.0,
                    is_estimate: false,
                    charging_s: 3873.0,
                }),
                vin: Some("5YJ3E1EA8KF000001".to_owned()),
                soc: Some(64.0),
                ..evse("gen2-3a7c", "Garage", Plug::PluggedIn)
            },
            EvseView {
                activity: Activity::WaitingForOffer,
                sentence: "A car is plugged in and waits: the surplus is enough for one car only.".to_owned(),
                bound_by: ReasonView { code: "below_min", text: "less than the least current is left".to_owned() },
                offered_a: Some(0.0),
                drawn_a: Some(0.0),
                power_w: Some(0.0),
                last_vin: Some("LRW3F7EK0NC000001".to_owned()),
                priority: -1,
                ..evse("gen2-4085", "Carport left", Plug::PluggedIn)
            },
            evse("gen2-4142", "Carport right", Plug::Unplugged),
        ],
        sources: vec![
            SourceView {
                name: "Fronius".to_owned(),
                ok: true,
                error: None,
                taken_at: Some(NOW - 2.0),
                freshness: Some(FreshnessView::Live),
                reading: None,
            },
            SourceView {
                name: "MQTT".to_owned(),
                ok: false,
                error: Some("no answer from 192.168.1.5: check sources.MQTT.brokerIP".to_owned()),
                taken_at: None,
                freshness: None,
                reading: None,
            },
        ],
        alerts: vec![AlertView {
            code: "source_failing".to_owned(),
            level: "warning",
            text: "The source MQTT has given no reading for 12 minutes: check sources.MQTT.brokerIP.".to_owned(),
            evse: None,
            since: 1_794_999_280,
        }],
    }
}

fn evse(id: &str, name: &str, plug: Plug) -> EvseView {
    EvseView {
        id: id.to_owned(),
        name: name.to_owned(),
        controller: "Gen2TWCs".to_owned(),
        link: Link::Up,
        plug,
        activity: Activity::Idle,
        sentence: "No car is plugged in.".to_owned(),
        bound_by: ReasonView { code: "no_car", text: "no car is plugged in".to_owned() },
        target_w: 0.0,
        offered_a: Some(0.0),
        reported_max_a: None,
        drawn_a: Some(0.0),
        drawn_per_phase_a: PerPhase::unknown(),
        power_w: Some(0.0),
        volts: PerPhase::new(Some(231.0), Some(229.0), Some(230.0)),
        phases: 3,
        min_a: 6.0,
        max_a: 32.0,
        session: None,
        vin: None,
        last_vin: None,
        soc: None,
        energy_total_wh: Some(8_123_400.0),
        heard_at: NOW - 0.61,
        is_enabled: true,
        priority: 0,
        capabilities: Capabilities { set_target: true, start: true, stop: true },
        details: BTreeMap::from([
            ("state", Detail::Number(1.0)),
            ("protocol", Detail::Number(2.0)),
            ("max_amps_rating", Detail::Number(40.0)),
        ]),
    }
}

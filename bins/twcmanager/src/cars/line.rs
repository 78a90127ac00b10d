//! The line from the site to the cars.
//!
//! The site runs before the cars do, since their sign-in is kept in its settings. What it says meanwhile is kept and told
//! when they are there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::{CommandPolicy, Settings};
use evse::{AtConnector, Plug, Vin};
use evse_tesla::CarsHandle;
use garage::{ConnectorView, GarageSettings, HomeSetting};
use serde_json::{Map, Value};
use units::Percent;
use vehicle::CarKey;

/// What the site tells the cars. Cheap to clone; no method blocks.
#[derive(Debug, Clone, Default)]
pub struct CarsLine(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    cars: Option<Listening>,
    limit: Option<Percent>,
    connectors: BTreeMap<CarKey, ConnectorView>,
    refused: BTreeMap<CarKey, String>,
}

/// Who listens, and what of the settings concerns them.
#[derive(Debug)]
struct Listening {
    handle: CarsHandle,
    /// The radius of home, in metres.
    radius: f64,
    /// Home as `config.json` has it, for where the settings have none.
    position: Option<(f64, f64)>,
    /// `vehicle.commandPolicy` is in force, whatever the settings say.
    is_policy_fixed: bool,
    /// What they know: telling a home anew forgets the one that a parked car showed.
    told: (HomeSetting, garage::CommandPolicy),
}

impl CarsLine {
    /// The cars are there: tells them all that was said so far.
    /// `position` is home as `config.json` has it.
    pub fn connect(
        &self,
        handle: CarsHandle,
        settings: &GarageSettings,
        position: Option<(f64, f64)>,
        is_policy_fixed: bool,
    ) {
        let mut state = self.lock();
        handle.set_limit_wish(state.limit);
        for (car, view) in &state.connectors {
            handle.connector(car, Some(*view));
        }
        for (car, why) in &state.refused {
            handle.permit(car, Some(why.clone()));
        }
        state.cars = Some(Listening {
            handle,
            radius: settings.home.radius,
            position,
            is_policy_fixed,
            told: (settings.home, settings.policy),
        });
    }

    /// The charge limit that cars at home should have.
    pub fn limit(&self, limit: Option<Percent>) {
        let mut state = self.lock();
        state.limit = limit;
        state.tell(|cars| cars.set_limit_wish(limit));
    }

    /// Another policy took over.
    pub fn policy_changed(&self) {
        self.lock().tell(CarsHandle::re_arm);
    }

    /// A car was plugged in at a charging point of ours that does not tell which one. Before the cars are there nothing need
    /// be kept: they are looked at when they come.
    pub fn unknown_plug_in(&self) {
        self.lock().tell(CarsHandle::unknown_plug_in);
    }

    /// Whether a car may charge here.
    pub fn permission(&self, vin: &Vin, refusal: Option<&str>) {
        let key = CarKey::Vin(vin.clone());
        let mut state = self.lock();
        match refusal {
            Some(text) => state.refused.insert(key.clone(), text.to_owned()),
            None => state.refused.remove(&key),
        };
        state.tell(|cars| cars.permit(&key, refusal.map(str::to_owned)));
    }

    /// What a charging point of ours sees of a car.
    pub fn at_connector(&self, vin: &Vin, at: Option<&AtConnector>) {
        let key = CarKey::Vin(vin.clone());
        let view =
            at.map(|at| ConnectorView { draw: at.drawn, plugged: at.plug == Plug::PluggedIn, offered: at.offered });
        let mut state = self.lock();
        match view {
            Some(view) => state.connectors.insert(key.clone(), view),
            None => state.connectors.remove(&key),
        };
        state.tell(|cars| cars.connector(&key, view));
    }

    /// The settings changed.
    pub fn settings(&self, settings: &Map<String, Value>) {
        let mut state = self.lock();
        let Some(cars) = &mut state.cars else { return };
        let settings = Settings::from_map(settings.clone());
        let policy = policy(settings.command_policy());
        let home = HomeSetting { position: settings.home().or(cars.position), radius: cars.radius };
        let (told_home, told_policy) = std::mem::replace(&mut cars.told, (home, policy));
        if told_home != home {
            cars.handle.set_home(home);
        }
        if told_policy != policy && !cars.is_policy_fixed {
            cars.handle.set_policy(policy);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Held for the length of one letter: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&self, word: impl FnOnce(&CarsHandle)) {
        if let Some(cars) = &self.cars {
            word(&cars.handle);
        }
    }
}

/// The order of sources as the cars know it.
pub fn policy(policy: CommandPolicy) -> garage::CommandPolicy {
    match policy {
        CommandPolicy::PreferBle => garage::CommandPolicy::PreferBle,
        CommandPolicy::BleOnly => garage::CommandPolicy::BleOnly,
        CommandPolicy::ApiOnly => garage::CommandPolicy::ApiOnly,
    }
}

//! All cars of the household: their sources, the thread that looks after them, and the page's way to them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use config::{CarBudget, CarCaps, Config, Settings};
use control_http::Cars;
use evse::{ControllerEvent, EvseController, EvseId, EvseInstance, EvseListener};
use evse_tesla::{CarsHandle, TeslaCars, TeslaCarsSettings};
use garage::{Allowance, BudgetView, Caps, CarSetting, CarView, GarageSettings, HomeSetting, Kept, Prices};
use mqtt_link::Hub;
use serde_json::Value;
use site::{CarFact, CarsFacts, SitePort};
use site_thread::Mailbox;
use units::Phases;
use vehicle::{CarKey, Request, VehicleListener, VehicleSource};
use vehicle_tesla::Account;
use vehicle_teslamate::tokens::{Database, Keeper};

use super::books::Books;
use super::borrowed::Borrowed;
use super::line::{self, CarsLine};
use super::tesla_account::PageAccount;
use super::tesla_api::SiteTokens;
use super::{ble_proxy, fleet_telemetry, home_assistant, tesla_api, tesla_control, teslamate};

/// Millionths of a dollar in a dollar.
const MICRO: f64 = 1_000_000.0;

/// What is switched on of the ways to cars.
pub struct CarsPlan {
    settings: TeslaCarsSettings,
    /// Home as `config.json` has it.
    position: Option<(f64, f64)>,
    is_policy_fixed: bool,
    folder: Option<PathBuf>,
    cloud: Option<vehicle_tesla::Settings>,
    /// TeslaMate's database, whose token the cloud is read with.
    lender: Option<Database>,
    teslamate: Option<vehicle_teslamate::Settings>,
    stream: Option<vehicle_fleet_telemetry::Settings>,
    assistant: Option<vehicle_home_assistant::Settings>,
    proxy: Option<vehicle_ble_proxy::Settings>,
    program: Option<vehicle_tesla_control::Settings>,
    hub: Arc<Hub>,
}

impl CarsPlan {
    /// As configured; `None` when no way to any car is. What cannot be used is said, and the rest goes on.
    pub fn of(config: &Config, settings: &Settings, folder: &Path, hub: Arc<Hub>) -> Option<CarsPlan> {
        let lender = teslamate::database(config).filter(|_| config.vehicle.tesla_api);
        let cloud = match &lender {
            Some(_) => tesla_api::described(config, Some(folder)).map(Some),
            None => tesla_api::settings(config, Some(folder)),
        };
        let plan = CarsPlan {
            settings: cars_settings(config, settings),
            position: config.site.position,
            is_policy_fixed: config.vehicle.command_policy.is_some(),
            folder: Some(folder.to_owned()),
            cloud: said(cloud),
            lender,
            teslamate: said(teslamate::telemetry(config)),
            stream: said(fleet_telemetry::stream(config)),
            assistant: said(home_assistant::home_assistant(config)),
            proxy: said(ble_proxy::proxy(config)),
            program: {
                let home = std::env::var_os("HOME").map(PathBuf::from);
                let search = std::env::var("PATH").unwrap_or_default();
                tesla_control::bluetooth(config, settings, Some(folder), home.as_deref(), &search)
            },
            hub,
        };
        let has_way = plan.cloud.is_some()
            || plan.teslamate.is_some()
            || plan.stream.is_some()
            || plan.assistant.is_some()
            || plan.proxy.is_some()
            || plan.program.is_some();
        has_way.then_some(plan)
    }

    /// For simulated cars in a simulated cloud.
    pub fn simulated(settings: TeslaCarsSettings, cloud: vehicle_tesla::Settings) -> CarsPlan {
        CarsPlan {
            settings,
            position: None,
            is_policy_fixed: false,
            folder: None,
            cloud: Some(cloud),
            lender: None,
            teslamate: None,
            stream: None,
            assistant: None,
            proxy: None,
            program: None,
            hub: Arc::default(),
        }
    }

    /// Starts looking after the cars.
    pub fn start(self, site: &Arc<dyn SitePort>, mailbox: &Arc<Mailbox>, line: &CarsLine) -> Option<Household> {
        let books = Books::in_folder(self.folder.as_deref());
        let kept = books.read();
        let borrowed = self.lender.is_some().then(Borrowed::default).map(Arc::new);
        let account = self.cloud.clone().map(|settings| {
            let store: Arc<dyn vehicle_tesla::TokenStore> = match &borrowed {
                Some(borrowed) => Arc::clone(borrowed) as _,
                None => Arc::new(SiteTokens::new(Arc::clone(site), self.folder.clone())),
            };
            Arc::new(Account::new(settings, store))
        });
        let lender = borrowed.zip(self.lender).and_then(|(borrowed, database)| {
            let keeper = Keeper::start(database, move |found| borrowed.told(found));
            keeper.map_err(|error| log::error!("vehicle.TeslaMate: {error}")).ok()
        });
        let garage = self.settings.garage.clone();
        let listener = Arc::new(AtHome { mailbox: Arc::clone(mailbox), cars: Mutex::default() });
        let write = move |kept: &Kept| books.write(kept);
        let cloud = account.clone();
        let sources = |listener: Arc<dyn VehicleListener>| {
            let tell = || Arc::clone(&listener);
            let mut sources: Vec<Arc<dyn VehicleSource>> = Vec::new();
            let mut add = |name: &str, opened: Result<Arc<dyn VehicleSource>, String>| match opened {
                Ok(source) => sources.push(source),
                Err(error) => log::error!("{name}: {error}"),
            };
            if let Some(account) = cloud {
                add("vehicle.teslaAPI", text(vehicle_tesla::open(&account, tell())));
            }
            if let Some(settings) = self.proxy {
                add("vehicle.teslaBleHttpProxy", text(vehicle_ble_proxy::open(settings, tell())));
            }
            if let Some(settings) = self.program {
                add("vehicle.teslaBLE", text(vehicle_tesla_control::open(settings, tell())));
            }
            if let Some(settings) = self.stream {
                add(
                    "vehicle.teslaFleetTelemetryMQTT",
                    text(vehicle_fleet_telemetry::open(settings, &self.hub, tell())),
                );
            }
            if let Some(settings) = self.teslamate {
                add("vehicle.TeslaMate", text(vehicle_teslamate::open(settings, &self.hub, tell())));
            }
            if let Some(settings) = self.assistant {
                add("vehicle.HomeAssistant", text(vehicle_home_assistant::open(settings, tell())));
            }
            sources
        };
        match TeslaCars::open(self.settings, kept, Box::new(write), sources, listener) {
            Ok(controller) => {
                line.connect(controller.handle(), &garage, self.position, self.is_policy_fixed);
                Some(Household { controller, account, prices: garage.allowance.prices, _lender: lender })
            }
            Err(error) => {
                log::error!("no thread can be made for the cars: {error}");
                None
            }
        }
    }
}

/// The value, or nothing and a line in the log.
fn said<T>(found: Result<Option<T>, String>) -> Option<T> {
    found.unwrap_or_else(|error| {
        log::error!("{error}");
        None
    })
}

fn text<T, E: fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn cars_settings(config: &Config, settings: &Settings) -> TeslaCarsSettings {
    let (site, vehicle) = (&config.site, &config.vehicle);
    let garage = GarageSettings {
        policy: line::policy(vehicle.command_policy.unwrap_or_else(|| settings.command_policy())),
        allowance: allowance(&vehicle.budget),
        idle_interval: site.cloud_update_interval,
        charging_interval: vehicle.charging_interval,
        wake_delay: site.wake_delay,
        respect_schedule: site.respect_vehicle_schedule,
        // The site sees to it: it knows when a fuse wants a stop all the same.
        min_level: None,
        home: HomeSetting { position: settings.home().or(site.position), radius: site.at_home_radius },
        cars: cars(config, settings),
        ..GarageSettings::default()
    };
    let mut all = TeslaCarsSettings::new(garage, site.default_voltage, site.wiring_max_per_twc);
    all.phases = site.phases;
    all
}

/// What is set for single cars: the circuit in `config.json`, the phases in `settings.json`.
fn cars(config: &Config, settings: &Settings) -> std::collections::BTreeMap<String, CarSetting> {
    let mut all = std::collections::BTreeMap::<String, CarSetting>::new();
    for (vin, car) in &config.vehicle.cars {
        match car.get("circuit").and_then(Value::as_str) {
            Some("connectors") => all.entry(vin.to_ascii_uppercase()).or_default().is_on_circuit = true,
            Some("own") | None => {}
            Some(other) => log::error!(
                "vehicle.cars.{vin}.circuit is `{other}`: write `connectors` for a charger on the circuit of the Wall \
                 Connectors, or `own`"
            ),
        }
    }
    let options = settings.value("vehicleOptions").and_then(Value::as_object);
    for (vin, car) in options.into_iter().flatten() {
        let count = car.get("phases").and_then(Value::as_u64).and_then(|count| u8::try_from(count).ok());
        if let Some(phases) = count.and_then(Phases::from_count) {
            all.entry(vin.clone()).or_default().phases = Some(phases);
        }
    }
    all
}

fn allowance(budget: &CarBudget) -> Allowance {
    let caps = |caps: CarCaps| Caps {
        money: caps.dollars.map(micro),
        commands: caps.commands,
        data: caps.data,
        wakes: caps.wakes,
    };
    let prices = Prices {
        command: micro(budget.price_of_command),
        data: micro(budget.price_of_reading),
        wake: micro(budget.price_of_wake),
    };
    Allowance { day: caps(budget.day), month: caps(budget.month), prices }
}

/// Dollars to millionths; the configuration lets pass 0 to a million only.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float is cast saturating")]
fn micro(dollars: f64) -> u64 {
    (dollars * MICRO).round() as u64
}

/// What runs for the cars.
pub struct Household {
    controller: TeslaCars,
    account: Option<Arc<Account>>,
    prices: Prices,
    /// Reads TeslaMate's token for as long as it is there.
    _lender: Option<Keeper>,
}

impl Household {
    /// The cars, for the page.
    pub fn page(&self) -> Arc<dyn Cars> {
        Arc::new(PageCars { handle: self.controller.handle(), prices: self.prices })
    }

    /// The account at Tesla's, for the page.
    pub fn account(&self) -> Option<Arc<dyn control_http::TeslaAccount>> {
        self.account.clone().map(|account| Arc::new(PageAccount(account)) as _)
    }

    /// Ends it; nothing is sent to any car.
    pub fn shutdown(mut self) {
        self.controller.shutdown();
    }
}

/// The cars as the page asks for them.
#[derive(Debug)]
struct PageCars {
    handle: CarsHandle,
    prices: Prices,
}

impl Cars for PageCars {
    fn views(&self) -> Vec<CarView> {
        self.handle.views().to_vec()
    }

    fn budget(&self) -> BudgetView {
        self.handle.budget().map_or_else(BudgetView::default, |budget| BudgetView::clone(&budget))
    }

    fn prices(&self) -> Prices {
        self.prices
    }

    fn command(&self, car: &CarKey, request: Request) -> Result<(), String> {
        self.handle.command(car, request).map_err(|error| error.text)
    }

    fn resume_billed_calls(&self) {
        self.handle.resume_billed_calls();
    }
}

/// Passes the cars at home on to the site, and what the policies may ask about them.
struct AtHome {
    mailbox: Arc<Mailbox>,
    cars: Mutex<std::collections::BTreeMap<EvseId, CarFact>>,
}

impl AtHome {
    fn tell(&self, change: impl FnOnce(&mut std::collections::BTreeMap<EvseId, CarFact>)) {
        let mut cars = self.cars.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut cars);
        self.mailbox.cars(CarsFacts { cars: cars.values().cloned().collect() });
    }
}

impl EvseListener for AtHome {
    fn changed(&self, instance: &Arc<dyn EvseInstance>) {
        let status = instance.status();
        let limit = match status.details.get("charge_limit_percent") {
            Some(evse::Detail::Number(percent)) => units::Percent::new(*percent).ok(),
            _ => None,
        };
        let fact = CarFact { vin: status.vin.clone(), is_at_home: true, soc: status.soc, limit };
        self.tell(|cars| {
            cars.insert(status.id.clone(), fact);
        });
        self.mailbox.changed(instance);
    }

    fn gone(&self, id: &EvseId) {
        self.tell(|cars| {
            cars.remove(id);
        });
        self.mailbox.gone(id);
    }

    fn event(&self, event: ControllerEvent) {
        self.mailbox.event(event);
    }
}

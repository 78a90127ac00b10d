//! `run`: starts every part in the order that safety asks for, waits for a signal, and ends them in reverse.
//!
//! The bus comes first, before any disk, network or database is touched: connectors whose controller is silent make their
//! cars fault within 20 to 30 seconds. It also ends last.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use config::{Settings, SettingsStore};
use control_http::{AccessFile, Api, ApiConfig, DebugBus, History};
use ems::{Section, Shared};
use ems_host::{ReadingSink, SourceSpec};
use evse::{EvseController, EvseListener};
use evse_gen2::{Gen2Controller, Gen2Settings};
use journal::{Journal, Store};
use serde_json::{Map, Value};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use site::{SessionEvent, SitePort, SiteSetup};
use site_thread::{Mailbox, SiteHandle, SiteThread};

use crate::bus_debug::{Answers, Buses};
use crate::cars::{CarsLine, CarsPlan, Household};
use crate::configuration::{Configuration, Reread};
use crate::controllers::ControllerDriver;
use crate::drivers::Drivers;
use crate::instance::Instance;
use crate::logs::Logs;
use crate::outlets::{ProgramOutlets, Saver, call_webhooks, session_of, webhook_queue};
use crate::past::Past;
use crate::supervisor::Supervisor;
use crate::talk::Talk;
use crate::web::{self, Web, WebPlan};
use crate::{check, plan, webhook};

/// Name of the journal, beside the settings.
pub const JOURNAL: &str = "twcmanager.db";
/// Connectors that are on a bus have answered and told whether a car is there so long after its settling.
const CONNECTORS_ANSWER: Duration = Duration::from_secs(15);
/// The site publishes every five seconds when nothing happens.
const SITE_PATIENCE: Duration = Duration::from_secs(8);
/// Sources that are in the middle of a call when the program ends are waited for this long.
const SOURCES_PATIENCE: Duration = Duration::from_millis(500);

/// Everything that differs between a real installation and the demo.
pub struct Plan {
    /// What each bus is told.
    pub buses: Vec<Gen2Settings>,
    /// Controllers of other makes.
    pub controllers: Vec<(ControllerDriver, Section)>,
    /// What the site is told.
    pub setup: SiteSetup,
    /// The energy sources.
    pub sources: Vec<SourceSpec>,
    /// The folder of settings and journal; without one nothing outlives the program.
    pub folder: Option<PathBuf>,
    /// Settings to begin with where none are kept.
    pub settings: Map<String, Value>,
    /// Where the page is served.
    pub web: Option<WebPlan>,
    /// To look at the configuration again.
    pub reread: Option<Reread>,
    /// Front ends that go out to others.
    pub talk: Talk,
    /// The ways to cars, when there are any.
    pub cars: Option<CarsPlan>,
    /// The configuration as it may be shown.
    pub masked: Value,
}

/// Runs by a configuration file.
pub fn run(named: Option<&Path>, drivers: &Drivers, logs: &Logs) -> ExitCode {
    let shared = Arc::new(Shared::new());
    let configuration = Configuration::read(named, drivers, &shared);
    if let Some(config) = &configuration.config {
        logs.configure(config);
    }
    for warning in &configuration.warnings {
        log::warn!("{}", check::line_of("warning", warning).trim_end());
    }
    for error in &configuration.errors {
        log::error!("{}", check::line_of("error", error).trim_end());
    }
    let Some(config) = configuration.config else {
        log::error!("the configuration cannot be used; `twcmanager check` shows all there is to mend");
        return ExitCode::from(2);
    };
    for section in plan::unserved(&config) {
        log::warn!("{section} is switched on, and this version does not serve it yet: it has no effect");
    }
    let folder = config.site.settings_path.clone();
    let _instance = match Instance::claim(&folder) {
        Ok(instance) => instance,
        Err(refusal) => {
            log::error!("{refusal}");
            return ExitCode::FAILURE;
        }
    };
    // Tokens and counts of calls that outlive a restart; the sources ask for them when they are first read.
    shared.get::<ems_http::Keep>().use_folder(&folder.join("sources"));
    // A peek for the few choices that the bus needs; the store is opened properly once the bus runs.
    let peeked = SettingsStore::peek(&folder);
    let mut buses = match plan::buses(&config, &peeked) {
        Ok(buses) => buses,
        Err(error) => {
            log::error!("interface.RS485.port: {error}");
            return ExitCode::from(2);
        }
    };
    let mut simulation = None;
    if let Some(dummy) = &config.interface.dummy {
        match crate::simulation::Simulation::start_dummy(dummy) {
            Ok((started, port)) => {
                let mut bus = Gen2Settings::new(port, config.site.wiring_max_all_twcs, config.site.wiring_max_per_twc);
                bus.name = "Dummy".to_owned();
                buses.push(plan::common(bus, &config, &peeked));
                simulation = Some(started);
            }
            Err(error) => log::error!("interface.Dummy: {error}"),
        }
    }
    let names = configuration.sources.iter().map(|source| source.name.clone()).collect();
    let cars = CarsPlan::of(&config, &peeked, &folder, shared.get());
    let plan = Plan {
        buses,
        controllers: configuration.controllers,
        setup: SiteSetup {
            consumption_sources: configuration.consumption_sources,
            ..plan::site_setup(&config, names, configuration.policy)
        },
        sources: configuration.sources,
        folder: Some(folder),
        settings: Map::new(),
        web: config.control.http.as_ref().map(WebPlan::of),
        reread: Some(configuration.reread),
        talk: Talk::of(&config, shared.get()),
        cars,
        masked: configuration.masked,
    };
    let code = serve(plan, logs);
    drop(simulation);
    code
}

/// Starts everything, waits for SIGTERM or SIGINT, ends everything. SIGHUP takes over what can be without a restart.
pub fn serve(plan: Plan, logs: &Logs) -> ExitCode {
    let mut signals = match Signals::new([SIGTERM, SIGINT, SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => {
            log::error!("signals cannot be received: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mailbox = Arc::new(Mailbox::default());
    let listener: Arc<dyn EvseListener> = Arc::clone(&mailbox) as _;
    let answers = Answers::new();
    let mut buses = Vec::new();
    let mut setup = plan.setup;
    for settings in plan.buses {
        let name = settings.name.clone();
        setup.finding_connectors = setup.finding_connectors.max(settings.settle_time + CONNECTORS_ANSWER);
        match Gen2Controller::open_monitored(settings, Arc::clone(&listener), Some(answers.monitor())) {
            Ok(bus) => buses.push(bus),
            Err(error) => log::error!("{name}: {error}"),
        }
    }
    let has_bus = !buses.is_empty();
    let buses = Arc::new(Mutex::new(buses));
    let mut others = Vec::new();
    for (driver, mut section) in plan.controllers {
        let opened = (driver.open)(&mut section, Arc::clone(&listener));
        for problem in section.problems() {
            log::warn!("{}: {}", problem.key, problem.message);
        }
        others.extend(opened);
    }

    let kept = Kept::open(plan.folder.as_deref(), plan.settings, &mailbox);
    let (webhook_sender, webhook_receiver) = webhook_queue();
    if let Some(journal) = &kept.journal {
        logs.catch_up(journal.path(), now_ms());
    }
    let saver = Arc::clone(&kept.saver);
    let records = Arc::clone(logs.fanout());
    let cars_line = CarsLine::default();
    let outlets = ProgramOutlets::new(
        Arc::clone(&buses),
        saver,
        kept.journal.clone(),
        webhook_sender,
        records,
        cars_line.clone(),
    );
    let generation_is_delivery = setup.generation_is_delivery;
    let mut site = match SiteThread::start(setup, kept.settings, kept.sessions, Arc::clone(&mailbox), Box::new(outlets))
    {
        Ok(site) => site,
        Err(errors) => {
            for error in errors {
                log::error!("{error}");
            }
            log::error!("the policies cannot be used; `twcmanager check` shows all there is to mend");
            return ExitCode::from(2);
        }
    };

    let port: Arc<dyn SitePort> = Arc::new(site.handle());
    let household = plan.cars.and_then(|cars| cars.start(&port, &mailbox, &cars_line));
    let watch_records = logs.watch(Arc::new(site.handle()), generation_is_delivery, kept.journal.clone());
    let access_file = plan.folder.as_deref().map(AccessFile::in_folder);
    let access = plan.web.as_ref().map(|web| web.access.clone()).unwrap_or_default();
    if access.read_needs_password
        && let Some(Ok(false)) = access_file.as_ref().map(AccessFile::has_password)
    {
        log::warn!("control.HTTP.readNeedsPassword has no effect without a password: set one with `twcmanager passwd`");
    }
    let path = plan.folder.as_deref().map(|folder| folder.join(JOURNAL)).filter(|_| kept.journal.is_some());
    let debug_bus = has_bus.then(|| Arc::new(Buses::new(&buses, answers)));
    let api_config = ApiConfig {
        config_masked: plan.masked,
        uuid: uuid(),
        access,
        access_file,
        history: path.map(|path| Arc::new(Past { path }) as Arc<dyn History>),
        bus: debug_bus.clone().map(|bus| bus as Arc<dyn DebugBus>),
        logs: Some(logs.outputs()),
        cars: household.as_ref().map(Household::page),
        tesla: household.as_ref().and_then(Household::account),
        ..ApiConfig::default()
    };
    let api = Arc::new(Api::new(api_config, Arc::new(site.handle())));
    let status = Arc::clone(&api);
    let webhooks = std::thread::Builder::new().name("webhooks".to_owned()).stack_size(256 * 1024).spawn(move || {
        call_webhooks(&webhook_receiver, |webhook| webhook::call(webhook, &|| status.status_object()));
    });
    if let Err(error) = webhooks {
        log::error!("webhooks will not be called: {error}");
    }
    let mut web = plan.web.map(|plan| Web::start(plan, api));
    let talking = plan.talk.start(&(Arc::new(site.handle()) as Arc<dyn SitePort>), debug_bus, || {
        log::info!("somebody asks over MQTT for the program to end");
        if let Err(error) = signal_hook::low_level::raise(SIGINT) {
            log::error!("it cannot be ended: {error}");
        }
    });
    let sink: Arc<dyn ReadingSink> = Arc::clone(&mailbox) as _;
    let sources = ems_host::run(plan.sources, &sink);
    log::info!("twcmanager {} is ready", env!("CARGO_PKG_VERSION"));
    let supervisor = Supervisor::from_environment();
    supervisor.ready();
    let watch = supervisor.watch(sign_of_life(&buses, site.handle()));

    for signal in signals.forever() {
        if signal != SIGHUP {
            log::info!("ending, after signal {signal}");
            break;
        }
        take_over(plan.reread.as_ref(), web.as_mut());
    }
    supervisor.stopping();
    drop(watch);
    if let Some(web) = web {
        web.shutdown();
    }
    talking.shutdown();
    if !sources.shutdown(SOURCES_PATIENCE) {
        log::debug!("a source is still in the middle of a call and is left behind");
    }
    watch_records.end();
    if let Some(household) = household {
        household.shutdown();
    }
    site.shutdown();
    kept.saver.end();
    if kept.saver_thread.is_some_and(|thread| thread.join().is_err()) {
        log::error!("the settings' thread failed inside; the last change may be missing");
    }
    drop(kept.journal);
    drop(site);
    others.iter_mut().for_each(|controller| controller.shutdown());
    match Arc::try_unwrap(buses) {
        Ok(buses) => {
            buses.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().for_each(|mut bus| bus.shutdown())
        }
        Err(_) => log::debug!("a bus is still held elsewhere; it ends with the program"),
    }
    ExitCode::SUCCESS
}

/// Takes over what can be taken over while cars charge: certificates, and who may ask. The rest is named.
fn take_over(reread: Option<&Reread>, mut web: Option<&mut Web>) {
    log::info!("SIGHUP: looking at the configuration and the certificate again");
    match reread.map(Reread::again) {
        None => {}
        Some(Ok((config, changed))) => {
            if let (Some(web), Some(http)) = (&mut web, &config.control.http) {
                web.set_access(web::rules(http));
            }
            if !changed.is_empty() {
                log::warn!("changed in the configuration, but in force only after a restart: {}", changed.join(", "));
            }
        }
        Some(Err(errors)) => {
            for error in &errors {
                log::error!("{}", check::line_of("error", error).trim_end());
            }
            log::error!("the configuration cannot be used; the one from before stays in force");
        }
    }
    if let Some(web) = web {
        web.reload_certificates();
    }
}

/// Whether every bus thread does its work; the site stands in where there is no bus.
fn sign_of_life(buses: &Arc<Mutex<Vec<Gen2Controller>>>, site: SiteHandle) -> impl FnMut() -> bool + Send + 'static {
    // Weak: the buses end when the last one lets go of them.
    let buses = Arc::downgrade(buses);
    let mut nudged: Option<Instant> = None;
    let mut seen = 0;
    move || {
        let Some(buses) = buses.upgrade() else { return false };
        let buses = buses.lock().unwrap_or_else(PoisonError::into_inner);
        if buses.is_empty() {
            drop(buses);
            let newer = site.newer_than(seen, SITE_PATIENCE);
            seen = newer.as_ref().map_or(seen, |snapshot| snapshot.sequence);
            return newer.is_some();
        }
        // The thread had the time between two questions to answer the nudge of the one before.
        let is_alive = nudged.is_none_or(|at| buses.iter().all(|bus| bus.bus_status().taken_at >= at));
        nudged = Some(Instant::now());
        buses.iter().all(|bus| bus.nudge().is_ok()) && is_alive
    }
}

/// What outlives the program: settings and journal.
struct Kept {
    settings: Map<String, Value>,
    sessions: Vec<SessionEvent>,
    saver: Arc<Saver>,
    saver_thread: Option<std::thread::JoinHandle<()>>,
    journal: Option<Arc<Journal>>,
}

impl Kept {
    fn open(folder: Option<&Path>, mut settings: Map<String, Value>, mailbox: &Arc<Mailbox>) -> Kept {
        let mut store = None;
        let mut journal = None;
        let mut sessions = Vec::new();
        if let Some(folder) = folder {
            match SettingsStore::open(folder, SystemTime::now()) {
                Ok(opened) => {
                    for notice in &opened.notices {
                        log::info!("{notice}");
                    }
                    settings = opened.store.get().as_map().clone();
                    store = Some(opened.store);
                }
                Err(error) => log::error!("{error}. Until then nothing that is set is kept"),
            }
            (journal, sessions) = open_journal(&folder.join(JOURNAL));
        }
        settings = Settings::from_map(settings).as_map().clone();
        let letters = Arc::clone(mailbox);
        let save = move |values: Map<String, Value>| {
            let Some(store) = &mut store else { return Ok(()) };
            store.update(|settings| *settings = Settings::from_map(values));
            let result = store.save().map_err(|error| error.to_string());
            letters.settings_saved(result.clone());
            result
        };
        let (saver, saver_thread) = match Saver::start(save) {
            Ok((saver, thread)) => (saver, Some(thread)),
            Err(error) => {
                log::error!("settings will not be saved: {error}");
                (Arc::default(), None)
            }
        };
        Kept { settings, sessions, saver, saver_thread, journal }
    }
}

fn open_journal(path: &Path) -> (Option<Arc<Journal>>, Vec<SessionEvent>) {
    let opened = match Store::open(path, now_ms()) {
        Ok(opened) => opened,
        Err(error) => {
            log::error!("{error}. Charging goes on; nothing is written down");
            return (None, Vec::new());
        }
    };
    if let Some(aside) = opened.set_aside {
        log::error!("the journal was damaged and is kept as {}; a fresh one is begun", aside.display());
    }
    let sessions = opened.open_sessions.into_iter().map(session_of).collect();
    match Journal::start(opened.store) {
        Ok(journal) => (Some(Arc::new(journal)), sessions),
        Err(error) => {
            log::error!("the journal's thread cannot be started: {error}. Charging goes on; nothing is written down");
            (None, sessions)
        }
    }
}

/// A number that stays the same on this machine: that of its first network card, as TWCManager gives it, else of its id.
fn uuid() -> String {
    let cards = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let mut addresses: Vec<u64> = cards
        .filter(|card| card.file_name() != "lo")
        .filter_map(|card| std::fs::read_to_string(card.path().join("address")).ok())
        .filter_map(|text| u64::from_str_radix(&text.trim().replace(':', ""), 16).ok())
        .filter(|address| *address != 0)
        .collect();
    addresses.sort_unstable();
    let machine = || {
        let id = std::fs::read_to_string("/etc/machine-id").ok()?;
        u64::from_str_radix(id.trim().get(..12)?, 16).ok()
    };
    addresses.first().copied().or_else(machine).unwrap_or(0).to_string()
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

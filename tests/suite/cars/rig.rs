//! Cloud, connectors, meter and program, and the cables between them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::{Bus, Meter, Program, config_with, run_to_end};
use gen2_simulator::gen2_protocol::{Text, TwcId};
use gen2_simulator::{CarSettings, ConnectorSettings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tesla_simulator::{
    ALL_SCOPES, Asked, CLIENT_ID, CLIENT_SECRET, Car, ChargingState, Class, Clock, Cloud, CloudBuilder, Place, Quirks,
    Running,
};
use units::Amps;

/// The domain that the key is published on: nobody answers there, at once.
pub const DOMAIN: &str = "127.0.0.1";
pub const HOME: Place = Place { latitude: 50.1, longitude: 8.6 };
/// At the first connector, which tells its VIN.
pub const ANNA: &str = "5YJ3E1EA8KF000001";
/// At the second connector, which tells none.
pub const BERT: &str = "LRW3F7EK0NC000002";
/// On a mobile connector.
pub const CLEO: &str = "XP7YGCEK0PB000003";
/// What the house takes beside cars, in watts.
pub const HOUSE_W: f64 = 400.0;

/// A car at home that does what it does without much ado.
pub fn car(vin: &str, name: &str) -> Car {
    let quick = Quirks {
        start_takes: Duration::from_secs(1),
        reaction: Duration::from_millis(200),
        wake_takes: Duration::from_secs(1),
        ..Quirks::default()
    };
    Car::new(vin).name(name).at(HOME).quirks(quick)
}

/// A cloud in real time.
pub fn cloud() -> CloudBuilder {
    Cloud::builder().clock(Clock::Real { speed: 1.0 })
}

/// A connector that tells VINs, or an older one that does not.
pub fn connector(id: u16, tells_vin: bool) -> ConnectorSettings {
    let usual = ConnectorSettings::european(TwcId::from_u16(id));
    ConnectorSettings { firmware: usual.firmware.filter(|_| tells_vin), ..usual }
}

/// The end of a cable at a connector, in the eyes of the connector.
pub fn body_of(vin: &str) -> CarSettings {
    CarSettings {
        vin: Some(Text::new(vin.as_bytes())),
        reaction: Duration::from_millis(500),
        start_delay: Duration::from_secs(1),
        most: Amps::ZERO,
        ..CarSettings::default()
    }
}

/// The configuration of somebody who signed in at `cloud`.
pub fn config(cloud: &Running, port: &str, more: &Value) -> Value {
    let mut all = config_with(port, more);
    let address = format!("http://127.0.0.1:{}/teslaAccount/callback", all["control"]["HTTP"]["listenPort"]);
    for (key, value) in [
        ("teslaApiClientID", json!(CLIENT_ID)),
        ("teslaApiClientSecret", json!(CLIENT_SECRET)),
        ("teslaApiRedirectUri", json!(address)),
        ("teslaApiRegion", json!("EU")),
        ("wakeDelayMins", json!(0)),
        // All there is to be seen: secrets are looked for in it.
        ("logLevel", json!(10)),
    ] {
        all["config"][key] = value;
    }
    let api = &mut all["vehicle"]["teslaAPI"];
    api["apiUrl"] = json!(cloud.api_url());
    api["authUrl"] = json!(cloud.auth_url());
    api["domain"] = json!(DOMAIN);
    all
}

/// A folder with a configuration, for the command line and for `run`.
pub struct Folder {
    pub folder: Arc<TempDir>,
    pub config: Value,
}

impl Folder {
    pub fn new(config: Value) -> Folder {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        let mut config = config;
        config["config"]["settingsPath"] = json!(folder.path());
        let all = Folder { folder, config };
        std::fs::write(all.file(), all.config.to_string()).expect("the configuration");
        all
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self) -> PathBuf {
        self.path().join("config.json")
    }

    pub fn settings(&self) -> Value {
        let text = std::fs::read_to_string(self.path().join("settings.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Puts what an earlier run would have left.
    pub fn set(&self, changes: &Value) {
        let mut settings = self.settings();
        if settings.is_null() {
            settings = json!({});
        }
        for (key, value) in changes.as_object().expect("an object") {
            settings[key] = value.clone();
        }
        std::fs::write(self.path().join("settings.json"), settings.to_string()).expect("the settings");
    }

    /// As if somebody had signed in before.
    pub fn sign_in(&self, cloud: &Running) {
        let tokens = cloud.log_in(ALL_SCOPES);
        let expires = now() + 8.0 * 3600.0;
        self.set(&json!({
            "carApiBearerToken": tokens.access, "carApiRefreshToken": tokens.refresh, "carApiTokenExpireTime": expires,
            "homeLat": HOME.latitude, "homeLon": HOME.longitude,
        }));
    }

    /// `twcmanager tesla setup`: what it printed, and its exit code.
    pub fn setup(&self, args: &[&str]) -> (String, Option<i32>) {
        let file = self.file();
        let mut all = vec!["tesla", "setup", "--config", file.to_str().expect("a path")];
        all.extend(args);
        let output = run_to_end(&all);
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        println!("{text}");
        (text, output.status.code())
    }

    /// Makes the key pair and lets all cars know it.
    pub fn pair(&self, cloud: &Running) {
        let (text, _) = self.setup(&["--create-key"]);
        let pem = pem_in(&text).expect("the public key is printed");
        cloud.with(|cloud| {
            cloud.host_key(DOMAIN, &pem);
            assert!(cloud.pair(DOMAIN, None));
            cloud.clear_billing();
            cloud.clear_log();
        });
    }

    pub fn start(&self) -> Program {
        Program::start_in(Arc::clone(&self.folder), &self.config)
    }
}

/// The public key in a text.
pub fn pem_in(text: &str) -> Option<String> {
    let (begin, end) = ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----");
    let from = text.find(begin)?;
    let length = text[from..].find(end)?;
    Some(text[from..from + length + end.len()].to_owned())
}

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the time").as_secs_f64()
}

/// The cables: what a connector offers reaches the car, what the car takes flows through the connector, and the meter sees all.
pub struct Cables {
    stop: Arc<AtomicBool>,
    peaks: Arc<Mutex<Peaks>>,
    thread: Option<JoinHandle<()>>,
}

/// The most that was ever seen, in amps per phase.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peaks {
    /// Through the connectors.
    pub connectors: f64,
    /// Told to the connectors.
    pub told: f64,
    /// Connectors and the mobile one together, were they all on one phase.
    pub all: f64,
}

impl Cables {
    /// Connects `cars` to connectors by their number; `free` hangs on a socket of the house.
    pub fn connect(
        bus: &Bus,
        cloud: &Arc<Running>,
        cars: &[(usize, &'static str)],
        free: Option<&'static str>,
        meter: Option<Meter>,
    ) -> Cables {
        let (stop, peaks) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Peaks::default())));
        let (bus, cloud, cars) = (bus.handle().clone(), Arc::clone(cloud), cars.to_vec());
        let (is_over, peak) = (Arc::clone(&stop), Arc::clone(&peaks));
        let thread = std::thread::spawn(move || {
            let mut most = vec![None; cars.len()];
            while !is_over.load(Ordering::SeqCst) {
                for ((index, vin), last) in cars.iter().zip(&mut most) {
                    let Ok(view) = bus.with(|bus, _| bus.connector(*index)) else { continue };
                    if view.soc.is_none() {
                        *last = None;
                        continue;
                    }
                    let offered = amps(f64::from(view.limit.0) / 100.0);
                    let takes = cloud.car(vin, |car| {
                        car.set_pilot(offered);
                        let is_charging = car.charging_state() == ChargingState::Charging;
                        if is_charging { car.set_amps() } else { Amps::ZERO }
                    });
                    if last.replace(takes) != Some(takes) {
                        bus.with(|bus, now| bus.set_car_most(now, *index, takes)).expect("the connector");
                    }
                }
                let views = bus.with(|bus, _| bus.connectors());
                let drawn = bus.with(|bus, _| bus.total_draw()).into_array().map(|amps| amps.get());
                let (free_amps, free_watts) =
                    free.map_or((0.0, 0.0), |vin| cloud.car(vin, |car| (car.drawn().get(), car.power().get())));
                let highest = drawn.into_iter().fold(0.0, f64::max);
                {
                    let mut peak = peak.lock().expect("the peaks");
                    peak.connectors = peak.connectors.max(highest);
                    peak.told = peak.told.max(views.iter().map(|view| f64::from(view.limit.0) / 100.0).sum());
                    peak.all = peak.all.max(highest + free_amps);
                }
                if let Some(meter) = &meter {
                    let cars = drawn.into_iter().sum::<f64>() * 230.0 + free_watts;
                    meter.answer("/consumption", &(HOUSE_W + cars).to_string());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Cables { stop, peaks, thread: Some(thread) }
    }

    pub fn peaks(&self) -> Peaks {
        *self.peaks.lock().expect("the peaks")
    }
}

impl Drop for Cables {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
    }
}

pub fn amps(value: f64) -> Amps {
    Amps::new(value).expect("amps")
}

/// What the program says about a car, as soon as it knows it.
pub fn told_of(program: &Program, vin: &str) -> Option<Value> {
    let all = program.get("/api/v2/cars");
    all["cars"].as_array()?.iter().find(|car| car["id"] == vin).cloned()
}

/// What was billed and what the program counted: commands, readings, wakes.
pub fn counted(program: &Program, cloud: &Running) -> ([u64; 3], [u64; 3]) {
    let used = &program.get("/api/v2/cars/budget")["month"]["used"];
    let ours = ["commands", "data", "wakes"].map(|kind| used[kind].as_u64().unwrap_or(u64::MAX));
    let billed = cloud.billing().total;
    (ours, [billed.commands, billed.data, billed.wakes])
}

/// Calls that were billed and did not reach an awake car.
pub fn calls_to_sleepers(cloud: &Running) -> Vec<Asked> {
    cloud
        .log()
        .into_iter()
        .filter(|asked| asked.status == 408 && asked.billed.is_some_and(|class| class != Class::Wake))
        .collect()
}

/// An answer as a browser gets it, before it follows a redirect.
#[derive(Debug)]
pub struct Visit {
    pub status: u16,
    pub location: String,
}

/// Opens an address, as a browser does.
pub fn visit(url: &str) -> Visit {
    let answer = ureq::get(url).config().http_status_as_error(false).max_redirects(0).build().call();
    visited(answer.expect("an answer"))
}

/// Sends a form, as a browser does.
pub fn send_form(url: &str, form: &[(&str, &str)]) -> Visit {
    let answer = ureq::post(url).config().http_status_as_error(false).max_redirects(0).build();
    visited(answer.send_form(form.iter().copied()).expect("an answer"))
}

fn visited(answer: ureq::http::Response<ureq::Body>) -> Visit {
    let location = answer.headers().get("Location").and_then(|value| value.to_str().ok()).unwrap_or_default();
    Visit { status: answer.status().as_u16(), location: location.to_owned() }
}

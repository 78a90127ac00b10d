//! `tesla`: sets up the access to Tesla's cloud step by step, and lists the cars.
//!
//! Tokens are written only while no program runs with the same folder: one program only may own them. No secret is printed.

use std::io::{BufRead, IsTerminal, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use config::{Config, KeySet, SettingsStore};
use vehicle::{Vin, Wakefulness};
use vehicle_tesla::{Account, MemoryStore, Published, Region, Returned, Status, TokenStore};

use crate::args::TeslaArgs;
use crate::cars::tesla_api::{FileTokens, described, from_settings};
use crate::cars::tesla_control::bluetooth;
use crate::instance::Instance;

/// A sign-in that was begun with `--login`, for `--paste`.
const PENDING_FILE: &str = "tesla-sign-in.json";

/// Does what was asked. 0 when nothing is missing, 1 when something is or failed, 2 when the configuration cannot be used.
pub fn run(args: &TeslaArgs) -> ExitCode {
    let path = config::find(args.config.as_deref());
    let loaded = config::load(&path, &KeySet::builtin());
    let Some(config) = loaded.config else {
        for error in &loaded.errors {
            eprint!("{}", crate::check::line_of("error", error));
        }
        return ExitCode::from(2);
    };
    if let Some(vin) = &args.pairs {
        return match pair(config, vin) {
            Ok(text) => {
                println!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    match Tool::open(&config).and_then(|tool| if args.lists_cars { tool.cars() } else { tool.setup(args) }) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Asks a car to take our key over Bluetooth.
fn pair(mut config: Config, vin: &str) -> Result<String, String> {
    let vin = Vin::parse(&vin.trim().to_ascii_uppercase())
        .ok_or_else(|| format!("`{vin}` is no VIN: a VIN has 17 letters and digits"))?;
    // Whoever pairs wants it, and hears what is missing.
    (config.vehicle.tesla_ble, config.vehicle.tesla_ble_by_default) = (true, false);
    let folder = config.site.settings_path.clone();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let search = std::env::var("PATH").unwrap_or_default();
    let stored = SettingsStore::peek(&folder);
    let settings = bluetooth(&config, &stored, Some(&folder), home.as_deref(), &search);
    let settings = settings.ok_or("Bluetooth cannot be used")?;
    vehicle_tesla_control::pair(&settings, &vin).map_err(|error| error.to_string())
}

struct Tool {
    account: Account,
    folder: PathBuf,
    /// Why tokens may not be written: another program has them.
    running: Option<String>,
    _instance: Option<Instance>,
}

impl Tool {
    fn open(config: &Config) -> Result<Tool, String> {
        let folder = config.site.settings_path.clone();
        let settings = described(config, Some(&folder))?;
        let (instance, running) = match Instance::claim(&folder) {
            Ok(instance) => (Some(instance), None),
            Err(text) => (None, Some(text)),
        };
        let store: Arc<dyn TokenStore> = match &running {
            None => Arc::new(FileTokens::open(&folder)?),
            Some(_) => {
                // As they are; what has run out is left to the program that owns them.
                let tokens = from_settings(&SettingsStore::peek(&folder));
                let is_good = |at: SystemTime| at > SystemTime::now();
                let tokens = tokens.filter(|tokens| tokens.expires.is_none_or(is_good));
                Arc::new(MemoryStore::new(
                    tokens.map(|tokens| vehicle_tesla::Tokens { refresh: String::new(), ..tokens }),
                ))
            }
        };
        Ok(Tool { account: Account::new(settings, store), folder, running, _instance: instance })
    }

    fn setup(&self, args: &TeslaArgs) -> Result<bool, String> {
        if args.creates_key {
            self.account.create_key().map_err(|error| error.to_string())?;
            println!(
                "A key pair was made in {}. Back this file up: a new key must be paired with every car again.\n",
                self.key_path()
            );
        }
        if let Some(domain) = &args.registers {
            let domain = domain.parse().map_err(|error| format!("--register: {error}"))?;
            self.account.register(&domain)?;
            println!("The application is registered with its domain.\n");
        }
        if args.logs_in || args.pastes.is_some() {
            self.sign_in(args)?;
        }
        Ok(self.steps())
    }

    fn sign_in(&self, args: &TeslaArgs) -> Result<(), String> {
        if let Some(text) = &self.running {
            return Err(format!(
                "{text}. While it runs, sign in on its page under Cars: both would knock each other's sign-in out"
            ));
        }
        let pending = self.folder.join(PENDING_FILE);
        let pasted = match &args.pastes {
            Some(pasted) => {
                let kept = std::fs::read_to_string(&pending).unwrap_or_default();
                if !self.account.take_up(&kept) {
                    return Err(
                        "no sign-in is under way, or it took longer than ten minutes: begin with --login".into()
                    );
                }
                Some(pasted.clone())
            }
            None => {
                let region =
                    args.region.as_deref().map(str::parse::<Region>).transpose().map_err(|error| error.to_string())?;
                let address = self.account.begin(region).map_err(|error| error.to_string())?;
                println!(
                    "Open this address in a browser, sign in at Tesla, and allow what is asked for:\n\n{address}\n"
                );
                println!(
                    "The browser then goes to the redirect address; it does not matter if that page does not open."
                );
                self.await_paste(&pending)?
            }
        };
        let Some(pasted) = pasted else {
            println!("Within ten minutes: twcmanager tesla setup --paste 'ADDRESS THE BROWSER SHOWS THEN'\n");
            return Ok(());
        };
        let finished = self.account.finish(Returned::Pasted(pasted.trim()));
        if !matches!(finished, Err(vehicle_tesla::SignInError::Unreachable(_))) {
            // It may never have been there.
            let _ = std::fs::remove_file(&pending);
        }
        finished.map_err(|error| error.to_string())?;
        println!("Signed in. The tokens are kept in settings.json.\n");
        Ok(())
    }

    /// What a person pastes at the prompt; `None` without a terminal, when it is put away for `--paste`.
    fn await_paste(&self, pending: &Path) -> Result<Option<String>, String> {
        let kept = self.account.put_away().unwrap_or_default();
        let failed = |error: std::io::Error| format!("{} cannot be written: {error}", pending.display());
        let mut file = std::fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(pending)
            .map_err(failed)?;
        file.write_all(kept.as_bytes()).map_err(failed)?;
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        println!("Paste the whole address that it shows then, and press Enter:");
        let mut line = String::new();
        stdin.lock().read_line(&mut line).map_err(|error| format!("nothing can be read: {error}"))?;
        Ok(Some(line).filter(|line| !line.trim().is_empty()))
    }

    fn key_path(&self) -> String {
        self.account.settings().key_path().map(|path| path.display().to_string()).unwrap_or_default()
    }

    /// Prints what is done and what is missing; whether nothing is.
    fn steps(&self) -> bool {
        let settings = self.account.settings();
        let status = self.account.status();
        let mut report = Report::default();
        if let Some(text) = &self.running {
            println!("{text}: it keeps the tokens, which are only looked at here.\n");
        }
        if settings.fixed_token.is_some() {
            report.done(&format!("a fixed token for {} stands in for application, key and sign-in", status.api));
            self.car_steps(&mut report, true);
            return report.end();
        }
        report.step(settings.app.client_id.is_some(), "application's client id", "create an application at developer.tesla.com (Authorization code and machine-to-machine) and write its id into config.teslaApiClientID");
        report.step(settings.app.redirect_uri.is_some(), "redirect address", "write it into config.teslaApiRedirectUri, exactly as it stands at developer.tesla.com: https://DOMAIN/teslaAccount/callback");
        let signs = settings.proxy.is_none();
        if signs {
            self.key_steps(&mut report, &status);
        } else {
            report.done("a command proxy signs commands (config.teslaProxy): no key is needed here");
        }
        let sign_in = match &self.running {
            Some(_) => "sign in on the program's page under Cars",
            None => "run `twcmanager tesla setup --login`",
        };
        let where_ = format!("signed in, region {}, served by {}", status.region, status.api);
        report.step(status.is_signed_in, &where_, sign_in);
        if status.is_signed_in {
            for text in status.missing.iter().filter(|text| text.contains("lacks the right")) {
                report.missing(text);
            }
            self.car_steps(&mut report, !signs);
        }
        report.end()
    }

    fn key_steps(&self, report: &mut Report, status: &Status) {
        report.step(
            status.has_key,
            &format!("key pair in {}", self.key_path()),
            "run `twcmanager tesla setup --create-key`",
        );
        if let Ok(Some(pem)) = self.account.public_key_pem() {
            println!("{pem}");
        }
        let settings = self.account.settings();
        let Some(domain) = settings.pairing_domain() else {
            report.missing(
                "the domain that the public key is published on is not known: write it into vehicle.teslaAPI.domain",
            );
            return;
        };
        let url = domain.public_key_url();
        match self.account.published(&domain) {
            Published::Right => report.done(&format!("public key at {url}")),
            Published::Other => report.missing(&format!("another key is published at {url}: put the one above there")),
            Published::Nothing(text) => {
                report.missing(&format!("the public key above must be found at {url}, for good: {text}"));
            }
        }
        match self.account.is_registered(&domain) {
            Ok(Some(true)) => report.done("application registered in its region"),
            Ok(Some(false)) => {
                let host = url.trim_start_matches("https://").split('/').next().unwrap_or_default().to_owned();
                report.missing(&format!(
                    "the application is not registered in its region: run `twcmanager tesla setup --register {host}`"
                ));
            }
            Ok(None) => report
                .unknown("whether the application is registered can only be asked with config.teslaApiClientSecret"),
            Err(text) => report.unknown(&text),
        }
    }

    fn car_steps(&self, report: &mut Report, others_sign: bool) {
        let cars = match self.account.cars() {
            Ok(cars) => cars,
            Err(text) => return report.missing(&format!("the cars cannot be listed: {text}")),
        };
        if cars.is_empty() {
            report.missing("there is no car in this account");
        }
        let pairing = self.account.status().pairing_url.unwrap_or_else(|| "https://tesla.com/_ak/DOMAIN".to_owned());
        for car in cars {
            let name = car.name.as_deref().unwrap_or("a car");
            let what = format!("{name} ({})", car.vin.as_str());
            match (car.needs_signature, car.is_paired) {
                _ if others_sign => report.done(&what),
                (Some(false), _) => report.done(&format!("{what}: takes plain commands, needs no key")),
                (_, Some(true)) => report.done(&format!("{what}: has our key")),
                (_, Some(false)) => report.missing(&format!(
                    "{what} does not have our key: open {pairing} on the phone with Tesla's app, choose the car, confirm"
                )),
                _ => report.unknown(&format!("{what}: Tesla does not say whether it has our key")),
            }
        }
    }

    fn cars(&self) -> Result<bool, String> {
        for car in self.account.cars()? {
            let wakefulness = match car.wakefulness {
                Some(Wakefulness::Awake) => "awake",
                Some(Wakefulness::Asleep) => "asleep",
                None => "unknown",
            };
            let commands = match (car.needs_signature, car.is_paired) {
                (Some(false), _) => "plain commands",
                (_, Some(true)) => "signed commands, key paired",
                (_, Some(false)) => "signed commands, key not paired",
                _ => "not known how it takes commands",
            };
            println!("{}  {}  {wakefulness}  {commands}", car.vin.as_str(), car.name.unwrap_or_default());
        }
        Ok(true)
    }
}

/// What is done and what is missing, a line each.
#[derive(Default)]
struct Report {
    missing: usize,
}

impl Report {
    fn step(&mut self, is_done: bool, what: &str, to_do: &str) {
        if is_done { self.done(what) } else { self.missing(&format!("{what}: {to_do}")) }
    }

    fn done(&self, what: &str) {
        println!("[done]    {what}");
    }

    fn unknown(&self, what: &str) {
        println!("[unknown] {what}");
    }

    fn missing(&mut self, what: &str) {
        self.missing += 1;
        println!("[missing] {what}");
    }

    fn end(&self) -> bool {
        match self.missing {
            0 => println!("\nNothing is missing."),
            1 => println!("\nOne step is missing; docs/vehicles/tesla-api.md explains it."),
            count => println!("\n{count} steps are missing; docs/vehicles/tesla-api.md explains them, in this order."),
        }
        self.missing == 0
    }
}

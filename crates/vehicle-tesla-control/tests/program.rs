//! The source from end to end, with a shell script that stands in for the vendor's program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tesla_command::{PrivateKey, SystemRandom};
use units::{Amps, Percent};
use vehicle::{
    Answer, Ask, CarKey, ChargingState, Outcome, Refusal, Report, Request, Trouble, VehicleListener, VehicleSource,
    VehicleState, Vin, Wakefulness,
};
use vehicle_tesla_control::{Error, NAME, Patience, Settings, open, pair};

const VIN: &str = "5YJ30123456789ABC";
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);
const READ: Request = Request::Read { with_position: true };
const AWAKE: &str = r#"echo '{"vehicleSleepStatus": "VEHICLE_SLEEP_STATUS_AWAKE"}'"#;
const ASLEEP: &str = r#"echo '{"vehicleSleepStatus": "VEHICLE_SLEEP_STATUS_ASLEEP"}'"#;
const CHARGE: &str = r#"echo '{"chargeState": {"chargingState": {"Charging": {}}, "batteryLevel": 64, "chargerVoltage": 230,
"chargerActualCurrent": 16, "chargerPhases": 2}}'"#;
const PLACE: &str = r#"echo '{"locationState": {"latitude": 52.5, "longitude": 13.4, "gpsAsOf": "1735725590"}}'"#;

/// Notes what it is told, checks its key, and does what lies beside it under the name of the verb.
const SCRIPT: &str = r#"#!/bin/sh
dir=$(dirname "$0")
while [ $# -gt 0 ]; do
  case "$1" in
    -ble) shift ;;
    -key-file) key=$2; shift 2 ;;
    -*) shift 2 ;;
    *) break ;;
  esac
done
[ -z "$TESLA_VERBOSE" ] || echo leaked >> "$dir/log"
echo "$*" >> "$dir/log"
case "$1" in
  body-controller-state) ;;
  add-key-request) grep -q 'PRIVATE KEY' "$2" || echo 'no key' >> "$dir/log" ;;
  *) grep -q 'PRIVATE KEY' "$key" || { echo 'You must provide a private key with -key-name or -key-file' >&2; exit 1; } ;;
esac
verb=$1
[ "$verb" = state ] && verb="state-$2"
[ -f "$dir/$verb" ] && . "$dir/$verb"
exit 0
"#;

struct Ear {
    answers: Mutex<Sender<Answer>>,
    reports: Mutex<Vec<Report>>,
    troubles: Mutex<Vec<Option<Trouble>>>,
}

impl VehicleListener for Ear {
    fn report(&self, report: Report) {
        self.reports.lock().unwrap().push(report);
    }

    fn answered(&self, answer: Answer) {
        let _ = self.answers.lock().unwrap().send(answer);
    }

    fn trouble(&self, source: &str, trouble: Option<Trouble>) {
        assert_eq!(source, NAME);
        self.troubles.lock().unwrap().push(trouble);
    }
}

struct Bench {
    folder: TempDir,
    settings: Settings,
    source: Option<Arc<dyn VehicleSource>>,
    ear: Arc<Ear>,
    answers: Receiver<Answer>,
}

fn vin() -> Vin {
    Vin::parse(VIN).unwrap()
}

fn key() -> CarKey {
    CarKey::Vin(vin())
}

/// Written by another process: a file that this one has open for writing, another thread's new process may have too, and
/// what is open for writing cannot be run.
fn write(path: &Path, text: &str) {
    let script = r#"printf %s "$2" > "$1" && chmod +x "$1""#;
    let written = Command::new("/bin/sh").args(["-c", script, "sh"]).arg(path).arg(text).status().unwrap();
    assert!(written.success());
}

impl Bench {
    fn start() -> Bench {
        Bench::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("tesla-control");
        write(&program, SCRIPT);
        let mut settings = Settings::new(Some(program));
        settings.keys.insert(vin(), PrivateKey::generate(&mut SystemRandom).unwrap());
        settings.adapters = None;
        settings.patience = Patience { retry_delay: Duration::ZERO, ..Patience::default() };
        change(&mut settings);
        let (sender, answers) = channel();
        let ear = Arc::new(Ear { answers: Mutex::new(sender), reports: Mutex::default(), troubles: Mutex::default() });
        let source = open(settings.clone(), Arc::clone(&ear) as Arc<dyn VehicleListener>).unwrap();
        Bench { folder, settings, source: Some(source), ear, answers }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the program does when it is told so.
    fn on(&self, verb: &str, script: &str) {
        write(&self.path(verb), script);
    }

    fn fails(&self, verb: &str, words: &str) {
        self.on(verb, &format!("echo \"{words}\" >&2\nexit 1\n"));
    }

    fn send(&self, request: Request) {
        self.source.as_ref().unwrap().ask(Ask { id: 7, car: key(), request });
    }

    fn ask(&self, request: Request) -> Outcome {
        self.send(request);
        let answer = self.answers.recv_timeout(PATIENCE).unwrap();
        assert!(answer.spent.is_nothing());
        answer.outcome
    }

    /// What the program was told since last looked.
    fn log(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = std::fs::remove_file(self.path("log"));
        log.lines().map(str::to_owned).collect()
    }

    fn state(&self) -> VehicleState {
        let mut state = VehicleState::new(key());
        self.ear.reports.lock().unwrap().iter().for_each(|report| state.take(report));
        state
    }

    fn trouble(&self) -> Option<Trouble> {
        self.ear.troubles.lock().unwrap().last().cloned().flatten()
    }
}

#[test]
fn a_car_is_read_and_commanded() {
    let bench = Bench::start();
    let able = |car: &CarKey| bench.source.as_ref().unwrap().abilities(car);
    assert!(able(&key()).commands && able(&key()).reads_wakefulness && !able(&key()).is_billed);
    assert!(!able(&CarKey::Vin(Vin::parse("5YJ30123456789ABD").unwrap())).reads, "there is no key for it");
    bench.on("body-controller-state", AWAKE);
    bench.on("state-charge", CHARGE);
    bench.on("state-location", PLACE);
    assert_eq!(bench.ask(READ), Outcome::Done);
    let state = bench.state();
    assert_eq!(state.power().unwrap().get(), 11_040.0);
    assert_eq!(state.charging.as_ref().unwrap().value, ChargingState::Charging);
    assert_eq!(state.position.as_ref().unwrap().value.latitude, 52.5);
    assert_eq!(bench.log(), ["body-controller-state", "state charge", "state location"]);
    for (request, words) in [
        (Request::Start, "charging-start"),
        (Request::Stop, "charging-stop"),
        (Request::SetAmps(Amps::new(9.9).unwrap()), "charging-set-amps 9"),
        (Request::SetLimit(Percent::new(80.0).unwrap()), "charging-set-limit 80"),
    ] {
        assert_eq!(bench.ask(request), Outcome::Done);
        assert_eq!(bench.log(), [words], "it is known to be awake");
    }
    assert_eq!(bench.trouble(), None);
}

#[test]
fn a_sleeping_car_is_left_asleep_unless_it_shall_wake() {
    let bench = Bench::start();
    bench.on("body-controller-state", ASLEEP);
    for request in [READ, Request::Start, Request::Stop] {
        assert_eq!(bench.ask(request), Outcome::Asleep);
        assert_eq!(bench.log(), ["body-controller-state"]);
    }
    assert_eq!(bench.state().wakefulness.unwrap().value, Wakefulness::Asleep);
    bench.on("wake", &format!("cat > \"$dir/body-controller-state\" <<'X'\n{AWAKE}\nX\n"));
    assert_eq!(bench.ask(Request::Wake), Outcome::Done);
    assert_eq!(bench.ask(Request::Start), Outcome::Done);
    assert_eq!(bench.log(), ["wake", "body-controller-state", "charging-start"]);
    // It falls asleep sooner than thought.
    bench.on("body-controller-state", ASLEEP);
    bench.fails("charging-stop", "Error: failed to perform handshake with vehicle: context deadline exceeded");
    assert_eq!(bench.ask(Request::Stop), Outcome::Asleep);
}

#[test]
fn the_programs_words_are_understood() {
    let bench = Bench::start();
    bench.on("body-controller-state", AWAKE);
    let car_says = |word: &str| format!("Failed to execute command: car could not execute command: {word}");
    let unpaired = "Error: vehicle rejected request: your public key has not been paired with the vehicle";
    for (words, outcome) in [
        (&*car_says("is_charging"), Outcome::AlreadySo),
        (&car_says("complete"), Outcome::Refused(Refusal::Complete)),
        (&car_says("disconnected"), Outcome::Refused(Refusal::Unplugged)),
        (&car_says("no_power"), Outcome::Refused(Refusal::NoPower)),
        (unpaired, Outcome::Refused(Refusal::NotPaired)),
    ] {
        bench.fails("charging-start", words);
        assert_eq!(bench.ask(Request::Start), outcome, "{words}");
    }
    bench.fails("charging-start", "Couldn't verify success: context deadline exceeded");
    bench.log();
    assert!(matches!(bench.ask(Request::Start), Outcome::Unsure { .. }));
    assert_eq!(bench.log().iter().filter(|words| *words == "charging-start").count(), 1, "it is not repeated blindly");
    bench.fails("charging-start", "Failed to execute command: vehicle busy or finishing wake-up");
    assert!(matches!(bench.ask(Request::Start), Outcome::Later { after: None, .. }));
    assert_eq!(bench.log().iter().filter(|words| *words == "charging-start").count(), 4, "that surely did nothing");
    // A car that does not know the key is not read again and again.
    assert_eq!(bench.ask(READ), Outcome::Refused(Refusal::NotPaired));
    assert_eq!(bench.log(), [""; 0]);
    assert_eq!(bench.trouble(), None);
}

#[test]
fn a_car_that_is_away_is_no_fault_of_the_adapter() {
    let bench = Bench::with(|settings| settings.patience.retries = 0);
    bench.fails("body-controller-state", "Error: ble: failed to scan for X: context deadline exceeded");
    for _ in 0..7 {
        assert!(matches!(bench.ask(Request::Start), Outcome::Later { after: None, .. }));
    }
    assert_eq!((bench.log().len(), bench.trouble()), (7, None));
    assert!(bench.ear.reports.lock().unwrap().is_empty(), "nothing says that it is near");
}

#[test]
fn without_bluetooth_nothing_is_run() {
    let bench = Bench::start();
    bench.fails(
        "body-controller-state",
        "Error: failed to find a BLE device: can't init hci: no devices available: (hci0)",
    );
    let Outcome::Later { .. } = bench.ask(READ) else { panic!() };
    assert!(bench.trouble().unwrap().text.contains("vehicle.teslaBLE.enabled"));
    let Outcome::Later { after: Some(after), .. } = bench.ask(READ) else { panic!() };
    assert!(after <= Duration::from_secs(60));
    assert_eq!(bench.log().len(), 1);

    let none = |is_by_default| {
        Bench::with(|settings| {
            settings.adapters = Some("/no/such/folder".into());
            settings.is_by_default = is_by_default;
        })
    };
    let (asked_for, by_default) = (none(false), none(true));
    for bench in [&asked_for, &by_default] {
        assert!(!bench.source.as_ref().unwrap().abilities(&key()).reads);
        assert!(matches!(bench.ask(Request::Start), Outcome::Later { .. }));
        assert_eq!(bench.log(), [""; 0]);
    }
    assert_eq!(asked_for.trouble().unwrap().code, "no_adapter");
    assert_eq!(by_default.trouble(), None, "nobody asked for Bluetooth");
}

#[test]
fn what_runs_when_the_source_ends_is_ended_and_unsure() {
    let mut bench = Bench::start();
    bench.on("body-controller-state", AWAKE);
    bench.on("charging-start", "echo > \"$dir/begun\"\nsleep 600\n");
    bench.send(Request::Start);
    let deadline = std::time::Instant::now() + PATIENCE;
    while !bench.path("begun").exists() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    drop(bench.source.take());
    assert!(matches!(bench.answers.recv_timeout(PATIENCE).unwrap().outcome, Outcome::Unsure { .. }));
}

#[test]
fn a_key_is_offered_once_with_the_weakest_role_that_will_do() {
    let bench = Bench::start();
    assert!(pair(&bench.settings, &vin()).unwrap().contains("key card"));
    let log = bench.log();
    assert!(log.len() == 1 && log[0].starts_with("add-key-request /"), "{log:?}");
    assert!(log[0].ends_with(".pem charging_manager cloud_key"), "{log:?}");
    bench.fails("add-key-request", "Error: ble: failed to scan for X: context deadline exceeded");
    assert!(matches!(pair(&bench.settings, &vin()), Err(Error::Failed(_))));
    assert_eq!(bench.log().len(), 1, "never repeated");
    assert!(matches!(pair(&bench.settings, &Vin::parse("5YJ30123456789ABD").unwrap()), Err(Error::NoKey)));
}

/// What to look for with a Bluetooth scanner when a car is not found.
#[test]
fn recorded_names_of_cars_come_out() {
    for recording in recordings::vendor("tesla").iter().filter(|recording| recording.name() == "ble_local_names.json") {
        assert_eq!(recording.expected()["case"], "upper-case VIN");
        let pairs = recording.json();
        assert!(pairs.as_array().is_some_and(|pairs| !pairs.is_empty()));
        for pair in pairs.as_array().into_iter().flatten() {
            let (vin, name) = (pair["vin"].as_str().unwrap(), pair["name"].as_str().unwrap());
            for written in [vin.to_owned(), vin.to_ascii_lowercase()] {
                assert_eq!(tesla_command::bluetooth::local_name(written.parse().unwrap()), name);
            }
        }
    }
}

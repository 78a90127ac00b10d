//! Against real peers: MQTT brokers of both kinds, and PostgreSQL where it is installed.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mqtt_rig::{GENEROUS, connect, free_port, kinds};
use vehicle::{Answer, Ask, CarKey, Outcome, Report, Request, Trouble, VehicleListener, VehicleState, Vin};
use vehicle_teslamate::tokens::{Database, Keeper, TokenError, fetch};
use vehicle_teslamate::{Hub, Settings, open};

#[derive(Debug)]
enum Told {
    Report(Report),
    Answer(Answer),
}

struct Ear(Sender<Told>);

impl VehicleListener for Ear {
    fn report(&self, report: Report) {
        let _ = self.0.send(Told::Report(report));
    }
    fn answered(&self, answer: Answer) {
        let _ = self.0.send(Told::Answer(answer));
    }
    fn trouble(&self, _: &str, _: Option<Trouble>) {}
}

/// Takes reports until the car is as wanted.
fn until(told: &Receiver<Told>, state: &mut VehicleState, is_so: impl Fn(&VehicleState) -> bool) {
    let end = Instant::now() + GENEROUS;
    while !is_so(state) {
        match told.recv_timeout(end.saturating_duration_since(Instant::now())).expect("news in time") {
            Told::Report(report) => state.take(&report),
            Told::Answer(answer) => panic!("{answer:?}"),
        }
    }
}

#[test]
fn a_car_is_followed_over_a_real_broker() {
    let vin = Vin::parse("5YJ30123456789ABC").unwrap();
    for kind in kinds() {
        let port = free_port();
        let _peer = mqtt_rig::start(kind, port);
        let hub = Hub::new();
        let teslamate = connect(&Hub::new(), mqtt_rig::broker(port));
        let say = |key: &str, payload: &str| {
            teslamate.publish(&format!("a/teslamate/x/cars/1/{key}"), payload, true).unwrap();
        };
        // Known to the broker before anybody listens.
        let probe = teslamate.subscribe(&["a/#"]).unwrap();
        say("battery_level", "55");
        mqtt_rig::expect(&probe, "a/teslamate/x/cars/1/battery_level", "55");

        let (sender, told) = channel();
        let settings = Settings {
            broker: mqtt_rig::broker(port),
            prefix: "a/teslamate/x/".into(),
            cars: BTreeMap::from([("1".to_owned(), vin.clone())]),
            home_geofence: None,
        };
        let source = open(settings, &hub, Arc::new(Ear(sender))).unwrap();
        let mut state = VehicleState::new(CarKey::Vin(vin.clone()));
        until(&told, &mut state, |state| state.soc.is_some());
        assert_eq!(state.soc.as_ref().unwrap().at, None, "{kind}: of unknown age");
        say("state", "charging");
        say("charging_state", "Charging");
        say("charger_phases", "2");
        say("charger_voltage", "229");
        say("charger_actual_current", "16");
        until(&told, &mut state, |state| state.power().is_some_and(|watts| watts.get() == 10_992.0));
        until(&told, &mut state, |state| state.soc.as_ref().is_some_and(|soc| soc.at.is_some()));

        source.ask(Ask { id: 7, car: CarKey::Vin(vin.clone()), request: Request::Start });
        let end = Instant::now() + GENEROUS;
        let answer = loop {
            match told.recv_timeout(end.saturating_duration_since(Instant::now())).expect("an answer") {
                Told::Answer(answer) => break answer,
                Told::Report(_) => {}
            }
        };
        assert!(answer.id == 7 && matches!(answer.outcome, Outcome::Refused(_)) && answer.spent.is_nothing());
        drop(source);
        // The thread ends: its end of the channel goes with it.
        while told.recv_timeout(GENEROUS).is_ok() {}
    }
}

const KEY: &str = "example-encryption-key";
const PASSWORD: &str = "s3cret-of-the-base";
const CELL: &str =
    "010a4145532e47434d2e5631000102030405060708090a0b99a84eacf03e2ab497065ef6bf6751324f61ab0d440df111c8f7d4d8e0acddb5";

/// PostgreSQL on loopback, with a user `teslamate` who needs a password.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    programs: PathBuf,
}

impl Server {
    fn start() -> Option<Self> {
        let mut places: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .map(|found| found.flatten().map(|entry| entry.path().join("bin")).collect())
            .unwrap_or_default();
        places.push("/usr/local/bin".into());
        let Some(programs) = places.into_iter().find(|place| place.join("initdb").exists()) else {
            eprintln!("SKIPPED: PostgreSQL is not installed (Debian: postgresql)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        if is_root() {
            let status = Command::new("chown").arg("-R").arg("postgres").arg(folder.path()).status().unwrap();
            assert!(status.success());
        }
        let made = plainly(&programs.join("initdb"))
            .args(["--username=teslamate", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8"])
            .arg(format!("--pwfile={}", folder.path().join("password").display()))
            .arg(format!("--pgdata={}", folder.path().join("data").display()))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let child = plainly(&programs.join("postgres"))
            .arg("-D")
            .arg(folder.path().join("data"))
            .arg("-k")
            .arg(folder.path())
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server { child, folder, port, programs };
        let end = Instant::now() + GENEROUS;
        while !server.sql("postgres", "SELECT 1") {
            assert!(Instant::now() < end, "PostgreSQL does not start");
            std::thread::yield_now();
        }
        Some(server)
    }

    /// Runs statements with PostgreSQL's own client; whether they succeeded.
    fn sql(&self, database: &str, statements: &str) -> bool {
        Command::new(self.programs.join("psql"))
            .args(["-h", "127.0.0.1", "-U", "teslamate", "-v", "ON_ERROR_STOP=1", "-q", "-d", database])
            .args(["-p", &self.port.to_string(), "-c", statements])
            .env("PGPASSWORD", PASSWORD)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    fn database(&self) -> Database {
        Database {
            host: "127.0.0.1".into(),
            port: self.port,
            name: "teslamate".into(),
            user: "teslamate".into(),
            password: PASSWORD.into(),
            encryption_key: KEY.into(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let _ = Command::new("kill").args(["-INT", pid]).status();
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

/// PostgreSQL refuses to run as root.
fn plainly(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program).current_dir("/");
    command
}

#[test]
fn the_access_token_is_read_from_a_real_database_and_nothing_else() {
    let Some(server) = Server::start() else { return };
    let database = server.database();
    assert!(matches!(fetch(&database), Err(TokenError::NotTeslaMate(_))), "no such database");
    assert!(server.sql("postgres", "CREATE DATABASE teslamate"));
    assert!(matches!(fetch(&database), Err(TokenError::NotTeslaMate(_))), "no such table");
    // As TeslaMate's migrations make it.
    let table = "CREATE SCHEMA private; CREATE TABLE private.tokens (id serial PRIMARY KEY, access bytea, refresh bytea, \
                 inserted_at timestamp NOT NULL, updated_at timestamp NOT NULL)";
    assert!(server.sql("teslamate", table));
    assert_eq!(fetch(&database), Err(TokenError::NotSignedIn));
    let row = format!(
        "INSERT INTO private.tokens (access, refresh, inserted_at, updated_at) VALUES ('\\x0102', NULL, now(), \
         now() - interval '1 day'), ('\\x{CELL}', '\\x00', now(), now())"
    );
    assert!(server.sql("teslamate", &row));
    assert_eq!(fetch(&database).unwrap().reveal(), "eyJ.access.token");

    let wrong = Database { password: "not-the-password".into(), ..database.clone() };
    let error = fetch(&wrong).unwrap_err();
    assert_eq!(error, TokenError::Denied);
    assert!(!error.to_string().contains("not-the-password"));
    let wrong = Database { encryption_key: "another".into(), ..database.clone() };
    assert!(fetch(&wrong).unwrap_err().to_string().contains("encryption_key"));

    let (sender, told) = channel();
    let keeper = Keeper::start(database, move |found| {
        let _ = sender.send(found);
    })
    .unwrap();
    assert_eq!(told.recv_timeout(GENEROUS).unwrap().unwrap().reveal(), "eyJ.access.token");
    keeper.look_again();
    drop(keeper);
    assert!(told.recv_timeout(Duration::from_secs(30)).is_err(), "the thread ends, and told nothing twice");
}

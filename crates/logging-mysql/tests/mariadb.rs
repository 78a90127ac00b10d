//! Against a real MariaDB on loopback. Runs where `mariadbd` is installed (Debian: `mariadb-server`), and says so where not.
#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::time::{Duration, Instant};

use logging::{Fanout, GreenEnergy, Mute, Record, Session, Sink, SinkError, SlaveStatus};
use logging_mysql::{MySql, Server, probe, read_green_energy, read_sessions, read_slave_status};
use mysql::prelude::Queryable;
use mysql_rig::MariaDb;
use units::{PerPhase, Volts, WattHours, Watts};

const PATIENCE: Duration = Duration::from_secs(60);
const START: i64 = 1_795_173_694;
const VIN: &str = "5YJ3E1EA8KF000001";

fn address_of(server: &MariaDb) -> Server {
    Server {
        host: "127.0.0.1".into(),
        port: server.port(),
        database: MariaDb::DATABASE.into(),
        username: MariaDb::USERNAME.into(),
        password: Some(MariaDb::PASSWORD.into()),
    }
}

fn session(evse: &str, started_at: i64, ended_at: Option<i64>, vin: Option<&str>) -> Record {
    Record::Session(Session {
        id: format!("{started_at}-{evse}"),
        evse: evse.into(),
        vin: vin.map(str::to_owned),
        started_at,
        ended_at,
        counter_start: WattHours::saturating(1_000_400.0),
        counter: WattHours::saturating(1_012_300.0),
    })
}

fn sample(at: i64) -> GreenEnergy {
    let [generation, consumption, cars] = [6_000.0, 500.25, 60.0].map(Watts::saturating);
    GreenEnergy { at, generation, consumption, cars }
}

/// One server for all, since starting one takes seconds.
#[test]
fn mariadb() {
    let Some(mut server) = MariaDb::start() else { return };
    rows_are_those_of_before(&server);
    a_session_changes_its_own_row_also_after_a_restart(&server);
    tables_made_by_hand_are_used_as_they_are(&server);
    what_does_not_fit_is_refused_alone(&server);
    troubles_name_the_key_that_mends_them(&server);
    a_server_that_was_away_gets_all_in_order(&mut server);
}

fn rows_are_those_of_before(server: &MariaDb) {
    assert_eq!(read_slave_status(&address_of(server)).unwrap(), [], "a table that is missing is an empty one");
    let mut sink = MySql::new(address_of(server));
    let volts = PerPhase::new(240.4, 0.0, 0.0).map(Volts::saturating);
    let counter = WattHours::saturating(1_000_400.0);
    let status = Record::SlaveStatus(SlaveStatus { at: START, evse: "4142".into(), counter, volts });
    let green = Record::GreenEnergy(sample(START));
    sink.write(&[session("4142", START, None, None), green.clone(), green, status.clone(), status]).unwrap();
    let columns = "chargeid, UNIX_TIMESTAMP(startTime), startkWh, slaveTWC, endTime, endkWh, vehicleVIN";
    assert_eq!(
        server.shown(&format!("SELECT {columns} FROM charge_sessions")),
        [format!("{START} {START} 1000 '4142' NULL NULL NULL")].map(quoted)
    );
    assert_eq!(server.shown("SELECT UNIX_TIMESTAMP(time), genW, conW, chgW FROM green_energy").len(), 1);
    assert_eq!(read_green_energy(&address_of(server)).unwrap(), [sample(START)]);
    assert_eq!(read_slave_status(&address_of(server)).unwrap().len(), 1);
    assert_eq!(
        server.shown(
            "SELECT slaveTWC, UNIX_TIMESTAMP(time), kWh, voltsPhaseA, voltsPhaseB, voltsPhaseC FROM slave_status"
        ),
        [format!("'4142' {START} 1000 240 0 0")].map(quoted)
    );
}

/// Values of the text protocol come as text.
fn quoted(row: String) -> String {
    let value = |value: &str| match value {
        "NULL" => value.to_owned(),
        value => format!("'{}'", value.trim_matches('\'')),
    };
    row.split(' ').map(value).collect::<Vec<_>>().join(" ")
}

fn a_session_changes_its_own_row_also_after_a_restart(server: &MariaDb) {
    for (ended_at, vin) in [(None, Some(VIN)), (Some(START + 99), None), (Some(START + 99), None)] {
        // A new sink each time: nothing is remembered but in the table.
        MySql::new(address_of(server)).write(&[session("4142", START, ended_at, vin)]).unwrap();
    }
    MySql::new(address_of(server)).write(&[session("4142", START + 200, None, None)]).unwrap();
    let found = read_sessions(&address_of(server)).unwrap();
    let seen: Vec<_> = found.iter().map(|s| (s.started_at, s.ended_at, s.vin.as_deref())).collect();
    assert_eq!(seen, [(START, Some(START + 99), Some(VIN)), (START + 200, None, None)]);
}

/// As the documentation of TWCManager has them made, and without the right to make tables.
fn tables_made_by_hand_are_used_as_they_are(server: &MariaDb) {
    let mut root = server.connect_as_root();
    for statement in [
        "CREATE DATABASE byhand",
        "CREATE TABLE byhand.charge_sessions (chargeid int, startTime datetime, startkWh int, slaveTWC varchar(4),
            endTime datetime, endkWh int, vehicleVIN varchar(17), primary key(startTime, slaveTWC))",
        "CREATE TABLE byhand.green_energy (time datetime, genW DECIMAL(9,3), conW DECIMAL(9,3), chgW DECIMAL(9,3))",
        "CREATE TABLE byhand.slave_status (slaveTWC varchar(4), time datetime, kWh int, voltsPhaseA int,
            voltsPhaseB int, voltsPhaseC int, primary key (slaveTWC, time))",
        "GRANT SELECT, INSERT, UPDATE ON byhand.* TO twc@'%'",
    ] {
        root.query_drop(statement).unwrap();
    }
    let address = Server { database: "byhand".into(), ..address_of(server) };
    let mut sink = MySql::new(address.clone());
    sink.write(&[session("ocpp-garage-1", START, None, None), Record::GreenEnergy(sample(START))]).unwrap();
    sink.write(&[session("ocpp-garage-1", START, Some(START + 5), None)]).unwrap();
    let found = read_sessions(&address).unwrap();
    assert_eq!((found.len(), found[0].evse.as_str(), found[0].ended_at), (1, "ge-1", Some(START + 5)));
}

fn what_does_not_fit_is_refused_alone(server: &MariaDb) {
    let mut sink = MySql::new(address_of(server));
    let long_vin = "5YJ3E1EA8KF000001-and-more";
    let records = [session("A", 10, None, None), session("B", 10, None, Some(long_vin)), session("C", 10, None, None)];
    let error = sink.write(&records).unwrap_err();
    assert!(matches!(error, SinkError::Refused { written: 1, .. }), "{error:?}");
    assert_eq!(server.shown("SELECT slaveTWC FROM charge_sessions WHERE chargeid = 10 AND slaveTWC = 'A'").len(), 1);
}

fn troubles_name_the_key_that_mends_them(server: &MariaDb) {
    let wrong = |change: fn(&mut Server)| {
        let mut address = address_of(server);
        change(&mut address);
        match MySql::new(address).write(&[session("4142", START, None, None)]) {
            Err(SinkError::Down { written: 0, reason }) => reason,
            other => panic!("{other:?}"),
        }
    };
    let reason = wrong(|address| address.password = Some("wrong word".into()));
    assert!(reason.contains("`logging.MySQL.username`") && !reason.contains("wrong word"), "{reason}");
    assert!(probe(&address_of(server)).is_ok());
    let address = Server { port: 1, ..address_of(server) };
    assert!(probe(&address).unwrap_err().to_string().contains("cannot be reached"));
    let reason = wrong(|address| address.database = "elsewhere".into());
    assert!(reason.contains("`logging.MySQL."), "{reason}");
    let reason = wrong(|address| address.port = 1);
    assert!(reason.contains("`logging.MySQL.host`"), "{reason}");
}

fn a_server_that_was_away_gets_all_in_order(server: &mut MariaDb) {
    let fanout = Fanout::new();
    fanout.add(Box::new(MySql::new(address_of(server))), Mute::default());
    fanout.record(session("D", 1_000, None, None));
    fanout.flush(PATIENCE);
    server.stop();
    fanout.record(session("D", 1_000, Some(1_900), Some(VIN)));
    fanout.flush(PATIENCE);
    assert!(fanout.health()[0].trouble.is_some());
    (1..=5).for_each(|n| fanout.record(Record::GreenEnergy(sample(START + n * 30))));
    fanout.record(session("D", 2_000, None, None));
    fanout.record(session("D", 2_000, Some(2_900), None));
    server.start_again();
    let deadline = Instant::now() + PATIENCE;
    while fanout.health()[0].waiting > 0 || fanout.health()[0].trouble.is_some() {
        assert!(Instant::now() < deadline, "{:?}", fanout.health());
        fanout.flush(Duration::from_millis(20));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    fanout.shutdown(PATIENCE);
    let mut found = read_sessions(&address_of(server)).unwrap();
    found.retain(|session| session.evse == "D");
    let seen: Vec<_> = found.iter().map(|s| (s.started_at, s.ended_at, s.vin.as_deref())).collect();
    assert_eq!(seen, [(1_000, Some(1_900), Some(VIN)), (2_000, Some(2_900), None)]);
    assert_eq!(read_green_energy(&address_of(server)).unwrap().len(), 6);
}

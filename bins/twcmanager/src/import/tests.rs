//! Folders as an older program leaves them.

use serde_json::Value;

use super::*;

/// The evening after what happens below.
const NOW: i64 = 1_787_350_000_000;
/// Long after: what old files hold is thinned by then.
const YEARS_LATER: i64 = NOW + 3 * 365 * 86_400_000;
const CONFIG: &str = r#"{"config": {"settingsPath": "FOLDER", "wiringMaxAmpsAllTWCs": 32, "wiringMaxAmpsPerTWC": 32},
    "interface": {"RS485": {"enabled": false}},
    "logging": {"CSV": {"enabled": true, "path": "FOLDER/csv"}}}"#;
const SESSIONS: &str = concat!(
    r#""3A7C","1787230000","2026-08-20 12:46:40","8101","1787236600","2026-08-20 14:36:40","8123","""#,
    "\n",
    r#""3A7C","1787330000","2026-08-21 16:33:20","8123","1787336600","2026-08-21 18:23:20","8130","5YJ3E1EA8KF000001""#,
    "\nrubbish\n"
);
const SETTINGS: &str = r#"{"history": [["2026-08-20T12:50:00+02:00", 3680.5], ["2026-08-20T12:55:00+02:00", 3700],
    ["yesterday", 1]], "carApiBearerToken": "secret-token"}"#;

struct Old {
    folder: tempfile::TempDir,
    configuration: Configuration,
}

impl Old {
    fn new() -> Old {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("config.json"), CONFIG.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
        std::fs::write(at("settings.json"), SETTINGS).unwrap();
        std::fs::create_dir(at("csv")).unwrap();
        std::fs::write(at("csv/chargesessions.csv"), SESSIONS).unwrap();
        let shared = Arc::new(Shared::new());
        let configuration = Configuration::read(Some(&at("config.json")), &Drivers::builtin(), &shared);
        Old { folder, configuration }
    }

    fn config(&self) -> &Config {
        self.configuration.config.as_ref().unwrap()
    }
}

#[test]
fn the_past_is_brought_once() {
    let old = Old::new();
    let target = old.folder.path().join(JOURNAL);
    let past = || Past::read(&Places::of(old.config(), None), NOW).entries;
    assert_eq!(bring(&target, past(), false).unwrap(), (2, 2));
    assert!(!target.exists(), "without --apply nothing is written");
    assert_eq!(bring(&target, past(), true).unwrap(), (2, 2));
    assert_eq!(bring(&target, past(), true).unwrap(), (0, 0));
    let store = Store::open_for_reading(&target).unwrap();
    let sessions = store.sessions(0, i64::MAX).unwrap();
    assert_eq!((sessions[0].id.as_str(), sessions[0].evse.as_str()), ("import-1787230000-3A7C", "gen2-3A7C"));
    assert_eq!((sessions[0].energy_wh, sessions[0].ended_ms), (22_000.0, Some(1_787_236_600_000)));
    assert_eq!(sessions[1].vin.as_deref(), Some("5YJ3E1EA8KF000001"));
    assert_eq!(store.readings("", 0, i64::MAX).unwrap()[0].cars_w, Some(3680.5));
}

#[test]
fn a_session_that_we_wrote_ourselves_is_not_doubled() {
    let old = Old::new();
    let target = old.folder.path().join(JOURNAL);
    let mut own = Store::open(&target, 0).unwrap().store;
    let session = journal::SessionRecord {
        id: "own".into(),
        evse: "gen2-3A7C".into(),
        started_ms: 1_787_230_000_400,
        ended_ms: Some(1_787_236_600_000),
        ..Default::default()
    };
    own.write(&[Entry::Session(session)]).unwrap();
    drop(own);
    assert_eq!(bring(&target, Past::read(&Places::of(old.config(), None), NOW).entries, true).unwrap().0, 1);
}

#[test]
fn the_report_names_what_stays_behind_and_no_secret() {
    let old = Old::new();
    let places = Places::of(old.config(), None);
    let text = report(&old.configuration, old.config(), &places, &Past::read(&places, NOW));
    for part in ["2 for the journal", "1 without an end or a time", "carApi tokens", "used in place"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(!text.contains("secret-token"));
}

#[test]
fn a_named_folder_is_the_only_one_looked_at() {
    let (here, there) = (Old::new(), tempfile::tempdir().unwrap());
    assert!(Places::of(here.config(), Some(there.path())).sessions_csv.is_none());
    std::fs::copy(here.folder.path().join("csv/chargesessions.csv"), there.path().join("chargesessions.csv")).unwrap();
    let places = Places::of(here.config(), Some(there.path()));
    assert_eq!(Past::read(&places, NOW).entries.len(), 2);
}

#[test]
fn an_end_that_belongs_to_a_later_session_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.sqlite");
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE charge_sessions (chargeid int, startTime timestamp, startkWh int, slaveTWC varchar(4),
                endTime datetime, endkWh int, vehicleVIN varchar(17), primary key(startTime, slaveTWC));
             CREATE TABLE green_energy (time timestamp, genW DECIMAL(9,3), conW DECIMAL(9,3), chgW DECIMAL(9,3),
                primary key(time));
             INSERT INTO charge_sessions VALUES (NULL, 1000, 10, '3A7C', 9000, 40, NULL);
             INSERT INTO charge_sessions VALUES (NULL, 5000, 17, '3A7C', 9000, 40, NULL);
             INSERT INTO charge_sessions VALUES (NULL, 9500, 40, '3A7C', NULL, NULL, NULL);
             INSERT INTO green_energy VALUES ('2026-08-20 10:00:00', 6000, 500, 60);",
        )
        .unwrap();
    drop(database);
    let past = Past::read(&Places { sqlite: Some(path), ..Places::default() }, NOW);
    assert_eq!(past.problems, Vec::<String>::new());
    let energies: Vec<_> = past
        .entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Session(session) => Some((session.ended_ms.unwrap(), session.energy_wh)),
            _ => None,
        })
        .collect();
    assert_eq!(energies, [(5_000_000, 7_000.0), (9_000_000, 23_000.0)]);
    assert_eq!(past.entries.len(), 3);
}

/// As TWCManager makes it, with a session, a sample of meters and one of a counter.
fn database(path: &Path) {
    rusqlite::Connection::open(path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE charge_sessions (chargeid int, startTime timestamp, startkWh int, slaveTWC varchar(4),
                endTime datetime, endkWh int, vehicleVIN varchar(17), primary key(startTime, slaveTWC));
             CREATE TABLE green_energy (time timestamp, genW DECIMAL(9,3), conW DECIMAL(9,3), chgW DECIMAL(9,3),
                primary key(time));
             CREATE TABLE slave_status (slaveTWC varchar(4), time timestamp, kWh int, voltsPhaseA int, voltsPhaseB int,
                voltsPhaseC int, primary key (slaveTWC, time));
             INSERT INTO charge_sessions VALUES (NULL, 1787100000, 8090, '3A7C', 1787107200, 8101, NULL);
             INSERT INTO green_energy VALUES ('2026-08-20 10:00:00', 6000, 500, 60);
             INSERT INTO slave_status VALUES ('3A7C', '2026-08-20 10:00:30', 8101, 231, 230, 0);",
        )
        .unwrap();
}

#[test]
fn counters_and_voltages_come_along() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path().join("old.sqlite"), folder.path().join(JOURNAL));
    database(&path);
    let csv = folder.path().join("slavestatus.csv");
    std::fs::write(&csv, "\"3A7C\",\"1787300000\",\"2026-08-21 08:13:20\",\"8123\",\"240\",\"0\",\"0\"\n").unwrap();
    let places = Places { sqlite: Some(path), status_csv: Some(csv), ..Places::default() };
    let past = || Past::read(&places, NOW).entries;
    assert_eq!(bring(&target, past(), true).unwrap(), (1, 3));
    assert_eq!(bring(&target, past(), true).unwrap(), (0, 0));
    let counters = Store::open_for_reading(&target).unwrap().counters("gen2-3A7C", 0, i64::MAX).unwrap();
    let seen: Vec<_> = counters.iter().map(|counter| (counter.at_ms, counter.counter_wh, counter.volts)).collect();
    assert_eq!(
        seen,
        [
            (1_787_220_030_000, 8_101_000.0, [Some(231.0), Some(230.0), None]),
            (1_787_300_000_000, 8_123_000.0, [Some(240.0), None, None])
        ]
    );
}

/// A folder that was copied from an old machine, where logging to SQLite is not configured (any more).
#[test]
fn the_usual_files_of_a_folder_are_found_without_being_configured() {
    let (here, there) = (Old::new(), tempfile::tempdir().unwrap());
    let found = || Places::of(here.config(), Some(there.path()));
    assert_eq!((found().sqlite, found().status_csv), (None, None));
    std::fs::write(there.path().join("notes.sqlite"), "no database").unwrap();
    database(&there.path().join("renamed.db"));
    drop(Store::open(&there.path().join(JOURNAL), 0).unwrap());
    assert_eq!(found().sqlite, Some(there.path().join("renamed.db")));
    database(&there.path().join("twcmanager.sqlite"));
    assert_eq!(found().sqlite, Some(there.path().join("twcmanager.sqlite")));
    std::fs::create_dir(there.path().join("csv")).unwrap();
    std::fs::write(there.path().join("csv/slavestatus.csv"), "").unwrap();
    assert_eq!(found().status_csv, Some(there.path().join("csv/slavestatus.csv")));
    // In place, too: the section was on once.
    database(&here.folder.path().join("twcmanager.sqlite"));
    assert_eq!(Places::of(here.config(), None).sqlite, Some(here.folder.path().join("twcmanager.sqlite")));
}

#[test]
fn what_two_places_have_is_brought_once() {
    let folder = tempfile::tempdir().unwrap();
    let (csv, sqlite) = (folder.path().join("chargesessions.csv"), folder.path().join("old.sqlite"));
    std::fs::write(&csv, SESSIONS).unwrap();
    database(&sqlite);
    // The same session, a second later by the other clock.
    rusqlite::Connection::open(&sqlite)
        .unwrap()
        .execute_batch("INSERT INTO charge_sessions VALUES (NULL, 1787230001, 8101, '3A7C', 1787236600, 8123, NULL)")
        .unwrap();
    let past = Past::read(&Places { sessions_csv: Some(csv), sqlite: Some(sqlite), ..Places::default() }, NOW);
    let sessions = past.entries.iter().filter(|entry| matches!(entry, Entry::Session(_))).count();
    assert_eq!(sessions, 3);
    assert!(
        past.counts.iter().any(|(_, text)| text.contains("1 are the same as in a place above")),
        "{:?}",
        past.counts
    );
}

/// What the journal makes thinner with age does not come back with the next import.
#[test]
fn what_was_thinned_out_stays_out() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path().join("old.sqlite"), folder.path().join(JOURNAL));
    database(&path);
    let old = rusqlite::Connection::open(&path).unwrap();
    for second in 0..180 {
        let time = logging::utc_time(1_787_220_000 + second * 20);
        old.execute("INSERT OR IGNORE INTO green_energy VALUES (?1, 6000, 500, 60)", [&time]).unwrap();
        old.execute("INSERT OR IGNORE INTO slave_status VALUES ('3A7C', ?1, 8101, 231, 0, 0)", [&time]).unwrap();
    }
    let places = Places { sqlite: Some(path), ..Places::default() };
    let fresh = Past::read(&places, NOW);
    assert_eq!(fresh.entries.len(), 1 + 180 + 181, "of the last two days all are kept");
    let mut store = Store::open(&target, NOW).unwrap().store;
    store.write(&only_new(fresh.entries, Some(&store), NOW).unwrap()).unwrap();
    store.thin(YEARS_LATER).unwrap();
    let late = Past::read(&places, YEARS_LATER);
    assert_eq!(late.entries.len(), 1 + 1 + 1, "{:?}", late.counts);
    assert_eq!(only_new(late.entries, Some(&store), YEARS_LATER).unwrap(), []);
}

/// A real server with tables as TWCManager's documentation has them made, filled as its statements do.
#[cfg(feature = "mysql")]
#[test]
fn the_past_in_mysql_is_brought_once() {
    let Some(server) = mysql_rig::MariaDb::start() else { return };
    server.execute(&[
        "CREATE TABLE charge_sessions (chargeid int, startTime datetime, startkWh int, slaveTWC varchar(4),
            endTime datetime, endkWh int, vehicleVIN varchar(17), primary key(startTime, slaveTWC))",
        "CREATE TABLE green_energy (time datetime, genW DECIMAL(9,3), conW DECIMAL(9,3), chgW DECIMAL(9,3),
            primary key(time))",
        "CREATE TABLE slave_status (slaveTWC varchar(4), time datetime, kWh int, voltsPhaseA int, voltsPhaseB int,
            voltsPhaseC int, primary key (slaveTWC, time))",
        "INSERT INTO charge_sessions VALUES
            (1787230000, FROM_UNIXTIME(1787230000), 8101, '3A7C', FROM_UNIXTIME(1787236600), 8123, '5YJ3E1EA8KF000001'),
            (1787300000, FROM_UNIXTIME(1787300000), 8123, '3A7C', NULL, NULL, NULL)",
        "INSERT INTO green_energy VALUES (FROM_UNIXTIME(1787230030), 6000, 500.25, 60)",
        "INSERT INTO slave_status VALUES ('3A7C', FROM_UNIXTIME(1787230060), 8101, 231, 230, 232)",
    ]);
    let before = server.shown("CHECKSUM TABLE charge_sessions, green_energy, slave_status");
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        r#"{{"config": {{"settingsPath": "{}", "wiringMaxAmpsAllTWCs": 32, "wiringMaxAmpsPerTWC": 32}},
            "interface": {{"RS485": {{"enabled": false}}}},
            "logging": {{"MySQL": {{"enabled": true, "host": "127.0.0.1", "port": {}, "database": "{}",
                "username": "{}", "password": "{}"}}}}}}"#,
        folder.path().display(),
        server.port(),
        mysql_rig::MariaDb::DATABASE,
        mysql_rig::MariaDb::USERNAME,
        mysql_rig::MariaDb::PASSWORD
    );
    let file = folder.path().join("config.json");
    std::fs::write(&file, config).unwrap();
    let configuration = Configuration::read(Some(&file), &Drivers::builtin(), &Arc::new(Shared::new()));
    let config = configuration.config.as_ref().unwrap();
    let places = Places::of(config, None);
    let past = Past::read(&places, NOW);
    assert_eq!(past.problems, Vec::<String>::new());
    let text = report(&configuration, config, &places, &past);
    assert!(text.contains("sessions\n      1 for the journal; 1 without an end"), "{text}");
    assert!(!text.contains(mysql_rig::MariaDb::PASSWORD), "{text}");
    let target = folder.path().join(JOURNAL);
    assert_eq!(bring(&target, past.entries, false).unwrap(), (1, 2));
    assert!(!target.exists(), "without --apply nothing is written");
    assert_eq!(bring(&target, Past::read(&places, NOW).entries, true).unwrap(), (1, 2));
    assert_eq!(bring(&target, Past::read(&places, NOW).entries, true).unwrap(), (0, 0));
    let store = Store::open_for_reading(&target).unwrap();
    let session = store.sessions(0, i64::MAX).unwrap().remove(0);
    assert_eq!((session.started_ms, session.energy_wh), (1_787_230_000_000, 22_000.0));
    assert_eq!(session.vin.as_deref(), Some("5YJ3E1EA8KF000001"));
    assert_eq!(store.readings("", 0, i64::MAX).unwrap()[0].consumption_w, Some(500.25));
    assert_eq!(store.counters("gen2-3A7C", 0, i64::MAX).unwrap()[0].volts, [Some(231.0), Some(230.0), Some(232.0)]);
    assert_eq!(
        server.shown("CHECKSUM TABLE charge_sessions, green_energy, slave_status"),
        before,
        "the old is untouched"
    );
    // A server that is away is named with the key that mends it, and the rest is read all the same.
    drop(server);
    let past = Past::read(&places, NOW);
    assert!(past.problems.len() == 1 && past.problems[0].contains("`logging.MySQL.host`"), "{:?}", past.problems);
}

/// Files that the real program wrote, where they are at hand.
#[test]
fn recorded_files_are_read() {
    let Some(folder) = recordings::folder("twcmanager") else { return };
    for run in std::fs::read_dir(folder).unwrap().flatten().map(|run| run.path()).filter(|run| run.is_dir()) {
        let places = Places {
            sessions_csv: Some(run.join("csv_chargesessions.csv")),
            green_csv: Some(run.join("csv_greenenergy.csv")),
            status_csv: Some(run.join("csv_slavestatus.csv")),
            settings: Some(run.join("settings.json")),
            ..Places::default()
        };
        let past = Past::read(&places, NOW);
        assert!(past.problems.is_empty(), "{}: {:?}", run.display(), past.problems);
        let lines = |name: &str| std::fs::read_to_string(run.join(name)).unwrap().lines().count();
        let count = |is_one: fn(&Entry) -> bool| past.entries.iter().filter(|entry| is_one(entry)).count();
        assert_eq!(
            count(|entry| matches!(entry, Entry::Session(_))),
            lines("csv_chargesessions.csv"),
            "{}",
            run.display()
        );
        assert_eq!(
            count(|entry| matches!(entry, Entry::Counter(_))),
            lines("csv_slavestatus.csv"),
            "{}",
            run.display()
        );
    }
}

/// Databases that the real program wrote, made anew from what was noted of them.
#[test]
fn recorded_databases_are_read() {
    let Some(folder) = recordings::folder("twcmanager") else { return };
    for run in std::fs::read_dir(folder).unwrap().flatten().map(|run| run.path()).filter(|run| run.is_dir()) {
        let noted: Value = serde_json::from_slice(&std::fs::read(run.join("sqlite.json")).unwrap()).unwrap();
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("twcmanager.sqlite");
        let database = rusqlite::Connection::open(&path).unwrap();
        for table in noted["schema"].as_array().unwrap() {
            database.execute_batch(table.as_str().unwrap()).unwrap();
        }
        for (table, rows) in noted["rows"].as_object().unwrap() {
            for row in rows.as_array().unwrap() {
                let values: Vec<String> = row.as_array().unwrap().iter().map(sql).collect();
                database.execute_batch(&format!("INSERT INTO {table} VALUES ({})", values.join(", "))).unwrap();
            }
        }
        let rows = |table: &str| noted["rows"][table].as_array().unwrap();
        let ended = rows("charge_sessions").iter().filter(|row| !row[4].is_null()).count();
        let past = Past::read(&Places { sqlite: Some(path), ..Places::default() }, NOW);
        let count = |is_one: fn(&Entry) -> bool| past.entries.iter().filter(|entry| is_one(entry)).count();
        let found = [
            count(|entry| matches!(entry, Entry::Session(_))),
            count(|entry| matches!(entry, Entry::Reading(_))),
            count(|entry| matches!(entry, Entry::Counter(_))),
        ];
        assert_eq!(past.problems, Vec::<String>::new());
        assert_eq!(found, [ended, rows("green_energy").len(), rows("slave_status").len()], "{}", run.display());
    }
}

/// A noted value as SQL.
fn sql(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| format!("'{}'", text.replace('\'', "''")))
}

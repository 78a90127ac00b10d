//! Folders as an older program leaves them.

use super::*;

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
    let past = || Past::read(&Places::of(old.config(), None)).entries;
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
    assert_eq!(bring(&target, Past::read(&Places::of(old.config(), None)).entries, true).unwrap().0, 1);
}

#[test]
fn the_report_names_what_stays_behind_and_no_secret() {
    let old = Old::new();
    let places = Places::of(old.config(), None);
    let text = report(&old.configuration, old.config(), &places, &Past::read(&places));
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
    assert_eq!(Past::read(&places).entries.len(), 2);
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
    let past = Past::read(&Places { sqlite: Some(path), ..Places::default() });
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

/// Files that the real program wrote, where they are at hand.
#[test]
fn recorded_files_are_read() {
    let Some(folder) = std::env::var_os("TWCMANAGER_RECORDINGS").map(PathBuf::from) else { return };
    let Ok(runs) = std::fs::read_dir(folder.join("twcmanager")) else { return };
    for run in runs.flatten().map(|run| run.path()).filter(|run| run.is_dir()) {
        let places = Places {
            sessions_csv: Some(run.join("csv_chargesessions.csv")),
            settings: Some(run.join("settings.json")),
            ..Places::default()
        };
        let past = Past::read(&places);
        assert!(past.problems.is_empty(), "{}: {:?}", run.display(), past.problems);
        let lines = std::fs::read_to_string(run.join("csv_chargesessions.csv")).unwrap().lines().count();
        let sessions = past.entries.iter().filter(|entry| matches!(entry, Entry::Session(_))).count();
        assert_eq!(sessions, lines, "{}", run.display());
    }
}

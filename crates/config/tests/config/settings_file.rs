//! The settings file through old shapes, damage and crashes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use config::Secret;
use config::{
    ChargeStopMode, CommandPolicy, ConsumptionOffset, FlatSchedule, NonScheduledAction, Notice, OffsetUnit, Settings,
    SettingsStore, Tokens,
};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use units::Amps;

/// A folder of its own that is removed with its content.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("twcmanager-config-{}-{name}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.0.join(name), content).unwrap();
    }

    fn value(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.0.join(name)).unwrap()).unwrap()
    }

    fn open(&self) -> (SettingsStore, Vec<Notice>) {
        let opened = SettingsStore::open(&self.0, UNIX_EPOCH + Duration::from_secs(1_800_000_000)).unwrap();
        (opened.store, opened.notices)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn settings(value: Value) -> Settings {
    Settings::from_map(value.as_object().unwrap().clone())
}

#[test]
fn a_new_folder_gets_the_usual_defaults() {
    let folder = Folder::new("fresh");
    let (mut store, notices) = folder.open();
    assert_eq!(notices, [Notice::Fresh]);
    store.save().unwrap();
    let value = folder.value("settings.json");
    assert_eq!(
        (&value["chargeStopMode"], &value["scheduledAmpsDaysBitmap"], &value["sunset"]),
        (&json!("1"), &json!(127), &json!(20))
    );
    assert_eq!(value["VehicleGroups"]["Deny Charging"]["Members"], json!([]));
    assert_eq!(value.get("nonScheduledAction"), None);
    let mode = fs::metadata(folder.0.join("settings.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(folder.open().1.is_empty());
}

#[test]
fn texts_that_forms_stored_count_as_numbers_and_unknown_keys_stay() {
    let folder = Folder::new("strings");
    folder.write(
        "settings.json",
        r#"{"None": "None", "chargeNowAmps": "16", "sendServerTime": "1", "nonScheduledAction": "3", "homeLat": "52.5", "homeLon": "13.4", "chargeStopMode": 3,
            "spikeAmpsProactively": "on", "spikeAmpsReactively": 0, "scheduledAmpsFlexStart": "", "chargeLimits": {"1": 80, "2": ["90", 60]}, "mine": {"z": 1, "a": [NaN]}}"#,
    );
    let (mut store, notices) = folder.open();
    assert!(notices.is_empty());
    let now = store.get();
    assert_eq!(now.charge_now_amps(), Amps::from_whole(16));
    assert!(now.send_server_time() && now.spike_amps_proactively() && !now.spike_amps_reactively());
    assert_eq!(now.non_scheduled_action(), Some(NonScheduledAction::TrackGreenEnergy));
    assert_eq!(now.home(), Some((52.5, 13.4)));
    assert_eq!(now.charge_stop_mode(), ChargeStopMode::Connector);
    assert_eq!(now.remembered_limit("1").unwrap().outside.get(), 80.0);
    assert_eq!(now.remembered_limit("2").unwrap().applied.unwrap().get(), 60.0);
    assert_eq!(now.policy_value("absent"), json!(0));
    store.update(|settings| settings.set_charge_stop_mode(ChargeStopMode::StopAnswering));
    store.save().unwrap();
    let value = folder.value("settings.json");
    assert_eq!(
        (&value["chargeNowAmps"], &value["homeLat"], &value["chargeStopMode"]),
        (&json!(16), &json!(52.5), &json!("2"))
    );
    let keys: Vec<_> = value.as_object().unwrap().keys().take(3).cloned().collect();
    assert_eq!(keys, ["None", "chargeNowAmps", "sendServerTime"]);
    assert_eq!(serde_json::to_string(&value["mine"]).unwrap(), r#"{"z":1,"a":["NaN"]}"#);
}

#[test]
fn what_is_set_is_what_is_read() {
    let mut all = Settings::default();
    let schedule = FlatSchedule {
        rate: Amps::from_whole(24),
        start_hour: Some(22.5),
        end_hour: Some(6.25),
        days: 0b101_0101,
        flex_start: true,
        battery_kwh: 75.0,
    };
    all.set_schedule(&schedule);
    assert_eq!(all.schedule(), schedule);
    assert_eq!(all.value("scheduledAmpsMax"), Some(&json!(24)));
    let offset = ConsumptionOffset { name: "pump".into(), value: -2.5, unit: OffsetUnit::Watts };
    all.set_consumption_offset(&offset);
    assert_eq!(all.consumption_offsets(), [offset]);
    assert!(all.remove_consumption_offset("pump") && !all.remove_consumption_offset("pump"));
    let tokens = Tokens { bearer: Secret::new("b"), refresh: Secret::new("r"), expires: 1.5e9 };
    all.set_tokens(Some(&tokens));
    assert_eq!(all.tokens(), Some(tokens));
    assert!(!format!("{:?}", all.tokens()).contains("\"r\""));
    all.set_tokens(None);
    assert_eq!(all.tokens(), None);
    all.set_command_policy(CommandPolicy::BleOnly);
    assert_eq!(all.value("commandPolicy"), Some(&json!("ble_only")));
    assert!(!all.remove_vehicle_group(config::ALLOW_CHARGING));
    all.set_supports_vin_query("3A7C", true);
    assert_eq!(all.supports_vin_query("3A7C"), Some(true));
    for minute in 0..700 {
        all.push_history(&format!("t{minute}"), units::Watts::new(f64::from(minute)).unwrap());
    }
    assert_eq!(all.history().first().map(|entry| entry.0), Some("t124"));
}

#[test]
fn values_of_any_shape_are_survived() {
    let keys = [
        "chargeNowAmps",
        "VehicleGroups",
        "Vehicles",
        "SlaveTWCs",
        "chargeLimits",
        "consumptionOffset",
        "history",
        "Graphs",
        "sunrise",
        "chargeStopMode",
        "homeLat",
    ];
    for wrong in
        [json!(null), json!(-1e300), json!("x"), json!([[]]), json!({ "v": null }), json!({ "v": ["x"] }), json!(true)]
    {
        let mut all = settings(
            keys.iter().map(|key| ((*key).to_owned(), wrong.clone())).collect::<serde_json::Map<_, _>>().into(),
        );
        assert_eq!(all.charge_now_amps(), Amps::ZERO);
        assert_eq!(all.home(), None);
        assert_eq!(all.history(), []);
        assert_eq!((all.remembered_limit("v"), all.graphs()), (None, None));
        assert!(all.vehicle_totals("v").is_none_or(|totals| totals.total_kwh == 0.0));
        assert!(all.supports_vin_query("v").is_none());
        all.push_history("t", units::Watts::ZERO);
        all.set_vehicle_field("v", "privKey", json!("k"));
        all.set_supports_vin_query("v", false);
        all.set_remembered_limit("v", None);
        assert_eq!(all.vehicle_groups().iter().filter(|group| group.built_in).count(), 2);
    }
}

#[test]
fn a_damaged_file_is_kept_and_the_backup_used() {
    let folder = Folder::new("damaged");
    for damage in ["", "{\"chargeNowAmps\": 1", "\0\0\0\0", "chargeNowAmps=5\n", "[]"] {
        folder.write("settings.json", damage);
        folder.write("settings.json.backup", r#"{"nonScheduledAmpsMax": 9}"#);
        let (mut store, notices) = folder.open();
        let [Notice::Damaged { kept_as }, Notice::FromBackup] = &notices[..] else { panic!("{damage:?} {notices:?}") };
        assert_eq!(fs::read_to_string(kept_as).unwrap(), damage);
        assert!(kept_as.to_string_lossy().contains("settings.json.damaged-1800000000"));
        assert_eq!(store.get().non_scheduled_amps_max(), Amps::from_whole(9));
        // The backup is all there is until the save is complete.
        assert_eq!(folder.value("settings.json.backup"), json!({ "nonScheduledAmpsMax": 9 }));
        store.save().unwrap();
        assert_eq!(folder.open().1, []);
    }
    folder.write("settings.json", "{");
    folder.write("settings.json.backup", "{");
    let (_, notices) = folder.open();
    assert_eq!(notices.last(), Some(&Notice::Lost));
}

#[test]
fn a_save_that_was_cut_off_between_its_renames_is_completed() {
    let folder = Folder::new("cutoff");
    folder.write("settings.json.backup", r#"{"nonScheduledAmpsMax": 9}"#);
    folder.write("settings.json.tmp", r#"{"nonScheduledAmpsMax": 10}"#);
    let (store, notices) = folder.open();
    assert_eq!(notices, [Notice::FromUnfinishedSave]);
    assert_eq!(store.get().non_scheduled_amps_max(), Amps::from_whole(10));
    folder.write("settings.json.tmp", r#"{"nonScheduledAmpsMax": 1"#);
    let (store, notices) = folder.open();
    assert_eq!(notices, [Notice::FromBackup]);
    assert_eq!(store.get().non_scheduled_amps_max(), Amps::from_whole(9));
}

#[test]
fn nothing_is_written_without_a_change() {
    let folder = Folder::new("clean");
    folder.write("settings.json", r#"{"a": 1}"#);
    let (mut store, _) = folder.open();
    store.update(|settings| settings.set_value("chargeNowAmps", json!(0)));
    assert!(!store.is_dirty());
    store.save().unwrap();
    assert!(!folder.0.join("settings.json.backup").exists());
    store.update(|settings| settings.set_value("chargeNowAmps", json!(5)));
    store.save().unwrap();
    assert_eq!(folder.value("settings.json.backup"), json!({ "a": 1 }));
    let mode = fs::metadata(folder.0.join("settings.json.backup")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_folder_that_cannot_be_used_is_said_and_not_overwritten() {
    let folder = Folder::new("nofolder");
    folder.write("file", "");
    let error = SettingsStore::open(&folder.0.join("file/below"), UNIX_EPOCH).unwrap_err();
    assert!(error.to_string().contains("config.settingsPath"));
}

/// Not a test of its own: the program that `killing_the_program_while_it_saves_loses_nothing` kills.
#[test]
fn saving_without_end_for_the_crash_test() {
    let Some(path) = std::env::var_os("TWCMANAGER_TEST_SAVE") else { return };
    let mut store = SettingsStore::open(Path::new(&path), UNIX_EPOCH).unwrap().store;
    for count in 1_u32.. {
        store.update(|settings| {
            settings.set_value("count", json!(count));
            settings.set_value("filler", json!("x".repeat(20_000)));
        });
        store.save().unwrap();
        // Said only once it is saved.
        println!("{count}");
    }
}

#[test]
fn killing_the_program_while_it_saves_loses_nothing() {
    for round in 0..6 {
        let folder = Folder::new(&format!("kill{round}"));
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "settings_file::saving_without_end_for_the_crash_test", "--nocapture"])
            .env("TWCMANAGER_TEST_SAVE", &folder.0)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut saves = output.lines().map_while(Result::ok).filter_map(|line| line.parse::<u64>().ok());
        // A different number of saves each time, then wherever the program happens to be.
        let mut seen = saves.by_ref().take(2 + round * 3).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        seen = saves.last().unwrap_or(seen);
        let (store, notices) = folder.open();
        assert_eq!(notices, []);
        let count = store.get().value("count").and_then(Value::as_u64).unwrap();
        assert!(count >= seen, "{count} after {seen} saves");
    }
}

/// Recordings of real installations, where a developer has them.
#[test]
fn recorded_settings_load_and_keep_every_key() {
    let Some(folder) = recordings::folder("twcmanager") else { return };
    let Ok(entries) = fs::read_dir(folder) else { return };
    for file in entries.flatten().map(|entry| entry.path().join("settings.json")).filter(|path| path.exists()) {
        let recorded: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let all = settings(recorded.clone());
        for (key, value) in recorded.as_object().unwrap() {
            let stored = all.value(key).unwrap();
            let spelt = value.to_string();
            let is_same = stored == value
                || stored.as_f64() == value.as_str().and_then(|text| text.parse().ok())
                || stored.as_str() == Some(spelt.as_str());
            assert!(is_same, "{key}: {value} became {stored}");
        }
    }
}

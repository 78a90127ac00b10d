//! The language and the engine, judged as a person would: a configuration, a moment, an answer.

use std::time::{Duration, Instant};

use jiff::Zoned;
use serde_json::{Map, Value as Json, json};

use crate::*;

/// Facts as plain JSON.
#[derive(Default)]
struct World {
    settings: Map<String, Json>,
    config: Map<String, Json>,
    modules: Map<String, Json>,
    green: Option<f64>,
    need: Option<(f64, f64)>,
}

impl World {
    fn new(settings: Json) -> World {
        World { settings: settings.as_object().cloned().unwrap(), ..World::default() }
    }
}

impl Facts for World {
    fn setting(&self, key: &str) -> Option<&Json> {
        self.settings.get(key)
    }
    fn config(&self, key: &str) -> Option<&Json> {
        self.config.get(key)
    }
    fn module(&self, name: &str, attribute: &str) -> Fact {
        self.modules.get(name).and_then(|module| module.get(attribute)).map_or(Fact::Unknown, Fact::from_json)
    }
    fn green_amps(&self) -> Option<f64> {
        self.green
    }
    fn hours_to_charge(&self, _: f64) -> Option<(f64, f64)> {
        self.need
    }
}

fn at(wall: &str) -> Now {
    Now { mono: Instant::now(), wall: wall.parse::<Zoned>().unwrap() }
}

fn later(now: &Now, seconds: u64) -> Now {
    let span = jiff::Span::new().seconds(i64::try_from(seconds).unwrap());
    Now { mono: now.mono + Duration::from_secs(seconds), wall: now.wall.checked_add(span).unwrap() }
}

fn engine(section: &Json) -> Engine {
    Engine::new(PolicyList::new(Some(section), None).unwrap())
}

/// The name in force at noon on a Wednesday for one policy that is judged before all others.
fn holds(conditions: Json, world: &World) -> bool {
    let mut policy = conditions;
    policy["name"] = json!("Mine");
    policy["charge_amps"] = json!(7);
    let mut engine = engine(&json!({"extend": {"emergency": [policy]}}));
    engine.judge(&at("2026-06-10T12:00:00[Europe/Berlin]"), world).unwrap().name == "Mine"
}

fn one(left: Json, operator: &str, right: Json) -> Json {
    json!({"match": [left], "condition": [operator], "value": [right]})
}

#[test]
fn every_operator_and_every_word() {
    let mut world = World::new(json!({"a": "12", "chargeNowTimeEnd": 1.0}));
    world.config = json!({"limit": 12, "word": "12"}).as_object().cloned().unwrap();
    world.modules = json!({"TeslaPowerwall2": {"batteryLevel": 81.5, "stormWatch": false, "operatingMode": "backup"}})
        .as_object()
        .cloned()
        .unwrap();
    world.green = Some(9.3);
    for (left, operator, right, expected) in [
        (json!("settings.a"), "gt", json!(11), true),
        (json!("settings.a"), "gte", json!("12"), true),
        (json!("settings.a"), "lt", json!(12), false),
        (json!("settings.a"), "lte", json!("config.limit"), true),
        (json!("settings.a"), "eq", json!(12), true),
        (json!("settings.absent"), "eq", json!(0), true),
        (json!("config.word"), "eq", json!(12), false),
        (json!("config.word"), "gte", json!(12), true),
        (json!("settings.a"), "ne", json!(12), false),
        (json!(1), "false", json!(1), false),
        (json!(1), "none", json!(2), true),
        (json!(true), "eq", json!(1), true),
        (json!("now"), "gt", json!("settings.chargeNowTimeEnd"), true),
        (json!("tm_hour"), "eq", json!(12), true),
        (json!("tm_wday"), "eq", json!(2), true),
        (json!("tm_mon"), "eq", json!(6), true),
        (json!("tm_yday"), "eq", json!(161), true),
        (json!("tm_isdst"), "eq", json!(1), true),
        (json!("tm_zone"), "eq", json!("CEST"), true),
        (json!("tm_gmtoff"), "eq", json!(7200), true),
        (json!("getMaxAmpsToDivideGreenEnergy()"), "gt", json!(9), true),
        (json!("checkScheduledCharging()"), "eq", json!(0), true),
        (json!("modules.TeslaPowerwall2.batteryLevel"), "gt", json!(80), true),
        (json!("modules.TeslaPowerwall2.stormWatch"), "eq", json!(false), true),
        (json!("modules.TeslaPowerwall2.operatingMode"), "eq", json!("backup"), true),
        (json!("example.org"), "eq", json!("example.org"), true),
        // What is not known holds never, whichever way it is asked.
        (json!("modules.TeslaPowerwall2.absent"), "gt", json!(0), false),
        (json!("modules.TeslaPowerwall2.absent"), "lte", json!(0), false),
        (json!("modules.TeslaPowerwall2.absent"), "ne", json!(0), false),
        (json!("modules.TeslaPowerwall2.operatingMode"), "gt", json!(5), false),
    ] {
        assert_eq!(holds(one(left.clone(), operator, right.clone()), &world), expected, "{left} {operator} {right}");
    }
}

#[test]
fn nested_groups_alternate_between_or_and_and() {
    let world = World::new(json!({"a": 1, "b": 2}));
    // a = 1 and (a = 5 or b = 2)
    let either = json!({"match": ["settings.a", ["settings.a", "settings.b"]], "condition": ["eq", ["eq", "eq"]], "value": [1, [5, 2]]});
    assert!(holds(either, &world));
    // (a = 1 and b = 5) or b = 7
    let deeper = |b: i32| {
        json!({
            "match": [[["settings.a", "settings.b"], "settings.b"]],
            "condition": [[["eq", "eq"], "eq"]],
            "value": [[[1, 5], b]],
        })
    };
    assert!(!holds(deeper(7), &world));
    assert!(holds(deeper(2), &world));
}

#[test]
fn what_cannot_be_understood_is_refused_by_name_and_key() {
    for (section, policy, key, word) in [
        (
            json!({"extend": {"before": [{"name": "A", "match": ["now", "now"], "condition": ["gt", "above"], "value": [1, 1]}]}}),
            "A",
            "policy.extend.before[0].condition[1]",
            "above",
        ),
        (
            json!({"extend": {"after": [{"name": "B", "match": [["tm_hours"]], "condition": [["gt"]], "value": [[1]]}]}}),
            "B",
            "policy.extend.after[0].match[0][0]",
            "tm_hours",
        ),
        (json!({"override": [{"name": "C", "match": [], "condition": []}]}), "C", "policy.override[0].value", "value"),
        (
            json!({"override": [{"name": "D", "match": ["getImportPrice()"], "condition": ["lt"], "value": [3]}]}),
            "D",
            "policy.override[0].match[0]",
            "getImportPrice()",
        ),
        (
            json!({"override": [{"name": "E", "match": [], "condition": [], "value": [], "charge_amps": "lots"}]}),
            "E",
            "policy.override[0].charge_amps",
            "lots",
        ),
        (json!({"override": [{"match": [], "condition": [], "value": []}]}), "", "policy.override[0].name", "name"),
        (
            json!({"extend": {"restrictions": {"Track Sun": one(json!(1), "eq", json!(1))}}}),
            "Track Sun",
            "policy.extend.restrictions.Track Sun",
            "no policy",
        ),
        (
            json!({"extend": {"webhooks": {"Charge Now": {"enter": "example"}}}}),
            "Charge Now",
            "policy.extend.webhooks.Charge Now.enter",
            "http",
        ),
        (
            json!({"extend": {"emergency": [{"name": "F", "match": ["now"], "condition": [["gt"]], "value": [1]}]}}),
            "F",
            "policy.extend.emergency[0].condition[0]",
            "group",
        ),
        (
            json!({"extend": {"emergency": [{"name": "G", "match": ["modules.X"], "condition": ["gt"], "value": [1]}]}}),
            "G",
            "policy.extend.emergency[0].match[0]",
            "modules.NAME",
        ),
    ] {
        let errors = PolicyList::new(Some(&section), None).unwrap_err();
        let [error] = errors.as_slice() else { panic!("{errors:?}") };
        assert_eq!((error.policy.as_str(), error.key.as_str()), (policy, key), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn extensions_go_to_their_places_and_override_replaces_everything() {
    let mine = |name: &str| json!({"name": name, "match": [], "condition": [], "value": [], "charge_amps": 1});
    let section =
        json!({"extend": {"emergency": [mine("E")], "before": [mine("B1"), mine("B2")], "after": [mine("A")]}});
    let list = PolicyList::new(Some(&section), None).unwrap();
    let names: Vec<_> = list.names().collect();
    assert_eq!(names, ["E", CHARGE_NOW, "B1", "B2", SCHEDULED, GREEN, "A", NON_SCHEDULED, GREEN]);
    let section = json!({"override": [mine("Only")], "extend": {"before": [mine("B")]}});
    let list = PolicyList::new(Some(&section), None).unwrap();
    assert_eq!(list.names().collect::<Vec<_>>(), ["Only"]);
    assert_eq!(list.remarks()[0].key, "policy.extend");
}

#[test]
fn the_built_in_policies_take_over_from_each_other() {
    let noon = at("2026-06-10T12:00:00[Europe/Berlin]");
    let night = at("2026-06-10T23:00:00[Europe/Berlin]");
    let base = json!({"sunrise": 5, "sunset": 22, "hourResumeTrackGreenEnergy": -1});
    let with = |more: Json| {
        let mut settings = base.clone();
        settings.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        World::new(settings)
    };
    let end = noon.epoch() + 3600.0;
    for (settings, now, name, ask) in [
        (json!({}), &noon, GREEN, Ask::Surplus),
        (json!({}), &night, NON_SCHEDULED, Ask::Amps(0.0)),
        (json!({"nonScheduledAction": 3}), &night, GREEN, Ask::Surplus),
        // "Do not charge" also by day.
        (json!({"nonScheduledAction": "2"}), &noon, NON_SCHEDULED, Ask::Amps(0.0)),
        (json!({"nonScheduledAction": 1, "nonScheduledAmpsMax": "16"}), &night, NON_SCHEDULED, Ask::Amps(16.0)),
        (json!({"hourResumeTrackGreenEnergy": 13}), &noon, NON_SCHEDULED, Ask::Amps(0.0)),
        (json!({"chargeNowAmps": 20, "chargeNowTimeEnd": end}), &noon, CHARGE_NOW, Ask::Amps(20.0)),
        (json!({"chargeNowAmps": "20", "chargeNowTimeEnd": end.to_string()}), &noon, CHARGE_NOW, Ask::Amps(20.0)),
        (json!({"chargeNowAmps": 20, "chargeNowTimeEnd": end}), &night, NON_SCHEDULED, Ask::Amps(0.0)),
        (
            json!({"scheduledAmpsMax": 10, "scheduledAmpsStartHour": 22, "scheduledAmpsEndHour": 6}),
            &night,
            SCHEDULED,
            Ask::Amps(10.0),
        ),
    ] {
        let judgement = engine(&json!({})).judge(now, &with(settings.clone())).unwrap();
        assert_eq!((judgement.name.as_str(), judgement.ask), (name, ask), "{settings}");
    }
}

#[test]
fn restrictions_reach_the_first_of_two_with_one_name_and_show_in_the_list() {
    let section = json!({"extend": {"restrictions": {GREEN: one(json!("modules.P.soc"), "gt", json!(50))}, "webhooks": {GREEN: {"enter": "http://a/b"}}}});
    let engine = engine(&section);
    let shown = engine.to_json();
    assert_eq!(shown[2]["match"].as_array().unwrap().len(), 5);
    assert_eq!(shown[2]["webhooks"]["enter"], "http://a/b");
    assert_eq!(shown[4]["match"].as_array().unwrap().len(), 1);
    assert_eq!(engine.list().modules(), ["P"]);
}

#[test]
fn a_latch_keeps_a_policy_and_earlier_ones_still_come_first() {
    let latch = json!(15);
    let mut engine = Engine::new(PolicyList::new(None, Some(&latch)).unwrap());
    let dusk = at("2026-06-10T19:50:00[Europe/Berlin]");
    let mut world = World::new(json!({"sunrise": 6, "sunset": 20}));
    assert_eq!(engine.judge(&dusk, &world).unwrap().name, GREEN);
    assert!(engine.to_json()[2]["__latchTime"].is_number());
    let judgement = engine.judge(&later(&dusk, 14 * 60), &world).unwrap();
    assert_eq!((judgement.name.as_str(), judgement.because), (GREEN, Because::Latch));
    world.settings.insert("chargeNowAmps".into(), json!(6));
    world.settings.insert("chargeNowTimeEnd".into(), json!(dusk.epoch() + 14.5 * 60.0));
    assert_eq!(engine.judge(&later(&dusk, 14 * 60), &world).unwrap().name, CHARGE_NOW);
    assert_eq!(engine.judge(&later(&dusk, 16 * 60), &world).unwrap().name, NON_SCHEDULED);
}

#[test]
fn changes_call_the_webhooks_of_both_and_the_two_green_entries_count_as_one() {
    let section = json!({"extend": {"webhooks": {GREEN: {"exit": "http://h/green-out"}, NON_SCHEDULED: {"enter": "http://h/night-in"}}}});
    let mut engine = engine(&section);
    let day = at("2026-06-10T19:00:00[Europe/Berlin]");
    let mut world = World::new(json!({"sunrise": 6, "sunset": 20, "nonScheduledAction": 3}));
    assert_eq!(engine.judge(&day, &world).unwrap().change.unwrap().from, None);
    assert_eq!(engine.judge(&later(&day, 7200), &world).unwrap().change, None);
    world.settings.insert("nonScheduledAction".into(), json!(1));
    let change = engine.judge(&later(&day, 7400), &world).unwrap().change.unwrap();
    assert_eq!(change.exit.as_deref(), Some("http://h/green-out"));
    assert_eq!(change.enter.as_deref(), Some("http://h/night-in"));
}

#[test]
fn a_person_may_hold_a_policy_for_a_while() {
    let mut engine = engine(&json!({}));
    let noon = at("2026-06-10T12:00:00[Europe/Berlin]");
    let world = World::new(json!({"sunrise": 6, "sunset": 20, "nonScheduledAmpsMax": 8}));
    assert!(!engine.hold("Nothing", noon.mono));
    assert!(engine.hold(NON_SCHEDULED, noon.mono + Duration::from_secs(60)));
    let judgement = engine.judge(&noon, &world).unwrap();
    assert_eq!((judgement.because, judgement.ask), (Because::Held, Ask::Amps(8.0)));
    assert_eq!(engine.judge(&later(&noon, 61), &world).unwrap().name, GREEN);
}

#[test]
fn without_any_match_the_last_one_stays_and_at_the_start_none_is_in_force() {
    let mut engine = engine(
        &json!({"override": [{"name": "Morning", "match": ["tm_hour"], "condition": ["lt"], "value": [12], "charge_amps": 6}]}),
    );
    let world = World::default();
    assert_eq!(engine.judge(&at("2026-06-10T13:00:00[UTC]"), &world), None);
    engine.judge(&at("2026-06-10T11:00:00[UTC]"), &world);
    assert_eq!(engine.judge(&at("2026-06-10T13:00:00[UTC]"), &world).unwrap().because, Because::NothingElse);
}

#[test]
fn limits_and_flex_are_read_from_the_configuration() {
    let mut world = World::new(json!({"sunrise": 6, "sunset": 20}));
    world.config = json!({"greenEnergyLimit": "80", "greenEnergyFlexAmps": 3}).as_object().cloned().unwrap();
    let noon = at("2026-06-10T12:00:00[UTC]");
    let judgement = engine(&json!({})).judge(&noon, &world).unwrap();
    assert_eq!(judgement.charge_limit.map(units::Percent::get), Some(80.0));
    assert!((judgement.flex - 3.0).abs() < 1e-9);
    world.config.insert("greenEnergyLimit".into(), json!(40));
    assert_eq!(engine(&json!({})).judge(&noon, &world).unwrap().charge_limit, None);
}

#[test]
fn the_explanation_names_the_term_that_failed_with_its_values() {
    let world = World::new(json!({"sunrise": 6, "sunset": 20}));
    let explanation = engine(&json!({})).explain(&at("2026-06-10T21:05:00[UTC]"), &world);
    assert_eq!(explanation.policy.as_deref(), Some(NON_SCHEDULED));
    assert_eq!(explanation.policies[2].why, "Not in force: `tm_hour lt settings.sunset` is not so (21 against 20).");
    assert!(explanation.policies[3].is_in_force);
    assert!(explanation.policies[2].background_task.as_deref().unwrap().starts_with("checkGreenEnergy"));
}

/// Whether the schedule holds at each of these moments.
fn schedule(settings: Json, need: Option<(f64, f64)>, moments: &[(&str, bool)]) {
    let mut world = World::new(settings.clone());
    world.need = need;
    for (moment, expected) in moments {
        assert_eq!(Schedule::from_facts(&world).holds(&at(moment), &world), *expected, "{moment} with {settings}");
    }
}

#[test]
fn a_schedule_holds_over_midnight_on_its_days() {
    // Wednesday 10 June 2026 is bit 2.
    let night = json!({"scheduledAmpsMax": 16, "scheduledAmpsStartHour": 22.5, "scheduledAmpsEndHour": "6.25", "scheduledAmpsDaysBitmap": 4});
    schedule(
        night,
        None,
        &[
            ("2026-06-10T22:29:59[Europe/Berlin]", false),
            ("2026-06-10T22:30:00[Europe/Berlin]", true),
            ("2026-06-11T06:14:59[Europe/Berlin]", true),
            ("2026-06-11T06:15:00[Europe/Berlin]", false),
            ("2026-06-10T03:00:00[Europe/Berlin]", false),
            ("2026-06-11T23:00:00[Europe/Berlin]", false),
        ],
    );
}

#[test]
fn equal_times_mean_the_whole_day_and_unset_ones_never() {
    let day = |start: f64| json!({"scheduledAmpsMax": 6, "scheduledAmpsStartHour": start, "scheduledAmpsEndHour": start, "scheduledAmpsDaysBitmap": 4});
    schedule(
        day(0.0),
        None,
        &[
            ("2026-06-09T23:59:59[UTC]", false),
            ("2026-06-10T00:00:00[UTC]", true),
            ("2026-06-10T23:59:59[UTC]", true),
            ("2026-06-11T00:00:00[UTC]", false),
        ],
    );
    schedule(day(-1.0), None, &[("2026-06-10T12:00:00[UTC]", false)]);
    schedule(
        json!({"scheduledAmpsStartHour": 0, "scheduledAmpsEndHour": 0}),
        None,
        &[("2026-06-10T12:00:00[UTC]", false)],
    );
}

#[test]
fn the_hour_that_is_skipped_and_the_hour_that_comes_twice() {
    let early = json!({"scheduledAmpsMax": 6, "scheduledAmpsStartHour": 1.5, "scheduledAmpsEndHour": 4});
    schedule(
        early.clone(),
        None,
        &[
            ("2026-03-29T01:29:00+01:00[Europe/Berlin]", false),
            ("2026-03-29T01:30:00+01:00[Europe/Berlin]", true),
            ("2026-03-29T03:59:00+02:00[Europe/Berlin]", true),
            ("2026-03-29T04:00:00+02:00[Europe/Berlin]", false),
        ],
    );
    // A start in the skipped hour counts as one hour later.
    let skipped = json!({"scheduledAmpsMax": 6, "scheduledAmpsStartHour": 2.5, "scheduledAmpsEndHour": 5});
    schedule(
        skipped,
        None,
        &[("2026-03-29T03:29:00+02:00[Europe/Berlin]", false), ("2026-03-29T03:30:00+02:00[Europe/Berlin]", true)],
    );
    // 02:30 comes twice; the window from 02:00 to 04:00 lasts three hours without a gap.
    let twice = json!({"scheduledAmpsMax": 6, "scheduledAmpsStartHour": 2, "scheduledAmpsEndHour": 4});
    schedule(
        twice,
        None,
        &[
            ("2026-10-25T01:59:00+02:00[Europe/Berlin]", false),
            ("2026-10-25T02:30:00+02:00[Europe/Berlin]", true),
            ("2026-10-25T02:30:00+01:00[Europe/Berlin]", true),
            ("2026-10-25T03:59:00+01:00[Europe/Berlin]", true),
            ("2026-10-25T04:00:00+01:00[Europe/Berlin]", false),
        ],
    );
}

#[test]
fn a_flexible_start_waits_but_never_comes_before_the_window() {
    let flex = json!({"scheduledAmpsMax": 16, "scheduledAmpsStartHour": 22, "scheduledAmpsEndHour": 6, "scheduledAmpsFlexStart": 1, "scheduledAmpsDaysBitmap": 4});
    // 3 h and 15 min of reserve before 06:00.
    schedule(
        flex.clone(),
        Some((3.0, 80.0)),
        &[("2026-06-10T23:00:00[UTC]", false), ("2026-06-11T02:44:00[UTC]", false), ("2026-06-11T02:45:00[UTC]", true)],
    );
    schedule(
        flex.clone(),
        Some((3.0, 100.0)),
        &[("2026-06-11T02:14:00[UTC]", false), ("2026-06-11T02:15:00[UTC]", true)],
    );
    schedule(
        flex.clone(),
        Some((20.0, 80.0)),
        &[("2026-06-10T21:59:00[UTC]", false), ("2026-06-10T22:00:00[UTC]", true)],
    );
    schedule(flex, None, &[("2026-06-10T22:00:00[UTC]", true)]);
}

#[test]
fn times_of_each_day_count_when_asked_for() {
    let settings = json!({
        "scheduledAmpsMax": 16, "scheduledAmpsStartHour": 1, "scheduledAmpsEndHour": 2,
        "Schedule": {
            "Settings": {"schedulePerDay": 1},
            "Wednesday": {"enabled": "on", "start": "08:10", "end": "09:20", "flex": ""},
            "Thursday": {"enabled": "", "start": "08:10", "end": "09:20"},
        },
    });
    schedule(
        settings,
        None,
        &[
            ("2026-06-10T01:30:00[UTC]", false),
            ("2026-06-10T08:10:00[UTC]", true),
            ("2026-06-10T09:20:00[UTC]", false),
            ("2026-06-11T08:30:00[UTC]", false),
        ],
    );
}

#[test]
fn a_page_that_disagrees_with_the_keys_is_told() {
    let mut world =
        World::new(json!({"scheduledAmpsStartHour": 22, "Schedule": {"Common": {"start": "22:30", "end": "06:00"}}}));
    assert!(Schedule::mismatch(&world).unwrap().contains("22:30"));
    world.settings.insert("scheduledAmpsStartHour".into(), json!(22.5));
    assert_eq!(Schedule::mismatch(&world), None);
}

#[test]
fn functions_about_prices_are_refused_with_what_to_do_instead() {
    for call in ["getImportPrice()", "getExportPrice()", "getCheapestWindow(4,22,6)"] {
        let mut policy = one(json!(call), "gt", json!(0.3));
        policy["name"] = json!("Cheap");
        let policy = json!({ "extend": { "before": [policy] } });
        let error = &PolicyList::new(Some(&policy), None).unwrap_err()[0];
        assert!(error.text.contains(call) && error.text.contains("prices"), "{error:?}");
    }
}

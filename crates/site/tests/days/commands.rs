//! Commands, policies, sessions and leases.

use std::time::Duration;

use evse::{EvseId, Link};
use serde_json::json;
use site::{Command, Event, Output, RefusalKind, Site, SiteSetup};
use units::{Amps, Phases};

use crate::house::{House, Meter, green, settings, setup};

fn house() -> House {
    House::new(setup(), green(), Meter::House).car("fake-1", Phases::One)
}

fn command(house: &mut House, command: Command) -> Result<(), RefusalKind> {
    let now = house.now.clone();
    let result = house.site.handle_command(&now, command).map_err(|refusal| refusal.kind);
    house.drain();
    result
}

fn charge_now(amps: i32, seconds: u64) -> Command {
    Command::ChargeNow { amps: Some(Amps::from_whole(amps)), duration: Duration::from_secs(seconds) }
}

#[test]
fn charge_now_is_told_within_the_same_call_and_ends_by_itself() {
    let mut house = house();
    house.run(10);
    command(&mut house, charge_now(16, 600)).unwrap();
    let target = house.cars[0].target.unwrap();
    assert_eq!(target.power.get(), 16.0 * 230.0);
    assert_eq!(house.saves, 1);
    house.run(300);
    assert_eq!(house.sentence(0), "Charging with 16 A: Charge Now gives 16 A.");
    assert_eq!(house.snapshot().charge_now.unwrap().amps, 16.0);
    assert_eq!(house.snapshot().policy.kind, "charge_now");
    house.run(303);
    assert_eq!(house.drawn(0), 0.0);
    assert_eq!(house.snapshot().charge_now, None);
    command(&mut house, charge_now(10, 600)).unwrap();
    house.run(5);
    assert_eq!(house.drawn(0), 10.0);
    command(&mut house, Command::CancelChargeNow).unwrap();
    house.run(2);
    assert_eq!(house.drawn(0), 0.0);
}

#[test]
fn charge_now_again_does_not_wait_for_the_pause_after_a_stop() {
    let not_charging = settings(json!({"nonScheduledAction": 2}));
    let mut house = House::new(setup(), not_charging, Meter::House).car("fake-1", Phases::One);
    for _ in 0..3 {
        command(&mut house, charge_now(10, 600)).unwrap();
        house.run(5);
        assert_eq!(house.drawn(0), 10.0, "{}", house.sentence(0));
        command(&mut house, Command::CancelChargeNow).unwrap();
        house.run(3);
        assert_eq!(house.drawn(0), 0.0);
    }
}

#[test]
fn commands_that_cannot_be_are_refused() {
    let mut house = house();
    house.run(2);
    let nobody = || EvseId::new("nobody");
    for (wrong, kind) in [
        (charge_now(33, 600), RefusalKind::Invalid),
        (charge_now(16, 0), RefusalKind::Invalid),
        (Command::SetEnabled { evse: nobody(), is_enabled: true }, RefusalKind::NotFound),
        (Command::Stop { evse: Some(nobody()) }, RefusalKind::NotFound),
        (
            Command::HoldPolicy { name: Some("Nothing".into()), duration: Duration::from_secs(60) },
            RefusalKind::NotFound,
        ),
        (Command::SetSetting { key: "scheduledAmpsMax".into(), value: json!("much") }, RefusalKind::Invalid),
        (
            Command::SetSettings(vec![
                ("scheduledAmpsStartHour".into(), json!(5)),
                ("scheduledAmpsMax".into(), json!("much")),
            ]),
            RefusalKind::Invalid,
        ),
    ] {
        assert_eq!(command(&mut house, wrong.clone()), Err(kind), "{wrong:?}");
    }
    assert_ne!(
        house.site.settings()["scheduledAmpsStartHour"],
        5,
        "of settings that belong together all are taken or none"
    );
}

#[test]
fn what_cars_drew_is_kept_in_steps_of_five_minutes() {
    let mut house = house();
    command(&mut house, charge_now(10, 1200)).unwrap();
    house.run(3600);
    let settings = config::Settings::from_map(house.site.settings().clone());
    let kept = settings.history();
    // Twenty minutes of charging touch four or five entries; the rest of the hour leaves none.
    assert!((4..=5).contains(&kept.len()), "{kept:?}");
    let energy: f64 = kept.iter().map(|(_, watts)| watts.get() / 12.0).sum();
    let expected = 10.0 * 230.0 / 3.0;
    assert!((energy - expected).abs() < expected * 0.1, "{energy} Wh of {expected}: {kept:?}");
    assert!(kept.iter().all(|(time, _)| time.parse::<jiff::Timestamp>().is_ok_and(|at| at.as_second() % 300 == 0)));
}

#[test]
fn a_charging_point_can_be_left_out_and_preferred_and_both_are_remembered() {
    let mut house = house().car("fake-2", Phases::One);
    command(&mut house, charge_now(10, 3600)).unwrap();
    house.run(2);
    command(&mut house, Command::SetPriority { evse: EvseId::new("fake-2"), priority: 5 }).unwrap();
    house.run(600);
    assert_eq!((house.drawn(0), house.drawn(1)), (0.0, 10.0), "{}", house.sentence(0));
    command(&mut house, Command::SetEnabled { evse: EvseId::new("fake-2"), is_enabled: false }).unwrap();
    house.run(600);
    assert_eq!((house.drawn(0), house.drawn(1)), (10.0, 0.0), "{}", house.sentence(1));
    assert!(house.sentence(1).contains("switched off"));
    assert_eq!(house.site.settings()["EVSEs"]["fake-2"], json!({"enabled": false, "priority": 5}));
    let again = Site::new(setup(), house.site.settings().clone(), &house.now).unwrap();
    assert_eq!(again.settings()["EVSEs"], house.site.settings()["EVSEs"]);
}

#[test]
fn a_policy_is_judged_without_any_charging_point_and_its_webhooks_are_called() {
    let policy = json!({"extend": {"webhooks": {"Charge Now": {"enter": "http://h/in", "exit": "http://h/out", "start": "http://h/start"}}}});
    let setup = SiteSetup { policy: Some(policy), ..setup() };
    let mut house = House::new(setup, green(), Meter::House);
    house.run(2);
    assert_eq!(house.snapshot().policy.name, "Track Green Energy");
    house = house.car("fake-1", Phases::One);
    command(&mut house, charge_now(10, 30)).unwrap();
    house.run(40);
    let urls: Vec<_> = house
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Webhook(webhook) => Some((webhook.url.as_str(), webhook.event)),
            _ => None,
        })
        .collect();
    assert_eq!(urls, [("http://h/in", "enter"), ("http://h/start", "start"), ("http://h/out", "exit")]);
}

#[test]
fn a_policy_that_cannot_be_understood_keeps_the_site_from_starting() {
    let policy = json!({"override": [{"name": "Mine", "match": ["tm_hours"], "condition": ["gt"], "value": [1]}]});
    let now = house().now;
    let errors = Site::new(SiteSetup { policy: Some(policy), ..setup() }, settings(json!({})), &now).unwrap_err();
    assert_eq!(errors[0].key, "policy.override[0].match[0]");
    assert!(errors[0].text.contains("Mine"));
}

#[test]
fn a_held_policy_lasts_its_time() {
    let mut house = house();
    house.run(2);
    let hold = Command::HoldPolicy { name: Some("Non Scheduled Charging".into()), duration: Duration::from_secs(120) };
    command(&mut house, hold).unwrap();
    house.run(100);
    assert_eq!(house.snapshot().policy.name, "Non Scheduled Charging");
    house.run(25);
    assert_eq!(house.snapshot().policy.name, "Track Green Energy");
    // Held without an amount there is nothing to charge with, nor an end.
    let hold = Command::HoldPolicy { name: Some("Charge Now".into()), duration: Duration::from_secs(120) };
    command(&mut house, hold).unwrap();
    house.run(2);
    let reason = &house.snapshot().policy.reason;
    assert!(reason.contains("has no current") && !reason.contains("until"), "{reason}");
}

#[test]
fn a_schedule_starts_and_ends_on_the_minute() {
    let schedule = settings(json!({
        "nonScheduledAction": 2, "scheduledAmpsMax": 12, "scheduledAmpsStartHour": 22.5, "scheduledAmpsEndHour": 22.75,
    }));
    let mut house = House::starting(setup(), schedule, Meter::House, "2026-06-10T22:29:00[Europe/Berlin]")
        .car("fake-1", Phases::One);
    house.run(58);
    assert_eq!(house.drawn(0), 0.0);
    house.run(10);
    assert_eq!(house.drawn(0), 12.0);
    assert!(house.snapshot().policy.reason.contains("until 22:45"), "{}", house.snapshot().policy.reason);
    house.run(15 * 60);
    assert_eq!(house.drawn(0), 0.0);
}

#[test]
fn a_session_runs_from_plug_to_plug_with_its_energy() {
    let mut house = house();
    house.cars[0].is_plugged = false;
    house.run(5);
    assert!(house.snapshot().evses[0].session.is_none());
    house.cars[0].is_plugged = true;
    command(&mut house, charge_now(10, 7200)).unwrap();
    house.run(3600);
    let shown = house.snapshot().evses[0].session.clone().unwrap();
    assert!((shown.energy_wh - 2300.0).abs() < 30.0, "{}", shown.energy_wh);
    assert!(!shown.is_estimate);
    house.cars[0].is_plugged = false;
    house.run(5);
    let sessions: Vec<_> = house
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Session(session) => Some(session),
            _ => None,
        })
        .collect();
    let last = sessions.last().unwrap();
    assert!(sessions.iter().all(|session| session.id == last.id));
    assert!(last.ended_at.is_some() && sessions.len() > 50);
    assert!((last.energy.get() - house.cars[0].energy_wh).abs() < 30.0);
}

#[test]
fn a_session_is_taken_up_again_after_a_restart() {
    let mut before = house();
    command(&mut before, charge_now(10, 7200)).unwrap();
    before.run(600);
    let Some(Event::Session(session)) = before.events.iter().rfind(|event| matches!(event, Event::Session(_))).cloned()
    else {
        panic!("no session");
    };
    let mut after = house();
    after.site.resume_session(session.clone());
    after.run(3);
    let shown = after.snapshot().evses[0].session.clone().unwrap();
    assert_eq!(shown.id, session.id);
    assert!(shown.energy_wh >= session.energy.get());
}

#[test]
fn targets_are_leases_that_are_renewed_and_a_silent_point_gets_none() {
    let mut house = house();
    command(&mut house, charge_now(10, 7200)).unwrap();
    house.run(600);
    assert_eq!((house.drawn(0), house.cars[0].starts.len()), (10.0, 1));
    let left = house.cars[0].target.unwrap().expires_at.saturating_duration_since(house.now.mono);
    assert!((30..=60).contains(&left.as_secs()), "{left:?}");
    house.cars[0].link = Link::Lost;
    house.run(3);
    assert_eq!(house.cars[0].target.unwrap().power.get(), 0.0);
    assert!(house.has_alert("evse_lost"));
    assert!(house.sentence(0).starts_with("Does not answer"), "{}", house.sentence(0));
}

#[test]
fn the_explanation_shows_every_policy_with_its_terms() {
    let mut house = house();
    house.run(2);
    let explained = house.site.explain_policies(&house.now);
    assert_eq!(explained["policy"], "Track Green Energy");
    assert_eq!(explained["policies"].as_array().unwrap().len(), 5);
    assert!(explained["policies"][0]["why"].as_str().unwrap().contains("chargeNowAmps"));
}

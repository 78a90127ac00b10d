//! A cloud that loses answers, wants a pause, or is away: the connectors do not notice.

use std::sync::Arc;
use std::time::Duration;

use e2e::{Bus, Program, eventually, until};
use serde_json::{Value, json};
use tesla_simulator::{CarCommand, Door, Failure, Running, Supply, Target};
use units::{Amps, Phases};

use super::rig::{ANNA, CLEO, Cables, Folder, body_of, car, cloud, config, connector, counted, told_of};
use super::secrets;

const RETRY_AFTER: Duration = Duration::from_secs(3);

/// A person sets Cleo's amps; what came of it.
fn set(program: &Program, amps: u32) -> Value {
    let before = told_of(program, CLEO).expect("Cleo")["asked"].clone();
    let path = format!("/api/v2/cars/{CLEO}/amps");
    until("it is taken up", || program.post(&path, &json!({"amps": amps})) == 204);
    eventually("it has come to something", || {
        let asked = told_of(program, CLEO)?["asked"].clone();
        (asked["outcome"].is_string() && asked["text"] != before["text"] || asked["outcome"] != before["outcome"])
            .then_some(asked)
            .filter(|asked| asked["outcome"].is_string())
    })
}

fn set_in_the_car(cloud: &Running) -> f64 {
    cloud.car(CLEO, |car| car.set_amps().get())
}

#[test]
fn the_connectors_do_not_notice_what_happens_to_the_cloud() {
    let bus = Bus::start(vec![connector(0x4085, true).with_car(body_of(ANNA))]);
    let cleo = car(CLEO, "Cleo").charger(Amps::from_whole(16), Phases::One);
    let cleo = cleo.plugged_into(Supply::single(Amps::from_whole(16)));
    let anna = car(ANNA, "Anna").plugged_into(Supply::three(Amps::ZERO));
    let cloud = Arc::new(cloud().car(anna).car(cleo).start());
    let folder = Folder::new(config(&cloud, &bus.port(), &json!({})));
    folder.pair(&cloud);
    folder.sign_in(&cloud);
    // What matters here is what a person asks; the rest leaves her alone.
    folder.set(&json!({"vehicleOptions": {CLEO: {"permission": "allow"}}}));
    let cables = Cables::connect(&bus, &cloud, &[(0, ANNA)], Some(CLEO), None);
    let program = folder.start();
    assert_eq!(program.post("/api/chargeNow", &json!({"chargeNowRate": 10, "chargeNowDuration": 3600})), 200);
    until("Cleo is known", || told_of(&program, CLEO).is_some_and(|car| car["is_plugged_in"] == true));
    until("Anna charges", || bus.drawn() > 5.0);

    // The first command makes the session, so that the next one is but one call.
    set(&program, 15);
    until("it reached the car", || set_in_the_car(&cloud) == 15.0);

    // An answer is lost: what was told is done, counted, and not told again.
    cloud.fail_next_at(Target::AnyCommand, Failure::LostAnswer);
    set(&program, 11);
    until("it reached the car", || set_in_the_car(&cloud) == 11.0);
    until("what was lost is counted too", || {
        let (ours, billed) = counted(&program, &cloud);
        ours == billed
    });

    // A pause is kept.
    cloud.fail_next(Failure::too_many(RETRY_AFTER));
    let path = format!("/api/v2/cars/{CLEO}/amps");
    until("it is taken up", || program.post(&path, &json!({"amps": 12})) == 204);
    let refused = eventually("a pause is asked for", || {
        cloud.log().into_iter().find(|asked| asked.door == Door::Api && asked.status == 429)
    });
    let is_said = || {
        let car = told_of(&program, CLEO).unwrap_or_default();
        let alerts = program.snapshot()["alerts"].to_string();
        let trouble = program.get("/api/v2/tesla")["trouble"].to_string();
        [car["asked"].to_string(), car["why"].to_string(), alerts, trouble].join(" ")
    };
    until("it is said that there is a pause", || {
        let said = is_said();
        ["pause", "429", "wait", "too many", "again in"].iter().any(|word| said.contains(word))
    });
    until("it goes on afterwards", || {
        let last = cloud.log().into_iter().rfind(|asked| asked.door == Door::Api).expect("a call");
        if last.at > refused.at {
            return true;
        }
        program.post(&path, &json!({"amps": 12}));
        false
    });
    let next = cloud.log().into_iter().find(|asked| asked.door == Door::Api && asked.at > refused.at).expect("a call");
    assert!(next.at >= refused.at + RETRY_AFTER, "asked again after {:?}", next.at - refused.at);

    // Away: it is said, and charging goes on.
    let (beats, offered) = (bus.heartbeats(), bus.limit(0));
    cloud.fail_always(Target::Api, Failure::LostRequest);
    let away = eventually("that it is away is said", || {
        program.post(&path, &json!({"amps": 13}));
        let trouble = program.get("/api/v2/tesla")["trouble"].clone();
        let alerts = program.snapshot()["alerts"].clone();
        let is_told = !trouble.is_null() || alerts.to_string().contains("TeslaAPI");
        is_told.then_some((trouble, alerts))
    });
    println!("said: {away:?}");
    until("heartbeats go on", || bus.heartbeats() > beats + 5);
    assert!(bus.limit(0) >= 6.0 && offered >= 6.0 && bus.drawn() > 5.0);
    cloud.clear_failures();
    // It is left alone for some minutes after three questions in vain: that it will be asked again is told.
    let cleo = told_of(&program, CLEO).expect("Cleo");
    assert!(cleo["next_in_s"].as_u64().is_some_and(|seconds| seconds <= 300), "{cleo}");
    let elevens = |car: &mut tesla_simulator::Car| {
        let is_eleven =
            |attempt: &&tesla_simulator::Attempt| attempt.command == CarCommand::SetAmps(Amps::from_whole(11));
        car.attempts().iter().filter(is_eleven).count()
    };
    assert_eq!(cloud.car(CLEO, elevens), 1, "what was done is not told twice");
    assert!(cables.peaks().told <= 32.0);
    secrets::assert_kept(&program, &cloud, &folder);
}

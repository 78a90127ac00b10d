//! Two connectors, three cars and a roof on three phases.

use std::sync::Arc;

use e2e::{Bus, Meter, Program, eventually, until};
use serde_json::{Value, json};
use tesla_simulator::{CarCommand, ChargingState, Kind, Running, Supply};
use units::{Amps, Phases};

use super::rig::{
    ANNA, BERT, CLEO, Cables, Folder, body_of, calls_to_sleepers, car, cloud, config, connector, counted, told_of,
};
use super::secrets;

const FIRST: &str = "gen2-4085";
const SECOND: &str = "gen2-2431";
/// Of the circuit of the connectors.
const WIRING_A: f64 = 24.0;
/// Of the rule, for all cars.
const RULE_A: i32 = 20;

/// Watts of all cars as the cloud and the bus have them.
fn real_watts(bus: &Bus, cloud: &Running) -> f64 {
    let bus = bus.handle().with(|bus, _| bus.total_draw()).into_array().into_iter().map(|amps| amps.get()).sum::<f64>();
    bus * 230.0 + cloud.car(CLEO, |car| car.power().get())
}

/// The views that a charging point is made of.
fn views(program: &Program, id: &str) -> Vec<Value> {
    let evse = program.evse(id).unwrap_or_default();
    evse["car"]["views"].as_array().cloned().unwrap_or_default()
}

/// Every car has a word to say, and every charging point a sentence.
fn assert_explained(program: &Program) {
    let cars = program.get("/api/v2/cars");
    for car in cars["cars"].as_array().expect("cars") {
        let why = &car["why"];
        assert!(why["text"].as_str().is_some_and(|text| text.ends_with('.')) && why["code"].is_string(), "{car}");
    }
    for evse in program.snapshot()["evses"].as_array().expect("charging points") {
        assert!(evse["sentence"].as_str().is_some_and(|text| text.len() > 5), "{evse}");
        assert!(evse["bound_by"]["text"].as_str().is_some_and(|text| !text.is_empty()), "{evse}");
    }
}

/// Signed commands that the car verified, to a car.
fn commands(cloud: &Running, vin: &str) -> Vec<CarCommand> {
    let to_car =
        |asked: &tesla_simulator::Asked| asked.vin.as_deref() == Some(vin) && asked.kind == Kind::SignedCommand;
    cloud.log().into_iter().filter(to_car).filter(|asked| asked.fault == 0).filter_map(|asked| asked.command).collect()
}

#[test]
fn every_car_is_counted_once_and_steered_in_its_own_way() {
    let bus = Bus::start(vec![connector(0x4085, true).with_car(body_of(ANNA)), connector(0x2431, false)]);
    let meter = Meter::start(3_000.0, 400.0);
    let cleo = car(CLEO, "Cleo").charger(Amps::from_whole(16), Phases::Three);
    let cleo = cleo.plugged_into(Supply::three(Amps::from_whole(16)));
    let cloud = Arc::new(
        cloud().car(car(ANNA, "Anna").plugged_into(Supply::three(Amps::ZERO))).car(car(BERT, "Bert")).car(cleo).start(),
    );
    cloud.car(CLEO, |car| car.driver_wants_charge(false));
    let more = json!({
        "config": {"wiringMaxAmpsAllTWCs": WIRING_A, "wiringMaxAmpsPerTWC": 16},
        "vehicle": {"chargingInterval": 60},
        "sources": {"URL": {
            "enabled": true, "url": meter.url(), "generationItem": "generation", "consumptionItem": "consumption"}}
    });
    let folder = Folder::new(config(&cloud, &bus.port(), &more));
    folder.pair(&cloud);
    folder.sign_in(&cloud);
    // Somebody said that she is never at a connector: when a car without a VIN comes, she may otherwise be that one.
    folder.set(&json!({"evsePins": {format!("tesla-{CLEO}"): CLEO}}));
    let cables = Cables::connect(&bus, &cloud, &[(0, ANNA), (1, BERT)], Some(CLEO), Some(meter));
    let program = folder.start();

    until("all three cars are known", || [ANNA, BERT, CLEO].iter().all(|vin| told_of(&program, vin).is_some()));
    assert_eq!(program.post("/api/chargeNow", &json!({"chargeNowRate": RULE_A, "chargeNowDuration": 3600})), 200);
    until("Anna's two views are one charging point", || {
        views(&program, FIRST).iter().filter(|view| view["by"] == "vin" || view["by"] == "itself").count() == 2
    });
    assert_eq!(program.evse(FIRST).expect("it")["vin"], ANNA);
    assert!(program.evse(&format!("tesla-{ANNA}")).is_none(), "she is not there a second time");

    until("Cleo is started through the cloud", || {
        cloud.car(CLEO, |car| car.charging_state() == ChargingState::Charging)
    });
    until("both have half", || {
        let (cleo, anna) = (cloud.car(CLEO, |car| car.drawn().get()), bus.drawn());
        cleo > 9.0 && cleo < 10.5 && anna > 9.0 && anna < 10.5
    });
    let told = commands(&cloud, CLEO);
    assert!(told.contains(&CarCommand::Start), "{told:?}");
    assert!(told.contains(&CarCommand::SetAmps(Amps::from_whole(10))), "{told:?}");
    until("the sum is that of the cars", || {
        let (ours, real) = (program.snapshot()["power"]["cars_w"].as_f64().unwrap_or(0.0), real_watts(&bus, &cloud));
        (ours - real).abs() < real * 0.05
    });
    assert_explained(&program);

    // Bert comes home: three share what two had.
    cloud.car(BERT, |car| car.plug_in(Supply::three(Amps::ZERO)));
    bus.handle().with(|bus, now| bus.plug_in(now, 1, body_of(BERT))).expect("the connector");
    until("Cleo has less", || cloud.car(CLEO, |car| car.drawn().get() < 7.0 && car.drawn().get() > 5.0));
    until("the connectors have the rest", || bus.limit(0) <= 7.0 && bus.limit(1) >= 6.0);
    until("Bert charges", || cloud.car(BERT, |car| car.drawn().get() > 5.0));
    let bert = || told_of(&program, BERT).expect("Bert");
    let pin = ureq::post(program.url(&format!("/api/v2/evses/{SECOND}/pin")))
        .header("Content-Type", "application/json")
        .send(json!({"vin": BERT}).to_string());
    assert!(pin.is_ok(), "{pin:?}");
    until("a person says who he is", || views(&program, SECOND).len() == 2 && bert()["evse"]["id"] == SECOND);
    assert_eq!(program.snapshot()["evses"].as_array().map(Vec::len), Some(3));
    until("the sum is that of the cars", || {
        let (ours, real) = (program.snapshot()["power"]["cars_w"].as_f64().unwrap_or(0.0), real_watts(&bus, &cloud));
        (ours - real).abs() < real * 0.05
    });
    assert_explained(&program);

    // The end of the rule stops Cleo through the cloud.
    assert_eq!(program.post("/api/cancelChargeNow", &json!({})), 200);
    until("Cleo has stopped", || {
        cloud.car(CLEO, |car| car.charging_state() == ChargingState::Stopped && car.drawn().get() < 0.1)
    });
    assert!(commands(&cloud, CLEO).contains(&CarCommand::Stop));
    let why = eventually("it is said why", || told_of(&program, CLEO).filter(|car| car["is_charging"] == false));
    assert_eq!(why["wanted"]["amps"], 0.0, "{why}");
    assert_explained(&program);

    cloud.car(CLEO, tesla_simulator::Car::fall_asleep);
    until("all that was billed is counted", || {
        let (ours, billed) = counted(&program, &cloud);
        ours == billed
    });
    let peaks = cables.peaks();
    assert!(peaks.told <= WIRING_A, "{peaks:?}");
    assert!(peaks.connectors <= WIRING_A, "{peaks:?}");
    assert!(calls_to_sleepers(&cloud).is_empty(), "{:?}", calls_to_sleepers(&cloud));
    assert_eq!(bus.handle().with(|bus, _| bus.harmful_messages()), 0);
    secrets::assert_kept(&program, &cloud, &folder);
}

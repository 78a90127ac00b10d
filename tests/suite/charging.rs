//! The main job: readings in, amps on the wire, and everybody agrees.

use e2e::{Bus, Meter, Program, config_with, eventually, until};
use gen2_simulator::{CarSettings, ConnectorSettings};
use serde_json::{Value, json};

fn connector(id: u16) -> ConnectorSettings {
    ConnectorSettings::european(gen2_simulator::gen2_protocol::TwcId::from_u16(id))
}

fn url_source(meter: &Meter) -> Value {
    json!({"sources": {"URL": {
        "enabled": true, "url": meter.url(), "generationItem": "generation", "consumptionItem": "consumption"}}})
}

/// Green all day: the tests run at any hour.
fn follow_the_sun(program: &Program) {
    assert!(program.post("/api/setSetting", &json!({"setting": "nonScheduledAction", "value": "3"})) < 300);
}

#[test]
fn a_car_follows_a_changing_surplus_and_page_and_wire_agree() {
    let bus = Bus::start(vec![connector(0x4085).with_car(CarSettings::default())]);
    // 8,000 W less 400 W of house on 3 x 230 V: 11.01 A.
    let meter = Meter::start(8_000.0, 400.0);
    // The meter does not see the car here, so its load is not subtracted.
    let mut more = url_source(&meter);
    more["config"] = json!({"subtractChargerLoad": false});
    let program = Program::start(&config_with(&bus.port(), &more));
    follow_the_sun(&program);

    until("11 A on the wire", || bus.limit(0) == 11.0);
    until("the page shows 11 A", || {
        program.evse("gen2-4085").is_some_and(|evse| evse["offered_a"] == 11.0 && evse["activity"] == "charging")
    });
    let slaves = program.get("/api/getSlaveTWCs");
    assert_eq!(slaves["4085"]["lastAmpsOffered"], 11.0);
    assert_eq!(program.get("/api/getStatus")["currentPolicy"], "Track Green Energy");

    meter.show(5_000.0, 400.0);
    until("6 A on the wire", || bus.limit(0) == 6.0);
    until("the car has followed", || bus.drawn() < 7.0);
}

#[test]
fn charge_now_reaches_the_wire_and_ends_when_cancelled() {
    let bus = Bus::start(vec![connector(0x4085).with_car(CarSettings::default())]);
    let program = Program::start(&config_with(&bus.port(), &json!({})));
    until("the connector is found", || program.evse("gen2-4085").is_some());
    assert_eq!(program.post("/api/chargeNow", &json!({"chargeNowRate": 12, "chargeNowDuration": 3600})), 200);
    until("12 A on the wire", || bus.limit(0) == 12.0);
    assert_eq!(program.get("/api/getStatus")["chargeNowAmps"], 12);
    assert_eq!(program.post("/api/cancelChargeNow", &json!({})), 200);
    // A version 2 connector whose car draws cannot be stopped by an offer of zero: it falls to 6 A.
    until("the offer is taken back", || bus.limit(0) <= 6.0);
    until("the page says so", || program.snapshot()["charge_now"].is_null());
}

#[test]
fn two_cars_share_a_circuit_and_never_exceed_it() {
    let cars = [0x4085, 0x2431].map(|id| connector(id).with_car(CarSettings::default()));
    let bus = Bus::start(cars.to_vec());
    let program = Program::start(&config_with(&bus.port(), &json!({"config": {"wiringMaxAmpsAllTWCs": 20}})));
    until("both are found", || program.evse("gen2-4085").is_some() && program.evse("gen2-2431").is_some());
    assert_eq!(program.post("/api/chargeNow", &json!({"chargeNowRate": 20, "chargeNowDuration": 3600})), 200);
    until("both charge with half", || {
        let told = bus.limit(0) + bus.limit(1);
        assert!(told <= 20.0, "{told} A are offered on a 20 A circuit");
        // Ten per cent and one amp is what real cars scatter around their offer.
        assert!(bus.drawn() <= 23.0, "{} A are drawn on a 20 A circuit", bus.drawn());
        (bus.limit(0), bus.limit(1)) == (10.0, 10.0) && bus.drawn() > 15.0
    });
}

#[test]
fn a_meter_that_falls_silent_is_not_a_sun_that_shines() {
    let bus = Bus::start(vec![connector(0x4085).with_car(CarSettings::default())]);
    let meter = Meter::start(8_000.0, 400.0);
    let mut more = url_source(&meter);
    more["config"] = json!({"subtractChargerLoad": false, "staleAfter": 5});
    let program = Program::start(&config_with(&bus.port(), &more));
    follow_the_sun(&program);
    until("it charges", || bus.limit(0) == 11.0);
    meter.hang(true);
    until("the surplus has ended on the wire", || bus.limit(0) <= 6.0);
    let reason = eventually("the reason is said", || {
        let snapshot = program.snapshot();
        (snapshot["power"]["surplus_w"].is_null()).then(|| snapshot["policy"]["reason"].to_string())
    });
    assert!(reason.contains("URL") || reason.contains("reading") || reason.contains("old"), "{reason}");
    meter.hang(false);
    until("it charges again", || bus.limit(0) == 11.0);
}

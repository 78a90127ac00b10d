//! Cars: what is told of them, what calls cost, and what people ask of them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use control_http::{ApiConfig, Cars};
use evse::{MatchedBy, Plug, View, Vin};
use garage::{BudgetView, CarView, Day, Garage, GarageSettings, Kept, Wish};
use http_door::Method;
use serde_json::{Value, json};
use site::{CarChange, Change, Command, Permission};
use units::{Amps, Percent, Phases};
use vehicle::{
    Abilities, Answer, CarKey, ChargingState, Facts, Nearness, Outcome, Report, Request, Spent, Wakefulness,
};

use crate::bench::Bench;

const BLUE: &str = "LRW3F7EK0NC000001";
const RED: &str = "LRW3F7EK0NC000002";
/// What a car may be called; it must never be taken for anything but text.
const NAME: &str = "<b>Blue</b>";

/// Cars as a real garage shows them; it remembers what it was asked.
#[derive(Debug)]
struct Yard {
    views: Mutex<Vec<CarView>>,
    budget: BudgetView,
    asked: Mutex<Vec<String>>,
}

impl Cars for Yard {
    fn views(&self) -> Vec<CarView> {
        self.views.lock().expect("no panic").clone()
    }

    fn budget(&self) -> BudgetView {
        self.budget.clone()
    }

    fn command(&self, car: &CarKey, request: Request) -> Result<(), String> {
        if request == Request::Wake && car.vin().is_none() {
            return Err("No source can command it.".to_owned());
        }
        self.asked.lock().expect("no panic").push(format!("{car} {request:?}"));
        Ok(())
    }

    fn resume_billed_calls(&self) {
        self.asked.lock().expect("no panic").push("resume".to_owned());
    }
}

fn report(car: CarKey, age: Duration, facts: Facts) -> Report {
    let taken_at = Instant::now().checked_sub(age);
    Report { car, source: "TeslaAPI".into(), nearness: Nearness::Cloud, taken_at, facts }
}

/// A car known by VIN that sleeps at home, and one known by name alone.
fn yard() -> Yard {
    let now = Instant::now();
    let mut garage = Garage::new(now, GarageSettings::default(), Kept::default(), ["TeslaAPI".into()]);
    garage.set_today(Day { year: 2026, month: 11, day: 21 });
    let blue = CarKey::Vin(Vin::parse(BLUE).expect("it fits"));
    let facts = Facts {
        name: Some(NAME.to_owned()),
        soc: Percent::new(64.0).ok(),
        limit: Percent::new(80.0).ok(),
        charging: Some(ChargingState::Stopped),
        amps: Some(Amps::ZERO),
        phases: Some(Phases::Three),
        to_limit: Some(Duration::from_secs(8100)),
        wakefulness: Some(Wakefulness::Asleep),
        says_home: Some(true),
        ..Facts::default()
    };
    garage.handle_report(now, &report(blue.clone(), Duration::from_secs(7200), facts));
    let abilities = Abilities {
        reads: true,
        commands: true,
        wakes: true,
        is_billed: true,
        nearness: Nearness::Cloud,
        ..Abilities::default()
    };
    garage.handle_abilities(now, &blue, &"TeslaAPI".into(), abilities);
    garage.handle_wish(now, &blue, Wish::Granted(Amps::from_whole(12)));
    let named = Facts { soc: Percent::new(30.0).ok(), ..Facts::default() };
    garage.handle_report(now, &report(CarKey::Name("Old one".to_owned()), Duration::ZERO, named));
    let mut cost = false;
    while let Some(output) = garage.poll_output() {
        let garage::Output::Ask { source, ask } = output else { continue };
        let spent = Spent { data: u32::from(!cost), ..Spent::NOTHING };
        cost = true;
        garage.handle_answer(now, &Answer { id: ask.id, source, car: ask.car, outcome: Outcome::Done, spent });
    }
    Yard { views: Mutex::new(garage.views(now)), budget: garage.budget(), asked: Mutex::default() }
}

fn bench_with(settings: Value) -> (Bench, Arc<Yard>) {
    let yard = Arc::new(yard());
    let cars = Arc::clone(&yard) as Arc<dyn Cars>;
    (Bench::with(settings, |config: &mut ApiConfig| config.cars = Some(cars)), yard)
}

fn car(bench: &Bench, id: &str) -> Value {
    let all = bench.get("/api/v2/cars").json();
    all["cars"].as_array().expect("a list").iter().find(|car| car["id"] == id).cloned().unwrap_or_default()
}

#[test]
fn every_field_has_its_age_and_source_and_a_position_is_not_shown() {
    let (bench, _) = bench_with(json!({"vehicleOptions": {BLUE: {"permission": "green", "minSoc": 20}}}));
    let blue = car(&bench, BLUE);
    assert_eq!((blue["name"].as_str(), blue["vin"].as_str()), (Some(NAME), Some(BLUE)));
    let soc = &blue["facts"]["soc"];
    assert_eq!((soc["value"].as_f64(), soc["source"].as_str()), (Some(64.0), Some("TeslaAPI")));
    assert!(soc["age_s"].as_u64().is_some_and(|age| (7200..7300).contains(&age)), "{soc}");
    assert_eq!(blue["facts"]["charging"]["value"], "stopped");
    assert_eq!(blue["facts"].get("volts"), None, "what is not known is absent");
    assert_eq!(blue["facts"].get("position"), None);
    assert_eq!(blue["wanted"], json!({"kind": "granted", "amps": 12.0}));
    assert!(blue["why"]["text"].as_str().is_some_and(|text| text.len() > 5), "{blue}");
    assert_eq!((blue["wake_usd"].as_f64(), blue["is_billed"].as_bool()), (Some(0.02), Some(true)));
    assert_eq!((&blue["terms"]["permission"], &blue["options"]["min_soc"]), (&json!("green"), &json!(20.0)));
    assert_eq!((&blue["evse"], &blue["candidates"]), (&Value::Null, &json!([])));

    let named = car(&bench, "Old one");
    assert_eq!((&named["vin"], &named["terms"], &named["options"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(bench.get(&format!("/api/v2/cars/{BLUE}")).json()["id"], BLUE);
    assert_eq!(bench.get("/api/v2/cars/nobody").status, 404);
}

#[test]
fn a_car_is_shown_where_it_is_and_where_it_may_be() {
    let (bench, _) = bench_with(json!({"evsePins": {"gen2-4142": BLUE}}));
    let view = |is_local: bool, id: &str, by, confidence| View {
        id: evse::EvseId::new(id),
        name: id.to_owned(),
        controller: if is_local { "Gen2TWCs" } else { "TeslaCars" }.to_owned(),
        is_local,
        by,
        confidence,
    };
    let own = format!("tesla-{BLUE}");
    bench.site.publish(|snapshot| {
        for evse in &mut snapshot.evses[..2] {
            let local = view(true, &evse.id, MatchedBy::Itself, 1.0);
            evse.car.views = vec![local, view(false, &own, MatchedBy::Possible, 0.4)];
        }
    });
    let blue = car(&bench, BLUE);
    assert_eq!(blue["candidates"].as_array().map(Vec::len), Some(2));
    assert_eq!((&blue["evse"], &blue["pinned_to"]), (&Value::Null, &json!("gen2-4142")));

    bench.site.publish(|snapshot| {
        snapshot.evses[1].car.views.clear();
        snapshot.evses[0].car.views[1].by = MatchedBy::Behaviour;
        snapshot.evses[0].priority = 7;
        snapshot.evses[0].car.is_first = true;
    });
    let blue = car(&bench, BLUE);
    assert_eq!(blue["evse"]["matched_by"], "behaviour");
    assert_eq!(blue["evse"]["is_own_charger"], false);
    assert_eq!((&blue["terms"]["priority"], &blue["terms"]["is_first"]), (&json!(7), &json!(true)));

    // A car that only its charging point knows is there too, with its terms.
    bench.site.publish(|snapshot| {
        snapshot.evses[2].vin = Some(RED.to_owned());
        snapshot.evses[2].plug = Plug::PluggedIn;
        snapshot.evses[2].soc = Some(41.0);
    });
    let red = car(&bench, RED);
    assert_eq!((&red["evse"]["id"], &red["facts"]["soc"]["value"]), (&json!("gen2-4142"), &json!(41.0)));
    assert_eq!((&red["why"]["code"], &red["can_command"]), (&json!("no_source"), &json!(false)));
    assert_eq!(red["terms"]["permission"], "allow");
    assert_eq!(bench.native(Method::Post, &format!("/api/v2/cars/{RED}/start"), "").status, 409);
}

#[test]
fn people_ask_and_are_answered_in_sentences() {
    let (bench, yard) = bench_with(json!({}));
    let post = |path: &str, body: &str| bench.native(Method::Post, &format!("/api/v2/cars/{path}"), body);
    for (path, body) in [
        (format!("{BLUE}/start"), ""),
        (format!("{BLUE}/stop"), ""),
        (format!("{BLUE}/wake"), ""),
        (format!("{BLUE}/amps"), r#"{"amps": 12}"#),
        (format!("{BLUE}/limit"), r#"{"percent": 90}"#),
        ("Old%20one/stop".to_owned(), ""),
        ("budget/resume".to_owned(), ""),
    ] {
        assert_eq!(post(&path, body).status, 204, "{path}");
    }
    let asked = std::mem::take(&mut *yard.asked.lock().unwrap());
    assert_eq!(asked.len(), 7);
    assert!(asked[3].starts_with(&format!("{BLUE} SetAmps")) && asked[5] == "Old one Stop", "{asked:?}");

    for (path, body, status, word) in [
        ("nobody/start".to_owned(), "", 404, "/api/v2/cars"),
        ("Old%20one/wake".to_owned(), "", 409, "No source"),
        (format!("{BLUE}/amps"), r#"{"amps": 0}"#, 400, "amps"),
        (format!("{BLUE}/amps"), r#"{"amps": 12.5}"#, 400, "whole"),
        (format!("{BLUE}/amps"), "{}", 400, "missing"),
        (format!("{BLUE}/limit"), r#"{"percent": 40}"#, 400, "50"),
    ] {
        let answer = post(&path, body);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.text.contains(word), "{path}: {answer:?}");
    }
    yard.views.lock().unwrap().iter_mut().for_each(|view| view.not_permitted = Some("Only green.".to_owned()));
    assert!(post(&format!("{BLUE}/start"), "").text.contains("Only green."));
    assert_eq!(post(&format!("{BLUE}/stop"), "").status, 204);
    let form = http_door::Request::new(Method::Post, &format!("/api/v2/cars/{BLUE}/wake"));
    assert_eq!(bench.ask(&form.with_header("origin", "http://evil.example")).status, 403);
}

#[test]
fn options_are_set_and_unset_by_vin() {
    let (bench, _) = bench_with(json!({}));
    let patch = |car: &str, body: &str| bench.native(Method::Patch, &format!("/api/v2/cars/{car}"), body);
    let body = r#"{"permission": "deny", "priority": -3, "min_soc": 25, "phases": 1, "rate_control": "mixed", "stop_mode": null}"#;
    assert_eq!(patch(BLUE, body).status, 204);
    let taken = bench.site.taken();
    let [Command::SetCar { vin, change }] = taken.as_slice() else { panic!("{taken:?}") };
    assert_eq!(vin.as_str(), BLUE);
    let expected = CarChange {
        permission: Change::Set(Permission::Deny),
        priority: Change::Set(-3),
        min_soc: Change::Set(Percent::new(25.0).unwrap()),
        phases: Change::Set(Phases::One),
        rate: Change::Set(config::ChargeRateControl::Mixed),
        stop: Change::Clear,
    };
    assert_eq!(*change, expected);
    for (car, body, status) in [
        (BLUE, "{}", 400),
        (BLUE, r#"{"permission": "maybe"}"#, 400),
        (BLUE, r#"{"permission": 3}"#, 400),
        (BLUE, r#"{"min_soc": 101}"#, 400),
        (BLUE, r#"{"phases": 4}"#, 400),
        (BLUE, r#"{"rate_control": "nobody"}"#, 400),
        (BLUE, r#"{"colour": "blue"}"#, 400),
        (RED, r#"{"priority": 1}"#, 404),
        ("nobody", r#"{"priority": 1}"#, 404),
        ("Old%20one", r#"{"priority": 1}"#, 409),
    ] {
        assert_eq!(patch(car, body).status, status, "{car} {body}");
    }
    assert_eq!(bench.site.taken(), []);
}

#[test]
fn what_guests_may_is_set_and_unset() {
    let (bench, _) = bench_with(json!({"guestPermission": "green"}));
    assert_eq!(bench.get("/api/v2/cars/guests").json(), json!({"permission": "green"}));
    assert_eq!(bench.get("/api/v2/cars").json()["guests"], "green");
    assert_eq!(Bench::new(json!({})).get("/api/v2/cars/guests").json(), json!({"permission": null}));
    let put = |body: &str| bench.native(Method::Put, "/api/v2/cars/guests", body).status;
    assert_eq!((put(r#"{"permission": "deny"}"#), put(r#"{"permission": null}"#)), (204, 204));
    assert_eq!(bench.site.taken(), [Command::SetGuests(Some(Permission::Deny)), Command::SetGuests(None)]);
    for wrong in ["", "{}", r#"{"permission": "maybe"}"#, r#"{"permission": true}"#, r#"{"guests": "deny"}"#] {
        assert_eq!(put(wrong), 400, "{wrong}");
    }
    assert_eq!(bench.site.taken(), []);
    let form = http_door::Request::new(Method::Put, "/api/v2/cars/guests");
    assert_eq!(bench.ask(&form.with_header("origin", "http://evil.example")).status, 403);
}

#[test]
fn who_steers_the_cars_at_one_charging_point_is_set_and_unset() {
    let (bench, _) = bench_with(json!({}));
    let patch = |body: &str| bench.native(Method::Patch, "/api/v2/evses/gen2-4085", body).status;
    assert_eq!(patch(r#"{"rate_control": "mixed"}"#), 204);
    assert_eq!(patch(r#"{"priority": 2, "rate_control": null, "stop_mode": "vehicle"}"#), 204);
    let evse = evse::EvseId::new("gen2-4085");
    let routing = |rate, stop| Command::SetRouting { evse: evse.clone(), rate, stop };
    let expected = [
        routing(Change::Set(config::ChargeRateControl::Mixed), Change::Keep),
        Command::SetPriority { evse: evse.clone(), priority: 2 },
        routing(Change::Clear, Change::Set(config::ChargeStopMode::Vehicle)),
    ];
    assert_eq!(bench.site.taken(), expected);
    for wrong in ["{}", r#"{"priority": 2, "stop_mode": "nobody"}"#, r#"{"rate_control": 2}"#, r#"{"phases": 1}"#] {
        assert_eq!(patch(wrong), 400, "{wrong}");
    }
    assert_eq!(bench.site.taken(), [], "a wrong field changes nothing");
    let elsewhere = bench.native(Method::Patch, "/api/v2/evses/gen2-9999", r#"{"stop_mode": "vehicle"}"#);
    assert_eq!(elsewhere.status, 404);
}

#[test]
fn a_person_says_which_car_is_where() {
    let (bench, _) = bench_with(json!({}));
    let pin = |id: &str, vin: &str| {
        bench.native(Method::Post, &format!("/api/v2/evses/{id}/pin"), &json!({"vin": vin}).to_string()).status
    };
    let own = format!("tesla-{BLUE}");
    assert_eq!((pin("gen2-4085", BLUE), pin(&own, BLUE)), (204, 204));
    assert_eq!((pin("gen2-9999", BLUE), pin("gen2-4085", RED), pin("gen2-4085", "short")), (404, 404, 400));
    assert_eq!(bench.native(Method::Delete, "/api/v2/evses/gen2-4085/pin", "").status, 204);
    assert_eq!(bench.native(Method::Delete, "/api/v2/evses/gen2-9999/pin", "").status, 404);
    let vin = Vin::parse(BLUE);
    let expected = [("gen2-4085", vin.clone()), (own.as_str(), vin), ("gen2-4085", None)];
    let expected = expected.map(|(id, vin)| Command::SetPin { evse: evse::EvseId::new(id), vin });
    assert_eq!(bench.site.taken(), expected);
}

#[test]
fn the_budget_tells_what_was_spent_on_what_and_what_is_left() {
    let (bench, yard) = bench_with(json!({}));
    let budget = bench.get("/api/v2/cars/budget").json();
    assert_eq!((&budget["is_stopped"], &budget["prices"]["wake_usd"]), (&json!(false), &json!(0.02)));
    let month = &budget["month"];
    assert_eq!(month["allowance"]["usd"], 10.0);
    let used = month["used"]["usd"].as_f64().unwrap();
    assert!(used > 0.0 && used < 0.1, "{month}");
    assert!((month["left"]["usd"].as_f64().unwrap() + used - 10.0).abs() < 1e-9);
    for list in ["by_purpose", "by_car"] {
        let sum: f64 = month[list].as_array().unwrap().iter().map(|row| row["usd"].as_f64().unwrap()).sum();
        assert!((sum - used).abs() < 1e-9, "{list}");
    }
    assert_eq!(budget["day"]["allowance"]["usd"], Value::Null);
    drop(yard);

    let nobody = Bench::new(json!({}));
    assert_eq!(nobody.get("/api/v2/cars").json()["is_looked_after"], false);
    assert_eq!(nobody.get("/api/v2/cars/budget").status, 409);
    assert_eq!(nobody.native(Method::Post, "/api/v2/cars/budget/resume", "").status, 409);
}

#[test]
fn old_programs_see_cars_and_command_them() {
    let (bench, yard) = bench_with(json!({}));
    bench.site.publish(|snapshot| snapshot.evses[1].vin = Some(BLUE.to_owned()));
    let slaves = bench.get("/api/getSlaveTWCs").json();
    let fields = ["lastBatterySOC", "lastChargeLimit", "lastTimeToFullCharge"].map(|key| slaves["4085"][key].clone());
    assert_eq!(fields, [json!(64), json!(80), json!(2.25)]);
    assert!(slaves["4085"]["lastAtHome"].is_boolean());
    assert_eq!(slaves["4142"].get("lastAtHome"), None);

    let send = |body: Value| bench.post("/api/sendTeslaAPICommand", &body.to_string()).status;
    let rate = |id: &str, text: &str| json!({"commandName": "setChargeRate", "vehicleID": id, "parameters": text});
    assert_eq!(send(rate(BLUE, r#"{"charge_rate": 8}"#)), 200);
    assert_eq!(send(json!({"commandName": "wakeVehicle", "vehicleID": NAME})), 200);
    assert_eq!(send(rate(BLUE, "8")), 400);
    assert_eq!(send(json!({"commandName": "wakeVehicle", "vehicleID": 7})), 404, "two cars: a number tells nothing");
    assert_eq!(send(json!({"commandName": "honk", "vehicleID": BLUE})), 400);
    yard.views.lock().unwrap().truncate(1);
    assert_eq!(send(json!({"commandName": "wakeVehicle", "vehicleID": 7})), 200);
    assert_eq!(yard.asked.lock().unwrap().len(), 3);
}

/// Every field that is told is described, and every field that is described as always there is told.
#[test]
fn cars_and_budget_are_as_described() {
    let (bench, _) = bench_with(json!({}));
    bench.site.publish(|snapshot| snapshot.evses[2].vin = Some(RED.to_owned()));
    let document = bench.get("/api/v2/openapi.json").json();
    let schemas = &document["components"]["schemas"];
    let told = bench.get("/api/v2/cars").json();
    assert_eq!(told["cars"].as_array().map(Vec::len), Some(4), "two that are looked after, two that are only told of");
    for car in told["cars"].as_array().unwrap() {
        assert_described(&document, &schemas["Car"], car, "car");
    }
    let budget = bench.get("/api/v2/cars/budget").json();
    assert_described(&document, &schemas["CarBudget"], &budget, "budget");
    for evse in bench.get("/api/v2/evses").json()["evses"].as_array().unwrap() {
        assert_described(&document, &schemas["Evse"], evse, "evse");
    }
}

fn assert_described(document: &Value, schema: &Value, told: &Value, place: &str) {
    let target = schema["$ref"].as_str().and_then(|target| document.pointer(target.trim_start_matches('#')));
    let schema = target.unwrap_or(schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        return match told.is_null() {
            true => assert!(choices.iter().any(|choice| choice["type"] == "null"), "{place} may not be null"),
            false => assert_described(document, &choices[0], told, place),
        };
    }
    match told {
        Value::Object(fields) if schema["additionalProperties"].is_null() => {
            for (key, value) in fields {
                let described = schema["properties"].get(key);
                let described = described.unwrap_or_else(|| panic!("{place}.{key} is not described"));
                assert_described(document, described, value, &format!("{place}.{key}"));
            }
            for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                assert!(fields.contains_key(key), "{place}.{key} is missing");
            }
        }
        Value::Object(_) => {}
        Value::Array(items) => items.iter().for_each(|item| assert_described(document, &schema["items"], item, place)),
        Value::Null => assert!(has_type(schema, "null"), "{place} may not be null"),
        Value::Bool(_) => assert!(has_type(schema, "boolean"), "{place} is a boolean"),
        Value::String(_) => assert!(has_type(schema, "string"), "{place} is a string"),
        Value::Number(number) => assert!(
            has_type(schema, "number")
                || has_type(schema, "integer") && number.as_f64().is_some_and(|n| n.fract() == 0.0),
            "{place} is the number {number}"
        ),
    }
}

fn has_type(schema: &Value, name: &str) -> bool {
    schema["type"] == name || schema["type"].as_array().is_some_and(|types| types.iter().any(|have| have == name))
}

//! The cloud without HTTP: rights, bills, tokens, failures, and the proxies.

use std::time::Duration;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use units::Phases;

use super::*;
use crate::car::{ChargingState, Supply};
use crate::exchange::Class;
use crate::tokens::ALL_SCOPES;
use crate::{CLIENT_ID, CLIENT_SECRET};

const VIN: &str = "5YJ30123456789ABC";
const OLD: &str = "5YJSA1E14FF000001";
const VERIFIER: &str = "a-verifier-that-is-long-enough-to-be-one-0123456789";
/// The public key of the published vectors.
const PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsra8aMLaBmXOZWgVWUmWxiOU7di+
qQX+eBp1T+aoRacUMwkC8iXpJp1GbgWzSZgf2p2FzCPG+0RKpztikQXcbg==
-----END PUBLIC KEY-----
";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Rig {
    cloud: Cloud,
    token: String,
}

impl Rig {
    fn new(scopes: &str) -> Rig {
        let supply = Supply::three(Amps::from_whole(16));
        let new = Car::new(VIN).plugged_into(supply);
        let old =
            Car::new(OLD).commands(CommandWay::Plain).charger(Amps::from_whole(32), Phases::One).plugged_into(supply);
        let mut cloud = Cloud::builder().car(new).car(old).build();
        cloud.urls.api = "http://api".to_owned();
        cloud.advance_to(secs(60));
        let token = cloud.tokens.issue(secs(60), CLIENT_ID, scopes).access;
        Rig { cloud, token }
    }

    fn ask(&mut self, door: Door, method: &str, target: &str, body: &str) -> (u16, Value) {
        let request = Request::new(door, method, target).bearer(&self.token).body(body);
        let reply = self.cloud.handle(&request);
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or(Value::Null))
    }

    fn get(&mut self, target: &str) -> (u16, Value) {
        self.ask(Door::Api, "GET", target, "")
    }

    fn post(&mut self, target: &str, body: &str) -> (u16, Value) {
        self.ask(Door::Api, "POST", target, body)
    }

    fn token(&mut self, form: &str) -> (u16, Value) {
        self.ask(Door::Auth, "POST", "/oauth2/v3/token", form)
    }
}

fn all() -> Rig {
    Rig::new(ALL_SCOPES)
}

fn of(vin: &str, rest: &str) -> String {
    format!("/api/1/vehicles/{vin}{rest}")
}

#[test]
fn data_comes_by_section_and_position_by_right() {
    let mut rig = all();
    let (status, answer) = rig.get(&of(VIN, "/vehicle_data?endpoints=charge_state%3Blocation_data"));
    assert_eq!((status, &answer["response"]["charge_state"]["charging_state"]), (200, &json!("Charging")));
    assert_eq!(answer["response"]["drive_state"]["latitude"], 0.0);
    let (_, answer) = rig.get(&of(VIN, "/vehicle_data?endpoints=charge_state"));
    assert_eq!(answer["response"].get("drive_state"), None);
    let mut blind = Rig::new("openid vehicle_device_data");
    let (_, answer) = blind.get(&of(VIN, "/vehicle_data?endpoints=location_data"));
    assert_eq!(answer["response"]["drive_state"].get("latitude"), None);
    assert_eq!(blind.post(&of(VIN, "/wake_up"), "").0, 403);
    assert_eq!(Rig::new("openid").get("/api/1/vehicles").0, 403);
}

#[test]
fn each_car_takes_its_own_kind_of_command() {
    let mut rig = all();
    let (status, answer) = rig.post(&of(VIN, "/command/charge_stop"), "{}");
    assert_eq!(status, 403);
    assert!(answer["error"].as_str().unwrap().contains("Vehicle Command Protocol required"));
    assert_eq!(rig.post(&of(OLD, "/signed_command"), "{}").0, 422);
    let (status, answer) = rig.post(&of(OLD, "/command/charge_stop"), "{}");
    assert_eq!((status, &answer["response"]), (200, &json!({ "result": true, "reason": "" })));
    let (status, answer) = rig.post(&of(OLD, "/command/charge_stop"), "");
    assert_eq!((status, &answer["response"]["reason"]), (200, &json!("not_charging")));
    assert_eq!(rig.post(&of(OLD, "/command/set_charging_amps"), r#"{"charging_amps":"12"}"#).0, 400);
    assert_eq!(rig.post(&of(OLD, "/command/set_charging_amps"), r#"{"charging_amps":12}"#).0, 200);
    assert_eq!(rig.cloud.car(OLD).unwrap().set_amps(), Amps::from_whole(12));
    // The vendor's proxy signs by itself, and says no with a 500.
    assert_eq!(rig.ask(Door::Proxy, "POST", &of(VIN, "/command/charge_stop"), "{}").0, 200);
    let (status, answer) = rig.ask(Door::Proxy, "POST", &of(VIN, "/command/charge_stop"), "{}");
    assert_eq!((status, &answer["error"]), (500, &json!("car could not execute command: not_charging")));
    assert_eq!(rig.cloud.log().last().unwrap().command, Some(CarCommand::Stop));
}

#[test]
fn signed_commands_reach_the_car() {
    let own = "04b2b6bc68c2da0665ce656815594996c62394edd8bea905fe781a754fe6a845a714330902f225e9269d466e05b349981fda9d85cc23c6fb444aa73b629105dc6e";
    let message = "MgIIAzoSEhAQERITFBUWFxgZGhscHR4fUgcSBdoCAggQaoIBCkMKQQSytrxowtoGZc5laBVZSZbGI5Tt2L6pBf54GnVP5qhFpxQzCQLyJekmnUZuBbNJmB/anYXMI8b7REqnO2KRBdxuQjsKEExGP5zA09JpBumC7SJK3eYQBx1fCgAAIiDEfCOlK6jKHQ/J0MYg9QKyecP3n7ZE7J3hdwTugJT6cZoDEBWI1aMOq8b4/JqVGxH2/RE=";
    let bytes = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let key = bytes("344ee5b466a7cf1eeb12b6f50331db2e5ec5834ef5f4befcfd8cbe55c2528d70").try_into().unwrap();
    let epoch = bytes("4c463f9cc0d3d26906e982ed224adde6").try_into().unwrap();
    let mut rig = all();
    let car = Car::new(VIN).car_key(&key, epoch).paired(&bytes(own)).plugged_into(Supply::three(Amps::from_whole(32)));
    rig.cloud.cars[0] = car.charger(Amps::from_whole(32), Phases::Three);
    rig.cloud.advance_to(secs(2650));
    let body = json!({ "routable_message": message }).to_string();
    let (status, answer) = rig.post(&of(VIN, "/signed_command"), &body);
    let reply = STANDARD.decode(answer["response"].as_str().unwrap()).unwrap();
    assert_eq!(status, 200);
    // Payload of the answer: an action status of zero.
    assert!(reply.windows(4).any(|part| part == [0x52, 2, 0x0a, 0]), "{reply:02x?}");
    assert_eq!(rig.cloud.car(VIN).unwrap().set_amps(), Amps::from_whole(16));
    assert_eq!(rig.cloud.log().last().unwrap().command, Some(CarCommand::SetAmps(Amps::from_whole(16))));
    // The same again is a replay, and changes nothing.
    rig.cloud.car(VIN).unwrap().driver_sets_amps(Amps::from_whole(20));
    assert_eq!(rig.post(&of(VIN, "/signed_command"), &body).0, 200);
    assert_eq!(rig.cloud.log().last().unwrap().fault, crate::fault::INVALID_COUNTER);
    assert_eq!(rig.cloud.car(VIN).unwrap().set_amps(), Amps::from_whole(20));
    assert_eq!(rig.post(&of(VIN, "/signed_command"), r#"{"routable_message":"%"}"#).0, 400);
}

#[test]
fn a_sleeping_car_is_408_and_its_listing_wakes_nobody() {
    let mut rig = all();
    rig.cloud.car(OLD).unwrap().unplug();
    rig.cloud.advance_to(secs(3600));
    for _ in 0..3 {
        let (status, answer) = rig.get(&of(OLD, ""));
        assert_eq!((status, &answer["response"]["state"]), (200, &json!("asleep")));
    }
    assert_eq!(rig.get(&of(OLD, "/vehicle_data")).0, 408);
    assert_eq!(rig.post(&of(OLD, "/command/charge_start"), "{}").0, 408);
    let (status, answer) = rig.post(&of(OLD, "/wake_up"), "");
    assert_eq!((status, &answer["response"]["state"]), (200, &json!("asleep")), "the state from before");
    rig.cloud.advance_to(secs(3620));
    assert_eq!(rig.get(&of(OLD, "/vehicle_data")).0, 200);
}

#[test]
fn bills_are_by_class_and_below_500() {
    let mut rig = all();
    rig.get("/api/1/vehicles");
    rig.get(&of(VIN, ""));
    rig.get(&of(VIN, "/vehicle_data"));
    rig.post(&of(VIN, "/wake_up"), "");
    rig.post(&of(VIN, "/command/charge_stop"), "{}");
    rig.get("/api/1/users/region");
    rig.cloud.order_failure(Target::Api, Failure::status(503), Some(1));
    rig.get(&of(VIN, "/vehicle_data"));
    rig.cloud.order_failure(Target::Api, Failure::LostAnswer, Some(1));
    rig.post(&of(OLD, "/command/charge_stop"), "{}");
    rig.cloud.order_failure(Target::Api, Failure::LostRequest, Some(1));
    rig.post(&of(OLD, "/command/charge_start"), "{}");
    rig.ask(Door::Ble, "POST", &of(VIN, "/command/charge_stop"), "{}");
    let billing = rig.cloud.billing().clone();
    assert_eq!((billing.total.data, billing.total.wakes, billing.total.commands, billing.unbilled), (3, 1, 2, 1));
    assert_eq!(billing.total.micro_dollars(), 3 * 2_000 + 20_000 + 2 * 1_000);
    assert_eq!((billing.of(OLD).commands, billing.of(VIN).count()), (1, 4));
    assert_eq!(rig.cloud.car(OLD).unwrap().charging_state(), ChargingState::Stopped, "carried out, answer lost");
    let log = rig.cloud.log();
    assert_eq!((log.len(), log[3].kind.clone(), log[3].billed), (10, Kind::Wake, Some(Class::Wake)));
    assert!(!log[7].was_answered && log[7].command == Some(CarCommand::Stop));
    rig.cloud.credit = Some(28_000);
    assert_eq!(rig.get("/api/1/vehicles").0, 402);
}

#[test]
fn failures_hit_what_they_are_for() {
    let mut rig = all();
    let target = Target::KindFor(Kind::VehicleData, OLD.to_owned());
    rig.cloud.order_failure(target, Failure::too_many(secs(77)), Some(1));
    rig.cloud.order_failure(Target::AnyCommand, Failure::Html(502), None);
    assert_eq!(rig.get(&of(VIN, "/vehicle_data")).0, 200);
    let request = Request::new(Door::Api, "GET", &of(OLD, "/vehicle_data")).bearer(&rig.token);
    let reply = rig.cloud.handle(&request);
    assert_eq!((reply.status, reply.headers.last().unwrap().1.as_str()), (429, "77"));
    assert_eq!(rig.get(&of(OLD, "/vehicle_data")).0, 200, "once");
    for _ in 0..2 {
        assert_eq!(rig.post(&of(OLD, "/command/charge_stop"), "{}").0, 502, "until cleared");
    }
    rig.cloud.clear_failures();
    assert_eq!(rig.post(&of(OLD, "/command/charge_stop"), "{}").0, 200);
    let (status, answer) = rig.ask(Door::OtherRegion, "GET", "/api/1/vehicles", "");
    assert_eq!(status, 421);
    assert!(answer["error"].as_str().unwrap().contains("use base URL: http://api,"));
    rig.cloud.car(OLD).unwrap().quirks_mut().denies_access = true;
    assert_eq!(rig.get(&of(OLD, "/vehicle_data")).1["error"], "mobile_access_disabled");
}

fn log_in(rig: &mut Rig, challenge: &str) -> String {
    let target = format!(
        "/oauth2/v3/authorize?response_type=code&client_id={CLIENT_ID}&redirect_uri=http%3A%2F%2Flocalhost%2Fback\
         &scope=openid%20offline_access%20vehicle_device_data&state=a%2Bb{challenge}"
    );
    let reply = rig.cloud.handle(&Request::new(Door::Auth, "GET", &target));
    assert_eq!(reply.status, 302);
    let location = &reply.headers.iter().find(|(name, _)| name == "Location").unwrap().1;
    assert!(location.starts_with("http://localhost/back?code=EU_") && location.ends_with("&state=a%2Bb"), "{location}");
    location.split(['=', '&']).nth(1).unwrap().to_owned()
}

fn exchange(code: &str, rest: &str) -> String {
    format!(
        "grant_type=authorization_code&client_id={CLIENT_ID}&code={code}\
         &redirect_uri=http%3A%2F%2Flocalhost%2Fback{rest}"
    )
}

#[test]
fn a_login_with_pkce_needs_the_right_verifier() {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let challenge = format!("&code_challenge={challenge}&code_challenge_method=S256");
    let mut rig = all();
    for (rest, expected) in [
        (format!("&code_verifier={VERIFIER}"), 200),
        (format!("&code_verifier={VERIFIER}x"), 400),
        ("&code_verifier=short".to_owned(), 400),
        (String::new(), 400),
    ] {
        let code = log_in(&mut rig, &challenge);
        assert_eq!(rig.token(&exchange(&code, &rest)).0, expected, "{rest}");
        assert_eq!(rig.token(&exchange(&code, &rest)).1["error"], "invalid_auth_code", "a code works once");
    }
}

#[test]
fn a_login_with_the_secret_needs_the_secret_and_the_audience() {
    let mut rig = all();
    for (rest, expected) in [
        (format!("&client_secret={CLIENT_SECRET}&audience=http%3A%2F%2Fapi"), 200),
        (format!("&client_secret={CLIENT_SECRET}"), 400),
        ("&client_secret=wrong&audience=http%3A%2F%2Fapi".to_owned(), 401),
        (String::new(), 401),
    ] {
        let code = log_in(&mut rig, "");
        let (status, answer) = rig.token(&exchange(&code, &rest));
        assert_eq!(status, expected, "{rest}");
        if status == 200 {
            assert_eq!(answer["expires_in"], 28_800);
            rig.token = answer["access_token"].as_str().unwrap().to_owned();
        }
    }
    assert_eq!(rig.get("/api/1/vehicles").0, 200);
    let late = log_in(&mut rig, "");
    rig.cloud.advance_to(secs(60 + 601));
    let rest = format!("&client_secret={CLIENT_SECRET}&audience=http%3A%2F%2Fapi");
    assert_eq!(rig.token(&exchange(&late, &rest)).0, 400, "codes last ten minutes");
    rig.cloud.advance_to(secs(60 + 8 * 3600));
    assert_eq!(rig.get("/api/1/vehicles").1["error"], "token expired (401)");
}

#[test]
fn refresh_rotates_and_forgives_one_lost_answer_for_a_day() {
    let mut rig = all();
    let first = rig.cloud.tokens.issue(secs(60), CLIENT_ID, ALL_SCOPES).refresh;
    let refresh = |rig: &mut Rig, token: &str| {
        let form = format!("grant_type=refresh_token&client_id={CLIENT_ID}&refresh_token={token}");
        let (status, answer) = rig.token(&form);
        (status, answer["refresh_token"].as_str().unwrap_or_default().to_owned())
    };
    let (status, lost) = refresh(&mut rig, &first);
    assert_eq!((status, lost == first), (200, false));
    rig.cloud.advance_to(secs(23 * 3600));
    let (status, second) = refresh(&mut rig, &first);
    assert_eq!(status, 200, "the one before works for a day");
    assert_eq!(refresh(&mut rig, &lost).0, 401, "what never arrived is replaced");
    rig.cloud.advance_to(secs(25 * 3600));
    assert_eq!(refresh(&mut rig, &first).0, 401, "a day is over");
    let (status, third) = refresh(&mut rig, &second);
    assert_eq!(status, 200);
    let (_, fourth) = refresh(&mut rig, &third);
    assert_eq!(refresh(&mut rig, &second).0, 401, "two back");
    rig.cloud.advance_to(secs(25 * 3600 + 91 * 24 * 3600));
    assert_eq!(refresh(&mut rig, &fourth).0, 401, "unused for three months");
    let fresh = rig.cloud.tokens.issue(rig.cloud.now(), CLIENT_ID, ALL_SCOPES).refresh;
    rig.cloud.tokens.forget_logins();
    assert_eq!(refresh(&mut rig, &fresh).0, 401, "password changed");
    assert!(rig.cloud.tokens.secrets().contains(&fourth));
}

#[test]
fn an_application_registers_its_domain_and_the_owner_pairs_its_key() {
    let mut rig = all();
    rig.cloud.is_registered = false;
    assert_eq!(rig.get("/api/1/vehicles").0, 412);
    let user = rig.token.clone();
    assert_eq!(rig.post("/api/1/partner_accounts", r#"{"domain":"cars.example"}"#).0, 403, "no partner token");
    let form = format!(
        "grant_type=client_credentials&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}\
         &scope=openid+vehicle_cmds&audience=http%3A%2F%2Fapi"
    );
    rig.token = rig.token(&form).1["access_token"].as_str().unwrap().to_owned();
    assert_eq!(rig.post("/api/1/partner_accounts", r#"{"domain":"cars.example"}"#).0, 424, "hosts nothing yet");
    rig.cloud.host_key("cars.example", PEM);
    assert_eq!(rig.get("/api/1/partner_accounts/public_key?domain=cars.example").0, 404);
    let (status, answer) = rig.post("/api/1/partner_accounts", r#"{"domain":"cars.example"}"#);
    assert_eq!((status, &answer["response"]["domain"]), (200, &json!("cars.example")));
    let (_, answer) = rig.get("/api/1/partner_accounts/public_key?domain=cars.example");
    assert!(answer["response"]["public_key"].as_str().unwrap().starts_with("04b2b6bc68"));
    rig.token = user;
    assert_eq!(rig.get("/api/1/vehicles").0, 200);
    let vins = json!({ "vins": [VIN, OLD] }).to_string();
    let (_, answer) = rig.post("/api/1/vehicles/fleet_status", &vins);
    assert_eq!(answer["response"]["unpaired_vins"], json!([VIN, OLD]));
    assert!(rig.cloud.pair("cars.example", Some(VIN)));
    let (_, answer) = rig.post("/api/1/vehicles/fleet_status", &vins);
    let status = &answer["response"];
    assert_eq!((&status["key_paired_vins"], &status["unpaired_vins"]), (&json!([VIN]), &json!([OLD])));
    let required = |vin: &str| status["vehicle_info"][vin]["vehicle_command_protocol_required"].as_bool();
    assert_eq!((required(VIN), required(OLD)), (Some(true), Some(false)));
    let reply = rig.cloud.handle(&Request::new(Door::Auth, "GET", "/_ak/cars.example"));
    assert_eq!((reply.status, rig.cloud.car(OLD).unwrap().security().key_count()), (200, 1));
}

#[test]
fn the_bluetooth_proxy_answers_one_level_deeper() {
    let mut rig = all();
    let mut ble = |method: &str, rest: &str, body: &str| rig.ask(Door::Ble, method, &of(VIN, rest), body);
    let (status, answer) = ble("GET", "/vehicle_data?endpoints=charge_state", "");
    let section = &answer["response"]["response"]["charge_state"];
    assert_eq!((status, &section["charging_state"]), (200, &json!("Charging")));
    assert!(section["timestamp"].as_u64().unwrap() < 10_000_000_000 && section.get("time_to_full_charge").is_none());
    assert_eq!(ble("GET", "/vehicle_data?endpoints=drive_state", "").0, 503);
    assert_eq!(ble("POST", "/command/set_charging_amps?wait=true", r#"{"charging_amps":"8"}"#).0, 200);
    assert_eq!(ble("POST", "/command/charge_start?wait=true", "").0, 200, "is_charging is as good as done");
    assert_eq!(rig.cloud.car(VIN).unwrap().set_amps(), Amps::from_whole(8));
    let car = rig.cloud.car(VIN).unwrap();
    car.unplug();
    car.fall_asleep();
    let (status, answer) = rig.ask(Door::Ble, "GET", &of(VIN, "/vehicle_data?endpoints=charge_state"), "");
    assert_eq!((status, &answer["response"]["reason"]), (503, &json!("vehicle is sleeping")));
    let (_, answer) = rig.ask(Door::Ble, "GET", &of(VIN, "/body_controller_state"), "");
    assert_eq!(answer["response"]["response"]["vehicle_sleep_status"], "VEHICLE_SLEEP_STATUS_ASLEEP");
    assert!(!rig.cloud.car(VIN).unwrap().is_awake(), "looking wakes nobody");
    assert_eq!(rig.ask(Door::Ble, "POST", &of(VIN, "/command/charge_start?wait=true"), "").0, 503);
    let (status, answer) = rig.ask(Door::Ble, "POST", &of(VIN, "/command/charge_start"), "");
    assert_eq!((status, &answer["response"]["result"]), (200, &json!(true)), "says yes before it knows");
    rig.cloud.car(VIN).unwrap().set_bluetooth(false);
    assert_eq!(rig.ask(Door::Ble, "POST", &of(VIN, "/command/charge_stop?wait=true"), "").0, 503);
    assert_eq!(rig.ask(Door::Ble, "GET", "/api/proxy/1/version", "").0, 200);
    assert_eq!(rig.cloud.billing().total.count(), 0, "Bluetooth is free");
}

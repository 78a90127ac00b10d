//! Passwords, sessions, tokens, and what nobody gets to see.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use control_http::{AccessFile, AccessRules};
use http_door::{Method, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bench::{Answer, Bench};
use twc_names::testing::NOW;

const PASSWORD: &str = "correct horse";
const CHARGE: &str = r#"{"amps": 16, "hours": 1}"#;

/// A site with a password, and the folder that holds it.
struct House {
    bench: Bench,
    folder: TempDir,
    now: f64,
}

impl House {
    fn new() -> House {
        House::with(AccessRules::default())
    }

    fn with(rules: AccessRules) -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let file = AccessFile::in_folder(folder.path());
        let house = |bench| House { bench, folder, now: NOW };
        let house = house(Bench::with(json!({}), |config| {
            config.access = rules;
            config.access_file = Some(file);
        }));
        house.write(&json!({ "password": hash(PASSWORD) }));
        house
    }

    fn write(&self, content: &Value) {
        // As the program does it: a new file in the place of the old one.
        let path = self.folder.path().join("access.json");
        fs::write(path.with_extension("new"), content.to_string()).expect("written");
        fs::rename(path.with_extension("new"), path).expect("renamed");
    }

    fn ask(&self, request: &Request) -> Answer {
        Answer::of(self.bench.api.answer(request, self.now))
    }

    fn sign_in(&self, password: &str) -> Answer {
        self.ask(&json_request(Method::Post, "/api/v2/session", &json!({ "password": password })))
    }

    /// Signs in and gives what the browser sends from then on.
    fn cookie(&self) -> String {
        let answer = self.sign_in(PASSWORD);
        assert_eq!(answer.status, 204, "{answer:?}");
        let cookie = answer.header("set-cookie").expect("a cookie");
        cookie.split(';').next().expect("a pair").to_owned()
    }

    fn new_token(&self, cookie: &str, name: &str) -> Value {
        let request =
            json_request(Method::Post, "/api/v2/tokens", &json!({ "name": name })).with_header("cookie", cookie);
        let answer = self.ask(&request);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }
}

/// A hash that costs nothing.
fn hash(password: &str) -> String {
    let params = Params::new(8, 1, 1, None).expect("parameters");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_with_salt(password.as_bytes(), b"0123456789abcdef").expect("a hash").to_string()
}

fn json_request(method: Method, path: &str, body: &Value) -> Request {
    Request::new(method, path).with_header("content-type", "application/json").with_body(body.to_string())
}

fn charge() -> Request {
    Request::new(Method::Post, "/api/v2/charge-now").with_header("content-type", "application/json").with_body(CHARGE)
}

fn basic(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("anybody:{password}")))
}

#[test]
fn without_a_password_it_says_so_and_the_house_commands() {
    let bench = Bench::new(json!({}));
    let state = bench.get("/api/v2/session").json();
    assert_eq!(
        state,
        json!({"is_password_set": false, "proof": null, "read_needs_password": false, "may_command": true, "refusal": null})
    );
    let mut far = Request::new(Method::Get, "/api/v2/session");
    far.peer = "203.0.113.5".parse().expect("an address");
    let state = bench.ask(&far).json();
    assert_eq!(state["may_command"], false);
    assert!(state["refusal"].as_str().is_some_and(|text| text.contains("twcmanager passwd")), "{state}");
    let sign_in = json_request(Method::Post, "/api/v2/session", &json!({"password": "x"}));
    assert_eq!(bench.ask(&sign_in).status, 409);
    assert_eq!(bench.get("/api/v2/tokens").status, 409);
    assert_eq!(bench.ask(&charge()).status, 204);
}

#[test]
fn signing_in_opens_commands_and_signing_out_closes_them() {
    let house = House::new();
    assert_eq!(house.bench.get("/api/v2/snapshot").status, 200, "looking stays open");
    let refused = house.ask(&charge());
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer realm=\"twcmanager\"")));
    assert!(refused.json()["error"].as_str().is_some_and(|text| text.contains("sign in")), "{refused:?}");

    let wrong = house.sign_in("wrong horse");
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    let cookie = house.cookie();
    assert_eq!(house.ask(&charge().with_header("cookie", &format!("other=1; {cookie}"))).status, 204);
    let state = house.ask(&Request::new(Method::Get, "/api/v2/session").with_header("cookie", &cookie)).json();
    assert_eq!((&state["proof"], &state["may_command"]), (&json!("session"), &json!(true)));

    // A foreign page can use the session no more than anybody.
    let foreign = charge().with_header("cookie", &cookie).with_header("origin", "http://evil.example");
    assert_eq!(house.ask(&foreign).status, 403);
    for header in [("origin", "http://evil.example"), ("content-type", "text/plain")] {
        let body = json!({ "password": PASSWORD }).to_string();
        let request = Request::new(Method::Post, "/api/v2/session").with_header(header.0, header.1).with_body(body);
        assert!(matches!(house.ask(&request).status, 403 | 415), "{header:?}");
    }

    let out = house.ask(&Request::new(Method::Delete, "/api/v2/session").with_header("cookie", &cookie));
    assert_eq!(out.status, 204);
    assert!(
        out.header("set-cookie")
            .is_some_and(|cookie| cookie.starts_with("twcmanager=; ") && cookie.contains("Max-Age=0"))
    );
    assert_eq!(house.ask(&charge().with_header("cookie", &cookie)).status, 401);
    assert_eq!(house.bench.site.taken().len(), 1);
}

#[test]
fn the_cookie_is_hidden_from_scripts_foreign_pages_and_plain_connections() {
    let house = House::new();
    let set = |change: &dyn Fn(Request) -> Request| {
        let request = change(json_request(Method::Post, "/api/v2/session", &json!({ "password": PASSWORD })));
        house.ask(&request).header("set-cookie").expect("a cookie").to_owned()
    };
    let plain = set(&|request| request);
    let flags: Vec<&str> = plain.split("; ").skip(1).collect();
    assert_eq!(flags, ["Path=/", "Max-Age=2592000", "HttpOnly", "SameSite=Strict"]);
    let secret = plain.strip_prefix("twcmanager=").and_then(|rest| rest.split(';').next()).expect("a secret");
    assert_eq!(secret.len(), 43, "256 random bits");
    for tls in [
        set(&|request| Request { is_tls: true, ..request }),
        set(&|request| request.with_header("X-Forwarded-Proto", "https")),
    ] {
        assert!(tls.starts_with("__Host-twcmanager=") && tls.ends_with("; SameSite=Strict; Secure"), "{tls}");
        assert!(!tls.contains(secret));
    }
    // What was made for a plain connection does not count on a safe one.
    let crossed = Request { is_tls: true, ..charge().with_header("cookie", &format!("twcmanager={secret}")) };
    assert_eq!(house.ask(&crossed).status, 401);
}

#[test]
fn a_session_ends_by_itself() {
    let mut house = House::new();
    let cookie = house.cookie();
    house.now += 8.0 * 86_400.0;
    assert_eq!(house.ask(&charge().with_header("cookie", &cookie)).status, 401);
}

#[test]
fn programs_show_a_token_or_the_password() {
    let house = House::new();
    let cookie = house.cookie();
    let token = house.new_token(&cookie, "Home Assistant");
    let secret = token["token"].as_str().expect("a secret");
    let bearer = format!("Bearer {secret}");
    let old = |authorization: &str| {
        let request = Request::new(Method::Post, "/api/cancelChargeNow").with_header("authorization", authorization);
        house.ask(&request).status
    };
    assert_eq!(old(&bearer), 200);
    assert_eq!(old(&bearer.to_lowercase()), 401, "letter case counts in the secret");
    assert_eq!(old(&format!("bearer  {secret}")), 200);
    assert_eq!(old(&format!("{bearer}x")), 401);
    assert_eq!(old(&basic(PASSWORD)), 200);
    assert_eq!(old(&basic(PASSWORD)), 200, "again, without a hash");
    assert_eq!(old(&basic("wrong")), 401);
    assert_eq!(old("Basic !!!"), 401);
    assert_eq!(old("Negotiate abc"), 401);
    let plain = house.ask(&Request::new(Method::Post, "/api/cancelChargeNow"));
    assert_eq!(plain.header("www-authenticate"), Some("Basic realm=\"twcmanager\", charset=\"UTF-8\""));

    // From anywhere: the token proves enough. Not for looking after tokens, though.
    let mut far = charge().with_header("authorization", &bearer);
    far.peer = "203.0.113.5".parse().expect("an address");
    assert_eq!(house.ask(&far).status, 204);
    for (method, path) in
        [(Method::Get, "/api/v2/tokens"), (Method::Post, "/api/v2/tokens"), (Method::Delete, "/api/v2/tokens/x")]
    {
        assert_eq!(house.ask(&Request::new(method, path).with_header("authorization", &bearer)).status, 403, "{path}");
        assert_eq!(house.ask(&Request::new(method, path)).status, 401, "{path}");
    }
}

#[test]
fn a_revoked_token_opens_nothing() {
    let mut house = House::new();
    let cookie = house.cookie();
    let signed_in = |method, path: &str| Request::new(method, path).with_header("cookie", &cookie);
    let (kept, lost) = (house.new_token(&cookie, "kept"), house.new_token(&cookie, "lost"));
    let again = json_request(Method::Post, "/api/v2/tokens", &json!({"name": "kept"})).with_header("cookie", &cookie);
    assert_eq!(house.ask(&again).status, 409);
    let with = |token: &Value| {
        charge().with_header("authorization", &format!("Bearer {}", token["token"].as_str().expect("text")))
    };
    assert_eq!((house.ask(&with(&kept)).status, house.ask(&with(&lost)).status), (204, 204));
    house.now += 60.0;
    assert_eq!(house.ask(&with(&kept)).status, 204);
    let list = house.ask(&signed_in(Method::Get, "/api/v2/tokens")).json();
    let tokens = list["tokens"].as_array().expect("a list");
    assert_eq!((tokens.len(), &tokens[0]["name"], &tokens[0]["last_used"]), (2, &json!("kept"), &json!(house.now)));
    assert!(!list.to_string().contains("twc_") && !list.to_string().contains("sha256"));

    let path = format!("/api/v2/tokens/{}", lost["id"].as_str().expect("an id"));
    assert_eq!(house.ask(&signed_in(Method::Delete, &path)).status, 204);
    assert_eq!(house.ask(&signed_in(Method::Delete, &path)).status, 404);
    assert_eq!((house.ask(&with(&kept)).status, house.ask(&with(&lost)).status), (204, 401));
    for name in ["", "  ", "a\nb", &"x".repeat(65)] {
        let request =
            json_request(Method::Post, "/api/v2/tokens", &json!({ "name": name })).with_header("cookie", &cookie);
        assert_eq!(house.ask(&request).status, 400, "{name:?}");
    }
    let stored = fs::read_to_string(house.folder.path().join("access.json")).expect("the file");
    assert!(!stored.contains("twc_") && stored.contains("sha256") && stored.contains("last_used"), "{stored}");
}

#[test]
fn guessing_is_slowed_down_for_the_guesser_alone() {
    let mut house = House::new();
    let guess = |house: &House, password: &str, peer: &str| {
        let mut request = json_request(Method::Post, "/api/v2/session", &json!({ "password": password }));
        request.peer = peer.parse().expect("an address");
        house.ask(&request)
    };
    let cookie = house.cookie();
    let statuses: Vec<u16> = (0..8).map(|n| guess(&house, &format!("guess {n}"), "192.168.1.66").status).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
    // The right one is not even looked at, in whatever way it comes.
    let slowed = guess(&house, PASSWORD, "192.168.1.66");
    assert_eq!((slowed.status, slowed.header("retry-after")), (429, Some("15")));
    assert!(slowed.json()["error"].as_str().is_some_and(|text| text.contains("try again in 15 s")), "{slowed:?}");
    let mut request = charge().with_header("authorization", &basic(PASSWORD));
    request.peer = "192.168.1.66".parse().expect("an address");
    assert_eq!(house.ask(&request).status, 429);
    // Others, and whoever is signed in at the same address, notice nothing.
    assert_eq!(guess(&house, PASSWORD, "192.168.1.7").status, 204);
    let mut signed_in = charge().with_header("cookie", &cookie);
    signed_in.peer = "192.168.1.66".parse().expect("an address");
    assert_eq!(house.ask(&signed_in).status, 204);
    house.now += 16.0;
    assert_eq!(guess(&house, PASSWORD, "192.168.1.66").status, 204);
}

#[test]
fn a_password_that_is_set_or_removed_counts_at_once() {
    let house = House::new();
    let cookie = house.cookie();
    let token = house.new_token(&cookie, "script");
    let file = AccessFile::in_folder(house.folder.path());
    assert_eq!(file.set_password("another horse").expect("set"), 1);
    assert_eq!(house.ask(&charge().with_header("cookie", &cookie)).status, 401, "everybody signs in again");
    assert_eq!(house.sign_in(PASSWORD).status, 401);
    assert_eq!(house.sign_in("another horse").status, 204);
    let bearer = format!("Bearer {}", token["token"].as_str().expect("a secret"));
    assert_eq!(house.ask(&charge().with_header("authorization", &bearer)).status, 204, "tokens stay");
    assert!(file.remove_password().expect("removed"));
    assert_eq!(house.ask(&charge()).status, 204, "at home, nobody is asked");
    assert_eq!(house.bench.get("/api/v2/session").json()["is_password_set"], false);
}

#[test]
fn a_file_that_cannot_be_read_closes_the_door() {
    let house = House::with(AccessRules { read_needs_password: true, ..AccessRules::default() });
    fs::write(house.folder.path().join("access.json"), "{\"password\": \"pl").expect("written");
    for request in [charge(), Request::new(Method::Get, "/api/getStatus"), Request::new(Method::Get, "/api/v2/session")]
    {
        let answer = house.ask(&request);
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.text.contains("twcmanager passwd"), "{answer:?}");
    }
    assert_eq!(house.bench.get("/").status, 200);
}

#[test]
fn where_looking_needs_the_password_only_the_page_itself_and_monitoring_stay_open() {
    let house = House::with(AccessRules { read_needs_password: true, ..AccessRules::default() });
    let cookie = house.cookie();
    for (method, path) in control_http::routes().filter(|(method, _)| *method == Method::Get) {
        let path =
            path.replace("{file}", "app.js").replace("{id}", "gen2-4085").replace("{key}", "x").replace("{vin}", "x");
        let status = house.ask(&Request::new(method, &path)).status;
        let is_open = status != 401;
        let open = [
            "/",
            "/healthz",
            "/metrics",
            "/favicon.ico",
            "/assets/app.js",
            "/api/v2/session",
            "/api/v2/openapi.json",
            "/.well-known/appspecific/com.tesla.3p.public-key.pem",
        ];
        let shows_nothing = status == 302;
        assert_eq!(is_open, open.contains(&path.as_str()) || shows_nothing, "{path}: {status}");
        let signed_in = house.ask(&Request::new(method, &path).with_header("cookie", &cookie)).status;
        assert!(signed_in != 401 && signed_in != 403, "{path}: {signed_in}");
    }
    house.bench.api.set_access(AccessRules::default());
    assert_eq!(house.bench.get("/api/getStatus").status, 200, "rules can be exchanged while it runs");
}

/// Secrets are planted wherever there are any, and every answer to GET is searched for them.
#[test]
fn no_secret_is_ever_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = AccessFile::in_folder(folder.path());
    let settings = json!({
        "carApiBearerToken": "PLANTED-a", "carApiRefreshToken": "PLANTED-b", "some_password": ["PLANTED-c"],
        "Vehicles": {"5YJ": {"privKey": "PLANTED-d", "BLEkey": "x"}}, "url": "https://u:PLANTED-e@h/?token=PLANTED-f",
        "nonScheduledAction": 3,
    });
    let config = json!({"sources": {"HASS": {"apiKey": "********"}}});
    let bench = Bench::with(settings, |api| {
        api.config_masked = config;
        api.access_file = Some(file.clone());
    });
    bench.site.set_policies(
        json!([{"name": "x", "webhooks": {"enter": "http://u:PLANTED-g@h/?apikey=PLANTED-h", "token": "PLANTED-i"}}]),
    );
    let content = json!({"password": hash(PASSWORD), "tokens": [
        {"id": "1", "name": "n", "created": 1.0, "sha256": "PLANTED-j"},
    ]});
    fs::write(file.path(), content.to_string()).expect("written");
    let sign_in = bench.ask(&json_request(Method::Post, "/api/v2/session", &json!({ "password": PASSWORD })));
    let cookie = sign_in.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_owned();
    let session = cookie.split('=').nth(1).expect("a secret").to_owned();
    let mut seen = 0;
    for (method, path) in control_http::routes().filter(|(method, _)| *method == Method::Get) {
        let keys =
            ["carApiBearerToken", "carApiRefreshToken", "some_password", "Vehicles", "url", "gen2-4085", "app.js"];
        let paths: Vec<String> = match path.split_once('{') {
            Some((before, rest)) => {
                let after = rest.split_once('}').map_or("", |(_, after)| after);
                keys.iter().map(|key| format!("{before}{key}{after}")).collect()
            }
            None => vec![path.to_owned()],
        };
        for path in paths {
            let answer = bench.ask(&Request::new(method, &path).with_header("cookie", &cookie));
            let all = format!("{:?}{}", answer.headers, answer.text);
            for secret in ["PLANTED", "$argon2", &session] {
                assert!(!all.contains(secret), "{path} shows {secret}: {all}");
            }
            seen += usize::from(answer.status == 200);
        }
    }
    assert!(seen >= 25, "{seen} answers were looked at");
    // Nor are secrets changed blindly: what came out masked does not go in.
    let back = json!({"value": "https://u:********@h/"});
    let put = json_request(Method::Put, "/api/v2/settings/url", &back).with_header("cookie", &cookie);
    assert_eq!(bench.ask(&put).status, 403);
}

#[test]
fn one_password_is_checked_at_a_time_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = AccessFile::in_folder(folder.path());
    // As costly as in life, so that several come at once.
    file.set_password(PASSWORD).expect("set");
    let bench = Arc::new(Bench::with(json!({}), |config| config.access_file = Some(file)));
    let request = |n: u8| {
        let mut request = json_request(Method::Post, "/api/v2/session", &json!({ "password": PASSWORD }));
        request.peer = std::net::IpAddr::from([10, 0, 0, n]);
        request
    };
    let (sender, receiver) = std::sync::mpsc::channel();
    for n in 0..4 {
        let (bench, sender, request) = (Arc::clone(&bench), sender.clone(), request(n));
        std::thread::spawn(move || sender.send(bench.ask(&request).status));
    }
    let answers: Vec<u16> =
        (0..4).map(|_| receiver.recv_timeout(Duration::from_secs(60)).expect("an answer")).collect();
    assert!(answers.contains(&204), "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 204 | 429)), "{answers:?}");
    assert_eq!(bench.ask(&request(9)).status, 204, "and then the next one");
}

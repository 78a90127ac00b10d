//! Signing in on the page of the running program, and what is kept of it.

use e2e::{Bus, Program, until};
use serde_json::{Value, json};
use tesla_simulator::{CLIENT_ID, Door, Kind, Running};

use super::rig::{CLEO, Folder, car, cloud, config, connector, now, send_form, told_of, visit};
use super::secrets;

/// A browser goes to the maker's page; the address it is sent back to.
fn goes_there(program: &Program, cloud: &Running) -> String {
    let to = visit(&program.url("/teslaAccount/login"));
    assert_eq!(to.status, 302);
    assert!(to.location.starts_with(&format!("{}/oauth2/v3/authorize?", cloud.auth_url())), "{}", to.location);
    let back = visit(&to.location);
    assert!(back.location.starts_with(&program.url("/teslaAccount/callback?code=")), "{}", back.location);
    back.location
}

fn refresh_token(folder: &Folder) -> String {
    folder.settings()["carApiRefreshToken"].as_str().unwrap_or_default().to_owned()
}

fn ends(mut program: Program) {
    program.signal("-TERM");
    assert_eq!(program.wait(), Some(0));
}

#[test]
fn a_sign_in_by_redirect_is_kept_and_renewed() {
    let bus = Bus::start(vec![connector(0x4085, true)]);
    let cloud = cloud().car(car(CLEO, "Cleo")).start();
    let folder = Folder::new(config(&cloud, &bus.port(), &json!({})));
    let program = folder.start();
    assert_eq!(program.get("/api/v2/tesla")["signed_in"], false);
    assert!(told_of(&program, CLEO).is_none());

    // Somebody else's answer is refused.
    let wrong = visit(&program.url("/teslaAccount/callback?code=EU_0123456789&state=guessed"));
    assert_eq!(wrong.location, "/teslaAccount/state_mismatch");
    let back = visit(&goes_there(&program, &cloud));
    assert_eq!((back.status, back.location.as_str()), (302, "/teslaAccount/success"));
    let settings = folder.settings();
    assert!(settings["carApiBearerToken"].as_str().is_some_and(|token| !token.is_empty()), "it is on the disk at once");
    assert!(settings["carApiTokenExpireTime"].as_f64().is_some_and(|at| at > now()));
    let first = refresh_token(&folder);
    assert!(!first.is_empty());
    until("the car is known", || told_of(&program, CLEO).is_some());
    assert_eq!(program.get("/api/v2/tesla")["signed_in"], true);
    secrets::assert_kept(&program, &cloud, &folder);
    ends(program);

    // A restart needs nobody; an access token that ran out meanwhile is renewed, and the new pair is kept.
    cloud.expire_access_tokens();
    folder.set(&json!({"carApiTokenExpireTime": now() - 60.0}));
    let program = folder.start();
    until("the car is known", || told_of(&program, CLEO).is_some());
    let second = refresh_token(&folder);
    assert!(!second.is_empty() && second != first, "the refresh token was changed for a new one");
    let asked = cloud.log();
    let refreshed = |asked: &&tesla_simulator::Asked| asked.kind == Kind::Token && asked.body.contains("refresh_token");
    assert_eq!(asked.iter().filter(refreshed).count(), 1);
    assert!(!asked.iter().any(|asked| asked.door == Door::Api && asked.status == 401), "the old one is not tried");
    secrets::assert_kept(&program, &cloud, &folder);
}

#[test]
fn an_address_that_is_pasted_signs_in_without_a_secret() {
    let bus = Bus::start(vec![connector(0x4085, true)]);
    let cloud = cloud().client(CLIENT_ID, None, &[]).car(car(CLEO, "Cleo")).start();
    let mut config = config(&cloud, &bus.port(), &json!({}));
    config["config"]["teslaApiClientSecret"] = Value::from("");
    let folder = Folder::new(config);
    let program = folder.start();
    let back = goes_there(&program, &cloud);
    let done = send_form(&program.url("/teslaAccount/saveToken"), &[("url", &back)]);
    assert_eq!((done.status, done.location.as_str()), (302, "/teslaAccount/success"));
    until("the car is known", || told_of(&program, CLEO).is_some());
    assert!(!refresh_token(&folder).is_empty());
    // A second time it is worth nothing.
    let again = send_form(&program.url("/teslaAccount/saveToken"), &[("url", &back)]);
    assert_eq!(again.location, "/teslaAccount/state_mismatch");
    assert_eq!(program.get("/api/v2/tesla")["signed_in"], true);
    secrets::assert_kept(&program, &cloud, &folder);
}

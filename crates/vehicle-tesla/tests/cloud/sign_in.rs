//! Signing in, and that no secret is ever told.

use std::sync::Arc;
use std::time::Duration;

use http_client::Client;
use tesla_simulator::{CLIENT_SECRET, Failure, Running};
use vehicle::{Outcome, Request};
use vehicle_tesla::{Account, MemoryStore, Region, Returned, SignInError, TokenStore};

use crate::bench::{Bench, VIN, cloud, settings};
use crate::plugged;

/// What a browser is sent back to.
fn browse(address: &str) -> String {
    let (base, rest) = address.split_at(address.find("/oauth2").unwrap());
    let client = Client::builder(base).follow_redirects(false).build().unwrap();
    client.get(rest).send().unwrap().header("location").unwrap().to_owned()
}

fn account(cloud: &Running, folder: &tempfile::TempDir, has_secret: bool) -> (Account, Arc<MemoryStore>) {
    let mut settings = settings(cloud, folder);
    if !has_secret {
        settings.app.client_secret = None;
    }
    let store = Arc::new(MemoryStore::default());
    (Account::new(settings, Arc::clone(&store) as Arc<dyn TokenStore>), store)
}

#[test]
fn by_redirect_and_by_pasting_with_and_without_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    for has_secret in [true, false] {
        for is_pasted in [true, false] {
            let running = cloud().car(plugged(VIN)).start();
            let (account, store) = account(&running, &folder, has_secret);
            assert!(!account.status().is_signed_in);
            let address = account.begin(Some(Region::Europe)).unwrap();
            assert!(account.status().is_under_way);
            let back = browse(&address);
            assert!(back.starts_with("https://cars.example.org/teslaAccount/callback?code="), "{back}");
            let query = back.split_once('?').unwrap().1;
            let returned = if is_pasted { Returned::Pasted(&back) } else { Returned::Redirect(query) };
            account.finish(returned).unwrap();
            let tokens = store.load().unwrap();
            assert!(!tokens.access.is_empty() && !tokens.refresh.is_empty());
            let status = account.status();
            assert!(status.is_signed_in && !status.is_under_way && status.expires.is_some());
            // A code is good once.
            assert_eq!(account.finish(returned), Err(SignInError::StateMismatch));
            assert_eq!(account.cars().unwrap()[0].vin.as_str(), VIN);
        }
    }
}

#[test]
fn a_refusal_a_lost_answer_and_missing_rights() {
    let folder = tempfile::tempdir().unwrap();
    let running = cloud().car(plugged(VIN)).start();
    let (account, store) = account(&running, &folder, true);
    running.user_denies(true);
    let back = browse(&account.begin(None).unwrap());
    assert_eq!(account.finish(Returned::Pasted(&back)).unwrap_err().code(), "access_denied");
    running.user_denies(false);
    running.user_grants(Some("openid vehicle_device_data"));
    let back = browse(&account.begin(None).unwrap());
    assert_eq!(account.finish(Returned::Pasted(&back)), Err(SignInError::NoToken));
    running.user_grants(Some("openid offline_access vehicle_device_data"));
    let back = browse(&account.begin(None).unwrap());
    let target = tesla_simulator::Target::Kind(tesla_simulator::Kind::Token);
    running.fail_next_at(target, Failure::LostRequest);
    assert!(matches!(account.finish(Returned::Pasted(&back)), Err(SignInError::Unreachable(_))));
    account.finish(Returned::Pasted(&back)).unwrap();
    assert!(store.load().is_some());
    let missing = account.status().missing.join("\n");
    assert!(missing.contains("`vehicle_charging_cmds`") && missing.contains("`vehicle_location`"), "{missing}");
}

#[test]
fn a_sign_in_while_the_source_runs_is_used_at_once() {
    let running = cloud().car(plugged(VIN)).start();
    let mut bench = Bench::start(running, &[VIN]);
    bench.cloud.forget_logins();
    assert!(matches!(bench.ask(VIN, Request::List), Outcome::Barred { .. }));
    assert_eq!(bench.await_trouble("sign_in").code, "sign_in");
    let back = browse(&bench.account.begin(None).unwrap());
    bench.account.finish(Returned::Pasted(&back)).unwrap();
    assert_eq!(bench.trouble(), None);
    assert_eq!(bench.ask(VIN, Request::List), Outcome::Done);
}

#[test]
fn no_secret_is_in_anything_that_is_told() {
    let running = cloud().car(plugged(VIN)).start();
    let mut bench = Bench::start(running, &[VIN]);
    let back = browse(&bench.account.begin(None).unwrap());
    bench.account.finish(Returned::Pasted(&back)).unwrap();
    let mut told = String::new();
    let secrets = |bench: &Bench| bench.cloud.secrets();
    for echo in [bench.store.load().unwrap().access, CLIENT_SECRET.to_owned()] {
        bench.cloud.fail_next(Failure::with_text(404, &format!("not_found {echo}")));
        told += &format!("{:?}", bench.ask(VIN, Request::Read { with_position: true }));
    }
    told += &format!("{:?}", bench.ask(VIN, Request::Stop));
    bench.cloud.expire_access_tokens();
    bench.cloud.fail_next_at(tesla_simulator::Target::Door(tesla_simulator::Door::Auth), Failure::Html(503));
    told += &format!("{:?}", bench.ask(VIN, Request::Stop));
    bench.cloud.fail_always(tesla_simulator::Target::Api, Failure::Slow(Duration::ZERO));
    told += &format!("{:?} {:?}", bench.ask(VIN, Request::List), bench.account.status());
    told += &format!("{:?} {:?}", bench.account, bench.ear.reports.lock().unwrap());
    told += &format!("{:?}", bench.ear.troubles.lock().unwrap());
    for entry in std::fs::read_dir(bench.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with(vehicle_tesla::KEY_FILE) {
            told += &std::fs::read_to_string(path).unwrap();
        }
    }
    for secret in secrets(&bench) {
        assert!(!told.contains(&secret), "a secret is told");
    }
    assert!(told.contains("not_found"));
}

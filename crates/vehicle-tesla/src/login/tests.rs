use std::sync::atomic::{AtomicBool, Ordering};

use recordings::{Answer, Peer};
use serde_json::json;

use super::*;
use crate::region::Hosts;
use crate::settings::{App, Pace, Settings};

/// A store that can be broken, and writes down the order of things.
struct Shelf {
    tokens: Mutex<Option<Tokens>>,
    is_full: AtomicBool,
    saved: Mutex<Vec<String>>,
}

impl TokenStore for Shelf {
    fn load(&self) -> Option<Tokens> {
        self.tokens.lock().unwrap().clone()
    }

    fn save(&self, tokens: &Tokens) -> Result<(), String> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err("the disk is full".into());
        }
        self.saved.lock().unwrap().push(tokens.refresh.clone());
        *self.tokens.lock().unwrap() = Some(tokens.clone());
        Ok(())
    }
}

fn tokens(access: &str, refresh: &str, left: u64) -> Tokens {
    let expires = Some(SystemTime::now() + Duration::from_secs(left));
    Tokens { access: access.into(), refresh: refresh.into(), expires }
}

struct Bench {
    peer: Peer,
    shelf: Arc<Shelf>,
    login: Login,
}

fn bench(start: Option<Tokens>, answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Bench {
    let count = Mutex::new(0);
    let peer = Peer::start(move |_| {
        let mut count = count.lock().unwrap();
        *count += 1;
        answer(*count)
    });
    let app = App { client_id: Some("client".into()), ..App::default() };
    let mut settings = Settings::new(app, crate::Region::Europe, None);
    settings.hosts = Hosts { auth: Some(peer.url()), ..Hosts::default() };
    settings.pace = Pace { call: Duration::from_secs(20), ..Pace::default() };
    let shelf = Shelf { tokens: Mutex::new(start), is_full: AtomicBool::new(false), saved: Mutex::default() };
    let shelf = Arc::new(shelf);
    let login = Login::new(Arc::new(settings), Arc::clone(&shelf) as _);
    Bench { peer, shelf, login }
}

fn granted(refresh: &str) -> Answer {
    Answer::json(
        json!({"access_token": format!("access of {refresh}"), "refresh_token": refresh, "expires_in": 28800})
            .to_string(),
    )
}

fn skip_pause(bench: &Bench) {
    let mut state = bench.login.lock();
    state.not_before = None;
    state.renewed_at = None;
}

#[test]
fn a_new_pair_is_kept_before_it_is_used() {
    let bench = bench(Some(tokens("old", "R1", 60)), |_| granted("R2"));
    assert_eq!(bench.login.access().unwrap(), "access of R2");
    assert_eq!(*bench.shelf.saved.lock().unwrap(), ["R2"]);
    assert_eq!(bench.login.access().unwrap(), "access of R2");
    let asked = bench.peer.asked();
    assert_eq!(asked.len(), 1, "it lasts for hours");
    assert_eq!(asked[0].target, "/oauth2/v3/token");
    assert_eq!(asked[0].body, "grant_type=refresh_token&client_id=client&refresh_token=R1");
}

#[test]
fn a_pair_that_cannot_be_kept_is_not_used_until_it_is() {
    let bench = bench(Some(tokens("old", "R1", 60)), |_| granted("R2"));
    bench.shelf.is_full.store(true, Ordering::SeqCst);
    assert_eq!(bench.login.access().unwrap(), "old", "the old one is good for a minute more");
    bench.login.lock().tokens.as_mut().unwrap().expires = Some(SystemTime::UNIX_EPOCH);
    assert_eq!(bench.login.access(), Err(NoAccess::NotKept("the disk is full".into())));
    assert_eq!(bench.peer.asked().len(), 1, "the new pair is not asked for twice");
    bench.shelf.is_full.store(false, Ordering::SeqCst);
    assert_eq!(bench.login.access().unwrap(), "access of R2");
    assert_eq!(*bench.shelf.saved.lock().unwrap(), ["R2"]);
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_token() {
    for lost in [Answer::status(502), Answer::html("<html>"), Answer::json("{\"access"), Answer::json("{}")] {
        let bench =
            bench(Some(tokens("", "R1", 0)), move |count| if count == 1 { lost.clone() } else { granted("R2") });
        assert!(matches!(bench.login.access(), Err(NoAccess::Wait { .. })));
        assert!(matches!(bench.login.access(), Err(NoAccess::Wait { .. })), "not at once");
        assert_eq!(bench.peer.asked().len(), 1);
        skip_pause(&bench);
        assert_eq!(bench.login.access().unwrap(), "access of R2");
        let bodies: Vec<String> = bench.peer.asked().into_iter().map(|asked| asked.body).collect();
        assert!(bodies.iter().all(|body| body.ends_with("refresh_token=R1")), "{bodies:?}");
    }
}

#[test]
fn after_login_required_nobody_is_called_until_a_person_signs_in() {
    let denied = json!({"error": "login_required", "error_description": "The refresh_token is invalid"}).to_string();
    let bench = bench(Some(tokens("", "R1", 0)), move |_| Answer { status: 401, ..Answer::json(denied.clone()) });
    for _ in 0..3 {
        assert!(matches!(bench.login.access(), Err(NoAccess::SignIn(_))));
    }
    assert_eq!(bench.peer.asked().len(), 1);
    // Pasted on the settings page by a person.
    *bench.shelf.tokens.lock().unwrap() = Some(tokens("pasted", "R9", 7200));
    assert_eq!(bench.login.access().unwrap(), "pasted");
    bench.login.signed_in(tokens("fresh", "R10", 7200)).unwrap();
    assert_eq!(bench.login.access().unwrap(), "fresh");
    assert_eq!(bench.peer.asked().len(), 1);
}

#[test]
fn a_token_that_is_refused_is_renewed_once_and_then_not_for_a_while() {
    let bench = bench(Some(tokens("old", "R1", 20_000)), |count| granted(&format!("R{}", count + 1)));
    assert_eq!(bench.login.access().unwrap(), "old");
    assert_eq!(bench.login.access_instead_of("old").unwrap(), "access of R2");
    // Another thread that had used the old one gets the new one without a further call.
    assert_eq!(bench.login.access_instead_of("old").unwrap(), "access of R2");
    assert!(matches!(bench.login.access_instead_of("access of R2"), Err(NoAccess::Wait { .. })));
    assert_eq!(bench.peer.asked().len(), 1);
}

#[test]
fn an_idle_sign_in_is_renewed_weekly_and_an_absent_one_is_said() {
    let bench = bench(Some(tokens("old", "R1", 0)), |_| granted("R2"));
    assert_eq!(bench.login.renew_if_idle(), Ok(()));
    assert_eq!(bench.peer.asked().len(), 0, "it ran out just now");
    bench.login.lock().tokens.as_mut().unwrap().expires = Some(SystemTime::now() - Duration::from_secs(7 * 86_400));
    *bench.shelf.tokens.lock().unwrap() = bench.login.lock().tokens.clone();
    assert_eq!(bench.login.renew_if_idle(), Ok(()));
    assert_eq!(*bench.shelf.saved.lock().unwrap(), ["R2"]);
    let nobody = self::bench(None, |_| granted("R2"));
    assert!(matches!(nobody.login.renew_if_idle(), Err(NoAccess::SignIn(_))));
}

#[test]
fn secrets_are_in_no_message() {
    let said = json!({"error": "invalid_client SECRET-R1", "error_description": "SECRET-R1"}).to_string();
    let bench = bench(Some(tokens("", "SECRET-R1", 0)), move |_| Answer { status: 400, ..Answer::json(said.clone()) });
    let text = format!("{:?}", bench.login.access());
    assert!(text.contains("teslaApiClientID") && !text.contains("SECRET"), "{text}");
}

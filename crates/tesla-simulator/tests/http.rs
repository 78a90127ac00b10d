//! The cloud over loopback.

use std::time::Duration;

use tesla_simulator::{ALL_SCOPES, Car, Clock, Cloud, CommandWay, Failure, Kind, Running, Supply, Target};
use units::Amps;

const VIN: &str = "5YJ30123456789ABC";

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(30)))
        .build();
    config.into()
}

fn start(clock: Clock) -> Running {
    let supply = Supply::three(Amps::from_whole(16));
    Cloud::builder().car(Car::new(VIN).commands(CommandWay::Both).plugged_into(supply)).clock(clock).start()
}

fn post(agent: &ureq::Agent, cloud: &Running, token: &str, rest: &str) -> Result<u16, ureq::Error> {
    let url = format!("{}/api/1/vehicles/{VIN}/{rest}", cloud.api_url());
    let answer = agent.post(&url).header("Authorization", &format!("Bearer {token}")).send("{}")?;
    Ok(answer.status().as_u16())
}

#[test]
fn it_answers_on_one_connection_after_the_other() {
    let cloud = start(Clock::Virtual);
    let (agent, token) = (agent(), cloud.log_in(ALL_SCOPES).access);
    cloud.advance(Duration::from_secs(60));
    for _ in 0..3 {
        let url = format!("{}/api/1/vehicles/{VIN}/vehicle_data?endpoints=charge_state", cloud.api_url());
        let mut answer = agent.get(&url).header("Authorization", &format!("Bearer {token}")).call().unwrap();
        let body = answer.body_mut().read_to_string().unwrap();
        assert!(body.contains(r#""charging_state":"Charging""#), "{body}");
    }
    assert_eq!(agent.get(&format!("{}/api/1/vehicles", cloud.other_region_url())).call().unwrap().status(), 421);
    let version = agent.get(&format!("{}/api/proxy/1/version", cloud.ble_url())).call().unwrap();
    assert_eq!(version.status(), 200);
    assert_eq!(agent.get(&format!("{}/nothing", cloud.auth_url())).call().unwrap().status(), 404);
    assert_eq!(cloud.billing().total.data, 4);
}

#[test]
fn a_lost_answer_was_carried_out_and_a_lost_request_was_not() {
    let cloud = start(Clock::Virtual);
    let (agent, token) = (agent(), cloud.log_in(ALL_SCOPES).access);
    cloud.advance(Duration::from_secs(60));
    cloud.fail_next_at(Target::Kind(Kind::Command("charge_stop".into())), Failure::LostRequest);
    assert!(post(&agent, &cloud, &token, "command/charge_stop").is_err());
    assert_eq!(cloud.car(VIN, |car| car.attempts().len()), 0);
    cloud.fail_next(Failure::LostAnswer);
    assert!(post(&agent, &cloud, &token, "command/charge_stop").is_err());
    assert_eq!(cloud.car(VIN, |car| car.attempts().len()), 1);
    cloud.fail_next(Failure::Slow(Duration::from_millis(1)));
    assert_eq!(post(&agent, &cloud, &token, "command/charge_start").unwrap(), 200);
    assert_eq!((cloud.failures_left(), cloud.log().len()), (0, 3));
}

/// An answer held back for an hour does not keep the cloud from ending.
#[test]
fn it_ends_while_it_holds_an_answer_back() {
    let cloud = start(Clock::Virtual);
    let (agent, token) = (agent(), cloud.log_in(ALL_SCOPES).access);
    cloud.fail_next(Failure::Slow(Duration::from_secs(3600)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| post(&agent, &cloud, &token, "wake_up"));
        while cloud.log().is_empty() {
            std::thread::yield_now();
        }
        cloud.end();
        assert!(waiting.join().unwrap().is_err());
    });
}

#[test]
fn real_time_runs_as_fast_as_told() {
    let cloud = start(Clock::Real { speed: 1e6 });
    // A million times as fast: a millisecond is a quarter of an hour.
    while cloud.car(VIN, |car| car.energy_added().get()) < 10_000.0 {
        std::thread::yield_now();
    }
    assert!(cloud.now() > Duration::from_secs(3000));
}

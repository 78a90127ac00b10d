//! Shows the page with a lively day that is made up: `cargo run -p control-http --example preview [port [folder]]`.
//!
//! One second here is a minute of the day. No hardware, no configuration, and commands change the picture only. With a folder, the
//! password is `preview password`, and `closed` as a third argument makes looking need it too.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use control_http::{AccessFile, AccessRules, Api, ApiConfig};
use evse::Activity;
use http_door::{Listen, Server, ServerConfig};
use site::{FreshnessView, SitePort, Snapshot};
use twc_names::testing;

fn main() -> Result<(), http_door::DoorError> {
    let port = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(8088);
    let site = Arc::new(testing::FakeSite::new(testing::snapshot(), serde_json::json!({})));
    site.publish(|snapshot| live(snapshot, 0.0));
    let config = ServerConfig { listeners: vec![Listen::loopback(port)], ..ServerConfig::default() };
    let port: Arc<dyn SitePort> = Arc::clone(&site) as Arc<dyn SitePort>;
    let access_file = std::env::args().nth(2).map(|folder| AccessFile::in_folder(folder.as_ref()));
    if let Some(Err(error)) = access_file.as_ref().map(|file| file.set_password("preview password")) {
        eprintln!("{error}");
    }
    let read_needs_password = std::env::args().nth(3).is_some_and(|word| word == "closed");
    let access = AccessRules { read_needs_password, ..AccessRules::default() };
    let server =
        Server::start(config, Arc::new(Api::new(ApiConfig { access, access_file, ..ApiConfig::default() }, port)))?;
    println!("http://localhost:{}/", server.port());
    for tick in 1_u32.. {
        std::thread::sleep(Duration::from_secs(1));
        site.publish(|snapshot| live(snapshot, f64::from(tick)));
    }
    Ok(())
}

/// The state `tick` seconds after the start.
fn live(snapshot: &mut Snapshot, tick: f64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    snapshot.at = now;
    snapshot.started_at = now - 86_400.0;
    snapshot.policy.since = now - 5400.0;
    let sun = 6500.0 + 1500.0 * (tick / 20.0).sin() + 90.0 * (tick * 1.7).sin();
    let house = 800.0 + 120.0 * (tick / 7.0).cos();
    let is_charging = snapshot.evses.first().is_some_and(|evse| evse.activity == Activity::Charging);
    let amps = snapshot.charge_now.as_ref().map_or((sun - house) / 690.0, |charge_now| charge_now.amps);
    let amps = if is_charging { amps.clamp(6.0, 32.0) } else { 0.0 };
    let cars = amps * 690.0;
    let battery = -400.0;
    let grid = house + cars - sun - battery;
    for (measured, watts, age) in [
        (&mut snapshot.power.generation, sun, 2.0),
        (&mut snapshot.power.house, house, 2.0),
        (&mut snapshot.power.grid, grid, 1.0),
        (&mut snapshot.power.battery, battery, 22.0),
    ] {
        if let Some(measured) = measured {
            measured.w = watts;
            measured.taken_at = now - age;
            measured.freshness = if age > 20.0 { FreshnessView::Ageing } else { FreshnessView::Live };
        }
    }
    snapshot.power.cars_w = cars;
    snapshot.power.surplus_w = Some(sun - house);
    snapshot.power.granted_w = sun - house;
    snapshot.power.granted_amps = amps;
    for (index, evse) in snapshot.evses.iter_mut().enumerate() {
        evse.heard_at = now - 0.6;
        if index == 0 {
            evse.offered_a = Some(amps);
            evse.drawn_a = Some((amps - 0.1).max(0.0));
            evse.drawn_per_phase_a = evse.drawn_per_phase_a.map(|_| Some((amps - 0.1).max(0.0)));
            evse.power_w = Some(cars);
        }
        if let Some(session) = &mut evse.session {
            session.energy_wh += cars / 3600.0;
            session.charging_s += 1.0;
        }
    }
    for source in &mut snapshot.sources {
        source.taken_at = source.ok.then_some(now - 2.0);
    }
    for alert in &mut snapshot.alerts {
        #[expect(clippy::cast_possible_truncation, reason = "a time")]
        let since = (now - 720.0) as i64;
        alert.since = since;
    }
}

//! A day of three cars in steps of a second: what a decision costs on the machine at hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ems::EmsReading;
use evse::{Activity, Capabilities, EvseId, EvseLimits, EvseStatus, Link, Plug};
use site::{Now, Output, Site, SiteSetup};
use units::{Amps, PerPhase, Phases, Volts, Watts};

fn main() {
    divan::main();
}

fn status(id: &str, now: Instant, amps: i32) -> EvseStatus {
    let amps = Amps::from_whole(amps);
    let limits = EvseLimits {
        min: Amps::from_whole(6),
        max: Amps::from_whole(32),
        volts: Volts::saturating(230.0),
        phases: Phases::Three,
    };
    EvseStatus {
        id: EvseId::new(id),
        name: id.to_owned(),
        controller: "Bench".to_owned(),
        heard_at: now,
        link: Link::Up,
        plug: Plug::PluggedIn,
        activity: if amps > Amps::ZERO { Activity::Charging } else { Activity::WaitingForOffer },
        note: None,
        offered: Some(amps),
        reported_max: Some(amps),
        drawn: Some(amps),
        drawn_per_phase: PerPhase::unknown(),
        power: Some(limits.power(amps)),
        volts: PerPhase::splat(Some(Volts::saturating(230.0))),
        committed: amps,
        limits,
        energy_total: None,
        vin: None,
        soc: None,
        is_estimate: false,
        is_on_circuit: true,
        capabilities: Capabilities { set_target: true, start: true, stop: true, on_request: false },
        details: BTreeMap::new(),
    }
}

/// 86,400 readings and three times as many statuses.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn day_of_three_cars() -> f64 {
    let start = Now { mono: Instant::now(), wall: "2026-06-10T00:00:00[Europe/Berlin]".parse().expect("a date") };
    let setup = SiteSetup {
        max_amps_all: Amps::from_whole(48),
        max_amps_each: Amps::from_whole(32),
        grid_fuse: Some(Amps::from_whole(63)),
        phases: Phases::Three,
        sources: vec!["Meter".to_owned()],
        ..SiteSetup::default()
    };
    let mut site = Site::new(setup, serde_json::Map::new(), &start).expect("a setup");
    let names = ["bench-1", "bench-2", "bench-3"];
    let mut offered = [0; 3];
    let mut energy = 0.0;
    for second in 0..86_400 {
        let now = Now {
            mono: start.mono + Duration::from_secs(second),
            wall: start.wall.checked_add(Duration::from_secs(second)).expect("the same year"),
        };
        for (name, amps) in names.iter().zip(offered) {
            site.handle_evse(&now, Arc::new(status(name, now.mono, amps)));
        }
        let hour = second as f64 / 3600.0;
        let sun = 25_000.0 * ((hour - 5.0) / 16.0 * std::f64::consts::PI).sin().max(0.0);
        let cars = f64::from(offered.iter().sum::<i32>()) * 690.0;
        let net = 600.0 + cars - sun;
        let reading = EmsReading {
            generation: Watts::new(sun).ok(),
            grid: Watts::new(net).ok(),
            grid_current: PerPhase::splat(Amps::new(net / 690.0).ok()),
            ..EmsReading::at(now.mono)
        };
        site.handle_reading(&now, "Meter", Arc::new(reading));
        while let Some(output) = site.poll_output() {
            if let Output::Target { id, target } = output
                && let Some(index) = names.iter().position(|name| *name == id.as_str())
            {
                offered[index] = target.power.amps_floor(target.volts, target.phases).centiamps() / 100;
            }
        }
        energy += cars / 3600.0;
    }
    assert!(energy > 10_000.0, "{energy} Wh");
    energy
}

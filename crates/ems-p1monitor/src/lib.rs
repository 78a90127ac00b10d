//! Energy source: P1 Monitor (ztatz.nl), the program that shows a smart meter's telegrams.
//!
//! Asks for the phases. Installations that do not store those are asked for the meter's total instead, and for the phases of
//! the status table.
//!
//! Facts: P1 Monitor's API description; TWCManager's `EMS/P1Monitor.py` (keys); quirks in `docs/ems/p1monitor.md`.

mod parse;

use std::time::{Duration, Instant};

use ems::{Attribute, Ems, EmsDriver, EmsError, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use ems_meter::{Meter, Role, WHOLE_AMPS};
use http_client::Client;
use json_pick::PickError;
use serde_json::Value;

pub use parse::{Row, phase, smartmeter, status};

/// P1 Monitor stores a new row this often.
const INTERVAL: Duration = Duration::from_secs(10);
const SMARTMETER: &str = "/api/v1/smartmeter?limit=1&json=object";
const STATUS: &str = "/api/v1/status?json=object";

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "P1Monitor",
    summary: "P1 Monitor (ztatz.nl), the program that shows a smart meter's telegrams",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of P1 Monitor"),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 80)"),
        KeySpec::new("samples", KeyKind::Number, "How many rows of 10 s are averaged, 1 (default) to 10"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let port = section.port("serverPort", 80);
    let base = ems_http::base(section, "serverIP", port, false);
    let samples = section.number_within("samples", 1.0, 1.0, 10.0);
    if samples.fract() != 0.0 {
        section.error("samples", format!("is {samples}; a whole number from 1 to 10 is needed"));
    }
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| builder);
    let client = client.filter(|_| !section.has_errors())?;
    let phase = format!("/api/v1/phase?limit={samples:.0}&json=object&round=on");
    Some(Box::new(P1Monitor { client, phase, clock: ems_http::Stamp::default() }))
}

struct P1Monitor {
    client: Client,
    phase: String,
    clock: ems_http::Stamp,
}

impl Ems for P1Monitor {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        let row = match self.ask(&self.phase, parse::phase)? {
            Some(row) => row,
            None => self.without_phases()?,
        };
        let taken_at = self.clock.taken_at(row.stamp.as_deref(), Instant::now());
        let mut reading = row.meter.reading(Role::Grid, taken_at)?;
        if has_whole_amps(&row.meter) {
            reading.attributes.insert(WHOLE_AMPS.to_owned(), Attribute::Flag(true));
        }
        Ok(reading)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

impl P1Monitor {
    fn ask<T>(&self, path: &str, parse: impl Fn(&Value) -> Result<T, PickError>) -> Result<T, EmsError> {
        let answer = self.client.get_json(path).map_err(|error| ems_http::failed(&error))?;
        parse(&answer).map_err(|error| ems_http::garbled(&error))
    }

    fn without_phases(&self) -> Result<Row, EmsError> {
        let mut row = self.ask(SMARTMETER, parse::smartmeter)?.ok_or_else(|| {
            EmsError::retry("P1 Monitor has no measurement; look at its page, and at the cable to the meter")
        })?;
        // A bonus: without it the total is as good.
        if let Ok(status) = self.ask(STATUS, parse::status) {
            row.meter.phases = status.phases;
        }
        Ok(row)
    }
}

fn has_whole_amps(meter: &Meter) -> bool {
    let amps = || meter.phases.iter().filter_map(|phase| phase.amps);
    amps().any(|amps| amps != 0.0) && amps().all(|amps| amps.fract() == 0.0)
}

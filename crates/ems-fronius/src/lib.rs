//! Energy source: Fronius inverters, smart meters and batteries over the Solar API v1.
//!
//! One combined power-flow call a poll and address, and one for the smart meter's phases where there is one.
//!
//! Facts: Fronius Solar API v1 document 42,0410,2012; quirks and configuration in `docs/ems/fronius.md`.

mod combine;
mod parse;

use std::time::{Duration, Instant};

use ems::{Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use http_client::{Client, Kind};

use combine::combine;
pub use parse::{GridMeter, PowerFlow, SolarApiError, grid_meter, power_flow};

/// The vendor's own scope for the whole site.
const POWER_FLOW: &str = "/solar_api/v1/GetPowerFlowRealtimeData.fcgi?Scope=System";
const METER: &str = "/solar_api/v1/GetMeterRealtimeData.cgi?Scope=System";
/// Datamanagers drop requests below about 4 s, and some GEN24 run out of memory when polled hard.
const INTERVAL: Duration = Duration::from_secs(10);
/// A missing meter is looked for again this often: it may have been switched on.
const LOOK_FOR_METER: Duration = Duration::from_secs(3600);

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "Fronius",
    summary: "Fronius inverters, smart meters and batteries (Solar API)",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Texts, "Address of the inverter or Datamanager, or a list of them"),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 80)"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let port = section.port("serverPort", 80);
    let hosts = section.texts("serverIP");
    if hosts.is_empty() && !section.has_errors() {
        section.error("serverIP", "is missing; put the address of the inverter there");
    }
    let mut devices = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let key = if hosts.len() == 1 { "serverIP".to_owned() } else { format!("serverIP[{index}]") };
        let base = ems_http::base_of(section, &key, host, port, false);
        let client = ems_http::client(section, shared, base.as_deref(), &key, |builder| builder);
        devices.extend(client.map(|client| Device { client, no_meter_since: None }));
    }
    (!section.has_errors()).then(|| Box::new(Fronius { devices }) as Box<dyn Ems>)
}

struct Device {
    client: Client,
    no_meter_since: Option<Instant>,
}

impl Device {
    fn read(&mut self) -> Result<(PowerFlow, Option<GridMeter>), EmsError> {
        let answer = self.client.get_json(POWER_FLOW).map_err(|error| match error.kind() {
            // The switch is off by default since GEN24 firmware 1.14; the reply is then a plain 404.
            Kind::Status(404) => EmsError::new(
                EmsErrorKind::Misconfigured,
                format!("{error}; switch the Solar API on in the inverter's page under Communication > Solar API"),
            ),
            _ => ems_http::failed(&error),
        })?;
        let flow = power_flow(&answer)?;
        Ok((flow, self.read_meter()))
    }

    /// The phases are a bonus: without them the reading is as good as it was, so failures are not the source's.
    fn read_meter(&mut self) -> Option<GridMeter> {
        if self.no_meter_since.is_some_and(|since| since.elapsed() < LOOK_FOR_METER) {
            return None;
        }
        let meter = self.client.get_json(METER).ok().and_then(|answer| grid_meter(&answer).ok().flatten());
        self.no_meter_since = meter.is_none().then(Instant::now);
        meter
    }
}

struct Fronius {
    devices: Vec<Device>,
}

impl Ems for Fronius {
    fn read(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        let mut parts = Vec::with_capacity(self.devices.len());
        for device in &mut self.devices {
            if stop.is_asked() {
                return Err(EmsError::stopped());
            }
            // One inverter that does not answer makes the sum unknown: a part is not the whole.
            parts.push(device.read()?);
        }
        combine(&parts)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

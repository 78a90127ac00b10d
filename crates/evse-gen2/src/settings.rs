//! Everything a controller is told when it is opened.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use gen2_protocol::{ProtocolVersion, TwcId};
use units::{Amps, Phases, Volts};

use crate::Gen2Error;
use crate::transport::MemoryPort;

/// Rate of the bus. Connectors know no other.
pub const BUS_BAUD: u32 = 9600;

/// Where the bus is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortSpec {
    /// A serial device or pseudo-terminal by its path.
    Serial(PathBuf),
    /// Raw bytes over TCP: `socket://host:port`.
    Tcp {
        /// Name or address, an IPv6 address without brackets.
        host: String,
        /// Port number.
        port: u16,
    },
    /// A serial port behind RFC 2217 (telnet with line settings): `rfc2217://host:port`.
    Rfc2217 {
        /// Name or address, an IPv6 address without brackets.
        host: String,
        /// Port number.
        port: u16,
    },
    /// A peer in this process; see [`memory_port`](crate::memory_port).
    Memory(MemoryPort),
}

impl PortSpec {
    /// Whether bytes travel over a network, with its delays and half-dead connections.
    #[must_use]
    pub fn is_network(&self) -> bool {
        matches!(self, PortSpec::Tcp { .. } | PortSpec::Rfc2217 { .. })
    }
}

impl FromStr for PortSpec {
    type Err = Gen2Error;

    fn from_str(text: &str) -> Result<Self, Gen2Error> {
        let bad = |reason| Gen2Error::Port { text: text.to_owned(), reason };
        let trimmed = text.trim();
        if let Some((scheme, rest)) = trimmed.split_once("://") {
            let rest = rest.split(['/', '?']).next().unwrap_or(rest);
            let (host, port) = rest.rsplit_once(':').ok_or_else(|| bad("the port number is missing"))?;
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            if host.is_empty() {
                return Err(bad("the host is missing"));
            }
            let port =
                port.parse().ok().filter(|port| *port != 0).ok_or_else(|| bad("the port number is not 1 to 65535"))?;
            return match scheme.to_ascii_lowercase().as_str() {
                "socket" | "tcp" => Ok(PortSpec::Tcp { host, port }),
                "rfc2217" => Ok(PortSpec::Rfc2217 { host, port }),
                _ => Err(bad("only socket:// and rfc2217:// are known")),
            };
        }
        if trimmed.is_empty() {
            return Err(bad("it is empty"));
        }
        Ok(PortSpec::Serial(PathBuf::from(trimmed)))
    }
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = |host: &str| if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match self {
            PortSpec::Serial(path) => write!(f, "{}", path.display()),
            PortSpec::Tcp { host, port } => write!(f, "socket://{}:{port}", bracketed(host)),
            PortSpec::Rfc2217 { host, port } => write!(f, "rfc2217://{}:{port}", bracketed(host)),
            PortSpec::Memory(_) => f.write_str("in-memory link"),
        }
    }
}

/// What part the program plays on the bus, TWCManager's `fakeMaster`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FakeMaster {
    /// 0: a connector that a real controller leads.
    Connector,
    /// 1: the controller. The normal case.
    #[default]
    Controller,
    /// 2: listens and never sends.
    Listen,
}

impl FakeMaster {
    /// From the number in the configuration.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(FakeMaster::Connector),
            1 => Some(FakeMaster::Controller),
            2 => Some(FakeMaster::Listen),
            _ => None,
        }
    }
}

/// How a car is stopped that its connector cannot stop by an offer of zero, TWCManager's `chargeStopMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StopMode {
    /// 1: through the car's own interface; nothing is done on the bus.
    #[default]
    Vehicle,
    /// 2: the connector hears no heartbeat for a minute. Some cars refuse to charge after a few of these, so it is done
    /// at most three times while a car is plugged in.
    Silence,
    /// 3: the connector is told to open its contactor (FC B2). A Tesla takes that for a fault.
    Contactor,
}

impl StopMode {
    /// From the number in the configuration.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(StopMode::Vehicle),
            2 => Some(StopMode::Silence),
            3 => Some(StopMode::Contactor),
            _ => None,
        }
    }
}

/// Everything a controller is told when it is opened. Start from [`Gen2Settings::new`] and change what differs.
#[derive(Debug, Clone)]
pub struct Gen2Settings {
    /// Name of the controller: `Gen2TWCs`, and `Gen2TWCs-2` for a second bus.
    pub name: String,
    /// Where the bus is.
    pub port: PortSpec,
    /// Rate of the line. 9600 unless a gateway changes it.
    pub baud: u32,
    /// What part the program plays.
    pub mode: FakeMaster,
    /// `wiringMaxAmpsAllTWCs`: what the wiring of all connectors together can carry, per phase.
    pub wiring_max_all: Amps,
    /// `wiringMaxAmpsPerTWC`: what the wiring of one connector can carry, per phase.
    pub wiring_max_per: Amps,
    /// Least current that is ever offered. `None` takes the connector's own: 5 A for protocol version 1, 6 A for version 2.
    /// Below 5 A some cars stop until they are plugged in anew.
    pub least_offer: Option<Amps>,
    /// Current for a connector without a valid target: none was set yet, or the last one expired.
    pub fallback_offer: Amps,
    /// `defaultVoltage`: volts of one phase until the connector tells its own.
    pub default_volts: Volts,
    /// `numberOfPhases`: phases in use until measured currents show them. `None` takes the phases with a voltage.
    pub phases: Option<Phases>,
    /// `slaveTimeout`: how long a connector may be silent before it counts as lost.
    pub connector_timeout: Duration,
    /// After the start nobody is offered more for this long: a connector that has not spoken yet may still charge on what
    /// an earlier run of the program allowed it, and says so within ten seconds.
    pub settle_time: Duration,
    /// `spikeAmpsProactively`: with every raise, spike a car that was seen stuck before in the same session.
    pub spike_proactively: bool,
    /// `spikeAmpsReactively`: spike a car that is seen stuck near 6 A.
    pub spike_reactively: bool,
    /// How a car is stopped when that is asked for.
    pub stop_mode: StopMode,
    /// The controller's identity on the bus; 7777 by tradition. In mode 0 the identity of the pretended connector.
    pub own_id: TwcId,
    /// Mode 0 only: the version of the pretended connector.
    pub connector_version: ProtocolVersion,
    /// How long an answer may take. `None`: 200 ms on a local port, 600 ms over a network.
    pub answer_timeout: Option<Duration>,
}

impl Gen2Settings {
    /// Settings for one bus: limits as given, everything else as TWCManager has it.
    #[must_use]
    pub fn new(port: PortSpec, wiring_max_all: Amps, wiring_max_per: Amps) -> Self {
        Gen2Settings {
            name: "Gen2TWCs".to_owned(),
            port,
            baud: BUS_BAUD,
            mode: FakeMaster::Controller,
            wiring_max_all,
            wiring_max_per,
            least_offer: None,
            fallback_offer: Amps::ZERO,
            default_volts: Volts::saturating(240.0),
            phases: None,
            connector_timeout: Duration::from_secs(26),
            settle_time: Duration::from_secs(12),
            spike_proactively: true,
            spike_reactively: true,
            stop_mode: StopMode::Vehicle,
            own_id: TwcId::FAKE_MASTER,
            connector_version: ProtocolVersion::V2,
            answer_timeout: None,
        }
    }

    /// The time an answer may take on this port.
    #[must_use]
    pub fn answer_within(&self) -> Duration {
        let usual = if self.port.is_network() { 600 } else { 200 };
        self.answer_timeout.unwrap_or(Duration::from_millis(usual))
    }

    /// Checks what no type can.
    ///
    /// # Errors
    /// [`Gen2Error::Setting`] names the key and what to write.
    pub fn check(&self) -> Result<(), Gen2Error> {
        let wrong = |key, reason: &str| Err(Gen2Error::Setting { key, reason: reason.to_owned() });
        if self.wiring_max_all < Amps::from_whole(1) || self.wiring_max_all > Amps::from_whole(1000) {
            return wrong("wiringMaxAmpsAllTWCs", "write what the wiring of all connectors can carry, 1 to 1000 A");
        }
        if self.wiring_max_per < Amps::from_whole(1) || self.wiring_max_per > Amps::from_whole(200) {
            return wrong("wiringMaxAmpsPerTWC", "write what the wiring of one connector can carry, 1 to 200 A");
        }
        if self.baud == 0 {
            return wrong("baud", "0 would hang the line up; write 9600");
        }
        if self.least_offer.is_some_and(|least| least < Amps::from_whole(1)) {
            return wrong("minAmpsPerTWC", "write at least 1 A; 6 A is what cars handle well");
        }
        if self.fallback_offer < Amps::ZERO {
            return wrong("fallback_offer", "a current cannot be negative; write 0");
        }
        if self.default_volts < Volts::saturating(80.0) || self.default_volts > Volts::saturating(500.0) {
            return wrong("defaultVoltage", "write the volts of one phase, such as 230");
        }
        if self.connector_timeout < Duration::from_secs(3) {
            return wrong("slaveTimeout", "write at least 3 seconds; heartbeats are a second apart");
        }
        if self.answer_timeout.is_some_and(|time| time < Duration::from_millis(50) || time > Duration::from_secs(5)) {
            return wrong("answer_timeout", "write 0.05 to 5 seconds");
        }
        if self.own_id == TwcId::from_u16(0) {
            return wrong("own_id", "0000 is nobody's identity; write 7777");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_people_write_them() {
        let parse = |text: &str| text.parse::<PortSpec>();
        assert_eq!(parse("/dev/ttyUSB0").unwrap(), PortSpec::Serial("/dev/ttyUSB0".into()));
        assert_eq!(
            parse("socket://192.168.1.9:8899").unwrap(),
            PortSpec::Tcp { host: "192.168.1.9".to_owned(), port: 8899 }
        );
        assert_eq!(parse("rfc2217://[fe80::1]:2217").unwrap().to_string(), "rfc2217://[fe80::1]:2217");
        for bad in ["", "socket://host", "socket://:1", "socket://host:0", "http://host:80", "socket://host:99999"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn senseless_settings_name_the_key() {
        let port = || "/dev/null".parse().unwrap();
        let mut settings = Gen2Settings::new(port(), Amps::ZERO, Amps::from_whole(16));
        assert!(settings.check().unwrap_err().to_string().contains("wiringMaxAmpsAllTWCs"));
        settings.wiring_max_all = Amps::from_whole(32);
        settings.check().unwrap();
        settings.baud = 0;
        assert!(settings.check().unwrap_err().to_string().contains("baud"));
    }
}

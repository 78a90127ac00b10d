//! Sections `interface` and `controller.Gen3TWCs`: the wires.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use units::{Amps, Phases};

use super::fields::Fields;
use crate::Document;

/// Section `interface`, resolved: only what is switched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Each RS-485 bus.
    pub rs485: Vec<Rs485>,
    /// The bus behind TCP.
    pub tcp: Option<TcpBus>,
    /// The simulation.
    pub dummy: Option<Dummy>,
}

/// One RS-485 bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rs485 {
    /// Device, `rfc2217://host:port` or `socket://host:port`.
    pub port: String,
    /// Speed in baud.
    pub baud: u32,
    /// A connector not heard for this long is gone.
    pub slave_timeout: Duration,
}

/// A bus behind a TCP connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpBus {
    /// Wait for a connection instead of making one.
    pub listen: bool,
    /// Host to connect to.
    pub server: Option<String>,
}

/// Simulated connectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dummy {
    /// Id of the first one; the others count on from it.
    pub id: [u8; 2],
    /// How many.
    pub connectors: u8,
    /// Script, if any.
    pub scenario: Option<PathBuf>,
}

impl Interface {
    pub(super) fn resolve(root: &Value, document: &Document) -> Interface {
        let fields = Fields::at(root, &["interface"]);
        // A file without any `interface` means the usual adapter; one that has the section but no RS485 in it means none.
        let has_bus =
            document.get("interface").is_none_or(|node| node.is_null()) || document.get("interface.RS485").is_some();
        let buses: Vec<Fields<'_>> = match fields.get("RS485") {
            Some(Value::Array(items)) => items.iter().map(|item| Fields::of(Some(item))).collect(),
            bus => vec![Fields::of(bus)],
        };
        let dummy = fields.below("Dummy");
        let tcp = fields.below("TCP");
        Interface {
            rs485: buses
                .into_iter()
                .enumerate()
                .filter(|(_, bus)| has_bus && bus.flag("enabled"))
                .map(|(index, bus)| Rs485::resolve(root, document, index, bus))
                .collect(),
            tcp: tcp.flag("enabled").then(|| TcpBus { listen: tcp.flag("listen"), server: tcp.opt_text("server") }),
            dummy: dummy.flag("enabled").then(|| Dummy {
                id: id_of(&dummy.text("twcID")),
                connectors: dummy.whole("connectors"),
                scenario: dummy.opt_path("scenario"),
            }),
        }
    }
}

impl Rs485 {
    /// Keys that the bus lacks come from where old files had them.
    fn resolve(root: &Value, document: &Document, index: usize, bus: Fields<'_>) -> Rs485 {
        let is_given = |key: &str| {
            let given = |path: String| document.get(&path).is_some_and(|node| !node.is_null());
            given(format!("interface.RS485.{key}")) || given(format!("interface.RS485[{index}].{key}"))
        };
        let old = Fields::at(root, &["config"]);
        let misspelt = Fields::at(root, &["interfaces", "RS485"]);
        Rs485 {
            port: old.opt_text("rs485adapter").filter(|_| !is_given("port")).unwrap_or_else(|| bus.text("port")),
            baud: old.opt_whole("baud").filter(|_| !is_given("baud")).unwrap_or_else(|| bus.whole("baud")),
            slave_timeout: misspelt
                .opt_seconds("slaveTimeout")
                .filter(|_| !is_given("slaveTimeout"))
                .unwrap_or_else(|| bus.seconds("slaveTimeout")),
        }
    }
}

/// Codes of the first two characters; what is missing or beyond Latin-1 becomes the default's.
fn id_of(text: &str) -> [u8; 2] {
    let mut codes = text.chars().map(|c| u8::try_from(u32::from(c)).ok());
    let mut next = |fallback: u8| codes.next().flatten().unwrap_or(fallback);
    [next(b'A'), next(b'B')]
}

/// Section `controller.Gen3TWCs`, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gen3 {
    /// Serial device of the meter line.
    pub port: String,
    /// Speed in baud.
    pub baud: u32,
    /// Stop bits, 1 or 2.
    pub stop_bits: u8,
    /// Data bits, 7 or 8.
    pub data_bits: u8,
    /// Parity.
    pub parity: Parity,
    /// The connectors.
    pub devices: Vec<Gen3Device>,
}

/// Parity of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// None.
    None,
    /// Even.
    Even,
    /// Odd.
    Odd,
}

/// One Gen 3 Wall Connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gen3Device {
    /// Host name or address.
    pub host: String,
    /// `fuseAmps`: the fuse it believes it guards.
    pub fuse: Amps,
    /// Phases it is wired with.
    pub phases: Phases,
}

impl Gen3 {
    pub(super) fn resolve(root: &Value) -> Option<Gen3> {
        let fields = Fields::at(root, &["controller.Gen3TWCs"]);
        let device = |value: &Value| {
            let fields = Fields::of(Some(value));
            Gen3Device {
                host: fields.text("ip"),
                fuse: fields.amps("fuseAmps"),
                phases: Phases::from_count(fields.whole("phases")).unwrap_or_default(),
            }
        };
        fields.flag("enabled").then(|| Gen3 {
            port: fields.text("port"),
            baud: fields.whole("baudrate"),
            stop_bits: fields.whole("stopbits"),
            data_bits: fields.whole("bytesize"),
            parity: match fields.text("parity").as_str() {
                "E" => Parity::Even,
                "O" => Parity::Odd,
                _ => Parity::None,
            },
            devices: fields.list("devices").iter().map(device).collect(),
        })
    }
}

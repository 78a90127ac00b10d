//! The section's keys.

use ems::{KeyKind, KeySpec, Section};
use ems_registers::{host_and_port, whole};
use modbus::{Format, Number, Parity, SerialSettings, Table, Target};

use crate::channel::{Channel, Role};
use crate::presets::{PRESETS, Preset, preset};

/// All keys, for the registry.
pub(crate) const KEYS: &[KeySpec] = &[
    KeySpec::new("host", KeyKind::Text, "Address of the meter or gateway (Modbus TCP)"),
    KeySpec::new("port", KeyKind::Port, "Its port (default 502)"),
    KeySpec::new("rtuOverTcp", KeyKind::Flag, "Whether the gateway passes serial frames on as they are (false)"),
    KeySpec::new("serialPort", KeyKind::Text, "Serial device instead of a host, best as /dev/serial/by-id/..."),
    KeySpec::new("baudrate", KeyKind::Number, "Speed of the serial line (default 9600)"),
    KeySpec::new(
        "parity",
        KeyKind::Text,
        "Parity of the serial line: none (default), even, odd, or none2 (2 stop bits)",
    ),
    KeySpec::new("unitID", KeyKind::Number, "Unit (slave) id (default 1)"),
    KeySpec::new("preset", KeyKind::Text, "Kind of meter, such as SDM630, or sunspec"),
    KeySpec::new(
        "role",
        KeyKind::Text,
        "What a preset's meter measures: grid (default), generation, consumption, battery",
    ),
    KeySpec::new("phase", KeyKind::Number, "Phase on which a single-phase meter sits: 1 (default), 2 or 3"),
    KeySpec::new("invert", KeyKind::Flag, "Whether import and export are exchanged (false; by the maker with sunspec)"),
    KeySpec::new("invertBattery", KeyKind::Flag, "With sunspec: whether the battery counts charging positive (false)"),
    KeySpec::new("meterNumber", KeyKind::Number, "With sunspec: which of the unit's meters, from 1 (default); 0 none"),
    KeySpec::new("registers", KeyKind::Objects, "Registers: role, address, kind, type, wordOrder, scale, phase"),
    KeySpec::new("interval", KeyKind::Number, "Seconds between two reads (default 5)"),
    KeySpec::new("timeout", KeyKind::Number, "Seconds to wait for an answer (default 3)"),
    KeySpec::new(
        "closeAfterRead",
        KeyKind::Flag,
        "Whether to close the connection after each read, for others (false)",
    ),
];

/// What is read.
pub(crate) enum What {
    /// Registers at known addresses.
    Channels { channels: Vec<Channel>, most: u16 },
    /// What the device says it has.
    SunSpec { role: Role, invert: Option<bool>, invert_battery: bool, meter: usize },
}

/// Where the device is, and the key that says so.
pub(crate) fn target(section: &mut Section) -> Option<(Target, &'static str)> {
    let (host, serial) = (section.text("host"), section.text("serialPort"));
    match (host, serial) {
        (Some(_), Some(_)) => {
            section.error("serialPort", "stands beside `host`; leave one of the two");
            None
        }
        (None, None) => {
            section.error("host", "is missing; name the meter's `host`, or its `serialPort`");
            None
        }
        (Some(host), None) => {
            let port = section.port("port", 502);
            let is_rtu = section.flag("rtuOverTcp", false);
            let (host, port) = host_and_port(section, "host", &host, port)?;
            Some((if is_rtu { Target::RtuOverTcp { host, port } } else { Target::Tcp { host, port } }, "host"))
        }
        (None, Some(path)) => {
            let baud = whole(section, "baudrate", 9600.0, 1200.0, 4_000_000.0)?;
            let parity = match section.text("parity").map(|text| text.to_ascii_lowercase()).as_deref() {
                None | Some("none" | "n") => Parity::None,
                Some("even" | "e") => Parity::Even,
                Some("odd" | "o") => Parity::Odd,
                Some("none2") => Parity::NoneTwoStop,
                Some(_) => {
                    section.error("parity", "must be `none`, `even`, `odd` or `none2`");
                    return None;
                }
            };
            Some((Target::Serial(SerialSettings { path, baud, parity }), "serialPort"))
        }
    }
}

/// Which registers are read.
pub(crate) fn what(section: &mut Section) -> Option<What> {
    let name = section.text("preset");
    let role = role(section);
    let only = whole(section, "phase", 1.0, 1.0, 3.0).and_then(|phase| usize::try_from(phase).ok()).unwrap_or(1) - 1;
    let invert = section.raw("invert").is_some().then(|| section.flag("invert", false));
    let own = registers(section);
    if name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("sunspec")) {
        if !own.is_empty() {
            section.error("registers", "cannot be named beside the preset `sunspec`; make a second section for them");
        }
        let meter = whole(section, "meterNumber", 1.0, 0.0, 20.0).and_then(|number| usize::try_from(number).ok());
        let invert_battery = section.flag("invertBattery", false);
        return Some(What::SunSpec { role, invert, invert_battery, meter: meter.unwrap_or(1) });
    }
    let mut channels = Vec::new();
    let mut most = modbus::MOST_READ;
    if let Some(name) = &name {
        let Some(found) = preset(name) else {
            let known: Vec<&str> = PRESETS.iter().filter_map(|preset: &Preset| preset.names.first()).copied().collect();
            section.error(
                "preset",
                format!("is not known; choose one of {}, sunspec, or name `registers`", known.join(", ")),
            );
            return None;
        };
        let sign = if invert == Some(true) { -1.0 } else { 1.0 };
        channels = found.channels(role, only, sign);
        most = found.most;
    }
    channels.extend(own);
    if channels.is_empty() && !section.has_errors() {
        section.error("preset", "is missing; choose the kind of meter, or name `registers`");
    }
    Some(What::Channels { channels, most })
}

fn role(section: &mut Section) -> Role {
    let roles = [Role::Grid, Role::Generation, Role::Consumption, Role::Battery];
    let Some(text) = section.text("role") else { return Role::Grid };
    let found = Role::WORDS.iter().find(|(word, role)| word.eq_ignore_ascii_case(&text) && roles.contains(role));
    found.map(|(_, role)| *role).unwrap_or_else(|| {
        section.error("role", "must be `grid`, `generation`, `consumption` or `battery`");
        Role::Grid
    })
}

fn registers(section: &mut Section) -> Vec<Channel> {
    let mut channels = Vec::new();
    for mut inner in section.sections("registers") {
        channels.extend(register(&mut inner));
        section.absorb(inner);
    }
    channels
}

fn register(inner: &mut Section) -> Option<Channel> {
    let role = inner.required_text("role");
    let role = Role::WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(&role)).map(|(_, role)| *role);
    if role.is_none() && !inner.has_errors() {
        let words: Vec<&str> = Role::WORDS.iter().map(|(word, _)| *word).collect();
        inner.error("role", format!("must be one of {}", words.join(", ")));
    }
    let address = inner.required_text("address");
    let hex = address.strip_prefix("0x").or_else(|| address.strip_prefix("0X"));
    let parsed = hex.map_or_else(|| address.parse().ok(), |digits| u16::from_str_radix(digits, 16).ok());
    if parsed.is_none() && !address.is_empty() {
        inner.error("address", "must be a register from 0 to 65535 as on the wire (0x.. for hexadecimal)");
    }
    let kind = inner.text("kind").unwrap_or_else(|| "holding".to_owned());
    let table = match kind.to_ascii_lowercase().as_str() {
        "holding" | "3" => Some(Table::Holding),
        "input" | "4" => Some(Table::Input),
        _ => {
            inner.error("kind", "must be `holding` (function 3) or `input` (function 4)");
            None
        }
    };
    let number = inner.required_text("type");
    let number = match number.to_ascii_lowercase().as_str() {
        "" => None,
        "u16" | "uint16" => Some(Number::U16),
        "i16" | "s16" | "int16" => Some(Number::I16),
        "u32" | "uint32" => Some(Number::U32),
        "i32" | "s32" | "int32" => Some(Number::I32),
        "u64" | "uint64" => Some(Number::U64),
        "i64" | "s64" | "int64" => Some(Number::I64),
        "f32" | "float" | "float32" => Some(Number::F32),
        "f64" | "double" | "float64" => Some(Number::F64),
        _ => {
            inner.error("type", "must be one of u16, i16, u32, i32, u64, i64, f32, f64");
            None
        }
    };
    if let (Some(address), Some(number)) = (parsed, number)
        && u32::from(address) + u32::from(number.width()) > 0x1_0000
    {
        inner.error("address", "leaves no room for the type before the last register");
    }
    let order = inner.text("wordOrder").unwrap_or_else(|| "big".to_owned());
    let scale = inner.number_within("scale", 1.0, -1e9, 1e9);
    if scale == 0.0 {
        inner.error("scale", "is 0, which makes every value nothing");
    }
    let format = Format::new(number?).scale(scale);
    let format = match order.to_ascii_lowercase().as_str() {
        "big" | "high" | "abcd" => format,
        "little" | "low" | "cdab" => format.low_word_first(),
        "badc" => format.low_byte_first(),
        "dcba" => format.low_word_first().low_byte_first(),
        _ => {
            inner.error(
                "wordOrder",
                "must be `big` (high word first) or `little` (low word first), or ABCD, CDAB, BADC, DCBA",
            );
            format
        }
    };
    let phase = match inner.raw("phase").is_some() {
        true => {
            whole(inner, "phase", 1.0, 1.0, 3.0).and_then(|phase| usize::try_from(phase).ok()).map(|phase| phase - 1)
        }
        false => None,
    };
    if phase.is_none() && matches!(role, Some(Role::GridCurrent | Role::GridVoltage)) {
        inner.error("phase", "is missing; currents and voltages belong to a phase: 1, 2 or 3");
    }
    Some(Channel { role: role?, phase, table: table?, address: parsed?, format, sign: 1.0 })
}

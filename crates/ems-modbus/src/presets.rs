//! Register maps of common meters.
//!
//! Sources: vendors' register lists, as volkszaehler/mbmd and evcc use them; the page says which were tested how.

use modbus::{Format, Number, Table};

use crate::channel::{Channel, Role};

/// A meter's registers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preset {
    /// Its names in the configuration, in lower case and without blanks, dots and dashes; the first is the common one.
    pub names: &'static [&'static str],
    table: Table,
    /// Registers of L1 to L3, or of the only phase.
    volts: &'static [u16],
    volts_format: Format,
    amps: &'static [u16],
    amps_format: Format,
    watts: &'static [u16],
    total: Option<u16>,
    watts_format: Format,
    /// Most registers it takes in one request.
    pub most: u16,
}

const FLOAT: Format = Format::new(Number::F32);
const LONG: Format = Format::new(Number::I32);

/// Eastron SDM630, and SDM72D-M of the second version. Most: reads of more than 40 registers fail on some [reported].
const SDM630: Preset = Preset {
    names: &["sdm630", "sdm72v2", "sdm72dmv2", "sdm72dm2"],
    table: Table::Input,
    volts: &[0x00, 0x02, 0x04],
    volts_format: FLOAT,
    amps: &[0x06, 0x08, 0x0a],
    amps_format: FLOAT,
    watts: &[0x0c, 0x0e, 0x10],
    total: Some(0x34),
    watts_format: FLOAT,
    most: 40,
};

/// Carlo Gavazzi: int32, low word first.
const EM24: Preset = Preset {
    names: &["em24", "em24e1", "em330", "em340", "et330", "et340", "em530", "em540"],
    table: Table::Input,
    volts: &[0x00, 0x02, 0x04],
    volts_format: LONG.low_word_first().scale(0.1),
    amps: &[0x0c, 0x0e, 0x10],
    amps_format: LONG.low_word_first().scale(0.001),
    watts: &[0x12, 0x14, 0x16],
    total: Some(0x28),
    watts_format: LONG.low_word_first().scale(0.1),
    most: 125,
};

/// All of them.
pub const PRESETS: &[Preset] = &[
    SDM630,
    // The first version tells no phases.
    Preset { names: &["sdm72", "sdm72d", "sdm72dm"], volts: &[], amps: &[], watts: &[], ..SDM630 },
    Preset {
        names: &["sdm120", "sdm220", "sdm230"],
        volts: &[0x00],
        amps: &[0x06],
        watts: &[0x0c],
        total: None,
        ..SDM630
    },
    EM24,
    // Chint; the phase voltages come after the three between phases.
    Preset {
        names: &["dtsu666"],
        table: Table::Holding,
        volts: &[0x2006, 0x2008, 0x200a],
        volts_format: FLOAT.scale(0.1),
        amps: &[0x200c, 0x200e, 0x2010],
        amps_format: FLOAT.scale(0.001),
        watts: &[0x2014, 0x2016, 0x2018],
        total: Some(0x2012),
        watts_format: FLOAT.scale(0.1),
        most: 125,
    },
    Preset {
        names: &["abb", "a43", "a44", "b21", "b23", "b24"],
        table: Table::Holding,
        volts: &[0x5b00, 0x5b02, 0x5b04],
        volts_format: Format::new(Number::U32).scale(0.1),
        amps: &[0x5b0c, 0x5b0e, 0x5b10],
        amps_format: Format::new(Number::U32).scale(0.01),
        watts: &[0x5b16, 0x5b18, 0x5b1a],
        total: Some(0x5b14),
        watts_format: LONG.scale(0.01),
        most: 125,
    },
    Preset {
        names: &["janitza", "umg96", "umg103", "umg604"],
        table: Table::Holding,
        volts: &[0x4a38, 0x4a3a, 0x4a3c],
        volts_format: FLOAT,
        amps: &[0x4a44, 0x4a46, 0x4a48],
        amps_format: FLOAT,
        watts: &[0x4a4c, 0x4a4e, 0x4a50],
        total: None,
        watts_format: FLOAT,
        most: 125,
    },
    // Inepro; kilowatts.
    Preset {
        names: &["pro380", "inepro"],
        table: Table::Holding,
        volts: &[0x5002, 0x5004, 0x5006],
        volts_format: FLOAT,
        amps: &[0x500c, 0x500e, 0x5010],
        amps_format: FLOAT,
        watts: &[0x5014, 0x5016, 0x5018],
        total: Some(0x5012),
        watts_format: FLOAT.scale(1000.0),
        most: 125,
    },
];

/// The preset of a name, however it is spelt.
#[must_use]
pub fn preset(name: &str) -> Option<&'static Preset> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    PRESETS.iter().find(|preset| preset.names.contains(&plain.as_str()))
}

impl Preset {
    /// Whether it measures one phase only.
    #[must_use]
    pub fn is_single_phase(&self) -> bool {
        self.watts.len() == 1
    }

    /// Its registers for a meter that measures `role`; a single phase is phase `only`. `sign` is -1 to exchange directions.
    #[must_use]
    pub fn channels(&self, role: Role, only: usize, sign: f64) -> Vec<Channel> {
        let phase = |at: usize| if self.is_single_phase() { only } else { at };
        let table = self.table;
        let of = |role, addresses: &[u16], format: Format, sign: f64| {
            let channels = addresses.iter().enumerate();
            channels
                .map(|(at, address)| Channel { role, phase: Some(phase(at)), table, address: *address, format, sign })
                .collect::<Vec<_>>()
        };
        let mut all = of(role, self.watts, self.watts_format, sign);
        let format = self.watts_format;
        all.extend(self.total.map(|address| Channel { role, phase: None, table, address, format, sign }));
        if role == Role::Grid {
            all.extend(of(Role::GridCurrent, self.amps, self.amps_format, 1.0));
            all.extend(of(Role::GridVoltage, self.volts, self.volts_format, 1.0));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_spelt() {
        for (name, common) in [
            ("SDM630", "sdm630"),
            ("SDM72D-M v2", "sdm630"),
            ("EM24_E1", "em24"),
            ("PRO-380", "pro380"),
            ("sdm120", "sdm120"),
            ("B23", "abb"),
        ] {
            assert_eq!(preset(name).map(|preset| preset.names[0]), Some(common), "{name}");
        }
        assert_eq!(preset("toaster"), None);
    }

    #[test]
    fn no_name_stands_for_two_meters() {
        let mut names: Vec<&str> = PRESETS.iter().flat_map(|preset| preset.names).copied().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_single_phase_meter_sits_where_the_user_says() {
        let channels = preset("SDM120").unwrap().channels(Role::Grid, 2, 1.0);
        assert!(channels.iter().all(|channel| channel.phase == Some(2)));
        let solar = preset("SDM630").unwrap().channels(Role::Generation, 0, 1.0);
        assert!(solar.iter().all(|channel| channel.role == Role::Generation));
    }
}

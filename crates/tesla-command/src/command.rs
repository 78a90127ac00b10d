//! What a car may be asked. Nothing else can be built: no unlocking, no driving, no keys of others.
//!
//! Field numbers: `car_server.proto` and `vcsec.proto` of <https://github.com/teslamotors/vehicle-command>.

use std::fmt;

use crate::routable::Domain;
use crate::wire::Writer;

/// A number outside what the command can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{value} is out of range: {what} goes from {min} to {max}")]
pub struct OutOfRange {
    what: &'static str,
    value: u8,
    min: u8,
    max: u8,
}

/// The charging current that a car is asked not to exceed, in whole amps a phase, 0 to 80.
///
/// It is a ceiling only: the car draws the least of it, of what the charging point offers, and of its own limit, and
/// silently cuts it to what the present cable allows. Below 5 A cars obey at best effort, and only when told twice some
/// seconds apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChargingAmps(u8);

impl ChargingAmps {
    /// The most that any car was ever built for.
    pub const MAX: Self = Self(80);

    /// Takes whole amps; round down before.
    ///
    /// # Errors
    /// Above 80.
    pub fn new(amps: u8) -> Result<Self, OutOfRange> {
        if amps > Self::MAX.0 {
            return Err(OutOfRange { what: "a charging current in amps", value: amps, min: 0, max: Self::MAX.0 });
        }
        Ok(Self(amps))
    }

    /// Whole amps.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

/// The state of charge at which the car stops, in percent, 50 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChargeLimit(u8);

impl ChargeLimit {
    /// Takes whole percent.
    ///
    /// # Errors
    /// Outside 50 to 100, which no car accepts.
    pub fn new(percent: u8) -> Result<Self, OutOfRange> {
        if !(50..=100).contains(&percent) {
            return Err(OutOfRange { what: "a charge limit in percent", value: percent, min: 50, max: 100 });
        }
        Ok(Self(percent))
    }

    /// Whole percent.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

/// Everything that a car may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Command {
    /// Start charging.
    StartCharging,
    /// Stop charging.
    StopCharging,
    /// Charge with at most this current.
    SetChargingAmps(ChargingAmps),
    /// Charge up to this state of charge.
    SetChargeLimit(ChargeLimit),
    /// Open the charge port's door, or let go of the plug.
    OpenChargePort,
    /// Close the charge port's door.
    CloseChargePort,
    /// Answer, and do nothing else: shows that a paired key works.
    Ping,
    /// Wake the computer that charging needs. Over the internet Tesla's `wake_up` call does this without a signature.
    Wake,
    /// Tell whether the car sleeps. Needs no key, and does not wake the car.
    ReadSleep,
}

impl Command {
    /// The computer that it must be sent to.
    #[must_use]
    pub fn domain(self) -> Domain {
        match self {
            Self::Wake | Self::ReadSleep => Domain::VehicleSecurity,
            _ => Domain::Infotainment,
        }
    }

    /// Whether the car takes it only from a paired key.
    #[must_use]
    pub fn needs_session(self) -> bool {
        self != Self::ReadSleep
    }

    /// The message of the domain.
    pub(crate) fn payload(self) -> Vec<u8> {
        let empty = |field| Writer::default().message(field, &[]).finish();
        let number = |field, number: u8| Writer::default().varint(field, u32::from(number)).finish();
        match self {
            Self::StartCharging => action(6, &empty(2)),
            Self::StopCharging => action(6, &empty(5)),
            Self::SetChargingAmps(amps) => action(43, &number(1, amps.get())),
            Self::SetChargeLimit(limit) => action(5, &number(1, limit.get())),
            Self::OpenChargePort => action(62, &[]),
            Self::CloseChargePort => action(61, &[]),
            Self::Ping => action(46, &number(1, 1)),
            Self::Wake => number(2, RKE_WAKE),
            Self::ReadSleep => empty(1),
        }
    }
}

/// `RKEAction_E.RKE_ACTION_WAKE_VEHICLE`.
const RKE_WAKE: u8 = 30;

/// `Action { vehicleAction { <field> } }`.
fn action(field: u32, message: &[u8]) -> Vec<u8> {
    Writer::default().message(2, &Writer::default().message(field, message).finish()).finish()
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartCharging => f.write_str("start charging"),
            Self::StopCharging => f.write_str("stop charging"),
            Self::SetChargingAmps(amps) => write!(f, "charge with at most {} A", amps.get()),
            Self::SetChargeLimit(limit) => write!(f, "charge up to {} %", limit.get()),
            Self::OpenChargePort => f.write_str("open the charge port"),
            Self::CloseChargePort => f.write_str("close the charge port"),
            Self::Ping => f.write_str("ping"),
            Self::Wake => f.write_str("wake up"),
            Self::ReadSleep => f.write_str("read whether the car sleeps"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::hex;

    fn amps(amps: u8) -> Command {
        Command::SetChargingAmps(ChargingAmps::new(amps).expect("in range"))
    }

    fn limit(percent: u8) -> Command {
        Command::SetChargeLimit(ChargeLimit::new(percent).expect("in range"))
    }

    /// Bytes computed from the vendor's proto files by another encoder.
    #[test]
    fn payloads_are_as_the_vendors_schema_has_them() {
        for (command, expected) in [
            (Command::StartCharging, "120432021200"),
            (Command::StopCharging, "120432022a00"),
            (amps(5), "1205da02020805"),
            (amps(16), "1205da02020810"),
            (amps(32), "1205da02020820"),
            (amps(0), "1203da0200"),
            (limit(50), "12042a020832"),
            (limit(80), "12042a020850"),
            (limit(100), "12042a020864"),
            (Command::OpenChargePort, "1203f20300"),
            (Command::CloseChargePort, "1203ea0300"),
            (Command::Ping, "1205f202020801"),
            (Command::Wake, "101e"),
            (Command::ReadSleep, "0a00"),
        ] {
            assert_eq!(command.payload(), hex(expected), "{command}");
        }
    }

    #[test]
    fn impossible_numbers_are_refused_with_their_range() {
        let error = ChargingAmps::new(81).expect_err("too much");
        assert_eq!(error.to_string(), "81 is out of range: a charging current in amps goes from 0 to 80");
        for percent in [0, 49, 101, 255] {
            assert!(ChargeLimit::new(percent).is_err(), "{percent}");
        }
    }
}

//! Messages as log lines that a person understands.

use core::fmt;

use crate::{AnonymousKind, ContactorAction, Harm, MasterMessage, Message, Meter, RequestKind, SlaveMessage, VinThird};

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::MasterLinkReady1(ready) => {
                write!(f, "master {} announces itself (E1), sign {}", ready.master, ready.sign)
            }
            Message::MasterLinkReady2(ready) => {
                write!(f, "master {} announces itself (E2), sign {}", ready.master, ready.sign)
            }
            Message::SlaveLinkReady(ready) => write!(
                f,
                "slave {} looks for a master, sign {}, rated {}, {}",
                ready.slave, ready.sign, ready.rated, ready.version
            ),
            Message::MasterHeartbeat(heartbeat) => {
                write!(f, "master {} to {}: {}", heartbeat.master, heartbeat.slave, heartbeat.command)?;
                if heartbeat.own_cable_in_car {
                    f.write_str(", its own cable is in a car")?;
                }
                Ok(())
            }
            Message::SlaveHeartbeat(heartbeat) => write!(
                f,
                "slave {} to {}: {} ({:02X}), limit {}, drawing {}",
                heartbeat.slave,
                heartbeat.master,
                heartbeat.state,
                heartbeat.state.code(),
                heartbeat.limit,
                heartbeat.drawn
            ),
            Message::Request(request) => {
                write!(f, "master {} asks {} for its {}", request.master, request.slave, request.kind)
            }
            Message::ContactorCommand(command) => {
                write!(f, "master {} tells {} to {} its contactor", command.master, command.slave, command.action)
            }
            Message::ContactorAnswer(answer) => {
                write!(f, "slave {} agrees to {} its contactor", answer.slave, answer.action)
            }
            Message::Meter(meter) => meter.fmt(f),
            Message::Version(version) => {
                let [a, b, c, d] = version.version;
                write!(f, "unit {}: firmware {a}.{b}.{c}.{d}", version.unit)
            }
            Message::Serial(serial) => {
                write!(f, "unit {}: serial number {}", serial.unit, serial.serial)
            }
            Message::VinPart(part) if part.characters.is_empty() => {
                write!(f, "unit {}: {} empty", part.unit, part.third)
            }
            Message::VinPart(part) => {
                write!(f, "unit {}: {} {}", part.unit, part.third, part.characters)
            }
            Message::PlugStatus(status) => write!(f, "unit {}: {}", status.unit, status.state),
            Message::AnonymousRequest(request) => {
                write!(f, "master {} asks every unit for its {}", request.master, request.kind)
            }
            Message::AnonymousSerial(serial) => write!(f, "a unit: serial number {serial}"),
            Message::AnonymousModel(model) => write!(f, "a unit: model {model}"),
            Message::AnonymousVersion([a, b, c]) => write!(f, "a unit: firmware {a}.{b}.{c}"),
            Message::Idle => f.write_str("a real master has no slaves"),
            Message::UnexplainedA4(frame) => write!(f, "FB A4, meaning unknown: {frame}"),
            Message::Harmful(harm, frame) => write!(f, "harmful message, {harm}: {frame}"),
            Message::Unknown(frame) => write!(f, "unknown message: {frame}"),
        }
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.volts;
        write!(f, "unit {}: {}, {a}/{b}/{c} V", self.unit, self.energy)?;
        if let Some([a, b, c]) = self.currents() {
            write!(f, ", {a} / {b} / {c}")?;
        }
        Ok(())
    }
}

impl fmt::Display for MasterMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Message::from(*self).fmt(f)
    }
}

impl fmt::Display for SlaveMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Message::from(*self).fmt(f)
    }
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestKind::Meter => f.write_str("meter readings"),
            RequestKind::Version => f.write_str("firmware version"),
            RequestKind::Serial => f.write_str("serial number"),
            RequestKind::Vin(third) => write!(f, "car's {third}"),
            RequestKind::PlugState => f.write_str("plug state"),
        }
    }
}

impl fmt::Display for VinThird {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VinThird::First => "VIN characters 1-7",
            VinThird::Second => "VIN characters 8-14",
            VinThird::Last => "VIN characters 15-17",
        })
    }
}

impl fmt::Display for AnonymousKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AnonymousKind::Serial => "serial number",
            AnonymousKind::Model => "model",
            AnonymousKind::Version => "firmware version",
        })
    }
}

impl fmt::Display for ContactorAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ContactorAction::Close => "close",
            ContactorAction::Open => "open",
        })
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Harm::WritesIdentity => "writes the identity for good",
            Harm::WritesModel => "writes the model for good",
            Harm::Crashes => "crashes the unit",
            Harm::Silences => "silences the unit for 5 s",
            Harm::ChattersRelays => "makes the relays chatter",
        })
    }
}

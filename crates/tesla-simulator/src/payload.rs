//! What the payloads of signed messages mean, and the car's answers to them.

use units::{Amps, Percent};

use crate::car::{Availability, Car, CarCommand, ChargingState};
use crate::proto::{Fields, Writer};
use crate::signed::{Envelope, Heard, INFOTAINMENT, fault};

/// What a car made of a signed message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SignedOutcome {
    pub(crate) reply: Vec<u8>,
    pub(crate) fault: u32,
    pub(crate) command: Option<CarCommand>,
}

enum Meaning {
    Command(CarCommand),
    Data(Fields),
    Status,
}

impl Car {
    /// Hears a signed message. The car has to be awake; who calls sees to that.
    pub(crate) fn hear(&mut self, envelope: &Envelope) -> SignedOutcome {
        self.touch();
        let trouble = if self.odd().denies_access {
            Some(fault::REMOTE_ACCESS_DISABLED)
        } else if self.is_groggy() {
            Some(fault::INTERNAL)
        } else {
            None
        };
        let now = self.now();
        let (domain, payload) = match self.security.hear(now, envelope, trouble) {
            Heard::Answered { reply, fault } => return SignedOutcome { reply, fault, command: None },
            Heard::Payload { domain, payload } => (domain, payload),
        };
        let Some(meaning) = Fields::read(&payload).map(|fields| meaning(domain, &fields)) else {
            return SignedOutcome {
                reply: envelope.reply_fault(fault::DECODING),
                fault: fault::DECODING,
                command: None,
            };
        };
        match meaning {
            None => {
                let fault = fault::INVALID_COMMAND;
                SignedOutcome { reply: envelope.reply_fault(fault), fault, command: None }
            }
            Some(Meaning::Status) => {
                let status = Writer::new().message(1, self.security_status());
                SignedOutcome { reply: envelope.reply(Some(&status.done())), fault: 0, command: None }
            }
            Some(Meaning::Data(asked)) => {
                let data = Writer::new().message(1, Writer::new()).message(2, self.vehicle_data(&asked));
                SignedOutcome { reply: envelope.reply(Some(&data.done())), fault: 0, command: None }
            }
            Some(Meaning::Command(command)) => {
                let answer = self.obey(command.clone());
                let status = match answer {
                    Ok(()) => Writer::new(),
                    Err(refusal) => {
                        let reason = Writer::new().bytes(1, refusal.0.as_bytes());
                        Writer::new().number(1, 1).message(2, reason)
                    }
                };
                let payload = Writer::new().message(1, status).done();
                let payload = (domain == INFOTAINMENT).then_some(payload.as_slice());
                SignedOutcome { reply: envelope.reply(payload), fault: 0, command: Some(command) }
            }
        }
    }

    fn security_status(&self) -> Writer {
        let sleep = if self.availability() == Availability::Online { 1 } else { 2 };
        Writer::new().number(2, 1).number(3, sleep).number(4, 1)
    }

    fn vehicle_data(&self, asked: &Fields) -> Writer {
        let mut data = Writer::new();
        if asked.has(2) {
            data = data.message(3, self.charge_message());
        }
        if asked.has(7) {
            let (place, since) = self.fix();
            let location = Writer::new()
                .float(101, single(place.latitude))
                .float(102, single(place.longitude))
                .number(104, self.unix_millis() / 1000 - (self.now() - since).as_secs());
            data = data.message(8, location);
        }
        data
    }

    fn charge_message(&self) -> Writer {
        let state = match self.charging_state() {
            _ if self.is_groggy() => 1,
            ChargingState::Disconnected => 2,
            ChargingState::NoPower => 3,
            ChargingState::Starting => 4,
            ChargingState::Charging => 5,
            ChargingState::Complete => 6,
            ChargingState::Stopped => 7,
        };
        let volts = self.told_volts();
        let phases = self.told_phases();
        let amps = |amps: Amps| whole(amps.get());
        let mut message = Writer::new()
            .message(1, Writer::new().message(state, Writer::new()))
            .number(104, whole(self.charge_limit().get()))
            .number(114, whole(self.soc().get()))
            .number(115, whole(self.soc().get()))
            .float(116, single(self.energy_added().get() / 1000.0))
            .number(119, volts.unwrap_or(0));
        if let Some(supply) = self.supply() {
            message = message.number(120, amps(supply.offered())).number(121, amps(self.drawn()));
        }
        message
            .number(122, whole(self.power().get() / 1000.0))
            .number(123, whole(self.minutes_to_limit()))
            .number(130, u64::from(self.waits_until().is_some()))
            .number(134, phases.unwrap_or(0))
            .number(137, amps(self.set_amps()))
            .number(138, amps(self.most_amps()))
            .number(148, u64::from(self.schedule().is_some()))
            .number(149, amps(self.set_amps()))
            .number(150, u64::from(self.schedule().unwrap_or(0)))
    }
}

/// Rounded to whole units, never below zero.
pub(crate) fn whole(value: f64) -> u64 {
    let rounded = value.round().clamp(0.0, 1e9);
    // Within 0 to 10^9, so that nothing is lost.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = rounded as u64;
    whole
}

fn single(value: f64) -> f32 {
    // The wire has single precision here.
    #[allow(clippy::cast_possible_truncation)]
    let single = value as f32;
    single
}

fn meaning(domain: u64, payload: &Fields) -> Option<Meaning> {
    if domain != INFOTAINMENT {
        return match payload.present().as_slice() {
            [1] => Some(Meaning::Status),
            [2] if payload.number(2) == 30 => Some(Meaning::Command(CarCommand::Wake)),
            _ => None,
        };
    }
    let action = payload.message(2)?;
    let [which] = action.present()[..] else { return None };
    let body = action.message(which)?;
    let amps = |number: u64| Amps::from_whole(i32::try_from(number.min(1000)).unwrap_or(0));
    Some(Meaning::Command(match which {
        1 => return Some(Meaning::Data(body)),
        5 => CarCommand::SetLimit(Percent::new(f64::from(u32::try_from(body.number(1)).ok()?)).ok()?),
        6 => match body.present().as_slice() {
            [2] => CarCommand::Start,
            [3] => CarCommand::LimitStandard,
            [4] => CarCommand::LimitMaximum,
            [5] => CarCommand::Stop,
            _ => return None,
        },
        41 => {
            let minutes = u16::try_from(body.number(2)).ok()?;
            CarCommand::Schedule((body.number(1) == 1).then_some(minutes))
        }
        43 => CarCommand::SetAmps(amps(body.number(1))),
        46 => CarCommand::Ping,
        61 => CarCommand::ClosePort,
        62 => CarCommand::OpenPort,
        other => CarCommand::Unknown(format!("vehicle action {other}")),
    }))
}

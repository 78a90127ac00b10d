//! Everything that can be read on the bus, known or not.

use crate::{
    CentiAmps, EnergyCounter, Frame, HeartbeatCommand, PlugState, ProtocolVersion, Sign, SlaveState, Text, TwcId,
};

/// Family byte: a request that expects an answer (and FB E2, which does not).
pub(crate) const REQUEST: u8 = 0xFB;
/// Family byte: a command or announcement of the master.
pub(crate) const COMMAND: u8 = 0xFC;
/// Family byte: an answer or announcement of a unit.
pub(crate) const ANSWER: u8 = 0xFD;

/// What a frame says. Reading is generous: everything has a place here, also what must never be sent.
///
/// To send, use [`MasterMessage`](crate::MasterMessage) or [`SlaveMessage`](crate::SlaveMessage).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Message {
    /// FC E1: a master announces itself, first kind.
    MasterLinkReady1(MasterLinkReady),
    /// FB E2: a master announces itself, second kind.
    MasterLinkReady2(MasterLinkReady),
    /// FD E2: a slave looks for a master.
    SlaveLinkReady(SlaveLinkReady),
    /// FB E0: a master's heartbeat to one slave.
    MasterHeartbeat(MasterHeartbeat),
    /// FD E0: a slave's heartbeat to its master.
    SlaveHeartbeat(SlaveHeartbeat),
    /// FB EB, EC, ED, EE, EF, F1 or B4: a master asks one unit.
    Request(Request),
    /// FC B1 or B2: a master closes or opens a slave's contactor.
    ContactorCommand(ContactorCommand),
    /// FD B1 or B2: a slave obeys that.
    ContactorAnswer(ContactorAnswer),
    /// FD EB: energy counter, volts and perhaps currents.
    Meter(Meter),
    /// FD EC: firmware version.
    Version(Version),
    /// FD ED: serial number.
    Serial(Serial),
    /// FD EE, EF or F1: a third of the car's identification number.
    VinPart(VinPart),
    /// FD B4: what the cable does.
    PlugStatus(PlugStatus),
    /// FB 19, 1A or 1B: the older questions, which every unit answers at once.
    AnonymousRequest(AnonymousRequest),
    /// FD 19: serial number of a unit that does not say which one it is.
    AnonymousSerial(Text<11>),
    /// FD 1A: model of a unit that does not say which one it is.
    AnonymousModel(Text<17>),
    /// FD 1B: version of a unit that does not say which one it is.
    AnonymousVersion([u8; 3]),
    /// FC 1D: a real master that knows no slave, three times every two hours.
    Idle,
    /// FB A4: 20 bytes, seen on firmware 4.5.3, meaning unknown.
    UnexplainedA4(Frame),
    /// A message known to harm units. It cannot be encoded by this crate.
    Harmful(Harm, Frame),
    /// Anything else, kept as it came.
    Unknown(Frame),
}

/// FC E1 and FB E2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MasterLinkReady {
    /// The master that announces itself.
    pub master: TwcId,
    /// Its sign; a master may use different ones in the two kinds.
    pub sign: Sign,
}

/// FD E2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlaveLinkReady {
    /// The slave that looks for a master.
    pub slave: TwcId,
    /// Its sign; a new one means it restarted.
    pub sign: Sign,
    /// The most it can pass: 32.00 A on European units, 80.00 A on American ones.
    pub rated: CentiAmps,
    /// From the frame's length.
    pub version: ProtocolVersion,
}

/// FB E0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MasterHeartbeat {
    /// Who sends.
    pub master: TwcId,
    /// Who is meant.
    pub slave: TwcId,
    /// What the slave shall do.
    pub command: HeartbeatCommand,
    /// Whether the master is a connector itself and its own cable is in a car.
    pub own_cable_in_car: bool,
    /// From the frame's length; says nothing about the slave, since masters send any length to either version.
    pub version: ProtocolVersion,
}

/// FD E0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlaveHeartbeat {
    /// Who sends.
    pub slave: TwcId,
    /// The master it answers.
    pub master: TwcId,
    /// What it does.
    pub state: SlaveState,
    /// The limit it obeys, as it reports it.
    pub limit: CentiAmps,
    /// What the car draws, as the slave measures it. Idle units may show 0.25 A.
    pub drawn: CentiAmps,
    /// From the frame's length.
    pub version: ProtocolVersion,
}

/// FB EB, EC, ED, EE, EF, F1 or B4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request {
    /// What is asked.
    pub kind: RequestKind,
    /// Who asks.
    pub master: TwcId,
    /// Who shall answer.
    pub slave: TwcId,
}

/// What a master may ask of one unit. Units on firmware 4.5 and later answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestKind {
    /// EB: energy counter, volts and perhaps currents.
    Meter,
    /// EC: firmware version.
    Version,
    /// ED: serial number.
    Serial,
    /// EE, EF or F1: a third of the car's identification number.
    Vin(VinThird),
    /// B4: what the cable does.
    PlugState,
}

/// Which characters of the car's identification number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VinThird {
    /// EE: characters 1 to 7.
    First,
    /// EF: characters 8 to 14.
    Second,
    /// F1: characters 15 to 17.
    Last,
}

impl RequestKind {
    /// Everything that can be asked.
    pub const ALL: [RequestKind; 7] = [
        RequestKind::Meter,
        RequestKind::Version,
        RequestKind::Serial,
        RequestKind::Vin(VinThird::First),
        RequestKind::Vin(VinThird::Second),
        RequestKind::Vin(VinThird::Last),
        RequestKind::PlugState,
    ];

    /// The code on the wire, the same in request and answer.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            RequestKind::Meter => 0xEB,
            RequestKind::Version => 0xEC,
            RequestKind::Serial => 0xED,
            RequestKind::Vin(third) => third.code(),
            RequestKind::PlugState => 0xB4,
        }
    }

    /// Whether `message` is the answer to this question from `slave`. Answers also come unasked.
    #[must_use]
    pub fn is_answered_by(self, message: &Message, slave: TwcId) -> bool {
        match (self, message) {
            (RequestKind::Meter, Message::Meter(meter)) => meter.unit == slave,
            (RequestKind::Version, Message::Version(version)) => version.unit == slave,
            (RequestKind::Serial, Message::Serial(serial)) => serial.unit == slave,
            (RequestKind::Vin(third), Message::VinPart(part)) => part.unit == slave && part.third == third,
            (RequestKind::PlugState, Message::PlugStatus(status)) => status.unit == slave,
            _ => false,
        }
    }
}

impl VinThird {
    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            VinThird::First => 0xEE,
            VinThird::Second => 0xEF,
            VinThird::Last => 0xF1,
        }
    }
}

/// What to do with a contactor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContactorAction {
    /// B1: close it, so that a car may charge.
    Close,
    /// B2: open it. A Tesla that charges takes this for a fault and has to be plugged in anew.
    Open,
}

/// FC B1 or B2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContactorCommand {
    /// Close or open.
    pub action: ContactorAction,
    /// Who sends.
    pub master: TwcId,
    /// Who is meant.
    pub slave: TwcId,
}

/// FD B1 or B2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContactorAnswer {
    /// What it was told to do.
    pub action: ContactorAction,
    /// Who answers.
    pub slave: TwcId,
}

/// FD EB. Sent on request, and by some units unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Meter {
    /// Who reports.
    pub unit: TwcId,
    /// Energy passed in the unit's life, in a unit of measure that differs from connector to connector.
    pub energy: EnergyCounter,
    /// Volts of phases A, B and C; zero is a phase that is not connected to the connector.
    pub volts: [u16; 3],
    /// Currents of phases A, B and C in half amperes; older firmware (16-byte frames) does not send them.
    pub half_amps: Option<[u8; 3]>,
}

impl Meter {
    /// The three phase currents, if the unit sends them; resolution 0.5 A.
    #[must_use]
    pub fn currents(&self) -> Option<[CentiAmps; 3]> {
        self.half_amps.map(|phases| phases.map(|half_amps| CentiAmps(u16::from(half_amps) * 50)))
    }
}

/// FD EC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// Who reports.
    pub unit: TwcId,
    /// Firmware version, such as 4.5.3.2.
    pub version: [u8; 4],
}

/// FD ED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Serial {
    /// Who reports.
    pub unit: TwcId,
    /// Serial number, such as A17I0039393.
    pub serial: Text<11>,
}

/// FD EE, EF or F1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VinPart {
    /// Who reports.
    pub unit: TwcId,
    /// Which characters.
    pub third: VinThird,
    /// The characters; the last part has three. Empty without a car, for cars that tell nothing, or with DIP switch 2 down.
    pub characters: Text<7>,
}

/// FD B4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlugStatus {
    /// Who reports.
    pub unit: TwcId,
    /// What the cable does.
    pub state: PlugState,
}

/// FB 19, 1A or 1B. Cannot be encoded: all slaves answer at once. Ask [`RequestKind::Serial`] and
/// [`RequestKind::Version`] instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AnonymousRequest {
    /// What is asked.
    pub kind: AnonymousKind,
    /// Who asks; often zero.
    pub master: TwcId,
    /// Who is meant; often zero.
    pub slave: TwcId,
}

/// The older questions, answered without an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnonymousKind {
    /// 19: serial number.
    Serial,
    /// 1A: model.
    Model,
    /// 1B: version.
    Version,
}

/// Messages that were seen to harm units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Harm {
    /// FC 19 writes serial number and identity into memory that can be written once.
    WritesIdentity,
    /// FC 1A writes the model into memory that can be written once; units could not charge any more.
    WritesModel,
    /// FB E8 crashes the unit.
    Crashes,
    /// FC A1 silences the unit for about five seconds.
    Silences,
    /// FC E5 makes the relays chatter.
    ChattersRelays,
}

impl Message {
    /// What `frame` says; a frame that is too short for its meaning is [`Message::Unknown`].
    #[inline]
    #[must_use]
    pub fn from_frame(frame: &Frame) -> Message {
        let [family, code] = frame.kind();
        match family {
            ANSWER => answer(frame, code),
            REQUEST => request(frame, code),
            COMMAND => command(frame, code),
            _ => Message::Unknown(*frame),
        }
    }

    /// Whether this crate has a name for the message.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        !matches!(self, Message::Unknown(_))
    }

    /// Who sent it, when the message says so.
    #[must_use]
    pub fn sender(&self) -> Option<TwcId> {
        Some(match self {
            Message::MasterLinkReady1(ready) | Message::MasterLinkReady2(ready) => ready.master,
            Message::SlaveLinkReady(ready) => ready.slave,
            Message::MasterHeartbeat(heartbeat) => heartbeat.master,
            Message::SlaveHeartbeat(heartbeat) => heartbeat.slave,
            Message::Request(request) => request.master,
            Message::ContactorCommand(command) => command.master,
            Message::ContactorAnswer(answer) => answer.slave,
            Message::Meter(meter) => meter.unit,
            Message::Version(version) => version.unit,
            Message::Serial(serial) => serial.unit,
            Message::VinPart(part) => part.unit,
            Message::PlugStatus(status) => status.unit,
            Message::AnonymousRequest(request) => request.master,
            Message::AnonymousSerial(_)
            | Message::AnonymousModel(_)
            | Message::AnonymousVersion(_)
            | Message::Idle
            | Message::UnexplainedA4(_)
            | Message::Harmful(..)
            | Message::Unknown(_) => return None,
        })
    }

    /// Whether a master sent it. When the sender is not you, there is a second master on the line; when it is, your adapter
    /// echoes.
    #[must_use]
    pub const fn is_from_master(&self) -> bool {
        match self {
            Message::MasterLinkReady1(_)
            | Message::MasterLinkReady2(_)
            | Message::MasterHeartbeat(_)
            | Message::Request(_)
            | Message::ContactorCommand(_)
            | Message::AnonymousRequest(_)
            | Message::Idle
            | Message::UnexplainedA4(_)
            | Message::Harmful(..) => true,
            Message::Unknown(frame) => matches!(frame.kind()[0], REQUEST | COMMAND),
            _ => false,
        }
    }
}

#[inline]
fn request(frame: &Frame, code: u8) -> Message {
    let [a, b, c, d] = frame.field(2);
    let (master, slave) = (TwcId([a, b]), TwcId([c, d]));
    let ask = |kind| Message::Request(Request { kind, master, slave });
    let ask_anybody = |kind| Message::AnonymousRequest(AnonymousRequest { kind, master, slave });
    match code {
        0xE0 => {
            let [command, first, second, flag] = frame.field(6);
            Message::MasterHeartbeat(MasterHeartbeat {
                master,
                slave,
                command: HeartbeatCommand::from_bytes(command, [first, second]),
                own_cable_in_car: flag == 0x01,
                version: ProtocolVersion::from_frame_length(frame.len()),
            })
        }
        0xE2 => Message::MasterLinkReady2(master_link_ready(frame)),
        0xEB => ask(RequestKind::Meter),
        0xEC => ask(RequestKind::Version),
        0xED => ask(RequestKind::Serial),
        0xEE => ask(RequestKind::Vin(VinThird::First)),
        0xEF => ask(RequestKind::Vin(VinThird::Second)),
        0xF1 => ask(RequestKind::Vin(VinThird::Last)),
        0xB4 => ask(RequestKind::PlugState),
        0x19 => ask_anybody(AnonymousKind::Serial),
        0x1A => ask_anybody(AnonymousKind::Model),
        0x1B => ask_anybody(AnonymousKind::Version),
        0xA4 => Message::UnexplainedA4(*frame),
        0xE8 => Message::Harmful(Harm::Crashes, *frame),
        _ => Message::Unknown(*frame),
    }
}

fn command(frame: &Frame, code: u8) -> Message {
    let [a, b, c, d] = frame.field(2);
    let command =
        |action| Message::ContactorCommand(ContactorCommand { action, master: TwcId([a, b]), slave: TwcId([c, d]) });
    match code {
        0xE1 => Message::MasterLinkReady1(master_link_ready(frame)),
        0xB1 => command(ContactorAction::Close),
        0xB2 => command(ContactorAction::Open),
        0x1D => Message::Idle,
        0x19 => Message::Harmful(Harm::WritesIdentity, *frame),
        0x1A => Message::Harmful(Harm::WritesModel, *frame),
        0xA1 => Message::Harmful(Harm::Silences, *frame),
        0xE5 => Message::Harmful(Harm::ChattersRelays, *frame),
        _ => Message::Unknown(*frame),
    }
}

fn master_link_ready(frame: &Frame) -> MasterLinkReady {
    let [a, b, sign] = frame.field(2);
    MasterLinkReady { master: TwcId([a, b]), sign: Sign(sign) }
}

#[inline]
fn answer(frame: &Frame, code: u8) -> Message {
    let unit = TwcId(frame.field(2));
    let vin = |third, length: usize| {
        let characters: [u8; 7] = frame.field(4);
        Message::VinPart(VinPart {
            unit,
            third,
            characters: Text::new(characters.get(..length).unwrap_or(&characters)),
        })
    };
    let contactor = |action| Message::ContactorAnswer(ContactorAnswer { action, slave: unit });
    match code {
        0xE0 => {
            let [c, d, state, limit_high, limit_low, drawn_high, drawn_low] = frame.field(4);
            Message::SlaveHeartbeat(SlaveHeartbeat {
                slave: unit,
                master: TwcId([c, d]),
                state: SlaveState::from_code(state),
                limit: CentiAmps(u16::from_be_bytes([limit_high, limit_low])),
                drawn: CentiAmps(u16::from_be_bytes([drawn_high, drawn_low])),
                version: ProtocolVersion::from_frame_length(frame.len()),
            })
        }
        0xE2 => {
            let [sign, rated_high, rated_low] = frame.field(4);
            Message::SlaveLinkReady(SlaveLinkReady {
                slave: unit,
                sign: Sign(sign),
                rated: CentiAmps(u16::from_be_bytes([rated_high, rated_low])),
                version: ProtocolVersion::from_frame_length(frame.len()),
            })
        }
        0xEB => meter(frame, unit),
        0xEC => Message::Version(Version { unit, version: frame.field(4) }),
        0xED => Message::Serial(Serial { unit, serial: Text::new(&frame.field::<11>(4)) }),
        0xEE => vin(VinThird::First, 7),
        0xEF => vin(VinThird::Second, 7),
        0xF1 => vin(VinThird::Last, 3),
        0xB4 => {
            let [state] = frame.field(4);
            Message::PlugStatus(PlugStatus { unit, state: PlugState::from_code(state) })
        }
        0xB1 => contactor(ContactorAction::Close),
        0xB2 => contactor(ContactorAction::Open),
        0x19 => Message::AnonymousSerial(Text::new(&frame.field::<11>(2))),
        0x1A => Message::AnonymousModel(Text::new(&frame.field::<17>(2))),
        0x1B => Message::AnonymousVersion(frame.field(2)),
        _ => Message::Unknown(*frame),
    }
}

/// Shortest frame that holds three voltages before its checksum.
const METER_WITH_VOLTS: usize = 15;
/// Shortest frame that holds three currents as well.
const METER_WITH_CURRENTS: usize = 18;

fn meter(frame: &Frame, unit: TwcId) -> Message {
    if frame.len() < METER_WITH_VOLTS {
        return Message::Unknown(*frame);
    }
    let [a_high, a_low, b_high, b_low, c_high, c_low] = frame.field(8);
    Message::Meter(Meter {
        unit,
        energy: EnergyCounter(u32::from_be_bytes(frame.field(4))),
        volts: [
            u16::from_be_bytes([a_high, a_low]),
            u16::from_be_bytes([b_high, b_low]),
            u16::from_be_bytes([c_high, c_low]),
        ],
        half_amps: (frame.len() >= METER_WITH_CURRENTS).then(|| frame.field(14)),
    })
}

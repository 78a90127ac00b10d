//! What a master may send. The set is closed: nothing else has bytes.

use crate::frame::MAX_FRAME_LENGTH;
use crate::message::{COMMAND, REQUEST};
use crate::{
    ContactorAction, ContactorCommand, HeartbeatCommand, MasterHeartbeat, MasterLinkReady, Message, Order,
    ProtocolVersion, Request, TwcId, WireFrame,
};

/// A message that a master may send.
///
/// ```
/// use gen2_protocol::{CentiAmps, MasterMessage, Order, ProtocolVersion, TwcId};
///
/// let offer = MasterMessage::Heartbeat {
///     master: TwcId::FAKE_MASTER,
///     slave: TwcId::from_u16(0x4085),
///     version: ProtocolVersion::V2,
///     order: Order::Limit(CentiAmps(3_200)),
/// };
/// let wire = offer.encode();
/// assert_eq!(wire.as_bytes().len(), 18);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MasterMessage {
    /// FC E1, 14 bytes.
    LinkReady1(MasterLinkReady),
    /// FB E2, 14 bytes.
    LinkReady2(MasterLinkReady),
    /// FB E0, 14 or 16 bytes by version.
    Heartbeat {
        /// Who sends.
        master: TwcId,
        /// Who is meant.
        slave: TwcId,
        /// The slave's version, from its link-ready.
        version: ProtocolVersion,
        /// What it shall do.
        order: Order,
    },
    /// A question to one unit, 16 bytes. Version 1 units do not answer.
    Request(Request),
    /// FC B1 or B2, 16 bytes.
    Contactor(ContactorCommand),
}

impl MasterMessage {
    /// The bytes to write to the line.
    #[inline]
    #[must_use]
    pub fn encode(&self) -> WireFrame {
        let mut body = [0; MAX_FRAME_LENGTH];
        let length = match self {
            MasterMessage::LinkReady1(ready) => {
                link_ready(&mut body, COMMAND, 0xE1, ready);
                ProtocolVersion::V1.frame_length()
            }
            MasterMessage::LinkReady2(ready) => {
                link_ready(&mut body, REQUEST, 0xE2, ready);
                ProtocolVersion::V1.frame_length()
            }
            MasterMessage::Heartbeat { master, slave, version, order } => {
                addressed(&mut body, REQUEST, 0xE0, *master, *slave);
                let command = command(*order, *version);
                body[6] = command.code();
                if let Some(current) = order.current() {
                    [body[7], body[8]] = current.0.to_be_bytes();
                }
                version.frame_length()
            }
            MasterMessage::Request(request) => {
                addressed(&mut body, REQUEST, request.kind.code(), request.master, request.slave);
                ProtocolVersion::V2.frame_length()
            }
            MasterMessage::Contactor(contactor) => {
                let code = match contactor.action {
                    ContactorAction::Close => 0xB1,
                    ContactorAction::Open => 0xB2,
                };
                addressed(&mut body, COMMAND, code, contactor.master, contactor.slave);
                ProtocolVersion::V2.frame_length()
            }
        };
        WireFrame::build(body, length)
    }
}

impl From<MasterMessage> for Message {
    /// The message as a receiver decodes it.
    fn from(message: MasterMessage) -> Message {
        match message {
            MasterMessage::LinkReady1(ready) => Message::MasterLinkReady1(ready),
            MasterMessage::LinkReady2(ready) => Message::MasterLinkReady2(ready),
            MasterMessage::Heartbeat { master, slave, version, order } => Message::MasterHeartbeat(MasterHeartbeat {
                master,
                slave,
                command: command(order, version),
                own_cable_in_car: false,
                version,
            }),
            MasterMessage::Request(request) => Message::Request(request),
            MasterMessage::Contactor(command) => Message::ContactorCommand(command),
        }
    }
}

/// The command that carries out `order` on a unit of this version.
const fn command(order: Order, version: ProtocolVersion) -> HeartbeatCommand {
    match (order, version) {
        (Order::NoChange, _) => HeartbeatCommand::NoChange,
        (Order::Limit(current), ProtocolVersion::V1) | (Order::InitialLimit(current), _) => {
            HeartbeatCommand::InitialLimit(current)
        }
        (Order::Limit(current), ProtocolVersion::V2) => HeartbeatCommand::Limit(current),
        (Order::AcknowledgeStop(current), _) => HeartbeatCommand::AcknowledgeStop(current),
    }
}

fn link_ready(body: &mut [u8; MAX_FRAME_LENGTH], family: u8, code: u8, ready: &MasterLinkReady) {
    body[0] = family;
    body[1] = code;
    [body[2], body[3]] = ready.master.0;
    body[4] = ready.sign.0;
}

fn addressed(body: &mut [u8; MAX_FRAME_LENGTH], family: u8, code: u8, master: TwcId, slave: TwcId) {
    body[0] = family;
    body[1] = code;
    [body[2], body[3]] = master.0;
    [body[4], body[5]] = slave.0;
}

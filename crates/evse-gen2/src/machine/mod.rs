//! The bus without its port: time and messages in, messages and news out. Nothing here reads a clock or sleeps.
//!
//! | call | when |
//! | --- | --- |
//! | `line_opened`, `line_closed` | the port was opened or lost |
//! | `handle_activity` | bytes arrived: nobody may talk over them |
//! | `handle_message` | a frame was decoded |
//! | `handle_target`, `handle_command`, `set_circuit_limit`, `set_spikes` | somebody wants something; it takes effect with the next `handle_timeout` |
//! | `handle_timeout` | after these, and when `next_timeout` has come |
//! | `poll_output` | after each of these, until it gives nothing |
//!
//! | file | what |
//! | --- | --- |
//! | `controller` | the machine that leads the bus: its state and what reaches it |
//! | `schedule` | whose turn it is on the line, and what is sent |
//! | `intake` | what connectors say about themselves |
//! | `linkup` | connectors that appear, restart, change their id, vanish |
//! | `conflict` | other controllers, echoes, identities that collide |
//! | `ledger`, `offer`, `spike` | how much each connector may be told |
//! | `connector`, `metering`, `queries` | what is known of one connector and what to ask it |
//! | `status` | how that looks from outside |
//! | `listen`, `pretend` | the other two parts: listening only, and playing a connector |

mod conflict;
mod connector;
mod controller;
mod intake;
mod ledger;
mod linkup;
mod listen;
mod metering;
mod offer;
mod pretend;
mod queries;
mod schedule;
mod spike;
mod status;
#[cfg(test)]
mod tests;

use std::time::Instant;

use evse::{EventLevel, EvseStatus, Target};
use gen2_protocol::{MasterMessage, Message, SlaveMessage, TwcId};
use units::Amps;

use crate::mailbox::Command;
use crate::{BusStatus, FakeMaster, Gen2Settings};

pub(crate) use controller::Controller;
pub(crate) use listen::Listener;
pub(crate) use pretend::Pretender;

/// Something the machine wants done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    /// Put this on the line now.
    Send(MasterMessage),
    /// Put this on the line now, as a connector.
    Answer(SlaveMessage),
    /// A connector appeared or changed; look at its status.
    Changed(TwcId),
    /// A connector was forgotten.
    Gone(TwcId),
    /// People should hear of this.
    News(News),
    /// Close the port and open it again.
    Reopen(&'static str),
}

/// Something people should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) connector: Option<TwcId>,
    pub(crate) level: EventLevel,
    pub(crate) code: &'static str,
    pub(crate) text: String,
    pub(crate) cleared: bool,
}

/// A part to play on the bus.
pub(crate) trait Role: Send {
    fn line_opened(&mut self, now: Instant);
    fn line_closed(&mut self, now: Instant);
    /// Bytes arrived that are no whole frame yet.
    fn handle_activity(&mut self, now: Instant);
    /// A frame arrived. `salvaged` ones were put right by leaving stray bytes out.
    fn handle_message(&mut self, message: &Message, salvaged: bool, now: Instant);
    fn handle_target(&mut self, connector: TwcId, target: Target, now: Instant);
    fn handle_command(&mut self, command: Command, now: Instant);
    fn set_circuit_limit(&mut self, limit: Option<Amps>, now: Instant);
    fn set_spikes(&mut self, proactively: bool, reactively: bool);
    fn handle_timeout(&mut self, now: Instant);
    fn next_timeout(&self) -> Option<Instant>;
    fn poll_output(&mut self) -> Option<Output>;
    fn status(&self, connector: TwcId, now: Instant) -> Option<EvseStatus>;
    /// Writes what the machine knows into the bus's numbers.
    fn describe(&self, bus: &mut BusStatus, now: Instant);
}

/// The part that the settings ask for.
pub(crate) fn role(settings: &Gen2Settings, now: Instant) -> Box<dyn Role> {
    match settings.mode {
        FakeMaster::Controller => Box::new(Controller::new(settings.clone(), now)),
        FakeMaster::Connector => Box::new(Pretender::new(settings.clone())),
        FakeMaster::Listen => Box::new(Listener::new(settings.clone())),
    }
}

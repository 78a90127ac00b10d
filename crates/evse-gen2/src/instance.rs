//! The handle to one connector.

use std::sync::{Arc, Mutex, PoisonError};

use evse::{EvseError, EvseErrorKind, EvseId, EvseInstance, EvseStatus, Target};
use gen2_protocol::TwcId;

use crate::mailbox::{Command, Mailbox, Undelivered};

/// The id that everybody else uses for the connector with this id on the bus.
#[must_use]
pub fn evse_id(connector: TwcId) -> EvseId {
    EvseId::new(format!("gen2-{connector}"))
}

/// One connector as everybody else sees it.
#[derive(Debug)]
pub(crate) struct Gen2Instance {
    id: EvseId,
    connector: TwcId,
    status: Mutex<Arc<EvseStatus>>,
    mailbox: Arc<Mailbox>,
}

impl Gen2Instance {
    pub(crate) fn new(connector: TwcId, status: EvseStatus, mailbox: Arc<Mailbox>) -> Self {
        Gen2Instance { id: evse_id(connector), connector, status: Mutex::new(Arc::new(status)), mailbox }
    }

    pub(crate) fn publish(&self, status: EvseStatus) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(status);
    }

    fn refusal(&self, kind: EvseErrorKind, text: &str) -> EvseError {
        EvseError { id: self.id.clone(), kind, text: text.to_owned() }
    }

    fn undelivered(&self, why: Undelivered) -> EvseError {
        match why {
            Undelivered::Ended => self.refusal(EvseErrorKind::Broken, "its controller has ended"),
            Undelivered::Full => self.refusal(EvseErrorKind::Retry, "too many commands wait; try again in a second"),
        }
    }
}

impl EvseInstance for Gen2Instance {
    fn id(&self) -> &EvseId {
        &self.id
    }

    fn status(&self) -> Arc<EvseStatus> {
        Arc::clone(&self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_target(&self, target: Target) -> Result<(), EvseError> {
        if !self.status().capabilities.set_target {
            return Err(self.refusal(
                EvseErrorKind::Unsupported,
                "the program only listens on this bus (fakeMaster is not 1), so it cannot steer this connector",
            ));
        }
        self.mailbox
            .put(|mail| {
                mail.targets.insert(self.connector, target);
            })
            .map_err(|why| self.undelivered(why))
    }

    fn start(&self) -> Result<(), EvseError> {
        if !self.status().capabilities.start {
            return Err(self.refusal(
                EvseErrorKind::Unsupported,
                "this connector starts a car by offering it power; wake a sleeping car through its own interface",
            ));
        }
        self.mailbox.command(Command::Start(self.connector)).map_err(|why| self.undelivered(why))
    }

    fn stop(&self) -> Result<(), EvseError> {
        if !self.status().capabilities.stop {
            return Err(self.refusal(
                EvseErrorKind::Unsupported,
                "this connector cannot stop a car (it falls to 6 A); stop it through the car's own interface, or set \
                 chargeStopMode to 2 or 3",
            ));
        }
        self.mailbox.command(Command::Stop(self.connector)).map_err(|why| self.undelivered(why))
    }

    fn start_on_request(&self) -> Result<(), EvseError> {
        if !self.status().capabilities.on_request {
            return self.start();
        }
        self.mailbox.command(Command::StartOnRequest(self.connector)).map_err(|why| self.undelivered(why))
    }

    fn stop_on_request(&self) -> Result<(), EvseError> {
        if !self.status().capabilities.on_request {
            return self.stop();
        }
        self.mailbox.command(Command::StopOnRequest(self.connector)).map_err(|why| self.undelivered(why))
    }
}

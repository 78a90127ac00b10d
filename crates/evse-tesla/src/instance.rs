//! The handle to one car as a charging point.

use std::sync::{Arc, Mutex, PoisonError};

use evse::{EvseError, EvseErrorKind, EvseId, EvseInstance, EvseStatus, Target};
use vehicle::CarKey;

use crate::mailbox::{Mail, Mailbox, Undelivered};

/// The id that everybody else uses for a car: `tesla-<VIN>`, or `tesla-` and a name in small letters and digits.
#[must_use]
pub fn evse_id(car: &CarKey) -> EvseId {
    match car {
        CarKey::Vin(vin) => EvseId::new(format!("tesla-{vin}")),
        CarKey::Name(name) => {
            let letter = |c: char| if c.is_alphanumeric() { c.to_lowercase().next().unwrap_or('_') } else { '_' };
            EvseId::new(format!("tesla-{}", name.chars().map(letter).collect::<String>()))
        }
    }
}

/// One car at home.
#[derive(Debug)]
pub(crate) struct TeslaInstance {
    id: EvseId,
    car: CarKey,
    status: Mutex<Arc<EvseStatus>>,
    mailbox: Arc<Mailbox>,
}

impl TeslaInstance {
    pub(crate) fn new(id: EvseId, car: CarKey, status: EvseStatus, mailbox: Arc<Mailbox>) -> Self {
        TeslaInstance { id, car, status: Mutex::new(Arc::new(status)), mailbox }
    }

    /// Returns whether anything but ages changed.
    pub(crate) fn publish(&self, status: EvseStatus) -> bool {
        let mut slot = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = **slot != status;
        *slot = Arc::new(status);
        is_new
    }

    fn put(&self, can: bool, change: impl FnOnce(&mut Mail)) -> Result<(), EvseError> {
        let error = |kind, text: &str| EvseError { id: self.id.clone(), kind, text: text.to_owned() };
        if !can {
            return Err(error(
                EvseErrorKind::Unsupported,
                "no source can command this car now; its page says why (`vehicle.teslaAPI`, `vehicle.teslaBLE`)",
            ));
        }
        self.mailbox.put(change).map_err(|why| match why {
            Undelivered::Ended => error(EvseErrorKind::Broken, "its controller has ended"),
            Undelivered::Full => error(EvseErrorKind::Retry, "too many commands wait; try again in a second"),
        })
    }
}

impl EvseInstance for TeslaInstance {
    fn id(&self) -> &EvseId {
        &self.id
    }

    fn is_local(&self) -> bool {
        false
    }

    fn status(&self) -> Arc<EvseStatus> {
        Arc::clone(&self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_target(&self, target: Target) -> Result<(), EvseError> {
        self.put(self.status().capabilities.set_target, |mail| {
            mail.targets.insert(self.car.clone(), target);
        })
    }

    fn start(&self) -> Result<(), EvseError> {
        self.put(self.status().capabilities.start, |mail| {
            mail.orders.insert(self.car.clone(), true);
        })
    }

    fn stop(&self) -> Result<(), EvseError> {
        self.put(self.status().capabilities.stop, |mail| {
            mail.orders.insert(self.car.clone(), false);
        })
    }
}

//! The two traits, and what travels through them.

use std::sync::Arc;
use std::time::Instant;

use units::{Amps, Phases, Volts, Watts};

use crate::{EvseId, EvseLimits, EvseStatus};

/// Power granted to one EVSE, until when, and the voltage and phases it was worked out with.
///
/// A target is a lease: once `expires_at` has passed the controller falls back to its safe value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Power granted.
    pub power: Watts,
    /// Voltage that the giver used, from the EVSE's own status.
    pub volts: Volts,
    /// Phases that the giver used, from the EVSE's own status.
    pub phases: Phases,
    /// When the grant ends unless it is renewed.
    pub expires_at: Instant,
}

impl Target {
    /// A grant of `power`, worked out with the EVSE's own voltage and phases.
    #[must_use]
    pub fn new(power: Watts, limits: &EvseLimits, expires_at: Instant) -> Self {
        Target { power, volts: limits.volts, phases: limits.phases, expires_at }
    }

    /// The current per phase that this grant allows, rounded down, and never more than `limits.max`.
    ///
    /// It is worked out with the voltage of the grant, so that a limit in amps stays exact while the voltage moves.
    #[must_use]
    pub fn amps(&self, limits: &EvseLimits) -> Amps {
        self.power.amps_floor(self.volts, self.phases).min(limits.max)
    }
}

/// One EVSE, as a handle.
///
/// # For those who implement it
/// No method may block or do I/O: getters return what the controller's thread last learnt, setters queue a command for
/// that thread and return. Methods are called from the site's thread and from front ends.
///
/// # For those who call it
/// A status may be old: judge [`EvseStatus::age`]. A setter that returned `Ok` was queued, not obeyed; the proof is in a
/// later status.
pub trait EvseInstance: Send + Sync {
    /// Which EVSE this is; never changes.
    fn id(&self) -> &EvseId;

    /// Whether it is the charging point itself; `false` for a car known through its maker's or its own interface, which
    /// measures less well and plugs into a charging point that may be known too.
    fn is_local(&self) -> bool {
        true
    }

    /// What was last learnt.
    fn status(&self) -> Arc<EvseStatus>;

    /// Grants power. A newer target replaces one that has not been acted on.
    ///
    /// # Errors
    /// `Unsupported` for a read-only instance, `Broken` when its controller has ended.
    fn set_target(&self, target: Target) -> Result<(), EvseError>;

    /// Asks the car to start, beyond being offered power.
    ///
    /// # Errors
    /// `Unsupported` where the EVSE has no such command, `Broken` when its controller has ended.
    fn start(&self) -> Result<(), EvseError>;

    /// Asks the car to stop.
    ///
    /// # Errors
    /// `Unsupported` where the EVSE has no such command, `Broken` when its controller has ended.
    fn stop(&self) -> Result<(), EvseError>;

    /// Asks the car to start because a person said so, by every way there is.
    ///
    /// # Errors
    /// As for [`EvseInstance::start`].
    fn start_on_request(&self) -> Result<(), EvseError> {
        self.start()
    }

    /// Asks the car to stop because a person said so, where need be by a way that is not used otherwise
    /// ([`Capabilities::on_request`](crate::Capabilities::on_request)).
    ///
    /// # Errors
    /// As for [`EvseInstance::stop`].
    fn stop_on_request(&self) -> Result<(), EvseError> {
        self.stop()
    }
}

/// What speaks to a family of EVSEs.
///
/// # For those who implement it
/// The controller owns its port and thread. It tells its [`EvseListener`] of every change as soon as it learns of it, and
/// keeps every offer within its own circuit limit at every instant, transitions included: targets are wishes, the limit
/// is not.
///
/// # For those who call it
/// Dropping a controller ends its thread and leaves its devices in a defined state; [`EvseController::shutdown`] does the
/// same and waits.
pub trait EvseController: Send {
    /// Name of the controller, such as `Gen2TWCs`.
    fn name(&self) -> &str;

    /// The EVSEs that it knows now.
    fn instances(&self) -> Vec<Arc<dyn EvseInstance>>;

    /// Ends the controller's thread and waits for it, at most about a second.
    fn shutdown(&mut self);
}

/// Whom a controller tells. Called on the controller's own thread: return at once.
pub trait EvseListener: Send + Sync {
    /// An EVSE appeared or changed.
    fn changed(&self, instance: &Arc<dyn EvseInstance>);

    /// An EVSE was forgotten: renamed itself, or silent for very long.
    fn gone(&self, id: &EvseId);

    /// Something that people should hear of.
    fn event(&self, event: ControllerEvent);
}

/// Something a controller wants people to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerEvent {
    /// Name of the controller.
    pub controller: String,
    /// Which EVSE, when it is about one.
    pub evse: Option<EvseId>,
    /// How much it matters.
    pub level: EventLevel,
    /// A stable word for programs, such as `second_controller`.
    pub code: &'static str,
    /// One clear sentence, with what to do when something is to be done.
    pub text: String,
    /// Whether this ends a condition that an earlier event with the same code began.
    pub cleared: bool,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventLevel {
    /// Worth a line.
    Info,
    /// Somebody should look at it.
    Warning,
    /// Charging is prevented or unsafe until somebody acts.
    Alarm,
}

/// Why an EVSE did not take a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id}: {text}")]
pub struct EvseError {
    /// Which EVSE.
    pub id: EvseId,
    /// What the caller can do about it.
    pub kind: EvseErrorKind,
    /// A sentence for people.
    pub text: String,
}

/// What a caller can do about an [`EvseError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvseErrorKind {
    /// Try again later.
    Retry,
    /// The EVSE has no such command.
    Unsupported,
    /// The controller behind it has ended.
    Broken,
}

//! What the site wants done. One closed list; the thread around the site does it.

use evse::{EvseId, Target, Vin};
use units::{Amps, PerPhase, Percent, WattHours, Watts};

/// One thing to do. Drain with [`Site::poll_output`](crate::Site::poll_output) until `None`, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Grant power to one charging point. A lease: it is renewed well before it expires.
    Target {
        /// Which.
        id: EvseId,
        /// How much, until when.
        target: Target,
    },
    /// Tell one charging point to start its car.
    Start(EvseId),
    /// Tell one charging point to stop its car.
    Stop(EvseId),
    /// The same because a person asked for it: by every way there is.
    StartOnRequest(EvseId),
    /// The same because a person asked for it, where need be by a way that is not used otherwise.
    StopOnRequest(EvseId),
    /// What all controllers on the site's circuit may offer together, on each phase: wiring, grid limit and main fuse,
    /// never more than the wiring. Comes before the targets that follow from it, and at once when it falls.
    CircuitLimit(PerPhase<Amps>),
    /// `settings.json` changed: write [`Site::settings`](crate::Site::settings) to disk.
    SaveSettings,
    /// Call an address that the configuration gives for an event of a policy.
    Webhook(Webhook),
    /// Charge limit that cars at home should have; `None` gives them their own back.
    VehicleLimit(Option<Percent>),
    /// Whether a car may charge here; a sentence when it may not. Told when it changes.
    CarPermission {
        /// Which car.
        vin: Vin,
        /// Why it may not.
        refusal: Option<String>,
    },
    /// Something worth writing down or telling.
    Event(Event),
}

/// A call of a policy's webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where.
    pub url: String,
    /// `POST` carries the `getStatus` object as JSON, `GET` carries nothing.
    pub method: WebhookMethod,
    /// The policy whose webhook this is.
    pub policy: String,
    /// `enter`, `exit`, `start` or `stop`.
    pub event: &'static str,
}

/// How webhooks are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WebhookMethod {
    /// With the status as body.
    #[default]
    Post,
    /// Without a body.
    Get,
}

/// Something worth writing down or telling.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A session began, went on (about once a minute while current flows) or ended. Replaces what was known under its id.
    Session(SessionEvent),
    /// What a charging point was offered and drew; when it changed, and about once a minute while it charges.
    Offer {
        /// Which.
        evse: EvseId,
        /// Current per phase that it was last told.
        offered: Option<Amps>,
        /// Current that flows, the highest phase.
        drawn: Option<Amps>,
        /// Power that flows.
        power: Option<Watts>,
        /// The stable word for what bounds the offer.
        reason: &'static str,
    },
    /// Power flows after a reading of a source; and once a minute those of the whole site, without a source.
    Reading(FlowEvent),
    /// Another policy took over.
    Policy {
        /// The one before; `None` at start.
        from: Option<String>,
        /// The one now.
        to: String,
        /// A sentence.
        reason: String,
    },
    /// Something somebody should know began or ended.
    Alert {
        /// A stable word for programs.
        code: String,
        /// A sentence.
        text: String,
        /// `info`, `warning` or `alarm`.
        level: &'static str,
        /// Whether it ended.
        cleared: bool,
    },
}

/// The state of a session. Times are seconds since 1970 (UTC).
#[derive(Debug, Clone, PartialEq)]
pub struct SessionEvent {
    /// Unique for ever.
    pub id: String,
    /// Which charging point.
    pub evse: EvseId,
    /// The car, when known.
    pub vin: Option<String>,
    /// When the car was plugged in or first drew.
    pub started_at: f64,
    /// When it ended; `None` while it lasts.
    pub ended_at: Option<f64>,
    /// When this state was true.
    pub updated_at: f64,
    /// Energy so far.
    pub energy: WattHours,
    /// Whether the energy was reckoned from current and voltage rather than taken from the device's counter.
    pub is_estimate: bool,
    /// Seconds in which current flowed.
    pub charging_s: f64,
    /// The device's own counter at the start.
    pub counter_start: Option<WattHours>,
    /// The device's own counter now.
    pub counter: Option<WattHours>,
}

/// Power flows of the whole site; `None` is unknown.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowEvent {
    /// The source whose reading this came with; empty for the site as a whole.
    pub source: String,
    /// Generation.
    pub generation: Option<Watts>,
    /// Consumption as the meters tell it.
    pub consumption: Option<Watts>,
    /// Grid, import positive.
    pub grid: Option<Watts>,
    /// Battery, discharge positive.
    pub battery: Option<Watts>,
    /// Battery state of charge.
    pub battery_soc: Option<Percent>,
    /// What all cars draw.
    pub cars: Watts,
}

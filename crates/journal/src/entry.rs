//! What is written down. Times are whole milliseconds since 1970 (UTC).

/// One thing to write down.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A reading of an energy source.
    Reading(ReadingSample),
    /// What a charging point was offered and drew.
    Offer(OfferSample),
    /// What a charging point's own meter says.
    Counter(CounterSample),
    /// The state of a session; a later one with the same id replaces it.
    Session(SessionRecord),
}

/// Power flows of the site at one moment, in watts; `None` is unknown.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadingSample {
    /// When.
    pub at_ms: i64,
    /// Which source; empty for the site as a whole.
    pub source: String,
    /// Generation.
    pub generation_w: Option<f64>,
    /// Consumption.
    pub consumption_w: Option<f64>,
    /// Grid, import positive.
    pub grid_w: Option<f64>,
    /// Battery, discharge positive.
    pub battery_w: Option<f64>,
    /// Battery state of charge in percent.
    pub battery_soc: Option<f64>,
    /// What all cars drew.
    pub cars_w: Option<f64>,
}

/// What one charging point was offered and drew at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OfferSample {
    /// When.
    pub at_ms: i64,
    /// Which charging point.
    pub evse: String,
    /// Offered current per phase, in amps.
    pub offered_a: Option<f64>,
    /// Current drawn, the highest phase, in amps.
    pub drawn_a: Option<f64>,
    /// Power drawn, in watts.
    pub power_w: Option<f64>,
    /// The stable word for what bound the offer.
    pub reason: String,
}

/// What a charging point's own meter says at one moment: TWCManager's `slave_status`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CounterSample {
    /// When.
    pub at_ms: i64,
    /// Which charging point.
    pub evse: String,
    /// All energy that it ever delivered, in watt-hours.
    pub counter_wh: f64,
    /// Voltage of each phase; `None` where it has none.
    pub volts: [Option<f64>; 3],
}

/// A charging session: from plug-in or first draw to the end.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SessionRecord {
    /// Unique for ever.
    pub id: String,
    /// Which charging point.
    pub evse: String,
    /// The car, when known.
    pub vin: Option<String>,
    /// When it began.
    pub started_ms: i64,
    /// When it ended; `None` while it lasts.
    pub ended_ms: Option<i64>,
    /// When this state was true.
    pub updated_ms: i64,
    /// Energy so far, in watt-hours.
    pub energy_wh: f64,
    /// Whether part of the energy was estimated.
    pub is_estimate: bool,
    /// Time in which current flowed, in milliseconds.
    pub charging_ms: i64,
    /// The device's own energy counter at the start, in watt-hours, when it has one.
    pub counter_start_wh: Option<f64>,
    /// The device's own energy counter now.
    pub counter_wh: Option<f64>,
}

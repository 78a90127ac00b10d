//! What the controller tells about its bus.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gen2_protocol::{Message, TwcId};
use units::Amps;

/// State of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineState {
    /// The port is not open; it is tried again and again.
    Closed,
    /// The controller announces itself.
    Announcing,
    /// Normal.
    Running,
    /// Another controller was heard: nothing is sent until it has gone.
    StoodDown,
    /// The program only listens, or plays a connector.
    Passive,
}

/// Counters and state of one bus, as of `taken_at`.
#[derive(Debug, Clone, PartialEq)]
pub struct BusStatus {
    /// When these numbers were taken.
    pub taken_at: Instant,
    /// State of the line.
    pub line: LineState,
    /// Why the port is closed, in words.
    pub port_error: Option<String>,
    /// The controller's identity.
    pub own_id: TwcId,
    /// The other controller on the line, while one is heard.
    pub other_controller: Option<TwcId>,
    /// Connectors known.
    pub connectors: usize,
    /// Good frames received.
    pub frames_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Frames thrown away because they were too short.
    pub too_short: u64,
    /// Frames thrown away because they were too long.
    pub too_long: u64,
    /// Frames thrown away for a wrong escape.
    pub bad_escape: u64,
    /// Frames thrown away for a wrong checksum.
    pub bad_checksum: u64,
    /// Frames recovered although a delimiter was lost.
    pub salvaged: u64,
    /// Own frames that came back from the adapter.
    pub echoes: u64,
    /// Heartbeats that got no answer in time.
    pub unanswered: u64,
    /// Answers that came after their time.
    pub late_answers: u64,
    /// Queries that got no answer in time.
    pub queries_unanswered: u64,
    /// Times the port was opened again.
    pub reconnects: u64,
    /// How much later than due the latest heartbeat left.
    pub heartbeat_lateness: Duration,
    /// The worst of these in the last minute or two.
    pub worst_heartbeat_lateness: Duration,
    /// Times the bus thread failed and was started anew.
    pub restarts: u64,
    /// Sum of what is counted against the wiring.
    pub committed: Amps,
    /// What the connectors together may use now: the wiring, or less while a circuit limit holds.
    pub circuit_limit: Amps,
}

impl BusStatus {
    /// Share of received frames that were damaged, 0 to 1; nothing before 50 frames.
    #[must_use]
    pub fn damaged_share(&self) -> Option<f64> {
        let bad = self.too_short + self.too_long + self.bad_escape + self.bad_checksum;
        let all = bad + self.frames_in;
        #[allow(clippy::cast_precision_loss, reason = "counts of frames stay far below 2^52")]
        let share = bad as f64 / all as f64;
        (all >= 50).then_some(share)
    }
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It was received.
    In,
    /// It was sent.
    Out,
}

/// One message on the bus, for whoever watches the traffic.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// When.
    pub at: Instant,
    /// Which way.
    pub direction: Direction,
    /// What it says.
    pub message: Message,
}

/// Called for every message on the controller's own thread: return at once.
pub type Monitor = Arc<dyn Fn(&Traffic) + Send + Sync>;

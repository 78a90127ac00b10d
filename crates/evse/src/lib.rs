#![doc = include_str!("../README.md")]

/// The unit types in every signature here.
pub use units;

mod instance;
mod limits;
mod matching;
mod merged;
mod merger;
mod status;

pub use instance::{
    ControllerEvent, EventLevel, EvseController, EvseError, EvseErrorKind, EvseInstance, EvseListener, Target,
};
/// The spelling that people who come from TWCManager may look for.
pub use instance::{EvseController as EVSEController, EvseInstance as EVSEInstance};
pub use limits::EvseLimits;
pub use merged::{MergeTable, Merged, RateRoute, Routing, StopRoute, merge_by_vin};
pub use merger::{AtConnector, MatchedBy, MergeNews, MergeSettings, Merger, REFUSES, TOLD_PHASES, View};
pub use status::{Activity, Capabilities, Detail, EvseId, EvseStatus, Link, Plug, Vin};

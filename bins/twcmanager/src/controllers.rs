//! Controllers of other makes of charging points, compiled in by name.

use std::sync::Arc;

use ems::{KeySpec, Section};
use evse::{EvseController, EvseListener};

/// Makes and starts a controller from its section.
pub type OpenController = fn(&mut Section, Arc<dyn EvseListener>) -> Option<Box<dyn EvseController>>;

/// A controller, for [`crate::Program::with_controller`].
///
/// Its part of the configuration is a top-level object, as TWCManager has it for Gen 3 connectors.
#[derive(Clone, Copy)]
pub struct ControllerDriver {
    /// Its top-level key in the configuration, such as `controller.Wallbox`.
    pub section: &'static str,
    /// One line about what it steers.
    pub summary: &'static str,
    /// Its keys, apart from `enabled`, which all have.
    pub keys: &'static [KeySpec],
    /// Makes and starts a controller. Mistakes are noted in the section; `None` when they leave nothing to start.
    pub open: OpenController,
}

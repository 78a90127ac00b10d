//! Cars over Bluetooth through the vendor's command-line program `tesla-control`: the source `TeslaBLE`.
//!
//! ```text
//! who decides --Ask--> one thread --a run of tesla-control--> Bluetooth adapter --> car
//!            <--Report, Answer--
//! ```
//!
//! | part | what |
//! |---|---|
//! | [`Settings`], [`Patience`] | where the program is, which keys, how long to wait |
//! | [`find`] | looks for the program where people put it |
//! | [`open`] | the [`VehicleSource`] |
//! | [`pair`] | asks a car to take a key, once |
//! | `run.rs` | one run of the program: bounded in time and size, killed with all that it started |
//! | `said.rs`, `state.rs` | what the program prints; pure |
//! | `breaker.rs` | leaves Bluetooth alone after failures in a row; pure |
//! | `control.rs` | which runs a question takes |
//!
//! One run at a time, since the program takes the adapter for itself. It never wakes a car unasked: before it is read or told
//! something, and unless it was reached within the last minutes, the body controller is asked whether the car sleeps, which
//! wakes nobody. Where there is no adapter, nothing is run at all: the system's list of adapters is looked at once a minute.
//!
//! Keys are written to a folder of our own that only its owner can read, and removed when the source ends. (After `kill -9`
//! they stay there until the system clears its temporary folder.)
//!
//! It costs nothing and needs no internet. Not here: a radio of our own.
//!
//! Facts: `cmd/tesla-control` of <https://github.com/teslamotors/vehicle-command>; use and quirks in `docs/vehicles/bluetooth.md`.

mod adapter;
mod breaker;
mod control;
mod keys;
mod pair;
mod run;
mod said;
mod settings;
mod state;

use std::sync::Arc;

use vehicle::{Abilities, CarKey, VehicleListener, VehicleSource};

pub use pair::pair;
pub use settings::{Patience, SHORTEST_WAIT, Settings, find};

use adapter::Adapter;
use control::Control;
use keys::Keys;

/// Name of the source.
pub const NAME: &str = "TeslaBLE";

/// Why the source cannot be opened, or a car cannot be asked to take a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program is not there.
    #[error(
        "cars are not spoken to over Bluetooth, since tesla-control was not found: install it (docs/vehicles/bluetooth.md), \
         write its path into config.teslaControlPath, or switch vehicle.teslaBLE.enabled off"
    )]
    NoProgram,
    /// There is no key for this car.
    #[error(
        "there is no key for this car: make one with `twcmanager tesla setup --create-key`, then pair it with the car"
    )]
    NoKey,
    /// The key cannot be handed to the program.
    #[error(
        "the key for Bluetooth cannot be handed to tesla-control: {0}; see that the temporary folder can be written to"
    )]
    KeyFile(#[source] std::io::Error),
    /// The system gave no thread.
    #[error("cars are not spoken to over Bluetooth, since the system gave no thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The car or the program said no.
    #[error("{0}")]
    Failed(String),
}

/// Opens the source. No program is run before something is asked.
///
/// # Errors
/// [`Error::NoProgram`], [`Error::KeyFile`], [`Error::Thread`].
pub fn open(settings: Settings, listener: Arc<dyn VehicleListener>) -> Result<Arc<dyn VehicleSource>, Error> {
    let program = settings.program.clone().ok_or(Error::NoProgram)?;
    let keys = Arc::new(Keys::write(&settings)?);
    let adapter = Arc::new(Adapter::new(&settings));
    let (known, usable) = (Arc::clone(&keys), Arc::clone(&adapter));
    let able = move |car: &CarKey| {
        let has_key = car.vin().is_some_and(|vin| known.of(vin).is_some());
        if !has_key || !usable.is_there() {
            return Abilities::default();
        }
        Abilities { reads: true, reads_wakefulness: true, commands: true, wakes: true, ..Abilities::default() }
    };
    let control = Control::new(program, keys, adapter, &settings);
    vehicle_radio::open(NAME, control, able, listener).map_err(Error::Thread)
}

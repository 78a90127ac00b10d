//! The controller as the program holds it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use evse::{EvseController, EvseInstance, EvseListener};
use garage::Kept;
use vehicle::{CarKey, VehicleListener, VehicleSource};

use crate::fleet::Fleet;
use crate::handle::CarsHandle;
use crate::instance::TeslaInstance;
use crate::runner::supervise;
use crate::{Keeper, TeslaCarsSettings};

/// Name of the controller.
pub(crate) const NAME: &str = "TeslaCars";
/// Longest that [`EvseController::shutdown`] waits for the thread.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(1);

pub(crate) type Instances = Mutex<BTreeMap<CarKey, Arc<TeslaInstance>>>;

/// All cars at home as charging points, whatever their make: "Tesla" is where most of them come from.
pub struct TeslaCars {
    handle: CarsHandle,
    instances: Arc<Instances>,
    thread: Option<thread::JoinHandle<()>>,
    ended: mpsc::Receiver<()>,
}

impl TeslaCars {
    /// Starts the thread and the sources. `kept` is what `keeper` was last given; `sources` makes the sources, each of
    /// which tells the given listener; they end with the thread.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn open(
        settings: TeslaCarsSettings,
        kept: Kept,
        keeper: Box<dyn Keeper>,
        sources: impl FnOnce(Arc<dyn VehicleListener>) -> Vec<Arc<dyn VehicleSource>>,
        listener: Arc<dyn EvseListener>,
    ) -> io::Result<Self> {
        let fleet = Fleet::new(Instant::now(), settings, kept, keeper, sources, listener);
        let (handle, instances) = (fleet.handle(), fleet.instances());
        let (done, ended) = mpsc::channel();
        let thread = thread::Builder::new().name(NAME.to_owned()).spawn(move || {
            supervise(fleet);
            // Nobody waits any more when the controller was dropped meanwhile.
            let _nobody_waits = done.send(());
        })?;
        Ok(TeslaCars { handle, instances, thread: Some(thread), ended })
    }

    /// For front ends.
    #[must_use]
    pub fn handle(&self) -> CarsHandle {
        self.handle.clone()
    }
}

impl EvseController for TeslaCars {
    fn name(&self) -> &str {
        NAME
    }

    fn instances(&self) -> Vec<Arc<dyn EvseInstance>> {
        let instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        instances.values().map(|instance| Arc::clone(instance) as Arc<dyn EvseInstance>).collect()
    }

    fn shutdown(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // Fails only when the thread has ended already.
        let _ended_already = self.handle.mailbox.put(|mail| mail.stop = true);
        match self.ended.recv_timeout(SHUTDOWN_PATIENCE) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                log::warn!("{NAME}: the thread did not end within a second; it is left behind");
            }
            _ => {
                if thread.join().is_err() {
                    log::error!("{NAME}: the thread ended with a panic");
                }
            }
        }
    }
}

impl Drop for TeslaCars {
    fn drop(&mut self) {
        self.shutdown();
    }
}

//! The System V message queue by which TWCManager's old PHP page, and openWB through it, ask and command ("WebIPC").
//!
//! | part | does |
//! |---|---|
//! | [`ControlIpc`] | serves the queue of the settings folder on a thread of its own |
//! | `packet` | bytes into time, id and text, and replies back; pure |
//! | `request` | text into what is asked for; pure |
//! | `obey` | what is asked for into commands of the site, or a reply |
//! | `answer` | a snapshot in the words of the old page; pure |
//! | `queue` | the kernel's calls, and all `unsafe` code |
//! | `serve` | the loop |
//!
//! ```no_run
//! # fn with(site: std::sync::Arc<dyn site::SitePort>) -> Result<(), Box<dyn std::error::Error>> {
//! use control_ipc::{ControlIpc, IpcConfig};
//! let control = ControlIpc::start(IpcConfig { folder: "/etc/twcmanager".into() }, site, None)?;
//! control.shutdown();
//! # Ok(())
//! # }
//! ```
//!
//! The thread sleeps in the kernel until a message comes: it costs no wake-ups. To end it, a message of a type of its own is
//! sent to it. (A signal would need a handler and a race; removing the queue is refused where the page made it.) A queue that is
//! removed wakes it too, and is made again.
//!
//! Whoever has an account on this computer can write to the queue, as ever; so it is off unless `control.IPC.enabled` says
//! otherwise. What is obeyed passes the site like every other command. Linux only: elsewhere this crate is empty.
//!
//! Facts: the protocol as TWCManager 1.4 serves it and its PHP page speaks it. What users should know is in
//! `docs/control-ipc.md`.

#![cfg(target_os = "linux")]

mod answer;
#[cfg(test)]
mod kernel_tests;
mod obey;
mod packet;
mod queue;
mod request;
mod serve;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use site::SitePort;

pub use obey::RawBus;
use serve::{Bell, Desk};

/// Longest wait for the thread at the end: a command may take the site two seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpcConfig {
    /// `config.settingsPath`: the folder whose queue is served. The page's `$twcScriptDir` must name the same.
    pub folder: PathBuf,
}

/// Why the queue is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No thread.
    #[error("control.IPC cannot be served: {0}")]
    NoThread(std::io::Error),
}

/// Serves the queue until it is shut down or dropped.
#[derive(Debug)]
pub struct ControlIpc {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl ControlIpc {
    /// Begins. `bus` is for debug messages, where there is a bus.
    ///
    /// # Errors
    /// When no thread can be started. A queue that cannot be made is no error: that is told in the log and tried again.
    pub fn start(
        config: IpcConfig,
        site: Arc<dyn SitePort>,
        bus: Option<Arc<dyn RawBus>>,
    ) -> Result<ControlIpc, ControlError> {
        let bell = Arc::new(Bell::default());
        let desk = Desk { folder: config.folder, site, bus, bell: Arc::clone(&bell) };
        let thread = std::thread::Builder::new()
            .name("control IPC".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || desk.serve())
            .map_err(ControlError::NoThread)?;
        Ok(ControlIpc { bell, thread: Some(thread) })
    }

    /// Messages so far that were no requests and were ignored.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.bell.ignored()
    }

    /// Serves no more, and waits for the request in hand. The queue stays, as it always did.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if !self.bell.end(PATIENCE) {
            // It sleeps in a queue that was closed to us meanwhile. It holds nothing, and ends with the program.
            log::debug!("the thread of control.IPC cannot be woken and is left behind");
        } else if thread.join().is_err() {
            log::error!("the thread of control.IPC failed inside; please report this");
        }
    }
}

impl Drop for ControlIpc {
    fn drop(&mut self) {
        self.end();
    }
}

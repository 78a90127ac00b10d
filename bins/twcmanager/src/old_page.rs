//! The message queue of the old PHP page, where it is compiled in: with the feature `ipc`, on Linux.

pub use served::OldPage;

#[cfg(all(feature = "ipc", target_os = "linux"))]
mod served {
    use std::path::PathBuf;
    use std::sync::Arc;

    use control_http::{DebugBus, DebugMessage};
    use control_ipc::{ControlIpc, IpcConfig, RawBus};
    use site::SitePort;

    use crate::bus_debug::Buses;

    /// Serves the queue until it is dropped.
    pub struct OldPage(#[expect(dead_code, reason = "kept for its end")] ControlIpc);

    impl OldPage {
        /// Whether this program can serve it at all.
        pub const IS_BUILT_IN: bool = true;

        /// Starts, or tells in the log why not.
        pub fn start(folder: PathBuf, site: Arc<dyn SitePort>, buses: Option<Arc<Buses>>) -> Option<OldPage> {
            let bus = buses.map(|buses| buses as Arc<dyn RawBus>);
            let started = ControlIpc::start(IpcConfig { folder }, site, bus);
            started.map_err(|error| log::error!("{error}")).ok().map(OldPage)
        }
    }

    impl RawBus for Buses {
        fn send(&self, message: &[u8]) -> Result<(), String> {
            DebugBus::send(self, &DebugMessage::Bytes(message.to_vec()))
        }

        fn last_answer(&self) -> Option<Vec<u8>> {
            DebugBus::last_answer(self)
        }
    }
}

#[cfg(not(all(feature = "ipc", target_os = "linux")))]
mod served {
    use std::path::PathBuf;
    use std::sync::Arc;

    use site::SitePort;

    use crate::bus_debug::Buses;

    /// Never there.
    pub enum OldPage {}

    impl OldPage {
        /// Whether this program can serve it at all.
        pub const IS_BUILT_IN: bool = false;

        /// Starts nothing; `plan::unserved` has told so.
        pub fn start(_: PathBuf, _: Arc<dyn SitePort>, _: Option<Arc<Buses>>) -> Option<OldPage> {
            None
        }
    }
}

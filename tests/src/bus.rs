//! Simulated connectors behind a TCP port, which a test can look at and change.

use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use gen2_simulator::{BusHandle, ConnectorSettings, SimulatedBus, run_tcp};

/// A simulated bus. Ends when dropped.
pub struct Bus {
    handle: BusHandle,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Bus {
    /// Starts a bus with these connectors on a free port.
    ///
    /// # Panics
    /// When the system refuses.
    #[must_use]
    pub fn start(connectors: Vec<ConnectorSettings>) -> Bus {
        Bus::start_at("127.0.0.1:0".parse().expect("an address"), connectors)
    }

    /// Starts it on a port of one's choice, for one that comes back after it vanished.
    ///
    /// # Panics
    /// When the system refuses.
    #[must_use]
    pub fn start_at(address: SocketAddr, connectors: Vec<ConnectorSettings>) -> Bus {
        let listener = TcpListener::bind(address).expect("a port for the simulated bus");
        let address = listener.local_addr().expect("its address");
        let handle = BusHandle::new(SimulatedBus::new(connectors, 1)).expect("a simulated bus");
        let runner = handle.clone();
        let thread = std::thread::spawn(move || run_tcp(&listener, &runner).expect("the simulated bus runs"));
        Bus { handle, address, thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port in the words of the configuration.
    #[must_use]
    pub fn port(&self) -> String {
        format!("socket://{}", self.address)
    }

    /// The bus itself.
    #[must_use]
    pub fn handle(&self) -> &BusHandle {
        &self.handle
    }

    /// The limit in amps that the connector at `index` was told and obeys.
    ///
    /// # Panics
    /// When there is no such connector.
    #[must_use]
    pub fn limit(&self, index: usize) -> f64 {
        let view = self.handle.with(|bus, _| bus.connector(index)).expect("the connector");
        f64::from(view.limit.0) / 100.0
    }

    /// Heartbeats that were heard on the bus, for whichever connector.
    #[must_use]
    pub fn heartbeats(&self) -> u32 {
        self.handle.with(|bus, _| bus.heartbeats())
    }

    /// What flows through the most loaded phase of the supply, in amps.
    #[must_use]
    pub fn drawn(&self) -> f64 {
        let draw = self.handle.with(|bus, _| bus.total_draw());
        draw.into_array().into_iter().map(|amps| amps.get()).fold(0.0, f64::max)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            // A panic there has already failed the test with its own message.
            let _ = thread.join();
        }
    }
}

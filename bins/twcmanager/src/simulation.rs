//! Simulated connectors: the `Dummy` interface, the demo, and `simulate-bus`.

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use std::thread::JoinHandle;

use evse_gen2::gen2_protocol::TwcId;
use evse_gen2::{PortSpec, memory_port};
use gen2_simulator::{BusHandle, ConnectorSettings, SimulatedBus, run_pty, run_socket, run_tcp};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::SimulatedLink;

/// A simulated bus on a thread of its own, in this process. Ends when dropped.
pub struct Simulation {
    bus: BusHandle,
    thread: Option<JoinHandle<()>>,
}

impl Simulation {
    /// Starts `connectors` on a bus; the port is where a controller reaches them.
    ///
    /// # Errors
    /// When the system is short of file descriptors or threads.
    pub fn start(connectors: Vec<ConnectorSettings>, seed: u64) -> io::Result<(Simulation, PortSpec)> {
        let bus = BusHandle::new(SimulatedBus::new(connectors, seed))?;
        let (port, stream) = memory_port()?;
        let runner = bus.clone();
        let run = move || {
            if let Err(error) = run_socket(stream, &runner) {
                log::error!("the simulated connectors ended: {error}");
            }
        };
        let thread = std::thread::Builder::new().name("simulated bus".to_owned()).stack_size(256 * 1024).spawn(run)?;
        Ok((Simulation { bus, thread: Some(thread) }, PortSpec::Memory(port)))
    }

    /// Starts what `interface.Dummy` asks for.
    ///
    /// # Errors
    /// As [`Simulation::start`].
    pub fn start_dummy(dummy: &config::Dummy) -> io::Result<(Simulation, PortSpec)> {
        if let Some(scenario) = &dummy.scenario {
            log::warn!(
                "interface.Dummy.scenario: {} is not played; the simulated cars behave as in the demo",
                scenario.display()
            );
        }
        let first = u16::from_be_bytes(dummy.id);
        let mut connectors = ConnectorSettings::demo(usize::from(dummy.connectors));
        for (connector, offset) in connectors.iter_mut().zip(0..) {
            connector.id = TwcId::from_u16(first.wrapping_add(offset));
        }
        Simulation::start(connectors, 1)
    }

    /// The bus, to look at or change.
    pub fn bus(&self) -> BusHandle {
        self.bus.clone()
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.bus.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the simulated connectors failed inside");
        }
    }
}

/// `simulate-bus`: connectors alone, until a signal comes.
pub fn serve(link: &SimulatedLink, connectors: u16, seed: u64) -> ExitCode {
    let units = ConnectorSettings::demo(usize::from(connectors));
    let bus = match BusHandle::new(SimulatedBus::new(units, seed)) {
        Ok(bus) => bus,
        Err(error) => return failed(&error),
    };
    if let Err(error) = stop_on_signal(bus.clone()) {
        return failed(&error);
    }
    let result = match link {
        SimulatedLink::Tcp(address) => TcpListener::bind(address).and_then(|listener| {
            log::info!("{connectors} simulated connectors at socket://{}", listener.local_addr()?);
            run_tcp(&listener, &bus)
        }),
        SimulatedLink::Pty(path) => {
            log::info!("{connectors} simulated connectors at {}", path.display());
            run_pty(path, &bus)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn stop_on_signal(bus: BusHandle) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            bus.stop();
        }
    })?;
    Ok(())
}

fn failed(error: &io::Error) -> ExitCode {
    log::error!("the simulated bus cannot be served: {error}; is the port or path in use?");
    ExitCode::FAILURE
}

//! Charges electric cars at home from what the house, the sun and the grid can spare.
//!
//! This crate only wires: arguments, configuration, registries, threads, signals. To compile an energy source of your own
//! in, write a `main` like this one and depend on this crate:
//!
//! ```no_run
//! use ems::{Ems, EmsDriver, EmsError, EmsReading, Section, Shared, Stop};
//!
//! struct MyMeter;
//!
//! impl Ems for MyMeter {
//!     fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
//!         Ok(EmsReading::now())
//!     }
//! }
//!
//! const MY_METER: EmsDriver = EmsDriver {
//!     name: "MyMeter", // enabled by `"sources": {"MyMeter": {"enabled": true}}`
//!     summary: "my own meter",
//!     keys: &[],
//!     open: |_section: &mut Section, _shared: &Shared| Some(Box::new(MyMeter)),
//! };
//!
//! fn main() -> std::process::ExitCode {
//!     twcmanager::Program::new().with_ems(MY_METER).main()
//! }
//! ```

mod args;
mod bus_debug;
mod cars;
mod check;
mod configuration;
mod controllers;
mod decode;
mod demo;
mod drivers;
mod explain;
mod import;
mod instance;
mod logs;
mod old_page;
mod outlets;
mod passwd;
mod past;
mod plan;
mod run;
mod simulation;
mod sinks;
mod supervisor;
mod talk;
mod tesla;
mod web;
mod webhook;

use std::process::ExitCode;

pub use controllers::{ControllerDriver, OpenController};

use args::Command;
use drivers::Drivers;
use ems::EmsDriver;
use logs::Logs;

/// The program, to be extended with drivers before it runs.
pub struct Program {
    drivers: Drivers,
}

impl Program {
    /// The program with every driver that comes with it.
    #[must_use]
    pub fn new() -> Self {
        Program { drivers: Drivers::builtin() }
    }

    /// Adds a driver; it replaces one of the same name.
    #[must_use]
    pub fn with_ems(mut self, driver: EmsDriver) -> Self {
        self.drivers.ems.retain(|known| known.name != driver.name);
        self.drivers.ems.push(driver);
        self
    }

    /// Adds a controller of another make of charging point.
    #[must_use]
    pub fn with_controller(mut self, driver: ControllerDriver) -> Self {
        self.drivers.controllers.push(driver);
        self
    }

    /// Does what the command line asks for.
    #[must_use]
    pub fn main(self) -> ExitCode {
        let args = match args::parse(std::env::args_os().skip(1)) {
            Ok(args) => args,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        let is_check = matches!(
            args.command,
            Command::Check(_) | Command::Explain(_) | Command::Import(_) | Command::Passwd { .. } | Command::Tesla(_)
        );
        let runs_on = matches!(args.command, Command::Run { .. } | Command::Demo { .. });
        let logs = Logs::start(args.verbosity, is_check, runs_on);
        let code = self.obey(args.command, &logs);
        logs.end();
        code
    }

    fn obey(&self, command: Command, logs: &Logs) -> ExitCode {
        match command {
            Command::Run { config } => run::run(config.as_deref(), &self.drivers, logs),
            Command::Demo { port } => demo::run(port, logs),
            Command::Check(check) => check::run(&check, &self.drivers),
            Command::Passwd { config, removes } => passwd::run(config.as_deref(), removes),
            Command::Tesla(args) => tesla::run(&args),
            Command::Import(import) => import::run(&import, &self.drivers),
            Command::Explain(explain) => explain::run(&explain, &self.drivers),
            Command::SimulateBus { link, connectors, seed } => simulation::serve(&link, connectors, seed),
            Command::Decode { hex } => {
                let (text, is_fine) = decode::explain(&hex);
                print!("{text}");
                if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Command::Help => {
                print!("{}", args::HELP);
                ExitCode::SUCCESS
            }
            Command::Version => {
                println!("twcmanager {}", env!("CARGO_PKG_VERSION"));
                ExitCode::SUCCESS
            }
        }
    }
}

impl Default for Program {
    fn default() -> Self {
        Program::new()
    }
}

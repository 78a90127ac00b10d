//! The simulated bus: connectors on a line, without a socket or a clock.

use std::time::{Duration, Instant};

use gen2_protocol::{CentiAmps, Decoder, Message, SlaveState, TwcId};
use units::{Amps, PerPhase, Percent, WattHours};

use crate::car::Car;
use crate::connector::{Ailment, Connector};
use crate::line::Line;
use crate::random::Random;
use crate::settings::{CarSettings, CarTemper, ConnectorSettings, Faults};

/// There is no connector with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no simulated connector {index}; there are {count}, counted from 0")]
pub struct NoSuchConnector {
    /// The number asked for.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

/// What a simulated connector believes and does right now.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ConnectorView {
    /// Its identity, which changes when it yields in a conflict.
    pub id: TwcId,
    /// The master it answers; nothing while it looks for one.
    pub master: Option<TwcId>,
    /// The state it would report.
    pub state: SlaveState,
    /// The limit it obeys and reports.
    pub limit: CentiAmps,
    /// What flows on each phase of the house.
    pub draw: PerPhase<Amps>,
    /// Energy passed in its life.
    pub energy: WattHours,
    /// How full the car is, if one is plugged in.
    pub soc: Option<Percent>,
}

/// Connectors with cars, driven by bytes and by the time that the caller gives.
///
/// | step | call |
/// | --- | --- |
/// | power up | [`handle_timeout`](SimulatedBus::handle_timeout) with the present time |
/// | the master wrote | [`handle_bytes`](SimulatedBus::handle_bytes) |
/// | drain | [`poll_output`](SimulatedBus::poll_output) until it gives nothing |
/// | sleep until | [`next_timeout`](SimulatedBus::next_timeout), then [`handle_timeout`](SimulatedBus::handle_timeout) |
///
/// Any call with a time first lets that much time pass, in order, so a jump of an hour is an hour of charging. Times must not
/// go back; an earlier one counts as the latest.
#[derive(Debug, Clone)]
pub struct SimulatedBus {
    seed: u64,
    random: Random,
    /// Connectors before power-up.
    unborn: Vec<ConnectorSettings>,
    connectors: Vec<Connector>,
    now: Option<Instant>,
    line: Line,
    decoder: Decoder,
    harmful: u32,
    unknown: u32,
    heartbeats: u32,
}

/// Time steps when nothing else is due, so that a long jump still sees a car become full.
const LONGEST_STEP: Duration = Duration::from_secs(10);

/// Bound on what can follow from each other at one instant.
const MOST_AT_ONCE: usize = 16;

impl SimulatedBus {
    /// A bus with these connectors. The same seed gives the same run; print it when a test fails.
    #[must_use]
    pub fn new(connectors: Vec<ConnectorSettings>, seed: u64) -> SimulatedBus {
        let mut random = Random::new(seed);
        let line = Line::new(Random::new(random.next()));
        SimulatedBus {
            seed,
            random,
            unborn: connectors,
            connectors: Vec::new(),
            now: None,
            line,
            decoder: Decoder::new(),
            harmful: 0,
            unknown: 0,
            heartbeats: 0,
        }
    }

    /// The seed it was made with.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Number of connectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connectors.len() + self.unborn.len()
    }

    /// Whether there is no connector at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // Feed.

    /// Bytes that the master wrote, in pieces of any size.
    pub fn handle_bytes(&mut self, now: Instant, mut bytes: &[u8]) {
        let now = self.pass(now);
        while let Some(frame) = self.decoder.next_frame(&mut bytes) {
            let message = frame.message();
            match message {
                Message::Harmful(harm, _) => {
                    log::warn!("simulated bus: the master sent a message that {harm}");
                    self.harmful = self.harmful.saturating_add(1);
                }
                Message::Unknown(_) => self.unknown = self.unknown.saturating_add(1),
                Message::MasterHeartbeat(_) => self.heartbeats = self.heartbeats.saturating_add(1),
                _ => {}
            }
            if !self.line.lets_master_through() {
                continue;
            }
            for connector in &mut self.connectors {
                connector.hear(now, &message);
            }
            self.collect();
        }
    }

    /// Lets time pass until `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.pass(now);
    }

    // Drain.

    /// Bytes that reach the master, a frame or what is left of it at a time; nothing when no more is due.
    pub fn poll_output(&mut self) -> Option<Vec<u8>> {
        self.line.receive(self.now?)
    }

    /// When to call [`handle_timeout`](SimulatedBus::handle_timeout) next. Nothing before power-up.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.connectors.iter().filter_map(Connector::next_timeout).chain(self.line.next_timeout()).min()
    }

    // Change.

    /// Puts a car on the cable; a car that is there already is taken off first.
    ///
    /// # Errors
    /// No such connector.
    pub fn plug_in(&mut self, now: Instant, index: usize, car: CarSettings) -> Result<(), NoSuchConnector> {
        self.change(now, index, |connector, now| {
            connector.outlet.unplug();
            connector.outlet.plug_in(now, Car::new(car));
        })
    }

    /// Takes the car off the cable, if there is one.
    ///
    /// # Errors
    /// No such connector.
    pub fn unplug(&mut self, now: Instant, index: usize) -> Result<(), NoSuchConnector> {
        self.change(now, index, |connector, _| {
            connector.outlet.unplug();
        })
    }

    /// Makes the car this full.
    ///
    /// # Errors
    /// No such connector.
    pub fn set_soc(&mut self, now: Instant, index: usize, soc: Percent) -> Result<(), NoSuchConnector> {
        self.change_car(now, index, |car, now| car.set_soc(now, soc))
    }

    /// Makes the car want to be this full.
    ///
    /// # Errors
    /// No such connector.
    pub fn set_charge_limit(&mut self, now: Instant, index: usize, limit: Percent) -> Result<(), NoSuchConnector> {
        self.change_car(now, index, |car, now| car.set_charge_limit(now, limit))
    }

    /// Changes the most that the car draws on each phase.
    ///
    /// # Errors
    /// No such connector.
    pub fn set_car_most(&mut self, now: Instant, index: usize, most: Amps) -> Result<(), NoSuchConnector> {
        self.change_car(now, index, |car, now| car.set_most(now, most))
    }

    /// Changes how the car takes to being told what to do.
    ///
    /// # Errors
    /// No such connector.
    pub fn set_temper(&mut self, now: Instant, index: usize, temper: CarTemper) -> Result<(), NoSuchConnector> {
        self.change_car(now, index, |car, now| car.set_temper(now, temper))
    }

    /// Makes a connector mute or deaf, or well again.
    ///
    /// # Errors
    /// No such connector.
    pub fn set_ailment(&mut self, now: Instant, index: usize, ailment: Ailment) -> Result<(), NoSuchConnector> {
        self.change(now, index, |connector, _| connector.ailment = ailment)
    }

    /// Takes a connector's power away and gives it back; also clears a commanded error.
    ///
    /// # Errors
    /// No such connector.
    pub fn reboot(&mut self, now: Instant, index: usize) -> Result<(), NoSuchConnector> {
        self.change(now, index, |connector, now| connector.reboot(now))?;
        self.line.forget(index);
        Ok(())
    }

    /// Gives a connector this identity, as if it had been built with it; two with the same one talk at once.
    ///
    /// # Errors
    /// No such connector.
    pub fn set_id(&mut self, now: Instant, index: usize, id: TwcId) -> Result<(), NoSuchConnector> {
        self.change(now, index, |connector, _| connector.set_id(id))
    }

    /// Changes how the line misbehaves from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.line.faults = faults;
    }

    // Look.

    /// What one connector believes and does, as of the latest time given.
    ///
    /// # Errors
    /// No such connector, or not powered up yet.
    pub fn connector(&self, index: usize) -> Result<ConnectorView, NoSuchConnector> {
        let connector = self.connectors.get(index).ok_or(NoSuchConnector { index, count: self.connectors.len() })?;
        Ok(ConnectorView {
            id: connector.id(),
            master: connector.master(),
            state: connector.outlet.state(),
            limit: connector.outlet.limit(),
            draw: connector.draw(),
            energy: connector.energy(),
            soc: connector.outlet.car().map(Car::soc),
        })
    }

    /// What all connectors believe and do.
    #[must_use]
    pub fn connectors(&self) -> Vec<ConnectorView> {
        (0..self.connectors.len()).filter_map(|index| self.connector(index).ok()).collect()
    }

    /// What all cars together draw on each phase of the house: what a breaker feels.
    #[must_use]
    pub fn total_draw(&self) -> PerPhase<Amps> {
        let draws: Vec<_> = self.connectors.iter().map(Connector::draw).collect();
        PerPhase::from_fn(|phase| draws.iter().map(|draw| draw[phase]).sum())
    }

    /// Messages known to harm real units that the master sent. A master passes its tests only with none.
    #[must_use]
    pub const fn harmful_messages(&self) -> u32 {
        self.harmful
    }

    /// Messages of the master that nobody has a name for.
    #[must_use]
    pub const fn unknown_messages(&self) -> u32 {
        self.unknown
    }

    /// Heartbeats that the master sent, whether or not they arrived.
    #[must_use]
    pub const fn heartbeats(&self) -> u32 {
        self.heartbeats
    }

    /// Times that two connectors talked at once.
    #[must_use]
    pub fn collisions(&self) -> u32 {
        self.line.collisions()
    }

    // Inside.

    fn change(
        &mut self,
        now: Instant,
        index: usize,
        change: impl FnOnce(&mut Connector, Instant),
    ) -> Result<(), NoSuchConnector> {
        let now = self.pass(now);
        let count = self.connectors.len();
        let connector = self.connectors.get_mut(index).ok_or(NoSuchConnector { index, count })?;
        change(connector, now);
        connector.advance(now);
        self.collect();
        Ok(())
    }

    fn change_car(
        &mut self,
        now: Instant,
        index: usize,
        change: impl FnOnce(&mut Car, Instant),
    ) -> Result<(), NoSuchConnector> {
        self.change(now, index, |connector, now| {
            connector.outlet.change_car(|car| change(car, now));
        })
    }

    /// Lets time pass until `now`, doing everything in its order; returns the time that it is then.
    fn pass(&mut self, now: Instant) -> Instant {
        let mut time = *self.now.get_or_insert(now);
        for settings in std::mem::take(&mut self.unborn) {
            let random = Random::new(self.random.next());
            self.connectors.push(Connector::new(time, settings, random));
        }
        loop {
            // One thing that is due can make another due at once; none makes itself due again.
            for _ in 0..MOST_AT_ONCE {
                let due = self.connectors.iter().filter_map(Connector::next_timeout);
                if !due.into_iter().any(|due| due <= time) {
                    break;
                }
                for connector in &mut self.connectors {
                    connector.advance(time);
                }
            }
            self.collect();
            if time >= now {
                break;
            }
            let due = self.connectors.iter().filter_map(Connector::next_timeout).min();
            let step = time + LONGEST_STEP;
            time = due.map_or(step, |due| due.clamp(time, step)).min(now);
            for connector in &mut self.connectors {
                connector.advance(time);
            }
        }
        self.now = Some(time);
        time
    }

    fn collect(&mut self) {
        for (index, connector) in self.connectors.iter_mut().enumerate() {
            for saying in connector.sayings.drain(..) {
                self.line.send(saying.at, index, saying.message.encode().as_bytes());
            }
        }
    }
}

//! What front ends, and whoever merges charging points with cars, hold.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use garage::{BudgetView, CarView, CommandPolicy, ConnectorView, HomeSetting};
use units::{Amps, Percent};
use vehicle::{CarKey, Request, Vehicle, VehicleError, VehicleState};

use crate::mailbox::{Command, Mail, Mailbox, Undelivered};

/// Longest that [`CarsHandle::command`] waits for the thread.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the thread publishes for front ends.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    pub(crate) views: Arc<Vec<CarView>>,
    pub(crate) budget: Option<Arc<BudgetView>>,
}

/// All cars, for front ends. Cheap to clone; every method may be called from any thread.
#[derive(Debug, Clone)]
pub struct CarsHandle {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) board: Arc<Mutex<Board>>,
}

impl CarsHandle {
    /// All cars that are known, at home or not.
    #[must_use]
    pub fn views(&self) -> Arc<Vec<CarView>> {
        Arc::clone(&self.board.lock().unwrap_or_else(PoisonError::into_inner).views)
    }

    /// What calls to cars cost so far; `None` for the first moment after the start.
    #[must_use]
    pub fn budget(&self) -> Option<Arc<BudgetView>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).budget.clone()
    }

    /// A person asks a car for something. Waits until the thread has taken it up, not until the car has.
    ///
    /// # Errors
    /// A sentence, when there is no such car, no source can do it, or the thread does not answer within two seconds.
    pub fn command(&self, car: &CarKey, request: Request) -> Result<(), VehicleError> {
        let (reply, answer) = mpsc::channel();
        let command = Command { car: car.clone(), request, reply: Some(reply) };
        let error = |text: String| VehicleError { car: car.clone(), text };
        self.mailbox.command(command).map_err(|why| error(undelivered(why).to_owned()))?;
        let answer = answer.recv_timeout(PATIENCE);
        answer.unwrap_or_else(|_| Err("the cars' thread did not answer in time; try again".to_owned())).map_err(error)
    }

    /// The charge limit that the policy wants for cars at home; `None` puts their own back.
    pub fn set_limit_wish(&self, limit: Option<Percent>) {
        self.put(|mail| mail.limit = Some(limit));
    }

    /// What the local charging point shows where this car is plugged in; `None` when it is at none. To be told with every
    /// change, and once more when the car leaves.
    pub fn connector(&self, car: &CarKey, view: Option<ConnectorView>) {
        self.put(|mail| {
            mail.connectors.insert(car.clone(), view);
        });
    }

    /// Whether a car may charge here; a reason for people when it may not.
    pub fn permit(&self, car: &CarKey, not_permitted: Option<String>) {
        self.put(|mail| {
            mail.permissions.insert(car.clone(), not_permitted);
        });
    }

    /// The policy changed: what was given up may be tried again.
    pub fn re_arm(&self) {
        self.put(|mail| mail.re_arm = true);
    }

    /// A person paid, or wants to try: billed calls may be made again.
    pub fn resume_billed_calls(&self) {
        self.put(|mail| mail.resume = true);
    }

    /// A car was plugged in at a local charging point that does not tell which one: those that it may be are looked at soon.
    pub fn unknown_plug_in(&self) {
        self.put(|mail| mail.unknown_plug_in = true);
    }

    /// Another order of sources for commands.
    pub fn set_policy(&self, policy: CommandPolicy) {
        self.put(|mail| mail.policy = Some(policy));
    }

    /// Another home.
    pub fn set_home(&self, home: HomeSetting) {
        self.put(|mail| mail.home = Some(home));
    }

    /// One car, as [`Vehicle`]; `None` when it is not known.
    #[must_use]
    pub fn car(&self, key: &CarKey) -> Option<CarHandle> {
        let is_known = self.views().iter().any(|view| view.key == *key);
        is_known.then(|| CarHandle { cars: self.clone(), key: key.clone() })
    }

    /// Reports of sources that were thrown away because more came than could be taken up.
    #[must_use]
    pub fn dropped_reports(&self) -> u64 {
        self.mailbox.dropped()
    }

    fn put(&self, change: impl FnOnce(&mut Mail)) {
        if self.mailbox.put(change).is_err() {
            log::debug!("TeslaCars has ended and is told nothing any more");
        }
    }
}

/// One car for front ends.
#[derive(Debug, Clone)]
pub struct CarHandle {
    cars: CarsHandle,
    key: CarKey,
}

impl CarHandle {
    /// What is known of it and what is being done.
    #[must_use]
    pub fn view(&self) -> Option<CarView> {
        self.cars.views().iter().find(|view| view.key == self.key).cloned()
    }

    fn queue(&self, request: Request) -> Result<(), VehicleError> {
        let error = |text: &str| VehicleError { car: self.key.clone(), text: text.to_owned() };
        let view = self.view().ok_or_else(|| error("this car is not known any more"))?;
        let can = if request == Request::Wake { view.can_wake } else { view.can_command };
        if !can {
            return Err(error("no source can do this now; the page of the car says why"));
        }
        let command = Command { car: self.key.clone(), request, reply: None };
        self.cars.mailbox.command(command).map_err(|why| error(undelivered(why)))
    }
}

impl Vehicle for CarHandle {
    fn key(&self) -> &CarKey {
        &self.key
    }

    fn state(&self) -> Arc<VehicleState> {
        self.view().map_or_else(|| Arc::new(VehicleState::new(self.key.clone())), |view| view.state)
    }

    fn start(&self) -> Result<(), VehicleError> {
        self.queue(Request::Start)
    }

    fn stop(&self) -> Result<(), VehicleError> {
        self.queue(Request::Stop)
    }

    fn set_amps(&self, amps: Amps) -> Result<(), VehicleError> {
        self.queue(Request::SetAmps(amps))
    }

    fn set_limit(&self, limit: Percent) -> Result<(), VehicleError> {
        if !(50.0..=100.0).contains(&limit.get()) {
            let text = "a charge limit is 50 to 100 percent".to_owned();
            return Err(VehicleError { car: self.key.clone(), text });
        }
        self.queue(Request::SetLimit(limit))
    }

    fn wake(&self) -> Result<(), VehicleError> {
        self.queue(Request::Wake)
    }
}

fn undelivered(why: Undelivered) -> &'static str {
    match why {
        Undelivered::Ended => "the cars' thread has ended",
        Undelivered::Full => "too many commands wait; try again in a second",
    }
}

//! What a person asked for: wanted until it has come to something, was asked otherwise, or is too old.

use std::time::{Duration, Instant};

use vehicle::{Outcome, Refusal, Request};

use crate::car::{Car, Open};
use crate::decide::{Agenda, World};
use crate::words::Why;
use crate::{Purpose, route};

/// For so long it stays wanted; later nobody expects it any more.
pub(crate) const WANTED: Duration = Duration::from_secs(900);
/// Commands and looks for one order.
const MOST_TRIES: u32 = 6;
/// After a lost answer it is looked what was done, so soon and then so often.
const LOOK_AFTER: Duration = Duration::from_secs(8);
const LOOK_SPACING: Duration = Duration::from_secs(30);
/// Where nothing can be looked at, it is told again after this.
const BLIND_RETRY: Duration = Duration::from_secs(120);

/// What a person asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) request: Request,
    asked_at: Instant,
    tries: u32,
    /// The number of the question that serves it.
    under_way: Option<u64>,
    /// The answer was lost then: it may have been done.
    unsure_since: Option<Instant>,
}

impl Order {
    pub(crate) fn new(now: Instant, request: Request) -> Self {
        Order { request, asked_at: now, tries: 0, under_way: None, unsure_since: None }
    }

    /// A question that serves it left.
    pub(crate) fn sent(&mut self, id: u64) {
        self.tries += 1;
        self.under_way = Some(id);
    }

    /// Whether it is about the cable that is plugged in now.
    pub(crate) fn is_about_current(&self) -> bool {
        matches!(self.request, Request::Start | Request::Stop | Request::SetAmps(_))
    }

    fn is_over(&self, now: Instant) -> bool {
        self.under_way.is_none() && (self.tries >= MOST_TRIES || now.saturating_duration_since(self.asked_at) >= WANTED)
    }
}

impl Car {
    /// What an answer means for what a person asked for.
    pub(crate) fn order_answered(&mut self, now: Instant, open: &Open, outcome: &Outcome) {
        let Some(order) = self.person.as_mut().filter(|order| order.under_way == Some(open.id)) else { return };
        order.under_way = None;
        let is_itself = open.request == order.request;
        let is_settled = match outcome {
            Outcome::Done | Outcome::AlreadySo => is_itself,
            // Another way may be tried.
            Outcome::Refused(Refusal::NotPaired) | Outcome::Barred { .. } | Outcome::Later { .. } => false,
            Outcome::Refused(_) => is_itself || open.request == Request::Wake,
            Outcome::Asleep => open.request == Request::Wake,
            Outcome::Unsure { .. } => {
                if open.request.is_command() || open.request == Request::Wake {
                    order.unsure_since = Some(now);
                }
                false
            }
        };
        if is_settled {
            self.person = None;
        }
    }

    /// Drops what a person asked for once it is done, cannot be done any more, or is too old. Returns what was dropped
    /// undone.
    pub(crate) fn review_order(&mut self, world: &OrderWorld) -> Option<Request> {
        let order = self.person.as_ref()?;
        if order.unsure_since.is_some_and(|since| self.shows(world.now, order.request, since) == Some(true)) {
            self.person = None;
            return None;
        }
        let has_way = order.under_way.is_some() || (world.could)(self, self.next_for(order.request));
        if has_way && !order.is_over(world.now) {
            return None;
        }
        self.person.take().map(|order| order.request)
    }

    /// What has to be asked for a request to be done: a sleeping car is woken first.
    pub(crate) fn next_for(&self, request: Request) -> Request {
        let must_wake = self.is_asleep() && request != Request::Wake && request != Request::ReadWakefulness;
        if must_wake { Request::Wake } else { request }
    }

    pub(crate) fn plan_for_person(&self, world: &World, agenda: &mut Agenda) {
        let Some(order) = &self.person else { return };
        let now = world.now;
        if let Some(since) = order.unsure_since.filter(|since| self.shows(now, order.request, *since).is_none()) {
            let look = if self.is_asleep() { Request::ReadWakefulness } else { self.read() };
            let looked = self.looked_at.filter(|at| *at > since).map(|at| at + LOOK_SPACING);
            let at = looked.unwrap_or(since + LOOK_AFTER);
            let can_look = route::could(&self.ways, world.sources, world.settings.policy, look);
            let at = if can_look { at } else { since + BLIND_RETRY };
            if now < at {
                return agenda.wait(Some(at), Why::Looking);
            } else if can_look {
                return agenda.ask(look, Purpose::Person);
            }
        }
        agenda.ask(self.next_for(order.request), Purpose::Person);
    }

    /// Whether a request was done, by what was told after its answer was lost; `None` while nothing was told.
    fn shows(&self, now: Instant, request: Request, since: Instant) -> Option<bool> {
        let after = since + Duration::from_secs(4);
        let is_new = |at: Option<Instant>| at.is_some_and(|at| at > after);
        let is_measured = self.is_at_connector() && self.connector.is_some_and(|view| view.draw.is_some());
        let sleep_told_at = self.state.wakefulness.as_ref().and_then(|seen| seen.at);
        match request {
            Request::Start | Request::Stop => {
                let is_told = is_new(self.charging().map(|(_, at)| at)) || is_measured && now >= since + LOOK_SPACING;
                is_told.then(|| self.flows() == Some(request == Request::Start))
            }
            Request::SetAmps(amps) => self.told_amps().filter(|(_, at)| is_new(*at)).map(|(told, _)| told == amps),
            Request::SetLimit(limit) => {
                self.known_limit().filter(|(_, at)| is_new(Some(*at))).map(|(told, _)| told == limit)
            }
            Request::Wake | Request::Read { .. } | Request::ReadWakefulness | Request::List => {
                is_new(sleep_told_at).then(|| !self.is_asleep())
            }
        }
    }
}

/// What an order is reviewed by.
pub(crate) struct OrderWorld<'a> {
    pub(crate) now: Instant,
    /// Whether any way could ever serve a request.
    pub(crate) could: &'a dyn Fn(&Car, Request) -> bool,
}

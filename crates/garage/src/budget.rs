//! What calls may cost, what they did cost, and on what it was spent.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use vehicle::{Request, Spent};

use crate::Day;
use crate::pace::Bucket;

/// Shares of a limit that routine questions and what matters may use up; the rest is kept for stopping cars.
const ROUTINE_SHARE: f64 = 0.80;
const MATTERS_SHARE: f64 = 0.95;
/// Shares of an even day's money at which looking at cars and raising currents are paced.
const POLLING_PACE: f64 = 0.55;
const RATE_PACE: f64 = 0.25;
const WAKE_PACE: f64 = 0.40;
/// What a bucket keeps of its day for cars that charge; looking at the others waits.
const KEPT_FOR_CHARGING: f64 = 0.15;

/// What waking a car mostly takes: it is asked a few times whether it is awake.
const USUAL_WAKE: Spent = Spent { commands: 0, data: 2, wakes: 1 };

/// Millionths of a dollar.
pub type MicroDollars = u64;

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Looking how a car is, from time to time.
    Polling,
    /// Looking whether a command had effect, or how a car is before one.
    Looking,
    /// Starting to charge.
    Start,
    /// Stopping.
    Stop,
    /// Lowering the current.
    Reduce,
    /// Raising the current.
    Rate,
    /// Charge limits.
    Limit,
    /// Waking a car.
    Wake,
    /// A person asked for it.
    Person,
}

impl Purpose {
    /// The part of a limit that it may use up.
    fn share(self) -> f64 {
        match self {
            Purpose::Polling | Purpose::Rate | Purpose::Limit | Purpose::Wake => ROUTINE_SHARE,
            Purpose::Looking | Purpose::Start | Purpose::Reduce => MATTERS_SHARE,
            Purpose::Stop | Purpose::Person => 1.0,
        }
    }
}

/// What one call costs, in millionths of a dollar (Tesla's price list of 2025: 1000 commands, 500 reads or 50 wakes for
/// one dollar).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// A command.
    pub command: MicroDollars,
    /// Reading data.
    pub data: MicroDollars,
    /// Waking a car.
    pub wake: MicroDollars,
}

impl Default for Prices {
    fn default() -> Self {
        Prices { command: 1_000, data: 2_000, wake: 20_000 }
    }
}

impl Prices {
    /// What these calls cost.
    #[must_use]
    pub fn cost(&self, spent: Spent) -> MicroDollars {
        u64::from(spent.commands) * self.command
            + u64::from(spent.data) * self.data
            + u64::from(spent.wakes) * self.wake
    }
}

/// Limits of one day or one month; none where absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    /// Money.
    pub money: Option<MicroDollars>,
    /// Commands.
    pub commands: Option<u32>,
    /// Reads.
    pub data: Option<u32>,
    /// Wakes.
    pub wakes: Option<u32>,
}

/// What calls may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Of a calendar day.
    pub day: Caps,
    /// Of a calendar month. Ten dollars unless configured: what Tesla gives each account for nothing.
    pub month: Caps,
    /// What a call costs.
    pub prices: Prices,
}

impl Default for Allowance {
    fn default() -> Self {
        let month = Caps { money: Some(10_000_000), ..Caps::default() };
        Allowance { day: Caps::default(), month, prices: Prices::default() }
    }
}

/// What was spent since the day and the month began: to be stored, and given back at the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Ledger {
    /// The day of the last entry.
    pub day: Option<Day>,
    /// Of that day.
    pub today: Vec<Entry>,
    /// Of that month.
    pub month: Vec<Entry>,
    /// The maker wants money: no billed call for the rest of that month, or until a person acts.
    #[serde(default)]
    pub is_payment_due: bool,
}

/// What was spent for one car and purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// VIN or name; empty for what is about all cars.
    pub car: String,
    /// What for.
    pub purpose: Purpose,
    /// Commands made.
    pub commands: u32,
    /// Reads made.
    pub data: u32,
    /// Wakes made.
    pub wakes: u32,
}

impl Entry {
    fn spent(&self) -> Spent {
        Spent { commands: self.commands, data: self.data, wakes: self.wakes }
    }
}

/// Why a call is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The maker wants money.
    Payment,
    /// What is left is kept for what matters more.
    Spent,
    /// Too soon at the pace that makes the money last.
    Pace(Instant),
}

/// Worst that a question is known to cost; counted from the moment it is asked until its answer says what it did cost.
pub(crate) fn estimate(request: Request) -> Spent {
    match request {
        Request::List | Request::Read { .. } | Request::ReadWakefulness => Spent { data: 2, ..Spent::NOTHING },
        Request::Wake => Spent { wakes: 2, data: 12, ..Spent::NOTHING },
        // A command, a handshake, and both again after a lost session; once per car, whether it wants signatures.
        Request::Start | Request::Stop | Request::SetAmps(_) | Request::SetLimit(_) => {
            Spent { commands: 4, data: 1, ..Spent::NOTHING }
        }
    }
}

/// Keeps the books.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    allowance: Allowance,
    ledger: Ledger,
    open: BTreeMap<u64, (String, Purpose, Spent)>,
    polling: Bucket,
    rate: Bucket,
    wake: Bucket,
}

impl Budget {
    pub(crate) fn new(allowance: Allowance, ledger: Ledger, now: Instant) -> Self {
        let bucket = || Bucket::new(now);
        Budget { allowance, ledger, open: BTreeMap::new(), polling: bucket(), rate: bucket(), wake: bucket() }
    }

    /// The calendar says which day it is. A clock that jumps back within a month opens nothing anew.
    pub(crate) fn set_today(&mut self, today: Day) {
        let before = self.ledger.day.replace(today);
        let Some(before) = before else { return };
        if before == today {
            return;
        }
        if (before.year, before.month) != (today.year, today.month) {
            if today < before {
                // Months are not lived twice: a wrong clock gives no second allowance.
                self.ledger.day = Some(before);
                return;
            }
            self.ledger.month.clear();
            self.ledger.is_payment_due = false;
            self.ledger.today.clear();
        } else if today > before {
            self.ledger.today.clear();
        } else {
            self.ledger.day = Some(before);
        }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn set_payment_due(&mut self, is_due: bool) {
        self.ledger.is_payment_due = is_due;
    }

    /// Whether a billed call may be made now.
    pub(crate) fn may(&self, now: Instant, purpose: Purpose, estimate: Spent) -> Result<(), Denied> {
        if self.ledger.is_payment_due {
            return Err(Denied::Payment);
        }
        let caps = [(&self.allowance.day, self.used_today()), (&self.allowance.month, self.used_in_month())];
        for (caps, used) in caps {
            let fits = |cap: Option<u64>, used: u64, more: u64, share: f64| {
                more == 0 || cap.is_none_or(|cap| (used + more) as f64 <= cap as f64 * share)
            };
            let (prices, share) = (&self.allowance.prices, purpose.share());
            let (commands, data, wakes) = (caps.commands, caps.data, caps.wakes);
            let all_fit = fits(caps.money, prices.cost(used), prices.cost(estimate), share)
                && fits(commands.map(u64::from), used.commands.into(), estimate.commands.into(), share)
                && fits(data.map(u64::from), used.data.into(), estimate.data.into(), share)
                // Wakes serve one purpose; none is kept for another.
                && fits(wakes.map(u64::from), used.wakes.into(), estimate.wakes.min(1).into(), 1.0);
            if !all_fit {
                return Err(Denied::Spent);
            }
        }
        let (bucket, pace, typical) = match purpose {
            Purpose::Polling => (&self.polling, POLLING_PACE, self.allowance.prices.data),
            Purpose::Rate => (&self.rate, RATE_PACE, self.allowance.prices.command),
            Purpose::Wake => (&self.wake, WAKE_PACE, self.allowance.prices.cost(USUAL_WAKE)),
            _ => return Ok(()),
        };
        match self.even_day() {
            Some(day) => bucket.may(now, day * pace, typical as f64).map_err(Denied::Pace),
            None => Ok(()),
        }
    }

    /// The same for looking at a car that does not charge: charging cars come first.
    pub(crate) fn may_idle(&self, now: Instant, estimate: Spent) -> Result<(), Denied> {
        self.may(now, Purpose::Polling, estimate)?;
        let Some(day) = self.even_day() else { return Ok(()) };
        let pace = day * POLLING_PACE;
        let price = self.allowance.prices.data as f64 + pace * KEPT_FOR_CHARGING;
        self.polling.may(now, pace, price).map_err(Denied::Pace)
    }

    /// A billed call is about to be made.
    pub(crate) fn reserve(&mut self, now: Instant, id: u64, car: &str, purpose: Purpose, estimate: Spent) {
        self.open.insert(id, (car.to_owned(), purpose, estimate));
        self.book(car, purpose, Spent::NOTHING, estimate);
        let day = self.even_day();
        let prices = self.allowance.prices;
        match (purpose, day) {
            (Purpose::Polling, Some(day)) => self.polling.take(now, day * POLLING_PACE, prices.data as f64),
            (Purpose::Rate, Some(day)) => self.rate.take(now, day * RATE_PACE, prices.command as f64),
            (Purpose::Wake, Some(day)) => self.wake.take(now, day * WAKE_PACE, prices.cost(USUAL_WAKE) as f64),
            _ => {}
        }
    }

    /// A call was made; `None` when its answer was lost, so that the worst stays booked.
    pub(crate) fn settle(&mut self, id: u64, spent: Option<Spent>) {
        let Some((car, purpose, estimate)) = self.open.remove(&id) else { return };
        if let Some(spent) = spent {
            self.book(&car, purpose, estimate, spent);
        }
    }

    fn book(&mut self, car: &str, purpose: Purpose, off: Spent, on: Spent) {
        for list in [&mut self.ledger.today, &mut self.ledger.month] {
            let place = list.iter().position(|entry| entry.car == car && entry.purpose == purpose);
            let place = place.unwrap_or_else(|| {
                list.push(Entry { car: car.to_owned(), purpose, commands: 0, data: 0, wakes: 0 });
                list.len() - 1
            });
            let Some(entry) = list.get_mut(place) else { continue };
            entry.commands = entry.commands.saturating_sub(off.commands).saturating_add(on.commands);
            entry.data = entry.data.saturating_sub(off.data).saturating_add(on.data);
            entry.wakes = entry.wakes.saturating_sub(off.wakes).saturating_add(on.wakes);
        }
    }

    pub(crate) fn used_today(&self) -> Spent {
        total(&self.ledger.today)
    }

    pub(crate) fn used_in_month(&self) -> Spent {
        total(&self.ledger.month)
    }

    /// An even day's share of what is left, today's included; `None` without a limit of money.
    fn even_day(&self) -> Option<f64> {
        let prices = &self.allowance.prices;
        let of_month = self.allowance.month.money.map(|money| {
            let before_today = prices.cost(self.used_in_month()).saturating_sub(prices.cost(self.used_today()));
            let days = self.ledger.day.map_or(30, Day::days_left);
            money.saturating_sub(before_today) as f64 / f64::from(days)
        });
        let of_day = self.allowance.day.money.map(|money| money as f64);
        match (of_month, of_day) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(crate) fn view(&self) -> BudgetView {
        let prices = self.allowance.prices;
        let period = |caps: Caps, entries: &[Entry]| {
            let used = total(entries);
            let cost = prices.cost(used);
            PeriodView {
                used,
                cost,
                caps,
                used_percent: caps
                    .money
                    .map(|money| if money == 0 { 100.0 } else { cost as f64 * 100.0 / money as f64 }),
                entries: entries.iter().filter(|entry| !entry.spent().is_nothing()).cloned().collect(),
            }
        };
        BudgetView {
            day: period(self.allowance.day, &self.ledger.today),
            month: period(self.allowance.month, &self.ledger.month),
            is_payment_due: self.ledger.is_payment_due,
        }
    }
}

fn total(entries: &[Entry]) -> Spent {
    let mut sum = Spent::NOTHING;
    for entry in entries {
        sum += entry.spent();
    }
    sum
}

/// What was spent, for people.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BudgetView {
    /// Of this day.
    pub day: PeriodView,
    /// Of this month.
    pub month: PeriodView,
    /// The maker wants money; no billed call is made.
    pub is_payment_due: bool,
}

/// What was spent in one day or month.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PeriodView {
    /// Calls by kind.
    pub used: Spent,
    /// What they cost.
    pub cost: MicroDollars,
    /// The limits.
    pub caps: Caps,
    /// How much of the money is spent, where there is a limit of money.
    pub used_percent: Option<f64>,
    /// By car and purpose.
    pub entries: Vec<Entry>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const COMMAND: Spent = Spent { commands: 1, data: 0, wakes: 0 };
    const READ: Spent = Spent { commands: 0, data: 1, wakes: 0 };

    fn day(month: u8, day: u8) -> Day {
        Day { year: 2026, month, day }
    }

    fn budget(money: u64) -> (Budget, Instant) {
        let month = Caps { money: Some(money), ..Caps::default() };
        let now = Instant::now();
        let mut budget = Budget::new(Allowance { month, ..Allowance::default() }, Ledger::default(), now);
        budget.set_today(day(11, 21));
        (budget, now)
    }

    #[test]
    fn near_its_end_only_what_matters_most_is_bought() {
        let (mut budget, now) = budget(100_000);
        let left = |budget: &Budget| {
            [Purpose::Limit, Purpose::Start, Purpose::Stop].map(|purpose| budget.may(now, purpose, COMMAND).is_ok())
        };
        budget.book("", Purpose::Person, Spent::NOTHING, Spent { commands: 79, ..Spent::NOTHING });
        assert_eq!(left(&budget), [true, true, true]);
        budget.book("", Purpose::Person, Spent::NOTHING, COMMAND);
        assert_eq!(left(&budget), [false, true, true]);
        budget.book("", Purpose::Person, Spent::NOTHING, Spent { commands: 15, ..Spent::NOTHING });
        assert_eq!(left(&budget), [false, false, true]);
        budget.book("", Purpose::Person, Spent::NOTHING, Spent { commands: 5, ..Spent::NOTHING });
        assert_eq!(left(&budget), [false, false, false]);
        assert_eq!(budget.may(now, Purpose::Person, COMMAND), Err(Denied::Spent));
    }

    #[test]
    fn what_is_asked_counts_at_its_worst_until_the_answer() {
        let (mut budget, now) = budget(100_000);
        budget.reserve(now, 1, "car", Purpose::Start, estimate(Request::Start));
        assert_eq!(budget.used_today().commands, 4);
        budget.settle(1, Some(COMMAND));
        assert_eq!((budget.used_today(), budget.used_in_month()), (COMMAND, COMMAND));
        budget.reserve(now, 2, "car", Purpose::Stop, estimate(Request::Stop));
        budget.settle(2, None);
        assert_eq!(budget.used_today().commands, 5);
        budget.settle(2, Some(COMMAND));
        assert_eq!(budget.used_today().commands, 5);
        assert_eq!(budget.view().month.entries.len(), 2);
    }

    #[test]
    fn a_new_month_and_no_clock_turned_back_opens_the_purse() {
        let (mut budget, now) = budget(1_000);
        budget.reserve(now, 1, "", Purpose::Person, COMMAND);
        budget.set_payment_due(true);
        assert_eq!(budget.may(now, Purpose::Stop, COMMAND), Err(Denied::Payment));
        for (month, of_month) in [(11, 22), (11, 20), (10, 31)] {
            budget.set_today(day(month, of_month));
            assert!(budget.ledger().is_payment_due, "{month}-{of_month}");
            assert_eq!(budget.used_in_month().commands, 1);
        }
        assert_eq!(budget.used_today(), Spent::NOTHING);
        budget.set_today(day(12, 1));
        assert_eq!(budget.may(now, Purpose::Stop, COMMAND), Ok(()));
    }

    #[test]
    fn polling_is_paced_so_that_ten_dollars_last_the_month() {
        let start = Instant::now();
        let mut budget = Budget::new(Allowance::default(), Ledger::default(), start);
        budget.set_today(day(11, 1));
        let mut calls = 0;
        for minute in 0..1440 {
            let now = start + Duration::from_secs(minute * 60);
            if budget.may(now, Purpose::Polling, READ).is_ok() {
                calls += 1;
                budget.reserve(now, minute, "car", Purpose::Polling, READ);
                budget.settle(minute, Some(READ));
            }
        }
        // 55 % of a third of a dollar buys 92 reads, and the bucket begins with some.
        assert!((92..=120).contains(&calls), "{calls}");
    }

    #[test]
    fn calls_can_be_limited_by_kind() {
        let day_caps = Caps { wakes: Some(1), ..Caps::default() };
        let allowance = Allowance { day: day_caps, ..Allowance::default() };
        let now = Instant::now();
        let mut budget = Budget::new(allowance, Ledger::default(), now);
        let wake = Spent { wakes: 1, ..Spent::NOTHING };
        assert_eq!(budget.may(now, Purpose::Wake, wake), Ok(()));
        budget.reserve(now, 1, "", Purpose::Wake, wake);
        assert_eq!(budget.may(now, Purpose::Wake, wake), Err(Denied::Spent));
        assert_eq!(budget.may(now, Purpose::Start, COMMAND), Ok(()));
    }
}

//! Raises everybody's power together, like water in joined vessels, until each has met a limit.
//!
//! Events are taken in the order of the water level: a load joins when the level reaches what it already has, leaves
//! when the level reaches the most it may have, and all loads on a limit stop when that limit is used up. The level at
//! which a limit is used up changes when loads join or leave; it is worked out again only when it comes to the top of
//! the heap (leaving can only raise it) or when somebody joined (which can lower it).

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::ledger::{Ledger, Wiring};

/// One who takes part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) wiring: Wiring,
    /// Centiamps that are charged to the ledger for it already.
    pub(crate) counted: i64,
    /// The most it may have, in centiamps.
    pub(crate) most: i64,
    /// Steps in which it can be set, in centiamps, 1 or more.
    pub(crate) step: i64,
}

impl Member {
    /// Power of so many centiamps, in watts.
    #[allow(clippy::cast_precision_loss)] // 2^53 nW per cA would be 9 MW per cA; currents are far below 2^53 cA.
    fn watts(&self, centiamps: i64) -> f64 {
        centiamps as f64 * (self.wiring.nanowatts as f64 * 1e-9)
    }

    pub(crate) fn step_floor(&self, centiamps: i64) -> i64 {
        centiamps - centiamps.rem_euclid(self.step)
    }
}

/// What one has in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// Centiamps, a whole number of steps.
    pub(crate) centiamps: i64,
    /// The ledger's entry that kept it from having more.
    pub(crate) short_of: Option<usize>,
}

/// Below this step a device counts as continuous: rounding it down leaves next to nothing.
const FINE: i64 = 10;

/// Shares what is left in the ledger among `members` and charges it.
///
/// Devices with coarse steps are rounded down first and the smooth ones then filled again, so that they use what the
/// others cannot. What is still left goes out step by step, to whoever has least.
pub(crate) fn share(ledger: &mut Ledger<'_>, members: &[Member]) -> Vec<Level> {
    let mut levels: Vec<Level> =
        members.iter().map(|member| Level { centiamps: member.step_floor(member.counted), short_of: None }).collect();
    let (coarse, fine): (Vec<usize>, Vec<usize>) = (0..members.len()).partition(|&index| members[index].step >= FINE);
    if coarse.is_empty() || fine.is_empty() {
        let filled = fill(ledger, members, coarse.iter().chain(&fine).copied());
        settle(ledger, members, &filled, &mut levels);
    } else {
        let mut filled = fill(ledger, members, 0..members.len());
        filled.retain(|(index, ..)| members[*index].step >= FINE);
        settle(ledger, members, &filled, &mut levels);
        let filled = fill(ledger, members, fine.into_iter());
        settle(ledger, members, &filled, &mut levels);
    }
    hand_out_steps(ledger, members, &mut levels);
    levels
}

/// Rounds filled levels down to whole steps that fit, and charges them.
#[allow(clippy::cast_possible_truncation)] // `as` saturates, and `most` bounds the result.
fn settle(ledger: &mut Ledger<'_>, members: &[Member], filled: &[(usize, f64, Option<usize>)], levels: &mut [Level]) {
    for &(index, watts, short_of) in filled {
        let member = &members[index];
        // A millionth of a centiamp, as in `Watts::amps_floor`.
        let wanted = (watts / member.watts(1) + 1e-6) as i64;
        let mut centiamps = member.step_floor(wanted.min(member.most));
        if ledger.fits(member.wiring, centiamps - member.counted).is_err() {
            // Binary fractions made it a hair too much.
            let room = ledger.room(member.wiring);
            centiamps = member.step_floor(centiamps.min(member.counted.saturating_add(room)));
        }
        let level = &mut levels[index];
        level.centiamps = level.centiamps.max(centiamps);
        level.short_of = short_of;
        ledger.charge(member.wiring, level.centiamps - member.counted);
    }
}

/// Hands out single steps while they fit, to whoever has least; between equals, in the given order.
fn hand_out_steps(ledger: &mut Ledger<'_>, members: &[Member], levels: &mut [Level]) {
    let key =
        |index: usize, level: &Level| Reverse((level.centiamps.saturating_mul(members[index].wiring.nanowatts), index));
    // What one step more costs beyond what is charged, if one more is allowed and fits. Less and less is left, so what
    // does not fit now never will, and most need not queue at all.
    let step_up = |ledger: &Ledger<'_>, member: &Member, level: &mut Level| {
        let next = level.centiamps + member.step;
        let extra = next - level.centiamps.max(member.counted);
        if next > member.most {
            return None;
        }
        match ledger.fits(member.wiring, extra) {
            Ok(()) => Some(extra),
            Err(entry) => {
                level.short_of = level.short_of.or(Some(entry));
                None
            }
        }
    };
    let mut queue = BinaryHeap::new();
    for (index, level) in levels.iter_mut().enumerate() {
        if step_up(ledger, &members[index], level).is_some() {
            queue.push(key(index, level));
        }
    }
    while let Some(Reverse((_, index))) = queue.pop() {
        let (member, level) = (&members[index], &mut levels[index]);
        if let Some(extra) = step_up(ledger, member, level) {
            ledger.charge(member.wiring, extra);
            level.centiamps += member.step;
            queue.push(key(index, level));
        }
    }
}

/// A number with a total order.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Height(f64);

impl Eq for Height {}

impl Ord for Height {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Height {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a member stands while the water rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ahead,
    Rising,
    Done,
}

/// A limit while the water rises. It is used up at the level where `rate * level == budget`.
#[derive(Debug, Clone, Copy)]
struct Vessel {
    /// In the entry's own unit (centiamps or watts): what is left, plus what those rising had before.
    budget: f64,
    /// Sum over those rising of the entry's unit per watt.
    rate: f64,
    rising: u32,
    /// The level at which the heap has it; infinite when it is not in there.
    queued: f64,
    closed: bool,
}

/// Max-min fair power in watts of those members, with the entry that stopped each. Charges nothing.
fn fill(
    ledger: &Ledger<'_>,
    members: &[Member],
    chosen: impl Iterator<Item = usize>,
) -> Vec<(usize, f64, Option<usize>)> {
    let mut result: Vec<(usize, f64, Option<usize>)> =
        chosen.map(|index| (index, members[index].watts(members[index].counted), None)).collect();
    let mut pool = Pool::new(ledger, members, &result);

    let by_height = |watts: &dyn Fn(&Member) -> i64| {
        let mut order: Vec<(Height, usize)> = result
            .iter()
            .enumerate()
            .map(|(at, (index, ..))| {
                let member = &members[*index];
                (Height(member.watts(watts(member))), at)
            })
            .collect();
        order.sort_unstable();
        order
    };
    let joins = by_height(&|member| member.counted);
    let leaves = by_height(&|member| member.most.max(member.counted));
    let last_join = joins.last().map_or(0.0, |(height, _)| height.0);
    let (mut joins, mut leaves) = (joins.into_iter().peekable(), leaves.into_iter().peekable());

    loop {
        while leaves.next_if(|(_, at)| pool.states[*at] == State::Done).is_some() {}
        // Everyone leaves at the latest at his most, so nobody is left when this queue is empty.
        let Some(&(leave, _)) = leaves.peek() else {
            break;
        };
        let join = joins.peek().map(|(height, _)| *height);
        let full = pool.next_full();
        if let Some(level) = join
            && level <= leave
            && full.is_none_or(|(height, _)| level <= height)
        {
            while let Some((Height(base), at)) = joins.next_if(|(height, _)| *height == level) {
                pool.join(at, base);
            }
            pool.queue_joined(joins.peek().map(|_| last_join));
        } else if let Some((level, entry)) = full
            && level < leave
        {
            pool.close(entry, level.0, &mut result);
        } else if let Some((Height(most), at)) = leaves.next() {
            result[at].1 = most;
            pool.leave(at, most);
        }
    }
    result
}

/// All limits that those members could use up.
struct Pool {
    /// For each member, its route and how many watts are one centiamp, inverted.
    members: Vec<(usize, f64)>,
    states: Vec<State>,
    vessels: Vec<Vessel>,
    /// For each route, where its entries that can be used up are in `open`.
    ranges: Vec<Range<usize>>,
    /// Entries that can be used up, route after route, and whether each is reckoned in power.
    open: Vec<(usize, bool)>,
    /// For each entry that can be used up, the routes through it.
    through: Vec<Vec<usize>>,
    /// For each route, where its members are in `on`.
    starts: Vec<usize>,
    on: Vec<usize>,
    heap: BinaryHeap<Reverse<(Height, usize)>>,
    joined: Vec<usize>,
}

impl Pool {
    #[allow(clippy::cast_precision_loss)] // The filled level is a guide; `settle` checks in whole numbers.
    fn new(ledger: &Ledger<'_>, members: &[Member], result: &[(usize, f64, Option<usize>)]) -> Self {
        let (plan, left) = (ledger.plan(), ledger.left());
        // What the members of each route could take together: how many they are, centiamps, nanowatts.
        let mut wishes = vec![(0_usize, 0_i64, 0_i64); plan.routes()];
        let mut routes = Vec::with_capacity(result.len());
        for (index, ..) in result {
            let member = &members[*index];
            let (count, centiamps, nanowatts) = &mut wishes[member.wiring.route()];
            let extra = (member.most - member.counted).max(0);
            *count += 1;
            *centiamps = centiamps.saturating_add(extra);
            *nanowatts = nanowatts.saturating_add(extra.saturating_mul(member.wiring.nanowatts));
            routes.push((member.wiring.route(), 1.0 / member.watts(1)));
        }
        let mut could_take = vec![0_i64; left.len()];
        for (route, &(count, centiamps, nanowatts)) in wishes.iter().enumerate() {
            for &entry in plan.entries_of(route).iter().filter(|_| count > 0) {
                let wish = if plan.is_power(entry) { nanowatts } else { centiamps };
                could_take[entry] = could_take[entry].saturating_add(wish);
            }
        }
        let vessels: Vec<Vessel> = left
            .iter()
            .zip(&could_take)
            .enumerate()
            .map(|(entry, (&left, &could_take))| Vessel {
                budget: if plan.is_power(entry) { left as f64 * 1e-9 } else { left as f64 },
                rate: 0.0,
                rising: 0,
                queued: f64::INFINITY,
                // What cannot be used up is no limit.
                closed: could_take <= left,
            })
            .collect();
        let (mut open, mut through) = (Vec::new(), vec![Vec::new(); left.len()]);
        let (mut ranges, mut starts) = (Vec::with_capacity(wishes.len()), Vec::with_capacity(wishes.len() + 1));
        let mut total = 0;
        for (route, &(count, ..)) in wishes.iter().enumerate() {
            let start = open.len();
            for &entry in plan.entries_of(route).iter().filter(|entry| count > 0 && !vessels[**entry].closed) {
                open.push((entry, plan.is_power(entry)));
                through[entry].push(route);
            }
            ranges.push(start..open.len());
            starts.push(total);
            total += count;
        }
        starts.push(total);
        let mut next = starts.clone();
        let mut on = vec![0; total];
        for (at, (route, _)) in routes.iter().enumerate() {
            on[next[*route]] = at;
            next[*route] += 1;
        }
        Pool {
            states: vec![State::Ahead; routes.len()],
            members: routes,
            vessels,
            ranges,
            open,
            through,
            starts,
            on,
            heap: BinaryHeap::new(),
            joined: Vec::new(),
        }
    }

    fn join(&mut self, at: usize, base: f64) {
        if self.states[at] != State::Ahead {
            return;
        }
        self.states[at] = State::Rising;
        let (route, per_watt) = self.members[at];
        for &(entry, is_power) in &self.open[self.ranges[route].clone()] {
            let vessel = &mut self.vessels[entry];
            if vessel.closed {
                continue;
            }
            let rate = if is_power { 1.0 } else { per_watt };
            vessel.budget += rate * base;
            vessel.rate += rate;
            vessel.rising += 1;
            self.joined.push(entry);
        }
    }

    /// Puts the limits that somebody joined where they now belong in the heap.
    ///
    /// As long as somebody is to join yet, those that would be used up only after the last of them can wait: whoever
    /// lowers one of them by joining brings it here again.
    fn queue_joined(&mut self, last_join: Option<f64>) {
        if last_join.is_none() {
            self.joined.clear();
            self.joined.extend((0..self.vessels.len()).filter(|&entry| self.vessels[entry].rising > 0));
        }
        for entry in self.joined.drain(..) {
            let vessel = &mut self.vessels[entry];
            let level = vessel.budget / vessel.rate;
            let can_wait = last_join.is_some_and(|last| level > last);
            if !vessel.closed && !can_wait && level < vessel.queued {
                vessel.queued = level;
                self.heap.push(Reverse((Height(level), entry)));
            }
        }
    }

    fn leave(&mut self, at: usize, watts: f64) {
        let was = std::mem::replace(&mut self.states[at], State::Done);
        if was != State::Rising {
            return;
        }
        let (route, per_watt) = self.members[at];
        for &(entry, is_power) in &self.open[self.ranges[route].clone()] {
            let vessel = &mut self.vessels[entry];
            if vessel.closed {
                continue;
            }
            let rate = if is_power { 1.0 } else { per_watt };
            vessel.budget -= rate * watts;
            vessel.rate -= rate;
            vessel.rising -= 1;
        }
    }

    /// The limit that is used up next, and at what level.
    fn next_full(&mut self) -> Option<(Height, usize)> {
        while let Some(&Reverse((Height(level), entry))) = self.heap.peek() {
            let vessel = &mut self.vessels[entry];
            if vessel.closed || vessel.queued != level {
                self.heap.pop();
                continue;
            }
            if vessel.rising == 0 {
                vessel.queued = f64::INFINITY;
                self.heap.pop();
                continue;
            }
            let now = vessel.budget / vessel.rate;
            if now <= level + 1e-9 * (1.0 + level.abs()) {
                return Some((Height(level), entry));
            }
            // Somebody left since, so it lasts longer than the heap thought.
            vessel.queued = now;
            self.heap.pop();
            self.heap.push(Reverse((Height(now), entry)));
        }
        None
    }

    /// Stops everyone on a limit that is used up: those rising at `level`, those ahead where they are.
    fn close(&mut self, entry: usize, level: f64, result: &mut [(usize, f64, Option<usize>)]) {
        self.vessels[entry].closed = true;
        for route in std::mem::take(&mut self.through[entry]) {
            for position in self.starts[route]..self.starts[route + 1] {
                let at = self.on[position];
                if self.states[at] == State::Done {
                    continue;
                }
                // What it had before stays: a limit that was passed already lowers nobody here.
                let watts = result[at].1.max(level);
                if self.states[at] == State::Rising {
                    result[at].1 = watts;
                }
                result[at].2 = Some(entry);
                self.leave(at, watts);
            }
        }
    }
}

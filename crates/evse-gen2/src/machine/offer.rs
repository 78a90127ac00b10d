//! How much each connector is told: shares of the circuit, and which of them may be told now.

use std::time::Instant;

use gen2_protocol::TwcId;
use units::Amps;

use super::ledger::Ledger;

/// What is wished for one connector, and what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) id: TwcId,
    /// Whole amps, zero or at least `least`, within its rating and its own wiring.
    pub(crate) desired: Amps,
    /// Least that makes sense to offer.
    pub(crate) least: Amps,
    /// Whether it hears and obeys. If not, what counts for it is given.
    pub(crate) steerable: bool,
    /// Whether it may be told more now.
    pub(crate) may_rise: bool,
    /// Whether its car charges: it is served before those that would have to start.
    pub(crate) charging: bool,
}

/// What one connector gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) id: TwcId,
    /// What it shall have in the end.
    pub(crate) share: Amps,
    /// What it can be told at this moment.
    pub(crate) now: Amps,
}

/// Shares the circuit and says what each connector can be told at this moment without the sum of commitments passing the
/// limit.
///
/// Whoever shall have less is told so at once. Whoever shall have more is told what is free already, and keeps what it has
/// while that is too little.
pub(crate) fn plan(ledger: &Ledger, wishes: &[Wish], now: Instant) -> Vec<Share> {
    let shares = share(ledger, wishes, now);
    wishes
        .iter()
        .zip(shares)
        .map(|(wish, share)| {
            let told = ledger.told(wish.id, now).unwrap_or(Amps::ZERO);
            let next = if share <= told {
                share
            } else {
                let free = ledger.room_for(wish.id, now).whole_amps_floor().min(share);
                if wish.may_rise && free >= wish.least && free > told { free } else { told }
            };
            Share { id: wish.id, share, now: next }
        })
        .collect()
}

/// Shares the circuit's limit, whole amps: everybody's wish if they fit; else the least for as many as possible, those that
/// charge first, and the rest evenly.
fn share(ledger: &Ledger, wishes: &[Wish], now: Instant) -> Vec<Amps> {
    let wished = |wish: &Wish| if wish.steerable { wish.desired } else { Amps::ZERO };
    let floor = |wish: &Wish| ledger.unavoidable(wish.id, now);
    let listed: Amps = wishes.iter().filter(|wish| wish.steerable).map(|wish| ledger.committed(wish.id, now)).sum();
    // What counts for those that cannot be steered, the forgotten but not yet released ones included.
    let fixed = ledger.sum(now) - listed;
    let mut left = ledger.limit() - fixed;
    let whole: Amps = wishes.iter().filter(|wish| wish.steerable).map(|wish| wished(wish).max(floor(wish))).sum();
    if whole <= left {
        return wishes.iter().map(wished).collect();
    }

    left -= wishes.iter().filter(|wish| wish.steerable).map(floor).sum();
    let mut shares = vec![Amps::ZERO; wishes.len()];
    let charging_first = |charging: bool| wishes.iter().enumerate().filter(move |(_, wish)| wish.charging == charging);
    for (index, wish) in charging_first(true).chain(charging_first(false)) {
        let least = wish.least.whole_amps_floor().max(Amps::from_whole(1)).min(wished(wish));
        let cost = (least.max(floor(wish))) - floor(wish);
        if wished(wish) > Amps::ZERO
            && cost <= left
            && let Some(share) = shares.get_mut(index)
        {
            *share = least;
            left -= cost;
        }
    }
    // An amp at a time for everybody who has something and wants more.
    loop {
        let mut anybody = false;
        for (share, wish) in shares.iter_mut().zip(wishes) {
            if *share == Amps::ZERO || *share >= wished(wish) {
                continue;
            }
            let next = (*share + Amps::from_whole(1)).min(wished(wish));
            let cost = next.max(floor(wish)) - (*share).max(floor(wish));
            if cost <= left {
                *share = next;
                left -= cost;
                anybody = true;
            }
        }
        if !anybody {
            return shares;
        }
    }
}

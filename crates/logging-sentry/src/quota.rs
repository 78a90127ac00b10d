//! How much is reported: the same thing once an hour, everything together some twenty times at once and four times an hour.

use std::collections::BTreeMap;

/// The same error is reported this often.
const SAME_EVERY_S: i64 = 3_600;
/// So many different ones may come at once.
const BURST: f64 = 20.0;
/// So many a second after that: four an hour.
const REFILL_PER_S: f64 = 4.0 / 3_600.0;
/// So many different ones are remembered.
const MOST_KINDS: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// To be reported, and how many like it were not.
    Send { before: u64 },
    /// Counted only.
    Skip,
}

/// A budget without a clock: times are seconds since 1970, given by the caller.
#[derive(Debug)]
pub(crate) struct Quota {
    left: f64,
    filled_at: Option<i64>,
    kinds: BTreeMap<String, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    sent_at: Option<i64>,
    skipped: u64,
}

impl Quota {
    pub fn new() -> Quota {
        Quota { left: BURST, filled_at: None, kinds: BTreeMap::new() }
    }

    /// Whether this may be reported. It is only taken off the budget by [`Quota::sent`], since it may be tried several times.
    pub fn judge(&mut self, at: i64, logger: &str, text: &str) -> Verdict {
        let passed = at.saturating_sub(self.filled_at.replace(at).unwrap_or(at)).max(0);
        // Precise to the second for longer than anything runs.
        #[allow(clippy::cast_precision_loss)]
        let gained = passed as f64 * REFILL_PER_S;
        self.left = (self.left + gained).min(BURST);
        self.forget();
        let seen = self.kinds.entry(kind_of(logger, text)).or_default();
        let is_repeated = seen.sent_at.is_some_and(|sent_at| (0..SAME_EVERY_S).contains(&(at - sent_at)));
        if is_repeated || self.left < 1.0 {
            seen.skipped += 1;
            return Verdict::Skip;
        }
        Verdict::Send { before: seen.skipped }
    }

    /// It was reported.
    pub fn sent(&mut self, at: i64, logger: &str, text: &str) {
        self.left -= 1.0;
        self.kinds.insert(kind_of(logger, text), Seen { sent_at: Some(at), skipped: 0 });
    }

    fn forget(&mut self) {
        if self.kinds.len() >= MOST_KINDS {
            let oldest = self.kinds.iter().min_by_key(|(_, seen)| seen.sent_at).map(|(kind, _)| kind.clone());
            oldest.map(|kind| self.kinds.remove(&kind));
        }
    }
}

/// Messages that differ by numbers only are of one kind.
fn kind_of(logger: &str, text: &str) -> String {
    let blotted: String = text.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    format!("{logger} {blotted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges and, where it may be sent, sends.
    fn report(quota: &mut Quota, at: i64, text: &str) -> Verdict {
        let verdict = quota.judge(at, "x", text);
        if verdict != Verdict::Skip {
            quota.sent(at, "x", text);
        }
        verdict
    }

    #[test]
    fn the_same_thing_is_reported_once_an_hour_with_its_count() {
        let mut quota = Quota::new();
        assert_eq!(report(&mut quota, 0, "bus 1 broke"), Verdict::Send { before: 0 });
        assert_eq!(report(&mut quota, 10, "bus 2 broke"), Verdict::Skip);
        assert_eq!(report(&mut quota, 20, "bus 3 broke"), Verdict::Skip);
        assert_eq!(report(&mut quota, 3_600, "bus 1 broke"), Verdict::Send { before: 2 });
    }

    #[test]
    fn a_flood_of_different_things_is_held_back() {
        let mut quota = Quota::new();
        let words = |n: u32| "x".repeat(n as usize + 1);
        let sent = (0..60).filter(|n| report(&mut quota, 0, &words(*n)) != Verdict::Skip).count();
        assert_eq!(sent, 20);
        let an_hour_later = (60..120).filter(|n| report(&mut quota, 3_600, &words(*n)) != Verdict::Skip).count();
        assert_eq!(an_hour_later, 4);
    }

    #[test]
    fn memory_is_bounded_and_a_clock_set_back_does_no_harm() {
        let mut quota = Quota::new();
        for n in 0..1_000_usize {
            quota.judge(-(n as i64), "x", &"y".repeat(n));
        }
        assert!(quota.kinds.len() <= MOST_KINDS);
    }
}

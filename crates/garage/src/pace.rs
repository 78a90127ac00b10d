//! Spending at an even pace.

use std::time::{Duration, Instant};

const DAY_SECONDS: f64 = 86_400.0;

/// Money that drips in at an even pace and may pile up for half a day.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    at: Instant,
    /// `None` until first used: it begins a quarter full.
    money: Option<f64>,
}

impl Bucket {
    pub(crate) fn new(now: Instant) -> Self {
        Bucket { at: now, money: None }
    }

    fn filled(&self, now: Instant, per_day: f64) -> f64 {
        let most = per_day / 2.0;
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        let money = self.money.unwrap_or(most / 2.0);
        (money + since * per_day / DAY_SECONDS).min(most)
    }

    pub(crate) fn may(&self, now: Instant, per_day: f64, price: f64) -> Result<(), Instant> {
        let missing = price - self.filled(now, per_day);
        if missing <= 0.0 {
            return Ok(());
        }
        let wait = if per_day > 0.0 { missing * DAY_SECONDS / per_day } else { DAY_SECONDS };
        Err(now + Duration::from_secs_f64(wait.clamp(1.0, DAY_SECONDS)))
    }

    pub(crate) fn take(&mut self, now: Instant, per_day: f64, price: f64) {
        self.money = Some((self.filled(now, per_day) - price).max(0.0));
        self.at = now;
    }
}

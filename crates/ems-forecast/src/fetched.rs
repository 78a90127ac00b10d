//! The last answer of a service.

use std::sync::Arc;
use std::time::Duration;

use ems::{EmsError, EmsErrorKind, Section, Shared};
use ems_http::Keep;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Pause after a failure, doubled up to the longest.
const FIRST_PAUSE_S: i64 = 300;
const LONGEST_PAUSE_S: i64 = 3600;
/// A time that a service names is believed up to a day.
const LONGEST_WAIT_S: i64 = 86_400;

/// The last answer of a service: fetched when it is due, kept across restarts (in the folder of [`Keep`]), and not
/// asked for again too soon after a failure, whoever asks how often.
pub struct Fetched<T> {
    keep: Arc<Keep>,
    path: String,
    /// What was asked for: a kept answer to another question is of no use.
    question: String,
    interval: i64,
    longest_age: i64,
    answer: Option<(T, i64)>,
    not_before: i64,
    failures: u32,
    error: Option<EmsError>,
    is_loaded: bool,
}

impl<T: Serialize + DeserializeOwned> Fetched<T> {
    /// For a source. An answer is due after `interval`, and still used when new ones fail until `longest_age`.
    #[must_use]
    pub fn new(
        section: &Section,
        shared: &Shared,
        question: String,
        interval: Duration,
        longest_age: Duration,
    ) -> Self {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Fetched {
            keep: shared.get::<Keep>(),
            path: format!("{}.answer", section.path()),
            question,
            interval: seconds(interval),
            longest_age: seconds(longest_age),
            answer: None,
            not_before: 0,
            failures: 0,
            error: None,
            is_loaded: false,
        }
    }

    /// The answer that holds at `now`, fetched first if it is due.
    ///
    /// # Errors
    /// That of the last fetch, when there is no answer young enough; with the time until the next one.
    pub fn get(&mut self, now: i64, fetch: impl FnOnce() -> Result<T, EmsError>) -> Result<&T, EmsError> {
        if !std::mem::replace(&mut self.is_loaded, true) {
            self.load(now);
        }
        // After a clock that was wrong nothing may wait for years.
        if now >= self.not_before || self.not_before.saturating_sub(now) > self.interval.max(LONGEST_WAIT_S) {
            match fetch() {
                Ok(answer) => {
                    self.answer = Some((answer, now));
                    (self.failures, self.error) = (0, None);
                    self.not_before = now.saturating_add(self.interval);
                }
                Err(error) => self.failed(now, error),
            }
            self.save();
        }
        let wait = Duration::from_secs(u64::try_from(self.not_before.saturating_sub(now)).unwrap_or(0));
        match (&self.answer, &self.error) {
            (Some((answer, at)), _) if (0..=self.longest_age).contains(&now.saturating_sub(*at)) => Ok(answer),
            (_, Some(error)) => Err(error.clone().after(wait)),
            _ => Err(EmsError::retry("the last answer is too old; is the computer's clock right?").after(wait)),
        }
    }

    fn failed(&mut self, now: i64, error: EmsError) {
        let doubled = FIRST_PAUSE_S.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE_S);
        self.failures = self.failures.saturating_add(1);
        let asked = error.retry_after().and_then(|wait| i64::try_from(wait.as_secs()).ok()).unwrap_or(0);
        let pause = match error.kind() {
            EmsErrorKind::RateLimited | EmsErrorKind::Denied | EmsErrorKind::Misconfigured => {
                LONGEST_PAUSE_S.max(asked)
            }
            _ => doubled.max(asked),
        };
        self.not_before = now.saturating_add(pause.min(LONGEST_WAIT_S));
        if self.answer.is_some() {
            log::debug!("{}: {error}; the last answer is used meanwhile", self.path);
        }
        self.error = Some(error);
    }

    fn save(&self) {
        let answer = self.answer.as_ref().map(|(answer, at)| json!({"at": at, "answer": answer}));
        self.keep.save(&self.path, json!({"question": self.question, "not_before": self.not_before, "last": answer}));
    }

    fn load(&mut self, now: i64) {
        let Some(kept) = self.keep.load(&self.path).filter(|kept| kept.get("question") == Some(&json!(self.question)))
        else {
            return;
        };
        self.not_before = kept.get("not_before").and_then(|time| time.as_i64()).unwrap_or(0);
        let last = kept.get("last").cloned().unwrap_or_default();
        let at = last.get("at").and_then(|at| at.as_i64());
        let answer = last.get("answer").cloned().and_then(|answer| serde_json::from_value(answer).ok());
        self.answer = answer.zip(at).filter(|(_, at)| *at <= now);
        if self.answer.is_none() {
            self.error = Some(EmsError::retry("the service was asked only just now, before the restart"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn fetched(shared: &Shared, question: &str) -> Fetched<u32> {
        let section = Section::new("sources.Test", serde_json::Map::new());
        Fetched::new(&section, shared, question.into(), HOUR, 24 * HOUR)
    }

    fn failing() -> Result<u32, EmsError> {
        Err(EmsError::retry("no answer"))
    }

    #[test]
    fn it_is_fetched_when_due_and_survives_failures() {
        let shared = Shared::new();
        let mut answer = fetched(&shared, "here");
        assert_eq!(answer.get(1_000_000, || Ok(1)), Ok(&1));
        assert_eq!(answer.get(1_003_599, || panic!("not due")), Ok(&1));
        assert_eq!(answer.get(1_003_600, failing), Ok(&1));
        assert_eq!(answer.get(1_003_601, || panic!("too soon after a failure")), Ok(&1));
        assert_eq!(answer.get(1_003_900, || Ok(2)), Ok(&2));
        let error = answer.get(1_003_900 + 86_401, failing).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.retry_after()), ("no answer", Some(Duration::from_secs(300))));
    }

    #[test]
    fn a_restart_costs_no_call() {
        let shared = Shared::new();
        assert_eq!(fetched(&shared, "here").get(1_000_000, || Ok(1)), Ok(&1));
        assert_eq!(fetched(&shared, "here").get(1_000_060, || panic!("not due")), Ok(&1));
        assert_eq!(fetched(&shared, "there").get(1_000_120, || Ok(3)), Ok(&3));
        let limited = || Err(EmsError::new(EmsErrorKind::RateLimited, "too many").after(2 * HOUR));
        assert!(fetched(&shared, "elsewhere").get(1_000_000, limited).is_err());
        assert!(fetched(&shared, "elsewhere").get(1_007_100, || panic!("too soon")).is_err());
        assert_eq!(fetched(&shared, "elsewhere").get(1_007_200, || Ok(4)), Ok(&4));
    }

    #[test]
    fn a_clock_that_jumps_does_not_stop_it() {
        let shared = Shared::new();
        assert_eq!(fetched(&shared, "here").get(4_000_000_000, || Ok(1)), Ok(&1));
        assert_eq!(fetched(&shared, "here").get(1_000_000, || Ok(2)), Ok(&2));
    }

    #[test]
    fn a_day_of_failures_costs_few_calls() {
        let shared = Shared::new();
        let (mut answer, mut calls) = (fetched(&shared, "here"), 0);
        for now in (0..86_400).step_by(5) {
            let _ = answer.get(now, || {
                calls += 1;
                failing()
            });
        }
        assert!(calls <= 30, "{calls}");
    }
}

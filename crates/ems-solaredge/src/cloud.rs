//! The monitoring cloud, within its daily budget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ems::{Ems, EmsError, EmsErrorKind, EmsReading, Pace, Stop, WireReading};
use ems_http::{Keep, Stamp};
use http_client::{BudgetState, Client, DailyBudget, DayTime};
use jiff::Zoned;
use jiff::civil::DateTime;
use serde_json::{Value, json};

use crate::flow::{overview, power_flow};

/// Hours of the day, in seconds, over which the calls are spread: from the first light of midsummer to the last.
const WINDOW: (u32, u32) = (5 * 3600, 22 * 3600);
/// A site that could not tell its flow may have got a meter.
const LOOK_AGAIN: Duration = Duration::from_secs(86_400);
/// Three calls of about four minutes, and the quarter of an hour by which the cloud may be behind.
const USABLE_FOR: Duration = Duration::from_secs(1620);
/// Values that the cloud itself has been holding for longer than this many minutes are dated by their change instead: the
/// site is then in another time zone than this computer.
const OLDEST_MINUTES: i64 = 24 * 60;

/// The cloud's clock and budget, apart from the calls.
pub(crate) struct Cloud {
    client: Client,
    /// `/site/<id>`.
    site: String,
    api_key: String,
    budget: DailyBudget,
    is_restored: bool,
    keep: Arc<Keep>,
    path: String,
    no_flow_since: Option<Instant>,
    stamp: Stamp,
}

impl Cloud {
    pub fn new(client: Client, site_id: &str, api_key: String, calls: u32, keep: Arc<Keep>, path: String) -> Self {
        client.secret(&api_key);
        let site = format!("/site/{}", http_client::url::encode(site_id));
        let mut budget = DailyBudget::new(calls);
        budget.set_window(WINDOW.0, WINDOW.1);
        let (no_flow_since, stamp) = (None, Stamp::default());
        Cloud { client, site, api_key, budget, is_restored: false, keep, path, no_flow_since, stamp }
    }

    /// Takes up the count of before a restart. Not when opened, since only then it is known where things are kept.
    fn restore(&mut self) {
        if !self.is_restored {
            self.is_restored = true;
            let kept =
                self.keep.load(&self.path).and_then(|kept| serde_json::from_value(kept.get("budget")?.clone()).ok());
            if let Some(state) = kept {
                let state: BudgetState = state;
                self.budget = self.budget.clone().restore(state);
            }
        }
    }

    fn ask(&mut self, what: &str, now: DayTime) -> Result<Value, EmsError> {
        if self.budget.left(now) == 0 {
            let text =
                "today's calls to the SolarEdge cloud are used up; set `inverterHost` to read the inverter itself";
            return Err(EmsError::new(EmsErrorKind::RateLimited, text).after(self.budget.wait(now)));
        }
        self.budget.spend(now);
        self.remember();
        let request = self.client.get(&format!("{}/{what}", self.site)).query("api_key", &self.api_key);
        request.send_json().map_err(|error| {
            let failed = ems_http::failed(&error);
            match failed.kind() {
                EmsErrorKind::RateLimited => {
                    self.budget.close(now);
                    self.remember();
                    failed.after(self.budget.wait(now))
                }
                EmsErrorKind::Denied => EmsError::new(
                    failed.kind(),
                    format!("{failed}; `apiKey` and `siteID` must belong together, and the key must still be valid"),
                )
                .after(Duration::from_secs(3600)),
                // Every attempt counts, so a failure is no reason to hurry.
                _ => failed.after(self.budget.wait(now)),
            }
        })
    }

    fn remember(&self) {
        self.keep.save(&self.path, json!({ "budget": self.budget.state() }));
    }

    fn values(&mut self, now: &Zoned) -> Result<(WireReading, Instant), EmsError> {
        let (instant, day_time) = (Instant::now(), day_time(now));
        if self.no_flow_since.is_none_or(|at| instant.duration_since(at) >= LOOK_AGAIN) {
            let answer = self.ask("currentPowerFlow", day_time)?;
            if let Some(values) = power_flow(&answer).map_err(|error| ems_http::garbled(&error))? {
                self.no_flow_since = None;
                return Ok((values, instant));
            }
            self.no_flow_since = Some(instant);
        }
        let answer = self.ask("overview", day_time)?;
        let (values, time) = overview(&answer).map_err(|error| ems_http::garbled(&error))?;
        let seen = self.stamp.taken_at(time.as_deref(), instant);
        let taken_at = match time.as_deref().and_then(|time| age(time, now.datetime())) {
            Some(age) => instant.checked_sub(age).unwrap_or(seen),
            None => seen,
        };
        Ok((values, taken_at))
    }
}

impl Ems for Cloud {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        self.restore();
        let (values, taken_at) = self.values(&Zoned::now())?;
        Ok(values.into_reading(taken_at).map_err(EmsError::garbled)?.usable_for(USABLE_FOR))
    }

    fn pace(&self) -> Pace {
        Pace::Every(self.budget.wait(day_time(&Zoned::now())).max(Duration::from_secs(1)))
    }
}

fn day_time(now: &Zoned) -> DayTime {
    let local = now.timestamp().as_second().saturating_add(i64::from(now.offset().seconds()));
    let second = u32::try_from(local.rem_euclid(86_400)).unwrap_or_default();
    DayTime { day: local.div_euclid(86_400), second }
}

/// How old a local time without zone is; `None` when it cannot be told.
fn age(time: &str, now: DateTime) -> Option<Duration> {
    let time: DateTime = time.trim().parse().ok()?;
    let seconds = (now - time).total(jiff::Unit::Second).ok()?;
    let is_plausible = (0.0..OLDEST_MINUTES as f64 * 60.0).contains(&seconds);
    is_plausible.then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ems::units::Watts;
    use http_client::Client;
    use recordings::{Answer, Peer};

    fn cloud(peer: &Peer, calls: u32, keep: &Arc<Keep>) -> Cloud {
        let client = Client::builder(peer.url()).build().unwrap();
        Cloud::new(client, "12", "secret-key".into(), calls, Arc::clone(keep), "sources.SolarEdge".into())
    }

    #[test]
    fn ages_of_local_times() {
        let now: DateTime = "2024-05-01 12:30:00".parse().unwrap();
        assert_eq!(age("2024-05-01 12:15:00", now), Some(Duration::from_secs(900)));
        assert_eq!(age("2024-05-01 13:15:00", now), None);
        assert_eq!(age("noon", now), None);
    }

    #[test]
    fn a_site_without_meter_is_asked_for_its_overview_from_then_on() {
        let peer = Peer::start(|asked| match asked.target.as_str() {
            "/site/12/currentPowerFlow?api_key=secret-key" => Answer::json(r#"{"siteCurrentPowerFlow": {}}"#),
            "/site/12/overview?api_key=secret-key" => Answer::json(
                r#"{"overview": {"lastUpdateTime": "2124-05-01 12:15:00", "currentPower": {"power": 900}}}"#,
            ),
            _ => Answer::status(404),
        });
        let mut cloud = cloud(&peer, 280, &Arc::default());
        for _ in 0..3 {
            let reading = cloud.read(&Stop::never()).unwrap();
            assert_eq!(reading.generation.map(Watts::get), Some(900.0));
        }
        assert_eq!((peer.count("/site/12/currentPowerFlow"), peer.count("/site/12/overview")), (1, 3));
    }

    #[test]
    fn the_budget_holds_across_restarts_and_no_error_shows_the_key() {
        let peer = Peer::start(|_| Answer::status(500));
        let keep = Arc::new(Keep::default());
        for _ in 0..4 {
            let error = cloud(&peer, 3, &keep).read(&Stop::never()).unwrap_err();
            assert!(!error.to_string().contains("secret-key"), "{error}");
        }
        assert_eq!(peer.asked().len(), 3);
        let error = cloud(&peer, 3, &keep).read(&Stop::never()).unwrap_err();
        assert_eq!(error.kind(), EmsErrorKind::RateLimited);
        assert!(error.retry_after() > Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_quota_used_up_elsewhere_is_left_alone_until_tomorrow() {
        let peer = Peer::start(|_| Answer::status(429));
        let mut cloud = cloud(&peer, 280, &Arc::default());
        for _ in 0..3 {
            assert_eq!(cloud.read(&Stop::never()).unwrap_err().kind(), EmsErrorKind::RateLimited);
        }
        assert_eq!(peer.asked().len(), 1);
    }

    #[test]
    fn a_refused_key_is_named() {
        let peer = Peer::start(|_| Answer { status: 403, ..Answer::json(r#"{"String": "Invalid token"}"#) });
        let error = cloud(&peer, 280, &Arc::default()).read(&Stop::never()).unwrap_err();
        assert_eq!(error.kind(), EmsErrorKind::Denied);
        assert!(error.to_string().contains("`apiKey`"), "{error}");
    }

    #[test]
    fn a_page_or_a_broken_answer_is_an_error() {
        for body in ["<html>maintenance</html>", "", "{\"siteCurrentPowerFlow\": {\"unit\"", "[]", "{}"] {
            let peer = Peer::start(move |_| Answer::html(body));
            assert!(cloud(&peer, 280, &Arc::default()).read(&Stop::never()).is_err(), "{body}");
        }
    }
}

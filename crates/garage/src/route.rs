//! Which source is asked: what each can, what stands in its way, and the owner's order of preference.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vehicle::{Abilities, Request, Trouble};

use crate::CommandPolicy;

/// Sources that speak to the car by radio: that they reach it proves that it is near.
const RADIO: [&str; 2] = ["TeslaBLE", "TeslaBleHttpProxy"];
/// Pause after a passing failure, as often as [`QUICK_RETRIES`]; then minutes, one more each time.
const QUICK_PAUSE: Duration = Duration::from_secs(5);
const QUICK_RETRIES: u32 = 3;
const MOST_MINUTES: u32 = 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);
/// A source that said that it cannot be reached is tried again after this, since some only notice when they are asked.
const TROUBLE_RETRY: Duration = Duration::from_secs(300);

/// Whether a source speaks to the car by radio.
#[must_use]
pub(crate) fn is_radio(source: &str) -> bool {
    RADIO.contains(&source)
}

/// How a person makes a car know the key of a source.
fn how_to_pair(source: &str) -> &'static str {
    match source {
        "TeslaBLE" => "run `twcmanager tesla pair-bluetooth VIN` in the car (docs/vehicles/bluetooth.md)",
        "TeslaBleHttpProxy" => "pair it in the car on the proxy's page (docs/vehicles/bluetooth.md)",
        _ => "pair it in the Tesla app",
    }
}

/// What keeps one source from being asked about one car.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hurdle {
    until: Option<Instant>,
    errors: u32,
    /// Nothing goes until a person acts.
    barred: Option<String>,
    /// Our key is not known to the car: reading may go, commands do not.
    is_unpaired: bool,
}

impl Hurdle {
    pub(crate) fn went_well(&mut self) {
        *self = Hurdle { is_unpaired: self.is_unpaired, ..Hurdle::default() };
    }

    /// A passing failure. Returns when it may be tried again.
    pub(crate) fn failed(&mut self, now: Instant) -> Instant {
        self.errors = self.errors.saturating_add(1);
        let pause = match self.errors.checked_sub(QUICK_RETRIES) {
            None | Some(0) => QUICK_PAUSE,
            Some(more) if more <= MOST_MINUTES => Duration::from_secs(60) * more,
            Some(_) => LONGEST_PAUSE,
        };
        let until = now + pause;
        self.until = Some(until);
        until
    }

    pub(crate) fn bar(&mut self, text: String) {
        self.barred = Some(text);
    }

    pub(crate) fn unpaired(&mut self) {
        self.is_unpaired = true;
    }

    /// A person acted, or a new plug-in is worth a try.
    pub(crate) fn forgive(&mut self, with_bars: bool) {
        self.is_unpaired = false;
        if with_bars {
            *self = Hurdle::default();
        }
    }
}

/// One source as a whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceState {
    pub(crate) trouble: Option<(Trouble, Instant)>,
    /// It asked to be left alone until then.
    pub(crate) until: Option<Instant>,
    pub(crate) list: List,
}

/// When a source was or will be asked which cars there are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct List {
    pub(crate) next_at: Option<Instant>,
    pub(crate) is_hopeless: bool,
    pub(crate) errors: u32,
}

impl SourceState {
    /// Why it cannot be asked now, and until when.
    pub(crate) fn obstacle(&self, now: Instant) -> Option<(Option<Instant>, String)> {
        if let Some((trouble, since)) = &self.trouble {
            let retry = *since + TROUBLE_RETRY;
            if trouble.needs_person {
                return Some((None, trouble.text.clone()));
            }
            if now < retry {
                return Some((Some(retry), trouble.text.clone()));
            }
        }
        let until = self.until.filter(|until| now < *until)?;
        Some((Some(until), "It asked to be left alone for a while.".to_owned()))
    }
}

/// A way to one car.
#[derive(Debug, Clone, Default)]
pub(crate) struct Way {
    pub(crate) abilities: Abilities,
    pub(crate) hurdle: Hurdle,
}

/// All ways to one car, by the name of the source.
pub(crate) type Ways = BTreeMap<Arc<str>, Way>;

/// No way leads to the car now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoWay {
    pub(crate) until: Option<Instant>,
    pub(crate) text: Option<String>,
}

fn can(abilities: &Abilities, request: Request) -> bool {
    match request {
        Request::List | Request::Read { .. } => abilities.reads,
        Request::ReadWakefulness => abilities.reads_wakefulness,
        Request::Wake => abilities.wakes,
        Request::Start | Request::Stop | Request::SetAmps(_) | Request::SetLimit(_) => abilities.commands,
    }
}

/// Whether the owner lets this source change something in a car.
fn is_let(policy: CommandPolicy, source: &str) -> bool {
    match policy {
        CommandPolicy::PreferBle => true,
        CommandPolicy::BleOnly => is_radio(source),
        CommandPolicy::ApiOnly => !is_radio(source),
    }
}

/// Sources that can do it and may now, best first; or why there is none.
pub(crate) fn choose(
    now: Instant,
    ways: &Ways,
    sources: &BTreeMap<Arc<str>, SourceState>,
    policy: CommandPolicy,
    request: Request,
) -> Result<Vec<Arc<str>>, NoWay> {
    let changes = request.is_command() || request == Request::Wake;
    let mut open: Vec<(&Arc<str>, &Way)> = Vec::new();
    let mut no_way = NoWay { until: None, text: None };
    let mut wait = |until: Option<Instant>, text: String| {
        no_way.until = [no_way.until, until].into_iter().flatten().min();
        no_way.text.get_or_insert(text);
    };
    for (name, way) in ways {
        if !can(&way.abilities, request) || changes && !is_let(policy, name) {
            continue;
        }
        if let Some((until, text)) = sources.get(name).and_then(|source| source.obstacle(now)) {
            wait(until, format!("{name}: {text}"));
        } else if let Some(text) = &way.hurdle.barred {
            wait(None, format!("{name}: {text}"));
        } else if changes && way.hurdle.is_unpaired {
            wait(None, format!("{name}: the car does not know our key; {}, then plug in again.", how_to_pair(name)));
        } else if let Some(until) = way.hurdle.until.filter(|until| now < *until) {
            wait(Some(until), format!("{name} did not reach the car."));
        } else {
            open.push((name, way));
        }
    }
    if open.is_empty() {
        return Err(no_way);
    }
    open.sort_by_key(|(name, way)| {
        let Abilities { is_billed, nearness, .. } = way.abilities;
        // Reading is best free of charge. A command is best sent by radio, and else as directly as can be.
        if changes { (!is_radio(name), Reverse(nearness)) } else { (is_billed, Reverse(nearness)) }
    });
    Ok(open.into_iter().map(|(name, _)| Arc::clone(name)).collect())
}

/// Whether any source could ever do this for the car, whatever stands in the way for a while.
pub(crate) fn could(
    ways: &Ways,
    sources: &BTreeMap<Arc<str>, SourceState>,
    policy: CommandPolicy,
    request: Request,
) -> bool {
    let changes = request.is_command() || request == Request::Wake;
    ways.iter().any(|(name, way)| {
        let needs_person = |source: &SourceState| matches!(&source.trouble, Some((trouble, _)) if trouble.needs_person);
        can(&way.abilities, request)
            && (!changes || is_let(policy, name) && !way.hurdle.is_unpaired)
            && way.hurdle.barred.is_none()
            && !sources.get(name).is_some_and(needs_person)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vehicle::Nearness;

    fn ways() -> Ways {
        let all = Abilities { reads: true, commands: true, wakes: true, ..Abilities::default() };
        [
            ("TeslaAPI", Abilities { is_billed: true, nearness: Nearness::Cloud, ..all }),
            ("TeslaBLE", Abilities { nearness: Nearness::Car, ..all }),
            ("HomeAssistant", Abilities { nearness: Nearness::Copy, ..all }),
            ("TeslaMate", Abilities::default()),
        ]
        .into_iter()
        .map(|(name, abilities)| (Arc::from(name), Way { abilities, hurdle: Hurdle::default() }))
        .collect()
    }

    fn names(ways: &Ways, policy: CommandPolicy, request: Request) -> Vec<String> {
        let chosen = choose(Instant::now(), ways, &BTreeMap::new(), policy, request);
        chosen.unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_owners_policy_is_about_commands_and_not_about_reading() {
        use CommandPolicy::{ApiOnly, BleOnly, PreferBle};
        let read = Request::Read { with_position: false };
        for policy in [PreferBle, BleOnly, ApiOnly] {
            assert_eq!(names(&ways(), policy, read), ["TeslaBLE", "HomeAssistant", "TeslaAPI"]);
        }
        assert_eq!(names(&ways(), PreferBle, Request::Stop), ["TeslaBLE", "TeslaAPI", "HomeAssistant"]);
        assert_eq!(names(&ways(), BleOnly, Request::Wake), ["TeslaBLE"]);
        assert_eq!(names(&ways(), ApiOnly, Request::Start), ["TeslaAPI", "HomeAssistant"]);
    }

    #[test]
    fn who_fails_is_passed_over_and_waits_longer_each_time() {
        let (now, mut ways) = (Instant::now(), ways());
        let ble: Arc<str> = "TeslaBLE".into();
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let until = ways.get_mut(&ble).unwrap().hurdle.failed(now);
            pauses.push((until - now).as_secs());
        }
        assert_eq!(pauses, [5, 5, 5, 60, 120, 180]);
        assert_eq!(names(&ways, CommandPolicy::PreferBle, Request::Stop), ["TeslaAPI", "HomeAssistant"]);
        let none = choose(now, &ways, &BTreeMap::new(), CommandPolicy::BleOnly, Request::Stop).unwrap_err();
        assert_eq!(none.until, Some(now + Duration::from_secs(180)));
        assert!(could(&ways, &BTreeMap::new(), CommandPolicy::BleOnly, Request::Stop));
        ways.get_mut(&ble).unwrap().hurdle.unpaired();
        let none = choose(now, &ways, &BTreeMap::new(), CommandPolicy::BleOnly, Request::Stop).unwrap_err();
        assert!(
            none.text.is_some_and(|text| text.contains("tesla pair-bluetooth VIN")),
            "its key is not a matter of the app"
        );
        ways.get_mut(&ble).unwrap().hurdle.bar("pair a key".to_owned());
        assert!(!could(&ways, &BTreeMap::new(), CommandPolicy::BleOnly, Request::Stop));
    }
}

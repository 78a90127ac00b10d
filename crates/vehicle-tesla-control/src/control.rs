//! Which runs a question takes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use vehicle::{CarKey, Facts, Outcome, Position, Refusal, Request, Trouble, Vin, Wakefulness};
use vehicle_radio::{Awake, Hitch, Line, Radio, WAKE_POLL, WAKE_TAKES, whole_amps, whole_percent};
use vehicle_tesla::charge_state::taken_at;

use crate::adapter::Adapter;
use crate::breaker::Breaker;
use crate::keys::Keys;
use crate::run::{Ran, run};
use crate::said::{Verdict, verdict};
use crate::{Patience, Settings, state};

/// For the answer to a command, once there is a connection (the program's own value is 5 s).
const COMMAND_WAIT: Duration = Duration::from_secs(10);
/// Beyond its own waits the program gets so long to end.
const MARGIN: Duration = Duration::from_secs(5);
/// Within one question nothing is tried again after this.
const QUESTION: Duration = Duration::from_secs(60);
/// A car that did not know our key is not read again for so long. Commands are tried whenever they are asked for.
const UNPAIRED_HOLDS: Duration = Duration::from_secs(900);

/// The program, as the source's thread uses it.
pub(crate) struct Control {
    program: PathBuf,
    keys: Arc<Keys>,
    adapter: Arc<Adapter>,
    patience: Patience,
    breaker: Breaker,
    awake: Awake,
    unpaired: BTreeMap<Vin, Instant>,
    /// Cars that do not tell this key where they are.
    placeless: BTreeSet<Vin>,
}

/// The options of every run.
pub(crate) fn options(vin: &Vin, patience: &Patience) -> Vec<String> {
    let connect = format!("{}s", patience.connect_wait().as_secs());
    let command = format!("{}s", COMMAND_WAIT.as_secs());
    ["-ble", "-vin", vin.as_str(), "-connect-timeout", &connect, "-command-timeout", &command]
        .map(str::to_owned)
        .to_vec()
}

/// When a run is killed.
pub(crate) fn limit(patience: &Patience) -> Duration {
    patience.connect_wait() + COMMAND_WAIT + MARGIN
}

impl Control {
    pub(crate) fn new(program: PathBuf, keys: Arc<Keys>, adapter: Arc<Adapter>, settings: &Settings) -> Self {
        let patience = settings.patience;
        Control {
            program,
            keys,
            adapter,
            patience,
            breaker: Breaker::new(patience.breaker_threshold, patience.breaker_pause),
            awake: Awake::default(),
            unpaired: BTreeMap::new(),
            placeless: BTreeSet::new(),
        }
    }

    /// Runs the program, again after failures that came fast and surely did nothing.
    fn say(&mut self, car: &Target, words: &[&str], line: &Line) -> Result<String, Verdict> {
        let mut pause = self.patience.retry_delay;
        let mut tries_left = self.patience.retries;
        loop {
            let began = Instant::now();
            let verdict = match self.say_once(car, words, line) {
                Ok(stdout) => return Ok(stdout),
                Err(verdict) => verdict,
            };
            let was_fast = began.elapsed() < self.patience.connect_wait() / 2;
            let may_help = matches!(Hitch::of(&verdict.words), Hitch::Busy | Hitch::NotReached | Hitch::Unknown);
            let has_time = Instant::now() + pause + self.patience.connect_wait() <= car.until;
            let goes_on = verdict.is_undone && was_fast && may_help && has_time && tries_left > 0;
            if !goes_on || self.breaker.rest(Instant::now()).is_some() || !line.wait(pause) {
                return Err(verdict);
            }
            (tries_left, pause) = (tries_left - 1, pause.saturating_mul(2));
        }
    }

    fn say_once(&mut self, car: &Target, words: &[&str], line: &Line) -> Result<String, Verdict> {
        let mut args = options(&car.vin, &self.patience);
        // The body controller talks to everybody.
        if words != SLEEP
            && let Some(path) = self.keys.of(&car.vin)
        {
            args.extend(["-key-file".to_owned(), path.display().to_string()]);
        }
        args.extend(words.iter().map(|word| (*word).to_owned()));
        let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        let limit = limit(&self.patience);
        let now = Instant::now();
        let verdict = match run(&self.program, &args, limit, &|| line.is_over()) {
            Ran::Ended { is_success: true, stdout, .. } => {
                self.works(line);
                return Ok(stdout);
            }
            Ran::Ended { stderr, .. } => verdict(&stderr),
            Ran::TimedOut => {
                self.breaker.failed(now);
                let words = format!("tesla-control did not end within {} s and was ended", limit.as_secs());
                return Err(Verdict { is_undone: false, words });
            }
            Ran::Stopped => return Err(Verdict { is_undone: false, words: "the program ends".to_owned() }),
            Ran::NotStarted(error) => {
                let words = format!(
                    "{} cannot be started: {error}; see that it is the program for this computer and may be executed \
                     (config.teslaControlPath)",
                    self.program.display()
                );
                self.fails(&words, line);
                return Err(Verdict { is_undone: true, words });
            }
        };
        match Hitch::of(&verdict.words) {
            Hitch::Adapter(fault) => self.fails(&format!("{} ({})", fault.advice(), verdict.words), line),
            Hitch::NotPaired => {
                self.unpaired.insert(car.vin.clone(), now);
                self.works(line);
            }
            // That a car is not there says nothing about the adapter.
            Hitch::NotReached | Hitch::Unknown => {}
            _ => self.works(line),
        }
        Err(verdict)
    }

    /// The adapter, and all that it needs.
    fn works(&mut self, line: &Line) {
        self.breaker.worked();
        line.trouble(None);
    }

    fn fails(&mut self, text: &str, line: &Line) {
        self.breaker.trip(Instant::now());
        line.trouble(Some(Trouble { code: "unreachable", text: text.to_owned(), needs_person: false }));
    }

    /// Asks the body controller, which wakes nobody. `Ok(None)` when it does not know.
    fn ask_sleep(&mut self, car: &Target, line: &Line) -> Result<Option<Wakefulness>, Outcome> {
        let stdout = match self.say(car, SLEEP, line) {
            Ok(stdout) => stdout,
            Err(verdict) => return Err(outcome(Request::ReadWakefulness, &verdict)),
        };
        let wakefulness = state::sleep(&stdout);
        match wakefulness {
            Some(Wakefulness::Awake) => self.awake.seen(&car.key, Instant::now()),
            _ => self.awake.forget(&car.key),
        }
        if wakefulness.is_some() {
            line.report(&car.key, Some(Instant::now()), Facts { wakefulness, ..Facts::default() });
        }
        Ok(wakefulness)
    }

    /// Says something to a car that is awake; one that sleeps is left alone.
    fn say_awake(&mut self, car: &Target, request: Request, words: &[&str], line: &Line) -> Result<String, Outcome> {
        let was_sure = self.awake.is_sure(&car.key, Instant::now());
        if !was_sure && self.ask_sleep(car, line)? == Some(Wakefulness::Asleep) {
            return Err(Outcome::Asleep);
        }
        let verdict = match self.say(car, words, line) {
            Ok(stdout) => {
                self.awake.seen(&car.key, Instant::now());
                self.unpaired.remove(&car.vin);
                return Ok(stdout);
            }
            Err(verdict) => verdict,
        };
        if Hitch::of(&verdict.words) != Hitch::Reason {
            self.awake.forget(&car.key);
        }
        let outcome = outcome(request, &verdict);
        // It was awake some minutes ago, and may have fallen asleep since.
        let may_sleep = was_sure && verdict.is_undone && matches!(outcome, Outcome::Later { .. });
        if may_sleep && !line.is_over() && self.ask_sleep(car, line) == Ok(Some(Wakefulness::Asleep)) {
            return Err(Outcome::Asleep);
        }
        Err(outcome)
    }

    fn read(&mut self, car: &Target, with_position: bool, line: &Line) -> Outcome {
        let request = Request::Read { with_position };
        if self.unpaired.get(&car.vin).is_some_and(|at| at.elapsed() < UNPAIRED_HOLDS) {
            return Outcome::Refused(Refusal::NotPaired);
        }
        let stdout = match self.say_awake(car, request, &["state", "charge"], line) {
            Ok(stdout) => stdout,
            Err(outcome) => return outcome,
        };
        let Some(facts) = state::charge(&stdout) else {
            let text = "what tesla-control prints is no state of charge: bring it up to date".to_owned();
            return Outcome::Later { after: None, text };
        };
        line.report(&car.key, Some(Instant::now()), facts);
        if with_position && !self.placeless.contains(&car.vin) && !line.is_over() {
            self.read_place(car, line);
        }
        Outcome::Done
    }

    /// Where it is; that this fails does not matter to the rest.
    fn read_place(&mut self, car: &Target, line: &Line) {
        match self.say(car, &["state", "location"], line) {
            Ok(stdout) => {
                let (now, clock) = (Instant::now(), SystemTime::now());
                let position = state::place(&stdout).and_then(|place| {
                    let fixed_at = place.fixed_at.and_then(|stamp| taken_at(stamp, now, clock));
                    Position::new(place.latitude, place.longitude, fixed_at)
                });
                if position.is_some() {
                    line.report(&car.key, Some(now), Facts { position, ..Facts::default() });
                }
            }
            Err(verdict) => {
                if matches!(Hitch::of(&verdict.words), Hitch::NotAllowed | Hitch::Reason) {
                    log::info!("{}: the car does not tell this key where it is ({})", car.key, verdict.words);
                    self.placeless.insert(car.vin.clone());
                }
            }
        }
    }

    fn wake(&mut self, car: &Target, line: &Line) -> Outcome {
        let until = Instant::now() + WAKE_TAKES;
        if let Err(verdict) = self.say(car, &["wake"], line) {
            return outcome(Request::Wake, &verdict);
        }
        loop {
            if self.ask_sleep(car, line) == Ok(Some(Wakefulness::Awake)) {
                return Outcome::Done;
            }
            if Instant::now() >= until || !line.wait(WAKE_POLL) {
                return Outcome::Asleep;
            }
        }
    }

    fn command(&mut self, car: &Target, request: Request, words: &[&str], line: &Line) -> Outcome {
        self.say_awake(car, request, words, line).map_or_else(|outcome| outcome, |_| Outcome::Done)
    }
}

const SLEEP: &[&str] = &["body-controller-state"];

/// Whom a question is about, and until when something may be tried again.
struct Target {
    key: CarKey,
    vin: Vin,
    until: Instant,
}

fn outcome(request: Request, verdict: &Verdict) -> Outcome {
    let changes = request.is_command() || request == Request::Wake;
    match Hitch::of(&verdict.words) {
        Hitch::Reason => {}
        // Whatever the words are, the program itself does not know whether it was done.
        _ if changes && !verdict.is_undone => return Outcome::Unsure { text: verdict.words.clone() },
        _ => {}
    }
    Hitch::of(&verdict.words).outcome(request, &verdict.words, verdict.is_undone)
}

impl Radio for Control {
    fn answer(&mut self, car: &CarKey, request: Request, line: &Line) -> Outcome {
        if request == Request::List {
            for vin in self.keys.vins() {
                line.report(&CarKey::Vin(vin.clone()), None, Facts::default());
            }
            return Outcome::Done;
        }
        let Some(vin) = car.vin().filter(|vin| self.keys.of(vin).is_some()).cloned() else {
            return Outcome::Barred { text: crate::Error::NoKey.to_string() };
        };
        if !self.adapter.check(line) {
            return Outcome::Later { after: None, text: "this computer has no Bluetooth adapter".to_owned() };
        }
        if let Some(rest) = self.breaker.rest(Instant::now()) {
            let text = "Bluetooth failed and is left alone for a while".to_owned();
            return Outcome::Later { after: Some(rest), text };
        }
        let car = Target { key: car.clone(), vin, until: Instant::now() + QUESTION };
        match request {
            Request::List => Outcome::Done,
            Request::Read { with_position } => self.read(&car, with_position, line),
            Request::ReadWakefulness => match self.ask_sleep(&car, line) {
                Ok(Some(_)) => Outcome::Done,
                Ok(None) => Outcome::Later { after: None, text: "the car does not tell whether it sleeps".to_owned() },
                Err(outcome) => outcome,
            },
            Request::Wake => self.wake(&car, line),
            Request::Start => self.command(&car, request, &["charging-start"], line),
            Request::Stop => self.command(&car, request, &["charging-stop"], line),
            Request::SetAmps(amps) => self.command(&car, request, &["charging-set-amps", &whole_amps(amps)], line),
            Request::SetLimit(limit) => {
                self.command(&car, request, &["charging-set-limit", &whole_percent(limit)], line)
            }
        }
    }

    fn idle(&mut self, line: &Line) {
        self.adapter.check(line);
    }
}

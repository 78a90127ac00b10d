//! The thread around a bridge: one question at a time, and exactly one answer each.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use vehicle::{
    Abilities, Answer, Ask, CarKey, Facts, Nearness, Outcome, Report, Request, Spent, Trouble, VehicleListener,
    VehicleSource,
};

/// What is under way is waited for so long when the source ends.
const END_PATIENCE: Duration = Duration::from_millis(900);
/// With nothing to do a bridge is given a turn so often.
const IDLE_TURN: Duration = Duration::from_secs(60);
const ENDS: &str = "the program ends";

/// One bridge to cars, used by one thread.
pub trait Radio: Send + 'static {
    /// Answers a question; what was read is reported before. May block for about a minute and a half, and ends early when
    /// [`Line::is_over`].
    fn answer(&mut self, car: &CarKey, request: Request, line: &Line) -> Outcome;

    /// A turn at the start, and about once a minute while nothing is asked.
    fn idle(&mut self, line: &Line) {
        let _ = line;
    }
}

/// Opens a source around a bridge. `able` tells what the bridge can do for a car now, and may not block.
///
/// # Errors
/// When the system gives no thread.
pub fn open(
    name: &'static str,
    radio: impl Radio,
    able: impl Fn(&CarKey) -> Abilities + Send + Sync + 'static,
    listener: Arc<dyn VehicleListener>,
) -> io::Result<Arc<dyn VehicleSource>> {
    let line = Arc::new(Line { name, listener, open: Mutex::default(), bell: Condvar::new() });
    let worker = Arc::clone(&line);
    let mut radio = radio;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || worker.work(&mut radio))?;
    Ok(Arc::new(Source { line, able: Box::new(able) }))
}

struct Source {
    line: Arc<Line>,
    able: Box<dyn Fn(&CarKey) -> Abilities + Send + Sync>,
}

impl VehicleSource for Source {
    fn name(&self) -> &str {
        self.line.name
    }

    fn abilities(&self, car: &CarKey) -> Abilities {
        Abilities { is_billed: false, nearness: Nearness::Car, ..(self.able)(car) }
    }

    fn ask(&self, ask: Ask) {
        let mut open = self.line.lock();
        open.waiting.push_back(ask);
        drop(open);
        self.line.bell.notify_all();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.line.end();
    }
}

/// How a bridge tells what it found, and learns that it shall end.
pub struct Line {
    name: &'static str,
    listener: Arc<dyn VehicleListener>,
    open: Mutex<Open>,
    bell: Condvar,
}

#[derive(Default)]
struct Open {
    waiting: VecDeque<Ask>,
    under_way: Option<Ask>,
    is_over: bool,
    trouble: Option<Trouble>,
}

impl Line {
    /// Tells news of a car.
    pub fn report(&self, car: &CarKey, taken_at: Option<Instant>, facts: Facts) {
        let report = Report { car: car.clone(), source: self.name.into(), nearness: Nearness::Car, taken_at, facts };
        self.listener.report(report);
    }

    /// Tells what keeps the bridge as a whole from working, or that nothing does any more; what was told already is not
    /// told again.
    pub fn trouble(&self, trouble: Option<Trouble>) {
        let mut open = self.lock();
        if open.trouble == trouble {
            return;
        }
        open.trouble.clone_from(&trouble);
        drop(open);
        self.listener.trouble(self.name, trouble);
    }

    /// Whether the source ends: what takes long is given up.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// Waits, or returns at once when the source ends. Whether it goes on.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut open = self.lock();
        while !open.is_over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            open = self.bell.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, radio: &mut impl Radio) {
        self.guarded(|| radio.idle(self));
        loop {
            match self.next() {
                Turn::Over => return,
                Turn::Idle => {
                    self.guarded(|| radio.idle(self));
                }
                Turn::Ask(ask) => {
                    let outcome = self.guarded(|| radio.answer(&ask.car, ask.request, self));
                    let failed = || Outcome::Unsure { text: "this program failed inside".to_owned() };
                    // Not there any more when the source ended meanwhile: then it was answered.
                    if let Some(ask) = self.lock().under_way.take() {
                        self.answer(ask, outcome.unwrap_or_else(failed));
                    }
                    self.bell.notify_all();
                }
            }
        }
    }

    fn guarded<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(work));
        done.inspect_err(|_| log::error!("{} failed inside; please report it", self.name)).ok()
    }

    fn next(&self) -> Turn {
        let until = Instant::now() + IDLE_TURN;
        let mut open = self.lock();
        loop {
            if open.is_over {
                return Turn::Over;
            }
            if let Some(ask) = take_next(&mut open.waiting) {
                open.under_way = Some(ask.clone());
                return Turn::Ask(ask);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Turn::Idle;
            }
            open = self.bell.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn answer(&self, ask: Ask, outcome: Outcome) {
        let (source, spent) = (self.name.into(), Spent::NOTHING);
        self.listener.answered(Answer { id: ask.id, source, car: ask.car, outcome, spent });
    }

    /// Waits a moment for what is under way, then answers all that is left.
    fn end(&self) {
        let until = Instant::now() + END_PATIENCE;
        let mut open = self.lock();
        open.is_over = true;
        self.bell.notify_all();
        while open.under_way.is_some() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            open = self.bell.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let begun = open.under_way.take();
        let waiting = std::mem::take(&mut open.waiting);
        drop(open);
        if let Some(ask) = begun {
            self.answer(ask, Outcome::Unsure { text: ENDS.to_owned() });
        }
        for ask in waiting {
            self.answer(ask, Outcome::Later { after: None, text: ENDS.to_owned() });
        }
    }
}

enum Turn {
    Ask(Ask),
    Idle,
    Over,
}

/// The first command, else the first question; never one that would overtake another about the same car.
fn take_next(waiting: &mut VecDeque<Ask>) -> Option<Ask> {
    let is_first = |index: usize, ask: &Ask| waiting.iter().take(index).all(|earlier| earlier.car != ask.car);
    let command = waiting.iter().enumerate().position(|(index, ask)| ask.request.is_command() && is_first(index, ask));
    waiting.remove(command.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    const READ: Request = Request::Read { with_position: false };

    struct Ear(Mutex<Sender<Answer>>);

    impl VehicleListener for Ear {
        fn report(&self, _: Report) {}

        fn answered(&self, answer: Answer) {
            self.0.lock().unwrap().send(answer).unwrap();
        }

        fn trouble(&self, _: &str, _: Option<Trouble>) {}
    }

    /// Tells what it was asked, and answers when it is let.
    struct Slow {
        asked: Sender<(CarKey, Request)>,
        go: Receiver<()>,
    }

    impl Radio for Slow {
        fn answer(&mut self, car: &CarKey, request: Request, line: &Line) -> Outcome {
            self.asked.send((car.clone(), request)).unwrap();
            assert_ne!(request, Request::Wake, "a fault on order");
            while !line.is_over() {
                if self.go.recv_timeout(Duration::from_millis(5)).is_ok() {
                    return Outcome::Done;
                }
            }
            Outcome::Later { after: None, text: "given up".into() }
        }
    }

    struct Bench {
        source: Option<Arc<dyn VehicleSource>>,
        asked: Receiver<(CarKey, Request)>,
        go: Sender<()>,
        answers: Receiver<Answer>,
    }

    impl Bench {
        fn start() -> Self {
            let ((asked_in, asked), (go, go_out), (answers_in, answers)) = (channel(), channel(), channel());
            let ear = Arc::new(Ear(Mutex::new(answers_in)));
            let source = open("radio", Slow { asked: asked_in, go: go_out }, |_| Abilities::default(), ear).unwrap();
            Bench { source: Some(source), asked, go, answers }
        }

        fn ask(&self, id: u64, car: &str, request: Request) {
            self.source.as_ref().unwrap().ask(Ask { id, car: CarKey::Name(car.into()), request });
        }
    }

    #[test]
    fn one_question_at_a_time_and_commands_first() {
        let bench = Bench::start();
        bench.ask(1, "a", READ);
        assert_eq!(bench.asked.recv_timeout(PATIENCE).unwrap().1, READ);
        bench.ask(2, "b", READ);
        bench.ask(3, "b", Request::Start);
        bench.ask(4, "c", Request::Stop);
        for _ in 0..4 {
            bench.go.send(()).unwrap();
        }
        let order: Vec<u64> = (0..4).map(|_| bench.answers.recv_timeout(PATIENCE).unwrap().id).collect();
        assert_eq!(order, [1, 4, 2, 3], "c's stop goes first, b's start does not overtake b's question");
        assert_eq!(bench.source.as_ref().unwrap().abilities(&CarKey::Name("a".into())).nearness, Nearness::Car);
    }

    #[test]
    fn every_question_is_answered_once_also_at_the_end_and_after_a_fault() {
        let mut bench = Bench::start();
        bench.ask(1, "a", Request::Wake);
        let answer = bench.answers.recv_timeout(PATIENCE).unwrap();
        assert!(answer.id == 1 && matches!(answer.outcome, Outcome::Unsure { .. }));
        bench.ask(2, "a", Request::Start);
        bench.ask(3, "b", READ);
        let begun = (CarKey::Name("a".into()), Request::Start);
        while bench.asked.recv_timeout(PATIENCE).unwrap() != begun {}
        drop(bench.source.take());
        let mut answers: Vec<Answer> = bench.answers.iter().collect();
        answers.sort_by_key(|answer| answer.id);
        assert_eq!(answers.iter().map(|answer| answer.id).collect::<Vec<_>>(), [2, 3]);
        assert!(matches!(answers[1].outcome, Outcome::Later { .. }));
    }
}

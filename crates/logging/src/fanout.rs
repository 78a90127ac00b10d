//! All sinks behind one door.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use crate::thread::SinkThread;
use crate::{Health, Mute, Record, Sink};

/// The sinks in use. Giving it a record takes microseconds whatever the sinks do; it may be called from any thread.
#[derive(Debug, Default)]
pub struct Fanout {
    sinks: RwLock<Vec<SinkThread>>,
}

impl Fanout {
    /// Without any sink: records go nowhere.
    #[must_use]
    pub fn new() -> Fanout {
        Fanout::default()
    }

    /// Starts a thread for `sink`; it gets every record from now on that it wants and `mute` does not cover. A thread that
    /// cannot be started is logged; there is nothing else to do about it.
    pub fn add(&self, sink: Box<dyn Sink>, mute: Mute) {
        let key = sink.key();
        match SinkThread::start(sink, mute) {
            Ok(thread) => self.write().push(thread),
            Err(error) => {
                log::error!("{key}: its thread cannot be started: {error}; close other programs and start again")
            }
        }
    }

    /// Ends the sinks of that section, after they wrote what waits, `patience` at most.
    pub fn remove(&self, key: &str, patience: Duration) {
        let (going, staying) = std::mem::take(&mut *self.write()).into_iter().partition(|sink| sink.key() == key);
        self.write().extend::<Vec<_>>(staying);
        let going: Vec<SinkThread> = going;
        end(going, patience);
    }

    /// Hands a record to every sink that wants it.
    pub fn record(&self, record: Record) {
        for sink in self.read().iter() {
            sink.record(&record);
        }
    }

    /// How each sink is doing.
    #[must_use]
    pub fn health(&self) -> Vec<Health> {
        self.read().iter().map(SinkThread::health).collect()
    }

    /// Waits until all is written or cannot be, `patience` at most.
    pub fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        for sink in self.read().iter() {
            sink.flush(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// Writes what waits and ends all sinks, `patience` at most; one that hangs is left behind.
    pub fn shutdown(&self, patience: Duration) {
        let sinks = std::mem::take(&mut *self.write());
        end(sinks, patience);
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<SinkThread>> {
        // The list changes in single steps: a panic elsewhere leaves it whole.
        self.sinks.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<SinkThread>> {
        self.sinks.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(sinks: Vec<SinkThread>, patience: Duration) {
    let deadline = Instant::now() + patience;
    for mut sink in sinks {
        sink.shutdown(deadline.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{Kind, Line, SinkError};

    const PATIENCE: Duration = Duration::from_secs(20);

    type Answer = fn(&str) -> Result<(), SinkError>;

    /// Tells each line it wrote; what it answers is set from outside.
    struct Scripted {
        said: Sender<String>,
        answer: Arc<Mutex<Answer>>,
    }

    impl Sink for Scripted {
        fn key(&self) -> &'static str {
            "logging.Test"
        }

        fn wants(&self, kind: Kind) -> bool {
            kind == Kind::Line
        }

        fn write(&mut self, records: &[Record]) -> Result<(), SinkError> {
            for (written, record) in records.iter().enumerate() {
                let Record::Line(line) = record else { continue };
                let answer = *self.answer.lock().unwrap();
                answer(&line.text).map_err(|error| error.after(written))?;
                self.said.send(line.text.clone()).unwrap();
            }
            Ok(())
        }

        fn backlog(&self) -> usize {
            3
        }
    }

    struct Rig {
        fanout: Fanout,
        said: Receiver<String>,
        answer: Arc<Mutex<Answer>>,
    }

    impl Rig {
        fn new(answer: Answer) -> Rig {
            let (sender, said) = channel();
            let answer = Arc::new(Mutex::new(answer));
            let fanout = Fanout::new();
            fanout.add(Box::new(Scripted { said: sender, answer: Arc::clone(&answer) }), Mute::default());
            Rig { fanout, said, answer }
        }

        fn say(&self, text: &str) {
            self.fanout.record(Line::now(log::Level::Info, "test", text).into());
        }

        fn trouble(&self) -> Option<String> {
            self.fanout.health().into_iter().find_map(|health| health.trouble)
        }

        fn heard(&self) -> Vec<String> {
            self.said.try_iter().collect()
        }
    }

    #[test]
    fn a_sink_that_was_down_catches_up_in_order_within_its_bound() {
        let rig = Rig::new(|_| Err(SinkError::down("no server")));
        rig.say("1");
        rig.fanout.flush(PATIENCE);
        assert_eq!(rig.trouble().as_deref(), Some("no server"));
        for text in ["2", "3", "4", "5"] {
            rig.say(text);
        }
        *rig.answer.lock().unwrap() = |_| Ok(());
        let caught_up: Vec<_> = (0..3).map(|_| rig.said.recv_timeout(PATIENCE).unwrap()).collect();
        assert_eq!(caught_up, ["3", "4", "5"]);
        rig.fanout.flush(PATIENCE);
        assert_eq!((rig.trouble(), rig.fanout.health()[0].lost), (None, 2));
    }

    #[test]
    fn a_record_that_is_refused_or_breaks_the_sink_costs_itself_only() {
        for answer in [(|text| if text == "bad" { Err(SinkError::refused("no")) } else { Ok(()) }) as Answer, |text| {
            if text == "bad" { panic!("as the test wants") } else { Ok(()) }
        }] {
            let rig = Rig::new(answer);
            ["bad", "good"].into_iter().for_each(|text| rig.say(text));
            assert_eq!(rig.said.recv_timeout(PATIENCE).unwrap(), "good");
        }
    }

    #[test]
    fn what_waits_is_written_at_the_end_and_a_sink_that_is_down_holds_nobody_up() {
        let rig = Rig::new(|_| Ok(()));
        rig.say("last");
        rig.fanout.shutdown(PATIENCE);
        assert_eq!(rig.heard(), ["last"]);
        let down = Rig::new(|_| Err(SinkError::down("no server")));
        down.say("lost");
        down.fanout.shutdown(PATIENCE);
        assert!(down.fanout.health().is_empty());
    }

    #[test]
    fn a_sink_that_hangs_is_left_behind_and_the_others_go_on() {
        let (release, held) = channel::<()>();
        struct Hanging(Receiver<()>);
        impl Sink for Hanging {
            fn key(&self) -> &'static str {
                "logging.Hanging"
            }
            fn wants(&self, _: Kind) -> bool {
                true
            }
            fn write(&mut self, _: &[Record]) -> Result<(), SinkError> {
                let _ = self.0.recv();
                Ok(())
            }
        }
        let rig = Rig::new(|_| Ok(()));
        rig.fanout.add(Box::new(Hanging(held)), Mute::default());
        rig.say("a");
        rig.say("b");
        assert_eq!(rig.said.recv_timeout(PATIENCE).unwrap(), "a");
        assert_eq!(rig.said.recv_timeout(PATIENCE).unwrap(), "b");
        rig.fanout.remove("logging.Hanging", Duration::from_millis(1));
        rig.say("c");
        assert_eq!(rig.said.recv_timeout(PATIENCE).unwrap(), "c");
        drop(release);
    }
}

//! Requests into commands of the site, and what is replied.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use site::{Command, SitePort};
use units::Amps;

use crate::answer;
use crate::request::{Plan, Request};

/// How long `chargeNow` lasts.
const ONE_DAY: Duration = Duration::from_secs(24 * 3600);

/// The bus of Gen 2 connectors, for debug messages.
///
/// # For those who implement it
/// Only what harms nobody may be sent, whatever is asked for; [`RawBus::send`] returns without waiting for an answer.
pub trait RawBus: fmt::Debug + Send + Sync {
    /// Sends a message, family and code first, without a checksum.
    ///
    /// # Errors
    /// Why it is not sent, in a sentence for a person.
    fn send(&self, message: &[u8]) -> Result<(), String>;

    /// The bytes of the last unusual answer, checksum included; empty or `None` while there is none.
    fn last_answer(&self) -> Option<Vec<u8>>;
}

/// What goes back to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// One message.
    Text(String),
    /// Several packets.
    Long(String),
}

/// What a request came to: a reply where one is awaited.
pub(crate) type Outcome = Result<Option<Reply>, String>;

/// Does what is asked for.
#[derive(Debug)]
pub(crate) struct Clerk<'s, S: ?Sized> {
    site: &'s S,
    bus: Option<&'s dyn RawBus>,
    /// The last debug message did not leave: an older answer is none to it.
    was_refused: bool,
}

impl<'s, S: SitePort + ?Sized> Clerk<'s, S> {
    /// For a site, and the bus if there is one.
    pub fn new(site: &'s S, bus: Option<&'s dyn RawBus>) -> Self {
        Clerk { site, bus, was_refused: false }
    }

    /// Does what is asked for.
    ///
    /// # Errors
    /// A sentence for the log: what was wrong, and what to do.
    pub fn serve(&mut self, request: &Request) -> Outcome {
        match request {
            Request::Status => {
                let text = answer::status(&self.site.snapshot(), &self.site.settings());
                return Ok(Some(Reply::Text(text)));
            }
            Request::Dump => return Ok(Some(Reply::Long(answer::dump(&self.site.snapshot())))),
            Request::LastAnswer => {
                let bytes = self.bus.filter(|_| !self.was_refused).and_then(RawBus::last_answer).unwrap_or_default();
                return Ok(Some(Reply::Text(answer::spaced_hex(&bytes))));
            }
            Request::NonScheduledAmps(amps) => {
                let value = self.within_wiring(*amps)?;
                self.command(Command::SetSetting { key: "nonScheduledAmpsMax".to_owned(), value })?;
            }
            Request::ResumeGreen(minute) => {
                self.command(Command::SetSetting {
                    key: "hourResumeTrackGreenEnergy".to_owned(),
                    value: hours(*minute),
                })?;
            }
            Request::Schedule(plan) => self.schedule(*plan)?,
            Request::ChargeNow => {
                let most = self.site.snapshot().site.max_amps_all;
                let amps = Amps::new(most).map_err(|_| "`wiringMaxAmpsAllTWCs` is out of range".to_owned())?;
                self.command(Command::ChargeNow { amps: Some(amps), duration: ONE_DAY })?;
            }
            Request::CancelChargeNow => self.command(Command::CancelChargeNow)?,
            Request::Send(bytes) => {
                let sent = self.send(bytes);
                self.was_refused = sent.is_err();
                sent?;
            }
            // Neither did anything in TWCManager.
            Request::HeartbeatData => {
                return Err("limits are set by targets, so that the wiring stays guarded; heartbeats cannot be \
                            replaced"
                    .to_owned());
            }
            Request::DebugLevel => {
                return Err("the level of the log is set in the configuration, by logging.console".to_owned());
            }
        }
        Ok(None)
    }

    fn command(&self, command: Command) -> Result<(), String> {
        self.site.command(command).map_err(|refusal| refusal.text)
    }

    /// Amps as they are stored: -1 as it is, and no more than the wiring carries.
    fn within_wiring(&self, amps: i64) -> Result<Value, String> {
        if amps < -1 {
            return Err(format!("{amps} A is no current; give 0 or more, or -1"));
        }
        let most = self.site.snapshot().site.max_amps_all.floor();
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and wiring carries little")]
        let most = most as i64;
        if amps > most {
            log::info!(
                "WebIPC: {amps} A is more than the wiring carries; {most} A are stored (`wiringMaxAmpsAllTWCs`)"
            );
        }
        Ok(Value::from(amps.min(most)))
    }

    fn schedule(&self, plan: Plan) -> Result<(), String> {
        let mut changes = vec![
            ("scheduledAmpsMax".to_owned(), self.within_wiring(plan.amps)?),
            ("scheduledAmpsStartHour".to_owned(), hours(plan.start)),
            ("scheduledAmpsEndHour".to_owned(), hours(plan.end)),
            ("scheduledAmpsDaysBitmap".to_owned(), plan.days.into()),
        ];
        if let Some(page) = self.site.settings().get("Schedule") {
            changes.push(("Schedule".to_owned(), as_page(page.clone(), plan)));
        }
        self.command(Command::SetSettings(changes))
    }

    fn send(&self, bytes: &[u8]) -> Result<(), String> {
        let bus = self.bus.ok_or("there is no bus of Gen 2 connectors here: see interface.RS485")?;
        let snapshot = self.site.snapshot();
        let protocol = answer::connectors(&snapshot).next().and_then(|evse| answer::detail(evse, "protocol"));
        let mut message = bytes.to_vec();
        message.resize(if protocol == Some(1.0) { 13 } else { 15 }, 0);
        bus.send(&message)
    }
}

/// The object of the newer schedule page, where there is one: its times of each day would act instead of these.
fn as_page(mut page: Value, plan: Plan) -> Value {
    if let Some(settings) = page.get_mut("Settings").and_then(Value::as_object_mut) {
        settings.insert("schedulePerDay".to_owned(), 0.into());
    }
    if let (Some(start), Some(end), Some(fields)) = (plan.start, plan.end, page.as_object_mut()) {
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        fields.insert("Common".to_owned(), json!({"start": time(start), "end": time(end)}));
    }
    page
}

/// Hours with a fraction, as `settings.json` keeps them; -1 for unset.
fn hours(minute: Option<u16>) -> Value {
    match minute {
        None => (-1).into(),
        Some(minute) if minute % 60 == 0 => (minute / 60).into(),
        Some(minute) => (f64::from(minute) / 60.0).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use evse::Detail;
    use site::RefusalKind;
    use twc_names::testing::{FakeSite, snapshot};

    use super::*;
    use crate::request::parse;

    fn given(site: &FakeSite, text: &str) -> Result<Vec<Command>, String> {
        let request = parse(text).map_err(|error| error.to_string())?;
        Clerk::new(site, None).serve(&request).map(|reply| {
            assert_eq!(reply, None, "{text}");
            site.taken()
        })
    }

    fn setting(key: &str, value: Value) -> Command {
        Command::SetSetting { key: key.to_owned(), value }
    }

    #[test]
    fn commands_reach_the_site() {
        for (text, command) in [
            ("setNonScheduledAmps=16", setting("nonScheduledAmpsMax", json!(16))),
            ("setNonScheduledAmps=-1", setting("nonScheduledAmpsMax", json!(-1))),
            // The wiring carries 32 A.
            ("setNonScheduledAmps=80", setting("nonScheduledAmpsMax", json!(32))),
            ("setResumeTrackGreenEnergyTime=07:30", setting("hourResumeTrackGreenEnergy", json!(7.5))),
            ("setResumeTrackGreenEnergyTime=07:00", setting("hourResumeTrackGreenEnergy", json!(7))),
            ("setResumeTrackGreenEnergyTime=-1:00", setting("hourResumeTrackGreenEnergy", json!(-1))),
            ("chargeNow", Command::ChargeNow { amps: Some(Amps::from_whole(32)), duration: ONE_DAY }),
            ("chargeNowCancel", Command::CancelChargeNow),
        ] {
            assert_eq!(given(&FakeSite::new(snapshot(), json!({})), text), Ok(vec![command]), "{text}");
        }
    }

    fn flat(amps: i64, start: Value, end: Value, days: u8) -> Vec<(String, Value)> {
        [
            ("scheduledAmpsMax", amps.into()),
            ("scheduledAmpsStartHour", start),
            ("scheduledAmpsEndHour", end),
            ("scheduledAmpsDaysBitmap", days.into()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec()
    }

    #[test]
    fn a_schedule_is_stored_at_once() {
        let site = FakeSite::new(snapshot(), json!({}));
        let text = "setScheduledAmps=16\nstartTime=22:15\nendTime=06:00\ndays=31";
        let stored = flat(16, json!(22.25), json!(6), 31);
        assert_eq!(given(&site, text), Ok(vec![Command::SetSettings(stored)]));
        let text = "setScheduledAmps=-1\nstartTime=-1:00\nendTime=-1:00\ndays=0";
        let stored = flat(-1, json!(-1), json!(-1), 0);
        assert_eq!(given(&site, text), Ok(vec![Command::SetSettings(stored)]));
    }

    #[test]
    fn times_of_each_day_do_not_outlive_a_new_schedule() {
        let page =
            json!({"Common": {"start": "01:00", "end": "02:00"}, "Settings": {"schedulePerDay": 1}, "Monday": {}});
        let site = FakeSite::new(snapshot(), json!({ "Schedule": page }));
        let taken = given(&site, "setScheduledAmps=16\nstartTime=22:15\nendTime=06:00\ndays=31").unwrap();
        let [Command::SetSettings(changes)] = &taken[..] else { panic!("{taken:?}") };
        let page =
            json!({"Common": {"start": "22:15", "end": "06:00"}, "Settings": {"schedulePerDay": 0}, "Monday": {}});
        assert_eq!(changes[4], ("Schedule".to_owned(), page));
    }

    #[test]
    fn what_cannot_be_is_said_so() {
        let site = FakeSite::new(snapshot(), json!({}));
        for (text, hint) in [
            ("setNonScheduledAmps=-2", "or -1"),
            ("setMasterHeartbeatData=050258", "wiring stays guarded"),
            ("setMasterHeartbeatData=", "wiring stays guarded"),
            ("setDebugLevel=10", "logging.console"),
            ("sendTWCMsg=FB1B", "interface.RS485"),
        ] {
            assert!(given(&site, text).unwrap_err().contains(hint), "{text}");
        }
        assert_eq!(site.taken(), []);
        site.refuse(RefusalKind::Busy, "come back later");
        assert_eq!(given(&site, "chargeNow"), Err("come back later".to_owned()));
    }

    /// Refuses what begins with FC, as a careful bus does.
    #[derive(Debug, Default)]
    struct FakeBus {
        sent: Mutex<Vec<Vec<u8>>>,
        answer: Mutex<Option<Vec<u8>>>,
    }

    impl RawBus for FakeBus {
        fn send(&self, message: &[u8]) -> Result<(), String> {
            if message.starts_with(&[0xFC]) {
                return Err("harmful".to_owned());
            }
            self.sent.lock().unwrap().push(message.to_vec());
            Ok(())
        }

        fn last_answer(&self) -> Option<Vec<u8>> {
            self.answer.lock().unwrap().clone()
        }
    }

    #[test]
    fn a_raw_message_is_padded_to_the_protocol() {
        for (protocol, length) in [(Some(1.0), 13), (Some(2.0), 15), (None, 15)] {
            let site = FakeSite::new(snapshot(), json!({}));
            site.publish(|snapshot| match protocol {
                Some(number) => {
                    snapshot.evses[0].details.insert("protocol", Detail::Number(number));
                }
                None => snapshot.evses.clear(),
            });
            let bus = FakeBus::default();
            let mut clerk = Clerk::new(&site, Some(&bus));
            clerk.serve(&Request::Send(vec![0xFB, 0xEB])).unwrap();
            clerk.serve(&Request::Send(vec![0xFB; 40])).unwrap();
            let sent = bus.sent.lock().unwrap();
            assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [length, length]);
            assert_eq!(sent[0][..3], [0xFB, 0xEB, 0]);
        }
    }

    #[test]
    fn an_answer_from_the_bus_is_told_until_something_is_refused() {
        let site = FakeSite::new(snapshot(), json!({}));
        let bus = FakeBus::default();
        let mut clerk = Clerk::new(&site, Some(&bus));
        let last = |clerk: &mut Clerk<'_, FakeSite>| clerk.serve(&Request::LastAnswer);
        let text = |text: &str| Ok(Some(Reply::Text(text.to_owned())));
        assert_eq!(last(&mut clerk), text("None"));
        *bus.answer.lock().unwrap() = Some(vec![]);
        assert_eq!(last(&mut clerk), text("None"), "awaited");
        *bus.answer.lock().unwrap() = Some(vec![0xFD, 0x1B, 2, 16]);
        assert_eq!(last(&mut clerk), text("FD 1B 02 10"));
        assert!(clerk.serve(&Request::Send(vec![0xFC, 0x19])).is_err());
        assert_eq!(last(&mut clerk), text("None"), "that answer belongs to another message");
        clerk.serve(&Request::Send(vec![0xFB, 0xEB])).unwrap();
        assert_eq!(last(&mut clerk), text("FD 1B 02 10"));
        assert_eq!(Clerk::new(&site, None).serve(&Request::LastAnswer), text("None"));
    }

    #[test]
    fn queries_are_answered() {
        let site = FakeSite::new(snapshot(), json!({}));
        let mut clerk = Clerk::new(&site, None);
        let Ok(Some(Reply::Text(text))) = clerk.serve(&Request::Status) else { panic!("a status") };
        assert!(text.starts_with("8.73`32.00`"), "{text}");
        assert!(matches!(clerk.serve(&Request::Dump), Ok(Some(Reply::Long(_)))));
        assert_eq!(site.taken(), []);
    }
}

//! One signed command, from the session to the car's word.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tesla_command::{
    Answer as Said, Command, CommandError, Delivery, Domain, ErrorKind, Heard, KeyFile, KeyFileError, Output, Session,
    SystemRandom, Transport,
};
use vehicle::{Outcome, Refusal, Request, Spent, Vin};

use crate::cloud::{Call, Cloud, Failure, Price};
use crate::notes::Notes;
use crate::pause::Pause;
use crate::reply::{Fault, outcome_of_reason};

/// An answer that takes longer is of no use to the session any more.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What came of a signed command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Signed {
    /// The car has spoken, or nobody knows.
    Over(Outcome),
    /// Our key is not on the car's list.
    NotPaired,
    /// The car does not know signed commands: plain ones will do.
    NotKnown,
    /// The cloud failed or refused.
    Failed(Failure),
}

/// The session with one car's charging computer.
pub(crate) struct Line {
    vin: Vin,
    session: Session,
    /// Its session could not be saved: open it anew, so that it is saved before anything else is sent.
    pub(crate) is_unsaved: bool,
}

impl Line {
    /// Opens the line with our key from its file, and takes up the session of earlier.
    ///
    /// # Errors
    /// Why there is no usable key, or the VIN is none that can be signed for.
    pub(crate) fn open(vin: &Vin, key: &Path, notes: &Notes) -> Result<Line, String> {
        let file = KeyFile::load(key).map_err(|error| match error {
            KeyFileError::Missing(_) => "this car takes only signed commands, and there is no key to sign with: make one \
                                         with `twcmanager tesla setup --create-key`, then follow `twcmanager tesla setup`"
                .to_owned(),
            other => other.to_string(),
        })?;
        if file.is_exposed {
            log::warn!("others may read {}: `chmod 600` it", key.display());
        }
        let named = vin.as_str().parse().map_err(|error: tesla_command::BadVin| error.to_string())?;
        let mut session =
            Session::new(file.key, named, Domain::Infotainment, Transport::Internet, Box::new(SystemRandom));
        if let Some((state, age)) = notes.session(vin, SystemTime::now()) {
            session.restore(Instant::now(), &state, age);
        }
        Ok(Line { vin: vin.clone(), session, is_unsaved: false })
    }

    /// Sends a command and waits for the car's word. Blocks for some time-outs at most; ends early when the source does.
    pub(crate) fn send(
        &mut self,
        request: Request,
        command: Command,
        notes: &Notes,
        cloud: &Cloud,
        pause: &Pause,
        spent: &mut Spent,
    ) -> Signed {
        if let Err(error) = self.session.begin(Instant::now(), command) {
            return Signed::Over(later(error.to_string()));
        }
        let mut failure = None;
        let mut refused_save = None;
        loop {
            while let Some(output) = self.session.poll_output() {
                match output {
                    Output::Save(state) => {
                        refused_save = notes.save_session(&self.vin, state, SystemTime::now()).err();
                        self.is_unsaved = refused_save.is_some();
                    }
                    // Unsaved counters are not sent: the car would see them twice after a power cut.
                    Output::Send(_) if refused_save.is_some() => self.session.handle_failure(Delivery::NotSent),
                    Output::Send(message) => failure = self.exchange(&message, cloud, spent).err(),
                    Output::CarKeyChanged { .. } => log::warn!(
                        "{}: the car's own key has changed, as after a new computer; if nothing was repaired, look at who \
                         has access to the account",
                        self.vin
                    ),
                    Output::Finished { result, .. } => return finished(request, result, failure, refused_save),
                }
            }
            let now = Instant::now();
            let Some(at) = self.session.next_timeout() else {
                return Signed::Over(later("the session ended without an answer".into()));
            };
            // Between two tries: surely nothing was done.
            if pause.wait(at.saturating_duration_since(now)) {
                return Signed::Over(later("the program ends".into()));
            }
            self.session.handle_timeout(Instant::now());
        }
    }

    fn exchange(&mut self, message: &[u8], cloud: &Cloud, spent: &mut Spent) -> Result<(), Failure> {
        let path = format!("/api/1/vehicles/{}/signed_command", self.vin);
        let mut call = Call::post(path, json!({"routable_message": STANDARD.encode(message)}), Price::Command);
        call.timeout = Some(TIMEOUT);
        let failure = match cloud.call(&call, spent) {
            Ok(answer) => {
                let bytes = answer.body.get("response").and_then(|text| STANDARD.decode(text.as_str()?.trim()).ok());
                match bytes.map(|bytes| self.session.handle_bytes(Instant::now(), &bytes)) {
                    Some(Heard::Taken) => return Ok(()),
                    _ => Failure::Lost("the car's answer cannot be read".to_owned()),
                }
            }
            Err(failure) => failure,
        };
        self.session.handle_failure(match &failure {
            Failure::NotMade(_) | Failure::NotSent(_) => Delivery::NotSent,
            Failure::Said(Fault::Unsure | Fault::Reason(_), _) | Failure::Lost(_) => Delivery::Unknown,
            Failure::Said(..) => Delivery::NotSent,
        });
        Err(failure)
    }
}

fn later(text: String) -> Outcome {
    Outcome::Later { after: None, text }
}

fn finished(
    request: Request,
    result: Result<Result<Said, tesla_command::Refusal>, CommandError>,
    failure: Option<Failure>,
    refused_save: Option<String>,
) -> Signed {
    let error = match result {
        Ok(Ok(Said::AlreadySo)) => return Signed::Over(Outcome::AlreadySo),
        Ok(Ok(_)) => return Signed::Over(Outcome::Done),
        Ok(Err(refusal)) => {
            let outcome = outcome_of_reason(request, &refusal.reason);
            if outcome == Outcome::Refused(Refusal::Other) {
                log::warn!("{refusal}");
            }
            return Signed::Over(outcome);
        }
        Err(error) => error,
    };
    if let Some(text) = refused_save {
        return Signed::Over(later(text));
    }
    match (failure, error.kind()) {
        (Some(Failure::Said(Fault::Unprocessable, _)), _) => Signed::NotKnown,
        // What the cloud said tells more than that nothing was sent.
        (Some(failure), ErrorKind::Retry) => Signed::Failed(failure),
        (Some(failure @ Failure::Said(..)), _) => Signed::Failed(failure),
        (_, ErrorKind::Unpaired) => Signed::NotPaired,
        (_, ErrorKind::Unconfirmed) => Signed::Over(Outcome::Unsure { text: error.to_string() }),
        (_, ErrorKind::Retry) => Signed::Over(later(error.to_string())),
        _ => Signed::Over(Outcome::Barred { text: error.to_string() }),
    }
}

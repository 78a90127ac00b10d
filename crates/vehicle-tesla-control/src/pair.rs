//! Asks a car to take our key.

use std::ffi::OsStr;

use tesla_command::BLUETOOTH_STEPS;
use vehicle::Vin;

use crate::control::{limit, options};
use crate::keys::Keys;
use crate::run::{Ran, run};
use crate::said::verdict;
use crate::{Error, Settings};

/// Asks a car to take our key, with the role of a charging manager: it may read, wake and control charging, and can neither
/// unlock nor drive. Sent once only, since each request opens another question on the car's screen. Blocks for up to about
/// half a minute. What is left to do is returned, for people to read.
///
/// # Errors
/// [`Error::NoProgram`], [`Error::NoKey`], [`Error::KeyFile`]; [`Error::Failed`] in the program's words.
pub fn pair(settings: &Settings, vin: &Vin) -> Result<String, Error> {
    let program = settings.program.as_deref().ok_or(Error::NoProgram)?;
    let keys = Keys::write(settings)?;
    let key = keys.of(vin).ok_or(Error::NoKey)?;
    let mut args = options(vin, &settings.patience);
    // The program takes the public key out of the file.
    args.extend(["add-key-request".into(), key.display().to_string(), "charging_manager".into(), "cloud_key".into()]);
    let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
    match run(program, &args, limit(&settings.patience), &|| false) {
        Ran::Ended { is_success: true, .. } => Ok(format!(
            "The request was sent to {}. Within 30 seconds hold the key card to the console, then confirm on the car's screen.",
            vin.as_str()
        )),
        Ran::Ended { stderr, .. } => {
            Err(Error::Failed(format!("the car was not asked: {}\n{BLUETOOTH_STEPS}", verdict(&stderr).words)))
        }
        Ran::TimedOut | Ran::Stopped => Err(Error::Failed(format!(
            "it is not known whether the car was asked: look at its screen before you try again\n{BLUETOOTH_STEPS}"
        ))),
        Ran::NotStarted(error) => Err(Error::Failed(format!("{} cannot be started: {error}", program.display()))),
    }
}

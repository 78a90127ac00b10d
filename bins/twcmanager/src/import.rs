//! `import`: what an older TWCManager left behind, what becomes of each thing, and, with `--apply`, its past in the journal.
//!
//! | file | does |
//! | --- | --- |
//! | `places.rs` | finds the files and the server |
//! | `past.rs` | reads them: CSV, MySQL, SQLite, the settings' history |
//! | `known.rs` | tells what is there already |
//!
//! Nothing of the old is changed. What is in the journal already, from an earlier import or of our own, is not added again:
//! a session is the same when it began on the same connector at most a minute apart, a sample when one of the same moment
//! is there.

mod known;
mod past;
mod places;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use config::{Config, SettingsStore};
use ems::Shared;
use journal::{Entry, Store};

use crate::args::ImportArgs;
use crate::configuration::Configuration;
use crate::drivers::Drivers;
use crate::instance::stranger;
use crate::run::{JOURNAL, now_ms};
use past::{Past, only_new};
use places::Places;

/// Shows what there is, and brings the past over when asked to. 1 when something cannot be read or written, 2 when the
/// configuration cannot be used.
pub fn run(args: &ImportArgs, drivers: &Drivers) -> ExitCode {
    let inside = args.from.as_ref().map(|folder| folder.join("config.json")).filter(|file| file.exists());
    let named = args.config.clone().or(inside);
    let configuration = Configuration::read(named.as_deref(), drivers, &Arc::new(Shared::new()));
    let Some(config) = &configuration.config else {
        eprintln!("the configuration cannot be used; `twcmanager check` shows all there is to mend");
        return ExitCode::from(2);
    };
    let places = Places::of(config, args.from.as_deref());
    let past = Past::read(&places, now_ms());
    print!("{}", report(&configuration, config, &places, &past));
    past.problems.iter().for_each(|problem| eprintln!("{problem}"));
    if let Some(warning) = stranger(&config.site.settings_path).filter(|_| args.apply) {
        eprintln!("{warning}");
    }
    let target = config.site.settings_path.join(JOURNAL);
    match bring(&target, past.entries, args.apply) {
        Ok((sessions, samples)) if args.apply => {
            println!("\nBrought into {}: {sessions} sessions, {samples} samples.", target.display());
        }
        Ok((sessions, samples)) => println!(
            "\n--apply would bring {sessions} sessions and {samples} samples into {}. Nothing was changed.",
            target.display()
        ),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    if past.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(configuration: &Configuration, config: &Config, places: &Places, past: &Past) -> String {
    let mut text = String::from("Found, and what becomes of it:\n");
    let mut row = |what: &str, becomes: &str| text.push_str(&format!("  {what}\n      {becomes}\n"));
    let (errors, warnings) = (configuration.errors.len(), configuration.warnings.len());
    row(
        "the configuration",
        &format!(
            "is read as it is and never written to ({errors} errors, {warnings} warnings: see `twcmanager check`)"
        ),
    );
    if let Some(path) = &places.settings {
        let settings = SettingsStore::peek(path.parent().unwrap_or(Path::new(".")));
        row(
            &format!("{} ({} settings)", path.display(), settings.as_map().len()),
            &match path.parent() == Some(config.site.settings_path.as_path()) {
                true => "is used in place; what is not known is kept, so that the older program can read it again"
                    .to_owned(),
                false => format!("is not where it is looked for: copy it to {}", config.site.settings_path.display()),
            },
        );
    }
    for (what, count) in &past.counts {
        row(what, &count.to_string());
    }
    text.push_str("Without a counterpart here, left as it is:\n");
    let mut rest = Vec::new();
    if config.logging.file.is_some() {
        rest.push("log files: stay where they are");
    }
    let settings = places.settings.as_ref().and_then(|path| path.parent()).map(SettingsStore::peek).unwrap_or_default();
    let has =
        |key: &str| settings.as_map().get(key).is_some_and(|value| value.as_str() != Some("") && !value.is_null());
    if has("carApiBearerToken") || has("carApiRefreshToken") {
        rest.push("carApi tokens in settings.json: used in place, as long as config.teslaApiClientID stays the same");
    }
    if has("Vehicles") {
        rest.push("Vehicles in settings.json: Bluetooth keys are used in place, totals by car are kept and not used");
    }
    if has("chargeLimits") {
        rest.push("chargeLimits in settings.json: kept in the file, not used; look at the limits of cars that were plugged in");
    }
    if rest.is_empty() {
        rest.push("nothing was found");
    }
    rest.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    text
}

/// How many sessions and samples are new; they are written when `apply` says so.
fn bring(target: &Path, entries: Vec<Entry>, apply: bool) -> Result<(usize, usize), String> {
    let new = if apply {
        let mut store = Store::open(target, now_ms()).map_err(|error| error.to_string())?.store;
        let new = only_new(entries, Some(&store), now_ms()).map_err(|error| error.to_string())?;
        // One transaction: all of it or nothing.
        store.write(&new).map_err(|error| error.to_string())?;
        new
    } else {
        let store = if target.exists() {
            Some(Store::open_for_reading(target).map_err(|error| error.to_string())?)
        } else {
            None
        };
        only_new(entries, store.as_ref(), now_ms()).map_err(|error| error.to_string())?
    };
    let sessions = new.iter().filter(|entry| matches!(entry, Entry::Session(_))).count();
    Ok((sessions, new.len() - sessions))
}

#[cfg(test)]
mod tests;

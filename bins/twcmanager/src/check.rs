//! `check`: what the configuration says, what every enabled source answers, and whether logs can be written.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use config::Diagnostic;
use ems::{EmsReading, Shared, WireReading};
use ems_host::{Checked, check};
use ems_http::Tap;
use serde_json::{Value, json};

use crate::args::CheckArgs;
use crate::configuration::Configuration;
use crate::drivers::Drivers;
use crate::sinks::{self, Probed};

/// The slowest source that is waited for: Enphase gateways need up to 45 s on a bad day.
const PATIENCE: Duration = Duration::from_secs(50);

/// Runs the check and prints it. 0 when all is well, 1 when a source or a log fails, 2 when the configuration cannot be used.
pub fn run(args: &CheckArgs, drivers: &Drivers) -> ExitCode {
    let shared = Arc::new(Shared::new());
    match (&args.record, &args.replay) {
        (Some(folder), _) => shared.put(Arc::new(Tap::record(folder))),
        (None, Some(folder)) => shared.put(Arc::new(Tap::replay(folder))),
        (None, None) => {}
    }
    let mut configuration = Configuration::read(args.config.as_deref(), drivers, &shared);
    if let Some(name) = &args.ems {
        configuration.sources.retain(|source| source.name == *name || source.driver_name() == name);
        if configuration.sources.is_empty() && configuration.config.is_some() {
            eprintln!("no enabled source is named `{name}`; look at `sources` in the configuration");
            return ExitCode::from(2);
        }
    }
    let is_usable = configuration.errors.is_empty();
    let checked = check(&configuration.sources, PATIENCE);
    // Who asks for one source, or replays answers, is not interested in logs.
    let is_whole = args.ems.is_none() && args.replay.is_none();
    let config = configuration.config.as_ref().filter(|_| is_whole);
    let logs = config.map(sinks::probe).unwrap_or_default();
    let is_well = checked.iter().all(|source| source.result.is_ok()) && logs.iter().all(|sink| sink.result.is_ok());
    if args.json {
        println!("{}", to_json(&configuration, &checked, &logs));
    } else {
        print!("{}", to_text(&configuration, &checked, &logs));
    }
    if let Some(folder) = &args.record {
        eprintln!("The answers are in {}; passwords, tokens and addresses of people are taken out.", folder.display());
    }
    match (is_usable, is_well) {
        (false, _) => ExitCode::from(2),
        (true, false) => ExitCode::from(1),
        (true, true) => ExitCode::SUCCESS,
    }
}

fn to_json(configuration: &Configuration, checked: &[Checked], logs: &[Probed]) -> Value {
    let sources: Vec<Value> = checked
        .iter()
        .map(|source| {
            json!({
                "name": source.name,
                "ok": source.result.is_ok(),
                "error": source.result.as_ref().err().map(ToString::to_string),
                "took_ms": u64::try_from(source.took.as_millis()).unwrap_or(u64::MAX),
                "reading": source.result.as_ref().ok().map(WireReading::from),
            })
        })
        .collect();
    let logs: Vec<Value> = logs
        .iter()
        .map(|sink| json!({ "name": sink.key, "ok": sink.result.is_ok(), "error": sink.result.as_ref().err() }))
        .collect();
    json!({
        "logging": logs,
        "config": {
            "ok": configuration.errors.is_empty(),
            "errors": configuration.errors,
            "warnings": configuration.warnings,
        },
        "ems": sources,
    })
}

fn to_text(configuration: &Configuration, checked: &[Checked], logs: &[Probed]) -> String {
    let mut text = String::new();
    for (kind, findings) in [("error", &configuration.errors), ("warning", &configuration.warnings)] {
        for finding in findings {
            text.push_str(&line_of(kind, finding));
        }
    }
    match configuration.errors.len() {
        0 => text.push_str("The configuration can be used.\n"),
        1 => text.push_str("The configuration cannot be used as it is: 1 error.\n"),
        count => text.push_str(&format!("The configuration cannot be used as it is: {count} errors.\n")),
    }
    if checked.is_empty() && configuration.config.is_some() {
        text.push_str("No energy source is enabled: cars are charged by schedule and by hand only.\n");
    }
    for Checked { name, result, took } in checked {
        let answer = match result {
            Ok(reading) => describe(reading).join(", "),
            Err(error) => format!("FAILED: {error}"),
        };
        text.push_str(&format!("{name}: {answer} ({} ms)\n", took.as_millis()));
    }
    let read: Vec<&EmsReading> = checked.iter().filter_map(|source| source.result.as_ref().ok()).collect();
    if read.len() > 1 {
        text.push_str(&format!("All together: {}\n", describe(&sum(&read)).join(", ")));
    }
    for Probed { key, result } in logs {
        text.push_str(&match result {
            Ok(place) => format!("{key}: {place}\n"),
            Err(error) => format!("{key}: FAILED: {error}\n"),
        });
    }
    text
}

/// One finding as a line that editors can jump to.
pub fn line_of(kind: &str, finding: &Diagnostic) -> String {
    let Diagnostic { file, line, column, key, message, .. } = finding;
    let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
    format!("{file}:{line}:{column}: {kind}: {key}{message}\n")
}

/// A reading in words: sums and signs as people say them.
fn describe(reading: &EmsReading) -> Vec<String> {
    let mut words = Vec::new();
    let mut say = |watts: Option<f64>, positive: &str, negative: &str, zero: &str| {
        words.extend(watts.map(|watts| match watts.round() {
            w if w > 0.0 => format!("{positive} {} W", grouped(w)),
            w if w < 0.0 => format!("{negative} {} W", grouped(-w)),
            _ => zero.to_owned(),
        }));
    };
    let estimated = if reading.is_estimate { "generating (estimated)" } else { "generating" };
    say(reading.generation.map(|w| w.get()), estimated, "generating minus", "generating nothing");
    say(reading.consumption.map(|w| w.get()), "consuming", "consuming minus", "consuming nothing");
    say(reading.grid.map(|w| w.get()), "importing", "exporting", "nothing from or to the grid");
    say(reading.battery.map(|w| w.get()), "battery gives", "battery takes", "battery rests");
    words.extend(reading.battery_soc.map(|soc| format!("battery at {soc}")));
    if reading.grid_current.is_known() {
        let amps: Vec<String> =
            reading.grid_current.iter().filter_map(|(phase, a)| a.map(|a| format!("{phase} {a:.1}"))).collect();
        words.push(amps.join(" / "));
    }
    if words.is_empty() {
        words.push("answers, and has nothing to tell".to_owned());
    }
    words
}

fn sum(readings: &[&EmsReading]) -> EmsReading {
    let add = |pick: fn(&EmsReading) -> Option<ems::units::Watts>| {
        let known: Vec<_> = readings.iter().filter_map(|reading| pick(reading)).collect();
        (!known.is_empty()).then(|| known.into_iter().sum())
    };
    EmsReading {
        generation: add(|reading| reading.generation),
        consumption: add(|reading| reading.consumption),
        grid: add(|reading| reading.grid),
        battery: add(|reading| reading.battery),
        ..EmsReading::now()
    }
}

/// A whole number with commas: 3,560.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ems::units::Watts;

    #[test]
    fn signs_are_said_in_words() {
        let reading = EmsReading {
            generation: Watts::new(4200.0).ok(),
            grid: Watts::new(-3560.4).ok(),
            battery: Watts::new(0.0).ok(),
            ..EmsReading::now()
        };
        assert_eq!(describe(&reading), ["generating 4,200 W", "exporting 3,560 W", "battery rests"]);
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            (grouped(999.0), grouped(1_000.0), grouped(1_234_567.0)),
            ("999".into(), "1,000".into(), "1,234,567".into())
        );
    }
}

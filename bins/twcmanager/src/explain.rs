//! `policy explain`: which policy holds at a moment, why, and why the others do not.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::SettingsStore;
use ems::Shared;
use jiff::Zoned;
use jiff::civil::{DateTime, Time};
use serde_json::Value;
use site::{Now, Site};

use crate::args::ExplainArgs;
use crate::configuration::Configuration;
use crate::drivers::Drivers;
use crate::{check, plan};

/// Sources are read only when a policy asks one; longer than this nobody wants to wait for an explanation.
const PATIENCE: Duration = Duration::from_secs(20);

/// Explains and prints. 0 when a policy holds, 1 when none does, 2 when configuration or time cannot be used.
pub fn run(args: &ExplainArgs, drivers: &Drivers) -> ExitCode {
    let now = Zoned::now();
    let at = match args.at.as_deref().map_or_else(|| Ok(now.clone()), |text| moment(text, &now)) {
        Ok(at) => at,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let configuration = Configuration::read(args.config.as_deref(), drivers, &Arc::new(Shared::new()));
    for error in &configuration.errors {
        eprint!("{}", check::line_of("error", error));
    }
    let explained = match explain(&configuration, &at) {
        Ok(explained) => explained,
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("{error}"));
            return ExitCode::from(2);
        }
    };
    if args.json {
        println!("{explained}");
    } else {
        print!("{}", to_text(&explained));
    }
    if explained["policy"].is_string() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The explanation as data: that of the site, with the moment in `at`.
fn explain(configuration: &Configuration, at: &Zoned) -> Result<Value, Vec<String>> {
    let Some(config) = &configuration.config else {
        return Err(vec!["the configuration cannot be used; `twcmanager check` shows all there is to mend".to_owned()]);
    };
    let settings = SettingsStore::peek(&config.site.settings_path);
    let names = configuration.sources.iter().map(|source| source.name.clone()).collect();
    let mut setup = plan::site_setup(config, names, configuration.policy.clone());
    setup.consumption_sources.clone_from(&configuration.consumption_sources);
    let mono = Instant::now();
    let now = Now { mono, wall: at.clone() };
    let mut site = Site::new(setup, settings.as_map().clone(), &now)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let asks_modules = configuration.policy.as_ref().is_some_and(|policy| policy.to_string().contains("modules."));
    if asks_modules {
        for checked in ems_host::check(&configuration.sources, PATIENCE) {
            match checked.result {
                Ok(reading) => site.handle_reading(&now, &checked.name, Arc::new(reading)),
                Err(error) => site.handle_source_error(&now, &checked.name, &error),
            }
        }
    }
    // Readings are judged by their age: the clock has gone on while the sources answered.
    let mut explained = site.explain_policies(&Now { mono: Instant::now(), wall: at.clone() });
    if let Some(object) = explained.as_object_mut() {
        object.insert("at".to_owned(), at.to_string().into());
    }
    Ok(explained)
}

/// The moment that was asked for, in local time: a date with a time, or a time of today.
///
/// # Errors
/// A sentence with what is understood.
pub fn moment(text: &str, now: &Zoned) -> Result<Zoned, String> {
    let text = text.trim();
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Ok(zoned);
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(instant.to_zoned(now.time_zone().clone()));
    }
    let civil = text
        .parse::<DateTime>()
        .or_else(|_| text.parse::<Time>().map(|time| now.date().to_datetime(time)))
        .map_err(|_| format!("--at {text}: a local time such as 2026-08-20T22:30, or 22:30 for today, is needed"))?;
    civil.to_zoned(now.time_zone().clone()).map_err(|error| format!("--at {text}: {error}"))
}

fn to_text(explained: &Value) -> String {
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut text = match explained["policy"].as_str() {
        Some(name) => format!("At {} the policy is: {name}\n", text_of(&explained["at"])),
        None => format!("At {} no policy holds; the last one in force stays.\n", text_of(&explained["at"])),
    };
    for policy in explained["policies"].as_array().into_iter().flatten() {
        let mark = if policy["is_in_force"] == true { "->" } else { "  " };
        text.push_str(&format!("\n{mark} {}\n     {}\n", text_of(&policy["name"]), text_of(&policy["why"])));
        for term in policy["terms"].as_array().into_iter().flatten() {
            say_term(term, 5, &mut text);
        }
        if let Some(task) = policy["background_task"].as_str() {
            text.push_str(&format!("     background task {task}\n"));
        }
    }
    text.push_str(
        "\nJudged from the files and, where a policy asks one, from fresh readings. What only the running program knows\n\
         (latches, a policy held by hand, surplus, cars) is under /api/v2/policy/explain of its page.\n",
    );
    text
}

fn say_term(term: &Value, indent: usize, text: &mut String) {
    for (kind, word) in [("all", "all of:"), ("any", "one of:")] {
        if let Some(parts) = term[kind].as_array() {
            text.push_str(&format!("{:indent$}{word}\n", ""));
            parts.iter().for_each(|part| say_term(part, indent + 2, text));
        }
    }
    if let Some(term) = term.get("term") {
        let verdict = match term["holds"].as_bool() {
            Some(true) => "yes",
            Some(false) => "no ",
            None => "?  ",
        };
        let word = |key: &str| term[key].as_str().unwrap_or_default();
        text.push_str(&format!("{:indent$}{verdict} {}   ({} / {})\n", "", word("text"), word("left"), word("right")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-08-20T12:00:00[Europe/Berlin]".parse().unwrap()
    }

    fn explained(config: &str, settings: &str, at: &str) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        let config = config.replace("FOLDER", folder.path().to_str().unwrap());
        std::fs::write(&file, config).unwrap();
        std::fs::write(folder.path().join("settings.json"), settings).unwrap();
        let configuration = Configuration::read(Some(&file), &Drivers::builtin(), &Arc::new(Shared::new()));
        explain(&configuration, &moment(at, &now()).unwrap()).unwrap()
    }

    const CONFIG: &str = r#"{"config": {"settingsPath": "FOLDER", "wiringMaxAmpsAllTWCs": 32,
        "wiringMaxAmpsPerTWC": 32, "minAmpsPerTWC": 6}, "interface": {"RS485": {"enabled": false}}}"#;
    const SCHEDULE: &str = r#"{"scheduledAmpsMax": 16, "scheduledAmpsStartHour": 22, "scheduledAmpsEndHour": 6,
        "scheduledAmpsDaysBitmap": 127, "nonScheduledAmpsMax": 0, "nonScheduledAction": 1}"#;

    #[test]
    fn times_are_local_and_may_be_of_today() {
        assert_eq!(moment("22:30", &now()).unwrap().to_string(), "2026-08-20T22:30:00+02:00[Europe/Berlin]");
        assert_eq!(moment("2026-12-24T08:00", &now()).unwrap().to_string(), "2026-12-24T08:00:00+01:00[Europe/Berlin]");
        assert_eq!(moment("2026-08-20T20:30:00Z", &now()).unwrap(), moment("22:30", &now()).unwrap());
        assert!(moment("tonight", &now()).unwrap_err().contains("22:30"));
    }

    #[test]
    fn the_schedule_holds_at_night_and_not_at_noon() {
        let night = explained(CONFIG, SCHEDULE, "23:00");
        assert_eq!(night["policy"], "Scheduled Charging");
        assert_ne!(explained(CONFIG, SCHEDULE, "12:00")["policy"], "Scheduled Charging");
        let text = to_text(&night);
        assert!(text.contains("-> Scheduled Charging"), "{text}");
        assert!(text.contains("settings.chargeNowAmps"), "{text}");
    }

    #[test]
    fn a_silent_source_is_said_not_to_be_known() {
        let config = CONFIG.replace(
            r#""interface""#,
            r#""policy": {"extend": {"after": [{"name": "Full", "match": ["modules.TeslaPowerwall2.batteryLevel"],
               "condition": ["gt"], "value": [90], "charge_amps": 16}]}}, "interface""#,
        );
        let text = to_text(&explained(&config, "{}", "12:00"));
        assert!(text.contains("?   modules.TeslaPowerwall2.batteryLevel"), "{text}");
    }
}

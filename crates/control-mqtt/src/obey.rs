//! Orders into commands of the site.

use std::time::Duration;

use evse::EvseId;
use serde_json::Value;
use site::{Command, SitePort};
use twc_names::{Mode, Preset, ScheduleSwitch, evse_named};
use units::Amps;

use crate::order::{Order, Wish};

/// Gives what an order asks for to the site.
///
/// # Errors
/// A sentence for the log: what was wrong, and what to do.
pub(crate) fn obey(order: &Order, site: &dyn SitePort, most_charge_now: f64) -> Result<(), String> {
    let command = |command| site.command(command).map_err(|refusal| refusal.text);
    let set = |key: &str, number: f64| command(Command::SetSetting { key: key.to_owned(), value: plain(number) });
    let most = site.snapshot().site.max_amps_all;
    match order {
        Order::ChargeNow { amps, seconds } => {
            #[expect(clippy::cast_precision_loss, reason = "too large ones are refused")]
            let asked = *amps as f64;
            if asked > most_charge_now {
                return Err(format!("{amps} A is more than Charge Now by MQTT may ask for (`config.maxAmpsPerTWC`)"));
            }
            if asked > most {
                log::info!("MQTT: Charge Now asks for {amps} A and gets the {most} A of `wiringMaxAmpsAllTWCs`");
            }
            charge_now(site, asked.min(most.floor()), Duration::from_secs(*seconds))
        }
        Order::EndChargeNow => command(Command::CancelChargeNow),
        // The one who called ends the program.
        Order::EndProgram => Ok(()),
        Order::FixedAmps(amps) => set("nonScheduledAmpsMax", allowed(*amps, most)?),
        Order::Action(code) => {
            command(Command::SetSetting { key: "nonScheduledAction".to_owned(), value: Value::from(*code) })
        }
        Order::Mode(mode) => choose(site, *mode),
        Order::PresetAmps(amps) => set(Preset::AMPS, allowed(amps.max(1.0), most)?),
        Order::PresetMinutes(minutes) => set(Preset::MINUTES, *minutes),
        Order::Schedule(is_on) => schedule(site, *is_on),
        Order::ScheduleAmps(amps) => {
            let is_on = ScheduleSwitch::of(&site.settings(), &site.snapshot().site).is_on;
            set(if is_on { ScheduleSwitch::AMPS } else { ScheduleSwitch::AMPS_WHILE_OFF }, allowed(*amps, most)?)
        }
        Order::Policy(hold) => {
            let (name, seconds) = hold.clone().map_or((None, 0), |(name, seconds)| (Some(name), seconds));
            command(Command::HoldPolicy { name, duration: Duration::from_secs(seconds) })
        }
        Order::Start => command(Command::Start { evse: None }),
        Order::Stop => command(Command::Stop { evse: None }),
        Order::Evse { name, wish } => {
            let snapshot = site.snapshot();
            let evse = evse_named(&snapshot, name).map(|evse| EvseId::new(evse.id.as_str()));
            let evse = evse.ok_or_else(|| format!("there is no charging point {name:?}"))?;
            command(match *wish {
                Wish::Enabled(is_enabled) => Command::SetEnabled { evse, is_enabled },
                Wish::Priority(priority) => Command::SetPriority { evse, priority },
                Wish::Start => Command::Start { evse: Some(evse) },
                Wish::Stop => Command::Stop { evse: Some(evse) },
            })
        }
    }
}

fn charge_now(site: &dyn SitePort, amps: f64, duration: Duration) -> Result<(), String> {
    let amps = Amps::new(amps).map_err(|_| format!("{amps} A is out of range"))?;
    site.command(Command::ChargeNow { amps: Some(amps), duration }).map_err(|refusal| refusal.text)
}

fn choose(site: &dyn SitePort, mode: Mode) -> Result<(), String> {
    let Some(action) = mode.action() else {
        let preset = Preset::of(&site.settings(), &site.snapshot().site);
        return charge_now(site, preset.amps, Duration::from_secs_f64(preset.minutes * 60.0));
    };
    let value = Value::from(action);
    // What comes after Charge Now is settled before Charge Now ends.
    site.command(Command::SetSetting { key: "nonScheduledAction".to_owned(), value })
        .map_err(|refusal| refusal.text)?;
    if site.snapshot().charge_now.is_some() {
        site.command(Command::CancelChargeNow).map_err(|refusal| refusal.text)?;
    }
    Ok(())
}

fn schedule(site: &dyn SitePort, is_on: bool) -> Result<(), String> {
    let switch = ScheduleSwitch::of(&site.settings(), &site.snapshot().site);
    let set = |key: &str, number: f64| {
        let value = plain(number);
        site.command(Command::SetSetting { key: key.to_owned(), value }).map_err(|refusal| refusal.text)
    };
    match (is_on, switch) {
        (true, ScheduleSwitch { has_times: false, .. }) => {
            Err("the schedule has no times yet; set them on the page once".to_owned())
        }
        (true, ScheduleSwitch { amps, .. }) => set(ScheduleSwitch::AMPS, amps),
        // Both or none: the current is not forgotten when only one could be stored.
        (false, ScheduleSwitch { is_on: true, amps, .. }) => {
            let changes = [(ScheduleSwitch::AMPS_WHILE_OFF, amps), (ScheduleSwitch::AMPS, 0.0)];
            let changes = changes.map(|(key, number)| (key.to_owned(), plain(number)));
            site.command(Command::SetSettings(changes.into())).map_err(|refusal| refusal.text)
        }
        (false, _) => set(ScheduleSwitch::AMPS, 0.0),
    }
}

fn allowed(amps: f64, most: f64) -> Result<f64, String> {
    let is_allowed = amps <= most;
    is_allowed
        .then_some(amps)
        .ok_or_else(|| format!("{amps} A is more than the wiring carries: at most {most} A (`wiringMaxAmpsAllTWCs`)"))
}

/// Whole numbers without a fraction, as every program that reads `settings.json` wants them.
fn plain(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
    let whole = number as i64;
    if number.fract() == 0.0 { Value::from(whole) } else { Value::from(number) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::parse;
    use serde_json::json;
    use site::RefusalKind;
    use twc_names::testing::{FakeSite, snapshot};

    const MOST: f64 = 40.0;

    fn site(settings: Value) -> FakeSite {
        FakeSite::new(snapshot(), settings)
    }

    fn given(site: &FakeSite, topic: &str, payload: &str) -> Result<Vec<Command>, String> {
        obey(&parse(topic, payload)?, site, MOST).map(|()| site.taken())
    }

    fn setting(key: &str, value: Value) -> Command {
        Command::SetSetting { key: key.to_owned(), value }
    }

    fn now(amps: i32, seconds: u64) -> Command {
        Command::ChargeNow { amps: Some(Amps::from_whole(amps)), duration: Duration::from_secs(seconds) }
    }

    #[test]
    fn orders_become_commands() {
        let id = || EvseId::new("gen2-3a7c");
        for (topic, payload, commands) in [
            ("chargeNow", "16,5400", vec![now(16, 5400)]),
            // The wiring carries 32 A.
            ("chargeNow", "40,60", vec![now(32, 60)]),
            ("chargeNowEnd", "", vec![Command::CancelChargeNow]),
            ("nonScheduledAmpsMax", "10", vec![setting("nonScheduledAmpsMax", json!(10))]),
            ("nonScheduledAction", "2", vec![setting("nonScheduledAction", json!(2))]),
            ("mode", "Do not charge", vec![setting("nonScheduledAction", json!(2))]),
            ("mode", "Charge now", vec![now(32, 3600)]),
            ("chargeNowAmps", "12", vec![setting("chargeNowPresetAmps", json!(12))]),
            ("policy", "auto", vec![Command::HoldPolicy { name: None, duration: Duration::ZERO }]),
            ("stopCharging", "", vec![Command::Stop { evse: None }]),
            ("evse/3a7c/enabled", "OFF", vec![Command::SetEnabled { evse: id(), is_enabled: false }]),
            ("evse/gen2-3a7c/priority", "5", vec![Command::SetPriority { evse: id(), priority: 5 }]),
            ("evse/3A7C/stop", "", vec![Command::Stop { evse: Some(id()) }]),
            ("stop", "", vec![]),
        ] {
            assert_eq!(given(&site(json!({})), topic, payload), Ok(commands), "{topic} {payload}");
        }
    }

    #[test]
    fn what_cannot_be_is_said_so() {
        let site = site(json!({}));
        for (topic, payload, hint) in [
            ("chargeNow", "41,60", "maxAmpsPerTWC"),
            ("nonScheduledAmpsMax", "33", "wiringMaxAmpsAllTWCs"),
            ("schedule", "ON", "no times"),
            ("evse/9999/start", "", "no charging point"),
        ] {
            assert!(given(&site, topic, payload).unwrap_err().contains(hint), "{topic} {payload}");
        }
        site.refuse(RefusalKind::Busy, "too busy");
        assert_eq!(given(&site, "chargeNowEnd", ""), Err("too busy".to_owned()));
        assert_eq!(site.taken(), []);
    }

    #[test]
    fn charge_now_ends_when_another_mode_is_chosen() {
        let site = site(json!({"chargeNowPresetAmps": 16, "chargeNowPresetMinutes": 30}));
        assert_eq!(given(&site, "mode", "Charge now"), Ok(vec![now(16, 1800)]));
        let then = vec![setting("nonScheduledAction", json!(3)), Command::CancelChargeNow];
        assert_eq!(given(&site, "mode", "Track surplus"), Ok(then));
    }

    #[test]
    fn a_schedule_that_was_off_has_its_current_again() {
        let times = json!({"scheduledAmpsMax": 16, "scheduledAmpsStartHour": 22, "scheduledAmpsEndHour": 6});
        let site = site(times);
        let both = [("scheduledAmpsMaxWhileOff", 16), ("scheduledAmpsMax", 0)];
        let off = Command::SetSettings(both.map(|(key, amps)| (key.to_owned(), json!(amps))).into());
        assert_eq!(given(&site, "schedule", "OFF"), Ok(vec![off]));
        assert_eq!(given(&site, "scheduledAmpsMax", "10"), Ok(vec![setting("scheduledAmpsMaxWhileOff", json!(10))]));
        assert_eq!(given(&site, "schedule", "ON"), Ok(vec![setting("scheduledAmpsMax", json!(10))]));
        assert_eq!(given(&site, "scheduledAmpsMax", "8"), Ok(vec![setting("scheduledAmpsMax", json!(8))]));
    }
}

//! What people and programs ask for.

use std::time::Duration;

use evse::EvseId;
use policy::Now;
use serde_json::Value;
use units::Amps;

use crate::{Command, Output, Refusal, RefusalKind, Site, cars, prefs, words};

/// Longest that Charge Now or a hold may last.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Settings that charging goes by, which must be numbers.
const NUMBERS: [&str; 12] = [
    "chargeNowAmps",
    "chargeNowTimeEnd",
    "nonScheduledAction",
    "nonScheduledAmpsMax",
    "scheduledAmpsMax",
    "scheduledAmpsStartHour",
    "scheduledAmpsEndHour",
    "scheduledAmpsDaysBitmap",
    "scheduledAmpsBatterySize",
    "hourResumeTrackGreenEnergy",
    "homeLat",
    "homeLon",
];

impl Site {
    /// A person or program wants something. What follows from it comes out of the next drain.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` or `Unsupported`, with a sentence.
    pub fn handle_command(&mut self, now: &Now, command: Command) -> Result<(), Refusal> {
        match command {
            Command::ChargeNow { amps, duration } => self.charge_now(now, amps, duration)?,
            Command::CancelChargeNow => {
                self.settings.set_charge_now(Amps::ZERO, 0.0);
                self.save();
            }
            Command::SetEnabled { evse, is_enabled } => self.prefer(&evse, Some(is_enabled), None)?,
            Command::SetPriority { evse, priority } => self.prefer(&evse, None, Some(priority))?,
            Command::SetCar { vin, change } => {
                cars::change_car(&mut self.settings, &vin, change);
                self.save();
            }
            Command::SetGuests(permission) => {
                match permission {
                    Some(permission) => self.settings.set_value(cars::GUESTS, Value::from(permission.word())),
                    None => self.settings.remove(cars::GUESTS),
                };
                self.save();
            }
            Command::SetPin { evse, vin } => {
                let is_own_view = vin.as_ref().is_some_and(|vin| evse.as_str().ends_with(vin.as_str()));
                if vin.is_some() && !is_own_view && !self.points.contains_key(&evse) {
                    return Err(no_such_evse(&evse));
                }
                cars::change_pin(&mut self.settings, &evse, vin.as_ref());
                self.save();
            }
            Command::SetRouting { evse, rate, stop } => {
                if !self.points.contains_key(&evse) {
                    return Err(no_such_evse(&evse));
                }
                cars::change_routing(&mut self.settings, &evse, rate, stop);
                self.save();
            }
            Command::Start { evse } => self.start_or_stop(evse.as_ref(), true)?,
            Command::Stop { evse } => self.start_or_stop(evse.as_ref(), false)?,
            Command::SetSetting { key, value } => self.set_settings(vec![(key, value)])?,
            Command::SetSettings(changes) => self.set_settings(changes)?,
            Command::HoldPolicy { name, duration } => self.hold(now, name.as_deref(), duration)?,
        }
        self.judge_now = true;
        self.note(now);
        Ok(())
    }

    fn charge_now(&mut self, now: &Now, amps: Option<Amps>, duration: Duration) -> Result<(), Refusal> {
        if duration.is_zero() || duration > LONGEST {
            return Err(invalid("Charge Now needs a duration of more than nothing and at most a week"));
        }
        let amps = amps.unwrap_or_else(|| self.settings.charge_now_amps());
        if amps > self.setup.max_amps_all {
            let most = words::amps(self.setup.max_amps_all.get());
            return Err(invalid(format!(
                "{} is more than the wiring carries: at most {most} (`wiringMaxAmpsAllTWCs`)",
                words::amps(amps.get())
            )));
        }
        if amps < Amps::ZERO {
            return Err(invalid("Charge Now needs a positive number of amps"));
        }
        self.settings.set_charge_now(amps, now.epoch() + duration.as_secs_f64());
        self.state.may_charge_off_grid = self.is_off_grid();
        // A person waits for this: no pause after an earlier stop.
        self.rotation = allocator::Rotation::default();
        self.save();
        Ok(())
    }

    fn prefer(&mut self, id: &EvseId, is_enabled: Option<bool>, priority: Option<i32>) -> Result<(), Refusal> {
        let point = self.points.get_mut(id).ok_or_else(|| no_such_evse(id))?;
        point.is_enabled = is_enabled.unwrap_or(point.is_enabled);
        point.priority = priority.unwrap_or(point.priority);
        let (is_enabled, priority) = (point.is_enabled, point.priority);
        prefs::store(&mut self.settings, id, is_enabled, priority);
        self.save();
        Ok(())
    }

    fn start_or_stop(&mut self, only: Option<&EvseId>, is_start: bool) -> Result<(), Refusal> {
        if let Some(id) = only
            && !self.points.contains_key(id)
        {
            return Err(no_such_evse(id));
        }
        let mut asked = 0;
        for (id, point) in self.points.iter_mut().filter(|(id, _)| only.is_none_or(|only| only == *id)) {
            let able = point.status.capabilities;
            let can = able.on_request || if is_start { able.start } else { able.stop };
            if can {
                asked += 1;
                // A person's word stands: what he stops is not started again by itself.
                point.is_stopped_by_us = false;
                let id = id.clone();
                self.outputs.push_back(if is_start { Output::StartOnRequest(id) } else { Output::StopOnRequest(id) });
            }
        }
        if asked == 0 && !self.points.is_empty() {
            let what = if is_start { "start" } else { "stop" };
            return Err(Refusal {
                kind: RefusalKind::Unsupported,
                text: format!("no charging point here can be told to {what} its car"),
            });
        }
        Ok(())
    }

    fn set_settings(&mut self, changes: Vec<(String, Value)>) -> Result<(), Refusal> {
        for (key, value) in &changes {
            check_setting(key, value)?;
        }
        for (key, value) in changes {
            if value.is_null() {
                self.settings.remove(&key);
            } else {
                self.settings.set_value(&key, value);
            }
        }
        for (id, point) in &mut self.points {
            (point.is_enabled, point.priority) = prefs::of(&self.settings, id);
        }
        self.save();
        Ok(())
    }

    fn hold(&mut self, now: &Now, name: Option<&str>, duration: Duration) -> Result<(), Refusal> {
        let Some(name) = name else {
            self.engine.release();
            return Ok(());
        };
        if duration.is_zero() || duration > LONGEST {
            return Err(invalid("a policy is held for more than nothing and at most a week"));
        }
        if self.engine.hold(name, now.mono + duration) {
            return Ok(());
        }
        let names: Vec<_> = self.engine.list().names().map(|name| format!("\"{name}\"")).collect();
        let text = format!("there is no policy \"{name}\": there are {}", names.join(", "));
        Err(Refusal { kind: RefusalKind::NotFound, text })
    }
}

fn check_setting(key: &str, value: &Value) -> Result<(), Refusal> {
    if key.is_empty() || key.len() > 64 || key.chars().any(char::is_control) {
        return Err(invalid("a setting has a name of 1 to 64 printable characters"));
    }
    let is_number = || policy::Fact::from_json(value).number().is_some_and(f64::is_finite);
    if NUMBERS.contains(&key) && !value.is_null() && !is_number() {
        return Err(invalid(format!("`{key}` must be a number, not {value}")));
    }
    cars::check(key, value).map_err(invalid)
}

fn invalid(text: impl Into<String>) -> Refusal {
    Refusal { kind: RefusalKind::Invalid, text: text.into() }
}

fn no_such_evse(id: &EvseId) -> Refusal {
    Refusal { kind: RefusalKind::NotFound, text: format!("there is no charging point \"{id}\"") }
}

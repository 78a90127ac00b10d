//! From the answers of Growatt's app interface to values. Pure.

use ems::WireReading;
use json_pick::{Doc, PickError};
use md5::{Digest as _, Md5};
use serde_json::Value;

/// How the app sends a password: MD5 in hexadecimal, with a `c` for each `0` in an even place.
#[must_use]
pub fn hashed(password: &str) -> String {
    let digest = Md5::digest(password.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.char_indices().map(|(at, c)| if at % 2 == 0 && c == '0' { 'c' } else { c }).collect()
}

/// What the login says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Good: the user's number.
    Good {
        /// For the list of plants.
        user: String,
    },
    /// Refused, with the vendor's code.
    Refused {
        /// `502` is a wrong user or password.
        code: String,
    },
}

/// Reads the answer to a login.
///
/// # Errors
/// When it is something else.
pub fn login(answer: &Value) -> Result<Login, PickError> {
    let doc = Doc::new(answer);
    let back = doc.at("back")?.ok_or_else(|| doc.missing("back"))?;
    if back.flag("success")? == Some(true) {
        let user = back.text("user.id")?.ok_or_else(|| back.missing("user.id"))?;
        return Ok(Login::Good { user });
    }
    Ok(Login::Refused { code: back.text("msg")?.unwrap_or_default() })
}

/// Reads the list of plants: their numbers.
///
/// # Errors
/// When it is something else, as when the session ended.
pub fn plants(answer: &Value) -> Result<Vec<String>, PickError> {
    let doc = Doc::new(answer);
    let list = doc.list("back.data")?.ok_or_else(|| doc.missing("back.data"))?;
    list.into_iter().filter_map(|plant| plant.text("plantId").transpose()).collect()
}

/// What is asked of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A hybrid inverter (MIX, SPH).
    Mix,
    /// A newer inverter (TLX, MIN, MAX), perhaps with battery.
    Tlx,
    /// An inverter without more.
    Inverter,
}

/// A device of a plant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// What is asked of it.
    pub kind: Kind,
    /// Its serial number. TWCManager took its name, which users change.
    pub serial: String,
    /// The plant it belongs to.
    pub plant: String,
}

/// Reads the list of a plant's devices; those without power of their own (meters, loggers) are left out.
///
/// # Errors
/// When it is something else.
pub fn devices(answer: &Value, plant: &str) -> Result<Vec<Device>, PickError> {
    let doc = Doc::new(answer);
    let mut devices = Vec::new();
    for entry in doc.list("deviceList")?.ok_or_else(|| doc.missing("deviceList"))? {
        let kind = match entry.text("deviceType")?.unwrap_or_default().to_ascii_lowercase().as_str() {
            "mix" | "sph" => Kind::Mix,
            "tlx" | "min" | "max" | "tlxh" => Kind::Tlx,
            "inverter" => Kind::Inverter,
            _ => continue,
        };
        if let Some(serial) = entry.text("deviceSn")? {
            devices.push(Device { kind, serial, plant: plant.to_owned() });
        }
    }
    Ok(devices)
}

/// Reads a device's state; `None` when the device or its logger is lost, or the cloud has none.
///
/// # Errors
/// When it is something else, or a value is not what it should be.
pub fn status(answer: &Value, kind: Kind) -> Result<Option<WireReading>, PickError> {
    let doc = Doc::new(answer);
    if kind == Kind::Inverter {
        // Watts here; the place differs by server.
        let watts = match doc.number("data.pac")? {
            Some(watts) => Some(watts),
            None => doc.number("pac")?,
        };
        let generation_w = watts.and_then(ems::generation);
        return Ok(generation_w.map(|_| WireReading { generation_w, ..WireReading::default() }));
    }
    let result = doc.integer("result")?.ok_or_else(|| doc.missing("result"))?;
    let Some(state) = doc.at("obj")?.filter(|_| result == 1) else { return Ok(None) };
    // `mix.status.normal`, or a state in which the cloud shows the last values as if they were of now.
    if state.text("lost")?.is_some_and(|lost| !lost.ends_with("normal")) {
        return Ok(None);
    }
    let kilowatts = |name: &str| Ok::<_, PickError>(state.number(name)?.map(|kilowatts| kilowatts * 1000.0));
    let difference = |plus: Option<f64>, minus: Option<f64>| Some(plus? - minus?);
    let discharge = match kilowatts("pdisCharge1")? {
        Some(watts) => Some(watts),
        None => kilowatts("pdisCharge")?,
    };
    let soc = match state.number("SOC")? {
        Some(soc) => Some(soc),
        None => state.number("soc")?,
    };
    let battery_w = difference(discharge, kilowatts("chargePower")?);
    Ok(Some(WireReading {
        // `ppv` is in kW like its neighbours, `pPv1` and `pPv2` are in watts.
        generation_w: kilowatts("ppv")?.and_then(ems::generation),
        consumption_w: kilowatts("pLocalLoad")?.map(|watts| watts.max(0.0)),
        grid_w: difference(kilowatts("pactouser")?, kilowatts("pactogrid")?),
        battery_w,
        battery_soc: soc.filter(|_| battery_w.is_some()).map(|soc| soc.clamp(0.0, 100.0)),
        ..WireReading::default()
    }))
}

/// All devices together: generation and batteries add up; house and grid are told by the first that knows them, since they
/// are the same for all. One device that tells nothing leaves the sums unknown.
#[must_use]
pub fn combine(parts: &[Option<WireReading>]) -> WireReading {
    let sum = |value: fn(&WireReading) -> Option<f64>| {
        parts.iter().map(|part| part.as_ref().and_then(value)).sum::<Option<f64>>().filter(|_| !parts.is_empty())
    };
    let first = |value: fn(&WireReading) -> Option<f64>| parts.iter().flatten().find_map(value);
    let with_battery: Vec<f64> = parts.iter().flatten().filter_map(|part| part.battery_w).collect();
    let is_whole = parts.iter().all(Option::is_some);
    WireReading {
        generation_w: sum(|part| part.generation_w),
        consumption_w: first(|part| part.consumption_w),
        grid_w: first(|part| part.grid_w),
        battery_w: (is_whole && !with_battery.is_empty()).then(|| with_battery.iter().sum()),
        battery_soc: first(|part| part.battery_soc),
        ..WireReading::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn passwords_are_hashed_as_the_app_does() {
        // MD5 of "a" is 0cc175b9c0f1b6a831c399e269772661, of "Password" dc647eb65e6711e155375218212b3964.
        assert_eq!(hashed("a"), "ccc175b9c0f1b6a831c399e269772661");
        assert_eq!(hashed("Password"), "dc647eb65e6711e155375218212b3964");
    }

    #[test]
    fn logins_good_and_bad() {
        let good = json!({"back": {"success": true, "user": {"id": 17}, "data": [{"plantId": "9"}]}});
        assert_eq!(login(&good).unwrap(), Login::Good { user: "17".into() });
        assert_eq!(plants(&good).unwrap(), ["9"]);
        let bad = json!({"back": {"success": false, "msg": "502"}});
        assert_eq!(login(&bad).unwrap(), Login::Refused { code: "502".into() });
        assert!(login(&json!({"error": "no"})).is_err());
    }

    #[test]
    fn a_lost_device_is_unknown_not_zero() {
        let state = |lost: &str| json!({"result": 1, "obj": {"lost": lost, "ppv": "0", "pLocalLoad": 0}});
        assert_eq!(status(&state("mix.status.lost"), Kind::Mix), Ok(None));
        assert_eq!(status(&state("mix.status.normal"), Kind::Mix).unwrap().unwrap().generation_w, Some(0.0));
        assert_eq!(status(&json!({"result": 0, "obj": {}}), Kind::Mix), Ok(None));
        assert!(status(&json!({"msg": "login"}), Kind::Mix).is_err());
    }

    #[test]
    fn several_devices_add_up_and_show_one_house() {
        let part = |ppv: f64, load: f64| {
            let obj = json!({"ppv": ppv, "pLocalLoad": load, "pactouser": 0.2, "pactogrid": 0, "pdisCharge1": 0.5, "chargePower": 0, "SOC": 40});
            status(&json!({"result": 1, "obj": obj}), Kind::Mix).unwrap()
        };
        let all = combine(&[part(1.0, 2.0), part(0.5, 2.0)]);
        assert_eq!((all.generation_w, all.consumption_w, all.grid_w), (Some(1500.0), Some(2000.0), Some(200.0)));
        assert_eq!((all.battery_w, all.battery_soc), (Some(1000.0), Some(40.0)));
        let partly = combine(&[part(1.0, 2.0), None]);
        assert_eq!((partly.generation_w, partly.battery_w), (None, None));
        assert_eq!(combine(&[]).generation_w, None);
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("growatt") {
            let kind = if recording.text_at(&["request", "path"]).contains("Tlx") { Kind::Tlx } else { Kind::Mix };
            let found = status(&recording.json(), kind).unwrap().unwrap_or_default();
            recording.assert_number("generation_w", found.generation_w);
            recording.assert_number("consumption_w", found.consumption_w);
            recording.assert_number("grid_w", found.grid_w);
            recording.assert_number("battery_w", found.battery_w);
            recording.assert_number("battery_soc", found.battery_soc);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_document_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-zA-Z0-9.eE+-]{0,200}") {
            if let Ok(value) = serde_json::from_str(&text) {
                let _ = (login(&value), plants(&value), devices(&value, "1"));
                let _ = (status(&value, Kind::Mix), status(&value, Kind::Inverter));
            }
        }

        #[test]
        fn any_figure_is_sane(power in -1e308f64..1e308) {
            let answer = json!({"result": 1, "obj": {"ppv": power, "pLocalLoad": power}});
            if let Ok(Some(found)) = status(&answer, Kind::Mix) {
                proptest::prop_assert!(found.generation_w.is_none_or(|watts| watts >= 0.0));
                let _ = found.into_reading(std::time::Instant::now());
            }
        }
    }
}

//! What people set for single cars: who may charge, who comes first, who steers. All of it is in `settings.json`.
//!
//! | key | what |
//! |---|---|
//! | `vehicleOptions` | by VIN: `permission` (`allow`, `deny`, `green`), `priority`, `minSoc`, `phases`, `chargeRateControl`, `chargeStopMode` |
//! | `VehicleGroups`, `chargeAuthorizationMode` | as in TWCManager: `Deny Charging` counts in mode 1, `Allow Charging` in mode 2 |
//! | `guestPermission` | for cars that tell no VIN, and those that nothing is set for |
//! | `evsePins` | by the id of a charging point: the VIN of the car that is always there |
//! | `EVSEs` | by the id of a charging point: `enabled`, `priority`, `chargeRateControl`, `chargeStopMode` |

use std::collections::BTreeMap;

use config::{ALLOW_CHARGING, ChargeAuthorization, ChargeRateControl, ChargeStopMode, DENY_CHARGING, Settings};
use evse::{EvseId, MergeSettings, Routing, Vin};
use policy::Fact;
use serde::Serialize;
use serde_json::{Map, Value, json};
use units::{Percent, Phases};

use crate::{CarView, words};

/// Options by VIN.
pub(crate) const OPTIONS: &str = "vehicleOptions";
/// Permission of cars that nothing is known of.
pub(crate) const GUESTS: &str = "guestPermission";
/// Which car is at which charging point.
pub(crate) const PINS: &str = "evsePins";
/// Options by charging point.
pub(crate) const POINTS: &str = "EVSEs";
/// Keys of routing, under their names in the settings.
const RATE: &str = "chargeRateControl";
const STOP: &str = "chargeStopMode";
/// Which group counts.
const AUTHORIZATION: &str = "chargeAuthorizationMode";

/// Whether a car may charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// It may.
    #[default]
    Allow,
    /// It may not, and is told to stop.
    Deny,
    /// It may while the rule in force follows the surplus.
    Green,
}

impl Permission {
    /// The word of the settings.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Permission::Allow => "allow",
            Permission::Deny => "deny",
            Permission::Green => "green",
        }
    }

    /// From the word of the settings.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Permission::Allow, Permission::Deny, Permission::Green]
            .into_iter()
            .find(|permission| permission.word() == word)
    }
}

/// Where a permission comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PermittedBy {
    /// Nothing says otherwise.
    #[default]
    Nothing,
    /// Options of this car.
    Car,
    /// The group `Deny Charging`.
    DenyGroup,
    /// It is, or is not, in the group `Allow Charging`, and only its members may charge.
    AllowGroup,
    /// What is set for guests.
    Guests,
}

/// One change of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// It stays.
    #[default]
    Keep,
    /// It is unset.
    Clear,
    /// It is set.
    Set(T),
}

/// Changes of the options of one car.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CarChange {
    /// Whether it may charge, whatever its groups say.
    pub permission: Change<Permission>,
    /// Its rank, instead of that of its charging point; higher goes first.
    pub priority: Change<i32>,
    /// Below this it goes before all others, and is charged whatever the rule.
    pub min_soc: Change<Percent>,
    /// Phases that it uses.
    pub phases: Change<Phases>,
    /// Who sets its rate.
    pub rate: Change<ChargeRateControl>,
    /// How it is stopped.
    pub stop: Change<ChargeStopMode>,
}

/// Options of one car.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct CarOptions {
    pub(crate) permission: Option<Permission>,
    pub(crate) priority: Option<i32>,
    pub(crate) min_soc: Option<f64>,
}

fn number(value: &Value, key: &str) -> Option<f64> {
    Fact::from_json(value.get(key)?).number().filter(|number| number.is_finite())
}

fn whole(value: &Value, key: &str, least: f64, most: f64) -> Option<i32> {
    let number = number(value, key).filter(|number| (least..=most).contains(number))?;
    // Within the bounds of the caller, which are far inside the type.
    #[allow(clippy::cast_possible_truncation)]
    Some(number.round() as i32)
}

/// The options of a car.
pub(crate) fn options(settings: &Settings, vin: Option<&str>) -> CarOptions {
    let Some(entry) = vin.and_then(|vin| settings.value(OPTIONS)?.get(vin)) else { return CarOptions::default() };
    CarOptions {
        permission: entry.get("permission").and_then(Value::as_str).and_then(Permission::from_word),
        priority: whole(entry, "priority", -1e6, 1e6),
        min_soc: number(entry, "minSoc").filter(|soc| (0.0..=100.0).contains(soc)),
    }
}

/// Whether a car may charge, and what says so.
///
/// What is set for the car itself counts most; then the group that its mode goes by; then what is set for guests.
pub(crate) fn permission(settings: &Settings, vin: Option<&str>) -> (Permission, PermittedBy) {
    if let Some(own) = options(settings, vin).permission {
        return (own, PermittedBy::Car);
    }
    let is_in = |group: &str| vin.is_some_and(|vin| settings.is_in_group(group, vin));
    let only_allowed = settings.charge_authorization() == ChargeAuthorization::DenyUnlessAllowed;
    if only_allowed && is_in(ALLOW_CHARGING) {
        return (Permission::Allow, PermittedBy::AllowGroup);
    }
    if !only_allowed && is_in(DENY_CHARGING) {
        return (Permission::Deny, PermittedBy::DenyGroup);
    }
    if let Some(guests) = settings.value(GUESTS).and_then(Value::as_str).and_then(Permission::from_word) {
        return (guests, PermittedBy::Guests);
    }
    match vin {
        Some(_) if only_allowed => (Permission::Deny, PermittedBy::AllowGroup),
        _ => (Permission::Allow, PermittedBy::Nothing),
    }
}

/// On what terms a car would take part wherever it is plugged in, by its VIN and what people set.
#[must_use]
pub fn terms_of(settings: &Settings, vin: &str) -> CarView {
    let options = options(settings, Some(vin));
    let (permission, permission_by) = permission(settings, Some(vin));
    CarView {
        permission,
        permission_by,
        permission_text: words::permission(permission, permission_by),
        priority: options.priority,
        min_soc: options.min_soc,
        ..CarView::default()
    }
}

/// Whether a person set the phases of a car.
pub(crate) fn has_phases(settings: &Settings, vin: Option<&str>) -> bool {
    vin.and_then(|vin| settings.value(OPTIONS)?.get(vin)?.get("phases")).is_some()
}

const fn rate_code(rate: ChargeRateControl) -> u8 {
    match rate {
        ChargeRateControl::Connector => 1,
        ChargeRateControl::Vehicle => 2,
        ChargeRateControl::Mixed => 3,
    }
}

const fn stop_code(stop: ChargeStopMode) -> u8 {
    match stop {
        ChargeStopMode::Vehicle => 1,
        ChargeStopMode::StopAnswering => 2,
        ChargeStopMode::Connector => 3,
    }
}

/// How a car at a charging point is stopped: what is set for the car, for the point, for all.
pub(crate) fn stop_mode(settings: &Settings, id: &EvseId, vin: Option<&str>) -> ChargeStopMode {
    let of = |value: Option<&Value>| {
        Some(match whole(value?, STOP, 1.0, 3.0)? {
            1 => ChargeStopMode::Vehicle,
            2 => ChargeStopMode::StopAnswering,
            _ => ChargeStopMode::Connector,
        })
    };
    of(vin.and_then(|vin| settings.value(OPTIONS)?.get(vin)))
        .or_else(|| of(settings.value(POINTS).and_then(|points| points.get(id.as_str()))))
        .unwrap_or_else(|| settings.charge_stop_mode())
}

/// What the merger of views goes by.
pub(crate) fn merge_settings(settings: &Settings) -> MergeSettings {
    let (rate, stop) = (rate_code(settings.charge_rate_control()), stop_code(settings.charge_stop_mode()));
    let routing = |entry: &Value| {
        let code = |key| whole(entry, key, 1.0, 3.0).and_then(|code| u8::try_from(code).ok());
        let (own_rate, own_stop) = (code(RATE), code(STOP));
        (own_rate.or(own_stop)).and_then(|_| Routing::from_settings(own_rate.unwrap_or(rate), own_stop.unwrap_or(stop)))
    };
    let entries = |key: &str| settings.value(key).and_then(Value::as_object).into_iter().flatten();
    let cars = || entries(OPTIONS).filter_map(|(vin, entry)| Some((Vin::parse(vin)?, entry)));
    let phases = |entry: &Value| {
        whole(entry, "phases", 1.0, 3.0).and_then(|count| Phases::from_count(u8::try_from(count).ok()?))
    };
    MergeSettings {
        routing: Routing::from_settings(rate, stop).unwrap_or_default(),
        routing_of_point: entries(POINTS)
            .filter_map(|(id, entry)| Some((EvseId::new(id.as_str()), routing(entry)?)))
            .collect(),
        routing_of_car: cars().filter_map(|(vin, entry)| Some((vin, routing(entry)?))).collect(),
        pins: entries(PINS)
            .filter_map(|(id, vin)| Some((EvseId::new(id.as_str()), Vin::parse(vin.as_str()?)?)))
            .collect::<BTreeMap<_, _>>(),
        phases: cars().filter_map(|(vin, entry)| Some((vin, phases(entry)?))).collect(),
    }
}

/// Changes the entry `name` of the object `key`; an entry that is left empty is removed.
fn change_entry(settings: &mut Settings, key: &str, name: &str, changes: &[(&str, Change<Value>)]) {
    let mut all = settings.value(key).and_then(Value::as_object).cloned().unwrap_or_default();
    let mut entry = all.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    for (field, change) in changes {
        match change {
            Change::Keep => {}
            Change::Clear => {
                entry.remove(*field);
            }
            Change::Set(value) => {
                entry.insert((*field).to_owned(), value.clone());
            }
        }
    }
    if entry.is_empty() {
        all.remove(name);
    } else {
        all.insert(name.to_owned(), Value::Object(entry));
    }
    store(settings, key, all);
}

fn store(settings: &mut Settings, key: &str, all: Map<String, Value>) {
    if all.is_empty() {
        settings.remove(key);
    } else {
        settings.set_value(key, Value::Object(all));
    }
}

impl<T> Change<T> {
    fn map<U>(self, to: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Change::Keep => Change::Keep,
            Change::Clear => Change::Clear,
            Change::Set(value) => Change::Set(to(value)),
        }
    }
}

/// Stores changes of the options of a car.
pub(crate) fn change_car(settings: &mut Settings, vin: &Vin, change: CarChange) {
    change_entry(
        settings,
        OPTIONS,
        vin.as_str(),
        &[
            ("permission", change.permission.map(|permission| json!(permission.word()))),
            ("priority", change.priority.map(|priority| json!(priority))),
            ("minSoc", change.min_soc.map(|soc| json!(soc.get()))),
            ("phases", change.phases.map(|phases| json!(phases.count()))),
            (RATE, change.rate.map(|rate| json!(rate_code(rate)))),
            (STOP, change.stop.map(|stop| json!(stop_code(stop)))),
        ],
    );
}

/// Stores who steers the car at a charging point.
pub(crate) fn change_routing(
    settings: &mut Settings,
    id: &EvseId,
    rate: Change<ChargeRateControl>,
    stop: Change<ChargeStopMode>,
) {
    let rate = rate.map(|rate| json!(rate_code(rate)));
    let stop = stop.map(|stop| json!(stop_code(stop)));
    change_entry(settings, POINTS, id.as_str(), &[(RATE, rate), (STOP, stop)]);
}

/// Stores which car is at a charging point, or forgets it.
pub(crate) fn change_pin(settings: &mut Settings, id: &EvseId, vin: Option<&Vin>) {
    let mut all = settings.value(PINS).and_then(Value::as_object).cloned().unwrap_or_default();
    match vin {
        Some(vin) => {
            // A car is pinned to one place.
            all.retain(|_, other| other.as_str() != Some(vin.as_str()));
            all.insert(id.as_str().to_owned(), json!(vin.as_str()));
        }
        None => {
            all.remove(id.as_str());
        }
    }
    store(settings, PINS, all);
}

/// Checks a value that a person sets under the name of one of these keys.
pub(crate) fn check(key: &str, value: &Value) -> Result<(), String> {
    let is_object = || value.as_object().map(|object| object.iter());
    match key {
        _ if value.is_null() => Ok(()),
        GUESTS => match value.as_str().and_then(Permission::from_word) {
            Some(_) => Ok(()),
            None => Err(format!("`{GUESTS}` is allow, deny or green, not {value}")),
        },
        PINS => {
            let mut pins = is_object().ok_or_else(|| format!("`{PINS}` is an object: charging point to VIN"))?;
            match pins.find(|(_, vin)| vin.as_str().and_then(Vin::parse).is_none()) {
                Some((id, vin)) => Err(format!("`{PINS}.{id}` is a VIN of 17 letters and digits, not {vin}")),
                None => Ok(()),
            }
        }
        OPTIONS => {
            for (vin, entry) in is_object().ok_or_else(|| format!("`{OPTIONS}` is an object: VIN to options"))? {
                check_options(vin, entry)?;
            }
            Ok(())
        }
        POINTS => {
            for (id, entry) in
                is_object().ok_or_else(|| format!("`{POINTS}` is an object: charging point to options"))?
            {
                let name = format!("{POINTS}.{id}");
                let entry = entry.as_object().ok_or_else(|| format!("`{name}` is an object of options"))?;
                for (key, value) in entry {
                    check_option(&name, key, value)?;
                }
            }
            Ok(())
        }
        RATE | STOP if !is_whole(value, 1.0, 3.0) => Err(format!("`{key}` is 1, 2 or 3, not {value}")),
        AUTHORIZATION if !is_whole(value, 1.0, 2.0) => Err(format!("`{key}` is 1 or 2, not {value}")),
        _ => Ok(()),
    }
}

fn is_whole(value: &Value, least: f64, most: f64) -> bool {
    Fact::from_json(value).number().is_some_and(|number| (least..=most).contains(&number) && number.fract() == 0.0)
}

fn check_option(name: &str, key: &str, value: &Value) -> Result<(), String> {
    let is_within =
        |least: f64, most: f64| Fact::from_json(value).number().is_some_and(|number| (least..=most).contains(&number));
    let (is_right, what) = match key {
        "enabled" => (value.is_boolean() || is_whole(value, 0.0, 1.0), "true or false"),
        "permission" => {
            (value.as_str().is_some_and(|word| Permission::from_word(word).is_some()), "allow, deny or green")
        }
        "priority" => (is_whole(value, -1e6, 1e6), "a whole number"),
        "minSoc" => (is_within(0.0, 100.0), "0 to 100 percent"),
        "phases" | RATE | STOP => (is_whole(value, 1.0, 3.0), "1, 2 or 3"),
        _ => (true, ""),
    };
    if is_right { Ok(()) } else { Err(format!("`{name}.{key}` is {what}, not {value}")) }
}

fn check_options(vin: &str, entry: &Value) -> Result<(), String> {
    let name = format!("{OPTIONS}.{vin}");
    if Vin::parse(vin).is_none() {
        return Err(format!("`{name}`: a VIN has 17 letters and digits"));
    }
    let entry = entry.as_object().ok_or_else(|| format!("`{name}` is an object of options"))?;
    for (key, value) in entry {
        check_option(&name, key, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIN: &str = "LRW3F7EK0NC000001";

    fn settings(value: Value) -> Settings {
        Settings::from_map(value.as_object().cloned().unwrap())
    }

    #[test]
    fn groups_count_as_the_mode_says_and_what_is_set_for_the_car_counts_more() {
        let group = |name: &str| json!({ name: { "Members": [VIN] } });
        for (mode, groups, own, vin, expected) in [
            (1, json!({}), None, Some(VIN), (Permission::Allow, PermittedBy::Nothing)),
            (1, group("Deny Charging"), None, Some(VIN), (Permission::Deny, PermittedBy::DenyGroup)),
            (1, group("Deny Charging"), None, None, (Permission::Allow, PermittedBy::Nothing)),
            (1, group("Deny Charging"), Some("green"), Some(VIN), (Permission::Green, PermittedBy::Car)),
            (2, json!({}), None, Some(VIN), (Permission::Deny, PermittedBy::AllowGroup)),
            (2, group("Allow Charging"), None, Some(VIN), (Permission::Allow, PermittedBy::AllowGroup)),
            // As in TWCManager, a car that tells no VIN is not looked up.
            (2, json!({}), None, None, (Permission::Allow, PermittedBy::Nothing)),
        ] {
            let mut settings = settings(json!({ "chargeAuthorizationMode": mode, "VehicleGroups": groups }));
            if let Some(own) = own {
                settings.set_value(OPTIONS, json!({ VIN: { "permission": own } }));
            }
            assert_eq!(permission(&settings, vin), expected, "{mode} {vin:?}");
        }
        let guests = settings(json!({ "guestPermission": "green" }));
        assert_eq!(permission(&guests, None), (Permission::Green, PermittedBy::Guests));
        assert_eq!(permission(&guests, Some(VIN)), (Permission::Green, PermittedBy::Guests));
    }

    #[test]
    fn routing_is_that_of_the_car_then_of_the_point_then_of_all() {
        let all = settings(json!({
            "chargeRateControl": "2",
            "chargeStopMode": "1",
            "EVSEs": { "gen2-1": { "chargeStopMode": 3 }, "gen2-2": { "enabled": true } },
            "vehicleOptions": { VIN: { "chargeRateControl": 1, "phases": 1 }, "short": { "phases": 1 } },
        }));
        let merged = merge_settings(&all);
        assert_eq!(merged.routing, Routing::from_settings(2, 1).unwrap());
        assert_eq!(
            merged.routing_of_point,
            BTreeMap::from([(EvseId::new("gen2-1"), Routing::from_settings(2, 3).unwrap())])
        );
        assert_eq!(
            merged.routing_of_car,
            BTreeMap::from([(Vin::parse(VIN).unwrap(), Routing::from_settings(1, 1).unwrap())])
        );
        assert_eq!(merged.phases.len(), 1);
        assert_eq!(stop_mode(&all, &EvseId::new("gen2-1"), None), ChargeStopMode::Connector);
        assert_eq!(stop_mode(&all, &EvseId::new("gen2-2"), Some(VIN)), ChargeStopMode::Vehicle);
    }

    #[test]
    fn options_that_cannot_be_are_refused_by_name() {
        for (key, value, word) in [
            (OPTIONS, json!({ VIN: { "minSoc": 120 } }), "minSoc"),
            (OPTIONS, json!({ VIN: { "permission": "maybe" } }), "permission"),
            (OPTIONS, json!({ "VIN": {} }), "17"),
            (PINS, json!({ "gen2-1": "nobody" }), "gen2-1"),
            (GUESTS, json!("perhaps"), "green"),
        ] {
            assert!(check(key, &value).unwrap_err().contains(word));
        }
        assert!(check(OPTIONS, &json!({ VIN: { "minSoc": 20, "note": "mine" } })).is_ok());
    }

    #[test]
    fn a_car_is_pinned_to_one_place_and_options_that_are_unset_leave_no_trace() {
        let mut all = settings(json!({}));
        let vin = Vin::parse(VIN).unwrap();
        change_pin(&mut all, &EvseId::new("gen2-1"), Some(&vin));
        change_pin(&mut all, &EvseId::new("gen2-2"), Some(&vin));
        assert_eq!(all.value(PINS), Some(&json!({ "gen2-2": VIN })));
        change_pin(&mut all, &EvseId::new("gen2-2"), None);
        assert_eq!(all.value(PINS), None);
        let set = CarChange { min_soc: Change::Set(Percent::new(20.0).unwrap()), ..CarChange::default() };
        change_car(&mut all, &vin, set);
        assert_eq!(options(&all, Some(VIN)).min_soc, Some(20.0));
        change_car(&mut all, &vin, CarChange { min_soc: Change::Clear, ..CarChange::default() });
        assert_eq!(all.value(OPTIONS), None);
    }
}

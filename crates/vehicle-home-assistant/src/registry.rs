//! Home Assistant's registries: which cars its Tesla integrations know, and by which entities. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use vehicle::{CarKey, Vin};

use crate::NamedCar;
use crate::role::{Entities, Role, domain};

/// Integrations that are understood, those without a bill for each call first.
const PLATFORMS: [&str; 3] = ["teslemetry", "tessie", "tesla_fleet"];
/// The one whose calls its user pays Tesla for.
const BILLED: &str = "tesla_fleet";

/// Role, domain, `translation_key`s, end of the entity's id as Home Assistant makes it. The keys survive renaming.
const KNOWN: [(Role, &str, &[&str], &str); 18] = [
    (Role::Soc, "sensor", &["charge_state_battery_level", "charge_state_usable_battery_level"], "battery_level"),
    (Role::Charging, "sensor", &["charge_state_charging_state"], "charging"),
    (Role::Plug, "binary_sensor", &["charge_state_conn_charge_cable"], "charge_cable"),
    (Role::Amps, "number", &["charge_state_charge_current_request"], "charge_current"),
    (Role::Limit, "number", &["charge_state_charge_limit_soc"], "charge_limit"),
    (Role::Current, "sensor", &["charge_state_charger_actual_current"], "charger_current"),
    (Role::Voltage, "sensor", &["charge_state_charger_voltage"], "charger_voltage"),
    (Role::Power, "sensor", &["charge_state_charger_power"], "charger_power"),
    (Role::Energy, "sensor", &["charge_state_charge_energy_added"], "charge_energy_added"),
    (Role::TimeToLimit, "sensor", &["charge_state_minutes_to_full_charge"], "time_to_full_charge"),
    (Role::Location, "device_tracker", &["location"], "location"),
    (Role::Awake, "binary_sensor", &["state"], "status"),
    (Role::Scheduled, "binary_sensor", &["charge_state_scheduled_charging_pending"], "scheduled_charging_pending"),
    (Role::Gear, "sensor", &["drive_state_shift_state"], "shift_state"),
    (
        Role::Charge,
        "switch",
        &[
            "charge_state_charging_state",
            "charge_state_user_charge_enable_request",
            "charge_state_charge_enable_request",
        ],
        "charge",
    ),
    (Role::Wake, "button", &["wake"], "wake"),
    // Older versions name the same things so.
    (Role::Amps, "number", &["charge_amps"], "charging_amps"),
    (Role::Charge, "switch", &["charger"], "charger"),
];

/// A car with its entities.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Car {
    pub key: CarKey,
    pub name: Option<String>,
    pub entities: Entities,
    /// Whether its user pays Tesla for each call.
    pub is_billed: bool,
    /// Whether one entity that is refreshed refreshes them all.
    pub is_one_device: bool,
}

/// All cars: those of the integrations, and those that the configuration names. An entity that is named wins over the one that
/// was found for the same car.
pub(crate) fn cars(devices: &Value, entities: &Value, named: &[NamedCar]) -> Vec<Car> {
    let mut found: BTreeMap<Vin, (usize, Car)> = BTreeMap::new();
    let entities: Vec<&Value> = entities.as_array().into_iter().flatten().collect();
    for device in devices.as_array().into_iter().flatten() {
        let Some((vin, platform)) = identity(device) else { continue };
        let Some(rank) = PLATFORMS.iter().position(|known| *known == platform) else { continue };
        let id = text(device, "id");
        let own: Vec<&Value> = entities
            .iter()
            .copied()
            .filter(|entity| {
                id.is_some() && text(entity, "device_id") == id && text(entity, "platform") == Some(platform)
            })
            .filter(|entity| entity.get("disabled_by").is_none_or(Value::is_null))
            .collect();
        let roles = roles(&own);
        // Wall connectors and batteries are devices of the same integrations.
        if !roles.contains_key(&Role::Soc) && !roles.contains_key(&Role::Charging) {
            continue;
        }
        let name = text(device, "name_by_user").or_else(|| text(device, "name")).map(str::to_owned);
        let key = CarKey::Vin(vin.clone());
        let car = Car { key, name, entities: roles, is_billed: platform == BILLED, is_one_device: true };
        if found.get(&vin).is_none_or(|(other, _)| rank < *other) {
            found.insert(vin, (rank, car));
        }
    }
    let mut cars: Vec<Car> = found.into_values().map(|(_, car)| car).collect();
    for named in named {
        let key = named.key();
        let is_billed = |all: &Entities| {
            all.values().any(|name| {
                let of_that_name = entities.iter().find(|entity| text(entity, "entity_id") == Some(name));
                of_that_name.is_some_and(|entity| text(entity, "platform") == Some(BILLED))
            })
        };
        match cars.iter_mut().find(|car| car.key == key) {
            Some(car) => {
                car.entities.extend(named.entities.clone());
                car.name = named.name.clone().or_else(|| car.name.take());
                car.is_one_device = false;
                car.is_billed = is_billed(&car.entities);
            }
            None => {
                let (name, entities) = (named.name.clone(), named.entities.clone());
                cars.push(Car { key, name, is_billed: is_billed(&entities), entities, is_one_device: false });
            }
        }
    }
    cars
}

/// VIN and integration of a device.
fn identity(device: &Value) -> Option<(Vin, &str)> {
    let pairs = device.get("identifiers")?.as_array()?;
    pairs.iter().filter_map(Value::as_array).find_map(|pair| {
        let platform = pair.first()?.as_str()?;
        let in_pair = pair.get(1).and_then(Value::as_str);
        let serial = text(device, "serial_number");
        let vin = [in_pair, serial].into_iter().flatten().find_map(|text| Vin::parse(&text.to_ascii_uppercase()))?;
        PLATFORMS.contains(&platform).then_some((vin, platform))
    })
}

/// Which entity plays which role: by its key, else by the end of its id, the shortest of several.
fn roles(entities: &[&Value]) -> Entities {
    let mut roles = Entities::new();
    for (role, wanted, keys, end) in KNOWN {
        let all = entities.iter().filter_map(|entity| {
            let id = text(entity, "entity_id")?;
            (domain(id) == wanted).then_some((id, text(entity, "translation_key")))
        });
        let by_key = keys.iter().find_map(|key| all.clone().find(|(_, found)| *found == Some(*key)));
        let by_end = || {
            let ending = format!("_{end}");
            all.clone().filter(|(id, key)| key.is_none() && id.ends_with(&ending)).min_by_key(|(id, _)| id.len())
        };
        if let Some((id, _)) = by_key.or_else(by_end) {
            roles.entry(role).or_insert_with(|| id.to_owned());
        }
    }
    roles
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const VIN: &str = "LRW3F7EK0NC000001";

    fn device(id: &str, platform: &str, vin: &str) -> Value {
        json!({"id": id, "identifiers": [[platform, vin]], "name": "Nikola", "name_by_user": null, "serial_number": vin})
    }

    fn entity(id: &str, device: &str, platform: &str, key: Option<&str>) -> Value {
        json!({"entity_id": id, "device_id": device, "platform": platform, "translation_key": key, "disabled_by": null})
    }

    #[test]
    fn renamed_entities_are_found_by_key_and_old_ones_by_their_id() {
        let devices = json!([device("d1", "tesla_fleet", VIN), device("d2", "tesla_fleet", "TG12345"), {"id": 3}]);
        let entities = json!([
            entity("sensor.renamed", "d1", "tesla_fleet", Some("charge_state_battery_level")),
            entity("sensor.nikola_usable_battery_level", "d1", "tesla_fleet", Some("charge_state_usable_battery_level")),
            entity("switch.nikola_charge", "d1", "tesla_fleet", None),
            entity("number.nikola_charge_current", "d1", "tesla_fleet", None),
            entity("sensor.other_charging", "d9", "tesla_fleet", None),
            entity("sensor.nikola_charging", "d1", "template", None),
            {"entity_id": "number.nikola_charge_limit", "device_id": "d1", "platform": "tesla_fleet", "disabled_by": "user"},
        ]);
        let cars = cars(&devices, &entities, &[]);
        assert_eq!(cars.len(), 1);
        assert_eq!((cars[0].key.as_str(), cars[0].name.as_deref(), cars[0].is_billed), (VIN, Some("Nikola"), true));
        let expected = [
            (Role::Soc, "sensor.renamed"),
            (Role::Amps, "number.nikola_charge_current"),
            (Role::Charge, "switch.nikola_charge"),
        ];
        assert_eq!(cars[0].entities, expected.map(|(role, id)| (role, id.to_owned())).into());
    }

    #[test]
    fn of_two_integrations_the_one_without_a_bill_is_used() {
        let devices = json!([device("d1", "tesla_fleet", VIN), device("d2", "tessie", VIN)]);
        let entities = json!([
            entity("sensor.a_battery_level", "d1", "tesla_fleet", None),
            entity("sensor.b_battery_level", "d2", "tessie", None),
        ]);
        let cars = cars(&devices, &entities, &[]);
        assert_eq!((cars.len(), cars[0].is_billed), (1, false));
        assert_eq!(cars[0].entities[&Role::Soc], "sensor.b_battery_level");
    }

    #[test]
    fn named_entities_win_and_pay_where_they_come_from() {
        let devices = json!([device("d1", "tessie", VIN)]);
        let entities = json!([
            entity("sensor.b_battery_level", "d1", "tessie", None),
            entity("switch.b_charge", "d1", "tessie", None),
            entity("switch.paid", "d8", "tesla_fleet", None),
        ]);
        let named = |vin: Option<&str>, entity: &str| NamedCar {
            vin: vin.and_then(Vin::parse),
            name: Some("Zoe".into()),
            entities: [(Role::Charge, entity.to_owned())].into(),
        };
        let all = cars(&devices, &entities, &[named(Some(VIN), "switch.ble"), named(None, "switch.paid")]);
        assert_eq!(all[0].entities[&Role::Charge], "switch.ble");
        assert_eq!(all[0].entities[&Role::Soc], "sensor.b_battery_level");
        assert_eq!((all[0].is_billed, all[1].is_billed), (false, true));
        assert_eq!(all[1].key, CarKey::Name("Zoe".into()));
    }
}

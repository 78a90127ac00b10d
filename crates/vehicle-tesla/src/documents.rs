//! Answers that tell of cars: the list, one car, its data, and which cars want signed commands.

use std::time::SystemTime;

use json_pick::Doc;
use serde_json::Value;
use vehicle::{Facts, Position, Vin, Wakefulness};

use crate::charge_state::{self, Told, number, stamp, text};

/// Most pages of a list that are asked for; a page holds a hundred cars.
pub(crate) const MOST_PAGES: u32 = 5;

/// One car as a list or its own entry shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) vin: Vin,
    pub(crate) name: Option<String>,
    pub(crate) wakefulness: Option<Wakefulness>,
}

impl Listed {
    pub(crate) fn facts(&self) -> Facts {
        Facts { name: self.name.clone(), wakefulness: self.wakefulness, ..Facts::default() }
    }
}

/// Cars of `GET /api/1/vehicles`; entries without a VIN, such as energy sites in old answers, are none. `None` when the
/// answer is no list.
pub(crate) fn list(answer: &Value) -> Option<Vec<Listed>> {
    let entries = answer.get("response")?.as_array()?;
    Some(entries.iter().filter_map(listed).collect())
}

/// Whether every car in the list is named well enough to be recognized.
pub(crate) fn names_all(answer: &Value) -> bool {
    let entries = answer.get("response").and_then(Value::as_array);
    let is_car = |entry: &&Value| entry.get("vin").is_some_and(|vin| !vin.is_null());
    entries.is_some_and(|entries| entries.iter().filter(is_car).all(|entry| listed(entry).is_some()))
}

/// Whether further pages follow.
pub(crate) fn has_more(answer: &Value, page: u32) -> bool {
    let pages = Doc::new(answer).integer("pagination.pages").ok().flatten().unwrap_or(1);
    page < MOST_PAGES && i64::from(page) < pages
}

/// The car of `GET /api/1/vehicles/{vin}` and of `wake_up`.
pub(crate) fn one(answer: &Value) -> Option<Listed> {
    listed(answer.get("response")?)
}

/// Whether a car can be reached, by its entry; the VIN is not looked at, as some answers shorten it.
pub(crate) fn wakefulness(answer: &Value) -> Option<Wakefulness> {
    state(Doc::new(answer.get("response")?))
}

fn listed(entry: &Value) -> Option<Listed> {
    let doc = Doc::new(entry);
    let vin = Vin::parse(text(doc, "vin")?.trim())?;
    Some(Listed { vin, name: name(doc, "display_name"), wakefulness: state(doc) })
}

/// Cars that sleep say `offline` as well, since 2024.
fn state(doc: Doc<'_>) -> Option<Wakefulness> {
    match text(doc, "state")?.as_str() {
        "online" => Some(Wakefulness::Awake),
        "asleep" | "offline" => Some(Wakefulness::Asleep),
        _ => None,
    }
}

fn name(doc: Doc<'_>, path: &str) -> Option<String> {
    let clean: String = text(doc, path)?.chars().filter(|letter| !letter.is_control()).take(80).collect();
    Some(clean.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The sections of `vehicle_data`, each with its own time. `now` is the sender's clock, for the age of a position; `None`
/// when the answer has no car in it.
pub(crate) fn vehicle_data(answer: &Value, at: impl Fn(SystemTime) -> Option<std::time::Instant>) -> Option<Vec<Told>> {
    let response = answer.get("response").filter(|response| response.is_object())?;
    // Bluetooth proxies put it one level deeper, and say no with status 200.
    let response = match response.get("response") {
        Some(inner) if inner.is_object() => inner,
        _ if response.get("result").is_some_and(|result| *result == Value::Bool(false)) => return None,
        _ => response,
    };
    let doc = Doc::new(response);
    let car = Facts {
        name: name(doc, "display_name").or_else(|| name(doc, "vehicle_state.vehicle_name")),
        // It answered, so it is awake, whatever the entry says.
        wakefulness: Some(Wakefulness::Awake),
        ..Facts::default()
    };
    let mut told = vec![Told { facts: car, stamp: None }];
    if let Some(section) = response.get("charge_state") {
        told.push(charge_state::parse(section));
    }
    if let Some(section) = response.get("drive_state").filter(|section| section.is_object()) {
        let doc = Doc::new(section);
        // Parked cars say P, or null while they charge or sleep; where the field is missing nothing is said.
        let gear = section.get("shift_state").map(|gear| gear.as_str().unwrap_or("P").to_owned());
        let position = number(doc, "latitude").zip(number(doc, "longitude")).and_then(|(latitude, longitude)| {
            // Nowhere a car is: what a receiver without a fix says.
            let is_null_island = latitude == 0.0 && longitude == 0.0;
            let fixed_at = stamp(doc, "gps_as_of").and_then(&at);
            Position::new(latitude, longitude, fixed_at).filter(|_| !is_null_island)
        });
        let facts = Facts { parked: gear.map(|gear| gear == "P" || gear.is_empty()), position, ..Facts::default() };
        told.push(Told { facts, stamp: stamp(doc, "timestamp") });
    }
    Some(told)
}

/// What `POST /api/1/vehicles/fleet_status` says of one car.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FleetStatus {
    /// Whether it takes only signed commands; `None` when it is not said.
    pub(crate) needs_signature: Option<bool>,
    /// Whether our key is on its list; `None` when it is not said.
    pub(crate) is_paired: Option<bool>,
}

/// Reads one car's part; `None` when the answer has none of the expected lists.
pub(crate) fn fleet_status(answer: &Value, vin: &Vin) -> Option<FleetStatus> {
    let response = answer.get("response").filter(|response| response.is_object())?;
    let lists = |name: &str| {
        let list = response.get(name)?.as_array()?;
        Some(list.iter().any(|entry| entry.as_str() == Some(vin.as_str())))
    };
    let is_paired = match (lists("key_paired_vins"), lists("unpaired_vins")) {
        (Some(true), _) => Some(true),
        (_, Some(true)) => Some(false),
        _ => None,
    };
    let needs_signature =
        response.get("vehicle_info").and_then(|info| info.get(vin.as_str())?.get("vehicle_command_protocol_required"));
    Some(FleetStatus { needs_signature: needs_signature.and_then(Value::as_bool), is_paired })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const VIN: &str = "5YJ30123456789ABC";

    #[test]
    fn a_list_keeps_the_cars_it_can_read() {
        let answer = json!({"response": [
            {"vin": VIN, "display_name": " Nikola\n", "state": "online"},
            {"vin": "LRW3F7EK0NC000001", "display_name": null, "state": "offline"},
            {"energy_site_id": 5}, null, {"vin": "short", "state": "online"},
        ], "pagination": {"pages": 2}});
        let cars = list(&answer).unwrap();
        assert_eq!(cars.len(), 2);
        assert_eq!(cars[0].name.as_deref(), Some("Nikola"));
        assert_eq!(cars[1].wakefulness, Some(Wakefulness::Asleep));
        assert!(has_more(&answer, 1) && !has_more(&answer, 2));
        assert_eq!(list(&json!({"response": null})), None);
    }

    #[test]
    fn a_list_with_a_vin_that_cannot_be_read_is_not_gone_by() {
        let answer = |vin: &str| json!({"response": [{"vin": VIN}, {"energy_site_id": 5}, {"vin": vin}]});
        assert!(names_all(&answer("LRW3F7EK0NC000001")) && !names_all(&answer("short")) && !names_all(&json!({})));
    }

    #[test]
    fn data_one_level_deeper_is_found_and_sections_may_be_missing() {
        let read = |answer: Value| {
            vehicle_data(&answer, |_| None).map(|told| told.into_iter().map(|told| told.facts).collect::<Vec<_>>())
        };
        let deep =
            json!({"response": {"result": true, "reason": "", "response": {"charge_state": {"battery_level": "61"}}}});
        assert_eq!(read(deep).unwrap()[1].soc.map(units::Percent::get), Some(61.0));
        let odd = json!({"response": {"charge_state": null, "drive_state": "none", "display_name": 7}});
        assert!(read(odd).unwrap().iter().skip(1).all(|facts| *facts == Facts::default()));
        for nothing in [
            json!({"response": {"result": false, "reason": "vehicle is sleeping"}}),
            json!({"response": null, "error": "x"}),
            json!({"response": "asleep"}),
            json!("not found"),
        ] {
            assert_eq!(read(nothing), None);
        }
    }

    #[test]
    fn a_car_at_null_island_is_nowhere() {
        let at = |latitude: f64| {
            let answer =
                json!({"response": {"drive_state": {"latitude": latitude, "longitude": 0, "shift_state": "D"}}});
            vehicle_data(&answer, |_| None).unwrap().pop().unwrap().facts
        };
        assert_eq!((at(0.0).position, at(0.0).parked), (None, Some(false)));
        assert!(at(51.5).position.is_some());
    }

    #[test]
    fn fleet_status_tells_of_key_and_signature() {
        let vin = Vin::parse(VIN).unwrap();
        let answer = json!({"response": {"key_paired_vins": [], "unpaired_vins": [VIN],
            "vehicle_info": {VIN: {"vehicle_command_protocol_required": true}}}});
        let status = FleetStatus { needs_signature: Some(true), is_paired: Some(false) };
        assert_eq!(fleet_status(&answer, &vin), Some(status));
        let status = FleetStatus { needs_signature: None, is_paired: None };
        assert_eq!(fleet_status(&json!({"response": {}}), &vin), Some(status));
        assert_eq!(fleet_status(&json!({"response": null}), &vin), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(text in "[\\[\\]{}\":,a-z0-9 ]{0,80}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let wrapped = json!({"response": value});
                let _ = (list(&wrapped), one(&wrapped), vehicle_data(&wrapped, |_| None));
            }
        }
    }
}

//! Home, cars, groups and tokens.

use serde_json::{Map, Value, json};
use units::Percent;

use super::{Settings, is_true, number_of, object_in, stored};
use crate::Secret;

/// Cars that may charge when only some may.
pub const ALLOW_CHARGING: &str = "Allow Charging";
/// Cars that may not charge.
pub const DENY_CHARGING: &str = "Deny Charging";

/// A named set of cars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VehicleGroup {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether it is one of the two that are always there.
    pub built_in: bool,
    /// VINs.
    pub members: Vec<String>,
}

/// What is remembered of a car's charging.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct VehicleTotals {
    /// Sessions so far.
    pub charge_sessions: u64,
    /// Meter of the connector when the running session began, kWh.
    pub start_kwh: f64,
    /// Energy of all sessions, kWh.
    pub total_kwh: f64,
}

/// The charge limit a car had before it came home, and the one that was set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RememberedLimit {
    /// To be restored when it leaves.
    pub outside: Percent,
    /// Last one set at home; `None` when none was.
    pub applied: Option<Percent>,
}

/// Tokens of Tesla's Fleet API.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// For requests.
    pub bearer: Secret,
    /// For a new pair.
    pub refresh: Secret,
    /// When the bearer expires, in seconds since 1970.
    pub expires: f64,
}

impl Settings {
    /// Home as latitude and longitude in degrees, when set.
    #[must_use]
    pub fn home(&self) -> Option<(f64, f64)> {
        let latitude = self.number("homeLat").filter(|degrees| (-90.0..=90.0).contains(degrees))?;
        let longitude = self.number("homeLon").filter(|degrees| (-180.0..=180.0).contains(degrees))?;
        Some((latitude, longitude))
    }

    /// Sets home, or unsets it.
    pub fn set_home(&mut self, home: Option<(f64, f64)>) {
        let (latitude, longitude) = home.unwrap_or((10_000.0, 10_000.0));
        self.set_value("homeLat", stored(latitude));
        self.set_value("homeLon", stored(longitude));
    }

    /// `VehicleGroups`, in order.
    #[must_use]
    pub fn vehicle_groups(&self) -> Vec<VehicleGroup> {
        self.object("VehicleGroups")
            .map(|(name, group)| VehicleGroup {
                name: name.clone(),
                description: group.get("Description").and_then(Value::as_str).unwrap_or_default().to_owned(),
                built_in: group.get("Built-in").is_some_and(is_true),
                members: group
                    .get("Members")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            })
            .collect()
    }

    /// Whether a car is in a group.
    #[must_use]
    pub fn is_in_group(&self, group: &str, vin: &str) -> bool {
        let members = self.values.get("VehicleGroups").and_then(|groups| groups.get(group)?.get("Members")?.as_array());
        members.into_iter().flatten().any(|member| member.as_str() == Some(vin))
    }

    /// Adds or replaces a group.
    pub fn set_vehicle_group(&mut self, group: &VehicleGroup) {
        let slot = self.object_mut("VehicleGroups").entry(group.name.clone()).or_insert(Value::Null);
        let entry = object_in(slot);
        entry.insert("Description".into(), json!(group.description));
        entry.insert("Built-in".into(), json!(i32::from(group.built_in)));
        entry.insert("Members".into(), json!(group.members));
    }

    /// Removes a group; false when there is none or it is built in.
    pub fn remove_vehicle_group(&mut self, name: &str) -> bool {
        let is_built_in = self.vehicle_groups().iter().any(|group| group.name == name && group.built_in);
        !is_built_in && self.object_mut("VehicleGroups").shift_remove(name).is_some()
    }

    pub(super) fn complete_groups(&mut self) {
        for (name, description) in [
            (ALLOW_CHARGING, "Cars that may charge when others may not."),
            (DENY_CHARGING, "Cars that may not charge."),
        ] {
            if !self.vehicle_groups().iter().any(|group| group.name == name) {
                self.set_vehicle_group(&VehicleGroup {
                    name: name.into(),
                    description: description.into(),
                    built_in: true,
                    members: Vec::new(),
                });
            }
        }
    }

    /// VINs under `Vehicles`, in order.
    pub fn vehicles(&self) -> impl Iterator<Item = &str> {
        self.object("Vehicles").map(|(vin, _)| vin.as_str())
    }

    /// One car's whole entry, keys for Bluetooth included.
    #[must_use]
    pub fn vehicle(&self, vin: &str) -> Option<&Map<String, Value>> {
        self.values.get("Vehicles")?.get(vin)?.as_object()
    }

    /// One car's totals.
    #[must_use]
    pub fn vehicle_totals(&self, vin: &str) -> Option<VehicleTotals> {
        let entry = self.vehicle(vin)?;
        let number = |key: &str| entry.get(key).and_then(number_of).unwrap_or(0.0).max(0.0);
        let sessions = entry
            .get("chargeSessions")
            .and_then(|value| value.as_u64().or_else(|| value.as_str()?.trim().parse().ok()));
        Some(VehicleTotals {
            charge_sessions: sessions.unwrap_or(0),
            start_kwh: number("startkWh"),
            total_kwh: number("totalkWh"),
        })
    }

    /// Sets one car's totals; what else is known of it stays.
    pub fn set_vehicle_totals(&mut self, vin: &str, totals: VehicleTotals) {
        self.set_vehicle_field(vin, "chargeSessions", json!(totals.charge_sessions));
        self.set_vehicle_field(vin, "startkWh", stored(totals.start_kwh));
        self.set_vehicle_field(vin, "totalkWh", stored(totals.total_kwh));
    }

    /// Sets one field of a car's entry, such as `privKey` or `BLEPeeringStatus`.
    pub fn set_vehicle_field(&mut self, vin: &str, field: &str, value: Value) {
        let slot = self.object_mut("Vehicles").entry(vin).or_insert(Value::Null);
        object_in(slot).insert(field.to_owned(), value);
    }

    /// `SlaveTWCs`: whether a connector ("3A7C") answers questions for the VIN; `None` when not tried.
    #[must_use]
    pub fn supports_vin_query(&self, connector: &str) -> Option<bool> {
        self.values.get("SlaveTWCs")?.get(connector)?.get("supportsVINQuery").map(is_true)
    }

    /// Remembers whether a connector answers questions for the VIN.
    pub fn set_supports_vin_query(&mut self, connector: &str, supports: bool) {
        let slot = self.object_mut("SlaveTWCs").entry(connector).or_insert(Value::Null);
        object_in(slot).insert("supportsVINQuery".into(), json!(i32::from(supports)));
    }

    /// `chargeLimits` of a car; its presence means that the car was at home.
    #[must_use]
    pub fn remembered_limit(&self, vehicle: &str) -> Option<RememberedLimit> {
        let percent = |value: &Value| number_of(value).and_then(|number| Percent::new(number).ok());
        let entry = self.values.get("chargeLimits")?.get(vehicle)?;
        match entry {
            Value::Array(pair) => {
                let applied = pair.get(1).and_then(percent).filter(|limit| limit.get() > 0.0);
                Some(RememberedLimit { outside: percent(pair.first()?)?, applied })
            }
            // Old files have the outside limit alone.
            single => Some(RememberedLimit { outside: percent(single)?, applied: None }),
        }
    }

    /// Remembers, or forgets, a car's limits.
    pub fn set_remembered_limit(&mut self, vehicle: &str, limit: Option<RememberedLimit>) {
        let limits = self.object_mut("chargeLimits");
        match limit {
            Some(limit) => {
                let applied = limit.applied.map_or(0.0, Percent::get);
                limits.insert(vehicle.to_owned(), Value::Array(vec![stored(limit.outside.get()), stored(applied)]));
            }
            None => {
                limits.shift_remove(vehicle);
            }
        }
    }

    /// Tokens of Tesla's API, when there are any.
    #[must_use]
    pub fn tokens(&self) -> Option<Tokens> {
        let refresh = Secret::new(self.text("carApiRefreshToken")?);
        let bearer = Secret::new(self.text("carApiBearerToken").unwrap_or_default());
        Some(Tokens { bearer, refresh, expires: self.number("carApiTokenExpireTime").unwrap_or(0.0) })
    }

    /// Stores tokens, or empties them.
    pub fn set_tokens(&mut self, tokens: Option<&Tokens>) {
        let text = |secret: Option<&Secret>| Value::from(secret.map_or("", Secret::reveal));
        self.set_value("carApiBearerToken", text(tokens.map(|tokens| &tokens.bearer)));
        self.set_value("carApiRefreshToken", text(tokens.map(|tokens| &tokens.refresh)));
        self.set_value("carApiTokenExpireTime", stored(tokens.map_or(0.0, |tokens| tokens.expires)));
    }

    /// `kWhDelivered`: meter of the stand-in connector.
    #[must_use]
    pub fn kwh_delivered(&self) -> f64 {
        self.number("kWhDelivered").unwrap_or(119.0)
    }

    /// Sets `kWhDelivered`.
    pub fn set_kwh_delivered(&mut self, kwh: f64) {
        self.set_value("kWhDelivered", stored(kwh));
    }
}

//! The meters' own pages `/ivp/meters`, `/ivp/meters/readings` and `/ivp/livedata/status`. Pure.

use ems::WireReading;
use json_pick::{Doc, PickError};
use serde_json::Value;

use crate::production::{Found, signed};

/// What a meter is clamped around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The inverters.
    Production,
    /// The grid connection.
    Net,
    /// The house.
    Total,
    /// The batteries.
    Storage,
}

/// An enabled meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    /// What its readings are found by.
    pub id: String,
    /// What it measures.
    pub role: Role,
    /// How many of its channels are real.
    pub phases: usize,
}

/// Reads `/ivp/meters`: the enabled meters of use to us.
///
/// # Errors
/// When it is no list of meters, as on gateways without any.
pub fn meters(answer: &Value) -> Result<Vec<Meter>, PickError> {
    let doc = Doc::new(answer);
    let mut meters = Vec::new();
    for entry in doc.list("")?.unwrap_or_default() {
        let role = match entry.text("measurementType")?.as_deref() {
            Some("production") => Role::Production,
            Some("net-consumption") => Role::Net,
            Some("total-consumption") => Role::Total,
            Some("storage") => Role::Storage,
            _ => continue,
        };
        if entry.text("state")?.as_deref() != Some("enabled") {
            continue;
        }
        let Some(id) = entry.text("eid")? else { continue };
        let count = entry.integer("phaseCount")?.unwrap_or(1);
        meters.push(Meter { id, role, phases: usize::try_from(count).unwrap_or(1).clamp(1, 3) });
    }
    Ok(meters)
}

struct Reading {
    watts: Option<f64>,
    channels: Vec<[Option<f64>; 3]>,
    stamp: Option<i64>,
}

/// Reads `/ivp/meters/readings`, joined with the meters.
///
/// # Errors
/// When it is no list of readings, or a value is not what it should be.
pub fn readings(answer: &Value, meters: &[Meter]) -> Result<Found, PickError> {
    let entries = Doc::new(answer).list("")?.unwrap_or_default();
    // Several meters of a role (two strings of panels) add up; one without a reading makes the sum unknown.
    let of = |role: Role| -> Result<Option<Vec<Reading>>, PickError> {
        let mut found = Vec::new();
        for meter in meters.iter().filter(|meter| meter.role == role) {
            match reading(&entries, meter)? {
                Some(reading) => found.push(reading),
                None => return Ok(None),
            }
        }
        Ok(Some(found).filter(|found| !found.is_empty()))
    };
    let sum = |found: &Option<Vec<Reading>>| found.as_ref()?.iter().map(|reading| reading.watts).sum::<Option<f64>>();
    let (made, net, total, storage) = (of(Role::Production)?, of(Role::Net)?, of(Role::Total)?, of(Role::Storage)?);
    let (made_w, net_w, total_w, storage_w) = (sum(&made), sum(&net), sum(&total), sum(&storage));
    let has_storage = meters.iter().any(|meter| meter.role == Role::Storage);
    let battery = if has_storage { storage_w } else { Some(0.0) };
    let consumption = match (total_w, made_w, net_w, battery) {
        (None, Some(made), Some(net), Some(battery)) => Some(made + net + battery),
        (Some(total), _, _, _) => Some(total),
        _ => None,
    };
    // With a meter around the house alone, the grid is what the sun and the batteries leave.
    let grid = match (net_w, total_w, made_w, battery) {
        (None, Some(total), Some(made), Some(battery)) => Some(total - made - battery),
        (net, ..) => net,
    };
    let mut values = WireReading {
        generation_w: made_w.and_then(ems::generation),
        consumption_w: consumption.map(|watts| watts.max(0.0)),
        grid_w: grid,
        battery_w: storage_w,
        ..WireReading::default()
    };
    if let Some([net]) = net.as_deref() {
        let column = |n: usize| Some(net.channels.iter().map(|c| c.get(n).copied().flatten()).collect::<Vec<_>>());
        (values.grid_phase_w, values.grid_amps, values.grid_volts) = (column(0), column(1), column(2));
    }
    let stamps = [&net, &total, &made].into_iter().flatten().flatten();
    Ok(Found { values, stamp: stamps.filter_map(|reading| reading.stamp).max(), may_include_battery: false })
}

fn reading(entries: &[Doc<'_>], meter: &Meter) -> Result<Option<Reading>, PickError> {
    for entry in entries {
        if entry.text("eid")?.as_deref() != Some(meter.id.as_str()) {
            continue;
        }
        let mut channels = Vec::new();
        for channel in entry.list("channels")?.unwrap_or_default().iter().take(meter.phases) {
            let watts = channel.number("activePower")?;
            // The current is a magnitude. One of zero volts has no phase behind it.
            let volts = channel.number("voltage")?.filter(|volts| *volts > 0.0);
            let amps = signed(channel.number("current")?, watts).filter(|_| volts.is_some());
            channels.push([watts.filter(|_| volts.is_some()), amps, volts]);
        }
        let stamp = entry.integer("timestamp")?.filter(|time| *time > 0);
        return Ok(Some(Reading { watts: entry.number("activePower")?, channels, stamp }));
    }
    Ok(None)
}

/// What `/ivp/livedata/status` of a system with batteries tells.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Live {
    /// The values.
    pub values: WireReading,
    /// Epoch seconds of the last update; the page goes on showing old values while the stream is off.
    pub stamp: Option<i64>,
    /// Whether the stream is on.
    pub is_streaming: bool,
    /// Whether there is a battery.
    pub has_battery: bool,
}

/// Reads `/ivp/livedata/status`.
///
/// # Errors
/// When it is something else, or a value is not what it should be.
pub fn live_data(answer: &Value) -> Result<Live, PickError> {
    let doc = Doc::new(answer);
    let meters = doc.at("meters")?.ok_or_else(|| doc.missing("meters"))?;
    let watts = |path: &str| Ok::<_, PickError>(meters.number(path)?.map(|milliwatts| milliwatts / 1000.0));
    let soc = meters.number("soc")?.map(|soc| soc.clamp(0.0, 100.0));
    let battery = watts("storage.agg_p_mw")?;
    let energy = [meters.number("enc_agg_energy")?, meters.number("acb_agg_energy")?];
    let has_battery = soc.is_some_and(|soc| soc > 0.0)
        || battery.is_some_and(|watts| watts != 0.0)
        || energy.into_iter().flatten().any(|energy| energy > 0.0);
    let count = meters.integer("phase_count")?.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let mut phases = Vec::new();
    for letter in ["a", "b", "c"].iter().take(count) {
        phases.push(watts(&format!("grid.agg_p_ph_{letter}_mw"))?);
    }
    Ok(Live {
        values: WireReading {
            generation_w: watts("pv.agg_p_mw")?.and_then(ems::generation),
            consumption_w: watts("load.agg_p_mw")?.map(|watts| watts.max(0.0)),
            grid_w: watts("grid.agg_p_mw")?,
            grid_phase_w: Some(phases).filter(|phases| !phases.is_empty()),
            battery_w: battery.filter(|_| has_battery),
            battery_soc: soc.filter(|_| has_battery),
            ..WireReading::default()
        },
        stamp: meters.integer("last_update")?.filter(|time| *time > 0),
        is_streaming: doc.text("connection.sc_stream")?.as_deref() == Some("enabled"),
        has_battery,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn meter(id: &str, role: Role, phases: usize) -> Meter {
        Meter { id: id.into(), role, phases }
    }

    #[test]
    fn a_meter_around_the_house_tells_the_grid_too() {
        let answer = json!([{"eid": 1, "activePower": 3000.0}, {"eid": 2, "activePower": 800.0}]);
        let found = readings(&answer, &[meter("1", Role::Production, 1), meter("2", Role::Total, 1)]).unwrap().values;
        assert_eq!((found.consumption_w, found.grid_w), (Some(800.0), Some(-2200.0)));
    }

    #[test]
    fn a_storage_meter_without_reading_leaves_the_house_unknown() {
        let answer = json!([{"eid": 1, "activePower": 3000.0}, {"eid": 2, "activePower": -800.0}]);
        let all = [meter("1", Role::Production, 1), meter("2", Role::Net, 1), meter("3", Role::Storage, 1)];
        let found = readings(&answer, &all).unwrap().values;
        assert_eq!((found.consumption_w, found.grid_w, found.battery_w), (None, Some(-800.0), None));
    }

    #[test]
    fn a_gateway_without_meters_says_so_in_an_object() {
        assert!(meters(&json!({"error": "no meters"})).is_err());
        assert_eq!(meters(&json!([])), Ok(Vec::new()));
    }

    #[test]
    fn a_system_without_battery_has_none() {
        let live =
            live_data(&json!({"meters": {"soc": 0, "storage": {"agg_p_mw": 0}, "grid": {"agg_p_mw": 5000}}})).unwrap();
        assert_eq!((live.values.battery_w, live.values.battery_soc, live.values.grid_w), (None, None, Some(5.0)));
    }

    #[test]
    fn recordings_read_right() {
        let all = recordings::vendor("enphase");
        for recording in &all {
            let found = match recording.text_at(&["request", "path"]) {
                "/ivp/meters" => {
                    let meters = meters(&recording.json()).unwrap();
                    for (key, role) in [
                        ("production_eid", Role::Production),
                        ("net_consumption_eid", Role::Net),
                        ("storage_eid", Role::Storage),
                    ] {
                        let id = meters.iter().find(|meter| meter.role == role).map(|meter| meter.id.clone());
                        assert_eq!(id, recording.expected().get(key).map(ToString::to_string), "{}", recording.name());
                    }
                    continue;
                }
                "/ivp/meters/readings" => {
                    let needs = recording.entry["needs"][0].as_str();
                    let listed =
                        all.iter().find(|other| Some(other.name()) == needs).map(|list| meters(&list.json()).unwrap());
                    // The other recording says which meter is which in words.
                    let assumed = || vec![meter("704643328", Role::Production, 3), meter("704643584", Role::Net, 3)];
                    readings(&recording.json(), &listed.unwrap_or_else(assumed)).unwrap().values
                }
                "/ivp/livedata/status" => {
                    let live = live_data(&recording.json()).unwrap();
                    assert_eq!((live.stamp, live.is_streaming), (Some(1_706_530_979), false));
                    live.values
                }
                _ => continue,
            };
            recording.assert_number("generation_w", found.generation_w);
            recording.assert_number("consumption_w", found.consumption_w);
            recording.assert_number("grid_w", found.grid_w);
            recording.assert_number("battery_w", found.battery_w);
            recording.assert_number("battery_soc", found.battery_soc);
            recording.assert_numbers("grid_phase_w", &found.grid_phase_w.unwrap_or_default());
            recording.assert_numbers("grid_a", &found.grid_amps.unwrap_or_default());
            recording.assert_numbers("grid_v", &found.grid_volts.unwrap_or_default());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_document_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-zA-Z_0-9.eE+-]{0,200}") {
            if let Ok(value) = serde_json::from_str(&text) {
                let _ = (meters(&value), readings(&value, &[meter("1", Role::Net, 3)]), live_data(&value));
            }
        }
    }
}

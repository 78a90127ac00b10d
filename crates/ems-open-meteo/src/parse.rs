//! From an answer to a curve. Pure.

use ems::{EmsError, EmsErrorKind};
use ems_forecast::{Curve, Shape, instant};
use json_pick::Doc;
use serde_json::Value;

/// Share of power that a module loses with each degree above 25 °C: crystalline silicon.
const LOSS_PER_DEGREE: f64 = 0.004;
/// Degrees that a module is above the air, for each W/m²: on a roof with air behind it.
const DEGREES_PER_IRRADIANCE: f64 = 0.0342;
/// Temperature at which peak power is measured, °C.
const STANDARD_CELSIUS: f64 = 25.0;
/// More than the sun gives, even beside a bright cloud, W/m².
const MOST_IRRADIANCE: f64 = 2000.0;

/// What turns irradiance into power.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Model {
    /// Peak power of the modules in kW.
    pub kwp: f64,
    /// Share that cables, inverter and dirt leave.
    pub efficiency: f64,
    /// Most that the inverter gives, W.
    pub max_watts: f64,
}

impl Model {
    /// Watts at an irradiance on the plane of the modules (W/m²) and an air temperature (°C).
    #[must_use]
    pub fn watts(&self, irradiance: f64, celsius: f64) -> f64 {
        let module = celsius + irradiance * DEGREES_PER_IRRADIANCE;
        let warmth = 1.0 - LOSS_PER_DEGREE * (module - STANDARD_CELSIUS);
        // W/m² times kWp is W: peak power is that at 1000 W/m².
        (self.kwp * irradiance * warmth.max(0.0) * self.efficiency).clamp(0.0, self.max_watts)
    }
}

/// The power in an answer: of quarter hours, else of hours; irradiance of moments, else means of the time before.
///
/// # Errors
/// What the service refuses; garbled for what is no answer of it.
pub fn parse(answer: &Value, model: &Model) -> Result<Curve, EmsError> {
    let doc = Doc::new(answer);
    if let Ok(Some(reason)) = doc.text("reason") {
        let reason: String = reason.chars().take(160).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = format!("Open-Meteo refuses: {reason}; check latitude, longitude, declination and azimuth");
        return Err(EmsError::new(EmsErrorKind::Misconfigured, text));
    }
    let series = if doc.has("minutely_15.time") { "minutely_15" } else { "hourly" };
    let (shape, irradiance) = match doc.has(&format!("{series}.global_tilted_irradiance_instant")) {
        true => (Shape::Instant, "global_tilted_irradiance_instant"),
        false => (Shape::MeanBefore, "global_tilted_irradiance"),
    };
    let list = |name: &str| {
        let path = format!("{series}.{name}");
        let list = doc.list(&path).map_err(|error| ems_http::garbled(&error))?;
        list.ok_or_else(|| ems_http::garbled(&doc.missing(&path)))
    };
    let (times, irradiance, celsius) = (list("time")?, list(irradiance)?, list("temperature_2m")?);
    // Stamps without offset are local by so much.
    let ahead = doc.integer("utc_offset_seconds").ok().flatten().unwrap_or(0);
    let mut points = Vec::with_capacity(times.len());
    for (index, time) in times.iter().enumerate() {
        let time = match time.value() {
            // Of `timeformat=unixtime`, which counts in UTC.
            Value::Number(number) => number.as_i64(),
            Value::String(stamp) => instant(stamp, None).map(|time| time.saturating_sub(ahead)),
            _ => None,
        };
        let time = time.ok_or_else(|| EmsError::garbled("the forecast has a time that cannot be read"))?;
        let number = |list: &[Doc<'_>]| match list.get(index) {
            Some(value) => value.number("").map_err(|error| ems_http::garbled(&error)),
            None => Ok(None),
        };
        let sun = number(&irradiance)?.filter(|sun| (0.0..=MOST_IRRADIANCE).contains(sun));
        let air = number(&celsius)?.filter(|air| (-90.0..=70.0).contains(air));
        // No sun is no power, however warm it is.
        let watts = match (sun, air) {
            (Some(0.0), _) => Some(0.0),
            (Some(sun), Some(air)) => Some(model.watts(sun, air)),
            _ => None,
        };
        points.push((time, watts));
    }
    let curve = Curve::new(shape, points);
    if curve.is_empty() {
        return Err(EmsError::garbled("the forecast is empty; are latitude and longitude right?"));
    }
    Ok(curve)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const MODEL: Model = Model { kwp: 5.0, efficiency: 1.0, max_watts: f64::MAX };

    #[test]
    fn heat_costs_and_the_inverter_limits() {
        assert!((MODEL.watts(812.0, 21.0) - 3673.97).abs() < 0.01);
        assert!(MODEL.watts(812.0, -10.0) > 4060.0);
        assert_eq!(Model { max_watts: 3000.0, ..MODEL }.watts(812.0, 21.0), 3000.0);
        assert_eq!(Model { efficiency: 0.5, ..MODEL }.watts(0.0, 21.0), 0.0);
    }

    #[test]
    fn nulls_are_unknown() {
        let answer = json!({"minutely_15": {"time": [900, 1800, 2700], "temperature_2m": [20, 20, null],
            "global_tilted_irradiance_instant": [100, null, 0]}});
        let curve = parse(&answer, &MODEL).unwrap();
        assert!(curve.at(900).unwrap() > 400.0);
        assert_eq!((curve.at(1350), curve.at(1800), curve.at(2700)), (None, None, Some(0.0)));
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("open-meteo") {
            let curve = parse(&recording.json(), &MODEL).unwrap();
            for input in recording.expected()["inputs"].as_array().into_iter().flatten() {
                let time = instant(input["t"].as_str().unwrap(), None).unwrap();
                let watts = MODEL.watts(input["gti"].as_f64().unwrap(), input["temp_c"].as_f64().unwrap());
                recording.assert_number("pv_w_for_5_kwp_eff_1", Some(watts));
                recording.assert_number("pv_w_for_5_kwp_eff_1", curve.at(time));
            }
            let noon = instant("2024-06-01T11:30:00Z", None).unwrap();
            assert_eq!(curve.at(noon), Some(0.0), "the mean of 11 to 12 stands at 12");
        }
    }

    proptest! {
        #[test]
        fn any_answer_gives_sane_power_or_an_error(times in proptest::collection::vec(any::<i64>(), 0..5), sun in proptest::collection::vec(any::<f64>(), 0..5), air in proptest::collection::vec(any::<f64>(), 0..5), ahead in any::<i64>()) {
            let answer = json!({"utc_offset_seconds": ahead, "hourly": {"time": times, "global_tilted_irradiance": sun, "temperature_2m": air}});
            if let Ok(curve) = parse(&answer, &MODEL) {
                for time in times {
                    prop_assert!(curve.at(time).is_none_or(|watts| (0.0..=1e6).contains(&watts)));
                }
            }
        }
    }
}

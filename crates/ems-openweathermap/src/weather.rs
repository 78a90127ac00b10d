//! From an answer to the weather, and from the weather to power. Pure.

use ems::EmsError;
use ems_forecast::month_at;
use json_pick::Doc;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Full clouds leave two thirds.
const CLOUD_DIVISOR: f64 = 300.0;
/// Above this air temperature modules lose power: one hundredth a degree, down to a half.
const HEAT_FROM_C: f64 = 31.0;
const HEAT_DIVISOR: f64 = 100.0;
const HEAT_FLOOR: f64 = 0.5;
/// The sun's way between morning and noon is a line, cut off here at both ends.
const NOON_FROM: f64 = 0.9;
const MORNING: f64 = 0.2;
/// No weather on earth is hotter: above, it is kelvin.
const HOTTEST_C: f64 = 100.0;
const ZERO_CELSIUS_K: f64 = 273.15;

/// The weather, as far as it matters here. Times are seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Weather {
    /// When it was seen.
    pub seen: i64,
    /// Start and end of the day; `None` where the sun does not rise or set.
    pub day: Option<(i64, i64)>,
    /// Clouds in percent.
    pub clouds: f64,
    /// Air temperature, °C.
    pub celsius: f64,
    /// How far the clock there is ahead of UTC, seconds.
    pub offset: i32,
}

impl Weather {
    /// How far the day has come at a moment: 0 at sunrise, 1 at sunset. `None` at night.
    #[must_use]
    pub fn day_fraction(&self, now: i64) -> Option<f64> {
        let (sunrise, sunset) = self.day?;
        if !(sunrise..=sunset).contains(&now) {
            return None;
        }
        // `parse` holds a day below two days' length, so both fit into a float.
        #[allow(clippy::cast_precision_loss)]
        let fraction = (now - sunrise) as f64 / (sunset - sunrise).max(1) as f64;
        Some(fraction)
    }

    /// Expected watts at a moment, from the peak power of each month in kW. `None` when no day is known.
    #[must_use]
    pub fn watts(&self, peak_kw: &[f64; 12], now: i64) -> Option<f64> {
        self.day?;
        let Some(fraction) = self.day_fraction(now) else { return Some(0.0) };
        let peak = month_at(now, self.offset).and_then(|month| peak_kw.get(month)).copied()?;
        // 0 at both ends of the day, 1 in its middle.
        let height = 1.0 - (2.0 * fraction - 1.0).abs();
        let sun = match height {
            height if height > NOON_FROM => 1.0,
            height => height.max(MORNING),
        };
        let sky = 1.0 - self.clouds / CLOUD_DIVISOR;
        let heat = (1.0 - (self.celsius - HEAT_FROM_C).max(0.0) / HEAT_DIVISOR).max(HEAT_FLOOR);
        Some(peak * 1000.0 * sun * sky * heat)
    }
}

/// The weather in an answer of `data/2.5/weather` or of `data/3.0/onecall`.
///
/// # Errors
/// Garbled, with the field that is missing or cannot be.
pub fn parse(answer: &Value) -> Result<Weather, EmsError> {
    let doc = Doc::new(answer);
    let is_one_call = doc.has("current");
    let [seen, sunrise, sunset, clouds, temp, offset] = match is_one_call {
        true => {
            ["current.dt", "current.sunrise", "current.sunset", "current.clouds", "current.temp", "timezone_offset"]
        }
        false => ["dt", "sys.sunrise", "sys.sunset", "clouds.all", "main.temp", "timezone"],
    };
    let time = |path: &str| doc.integer(path).map_err(|error| ems_http::garbled(&error));
    let number = |path: &str| doc.require_number(path).map_err(|error| ems_http::garbled(&error));
    let is_day = |(sunrise, sunset): &(i64, i64)| (1..=172_800).contains(&sunset.saturating_sub(*sunrise));
    let cannot_be = |path: &str| EmsError::garbled(format!("`{path}` tells a number that cannot be"));

    let clouds_percent = number(clouds)?;
    if !(0.0..=100.0).contains(&clouds_percent) {
        return Err(cannot_be(clouds));
    }
    let celsius = match number(temp)? {
        kelvin if kelvin > HOTTEST_C => kelvin - ZERO_CELSIUS_K,
        celsius => celsius,
    };
    if !(-100.0..=HOTTEST_C).contains(&celsius) {
        return Err(cannot_be(temp));
    }
    Ok(Weather {
        seen: time(seen)?.ok_or_else(|| ems_http::garbled(&doc.missing(seen)))?,
        // Zeros stand for "none" in some answers.
        day: time(sunrise)?.zip(time(sunset)?).filter(|(sunrise, _)| *sunrise > 0).filter(is_day),
        clouds: clouds_percent,
        celsius,
        offset: time(offset)?.and_then(|offset| i32::try_from(offset).ok()).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// A day from 6 to 18 o'clock in June.
    const DAY: i64 = 1_717_200_000;
    const HOUR: i64 = 3600;

    fn clear() -> Weather {
        Weather { seen: DAY, day: Some((DAY + 6 * HOUR, DAY + 18 * HOUR)), clouds: 0.0, celsius: 20.0, offset: 0 }
    }

    fn watts(weather: Weather, hour: i64) -> Option<f64> {
        let mut peak = [0.0; 12];
        peak[5] = 4.0;
        weather.watts(&peak, DAY + hour * HOUR).map(f64::round)
    }

    #[test]
    fn the_sun_rises_and_sets() {
        let day: Vec<_> = [0, 5, 6, 9, 12, 15, 18, 19].map(|hour| watts(clear(), hour)).into();
        let expected = [0.0, 0.0, 800.0, 2000.0, 4000.0, 2000.0, 800.0, 0.0].map(Some);
        assert_eq!(day, expected);
        assert_eq!(watts(Weather { day: None, ..clear() }, 12), None);
    }

    #[test]
    fn clouds_and_heat_cost() {
        assert_eq!(watts(Weather { clouds: 75.0, ..clear() }, 12), Some(3000.0));
        assert_eq!(watts(Weather { celsius: 31.0, ..clear() }, 12), Some(4000.0));
        assert_eq!(watts(Weather { celsius: 41.0, ..clear() }, 12), Some(3600.0));
        assert_eq!(watts(Weather { celsius: 99.0, ..clear() }, 12), Some(2000.0));
    }

    #[test]
    fn the_month_is_that_of_the_place() {
        let almost_july = Weather { day: Some((DAY, DAY + 40 * 86_400)), ..clear() };
        let peak = |offset| {
            Weather { offset, ..almost_july }.watts(&[0., 0., 0., 0., 0., 4., 8., 0., 0., 0., 0., 0.], 1_719_791_999)
        };
        assert!(peak(3600) > peak(0));
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("openweathermap") {
            let parsed = parse(&recording.json());
            if recording.text_at(&["expected", "status"]) == "error" {
                assert!(parsed.is_err(), "{}", recording.name());
                continue;
            }
            let weather = parsed.unwrap();
            let expected = recording.expected();
            assert_eq!(Some(weather.seen), expected["dt"].as_i64());
            assert_eq!(weather.day, expected["sunrise"].as_i64().zip(expected["sunset"].as_i64()));
            assert_eq!(Some(weather.clouds), expected["clouds_pct"].as_f64());
            assert!((weather.celsius - expected["temp_c"].as_f64().unwrap()).abs() < 0.01);
            let fraction = weather.day_fraction(weather.seen).unwrap();
            assert!((fraction - expected["day_fraction"].as_f64().unwrap()).abs() < 1e-4, "{fraction}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (0..100i64).prop_map(Value::from),
            Just(Value::Null),
            Just(json!("x"))
        ]
    }

    proptest! {
        #[test]
        fn any_answer_gives_sane_power_or_an_error(dt in any_value(), temp in any_value(), clouds in any_value(), sunrise in any_value(), sunset in any_value(), timezone in any_value(), now in any::<i64>()) {
            let answer = json!({"dt": dt, "main": {"temp": temp}, "clouds": {"all": clouds}, "sys": {"sunrise": sunrise, "sunset": sunset}, "timezone": timezone});
            if let Ok(weather) = parse(&answer) {
                prop_assert!(weather.watts(&[4.0; 12], now).is_none_or(|watts| (0.0..=4000.0).contains(&watts)));
                prop_assert!(weather.watts(&[4.0; 12], weather.seen).is_none_or(|watts| (0.0..=4000.0).contains(&watts)));
            }
        }
    }
}

//! What a source tells.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use units::{Amps, PerPhase, Percent, Volts, Watts};

/// A fact that only some sources have, such as a battery's operating mode; policies can test it by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Attribute {
    /// Yes or no.
    Flag(bool),
    /// A number in the unit that its name tells.
    Number(f64),
    /// A text.
    Text(String),
}

/// Inverters and meters at rest draw or show up to this much; below, a meter is mounted backwards.
const TARE_W: f64 = 50.0;

/// Generation from what a production meter or inverter tells: a few watts below zero (own draw at night, tare of a meter)
/// are zero. `None`, unknown, when it is further below zero: then the meter is mounted backwards or measures something else.
#[must_use]
pub fn generation(watts: f64) -> Option<f64> {
    (watts >= -TARE_W).then(|| watts.max(0.0))
}

/// One reading of one source. `None` means that the source has no such channel or could not tell: never zero.
#[derive(Debug, Clone, PartialEq)]
pub struct EmsReading {
    /// Solar (or other own) generation, at least zero.
    pub generation: Option<Watts>,
    /// Consumption of the house with all that hangs behind its meter, battery charging excluded; at least zero.
    pub consumption: Option<Watts>,
    /// Power at the grid connection: import positive, export negative.
    pub grid: Option<Watts>,
    /// The same on each phase.
    pub grid_power: PerPhase<Option<Watts>>,
    /// Current on each phase of the grid connection, signed like `grid` where the source tells the direction.
    pub grid_current: PerPhase<Option<Amps>>,
    /// Voltage of each phase.
    pub grid_volts: PerPhase<Option<Volts>>,
    /// Battery power: discharge positive, charging negative.
    pub battery: Option<Watts>,
    /// Battery state of charge.
    pub battery_soc: Option<Percent>,
    /// Whether this is a forecast or model rather than a measurement.
    pub is_estimate: bool,
    /// When the values were taken: the device's time where it tells its age, else when the answer arrived.
    pub taken_at: Instant,
    /// How old it may become and still be used, where that is longer than the site's `staleAfter`: for services that are asked
    /// seldom or tell old values. `None` leaves it to the site.
    pub max_age: Option<Duration>,
    /// Facts that only this source has, under the names that policies use (`batteryLevel`, `stormWatch`, ...).
    pub attributes: BTreeMap<String, Attribute>,
}

impl EmsReading {
    /// A reading in which nothing is known, taken now.
    #[must_use]
    pub fn now() -> Self {
        EmsReading::at(Instant::now())
    }

    /// A reading in which nothing is known, taken at `taken_at`.
    #[must_use]
    pub fn at(taken_at: Instant) -> Self {
        EmsReading {
            generation: None,
            consumption: None,
            grid: None,
            grid_power: PerPhase::unknown(),
            grid_current: PerPhase::unknown(),
            grid_volts: PerPhase::unknown(),
            battery: None,
            battery_soc: None,
            is_estimate: false,
            taken_at,
            max_age: None,
            attributes: BTreeMap::new(),
        }
    }

    /// The same, still used when it is as old as this.
    #[must_use]
    pub fn usable_for(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// Whether the attribute of this name is there and true.
    #[must_use]
    pub fn has_flag(&self, name: &str) -> bool {
        self.attributes.get(name) == Some(&Attribute::Flag(true))
    }
}

/// The longest [`EmsReading::max_age`] that is accepted from outside: a day.
const LONGEST_AGE_S: f64 = 86_400.0;

/// A reading as it is written in JSON: by `check --json`, by recordings, and by plug-in programs, one object a line.
///
/// All powers in watts, currents in amps, state of charge in percent; absent and `null` both mean unknown.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WireReading {
    /// Solar or other own generation.
    pub generation_w: Option<f64>,
    /// Consumption of the house.
    pub consumption_w: Option<f64>,
    /// Grid, import positive.
    pub grid_w: Option<f64>,
    /// Current on each phase, signed like `grid_w`.
    pub grid_amps: Option<Vec<Option<f64>>>,
    /// Battery, discharge positive.
    pub battery_w: Option<f64>,
    /// Battery state of charge.
    pub battery_soc: Option<f64>,
    /// Power on each phase, signed like `grid_w`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid_phase_w: Option<Vec<Option<f64>>>,
    /// Voltage of each phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid_volts: Option<Vec<Option<f64>>>,
    /// Whether this is a forecast or model.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_estimate: bool,
    /// Seconds for which it can be used although the site's `staleAfter` is shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
    /// Facts that only this source has.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Attribute>,
}

impl From<&EmsReading> for WireReading {
    fn from(reading: &EmsReading) -> Self {
        fn phases<T: Copy>(values: &PerPhase<Option<T>>, number: impl Fn(T) -> f64) -> Option<Vec<Option<f64>>> {
            values.is_known().then(|| values.iter().map(|(_, value)| value.map(&number)).collect())
        }
        WireReading {
            generation_w: reading.generation.map(Watts::get),
            consumption_w: reading.consumption.map(Watts::get),
            grid_w: reading.grid.map(Watts::get),
            grid_amps: phases(&reading.grid_current, Amps::get),
            battery_w: reading.battery.map(Watts::get),
            battery_soc: reading.battery_soc.map(Percent::get),
            grid_phase_w: phases(&reading.grid_power, Watts::get),
            grid_volts: phases(&reading.grid_volts, Volts::get),
            is_estimate: reading.is_estimate,
            max_age_s: reading.max_age.map(|age| age.as_secs_f64()),
            attributes: reading.attributes.clone(),
        }
    }
}

impl WireReading {
    /// The reading this object describes, taken at `taken_at`.
    ///
    /// # Errors
    /// A sentence naming the field whose value cannot be.
    pub fn into_reading(self, taken_at: Instant) -> Result<EmsReading, String> {
        fn one<T>(
            field: &str,
            value: Option<f64>,
            parse: impl Fn(f64) -> Result<T, units::OutOfRange>,
        ) -> Result<Option<T>, String> {
            value.map(|number| parse(number).map_err(|error| format!("`{field}`: {error}"))).transpose()
        }
        fn three<T: Copy>(
            field: &str,
            values: Option<Vec<Option<f64>>>,
            parse: impl Fn(f64) -> Result<T, units::OutOfRange>,
        ) -> Result<PerPhase<Option<T>>, String> {
            let values = values.unwrap_or_default();
            if values.len() > 3 {
                return Err(format!("`{field}` has {} phases, at most 3 are possible", values.len()));
            }
            let at = |index: usize| one(field, values.get(index).copied().flatten(), &parse);
            Ok(PerPhase::new(at(0)?, at(1)?, at(2)?))
        }
        let positive = |field: &str, value: Option<f64>| match value {
            Some(number) if number < 0.0 => Err(format!("`{field}` is negative; only grid and battery have a sign")),
            _ => one(field, value, Watts::new),
        };
        let max_age = match self.max_age_s {
            Some(seconds) if !(0.0..=LONGEST_AGE_S).contains(&seconds) => {
                return Err(format!("`max_age_s` is {seconds}: seconds from 0 to {LONGEST_AGE_S} are possible"));
            }
            seconds => seconds.map(Duration::from_secs_f64),
        };
        Ok(EmsReading {
            generation: positive("generation_w", self.generation_w)?,
            consumption: positive("consumption_w", self.consumption_w)?,
            grid: one("grid_w", self.grid_w, Watts::new)?,
            grid_power: three("grid_phase_w", self.grid_phase_w, Watts::new)?,
            grid_current: three("grid_amps", self.grid_amps, Amps::new)?,
            grid_volts: three("grid_volts", self.grid_volts, Volts::new)?,
            battery: one("battery_w", self.battery_w, Watts::new)?,
            battery_soc: one("battery_soc", self.battery_soc, Percent::new)?,
            is_estimate: self.is_estimate,
            taken_at,
            max_age,
            attributes: self.attributes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_survives_the_wire() {
        let line = r#"{"generation_w":4200.0,"grid_w":-3560.5,"grid_amps":[-5.1,null,-5.2],"battery_soc":80,"max_age_s":90.0}"#;
        let wire: WireReading = serde_json::from_str(line).unwrap();
        let reading = wire.clone().into_reading(Instant::now()).unwrap();
        assert_eq!(reading.consumption, None);
        assert_eq!((reading.grid_current.l2, reading.max_age), (None, Some(Duration::from_secs(90))));
        assert_eq!(WireReading::from(&reading), wire);
    }

    #[test]
    fn a_value_that_cannot_be_is_named() {
        let wire = WireReading { grid_w: Some(1e308), ..WireReading::default() };
        assert!(wire.into_reading(Instant::now()).unwrap_err().contains("grid_w"));
        for max_age_s in [-1.0, f64::NAN, 1e300] {
            let wire = WireReading { max_age_s: Some(max_age_s), ..WireReading::default() };
            assert!(wire.into_reading(Instant::now()).unwrap_err().contains("max_age_s"));
        }
    }
}

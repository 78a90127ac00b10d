//! What energy sources share that read single values from a home platform: one item a quantity, named in the configuration.
//!
//! | part | is |
//! |---|---|
//! | [`Quantity`] | what an item tells |
//! | [`Item`] | the name of one, with the key that names it, and whether its sign is turned round |
//! | [`Item::value`] | from a text and a unit to a number in watts, amps or percent; pure |
//! | [`reading`] | from the values of all items to a reading; pure |
//!
//! ```
//! use ems_items::{Item, Quantity, reading};
//!
//! let item = Item::new(Quantity::Grid, "hassEntityGrid", "-sensor.export");
//! let watts = item.value("1.2", Some("kW"))?;
//! let reading = reading(&[(item, watts)], std::time::Instant::now())?;
//! assert_eq!(reading.grid.map(|grid| grid.get()), Some(-1200.0));
//! # Ok::<(), ems::EmsError>(())
//! ```

use std::time::Instant;

use ems::units::{Amps, PerPhase, Percent, Phase, Watts};
use ems::{EmsError, EmsErrorKind, EmsReading, Section};
use json_pick::parse_number;

/// What an item tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Consumption of the house.
    Consumption,
    /// Generation.
    Generation,
    /// Power at the grid connection, import positive.
    Grid,
    /// The same on one phase.
    GridPower(Phase),
    /// Current on one phase of the grid connection.
    GridAmps(Phase),
    /// Battery power, discharge positive.
    Battery,
    /// Battery state of charge.
    BatterySoc,
}

impl Quantity {
    /// All of them, in the order of the documentation.
    pub const ALL: [Quantity; 11] = [
        Quantity::Consumption,
        Quantity::Generation,
        Quantity::Grid,
        Quantity::Battery,
        Quantity::BatterySoc,
        Quantity::GridAmps(Phase::L1),
        Quantity::GridAmps(Phase::L2),
        Quantity::GridAmps(Phase::L3),
        Quantity::GridPower(Phase::L1),
        Quantity::GridPower(Phase::L2),
        Quantity::GridPower(Phase::L3),
    ];

    /// The factor from a unit to ours, and what is wanted instead of a unit that has none.
    fn factor(self, unit: &str) -> Result<f64, &'static str> {
        match self {
            Quantity::BatterySoc if unit == "%" => Ok(1.0),
            Quantity::BatterySoc => Err("percent"),
            Quantity::GridAmps(_) => match unit {
                "A" => Ok(1.0),
                "mA" => Ok(1e-3),
                _ => Err("current (A, mA)"),
            },
            _ => json_pick::watts_factor(unit).ok_or("power (W, kW, MW)"),
        }
    }
}

/// An item of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it tells.
    pub quantity: Quantity,
    /// The configuration key that names it.
    pub key: &'static str,
    /// Its name on the platform.
    pub name: String,
    /// Whether its sign is the other way round there.
    pub is_inverted: bool,
}

impl Item {
    /// The item that `text` names; a `-` before the name turns its sign round.
    #[must_use]
    pub fn new(quantity: Quantity, key: &'static str, text: &str) -> Self {
        let name = text.strip_prefix('-').unwrap_or(text);
        Item { quantity, key, name: name.trim().to_owned(), is_inverted: name.len() != text.len() }
    }

    /// The items that a section names, by its keys. Notes an error when it names none.
    pub fn all(section: &mut Section, keys: &[(Quantity, &'static str)]) -> Vec<Item> {
        let named = |(quantity, key): &(Quantity, &'static str)| Some(Item::new(*quantity, key, &section.text(key)?));
        let items: Vec<Item> = keys.iter().filter_map(named).collect();
        if items.is_empty() && !section.has_errors() {
            let first = keys.first().map_or("enabled", |(_, key)| key);
            let all: Vec<&str> = keys.iter().take(3).map(|(_, key)| *key).collect();
            section.error(first, format!("nothing to read is named; name at least one of {}", all.join(", ")));
        }
        items
    }

    /// The number that a text means, in our unit and sign. The unit stands in the text, or beside it, or is ours.
    ///
    /// `None` where the platform says that it has no value (`unavailable`, `NULL`, …).
    ///
    /// # Errors
    /// Misconfigured for a unit that does not fit, garbled for what is no number.
    pub fn value(&self, text: &str, unit: Option<&str>) -> Result<Option<f64>, EmsError> {
        let measure = parse_number(text).map_err(|fault| {
            let quoted: String = text.chars().take(30).map(|c| if c.is_control() { ' ' } else { c }).collect();
            EmsError::garbled(format!("{} ({}) tells `{quoted}`: {fault}", self.name, self.key))
        })?;
        let Some(measure) = measure else { return Ok(None) };
        let unit = measure.unit.as_deref().or(unit).map(str::trim).filter(|unit| !unit.is_empty());
        let factor = unit.map_or(Ok(1.0), |unit| self.quantity.factor(unit)).map_err(|wanted| {
            let unit: String = unit.unwrap_or_default().chars().take(12).collect();
            let text = format!("{} is given in `{unit}`; name one of {wanted} as {}", self.name, self.key);
            EmsError::new(EmsErrorKind::Misconfigured, text)
        })?;
        let sign = if self.is_inverted { -1.0 } else { 1.0 };
        // Not the sign of zero: -0 W is 0 W.
        Ok(Some(measure.value * factor * sign + 0.0))
    }
}

/// The reading that the values of items make.
///
/// Many meters tell a current without its direction: where the power of its phase is known, that gives it.
/// Generation and consumption far below zero are unknown: such an item has the other sign, or means something else.
///
/// # Errors
/// A value that no house can have, with its item.
pub fn reading(values: &[(Item, Option<f64>)], taken_at: Instant) -> Result<EmsReading, EmsError> {
    let mut reading = EmsReading::at(taken_at);
    for (item, value) in values {
        let Some(value) = *value else { continue };
        let is_negative =
            matches!(item.quantity, Quantity::Consumption | Quantity::Generation) && ems::generation(value).is_none();
        if is_negative {
            log::debug!("{} ({}) is {value} W, below zero: left out", item.name, item.key);
            continue;
        }
        let wrong = |error| EmsError::garbled(format!("{} ({}) tells {value}: {error}", item.name, item.key));
        let watts = || Watts::new(value).map(Some).map_err(wrong);
        let at_least_zero = || Watts::new(value.max(0.0)).map(Some).map_err(wrong);
        match item.quantity {
            Quantity::Consumption => reading.consumption = at_least_zero()?,
            Quantity::Generation => reading.generation = at_least_zero()?,
            Quantity::Grid => reading.grid = watts()?,
            Quantity::Battery => reading.battery = watts()?,
            Quantity::BatterySoc => reading.battery_soc = Percent::new(value).map(Some).map_err(wrong)?,
            Quantity::GridPower(phase) => reading.grid_power[phase] = watts()?,
            Quantity::GridAmps(phase) => reading.grid_current[phase] = Amps::new(value).map(Some).map_err(wrong)?,
        }
    }
    let signed = |phase: Phase| {
        let amps = reading.grid_current[phase]?;
        let is_export = reading.grid_power[phase].is_some_and(|watts| watts.get() < 0.0);
        Some(if is_export && amps.get() > 0.0 { -amps } else { amps })
    };
    reading.grid_current = PerPhase::new(signed(Phase::L1), signed(Phase::L2), signed(Phase::L3));
    Ok(reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(quantity: Quantity, text: &str, unit: Option<&str>) -> Result<Option<f64>, EmsErrorKind> {
        Item::new(quantity, "key", "item").value(text, unit).map_err(|error| error.kind())
    }

    #[test]
    fn units_decide() {
        for (text, unit, expected) in [
            ("1234.5", Some("W"), 1234.5),
            ("1.2", Some("kW"), 1200.0),
            ("1.25E+3", None, 1250.0),
            ("-350.0 W", None, -350.0),
            ("1.2 kW", None, 1200.0),
            ("5", Some(""), 5.0),
        ] {
            assert_eq!(value(Quantity::Grid, text, unit), Ok(Some(expected)), "{text}");
        }
        assert_eq!(value(Quantity::GridAmps(Phase::L1), "1500", Some("mA")), Ok(Some(1.5)));
        assert_eq!(value(Quantity::BatterySoc, "80", Some("%")), Ok(Some(80.0)));
        for (quantity, unit) in [
            (Quantity::Grid, "kWh"),
            (Quantity::Grid, "VA"),
            (Quantity::BatterySoc, "V"),
            (Quantity::GridAmps(Phase::L2), "W"),
        ] {
            assert_eq!(value(quantity, "1", Some(unit)), Err(EmsErrorKind::Misconfigured), "{unit}");
        }
    }

    #[test]
    fn no_value_is_unknown_and_nonsense_an_error() {
        for text in ["unavailable", "unknown", "NULL", "UNDEF", "", "NaN"] {
            assert_eq!(value(Quantity::Grid, text, Some("W")), Ok(None), "{text}");
        }
        for text in ["on", "1,5", "1e308", "inf", "<html>"] {
            assert_eq!(value(Quantity::Grid, text, None), Err(EmsErrorKind::Garbled), "{text}");
        }
    }

    #[test]
    fn a_minus_turns_the_sign() {
        let item = Item::new(Quantity::Battery, "key", "-sensor.battery");
        assert_eq!((item.name.as_str(), item.value("70 W", None)), ("sensor.battery", Ok(Some(-70.0))));
        assert!(item.value("0", None).unwrap().unwrap().is_sign_positive());
    }

    #[test]
    fn values_make_a_reading() {
        let item = |quantity| Item::new(quantity, "key", "item");
        let values = [
            (item(Quantity::Generation), Some(-20.0)),
            (item(Quantity::Consumption), Some(-900.0)),
            (item(Quantity::GridAmps(Phase::L1)), Some(5.0)),
            (item(Quantity::GridPower(Phase::L1)), Some(-1100.0)),
            (item(Quantity::GridAmps(Phase::L2)), Some(6.0)),
            (item(Quantity::Grid), None),
        ];
        let reading = reading(&values, Instant::now()).unwrap();
        assert_eq!(reading.generation, Some(Watts::ZERO), "tare at night");
        assert_eq!((reading.consumption, reading.grid), (None, None));
        let amps = [reading.grid_current.l1, reading.grid_current.l2].map(|amps| amps.map(|amps| amps.get()));
        assert_eq!(amps, [Some(-5.0), Some(6.0)]);
    }

    #[test]
    fn an_impossible_value_names_its_item() {
        let soc = Item::new(Quantity::BatterySoc, "hassEntityBatterySoc", "sensor.soc");
        let error = reading(&[(soc, Some(140.0))], Instant::now()).unwrap_err().to_string();
        assert!(error.contains("sensor.soc") && error.contains("hassEntityBatterySoc"), "{error}");
    }
}

//! From the parts that several addresses tell to one reading.

use std::time::Instant;

use ems::units::{Amps, OutOfRange, PerPhase, Percent, Volts, Watts};
use ems::{EmsError, EmsReading};

use crate::parse::{GridMeter, PowerFlow};

/// Adds up generation; takes grid, house and battery from the first address that has a meter.
///
/// Two inverters on one Datamanager ring each show the same site. When all figures of two addresses agree to the watt
/// while something flows, they are one site and are counted once.
pub(crate) fn combine(parts: &[(PowerFlow, Option<GridMeter>)]) -> Result<EmsReading, EmsError> {
    let mut distinct: Vec<&(PowerFlow, Option<GridMeter>)> = Vec::new();
    for part in parts {
        let is_same_site = |other: &&(PowerFlow, Option<GridMeter>)| {
            part.0.generation.is_some_and(|watts| watts > 0.0) && part.0.grid.is_some() && part.0 == other.0
        };
        if !distinct.iter().any(is_same_site) {
            distinct.push(part);
        }
    }
    let generation = distinct.iter().map(|(flow, _)| flow.generation).sum::<Option<f64>>();
    let metered = distinct.iter().find(|(flow, _)| flow.grid.is_some());
    let flow = metered.or(distinct.first()).map(|(flow, _)| flow.clone()).unwrap_or_default();
    // With several sites behind one meter only the metered one's balance is of the whole house.
    let consumption = match (distinct.len(), generation, flow.grid, flow.battery) {
        (2.., Some(generation), Some(grid), battery) => Some((generation + grid + battery.unwrap_or(0.0)).max(0.0)),
        _ => flow.consumption,
    };
    let meter = distinct.iter().find_map(|(_, meter)| meter.clone()).unwrap_or_default();
    Ok(EmsReading {
        generation: generation.map(Watts::new).transpose()?,
        consumption: consumption.map(Watts::new).transpose()?,
        grid: flow.grid.map(Watts::new).transpose()?,
        grid_power: phases(meter.phase_power, Watts::new)?,
        grid_current: phases(meter.current, Amps::new)?,
        grid_volts: phases(meter.volts, Volts::new)?,
        battery: flow.battery.map(Watts::new).transpose()?,
        battery_soc: flow.battery_soc.map(Percent::new).transpose()?,
        ..EmsReading::at(Instant::now())
    })
}

fn phases<T>(
    values: [Option<f64>; 3],
    parse: impl Fn(f64) -> Result<T, OutOfRange>,
) -> Result<PerPhase<Option<T>>, OutOfRange> {
    let [l1, l2, l3] = values;
    Ok(PerPhase::new(l1.map(&parse).transpose()?, l2.map(&parse).transpose()?, l3.map(&parse).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(generation: f64, grid: Option<f64>) -> (PowerFlow, Option<GridMeter>) {
        (PowerFlow { generation: Some(generation), grid, ..PowerFlow::default() }, None)
    }

    #[test]
    fn generation_of_several_inverters_adds_up() {
        let reading = combine(&[flow(1000.0, None), flow(500.0, Some(-300.0))]).unwrap();
        assert_eq!(reading.generation.map(Watts::get), Some(1500.0));
        assert_eq!(reading.grid.map(Watts::get), Some(-300.0));
        assert_eq!(reading.consumption.map(Watts::get), Some(1200.0));
    }

    #[test]
    fn one_site_shown_by_two_addresses_counts_once() {
        let reading = combine(&[flow(1000.5, Some(-300.0)), flow(1000.5, Some(-300.0))]).unwrap();
        assert_eq!(reading.generation.map(Watts::get), Some(1000.5));
    }
}

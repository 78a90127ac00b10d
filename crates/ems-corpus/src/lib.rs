//! Every parser of outside bytes of the energy sources, in a form that a fuzzer can feed.
//!
//! | target | feeds |
//! |---|---|
//! | [`dsmr`] | P1 telegrams, plain and encrypted |
//! | [`exec`] | lines of plug-in programs |
//! | [`hass`] | events of Home Assistant, one a line |
//! | [`json`] | answers in JSON, to the parser of every driver that reads them |
//! | [`sma`] | Speedwire datagrams |
//! | [`text`] | answers that are text |
//! | [`tibber`] | bodies of the Tibber Pulse bridge: SML and P1 |
//!
//! Each tells whether anybody understood the bytes, and panics when a parser breaks its promise: no panic, and only sane
//! numbers. `crates/ems/fuzz` runs them under `cargo fuzz`; this crate's test runs them over the corpus there, each input
//! also cut short and with flipped bits, in every ordinary test run.

use std::time::Instant;

use ems::{EmsReading, WireReading};
use ems_items::{Item, Quantity};
use ems_meter::{Meter, Role};
use serde_json::Value;

/// Feeds bytes to parsers; whether any of them understood.
pub type Target = fn(&[u8]) -> bool;

/// Every target by its name, which is that of its folder in the corpus.
pub const TARGETS: [(&str, Target); 7] =
    [("dsmr", dsmr), ("exec", exec), ("hass", hass), ("json", json), ("sma", sma), ("text", text), ("tibber", tibber)];

/// Largest number that a house can mean, in any unit.
const SANE: f64 = 1e9;

/// P1 telegrams: the stream cut into telegrams, each read; and the same as an encrypted stream.
pub fn dsmr(bytes: &[u8]) -> bool {
    let mut framer = p1_telegram::Framer::new();
    let mut understood = false;
    for piece in bytes.chunks(1 + bytes.len() / 3) {
        framer.push(piece);
        while let Some(telegram) = framer.next_telegram() {
            if let Ok(telegram) = p1_telegram::Telegram::parse(&telegram) {
                understood |= meter(telegram.meter());
            }
        }
    }
    if let Ok(telegram) = p1_telegram::Telegram::parse(bytes) {
        understood |= meter(telegram.meter());
    }
    let key = p1_telegram::Decryptor::new("000102030405060708090A0B0C0D0E0F");
    if let Ok(mut decryptor) = key {
        decryptor.push(bytes);
        while decryptor.next_plain().is_some() {}
    }
    understood | ems_dsmrreader::payload(bytes).is_ok_and(|message| meter(message.meter))
}

/// Lines of plug-in programs.
pub fn exec(bytes: &[u8]) -> bool {
    let now = Instant::now();
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.fold(false, |understood, line| match ems_exec::parse_line(line, now) {
        Ok(Some((reading, _))) => self::reading(&reading) | understood,
        _ => understood,
    })
}

/// Events of Home Assistant, one a line, each building on the ones before.
pub fn hass(bytes: &[u8]) -> bool {
    let items = [
        Item::new(Quantity::Consumption, "hassEntityConsumption", "sensor.house"),
        Item::new(Quantity::Grid, "hassEntityGrid", "-sensor.grid"),
        Item::new(Quantity::BatterySoc, "hassEntityBatterySoc", "sensor.soc"),
        Item::new(Quantity::GridAmps(ems::units::Phase::L1), "hassEntityGridAmpsL1", "sensor.amps"),
    ];
    let mut states = ems_hass::States::default();
    let mut understood = false;
    for event in bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok()) {
        states.apply(&event);
        understood |= states.reading(&items, Instant::now()).is_ok_and(|reading| self::reading(&reading));
    }
    understood
}

/// Answers in JSON.
pub fn json(bytes: &[u8]) -> bool {
    let Ok(answer) = serde_json::from_slice::<Value>(bytes) else { return false };
    let answer = &answer;
    let wire = |result: Option<WireReading>| result.is_some_and(wire);
    let model = ems_open_meteo::Model { kwp: 5.0, efficiency: 0.9, max_watts: 6000.0 };
    let mut phases = WireReading::default();
    let understood = [
        ems_dsmrreader::reading(answer).is_ok_and(|message| meter(message.meter)),
        ems_dsmrreader::newest(answer).is_ok_and(|message| message.is_some_and(|message| meter(message.meter))),
        ems_dsmrreader::live(answer).is_ok_and(|message| message.is_some_and(|message| meter(message.meter))),
        ems_enphase::production(answer).is_ok(),
        ems_enphase::production_v1(answer).is_ok(),
        ems_enphase::meters(answer).is_ok_and(|meters| ems_enphase::readings(answer, &meters).is_ok()),
        ems_enphase::live_data(answer).is_ok(),
        ems_forecast_solar::parse(answer, 0).is_ok_and(|curve| curve.at(1_717_230_000).is_some_and(watts)),
        ems_fronius::power_flow(answer).is_ok(),
        ems_fronius::grid_meter(answer).is_ok_and(|meter| meter.is_some()),
        ems_growatt::parse::login(answer).is_ok(),
        ems_growatt::parse::plants(answer).is_ok(),
        ems_growatt::parse::devices(answer, "1").is_ok(),
        wire(ems_growatt::parse::status(answer, ems_growatt::parse::Kind::Mix).ok().flatten()),
        wire(ems_growatt::parse::status(answer, ems_growatt::parse::Kind::Tlx).ok().flatten()),
        ems_homewizard::data(answer).is_ok_and(|found| meter(found.meter)),
        ems_homewizard::measurement(answer).is_ok_and(|found| meter(found.meter)),
        ems_homewizard::batteries(answer).is_ok_and(|battery| battery.is_some()),
        ems_homewizard::token(200, answer).is_ok(),
        wire(ems_kostal::dxs(answer).ok()),
        ems_open_meteo::parse(answer, &model).is_ok_and(|curve| curve.at(1_717_230_000).is_some_and(watts)),
        ems_openweathermap::parse(answer)
            .is_ok_and(|weather| weather.watts(&[5.0; 12], weather.seen).is_some_and(watts)),
        ems_p1monitor::phase(answer).is_ok_and(|row| row.is_some()),
        ems_p1monitor::smartmeter(answer).is_ok_and(|row| row.is_some()),
        ems_p1monitor::status(answer).is_ok_and(meter),
        wire(ems_powerwall::parse::aggregates(answer).ok().map(|found| found.values)),
        wire(ems_powerwall::parse::live_status(answer).ok().map(|found| found.values)),
        ems_powerwall::parse::state_of_energy(answer).is_ok_and(|soc| soc.is_some()),
        ems_powerwall::parse::operation(answer).is_ok(),
        ems_powerwall::parse::grid_status(answer).is_ok(),
        ems_powerwall::parse::add_phases(answer, &mut phases).is_ok() && self::wire(phases),
        ems_shelly::identity(answer).is_ok(),
        ems_shelly::first_generation(answer, &[]).is_ok_and(|found| found.is_some_and(meter)),
        ems_shelly::later_generation(answer, &[]).is_ok_and(|found| found.is_some_and(meter)),
        ems_smartpi::live(answer).is_ok_and(|found| meter(found.meter)),
        wire(ems_solaredge::power_flow(answer).ok().flatten()),
        wire(ems_solaredge::overview(answer).ok().map(|(found, _)| found)),
        ems_solarlog::parse::basic(answer).is_ok_and(|found| found.is_some()),
        ems_solarlog::parse::battery(answer).is_ok(),
        ems_solarlog::parse::devices(answer, &[0, 3]).is_ok(),
    ];
    understood.contains(&true)
}

/// Speedwire datagrams.
pub fn sma(bytes: &[u8]) -> bool {
    ems_sma::parse::datagram(bytes).is_some_and(|datagram| wire(datagram.values))
}

/// Answers that are text.
pub fn text(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let _ = (ems_kostal::voltage(&text), ems_solarlog::parse::refusals(&text), ems_enphase::Token::parse(&text));
    let number = json_pick::number_in(&text, None).ok().flatten();
    let item = Item::new(Quantity::Grid, "gridItem", "Grid");
    let value = item.value(&text, Some("kW")).ok().flatten();
    [
        number.is_some_and(|number| {
            assert!(number.is_finite(), "{number}");
            true
        }),
        value
            .is_some_and(|value| ems_items::reading(&[(item, Some(value))], Instant::now()).is_ok_and(|r| reading(&r))),
        json_pick::number_in(&text, Some("a[0].b")).is_ok_and(|number| number.is_some()),
        ems_kostal::measurements(&text).is_ok_and(wire),
        ems_enphase::info(&text).is_some(),
        ems_enphase::production_page(&text).is_some(),
    ]
    .contains(&true)
}

/// Bodies of the Tibber Pulse bridge.
pub fn tibber(bytes: &[u8]) -> bool {
    ems_tibber_pulse::body(bytes).is_ok_and(meter)
}

/// A meter makes a reading of sane numbers in each of its places, or is refused.
fn meter(meter: Meter) -> bool {
    let now = Instant::now();
    let readings = [Role::Grid, Role::Generation, Role::Consumption].map(|role| meter.reading(role, now));
    readings.iter().flatten().map(reading).fold(false, |any, one| any | one)
}

/// A reading in plain numbers is sane, or is refused.
fn wire(wire: WireReading) -> bool {
    wire.into_reading(Instant::now()).is_ok_and(|reading| self::reading(&reading))
}

/// Whether a reading tells anything. All that it tells must be sane.
fn reading(reading: &EmsReading) -> bool {
    let WireReading {
        generation_w,
        consumption_w,
        grid_w,
        battery_w,
        battery_soc,
        grid_amps,
        grid_phase_w,
        grid_volts,
        ..
    } = WireReading::from(reading);
    let lists = [grid_amps, grid_phase_w, grid_volts].into_iter().flatten().flatten();
    let mut known = [generation_w, consumption_w, grid_w, battery_w, battery_soc].into_iter().chain(lists).flatten();
    known.by_ref().fold(false, |_, number| watts(number))
}

fn watts(number: f64) -> bool {
    assert!(number.is_finite() && number.abs() <= SANE, "{number} is no measurement");
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Cuts and flips of each input; the step keeps a long one cheap.
    fn variants(input: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let step = 1 + input.len() / 100;
        (0..input.len()).step_by(step).flat_map(move |at| {
            let flipped = |mask: u8| {
                let mut bytes = input.to_vec();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= mask;
                }
                bytes
            };
            [input.get(..at).unwrap_or_default().to_vec(), flipped(0x01), flipped(0x80)]
        })
    }

    #[test]
    fn the_corpus_of_the_fuzz_targets_holds() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ems/fuzz/corpus");
        for (name, target) in TARGETS {
            let folder = corpus.join(name);
            let inputs = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            let (mut seen, mut understood) = (0, 0);
            for input in inputs {
                let bytes = std::fs::read(input.unwrap().path()).unwrap();
                understood += usize::from(target(&bytes));
                variants(&bytes).for_each(|variant| {
                    target(&variant);
                });
                seen += 1;
            }
            assert!(seen >= 3 && understood >= 2, "{name}: {understood} of {seen} inputs are understood");
        }
    }
}

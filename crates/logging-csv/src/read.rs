//! Reading the files back.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use logging::{GreenEnergy, Session, SlaveStatus};
use units::{PerPhase, Volts, WattHours, Watts};

/// The sessions in a `chargesessions.csv`, in the order of the file; rows that are not whole are passed over.
///
/// # Errors
/// When the file cannot be read.
pub fn read_sessions(path: &Path) -> io::Result<Vec<Session>> {
    read(path, session)
}

/// The samples in a `greenenergy.csv`, in the order of the file; rows that are not whole are passed over.
///
/// # Errors
/// When the file cannot be read.
pub fn read_green_energy(path: &Path) -> io::Result<Vec<GreenEnergy>> {
    read(path, green_energy)
}

/// The samples in a `slavestatus.csv`, in the order of the file; rows that are not whole are passed over.
///
/// # Errors
/// When the file cannot be read.
pub fn read_slave_status(path: &Path) -> io::Result<Vec<SlaveStatus>> {
    read(path, slave_status)
}

fn read<T>(path: &Path, parse: fn(&[String]) -> Option<T>) -> io::Result<Vec<T>> {
    let mut found = Vec::new();
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        let line = line?;
        found.extend(fields(String::from_utf8_lossy(&line).trim_end()).as_deref().and_then(parse));
    }
    Ok(found)
}

fn session(fields: &[String]) -> Option<Session> {
    let [evse, started_at, _, start_kwh, ended_at, _, end_kwh, vin] = fields else { return None };
    let started_at = started_at.parse().ok()?;
    Some(Session {
        id: format!("{started_at}-{evse}"),
        evse: evse.clone(),
        vin: Some(vin.clone()).filter(|vin| !vin.is_empty()),
        started_at,
        ended_at: Some(ended_at.parse().ok()?),
        counter_start: kwh(start_kwh)?,
        counter: kwh(end_kwh)?,
    })
}

fn green_energy(fields: &[String]) -> Option<GreenEnergy> {
    let [at, _, generation, consumption, cars] = fields else { return None };
    let watts = |text: &String| Watts::new(text.parse().ok()?).ok();
    Some(GreenEnergy {
        at: at.parse().ok()?,
        generation: watts(generation)?,
        consumption: watts(consumption)?,
        cars: watts(cars)?,
    })
}

fn slave_status(fields: &[String]) -> Option<SlaveStatus> {
    let [evse, at, _, counter, a, b, c] = fields else { return None };
    let volts = |text: &String| Volts::new(text.parse().ok()?).ok();
    Some(SlaveStatus {
        at: at.parse().ok()?,
        evse: evse.clone(),
        counter: kwh(counter)?,
        volts: PerPhase::new(volts(a)?, volts(b)?, volts(c)?),
    })
}

fn kwh(text: &str) -> Option<WattHours> {
    WattHours::new(text.parse::<f64>().ok()? * 1000.0).ok()
}

/// The fields of one line, quoted or bare; `None` when a quote is not closed.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut found = vec![String::new()];
    let mut is_quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                found.last_mut()?.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => found.push(String::new()),
            letter => found.last_mut()?.push(letter),
        }
    }
    (!is_quoted).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_as_they_were_put_together() {
        let owned = |fields: &[&str]| Some(fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>());
        assert_eq!(fields(r#""a","b,c","d""e","" "#.trim_end()), owned(&["a", "b,c", "d\"e", ""]));
        assert_eq!(fields(r#""a","20"#), None);
        assert_eq!(fields("a,1"), owned(&["a", "1"]));
    }

    #[test]
    fn a_sample_of_a_counter_is_read() {
        let line = r#""4142","1795173592","2026-11-20 11:19:52","1000","240","0","0""#;
        let status = slave_status(&fields(line).unwrap()).unwrap();
        assert_eq!((status.at, status.evse.as_str(), status.counter.get()), (1_795_173_592, "4142", 1_000_000.0));
        assert_eq!(status.volts.into_array().map(Volts::get), [240.0, 0.0, 0.0]);
        assert_eq!(slave_status(&fields(r#""4142","soon","","1","2","3","4""#).unwrap()), None);
    }

    #[test]
    fn a_session_without_vin_and_rubbish_are_told_apart() {
        let line = r#""3A7C","1787230000","2026-08-20 12:46:40","8101","1787236600","2026-08-20 14:36:40","8123","" "#;
        let whole = fields(line.trim_end()).unwrap();
        let session = session(&whole).unwrap();
        assert_eq!((session.vin, session.counter.get() - session.counter_start.get()), (None, 22_000.0));
        assert_eq!(super::session(&["3A7C".to_owned()]), None);
    }
}

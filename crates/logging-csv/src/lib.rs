//! Charging sessions and samples in TWCManager's CSV files.
//!
//! | file | columns | a line for |
//! |---|---|---|
//! | `chargesessions.csv` | TWC, start (epoch), start, start kWh, end (epoch), end, end kWh, VIN | each session that ended |
//! | `greenenergy.csv` | epoch, time, generation W, consumption W, cars W | each sample |
//! | `slavestatus.csv` | TWC, epoch, time, kWh, volts of three phases | each sample |
//!
//! ```no_run
//! let fanout = logging::Fanout::new();
//! fanout.add(Box::new(logging_csv::Csv::new("/etc/twcmanager/csv".into())), logging::Mute::default());
//! ```
//!
//! Every field is in double quotes, there is no heading, times are local, and files only grow: TWCManager's own go on where
//! they ended. A session is written once, even when it comes again after a restart. [`read_sessions`] and
//! its like read the files back, for importing them.
//!
//! Facts: recordings of TWCManager 1.4; `greenenergy.csv` by its source, since it never wrote a line to it.

mod read;

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use logging::{GreenEnergy, Kind, Record, Session, Sink, SinkError, SlaveStatus, local_time, whole_kwh};
use units::Volts;

pub use read::{read_green_energy, read_sessions, read_slave_status};

const SESSIONS: &str = "chargesessions.csv";
const GREEN_ENERGY: &str = "greenenergy.csv";
const SLAVE_STATUS: &str = "slavestatus.csv";

/// Appends to the files in a folder.
#[derive(Debug)]
pub struct Csv {
    folder: PathBuf,
    /// The sessions that are in the file, by charging point and start; read before the first is written.
    written: Option<HashSet<(String, i64)>>,
}

impl Csv {
    /// The section of the configuration.
    pub const KEY: &'static str = "logging.CSV";

    /// Into a folder, which is created when it is missing.
    #[must_use]
    pub fn new(folder: PathBuf) -> Csv {
        Csv { folder, written: None }
    }

    fn put(&mut self, record: &Record) -> io::Result<()> {
        match record {
            Record::Session(session) => self.put_session(session),
            Record::GreenEnergy(sample) => self.append(GREEN_ENERGY, &green_energy(sample)).map(drop),
            Record::SlaveStatus(status) => self.append(SLAVE_STATUS, &slave_status(status)).map(drop),
            Record::SlavePower(_) | Record::Line(_) => Ok(()),
        }
    }

    fn put_session(&mut self, session: &Session) -> io::Result<()> {
        let Some(ended_at) = session.ended_at else { return Ok(()) };
        let written = match &mut self.written {
            Some(written) => written,
            None => {
                let path = self.folder.join(SESSIONS);
                let sessions = match read_sessions(&path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
                    result => result?,
                };
                self.written.insert(sessions.into_iter().map(|session| (session.evse, session.started_at)).collect())
            }
        };
        let key = (session.evse.clone(), session.started_at);
        if written.contains(&key) {
            return Ok(());
        }
        let file = self.append(SESSIONS, &charge_session(session, ended_at))?;
        file.sync_data()?;
        if let Some(written) = &mut self.written {
            written.insert(key);
        }
        Ok(())
    }

    /// Appends a row, whole or not at all.
    fn append(&self, name: &str, fields: &[String]) -> io::Result<File> {
        std::fs::create_dir_all(&self.folder)?;
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(self.folder.join(name))?;
        let length = file.metadata()?.len();
        let mut text = row(fields);
        if length > 0 {
            // A row that a power cut left unfinished must not swallow this one.
            let mut last = [0];
            file.seek(SeekFrom::Start(length - 1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                text.insert(0, '\n');
            }
        }
        if let Err(error) = file.write_all(text.as_bytes()) {
            // What cannot be taken back stays; the next row begins a new line.
            let _ = file.set_len(length);
            return Err(error);
        }
        Ok(file)
    }
}

impl Sink for Csv {
    fn key(&self) -> &'static str {
        Csv::KEY
    }

    fn wants(&self, kind: Kind) -> bool {
        matches!(kind, Kind::ChargeSessions | Kind::GreenEnergy | Kind::SlaveStatus)
    }

    fn write(&mut self, records: &[Record]) -> Result<(), SinkError> {
        for (written, record) in records.iter().enumerate() {
            self.put(record).map_err(|error| {
                let reason = format!(
                    "files in {} cannot be written: {error}; check `logging.CSV.path`, its permissions and the free space",
                    self.folder.display()
                );
                SinkError::down(reason).after(written)
            })?;
        }
        Ok(())
    }

    fn gather(&self) -> Duration {
        Duration::from_secs(5)
    }
}

fn charge_session(session: &Session, ended_at: i64) -> [String; 8] {
    [
        session.evse.clone(),
        session.started_at.to_string(),
        local_time(session.started_at),
        whole_kwh(session.counter_start).to_string(),
        ended_at.to_string(),
        local_time(ended_at),
        whole_kwh(session.counter).to_string(),
        session.vin.clone().unwrap_or_default(),
    ]
}

fn green_energy(sample: &GreenEnergy) -> [String; 5] {
    let [generation, consumption, cars] =
        [sample.generation, sample.consumption, sample.cars].map(|power| format!("{:.1}", power.get()));
    [sample.at.to_string(), local_time(sample.at), generation, consumption, cars]
}

fn slave_status(status: &SlaveStatus) -> [String; 7] {
    let [a, b, c] = status.volts.into_array().map(Volts::get).map(|volts| format!("{volts:.0}"));
    let kwh = whole_kwh(status.counter).to_string();
    [status.evse.clone(), status.at.to_string(), local_time(status.at), kwh, a, b, c]
}

/// Every field in double quotes, those inside doubled.
fn row(fields: &[String]) -> String {
    let quoted: Vec<_> = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
    format!("{}\n", quoted.join(","))
}

#[cfg(test)]
mod tests {
    use units::{PerPhase, WattHours, Watts};

    use super::*;

    fn session(started_at: i64, ended_at: Option<i64>) -> Record {
        Record::Session(Session {
            id: format!("{started_at}-x"),
            evse: "4142".into(),
            vin: Some("5YJ3E1EA8KF000001".into()),
            started_at,
            ended_at,
            counter_start: WattHours::saturating(1_000_000.0),
            counter: WattHours::saturating(1_022_900.0),
        })
    }

    fn text(folder: &std::path::Path, name: &str) -> String {
        std::fs::read_to_string(folder.join(name)).unwrap_or_default()
    }

    #[test]
    fn rows_are_those_of_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut csv = Csv::new(folder.path().join("csv"));
        let volts = PerPhase::new(240.4, 0.0, 0.0).map(Volts::saturating);
        let counter = WattHours::saturating(1_000_900.0);
        let [generation, consumption, cars] = [6_000.04, 500.06, 5_280.0].map(Watts::saturating);
        let at = 1_795_173_662;
        csv.write(&[
            session(at, Some(at + 12)),
            Record::GreenEnergy(GreenEnergy { at, generation, consumption, cars }),
            Record::SlaveStatus(SlaveStatus { at, evse: "4142".into(), counter, volts }),
        ])
        .unwrap();
        let folder = folder.path().join("csv");
        let (time, end) = (local_time(at), local_time(at + 12));
        assert_eq!(
            text(&folder, SESSIONS),
            format!("\"4142\",\"{at}\",\"{time}\",\"1000\",\"{}\",\"{end}\",\"1022\",\"5YJ3E1EA8KF000001\"\n", at + 12)
        );
        assert_eq!(text(&folder, GREEN_ENERGY), format!("\"{at}\",\"{time}\",\"6000.0\",\"500.1\",\"5280.0\"\n"));
        assert_eq!(text(&folder, SLAVE_STATUS), format!("\"4142\",\"{at}\",\"{time}\",\"1000\",\"240\",\"0\",\"0\"\n"));
    }

    #[test]
    fn a_session_is_written_once_when_it_ended_also_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut csv = Csv::new(folder.path().to_owned());
        csv.write(&[session(10, None), session(10, Some(20)), session(10, Some(20))]).unwrap();
        let mut restarted = Csv::new(folder.path().to_owned());
        restarted.write(&[session(10, Some(20)), session(30, Some(40))]).unwrap();
        let starts: Vec<_> =
            read_sessions(&folder.path().join(SESSIONS)).unwrap().iter().map(|session| session.started_at).collect();
        assert_eq!(starts, [10, 30]);
    }

    #[test]
    fn an_unfinished_row_does_not_swallow_the_next() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(SESSIONS), "\"4142\",\"5\",\"20").unwrap();
        Csv::new(folder.path().to_owned()).write(&[session(10, Some(20))]).unwrap();
        let sessions = read_sessions(&folder.path().join(SESSIONS)).unwrap();
        assert_eq!(sessions.iter().map(|session| session.started_at).collect::<Vec<_>>(), [10]);
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_named_with_its_key() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut csv = Csv::new(file.path().join("csv"));
        let error = csv.write(&[session(1, None), session(1, Some(2))]).unwrap_err();
        assert!(matches!(error, SinkError::Down { written: 1, .. }), "{error:?}");
        assert!(error.to_string().contains("`logging.CSV.path`"), "{error}");
    }
}

//! Log lines in files that are rotated by hour, size and age.
//!
//! ```text
//! logfile                        the lines of this hour
//! logfile.2026-11-20_11          those of an earlier hour: the newest 24 files stay, a week at most
//! logfile.2026-11-20_11.1        more of that hour: a file is full at 4 MiB
//!
//! 2026-11-20 11:21:32,751 - ⛽ Policy   20 New policy selected; changing to Track Green Energy
//! ```
//!
//! ```no_run
//! let fanout = logging::Fanout::new();
//! fanout.add(Box::new(logging_file::FileLog::new("/etc/twcmanager/log".into(), true)), logging::Mute::default());
//! ```
//!
//! So the folder stays under 100 MB. The file is found anew when somebody else moved or deleted it. For records rather than
//! lines, see `logging-csv`. Facts: names, layout and the 24 files as TWCManager 1.4 writes them (recordings).

mod rotate;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use logging::{Kind, Line, Record, Sink, SinkError, display_name, number_of};

use rotate::Limits;

/// The file that is written to.
const NAME: &str = "logfile";
/// Letters that the name of a logger takes.
const NAME_WIDTH: usize = 10;

/// Writes lines to files in a folder.
#[derive(Debug)]
pub struct FileLog {
    folder: PathBuf,
    with_icons: bool,
    zone: TimeZone,
    limits: Limits,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
    /// The hour of its lines, as it stands in the name once it is rotated.
    hour: String,
}

impl FileLog {
    /// The section of the configuration.
    pub const KEY: &'static str = "logging.FileLogger";

    /// Into a folder, which is created when it is missing.
    #[must_use]
    pub fn new(folder: PathBuf, with_icons: bool) -> FileLog {
        FileLog { folder, with_icons, zone: TimeZone::system(), limits: Limits::USUAL, open: None }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    fn hour(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d_%H").to_string()
    }

    fn text_of(&self, line: &Line) -> String {
        let time = line.at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S,%3f");
        let name = display_name(&line.target, self.with_icons);
        format!("{time} - {name:NAME_WIDTH$.NAME_WIDTH$} {:02} {}\n", number_of(line.level), line.text)
    }

    /// The open file, unless somebody moved it away.
    fn still_open(&mut self) -> Option<Open> {
        let open = self.open.take()?;
        let (ours, theirs) = (open.file.metadata().ok()?, std::fs::metadata(self.path()).ok()?);
        (ours.ino() == theirs.ino() && ours.dev() == theirs.dev()).then_some(open)
    }

    fn open(&self) -> io::Result<Open> {
        std::fs::create_dir_all(&self.folder)?;
        let file = OpenOptions::new().create(true).append(true).open(self.path())?;
        let about = file.metadata()?;
        let written = about.modified().ok().and_then(|at| Timestamp::try_from(at).ok()).unwrap_or_else(Timestamp::now);
        Ok(Open { file, size: about.len(), hour: self.hour(written) })
    }

    /// The file that a line of that hour and length goes to.
    fn file_for(&mut self, hour: &str, length: u64, now: Timestamp) -> io::Result<&mut Open> {
        let open = match self.still_open() {
            Some(open) => open,
            None => self.open()?,
        };
        let is_full = open.size > 0 && open.size + length > self.limits.size;
        let open = if is_full || (open.size > 0 && open.hour != hour) {
            rotate::move_away(&self.folder, NAME, &open.hour)?;
            rotate::prune(&self.folder, NAME, self.limits, &self.hour(now - self.limits.age))?;
            self.open()?
        } else {
            open
        };
        Ok(self.open.insert(Open { hour: hour.to_owned(), ..open }))
    }

    fn put(&mut self, line: &Line) -> io::Result<()> {
        let text = self.text_of(line);
        let (hour, length) = (self.hour(line.at), text.len() as u64);
        let open = self.file_for(&hour, length, line.at)?;
        if let Err(error) = open.file.write_all(text.as_bytes()) {
            // Half a line on a full disk would be followed by the whole one; what cannot be taken back stays.
            let _ = open.file.set_len(open.size);
            return Err(error);
        }
        open.size += length;
        Ok(())
    }
}

impl Sink for FileLog {
    fn key(&self) -> &'static str {
        FileLog::KEY
    }

    fn wants(&self, kind: Kind) -> bool {
        kind == Kind::Line
    }

    fn write(&mut self, records: &[Record]) -> Result<(), SinkError> {
        for (written, record) in records.iter().enumerate() {
            let Record::Line(line) = record else { continue };
            self.put(line).map_err(|error| {
                self.open = None;
                let reason = format!(
                    "{} cannot be written: {error}; check `logging.FileLogger.path`, its permissions and the free space",
                    self.path().display()
                );
                SinkError::down(reason).after(written)
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, ToSpan};

    use super::*;

    fn line(at: &str, text: &str) -> Record {
        Line { at: at.parse().unwrap(), ..Line::now(log::Level::Info, "policy", text) }.into()
    }

    fn log_in(folder: &std::path::Path) -> FileLog {
        FileLog { zone: TimeZone::UTC, ..FileLog::new(folder.to_owned(), true) }
    }

    fn names(folder: &std::path::Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_line_looks_as_it_did_and_each_hour_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("log");
        let mut log = log_in(&folder);
        let records = [line("2026-11-20T11:21:32.751Z", "one"), line("2026-11-20T12:00:00Z", "two")];
        log.write(&records).unwrap();
        assert_eq!(names(&folder), ["logfile", "logfile.2026-11-20_11"]);
        let old = std::fs::read_to_string(folder.join("logfile.2026-11-20_11")).unwrap();
        assert_eq!(old, "2026-11-20 11:21:32,751 - ⛽ Policy   20 one\n");
        let new = std::fs::read_to_string(folder.join("logfile")).unwrap();
        assert_eq!(new, "2026-11-20 12:00:00,000 - ⛽ Policy   20 two\n");
    }

    #[test]
    fn old_files_go_by_number_and_by_age() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log_in(folder.path());
        let begin: Timestamp = "2026-11-20T00:30:00Z".parse().unwrap();
        for hour in 0..40 {
            log.write(&[line(&(begin + hour.hours()).to_string(), "x")]).unwrap();
        }
        let names_now = names(folder.path());
        assert_eq!(names_now.len(), 25);
        assert_eq!(names_now[1], "logfile.2026-11-20_15");
        log.write(&[line("2026-12-20T00:00:00Z", "x")]).unwrap();
        assert_eq!(names(folder.path()), ["logfile"]);
    }

    #[test]
    fn a_file_that_is_full_makes_room_within_its_hour() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { size: 100, files: 3, age: SignedDuration::from_hours(24) };
        let mut log = FileLog { limits, ..log_in(folder.path()) };
        for minute in 10..20 {
            log.write(&[line(&format!("2026-11-20T11:{minute}:00Z"), "a line of some length")]).unwrap();
        }
        let kept = ["logfile", "logfile.2026-11-20_11.6", "logfile.2026-11-20_11.7", "logfile.2026-11-20_11.8"];
        assert_eq!(names(folder.path()), kept);
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log_in(folder.path());
        log.write(&[line("2026-11-20T11:00:00Z", "one")]).unwrap();
        std::fs::rename(folder.path().join("logfile"), folder.path().join("elsewhere")).unwrap();
        log.write(&[line("2026-11-20T11:00:01Z", "two")]).unwrap();
        assert!(std::fs::read_to_string(folder.path().join("logfile")).unwrap().ends_with("two\n"));
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_named_with_its_key() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut log = log_in(&file.path().join("log"));
        let error = log.write(&[line("2026-11-20T11:00:00Z", "x")]).unwrap_err();
        assert!(error.to_string().contains("`logging.FileLogger.path`"), "{error}");
    }
}

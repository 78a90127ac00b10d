//! Which files stay.

use std::io;
use std::path::Path;

use jiff::SignedDuration;

/// What the folder may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of one file.
    pub size: u64,
    /// Files beside the one that is written to.
    pub files: usize,
    /// Oldest hour that is kept.
    pub age: SignedDuration,
}

impl Limits {
    pub const USUAL: Limits = Limits { size: 4 * 1024 * 1024, files: 24, age: SignedDuration::from_hours(7 * 24) };
}

/// Gives the file its hour as a name; when there is one of that name, with the next number.
pub(crate) fn move_away(folder: &Path, name: &str, hour: &str) -> io::Result<()> {
    let newest = old_files(folder, name)?.into_iter().filter(|old| old.hour == hour).map(|old| old.number).max();
    let number = newest.map_or(0, |newest| newest + 1);
    std::fs::rename(folder.join(name), folder.join(Old { hour: hour.to_owned(), number }.name(name)))
}

/// Deletes files beyond the limits; `oldest` is the first hour that stays.
pub(crate) fn prune(folder: &Path, name: &str, limits: Limits, oldest: &str) -> io::Result<()> {
    let mut old = old_files(folder, name)?;
    old.sort();
    let too_many = old.len().saturating_sub(limits.files);
    for (index, old) in old.iter().enumerate() {
        if index < too_many || old.hour.as_str() < oldest {
            std::fs::remove_file(folder.join(old.name(name)))?;
        }
    }
    Ok(())
}

/// A file that was moved away: `<name>.<hour>` or `<name>.<hour>.<number>`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Old {
    hour: String,
    number: u32,
}

impl Old {
    fn parse(file: &str, name: &str) -> Option<Old> {
        let rest = file.strip_prefix(name)?.strip_prefix('.')?;
        let (hour, number) = match rest.split_once('.') {
            Some((hour, number)) => (hour, number.parse().ok()?),
            None => (rest, 0),
        };
        let is_hour =
            hour.len() == "2026-11-20_11".len() && hour.chars().all(|c| c.is_ascii_digit() || "-_".contains(c));
        is_hour.then(|| Old { hour: hour.to_owned(), number })
    }

    fn name(&self, name: &str) -> String {
        match self.number {
            0 => format!("{name}.{}", self.hour),
            number => format!("{name}.{}.{number}", self.hour),
        }
    }
}

fn old_files(folder: &Path, name: &str) -> io::Result<Vec<Old>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        // Names that are not text are not ours.
        found.extend(entry?.file_name().to_str().and_then(|file| Old::parse(file, name)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_taken_for_ours() {
        let old = |hour: &str, number| Some(Old { hour: hour.into(), number });
        for (file, expected) in [
            ("logfile.2026-11-20_11", old("2026-11-20_11", 0)),
            ("logfile.2026-11-20_11.12", old("2026-11-20_11", 12)),
            ("logfile", None),
            ("logfile.gz", None),
            ("logfile.2026-11-20_11.gz", None),
            ("notes.2026-11-20_11", None),
        ] {
            assert_eq!(Old::parse(file, "logfile"), expected, "{file}");
        }
    }
}

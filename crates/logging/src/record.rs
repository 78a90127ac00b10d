//! What is written down. Times are whole seconds since 1970 (UTC) unless a name says otherwise.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use log::Level;
use units::{Amps, PerPhase, Volts, WattHours, Watts};

/// One thing for sinks.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The state of a charging session; a later one with the same id replaces it.
    Session(Session),
    /// Generation and consumption at one moment.
    GreenEnergy(GreenEnergy),
    /// Counter and voltages of one charging point at one moment.
    SlaveStatus(SlaveStatus),
    /// What one charging point was offered and drew at one moment.
    SlavePower(SlavePower),
    /// A line of the log.
    Line(Line),
}

/// The kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Record::Session`].
    ChargeSessions,
    /// [`Record::GreenEnergy`].
    GreenEnergy,
    /// [`Record::SlaveStatus`].
    SlaveStatus,
    /// [`Record::SlavePower`].
    SlavePower,
    /// [`Record::Line`].
    Line,
}

/// A charging session: one row of `charge_sessions`.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The session's own key, unique for ever.
    pub id: String,
    /// The charging point as TWCManager spells it: four digits for a Gen 2 connector.
    pub evse: String,
    /// The car, when known.
    pub vin: Option<String>,
    /// When it began.
    pub started_at: i64,
    /// When it ended; `None` while it lasts.
    pub ended_at: Option<i64>,
    /// The device's counter at the start; where it has none, counted from zero.
    pub counter_start: WattHours,
    /// The device's counter now, by the same reckoning.
    pub counter: WattHours,
}

/// Generation and consumption: one row of `green_energy`.
#[derive(Debug, Clone, PartialEq)]
pub struct GreenEnergy {
    /// When.
    pub at: i64,
    /// Generation.
    pub generation: Watts,
    /// Consumption as the meters tell it.
    pub consumption: Watts,
    /// What all cars drew.
    pub cars: Watts,
}

/// Counter and voltages of one charging point: one row of `slave_status`.
#[derive(Debug, Clone, PartialEq)]
pub struct SlaveStatus {
    /// When.
    pub at: i64,
    /// The charging point as TWCManager spells it.
    pub evse: String,
    /// The device's counter.
    pub counter: WattHours,
    /// Voltage on each phase; zero where there is none, as TWCManager writes it.
    pub volts: PerPhase<Volts>,
}

/// What one charging point was offered and drew. No sink has a table for it; it shows as a line.
#[derive(Debug, Clone, PartialEq)]
pub struct SlavePower {
    /// When.
    pub at: i64,
    /// The charging point as TWCManager spells it.
    pub evse: String,
    /// Current that it was last told, per phase.
    pub offered: Option<Amps>,
    /// Current that flows, the highest phase.
    pub drawn: Option<Amps>,
}

/// A line of the log, without secrets (no code logs one) but with whatever else was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// When, to the millisecond.
    pub at: Timestamp,
    /// How serious.
    pub level: Level,
    /// The module that said it.
    pub target: String,
    /// What it said, fit for one line and for a terminal.
    pub text: String,
    /// The kind of record that it puts in words, if it does.
    pub about: Option<Kind>,
}

/// Kinds of records that a sink is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mute {
    /// Charging sessions.
    pub charge_sessions: bool,
    /// Generation and consumption.
    pub green_energy: bool,
    /// Power of each charging point.
    pub slave_power: bool,
    /// Counter and voltages of each charging point.
    pub slave_status: bool,
}

impl Record {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Record::Session(_) => Kind::ChargeSessions,
            Record::GreenEnergy(_) => Kind::GreenEnergy,
            Record::SlaveStatus(_) => Kind::SlaveStatus,
            Record::SlavePower(_) => Kind::SlavePower,
            Record::Line(_) => Kind::Line,
        }
    }
}

impl From<Line> for Record {
    fn from(line: Line) -> Record {
        Record::Line(line)
    }
}

impl Kind {
    /// The target of log lines that put records of this kind in words.
    #[must_use]
    pub const fn target(self) -> &'static str {
        match self {
            Kind::ChargeSessions => "record::charge_sessions",
            Kind::GreenEnergy => "record::green_energy",
            Kind::SlaveStatus => "record::slave_status",
            Kind::SlavePower => "record::slave_power",
            Kind::Line => "record::line",
        }
    }

    fn of_target(target: &str) -> Option<Kind> {
        [Kind::ChargeSessions, Kind::GreenEnergy, Kind::SlaveStatus, Kind::SlavePower]
            .into_iter()
            .find(|kind| kind.target() == target)
    }
}

impl Mute {
    /// Whether `record`, or the line that puts it in words, is left out.
    #[must_use]
    pub fn covers(&self, record: &Record) -> bool {
        let kind = match record {
            Record::Line(line) => line.about.unwrap_or(Kind::Line),
            record => record.kind(),
        };
        match kind {
            Kind::ChargeSessions => self.charge_sessions,
            Kind::GreenEnergy => self.green_energy,
            Kind::SlaveStatus => self.slave_status,
            Kind::SlavePower => self.slave_power,
            Kind::Line => false,
        }
    }
}

impl Line {
    /// A line said now.
    #[must_use]
    pub fn now(level: Level, target: &str, text: &str) -> Line {
        Line {
            at: Timestamp::now(),
            level,
            target: target.to_owned(),
            text: tame(text),
            about: Kind::of_target(target),
        }
    }
}

/// One line whatever was in it: further lines are indented, what could command a terminal is shown instead.
fn tame(text: &str) -> String {
    let mut tamed = String::with_capacity(text.len());
    for letter in text.trim_end().chars() {
        match letter {
            '\n' => tamed.push_str("\n    "),
            '\t' => tamed.push('\t'),
            letter if letter.is_control() => tamed.extend(letter.escape_default()),
            letter => tamed.push(letter),
        }
    }
    tamed
}

/// `YYYY-MM-DD HH:MM:SS` in the system's time zone.
#[must_use]
pub fn local_time(at: i64) -> String {
    time_in(at, TimeZone::system())
}

/// `YYYY-MM-DD HH:MM:SS` in UTC.
#[must_use]
pub fn utc_time(at: i64) -> String {
    time_in(at, TimeZone::UTC)
}

fn time_in(at: i64, zone: TimeZone) -> String {
    let at = Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A counter as TWCManager keeps it: whole kilowatt-hours, rounded down.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // `as` saturates for floats
pub fn whole_kwh(counter: WattHours) -> i64 {
    // A counter that was kept as a sum of floats may stand a hair below the whole number that it means.
    (counter.get() / 1000.0 + 1e-6).floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_command_a_terminal_nor_pretend_to_be_two() {
        let line = Line::now(Level::Info, "a", "one\x1b[2Jtwo\r\n2026 ERROR three\n");
        assert_eq!(line.text, "one\\u{1b}[2Jtwo\\r\n    2026 ERROR three");
    }

    #[test]
    fn lines_about_records_are_muted_with_them() {
        let about = |kind: Kind| Record::Line(Line::now(Level::Info, kind.target(), "x"));
        let mute = Mute { green_energy: true, ..Mute::default() };
        assert!(mute.covers(&about(Kind::GreenEnergy)));
        assert!(!mute.covers(&about(Kind::ChargeSessions)));
        assert!(!mute.covers(&about(Kind::Line)));
    }

    #[test]
    fn times_and_counters_are_written_as_before() {
        assert_eq!(utc_time(1_795_173_694), "2026-11-20 11:21:34");
        assert_eq!(whole_kwh(WattHours::saturating(8_123_999.0)), 8_123);
        assert_eq!(whole_kwh(WattHours::saturating(7.1 * 1000.0 * 10.0)), 71);
    }
}

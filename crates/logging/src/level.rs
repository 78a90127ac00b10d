//! TWCManager's numbers for levels: those of Python, with its own between 9 and 19.

use log::{Level, LevelFilter};

/// What `config.logLevel` lets through. 10 is its debug, 12 its raw traffic of the bus, 20 its info.
///
/// ```
/// use log::LevelFilter;
/// assert_eq!(logging::level_of(20), LevelFilter::Info);
/// assert_eq!(logging::level_of(12), LevelFilter::Trace);
/// ```
#[must_use]
pub fn level_of(number: u8) -> LevelFilter {
    match number {
        0..=12 => LevelFilter::Trace,
        13..=18 => LevelFilter::Debug,
        19..=20 => LevelFilter::Info,
        21..=30 => LevelFilter::Warn,
        31..=50 => LevelFilter::Error,
        _ => LevelFilter::Off,
    }
}

/// The number that stands in a line of the log. A line shows when its number is at least `config.logLevel`.
#[must_use]
pub fn number_of(level: Level) -> u8 {
    match level {
        Level::Error => 40,
        Level::Warn => 30,
        Level::Info => 20,
        Level::Debug => 18,
        Level::Trace => 12,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_when_its_number_is_at_least_the_level() {
        for number in 0..=40 {
            for level in Level::iter() {
                assert_eq!(level <= level_of(number), number_of(level) >= number, "{number} {level}");
            }
        }
        // There is nothing more serious than an error here, so what asks for those only gets these.
        assert_eq!(level_of(50), LevelFilter::Error);
        assert_eq!(level_of(60), LevelFilter::Off);
    }
}

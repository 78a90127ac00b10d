//! Turns any [`Ems`] into a program of its own that prints one JSON object a line.

use std::io::{self, Write};

use crate::{Ems, EmsErrorKind, Pace, Stop, WireReading};

/// Reads `ems` at its own pace and prints each reading on standard output, until its parent closes the pipe.
///
/// Errors of the source go to standard error, where the host logs them; the program keeps going.
///
/// # Errors
/// When standard output is gone for another reason than the parent's end.
///
/// ```no_run
/// # use twcmanager_ems::{Ems, EmsError, EmsReading, Stop, plugin};
/// # struct MyMeter;
/// # impl Ems for MyMeter {
/// #     fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> { Ok(EmsReading::now()) }
/// # }
/// fn main() -> std::io::Result<()> {
///     plugin::run(MyMeter)
/// }
/// ```
pub fn run(ems: impl Ems) -> io::Result<()> {
    print_readings(ems, &Stop::never(), &mut io::stdout().lock())
}

fn print_readings(mut ems: impl Ems, stop: &Stop, output: &mut impl Write) -> io::Result<()> {
    /// Least pause after a failure, so that a broken source does not spin.
    const AFTER_FAILURE: std::time::Duration = std::time::Duration::from_secs(5);
    loop {
        let pause = match ems.read(stop) {
            Ok(reading) => {
                let line = serde_json::to_string(&WireReading::from(&reading))?;
                match writeln!(output, "{line}").and_then(|()| output.flush()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    result => result?,
                }
                match ems.pace() {
                    Pace::Every(interval) => interval,
                    Pace::Pushed => std::time::Duration::ZERO,
                }
            }
            Err(error) if error.kind() == EmsErrorKind::Stopped => return Ok(()),
            Err(error) => {
                eprintln!("{error}");
                error.retry_after().unwrap_or(AFTER_FAILURE).max(AFTER_FAILURE)
            }
        };
        if stop.wait(pause) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EmsError, EmsReading};
    use units::Watts;

    struct Thrice(u32);

    impl Ems for Thrice {
        fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
            self.0 += 1;
            if self.0 > 3 {
                return Err(EmsError::stopped());
            }
            Ok(EmsReading { generation: Some(Watts::new(f64::from(self.0))?), ..EmsReading::now() })
        }

        fn pace(&self) -> Pace {
            Pace::Pushed
        }
    }

    #[test]
    fn each_reading_is_one_line_of_json() {
        let mut output = Vec::new();
        print_readings(Thrice(0), &Stop::never(), &mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        let lines: Vec<WireReading> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.iter().map(|line| line.generation_w).collect::<Vec<_>>(), [Some(1.0), Some(2.0), Some(3.0)]);
    }
}

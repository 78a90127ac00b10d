//! The journal as the HTTP interface asks it.

use std::path::PathBuf;

use control_http::{Flows, History};
use journal::{ReadingSample, Store};

/// Asks the journal, with a connection of its own for each question: the thread that writes is never held up.
#[derive(Debug)]
pub struct Past {
    /// Where the journal is.
    pub path: PathBuf,
}

impl History for Past {
    fn flows(&self, from: f64, to: f64) -> Result<Vec<Flows>, String> {
        let ask = || Store::open_for_reading(&self.path)?.readings("", millis(from), millis(to));
        Ok(ask().map_err(|error| error.to_string())?.into_iter().map(flows).collect())
    }
}

fn flows(sample: ReadingSample) -> Flows {
    Flows {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of this age of the world are far below 2^52")]
        at: sample.at_ms as f64 / 1000.0,
        generation_w: sample.generation_w,
        consumption_w: sample.consumption_w,
        cars_w: sample.cars_w,
    }
}

fn millis(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a float is cast saturating")]
    let millis = (seconds * 1000.0).round() as i64;
    millis
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::Entry;

    #[test]
    fn the_flows_of_the_whole_site_are_found_and_those_of_sources_are_not() {
        let folder = std::env::temp_dir().join(format!("twcmanager-past-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let past = Past { path: folder.join("twcmanager.db") };
        assert!(past.flows(0.0, 1.0).unwrap_err().contains("twcmanager.db"), "there is none yet");
        let mut store = Store::open(&past.path, 0).unwrap().store;
        let sample = |at_ms, source: &str| {
            Entry::Reading(ReadingSample {
                at_ms,
                source: source.into(),
                cars_w: Some(5.0),
                ..ReadingSample::default()
            })
        };
        store.write(&[sample(1500, ""), sample(1600, "meter"), sample(9000, "")]).unwrap();
        assert_eq!(past.flows(1.0, 9.0).unwrap(), [Flows { at: 1.5, cars_w: Some(5.0), ..Flows::default() }]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

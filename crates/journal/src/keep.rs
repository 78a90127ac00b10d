//! How long samples are kept, so that ten years of one household stay under 100 MB.
//!
//! | age | one sample every | rows of one series |
//! | --- | --- | --- |
//! | up to 2 days | 10 s at most, see `thread.rs` | 17,000 in all |
//! | up to 30 days | 1 min | 40,000 in all |
//! | up to 1 year | 15 min | 32,000 in all |
//! | beyond | 1 h | 8,800 a year |
//!
//! Counters get thinner sooner: 15 min, 1 h, 1 day.
//!
//! A row takes about 110 bytes, its index included. Four series and two counters (two sources, two charging points that charge day and
//! night) come to some 75 MB in ten years; a test below writes them. Sessions are kept for ever: a thousand a year are
//! 0.2 MB.

use rusqlite::{Connection, params};

const DAY_MS: i64 = 86_400_000;

/// Older than the first, at most one row in each stretch of the second (both in milliseconds).
const STEPS: [(i64, i64); 3] = [(2 * DAY_MS, 60_000), (30 * DAY_MS, 900_000), (365 * DAY_MS, 3_600_000)];

/// The same for counters: they go on counting between two samples, so that fewer tell as much.
const COUNTER_STEPS: [(i64, i64); 3] = [(2 * DAY_MS, 900_000), (30 * DAY_MS, 3_600_000), (365 * DAY_MS, DAY_MS)];

/// In each stretch of this many milliseconds one reading or offer of that age is kept; 0 where all are.
#[must_use]
pub fn stretch_ms(age_ms: i64) -> i64 {
    stretch_of(&STEPS, age_ms)
}

/// In each stretch of this many milliseconds one counter of that age is kept; 0 where all are.
#[must_use]
pub fn counter_stretch_ms(age_ms: i64) -> i64 {
    stretch_of(&COUNTER_STEPS, age_ms)
}

fn stretch_of(steps: &[(i64, i64)], age_ms: i64) -> i64 {
    steps.iter().rev().find(|(age, _)| age_ms >= *age).map_or(0, |(_, stretch)| *stretch)
}

/// Deletes what is too dense for its age, keeping the first row of each stretch.
pub(crate) fn thin(connection: &Connection, now_ms: i64) -> rusqlite::Result<usize> {
    let mut removed = 0;
    for (table, series, steps) in
        [("readings", "source", STEPS), ("offers", "evse", STEPS), ("counters", "evse", COUNTER_STEPS)]
    {
        for (index, (age, stretch)) in steps.iter().enumerate() {
            let newest = now_ms - age;
            let oldest = steps.get(index + 1).map_or(0, |(next_age, _)| now_ms - next_age);
            // Table and column names are ours; values are bound.
            let sql = format!(
                "DELETE FROM {table} WHERE at_ms >= ?1 AND at_ms < ?2 AND rowid NOT IN (
                    SELECT min(rowid) FROM {table} WHERE at_ms >= ?1 AND at_ms < ?2 GROUP BY {series}, at_ms / ?3)"
            );
            removed += connection.execute(&sql, params![oldest, newest, stretch])?;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::{CounterSample, Entry, OfferSample, ReadingSample, SessionRecord};

    #[test]
    fn what_is_kept_of_an_age_is_told() {
        let stretches = [1, 3, 31, 400].map(|days| stretch_ms(days * DAY_MS));
        assert_eq!(stretches, [0, 60_000, 900_000, 3_600_000]);
        assert_eq!([1, 3, 31, 400].map(|days| counter_stretch_ms(days * DAY_MS)), [0, 900_000, 3_600_000, DAY_MS]);
    }

    #[test]
    fn old_samples_are_thinned_and_new_ones_kept() {
        let mut store = Store::in_memory().unwrap();
        let now = 1_000 * DAY_MS;
        let at = |at_ms| Entry::Reading(ReadingSample { at_ms, source: "m".into(), ..ReadingSample::default() });
        let yesterday = (0..60).map(|n| at(now - DAY_MS + n * 10_000));
        let last_week = (0..60).map(|n| at(now - 7 * DAY_MS + n * 10_000));
        store.write(&yesterday.chain(last_week).collect::<Vec<_>>()).unwrap();
        store.thin(now).unwrap();
        assert_eq!(store.readings("m", now - 2 * DAY_MS, now).unwrap().len(), 60);
        assert_eq!(store.readings("m", 0, now - 2 * DAY_MS).unwrap().len(), 10);
    }

    /// A household with two sources and two charging points that are busy day and night. What ten years of thinning leave of
    /// that is written as it is left; then a day goes by with samples coming and being thinned.
    #[test]
    fn ten_years_of_one_household_stay_under_100_mb() {
        const SECOND_MS: i64 = 1_000;
        const LIMIT_BYTES: u64 = 100_000_000;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("twcmanager.db");
        let mut store = Store::open(&path, 0).unwrap().store;
        let write = |store: &mut Store, now: i64, from: i64, to: i64, every: i64| {
            let entries = |at_ms: i64| {
                let reading = |source: &str| {
                    Entry::Reading(ReadingSample {
                        at_ms,
                        source: source.into(),
                        generation_w: Some(4321.5),
                        consumption_w: Some(1234.5),
                        grid_w: Some(-3087.25),
                        battery_w: Some(150.5),
                        battery_soc: Some(55.5),
                        cars_w: Some(7360.5),
                    })
                };
                let offer = |evse: &str| {
                    Entry::Offer(OfferSample {
                        at_ms,
                        evse: evse.into(),
                        offered_a: Some(16.25),
                        drawn_a: Some(15.75),
                        power_w: Some(3622.5),
                        reason: "surplus".into(),
                    })
                };
                let counter = |evse: &str| {
                    let volts = [Some(231.5), Some(230.5), Some(232.5)];
                    Entry::Counter(CounterSample { at_ms, evse: evse.into(), counter_wh: 8_123_456.5, volts })
                };
                // Counters come once a minute, and are thinned as `COUNTER_STEPS` says.
                let stretch = [60_000, counter_stretch_ms(now - at_ms)].into_iter().max().unwrap_or_default();
                let counters = (at_ms % stretch == 0).then(|| [counter("gen2-4142"), counter("gen2-3a7c")]);
                [reading("SolarEdge"), reading("HomeWizard"), offer("gen2-4142"), offer("gen2-3a7c")]
                    .into_iter()
                    .chain(counters.into_iter().flatten())
            };
            let times: Vec<_> = (from / every..to / every).map(|n| n * every).collect();
            for some in times.chunks(20_000) {
                store.write(&some.iter().copied().flat_map(entries).collect::<Vec<_>>()).unwrap();
            }
        };
        let begin = 20_000 * DAY_MS;
        let mut now = begin + 3_652 * DAY_MS;
        let ages = [(3_652, 365, 3_600), (365, 30, 900), (30, 2, 60), (2, 0, 10)];
        for (older, newer, every_s) in ages {
            write(&mut store, now, now - older * DAY_MS, now - newer * DAY_MS, every_s * SECOND_MS);
        }
        let sessions = (0..10_000).map(|n| {
            Entry::Session(SessionRecord {
                id: format!("{}-gen2-4142", begin + n * DAY_MS / 3),
                evse: "gen2-4142".into(),
                vin: Some("5YJ3E1EA8KF000001".into()),
                started_ms: begin + n * DAY_MS / 3,
                ended_ms: Some(begin + n * DAY_MS / 3 + 1),
                ..SessionRecord::default()
            })
        });
        store.write(&sessions.collect::<Vec<_>>()).unwrap();
        for _ in 0..4 {
            write(&mut store, now, now, now + DAY_MS / 4, 10 * SECOND_MS);
            now += DAY_MS / 4;
            let removed = store.thin(now).unwrap();
            // Of four series a quarter of a day gets thinner at each step: 2,160 to 360 to 24 to 6 rows; of two more 360 to
            // 24 to 6 to a quarter.
            assert!((4 * 2_100 + 2 * 340..4 * 2_200 + 2 * 380).contains(&removed), "{removed}");
        }
        let bytes: u64 =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes < LIMIT_BYTES, "{bytes}");
        assert_eq!(store.sessions(0, i64::MAX).unwrap().len(), 10_000);
        println!("ten years take {bytes} bytes");
    }
}

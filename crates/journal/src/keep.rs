//! How long samples are kept, so that ten years of one household stay under 100 MB.
//!
//! | age | one sample every | rows a year and series |
//! | --- | --- | --- |
//! | up to 2 days | 10 s at most | (17,000 in all) |
//! | up to 60 days | 1 min | (83,000 in all) |
//! | up to 2 years | 15 min | 35,000 |
//! | beyond | 1 h | 8,800 |
//!
//! At about 60 bytes a row, four series for ten years come to some 20 MB. Sessions are kept for ever: a thousand a year
//! are 0.2 MB.

use rusqlite::{Connection, params};

const DAY_MS: i64 = 86_400_000;

/// Older than the first, at most one row in each stretch of the second (both in milliseconds).
const STEPS: [(i64, i64); 3] = [(2 * DAY_MS, 60_000), (60 * DAY_MS, 900_000), (730 * DAY_MS, 3_600_000)];

/// Deletes what is too dense for its age, keeping the first row of each stretch.
pub(crate) fn thin(connection: &Connection, now_ms: i64) -> rusqlite::Result<usize> {
    let mut removed = 0;
    for (table, series) in [("readings", "source"), ("offers", "evse")] {
        for (index, (age, stretch)) in STEPS.iter().enumerate() {
            let newest = now_ms - age;
            let oldest = STEPS.get(index + 1).map_or(0, |(next_age, _)| now_ms - next_age);
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
    use crate::{Entry, ReadingSample};

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
}

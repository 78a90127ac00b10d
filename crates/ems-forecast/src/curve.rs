//! Power over time.

use serde::{Deserialize, Serialize};

/// Longest gap between two points that is bridged, unless both are zero (a night).
const LONGEST_GAP_S: i64 = 3 * 3600;
/// Most points that are kept: two weeks of quarter hours.
const MOST_POINTS: usize = 1400;

/// What a point stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// The power at that moment: between two points lies a straight line.
    Instant,
    /// The mean of the time since the point before.
    MeanBefore,
}

/// Expected power over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    shape: Shape,
    /// Time and watts, by rising time; unknown is `None`.
    points: Vec<(i64, Option<f64>)>,
}

impl Curve {
    /// From points in any order. Of two at the same time, the later one counts.
    #[must_use]
    pub fn new(shape: Shape, points: impl IntoIterator<Item = (i64, Option<f64>)>) -> Self {
        let sane = |watts: f64| (0.0..=1e9).contains(&watts);
        let sorted: std::collections::BTreeMap<i64, Option<f64>> =
            points.into_iter().map(|(time, watts)| (time, watts.filter(|watts| sane(*watts)))).collect();
        Curve { shape, points: sorted.into_iter().take(MOST_POINTS).collect() }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The watts at a moment; `None` before the first and after the last point, and where the service did not tell.
    #[must_use]
    pub fn at(&self, time: i64) -> Option<f64> {
        let next = self.points.partition_point(|(at, _)| *at < time);
        let &(to, after) = self.points.get(next)?;
        if to == time {
            return after;
        }
        let Some(&(from, before)) = next.checked_sub(1).and_then(|index| self.points.get(index)) else {
            // The first mean reaches as far back as the second.
            let step = self.points.get(1)?.0.saturating_sub(to).min(LONGEST_GAP_S);
            return after.filter(|_| self.shape == Shape::MeanBefore && time > to.saturating_sub(step));
        };
        let length = to.saturating_sub(from);
        match self.shape {
            Shape::MeanBefore => after.filter(|_| length <= LONGEST_GAP_S),
            Shape::Instant => {
                let (before, after) = (before?, after?);
                if length > LONGEST_GAP_S && (before > 0.0 || after > 0.0) {
                    return None;
                }
                // Both fit into a float: the gap is short, or both ends are zero.
                #[allow(clippy::cast_precision_loss)]
                let share = time.saturating_sub(from) as f64 / length as f64;
                Some(before + (after - before) * share)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3600;

    #[test]
    fn moments_lie_on_straight_lines() {
        let points =
            [(10 * HOUR, Some(869.0)), (11 * HOUR, Some(773.0)), (18 * HOUR, Some(0.0)), (30 * HOUR, Some(0.0))];
        let curve = Curve::new(Shape::Instant, points);
        assert_eq!(curve.at(10 * HOUR), Some(869.0));
        assert_eq!(curve.at(10 * HOUR + 1800), Some(821.0));
        assert_eq!(curve.at(14 * HOUR), None, "a hole of seven hours");
        assert_eq!(curve.at(24 * HOUR), Some(0.0), "a night");
        assert_eq!((curve.at(0), curve.at(31 * HOUR)), (None, None));
    }

    #[test]
    fn means_hold_for_the_time_before() {
        let curve = Curve::new(Shape::MeanBefore, [(HOUR, Some(5.0)), (2 * HOUR, Some(7.0)), (3 * HOUR, None)]);
        assert_eq!((curve.at(0), curve.at(1), curve.at(HOUR)), (None, Some(5.0), Some(5.0)));
        assert_eq!((curve.at(HOUR + 1), curve.at(2 * HOUR)), (Some(7.0), Some(7.0)));
        assert_eq!(curve.at(2 * HOUR + 1), None);
    }

    proptest! {
        #[test]
        fn any_points_give_sane_power(points in proptest::collection::vec((any::<i64>(), proptest::option::of(any::<f64>())), 0..20), time in any::<i64>(), pick in any::<proptest::sample::Index>()) {
            for shape in [Shape::Instant, Shape::MeanBefore] {
                let curve = Curve::new(shape, points.clone());
                let times = [Some(time), (!points.is_empty()).then(|| pick.get(&points).0)];
                for time in times.into_iter().flatten() {
                    prop_assert!(curve.at(time).is_none_or(|watts| (0.0..=1e9).contains(&watts)));
                }
            }
        }
    }
}

//! Medians, spreads and percentiles.

use serde::Serialize;

/// The median of several rounds, and their spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The median; for an even number of values, the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// If the rounds of a figure differ by more than this share of its median, the figure is unsteady.
pub const STEADY: f64 = 0.25;

impl Spread {
    /// Whether the largest and the smallest value differ by at most [`STEADY`] of the median.
    pub fn is_steady(self) -> bool {
        self.max - self.min <= STEADY * self.median.abs()
    }

    /// The spread of these values; `None` without values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, min, max })
    }
}

/// The percentile: the smallest value that is not less than this share (0 to 1) of the values; 0 without values. Sorts them.
pub fn percentile(values: &mut [u64], share: f64) -> u64 {
    values.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Spread, percentile};

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn rounds_that_lie_far_apart_are_unsteady() {
        assert!(Spread::of([9.0, 10.0, 11.4]).is_some_and(Spread::is_steady));
        assert!(!Spread::of([9.0, 10.0, 11.6]).is_some_and(Spread::is_steady));
        assert!(Spread::of([0.0, 0.0]).is_some_and(Spread::is_steady));
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let mut values: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut values, 0.5), 50);
        assert_eq!(percentile(&mut values, 0.99), 99);
        assert_eq!(percentile(&mut [], 0.5), 0);
    }
}

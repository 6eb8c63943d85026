//! Measured figures and their targets.

use std::collections::BTreeMap;

/// One kind of number that a round measures. To add one, add a constant; the table and the JSON need no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Figure {
    /// Its name with its unit: `server µs/op`.
    pub name: &'static str,
    /// How many decimals the table shows.
    pub decimals: usize,
    /// Whether a smaller number is better.
    pub less_is_better: bool,
}

impl Figure {
    /// A figure whose smaller values are better.
    pub const fn new(name: &'static str, decimals: usize) -> Self {
        Self { name, decimals, less_is_better: true }
    }

    /// A figure whose larger values are better.
    pub const fn more_is_better(name: &'static str, decimals: usize) -> Self {
        Self { name, decimals, less_is_better: false }
    }
}

/// Operations per second of wall time.
pub const PER_SECOND: Figure = Figure::more_is_better("per second", 0);
/// Microseconds of CPU that the server process spent per operation: all its threads and the children that it has waited for.
pub const SERVER_MICROS: Figure = Figure::new("server µs/op", 2);
/// Microseconds of CPU that the whole bench process spent per operation.
pub const CLIENT_MICROS: Figure = Figure::new("client µs/op", 2);
/// Commands that the server executed per operation; a script counts as one and each call inside it as one more.
pub const COMMANDS: Figure = Figure::new("commands/op", 2);
/// Bytes that the server received and sent per operation.
pub const BYTES: Figure = Figure::new("bytes/op", 0);
/// Commands that the client sends per operation; those that scripts call are not sent. Counted in a pass of its own.
pub const SENT: Figure = Figure::new("sent/op", 2);
/// How much of one core the server used, in percent of the wall time. Its commands run on one core.
pub const SERVER_BUSY: Figure = Figure::more_is_better("server busy %", 0);
/// The median of a latency.
pub const P50: Figure = Figure::new("p50 ms", 3);
/// The 99th percentile of a latency.
pub const P99: Figure = Figure::new("p99 ms", 3);

/// The numbers of one round of one side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample(pub BTreeMap<Figure, f64>);

impl Sample {
    /// With one more number.
    #[must_use]
    pub fn with(mut self, figure: Figure, value: f64) -> Self {
        self.0.insert(figure, value);
        self
    }
}

/// The limit of a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// At most this many times the figure of this side.
    AtMostTimes(f64, &'static str),
    /// At least this many times the figure of this side.
    AtLeastTimes(f64, &'static str),
}

impl Bound {
    /// The side that it compares with.
    pub fn reference(self) -> Option<&'static str> {
        match self {
            Bound::AtMost(_) | Bound::AtLeast(_) => None,
            Bound::AtMostTimes(_, side) | Bound::AtLeastTimes(_, side) => Some(side),
        }
    }

    /// Whether less is better.
    pub fn is_upper(self) -> bool {
        matches!(self, Bound::AtMost(_) | Bound::AtMostTimes(..))
    }

    /// The limit itself: a value, or a ratio.
    pub fn limit(self) -> f64 {
        match self {
            Bound::AtMost(limit)
            | Bound::AtLeast(limit)
            | Bound::AtMostTimes(limit, _)
            | Bound::AtLeastTimes(limit, _) => limit,
        }
    }

    /// Whether an exact value, or an exact ratio, meets it.
    pub fn is_met(self, measured: f64) -> bool {
        if self.is_upper() { measured <= self.limit() } else { measured >= self.limit() }
    }
}

/// A target: a figure and its limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// The figure of this library's side.
    pub figure: Figure,
    /// Its limit.
    pub bound: Bound,
}

impl Target {
    /// A target.
    pub const fn new(figure: Figure, bound: Bound) -> Self {
        Self { figure, bound }
    }
}

/// Rounds to this many decimals, never in this library's favour: up if less is better, otherwise down.
pub fn rounded_against_us(value: f64, decimals: usize, less_is_better: bool) -> f64 {
    let scale = 10_f64.powi(i32::try_from(decimals).unwrap_or(0));
    let scaled = value * scale;
    // do not round up a value that differs from a round one only in the last bits of its binary form
    let nearest = scaled.round();
    if (scaled - nearest).abs() <= scaled.abs() * 1e-12 {
        return nearest / scale;
    }
    (if less_is_better { scaled.ceil() } else { scaled.floor() }) / scale
}

#[cfg(test)]
mod tests {
    use super::{Bound, rounded_against_us};

    #[test]
    fn no_ratio_is_rounded_in_our_favour() {
        assert_eq!(rounded_against_us(1.501, 2, true), 1.51);
        assert_eq!(rounded_against_us(0.599, 2, false), 0.59);
        assert_eq!(rounded_against_us(1.5, 2, true), 1.5);
        assert_eq!(rounded_against_us(0.6, 1, false), 0.6);
    }

    #[test]
    fn a_bound_compares_exact_values() {
        assert!(!Bound::AtMostTimes(1.5, "floor").is_met(1.500_001));
        assert!(Bound::AtLeast(50_000.0).is_met(50_000.0));
    }
}

//! How many dead and completed jobs are kept.

use std::time::Duration;

use store_core::{Retention, Role};

use super::Reader;
use super::value::number;
use crate::variable::{
    RETAIN_COMPLETED_BYTES, RETAIN_COMPLETED_COUNT, RETAIN_DEAD_BYTES, RETAIN_DEAD_COUNT, RETAIN_DEAD_FOR,
};

const DAY: u64 = 24 * 3600;

/// What the variables say about retention. A variable that is not set is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RetentionVariables {
    dead_for: Option<Duration>,
    dead_count: Option<u64>,
    dead_bytes: Option<u64>,
    completed_count: Option<u64>,
    completed_bytes: Option<u64>,
}

impl RetentionVariables {
    /// `retention`, with the values of the variables that are set.
    pub(crate) fn over(&self, retention: Retention) -> Retention {
        retention
            .with_dead_for(self.dead_for.unwrap_or(retention.dead_for))
            .with_dead_count(self.dead_count.unwrap_or(retention.dead_count))
            .with_dead_bytes(self.dead_bytes.unwrap_or(retention.dead_bytes))
            .with_completed_count(self.completed_count.unwrap_or(retention.completed_count))
            .with_completed_bytes(self.completed_bytes.unwrap_or(retention.completed_bytes))
    }
}

impl Reader<'_> {
    pub(super) fn retention(&mut self) -> RetentionVariables {
        RetentionVariables {
            dead_for: self.age(RETAIN_DEAD_FOR),
            dead_count: self.count(RETAIN_DEAD_COUNT),
            dead_bytes: self.bytes(RETAIN_DEAD_BYTES),
            completed_count: self.count(RETAIN_COMPLETED_COUNT),
            completed_bytes: self.bytes(RETAIN_COMPLETED_BYTES),
        }
    }

    fn age(&mut self, name: &str) -> Option<Duration> {
        let range = Duration::from_secs(1)..=Duration::from_secs(366 * DAY);
        let value = age(&self.environment.get(name)?).filter(|value| range.contains(value));
        self.checked(value, name, Some(Role::State), "a time from 1s to 366d, written as 90s, 12h or 30d")
    }

    fn count(&mut self, name: &str) -> Option<u64> {
        let value = number(&self.environment.get(name)?).filter(|count| (1..=10_000_000).contains(count));
        self.checked(value, name, Some(Role::State), "a number from 1 to 10000000").map(u64::from)
    }

    fn bytes(&mut self, name: &str) -> Option<u64> {
        let value = bytes(&self.environment.get(name)?).filter(|bytes| (1 << 10..=1 << 40).contains(bytes));
        self.checked(value, name, Some(Role::State), "a size from 1KiB to 1024GiB, written as 64KiB, 256MiB or 2GiB")
    }
}

/// A whole number of seconds, hours or days.
fn age(text: &str) -> Option<Duration> {
    let (digits, unit) = [("s", 1), ("h", 3600), ("d", DAY)]
        .into_iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    number(digits).map(|count| Duration::from_secs(u64::from(count) * unit))
}

/// A whole number of KiB, MiB or GiB.
fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = [("KiB", 10), ("MiB", 20), ("GiB", 30)]
        .into_iter()
        .find_map(|(suffix, shift)| Some((text.strip_suffix(suffix)?, shift)))?;
    number(digits).map(|count| u64::from(count) << shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variable::default_of;

    #[test]
    fn ages_and_sizes_have_a_unit() {
        assert_eq!(age("90s"), Some(Duration::from_secs(90)));
        assert_eq!(age("12h"), Some(Duration::from_secs(12 * 3600)));
        assert_eq!((bytes("64KiB"), bytes("2GiB")), (Some(64 << 10), Some(2 << 30)));
        for text in ["5", "s", "5m", "100ms", "-1s", "1.5h", "256MB", "256 MiB", "MiB", ""] {
            assert_eq!((age(text), bytes(text)), (None, None), "{text}");
        }
    }

    #[test]
    fn the_defaults_of_the_table_are_those_of_the_code() {
        let retention = Retention::default();
        let of = |name: &str| default_of(name).unwrap_or_default();
        assert_eq!(age(of(RETAIN_DEAD_FOR)), Some(retention.dead_for));
        for (name, count) in
            [(RETAIN_DEAD_COUNT, retention.dead_count), (RETAIN_COMPLETED_COUNT, retention.completed_count)]
        {
            assert_eq!(number(of(name)).map(u64::from), Some(count));
        }
        for (name, most) in
            [(RETAIN_DEAD_BYTES, retention.dead_bytes), (RETAIN_COMPLETED_BYTES, retention.completed_bytes)]
        {
            assert_eq!(bytes(of(name)), Some(most));
        }
    }
}

//! Numbers and durations.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use store_core::Role;

use super::Reader;
use crate::{Code, Finding};

/// Digits only: the standard library's parser also accepts a sign.
pub(super) fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A duration in the form of the variables, a whole number and its unit: `100ms` or `5s`. `None` for anything else.
///
/// ```
/// use std::time::Duration;
/// use twinstore::config::parse_duration;
///
/// assert_eq!(parse_duration("100ms"), Some(Duration::from_millis(100)));
/// assert_eq!(parse_duration("5 s"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(digits) => number(digits).map(|count| Duration::from_millis(count.into())),
        None => text.strip_suffix('s').and_then(number).map(|count| Duration::from_secs(count.into())),
    }
}

impl Reader<'_> {
    pub(super) fn number(&mut self, name: &str, role: Option<Role>, range: RangeInclusive<u32>) -> Option<u32> {
        let value = number(&self.value(name)?).filter(|number| range.contains(number));
        self.checked(value, name, role, format_args!("a number from {} to {}", range.start(), range.end()))
    }

    pub(super) fn duration(&mut self, name: &str, role: Role) -> Option<Duration> {
        let range = Duration::from_millis(10)..=Duration::from_secs(60);
        let value = parse_duration(&self.value(name)?).filter(|value| range.contains(value));
        self.checked(value, name, Some(role), "a duration from 10ms to 60s, written as 100ms or 5s")
    }

    pub(super) fn checked<T>(
        &mut self,
        value: Option<T>,
        name: &str,
        role: Option<Role>,
        expected: impl Display,
    ) -> Option<T> {
        if value.is_none() {
            self.broken(Finding::new(Code::ConfInvalid, role, format!("{name} is not {expected}")));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, number, parse_duration};

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse_duration("5s"), Some(Duration::from_secs(5)));
        for text in ["5", "s", "ms", "-1s", "1.5s", "5 s", "5m"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!((number("+1"), number(""), number("7")), (None, None, Some(7)));
    }
}

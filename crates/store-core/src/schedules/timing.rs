//! When a schedule fires.

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use jiff::tz::TimeZone;

use crate::Timestamp;

/// How many times a walk over a cron expression visits at most. A longer one continues from its end, backwards.
const MAX_STEPS: usize = 10_000;

/// The recurring times of a schedule. `PartialEq` and `Display` are those of its stored text.
#[derive(Clone)]
pub(super) enum Timing {
    /// `anchor` and every `interval` after and before it, in ms.
    Every { interval: u64, anchor: u64 },
    /// The wall clock of a time zone.
    Cron { expression: String, cron: Box<Cron>, zone: TimeZone, zone_name: String },
}

impl Timing {
    /// # Errors
    /// What is wrong with the expression or the zone.
    pub(super) fn cron(expression: &str, zone_name: &str) -> Result<Self, String> {
        if expression.len() > 256 || expression.chars().any(char::is_control) {
            return Err("a cron expression has at most 256 bytes and no control characters".to_owned());
        }
        let cron =
            Cron::from_str(expression).map_err(|error| format!("the cron expression {expression:?}: {error}"))?;
        let is_name = !zone_name.is_empty() && zone_name.bytes().all(|byte| byte.is_ascii_graphic());
        let zone = is_name.then(|| TimeZone::get(zone_name).ok()).flatten();
        let zone = zone.ok_or_else(|| format!("{zone_name:?} is no time zone of the IANA database"))?;
        let zone_name = zone.iana_name().unwrap_or(zone_name).to_owned();
        let timing = Self::Cron { expression: expression.trim().to_owned(), cron: Box::new(cron), zone, zone_name };
        match timing.next_after(Timestamp::from_millis(0)) {
            Some(_) => Ok(timing),
            None => Err(format!("the cron expression {expression:?} matches no time since 1970")),
        }
    }

    /// From its stored text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(' ')?;
        let (first, second) = rest.split_once(' ')?;
        match kind {
            "every" => {
                let interval = first.parse().ok().filter(|&interval| interval > 0)?;
                Some(Self::Every { interval, anchor: second.parse().ok()? })
            }
            "cron" => Self::cron(second, first).ok(),
            _ => None,
        }
    }

    /// The first time after `time`. `None` if there is none: the expression names years, and all have passed.
    pub(super) fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every { interval, anchor } => {
                let phase = anchor % interval;
                let time = time.as_millis();
                let next = match time.checked_sub(phase) {
                    Some(since) => phase.checked_add((since / interval).checked_add(1)?.checked_mul(*interval)?)?,
                    None => phase,
                };
                Some(Timestamp::from_millis(next))
            }
            Self::Cron { cron, zone, .. } => {
                let mut from = time;
                // An occurrence is strictly later: the search has whole seconds.
                for _ in 0..3 {
                    let found = cron.find_next_occurrence(&zoned(from, zone)?, false).ok()?;
                    let found = Timestamp::from_millis(u64::try_from(found.timestamp().as_millisecond()).ok()?);
                    if found > time {
                        return Some(found);
                    }
                    from = from.after(std::time::Duration::from_secs(1));
                }
                None
            }
        }
    }

    /// The times after `since` up to and including `now`: the last `most` of them, in order, and how many there are. Of more than
    /// [`MAX_STEPS`] times of a cron expression, only so many are counted.
    pub(super) fn between(&self, since: Timestamp, now: Timestamp, most: usize) -> (Vec<Timestamp>, u64) {
        match self {
            Self::Every { interval, .. } => {
                let Some(first) = self.next_after(since).filter(|first| *first <= now) else { return (Vec::new(), 0) };
                let count = (now.as_millis() - first.as_millis()) / interval + 1;
                let skipped = count.saturating_sub(most as u64);
                let at = |index| Timestamp::from_millis(first.as_millis() + index * interval);
                ((skipped..count).map(at).collect(), count)
            }
            Self::Cron { .. } => {
                let (mut times, mut count, mut time) = (std::collections::VecDeque::new(), 0, since);
                while let Some(next) = self.next_after(time).filter(|next| *next <= now) {
                    if count == MAX_STEPS as u64 {
                        return (self.before(since, now, most), count);
                    }
                    if times.len() == most {
                        times.pop_front();
                    }
                    times.push_back(next);
                    (count, time) = (count + 1, next);
                }
                (times.into(), count)
            }
        }
    }

    /// The last times of a cron expression after `since` up to and including `now`, in order.
    fn before(&self, since: Timestamp, now: Timestamp, most: usize) -> Vec<Timestamp> {
        let Self::Cron { cron, zone, .. } = self else { return Vec::new() };
        let (mut times, mut from) = (Vec::with_capacity(most), zoned(now, zone));
        while let Some(found) = from.as_ref().and_then(|from| {
            let is_first = times.is_empty();
            cron.find_previous_occurrence(from, is_first).ok()
        }) {
            let millis = u64::try_from(found.timestamp().as_millisecond()).unwrap_or_default();
            if times.len() == most || millis <= since.as_millis() {
                break;
            }
            times.push(Timestamp::from_millis(millis));
            from = Some(found);
        }
        times.reverse();
        times
    }
}

fn zoned(time: Timestamp, zone: &TimeZone) -> Option<jiff::Zoned> {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(time.as_millis()).ok()?).ok()?;
    Some(time.to_zoned(zone.clone()))
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every { interval, anchor } => write!(f, "every {interval} {anchor}"),
            Self::Cron { expression, zone_name, .. } => write!(f, "cron {zone_name} {expression}"),
        }
    }
}

impl PartialEq for Timing {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Timing {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_millis(time.as_millisecond().try_into().unwrap())
    }

    /// The times of an expression in Berlin, whose clocks change at 01:00 UTC on 2026-03-29 and 2026-10-25.
    fn times(expression: &str, from: &str, count: usize) -> Vec<String> {
        let timing = Timing::cron(expression, "Europe/Berlin").unwrap();
        let mut time = at(from);
        let next = || {
            time = timing.next_after(time)?;
            let text = jiff::Timestamp::from_millisecond(time.as_millis().try_into().unwrap()).unwrap().to_string();
            Some(text)
        };
        std::iter::from_fn(next).take(count).collect()
    }

    #[test]
    fn a_fixed_time_that_a_clock_skips_comes_when_it_has_skipped_it() {
        let expected = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
        assert_eq!(times("30 2 * * *", "2026-03-28T00:00:00Z", 3), expected);
    }

    #[test]
    fn a_fixed_time_that_a_clock_repeats_comes_once_the_first_time() {
        let expected = ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
        assert_eq!(times("30 2 * * *", "2026-10-24T00:00:00Z", 3), expected);
    }

    #[test]
    fn a_recurring_time_comes_at_each_real_time() {
        let skipped = ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"];
        assert_eq!(times("*/30 * * * *", "2026-03-29T00:00:00Z", 3), skipped);
        let repeated = ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"];
        assert_eq!(times("*/30 * * * *", "2026-10-25T00:00:00Z", 3), repeated);
    }

    #[test]
    fn the_last_times_are_the_same_forwards_and_backwards() {
        for expression in ["30 2 * * *", "*/30 * * * *", "0 * * * *", "15 1,2,3 * * SUN", "*/7 2 * * *"] {
            let timing = Timing::cron(expression, "Europe/Berlin").unwrap();
            for (since, now) in [
                ("2026-03-27T00:00:00Z", "2026-03-30T12:00:00.5Z"),
                ("2026-10-23T00:00:00Z", "2026-10-26T12:00:00.5Z"),
                ("2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z"),
                ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
            ] {
                let (forwards, count) = timing.between(at(since), at(now), 50);
                assert!(count >= forwards.len() as u64);
                assert_eq!(timing.before(at(since), at(now), 50), forwards, "{expression} {since}");
            }
        }
    }

    #[test]
    fn a_long_outage_is_bounded_and_keeps_the_last_times() {
        let timing = Timing::cron("* * * * * *", "UTC").unwrap();
        let (times, count) = timing.between(at("2026-01-01T00:00:00Z"), at("2026-01-08T00:00:00Z"), 3);
        let expected = ["2026-01-07T23:59:58Z", "2026-01-07T23:59:59Z", "2026-01-08T00:00:00Z"].map(at);
        assert_eq!((times, count), (expected.to_vec(), MAX_STEPS as u64));
    }

    #[test]
    fn an_interval_counts_from_its_anchor() {
        let timing = Timing::Every { interval: 1000, anchor: 5300 };
        let next = |millis| timing.next_after(Timestamp::from_millis(millis)).unwrap().as_millis();
        assert_eq!([next(0), next(299), next(300), next(5299), next(5300)], [300, 300, 1300, 5300, 6300]);
        let (times, count) = timing.between(Timestamp::from_millis(300), Timestamp::from_millis(1_000_000_300), 2);
        assert_eq!((times.len(), count), (2, 1_000_000));
        assert_eq!(times[1], Timestamp::from_millis(1_000_000_300));
        assert_eq!(timing.between(Timestamp::from_millis(300), Timestamp::from_millis(1299), 2), (vec![], 0));
    }

    #[test]
    fn what_cannot_fire_is_refused_with_the_reason() {
        for (expression, zone, reason) in [
            ("0 25 * * *", "UTC", "cron expression"),
            ("0 0 30 2 *", "UTC", "no time since 1970"),
            ("0 0 * * *", "Europe/Atlantis", "time zone"),
            ("0 0 * * *", "", "time zone"),
            ("", "UTC", "cron expression"),
        ] {
            let Err(error) = Timing::cron(expression, zone) else { panic!("{expression} {zone}") };
            assert!(error.contains(reason), "{error}");
        }
        let past = Timing::cron("0 0 0 1 1 * 2020", "UTC").unwrap();
        assert_eq!(past.next_after(at("2026-01-01T00:00:00Z")), None);
    }

    #[test]
    fn its_text_is_read_again() {
        let cron = Timing::cron("0 0 * * MON-FRI", "Europe/Berlin").unwrap();
        for timing in [cron, Timing::Every { interval: 60_000, anchor: 5 }] {
            assert!(Timing::parse(&timing.to_string()) == Some(timing));
        }
        for text in ["", "every 0 0", "every x 0", "cron UTC", "cron Nowhere 0 0 * * *", "daily 1 2"] {
            assert!(Timing::parse(text).is_none(), "{text}");
        }
    }
}

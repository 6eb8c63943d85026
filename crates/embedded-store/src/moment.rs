//! The time of an operation.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use store_core::{Clock, Timestamp, millis_ceil};

/// The time at which an operation is executed; all its decisions use it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    micros: u64,
}

impl Moment {
    /// A time before any expiry.
    pub(crate) const BEGINNING: Moment = Moment { micros: 0 };

    pub(crate) fn now(clock: &Clock) -> Self {
        let micros = match clock.manual_now() {
            Some(time) => time.as_millis().saturating_mul(1000),
            None => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
            }
        };
        Self { micros }
    }

    pub(crate) fn micros(self) -> u64 {
        self.micros
    }

    pub(crate) fn millis(self) -> u64 {
        self.micros / 1000
    }

    pub(crate) fn timestamp(self) -> Timestamp {
        Timestamp::from_millis(self.millis())
    }

    /// In milliseconds, rounded up: the start of a duration.
    pub(crate) fn millis_up(self) -> u64 {
        self.micros.div_ceil(1000)
    }

    /// The end, in milliseconds, of a duration that starts now; never too early.
    pub(crate) fn after(self, duration: Duration) -> u64 {
        self.millis_up().saturating_add(millis_ceil(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_never_ends_too_early() {
        let lasting = Duration::from_millis(10);
        for (micros, end) in [(5_000, 15), (5_001, 16), (5_999, 16), (6_000, 16)] {
            let moment = Moment { micros };
            assert_eq!(moment.after(lasting), end);
            assert!(moment.after(lasting) * 1000 >= micros + 10_000);
        }
    }
}

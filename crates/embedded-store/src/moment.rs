//! What time it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use store_core::{Clock, Timestamp, millis_ceil};

/// The time at which an operation is carried out; one for all its decisions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    micros: u64,
}

impl Moment {
    /// When nothing was over yet.
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

    /// The end, in milliseconds, of a time that begins now.
    pub(crate) fn after(self, duration: Duration) -> u64 {
        self.millis().saturating_add(millis_ceil(duration))
    }
}

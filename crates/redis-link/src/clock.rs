//! Which clock a script uses.

use std::time::Duration;

use store_core::Clock;

use crate::Link;

impl Link {
    /// The same link, whose scripts use this clock: the server's (the default), or one that a test moves. Deadlines of
    /// requests are always compared with the server's clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How much later than its stored end an entry may be collected. The stored end decides. Collection must not come
    /// first, also if a test stops the clock.
    pub fn collection_margin(&self) -> Duration {
        match self.clock {
            Clock::Server => Duration::from_secs(1),
            Clock::Manual(_) => Duration::from_secs(3600),
        }
    }
}

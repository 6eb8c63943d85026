//! How long a call can be repeated.

use std::time::Duration;

use store_core::{Durability, Op, Result};

use super::Link;
use crate::wire::Copies;
use crate::{Answer, Arg, LinkConfig, Script};

/// The longest pause between two attempts.
const LONGEST_PAUSE_MS: u64 = 2000;
/// No call is repeated for longer, whatever the settings are.
const LONGEST_BUDGET: Duration = Duration::from_secs(3600);
/// A call is remembered for this much longer than its last copy can run.
const MARGIN: Duration = Duration::from_secs(1);

impl Link {
    /// How long a script has to remember a call, so that each copy finds what an earlier copy has stored: an upper bound of the
    /// time between two copies, by the server's clock, and 1 s. A script stores it with this time as `PX`.
    ///
    /// The link sends no copy that could be executed later, even if the process was suspended meanwhile: the call ends in
    /// `Indeterminate`. The time follows from the command time-out, the number of retries, the pauses between them and the time
    /// that `durability` waits: 6.7 s with the defaults and [`Accepted`](Durability::Accepted).
    pub fn remembered_for(&self, durability: Durability) -> Duration {
        budget(&self.inner.config, durability) + MARGIN
    }

    /// Repeats a call that ended in `Indeterminate`: as [`Link::call`], but all copies carry the mark of a repetition, so
    /// that the script looks for what the earlier call has stored (`is_repeat`).
    ///
    /// # Errors
    /// As [`Link::call`]. `Unavailable` only means that this repetition was not executed.
    pub async fn call_again<K: AsRef<[u8]>>(
        &self,
        op: Op,
        script: &Script,
        keys: &[K],
        args: Vec<Arg>,
    ) -> Result<Answer> {
        let copies = self.copies(Durability::Accepted).again();
        self.call_request(op, script, keys, args, copies).await
    }

    pub(super) fn copies(&self, durability: Durability) -> Copies {
        let config = &self.inner.config;
        Copies::new(config.command_timeout, budget(config, durability))
    }
}

/// How long after the first copy of a call its last one is valid: each attempt lasts one command time-out, and longer by the
/// wait of a durable one; one further command time-out allows for scripts that have to be loaded and for slow connections.
fn budget(config: &LinkConfig, durability: Durability) -> Duration {
    let waits = match durability {
        Durability::Replicated { within, .. } | Durability::Fsynced { within } => within,
        _ => Duration::ZERO,
    };
    let retries = config.max_retries;
    let attempts = config.command_timeout.saturating_add(waits).saturating_mul(retries.saturating_add(1));
    let growing: u64 = (1..=retries.min(6)).map(longest_pause_ms).sum();
    let pauses = growing.saturating_add(u64::from(retries.saturating_sub(6)).saturating_mul(LONGEST_PAUSE_MS));
    let budget = attempts.saturating_add(Duration::from_millis(pauses)).saturating_add(config.command_timeout);
    budget.min(LONGEST_BUDGET)
}

/// The pause after an attempt: full jitter over 100 ms, 200 ms, 400 ms … up to 2 s.
pub(super) fn pause(attempt: u32) -> Duration {
    Duration::from_millis(fastrand::u64(0..=longest_pause_ms(attempt)))
}

fn longest_pause_ms(attempt: u32) -> u64 {
    100_u64.saturating_mul(1 << attempt.saturating_sub(1).min(5)).min(LONGEST_PAUSE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServerUrl;

    #[test]
    fn pauses_grow_and_are_bounded() {
        for attempt in 1..100 {
            assert!(pause(attempt) <= Duration::from_millis(100 << attempt.min(5)).min(Duration::from_secs(2)));
        }
    }

    #[test]
    fn the_budget_covers_each_attempt_and_each_pause() {
        let config = LinkConfig::new(ServerUrl::parse("redis://127.0.0.1").unwrap(), "test");
        let ms = |config: &LinkConfig, durability| budget(config, durability).as_millis();
        assert_eq!(ms(&config, Durability::Accepted), 4 * 1000 + 100 + 200 + 400 + 1000);
        let within = Duration::from_millis(500);
        assert_eq!(ms(&config, Durability::Fsynced { within }), 4 * 1500 + 700 + 1000);
        assert_eq!(ms(&config.clone().with_max_retries(0), Durability::Accepted), 2000);
        let pauses: u64 = (1..=10).map(longest_pause_ms).sum();
        assert_eq!(ms(&config.clone().with_max_retries(10), Durability::Accepted), 12_000 + u128::from(pauses));
        assert_eq!(budget(&config.with_max_retries(u32::MAX), Durability::Accepted), LONGEST_BUDGET);
    }
}

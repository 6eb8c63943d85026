//! How long a call can be repeated.

use std::time::{Duration, Instant};

use store_core::{Durability, Op, Result};

use super::Link;
use crate::wire::Copies;
use crate::{Answer, Arg, LinkConfig, Script};

/// The longest pause between two attempts.
const LONGEST_PAUSE_MS: u64 = 2000;
/// The shortest time for which the refusals of a call without a lease do not count while its slot moves.
const MOVING_FOR: Duration = Duration::from_secs(5);
/// The longest such time, of every call.
const LONGEST_MOVING: Duration = Duration::from_secs(60);
/// The longest pause of such a call.
const MOVING_PAUSE_MS: u64 = 200;
/// No call is repeated for longer, whatever the settings are.
const LONGEST_BUDGET: Duration = Duration::from_secs(3600);
/// A call is remembered for this much longer than its last copy can run.
const MARGIN: Duration = Duration::from_secs(1);

/// The repetitions of one call.
pub(super) struct Repetitions {
    started: Instant,
    /// How many of them count.
    counted: u32,
    max: u32,
    /// How long refusals because the slot moves do not count.
    moving_for: Duration,
}

impl Repetitions {
    pub(super) fn new(started: Instant, max: u32, moving_for: Duration) -> Self {
        Self { started, counted: 0, max, moving_for }
    }

    /// The pause before the next one; `None` if the call ends. Refusals because the slot moves (`is_moving`) do not count during
    /// `moving_for`.
    pub(super) fn next(&mut self, is_moving: bool) -> Option<Duration> {
        let left = self.moving_for.saturating_sub(self.started.elapsed());
        if self.max > 0 && is_moving && !left.is_zero() {
            let longest = left.as_millis().min(MOVING_PAUSE_MS.into());
            return Some(Duration::from_millis(fastrand::u64(0..=u64::try_from(longest).unwrap_or(0))));
        }
        self.counted = self.counted.saturating_add(1);
        (self.counted <= self.max).then(|| pause(self.counted))
    }
}

impl Link {
    /// How long an attempt at a call may take: [`LinkConfig::with_command_timeout`].
    pub fn command_timeout(&self) -> Duration {
        self.inner.config.command_timeout
    }

    /// The same link, for calls that are made for a lease that lasts so long. While a slot of a cluster moves, the refusals of these
    /// calls do not count for half of that time, at most for 60 s: the rest of the lease is left for other attempts.
    #[must_use]
    pub fn for_lease(&self, lasting: Duration) -> Self {
        Self { lease: Some(lasting), ..self.clone() }
    }

    /// How long refusals because the slot moves do not count: half of the lease, or the time that all attempts of the call may take.
    pub(super) fn moving_for(&self, copies: &Copies) -> Duration {
        moving_for(self.lease, copies.budget())
    }

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

fn moving_for(lease: Option<Duration>, budget: Duration) -> Duration {
    match lease {
        Some(lease) => (lease / 2).min(LONGEST_MOVING),
        None => budget.clamp(MOVING_FOR, LONGEST_MOVING),
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
fn pause(attempt: u32) -> Duration {
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
    fn refusals_of_a_slot_that_moves_count_only_after_their_time() {
        let mut repetitions = Repetitions::new(Instant::now(), 2, MOVING_FOR);
        for _ in 0..100 {
            assert!(repetitions.next(true).is_some_and(|pause| pause <= Duration::from_millis(MOVING_PAUSE_MS)));
        }
        assert!(repetitions.next(false).is_some() && repetitions.next(true).is_some());
        repetitions.started -= MOVING_FOR;
        assert!(repetitions.next(true).is_some() && repetitions.next(true).is_none());
        assert!(Repetitions::new(Instant::now(), 0, MOVING_FOR).next(true).is_none(), "no repetition at all");
    }

    #[test]
    fn a_call_waits_for_a_slot_for_half_of_its_lease_or_as_long_as_its_attempts_may_take() {
        let seconds = |lease: Option<u64>, budget| {
            moving_for(lease.map(Duration::from_secs), Duration::from_secs(budget)).as_secs()
        };
        assert_eq!((seconds(Some(30), 6), seconds(Some(1000), 6), seconds(None, 6)), (15, 60, 6));
        assert_eq!((seconds(None, 2), seconds(None, 3600)), (5, 60));
        let mut repetitions = Repetitions::new(Instant::now(), 1, Duration::from_millis(10));
        assert!(
            repetitions.next(true).is_some_and(|pause| pause <= Duration::from_millis(10)),
            "not beyond half of the lease"
        );
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

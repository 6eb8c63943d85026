//! A gate per queue: after a failed call the driver sends nothing for the queue for a while.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// A gate closes after a failed call, for 100 ms at first and up to 5 s, with jitter. A success opens it. If leases are short,
/// so are these times: a renewal is tried several times before the lease ends.
#[derive(Debug)]
pub(crate) struct Gate {
    first: Duration,
    longest: Duration,
    failures: u32,
    closed_at: Option<Instant>,
    opens_at: Option<Instant>,
}

impl Gate {
    pub(crate) fn new(lease: Duration) -> Self {
        let (first, longest) = (FIRST.min(lease / 10), LONGEST.min(lease / 5));
        Self { first, longest, failures: 0, closed_at: None, opens_at: None }
    }

    /// A call that was sent at `sent` succeeded. If it was sent before the last failure, nothing changes.
    pub(crate) fn open(&mut self, sent: Instant) {
        if self.closed_at.is_none_or(|closed| sent >= closed) {
            (self.failures, self.closed_at, self.opens_at) = (0, None, None);
        }
    }

    /// A call failed. Several calls that were under way at the same time count as one failure.
    pub(crate) fn close(&mut self, now: Instant) {
        self.closed_at = Some(now);
        if !self.is_open(now) {
            return;
        }
        let wait = self.first.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures += 1;
        self.opens_at = Some(now + wait.mul_f64(0.5 + fastrand::f64() / 2.0));
    }

    /// Whether a call may be sent.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        self.opens_at.is_none_or(|at| at <= now)
    }

    /// Whether no call failed since the last success.
    pub(crate) fn is_healthy(&self) -> bool {
        self.closed_at.is_none()
    }

    /// When the gate opens, if it was closed.
    pub(crate) fn opens_at(&self) -> Option<Instant> {
        self.opens_at
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn it_stays_closed_longer_with_each_failure_and_never_over_its_bound() {
        let mut gate = Gate::new(Duration::from_secs(3600));
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..12 {
            gate.close(now);
            let opens = gate.opens_at().unwrap();
            waits.push(opens - now);
            assert!(!gate.is_open(now));
            now = opens;
        }
        assert!(waits[0] >= Duration::from_millis(50) && waits[0] <= Duration::from_millis(100));
        assert!(waits[11] >= Duration::from_millis(2500) && waits[11] <= Duration::from_secs(5));
        gate.open(now);
        assert!(gate.is_open(now) && gate.is_healthy());
    }

    #[test]
    fn an_answer_from_before_the_failure_does_not_open_it() {
        let mut gate = Gate::new(Duration::from_secs(15));
        let sent = Instant::now();
        gate.close(sent + Duration::from_millis(5));
        gate.open(sent);
        assert!(!gate.is_healthy());
    }
}

//! The partitions that do not answer claims. Claims leave them out, and one claim at a time tries one of them again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store_core::{ClaimRequest, Error, QueueName, RequestId};

/// How long claims leave the failing partitions of a queue out after the first failure. Each further one doubles the time.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// The failing partitions, by queue.
#[derive(Debug, Default)]
pub(crate) struct Failing(Mutex<HashMap<QueueName, OfQueue>>);

#[derive(Debug)]
struct OfQueue {
    /// With the last claim whose reply was lost there: its repetition may find jobs.
    partitions: BTreeMap<u16, Option<RequestId>>,
    failures: u32,
    /// When a claim tries one of them.
    try_at: Instant,
}

impl OfQueue {
    fn pause(&mut self) {
        let pause = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.try_at = Instant::now() + pause.mul_f64(0.5 + fastrand::f64() / 2.0);
    }
}

impl Failing {
    fn lock(&self) -> MutexGuard<'_, HashMap<QueueName, OfQueue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From which of the `wanted` partitions to claim, and which to leave out. If all of them fail and no other one is known to
    /// work (`others_work`), it leaves none out.
    pub(super) fn choose(&self, request: &ClaimRequest, wanted: Vec<u16>, others_work: bool) -> (Vec<u16>, Vec<u16>) {
        let mut queues = self.lock();
        let Some(failing) = queues.get_mut(&request.queue) else { return (wanted, Vec::new()) };
        let candidates: Vec<u16> =
            wanted.iter().copied().filter(|partition| failing.partitions.contains_key(partition)).collect();
        let tried = if failing.try_at <= Instant::now() { fastrand::choice(&candidates).copied() } else { None };
        if tried.is_some() {
            // Other claims of this process do not wait for it, too.
            failing.pause();
        }
        let is_visited = |partition: &u16| match failing.partitions.get(partition) {
            Some(lost) => tried == Some(*partition) || request.is_repeat && *lost == Some(request.request),
            None => true,
        };
        let (visited, left_out): (Vec<u16>, Vec<u16>) = wanted.iter().partition(|partition| is_visited(partition));
        if visited.is_empty() && !others_work { (wanted, Vec::new()) } else { (visited, left_out) }
    }

    /// A partition answered a claim.
    pub(super) fn answered(&self, queue: &QueueName, partition: u16) {
        let mut queues = self.lock();
        let Some(failing) = queues.get_mut(queue) else { return };
        if failing.partitions.remove(&partition).is_some() {
            (failing.failures, failing.try_at) = (0, Instant::now());
        }
        if failing.partitions.is_empty() {
            queues.remove(queue);
        }
    }

    /// A partition could not be reached, or its reply to this claim was lost.
    pub(super) fn failed(&self, request: &ClaimRequest, partition: u16, error: &Error) {
        let mut queues = self.lock();
        let new = || OfQueue { partitions: BTreeMap::new(), failures: 0, try_at: Instant::now() };
        let failing = queues.entry(request.queue.clone()).or_insert_with(new);
        let lost = failing.partitions.entry(partition).or_default();
        if matches!(error, Error::Indeterminate { .. }) {
            *lost = Some(request.request);
        }
        failing.pause();
        failing.failures = failing.failures.saturating_add(1);
    }

    /// The time until a claim tries a failing partition of this queue.
    pub(super) fn tries_in(&self, queue: &QueueName) -> Option<Duration> {
        self.lock().get(queue).map(|failing| failing.try_at.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use store_core::{HolderName, Op};

    use super::*;

    fn request() -> ClaimRequest {
        let (queue, worker) = (QueueName::new("mails").unwrap(), HolderName::new("worker").unwrap());
        ClaimRequest::new(queue, worker, 1, Duration::from_secs(15))
    }

    fn due(failing: &Failing) {
        failing.lock().values_mut().for_each(|of| of.try_at = Instant::now());
    }

    #[test]
    fn a_failing_partition_is_left_out_until_one_claim_tries_it_and_it_answers() {
        let (failing, request, all) = (Failing::default(), request(), vec![2, 3, 0, 1]);
        failing.answered(&request.queue, 3);
        assert_eq!(failing.choose(&request, all.clone(), false), (all.clone(), vec![]));
        failing.failed(&request, 3, &Error::unavailable(Op::QueueClaim, "away"));
        assert!(failing.tries_in(&request.queue).unwrap() <= FIRST);
        let without = (vec![2, 0, 1], vec![3]);
        assert_eq!(failing.choose(&request, all.clone(), false), without);
        due(&failing);
        assert_eq!(failing.choose(&request, all.clone(), false), (all.clone(), vec![]));
        assert_eq!(failing.choose(&request, all.clone(), false), without, "another claim tries it");
        failing.answered(&request.queue, 3);
        assert_eq!(failing.choose(&request, all.clone(), false), (all, vec![]));
        assert!(failing.lock().is_empty());
    }

    #[test]
    fn a_claim_tries_one_of_several_failing_partitions() {
        let (failing, request) = (Failing::default(), request());
        for partition in 0..4 {
            failing.failed(&request, partition, &Error::unavailable(Op::QueueClaim, "away"));
        }
        due(&failing);
        let (visited, left_out) = failing.choose(&request, (0..12).collect(), false);
        assert_eq!((visited.len(), left_out.len()), (9, 3));
        failing.answered(&request.queue, *visited.iter().find(|partition| **partition < 4).unwrap());
        assert_eq!(failing.tries_in(&request.queue), Some(Duration::ZERO), "the others may answer, too");
    }

    #[test]
    fn a_repetition_visits_the_partition_where_the_reply_was_lost() {
        let (failing, request) = (Failing::default(), request());
        failing.failed(&request, 0, &Error::indeterminate(Op::QueueClaim, "cut"));
        failing.failed(&self::request(), 1, &Error::indeterminate(Op::QueueClaim, "cut"));
        let repeated = request.repeated();
        failing.failed(&repeated, 0, &Error::unavailable(Op::QueueClaim, "away"));
        assert_eq!(failing.choose(&repeated, vec![0, 1, 2], false), (vec![0, 2], vec![1]));
    }

    #[test]
    fn if_all_fail_none_is_left_out() {
        let (failing, request) = (Failing::default(), request());
        failing.failed(&request, 0, &Error::unavailable(Op::QueueClaim, "away"));
        assert_eq!(failing.choose(&request, vec![0], false), (vec![0], vec![]));
        assert_eq!(failing.choose(&request, vec![0], true), (vec![], vec![0]), "the others rest");
    }

    #[test]
    fn it_is_left_out_longer_with_each_failure_but_not_for_more_than_5_s() {
        let (failing, request) = (Failing::default(), request());
        for _ in 0..40 {
            failing.failed(&request, 0, &Error::unavailable(Op::QueueClaim, "away"));
        }
        let pause = failing.tries_in(&request.queue).unwrap();
        assert!(pause > LONGEST / 3 && pause <= LONGEST, "{pause:?}");
    }
}

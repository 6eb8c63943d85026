//! The worker's view of the jobs that a queue has in the store.

use std::time::Duration;

use store_core::{ClaimRequest, NewJob, REGISTRATION};
use tokio::time::Instant;

/// The most bytes of one claim: a reply that takes longer than the command time-out is lost.
const MOST_BYTES: usize = ClaimRequest::DEFAULT_BYTES;

/// The fewest bytes of one claim.
const FEWEST_BYTES: usize = 64 << 10;

/// The shortest time after which a worker registers again.
const SHORTEST_REGISTRATION: Duration = Duration::from_secs(1);

/// The worker's view of a queue in the store.
#[derive(Debug)]
enum State {
    /// It may have jobs: the worker claims when it has room.
    Wanted {
        is_notified: bool,
        /// Until when the claim waits to be sent together with other calls.
        waits_until: Option<Instant>,
    },
    /// A claim is under way.
    Claiming(Claiming),
    /// The reply to a claim was lost: the same claim is sent again before any other.
    Unheard(Unheard),
    /// The last claim found no more jobs, and registered the worker. It allowed to reserve `allowed` handlers.
    Registered { until: Instant, allowed: usize },
}

impl State {
    fn wanted(is_notified: bool) -> Self {
        State::Wanted { is_notified, waits_until: None }
    }
}

#[derive(Debug, Clone, Copy)]
struct Claiming {
    max: usize,
    reserve: usize,
    /// Whether it answers a notification, which no other worker has got.
    is_notified: bool,
    /// What arrived during the claim: it may be for jobs that the claim does not return.
    arrived: Option<Arrived>,
    /// How many jobs might be claimed ahead of a free handler when it was sent.
    ahead: usize,
    /// Whether the jobs go to other workers.
    passes_on: bool,
    /// When it was first sent: its leases begin then or later.
    first_sent: Instant,
    /// How often its reply was lost.
    lost: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Arrived {
    Doubt,
    Notification,
}

#[derive(Debug)]
struct Unheard {
    request: Box<ClaimRequest>,
    claiming: Claiming,
}

/// The reply to a claim.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heard {
    /// How many jobs it returned.
    pub(super) jobs: usize,
    /// How many bytes their payloads have.
    pub(super) bytes: usize,
    /// Whether another job is ready now.
    pub(super) has_more: bool,
    /// When the next job becomes due.
    pub(super) due: Option<Instant>,
}

/// The terms of a claim that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// Whether the jobs go to other workers.
    pub(super) passes_on: bool,
    /// The leases begin at this time or later.
    pub(super) first_sent: Instant,
    /// How many jobs might be claimed ahead of a free handler.
    pub(super) ahead: usize,
}

/// The worker's view of the jobs that one queue has in the store. One claim is under way at a time.
#[derive(Debug)]
pub(super) struct Supply {
    state: State,
    /// How many handlers are reserved for jobs that pushes hand over.
    reserved: usize,
    /// When its next job becomes due, from the answer to the last claim.
    due: Option<Instant>,
    /// Whether the last registration ended without a job.
    waited_in_vain: bool,
    /// Whether the last claim found as many jobs as it wanted, or more.
    has_backlog: bool,
    /// How many jobs claims have found since the last claim that left none.
    found: usize,
    /// How many jobs claims usually find until none is left; `None` if this is unknown.
    usual: Option<usize>,
    /// The most bytes of the next claim.
    max_bytes: usize,
    /// How long the worker relies on a registration.
    registration: Duration,
    can_reserve: bool,
}

impl Supply {
    pub(super) fn new(lease: Duration) -> Self {
        // A hand-over may come at the end of a registration.
        let registration = REGISTRATION.min(lease * 2 / 3).max(SHORTEST_REGISTRATION);
        Self {
            state: State::wanted(false),
            reserved: 0,
            due: None,
            waited_in_vain: false,
            has_backlog: false,
            found: 0,
            usual: None,
            max_bytes: MOST_BYTES,
            registration,
            can_reserve: registration * 4 <= lease * 3,
        }
    }

    /// Whether to claim when there is room.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.state, State::Wanted { .. })
    }

    /// Whether it is wanted because of a notification, which no other worker has got.
    pub(super) fn is_notified(&self) -> bool {
        matches!(self.state, State::Wanted { is_notified: true, .. })
    }

    /// Whether the last claim found nothing more, and no claim is needed now.
    pub(super) fn is_registered(&self) -> bool {
        matches!(self.state, State::Registered { .. })
    }

    /// How many jobs the claim under way, or the one whose reply was lost, may return.
    pub(super) fn claiming(&self) -> usize {
        match &self.state {
            State::Claiming(claiming) | State::Unheard(Unheard { claiming, .. }) => claiming.max,
            State::Wanted { .. } | State::Registered { .. } => 0,
        }
    }

    /// How many handlers are reserved for jobs that pushes hand over.
    pub(super) fn reserved(&self) -> usize {
        self.reserved
    }

    /// What the waiter has reserved after a claim or a wake-up.
    pub(super) fn set_reserved(&mut self, reserved: usize) {
        self.reserved = reserved;
    }

    /// How many jobs may come from the claim under way and from hand-overs. The claim takes the places of the reservation.
    pub(super) fn expected(&self) -> usize {
        self.claiming().max(self.reserved)
    }

    /// Whether a claim can end its reservation. It cannot if the last one did not, because a hand-over had used it.
    pub(super) fn can_be_recalled(&self) -> bool {
        matches!(self.state, State::Registered { allowed, .. } if (1..=allowed).contains(&self.reserved))
    }

    /// Whether the last registration ended without a job.
    pub(super) fn has_waited_in_vain(&self) -> bool {
        self.waited_in_vain
    }

    /// The most jobs to request. After a notification this is one more than the queue usually has, because a claim that finds fewer
    /// jobs than it requests registers the worker.
    pub(super) fn may_have(&self) -> usize {
        if self.has_backlog { NewJob::MAX_BATCH } else { self.usual.map_or(NewJob::MAX_BATCH, |usual| usual + 1) }
    }

    /// Whether leases last long enough for hand-overs: at the end of a registration, part of the lease is certainly left.
    pub(super) fn can_reserve(&self) -> bool {
        self.can_reserve
    }

    /// The most bytes of the next claim.
    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// When to claim again, if nothing arrives before: a job becomes due, or the registration ends.
    pub(super) fn claims_at(&self) -> Option<Instant> {
        match self.state {
            State::Registered { until, .. } => Some(self.due.map_or(until, |due| due.min(until))),
            State::Wanted { .. } | State::Claiming(_) | State::Unheard(_) => None,
        }
    }

    /// The time for another claim may have come. Returns whether it has.
    pub(super) fn check(&mut self, now: Instant) -> bool {
        if self.claims_at().is_none_or(|at| at > now) {
            return false;
        }
        if let State::Registered { until, .. } = self.state {
            self.waited_in_vain = until <= now;
        }
        self.want();
        true
    }

    /// It may have jobs.
    pub(super) fn want(&mut self) {
        self.arrived(Arrived::Doubt);
    }

    /// A notification arrived, which no other worker has got. It has ended the registration.
    pub(super) fn notified(&mut self) {
        self.waited_in_vain = false;
        self.arrived(Arrived::Notification);
    }

    /// Jobs were handed over. Unless the worker `stays` registered, the next claim waits for `patience` to be sent together with
    /// the settlements of those jobs.
    pub(super) fn handed_over(&mut self, stays: bool, patience: Duration, now: Instant) {
        self.waited_in_vain = false;
        let was_registered = self.is_registered();
        if was_registered && stays {
            return;
        }
        self.arrived(Arrived::Doubt);
        if let State::Wanted { waits_until, .. } = &mut self.state
            && was_registered
        {
            *waits_until = (!patience.is_zero()).then_some(now + patience);
        }
    }

    /// Until when the next claim waits to be sent together with other calls.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        if let State::Wanted { waits_until, .. } = self.state { waits_until } else { None }
    }

    /// Other calls are sent now: the next claim waits no longer.
    pub(super) fn wait_no_longer(&mut self) {
        if let State::Wanted { waits_until, .. } = &mut self.state {
            *waits_until = None;
        }
    }

    fn arrived(&mut self, what: Arrived) {
        match &mut self.state {
            State::Wanted { is_notified, waits_until } => {
                *is_notified |= what == Arrived::Notification;
                *waits_until = None;
            }
            State::Registered { .. } => self.state = State::wanted(what == Arrived::Notification),
            State::Claiming(claiming) | State::Unheard(Unheard { claiming, .. }) => {
                claiming.arrived = claiming.arrived.max(Some(what));
            }
        }
    }

    /// A claim of up to `max` jobs is sent, `ahead` of which may have no free handler. It registers the worker, and reserves
    /// handlers for `reserve` jobs.
    pub(super) fn claim_sent(&mut self, max: usize, reserve: usize, ahead: usize, now: Instant) {
        debug_assert!(self.is_wanted(), "invariant: one claim is under way at a time");
        let (is_notified, first_sent) = (self.is_notified(), now);
        let claiming =
            Claiming { max, reserve, is_notified, arrived: None, ahead, passes_on: false, first_sent, lost: 0 };
        self.state = State::Claiming(claiming);
    }

    /// A claim of one job is sent that does not register the worker. The job goes to another worker.
    pub(super) fn pass_on_sent(&mut self, now: Instant) {
        self.claim_sent(1, 0, 0, now);
        if let State::Claiming(claiming) = &mut self.state {
            (claiming.passes_on, claiming.is_notified) = (true, true);
        }
    }

    /// The claim was answered. `sent` is when it was last sent.
    pub(super) fn claim_heard(&mut self, heard: Heard, sent: Instant) -> Terms {
        let State::Claiming(claiming) = self.state else { unreachable!("invariant: a claim was under way") };
        self.due = heard.due;
        if 2 * heard.bytes >= self.max_bytes {
            self.max_bytes = MOST_BYTES.min(self.max_bytes + self.max_bytes / 16);
        }
        if heard.jobs > 0 {
            self.waited_in_vain = false;
        }
        self.has_backlog = heard.jobs >= claiming.max || heard.has_more;
        self.found += heard.jobs;
        if self.found > 0 && !self.has_backlog {
            self.usual = Some(self.found.max(self.usual.unwrap_or(0) / 2));
            self.found = 0;
        }
        let may_have_more = self.has_backlog || claiming.lost > 0;
        self.state = if may_have_more || claiming.passes_on || claiming.arrived.is_some() {
            State::wanted(claiming.arrived == Some(Arrived::Notification))
        } else {
            State::Registered { until: sent + self.registration, allowed: claiming.reserve }
        };
        Terms { passes_on: claiming.passes_on, first_sent: claiming.first_sent, ahead: claiming.ahead }
    }

    /// The claim was not executed.
    pub(super) fn claim_failed(&mut self) {
        let State::Claiming(claiming) = self.state else { unreachable!("invariant: a claim was under way") };
        let is_notified = claiming.is_notified || claiming.arrived == Some(Arrived::Notification);
        self.state = State::wanted(is_notified);
    }

    /// The reply to the claim was lost. The next one has half the bytes.
    pub(super) fn claim_lost(&mut self, request: ClaimRequest) {
        let State::Claiming(mut claiming) = self.state else { unreachable!("invariant: a claim was under way") };
        claiming.lost += 1;
        self.max_bytes = (self.max_bytes / 2).max(FEWEST_BYTES);
        let request = Box::new(request.with_max_bytes(self.max_bytes).repeated());
        self.state = State::Unheard(Unheard { request, claiming });
    }

    /// The claim to send again, if its reply was lost: immediately after the first time, later only if `may_call`. It is under way
    /// from then on. The second value is how many handlers to reserve, if it registers the worker.
    pub(super) fn repeat(&mut self, may_call: bool) -> Option<(ClaimRequest, Option<usize>)> {
        let State::Unheard(unheard) = &mut self.state else { return None };
        if unheard.claiming.lost > 1 && !may_call {
            return None;
        }
        let (request, claiming) = (unheard.request.as_ref().clone(), unheard.claiming);
        self.state = State::Claiming(claiming);
        Some((request, (!claiming.passes_on).then_some(claiming.reserve)))
    }

    /// Whether a claim whose reply was lost waits to be sent again.
    pub(super) fn is_unheard(&self) -> bool {
        matches!(self.state, State::Unheard(_))
    }

    /// Gives up a claim whose reply was lost: once its leases of `lease` have ended, or after the second try if the worker
    /// `is_ending`.
    pub(super) fn give_up_repeat(&mut self, lease: Duration, is_ending: bool, now: Instant) {
        if let State::Unheard(Unheard { claiming, .. }) = &self.state
            && (claiming.first_sent + lease <= now || is_ending && claiming.lost > 1)
        {
            self.state = State::wanted(false);
        }
    }
}

#[cfg(test)]
mod tests;

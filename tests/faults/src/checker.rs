//! The checker: reads a history and reports violations.
//!
//! It depends on the operations of a history, not on the stores. An operation took effect at some moment between its
//! invocation and its reply. Without a reply, or with an error that does not state whether it was executed, it took
//! effect at some later moment or never. With the answer "not executed" it had no effect. A rule reports a violation
//! only if the answers are wrong for every possible moment. A job may be delivered more than once while no end of it
//! was acknowledged; [`Tally`] counts such deliveries.

mod broadcasts;
mod commits;
mod deliveries;
mod fences;
mod handlers;
mod heartbeats;
mod idempotency;
mod job;
mod jobs;
mod leases;
mod losses;
mod queues;
mod resume_tokens;
mod retries;
mod runs;
mod schedules;
mod steps;
mod tally;
mod topics;
mod unique;

pub use losses::{LossTally, Lost, Pause};
pub use tally::{OpTally, Tally};

use std::collections::HashSet;
use std::fmt;

use crate::history::{History, Micros, Operation};

/// By how much the servers' clocks and the monotonic clock may differ over the length of a lease, in microseconds: the
/// wall clock is slewed, and the stores count in milliseconds.
const TOLERANCE: Micros = 2_000;

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// A rule that every history must keep.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule { $($(#[$doc])* $variant,)* }

        impl Rule {
            /// All rules.
            pub const ALL: &'static [Rule] = &[$(Rule::$variant,)*];

            /// Its name in reports.
            pub fn name(self) -> &'static str {
                match self { $(Rule::$variant => $name,)* }
            }
        }
    };
}

rules! {
    /// A job whose push was acknowledged has ended, or is present after the drain.
    JobLost = "job-lost";
    /// A job whose end, cancellation or deletion was acknowledged does not run again and is absent after the drain.
    JobRevived = "job-revived";
    /// No handler begins after the end of its job was acknowledged.
    HandledAfterEnd = "handled-after-end";
    /// A settlement under an older fence does not count after the job was claimed under a newer one.
    StaleSettlement = "stale-settlement";
    /// A job is not claimed while an earlier lease of it lasts.
    JobLeasedTwice = "job-leased-twice";
    /// Every job was pushed; a push with the answer "not executed" pushed nothing.
    JobUnknown = "job-unknown";
    /// A job is not accepted twice while it is present, and a duplicate has an original.
    JobPushedTwice = "job-pushed-twice";
    /// A job is not delivered more often than its retry policy allows.
    TooManyAttempts = "too-many-attempts";
    /// Two jobs with one unique key are not present at the same time.
    UniqueKeyShared = "unique-key-shared";
    /// A push is refused for a unique key only if a job holds it.
    UniqueKeyHeldByNobody = "unique-key-held-by-nobody";
    /// The fences of one queue rise from claim to claim.
    ClaimFence = "claim-fence";
    /// A paused queue delivers nothing; a resumed one is not paused.
    Paused = "paused";
    /// After the drain every queue was listed, no job was left to be done, and the outboxes are empty.
    NotDrained = "not-drained";

    /// The terms of two holders of a lease do not overlap.
    LeasesOverlap = "leases-overlap";
    /// Before its time is over, a lease is not lost and has no other holder.
    LeaseLostEarly = "lease-lost-early";
    /// The fences of one lease rise.
    LeaseFence = "lease-fence";
    /// A lease is held only by a holder that may have acquired it and has not released it.
    LeaseUnknown = "lease-unknown";
    /// A register accepts no write under an older fence after a newer one.
    RegisterOrder = "register-order";
    /// A holder whose lease lasts can write into the register.
    RegisterRefused = "register-refused";

    /// At most one attempt at an idempotent request is under way.
    TwoAttempts = "two-attempts";
    /// A kept response is given to all that begin later.
    ResponseLost = "response-lost";
    /// The first kept response counts.
    ResponseChanged = "response-changed";
    /// A returned response was kept by some request.
    ResponseUnknown = "response-unknown";
    /// A request is in progress only if it may have been begun.
    InProgressOfNobody = "in-progress-of-nobody";
    /// A key belongs to another content only if a request with that content was begun.
    MismatchOfNothing = "mismatch-of-nothing";

    /// A member whose beat counts is alive.
    MemberMissing = "member-missing";
    /// A member whose beats are over, or that has left, is not alive.
    MemberStale = "member-stale";

    /// No save or take-over is accepted under an older fence after one under a newer fence.
    TokenFence = "token-fence";
    /// Of the saves that replace one version of a token, one is accepted. Each position is saved once, in order.
    PositionRepeated = "position-repeated";
    /// A position is saved directly after the one before it.
    PositionSkipped = "position-skipped";
    /// A token whose save was acknowledged is returned until a later one is saved.
    TokenLost = "token-lost";
    /// A returned token was saved by some request, and a version belongs to one token.
    TokenUnknown = "token-unknown";

    /// No step begins or ends under an older fence after a step of its run has begun under a newer one.
    StepFence = "step-fence";
    /// A step that has finished does not begin again.
    StepRepeated = "step-repeated";
    /// The first recorded output of a step stays.
    OutputChanged = "output-changed";
    /// A returned output was recorded by some attempt.
    OutputUnknown = "output-unknown";

    /// The versions of a run rise from change to change.
    RunVersion = "run-version";
    /// Of the changes that present one version of a run, one is done: a completion never overwrites a cancellation.
    RunOverwritten = "run-overwritten";
    /// A run whose end was acknowledged does not change.
    RunRevived = "run-revived";
    /// An event whose append was acknowledged is in each later read.
    EventLost = "event-lost";
    /// Each event is appended once.
    EventRepeated = "event-repeated";
    /// Events are only appended: what was read stays, in its order.
    LogChanged = "log-changed";

    /// At most one attempt at an operation runs.
    TriesOverlap = "tries-overlap";
    /// No attempt has a higher number than its policy allows.
    TooManyTries = "too-many-tries";
    /// The fences of the attempts at one operation rise.
    TryFence = "try-fence";
    /// No attempt ends after a later one has begun.
    StaleTry = "stale-try";
    /// An exhausted operation does not begin until it is cleared.
    TryAfterExhausted = "try-after-exhausted";

    /// Each time of a schedule fires once.
    FiringRepeated = "firing-repeated";
    /// No time of a schedule that catches up is left out.
    FiringMissed = "firing-missed";

    /// A commit writes all of its parts or none.
    CommitPartial = "commit-partial";
    /// The parts of a commit that was done are there after the run.
    CommitLost = "commit-lost";
    /// A commit that was refused, for example because its lease is lost, writes nothing.
    CommitRefused = "commit-refused";
    /// Of the commits of one job, one is done.
    CommitTwice = "commit-twice";

    /// A message that a listener gets was published.
    BroadcastUnknown = "broadcast-unknown";
    /// A listener gets a message once.
    BroadcastRepeated = "broadcast-repeated";
    /// A listener gets the messages of one publisher in their order, except one whose first reply was lost.
    BroadcastOrder = "broadcast-order";
    /// A listener that misses a message gets a gap before the next message.
    BroadcastMissed = "broadcast-missed";

    /// The events of a key are in one partition, in the order of their appends.
    TopicOrder = "topic-order";
    /// An event whose append was acknowledged is in the topic after the run, with its number.
    TopicEventLost = "topic-event-lost";
    /// No group skips an event.
    TopicEventSkipped = "topic-event-skipped";
    /// Each event is appended once.
    TopicEventRepeated = "topic-event-repeated";
    /// An event that is read was appended.
    TopicEventUnknown = "topic-event-unknown";
    /// A number belongs to one event.
    TopicEventChanged = "topic-event-changed";
    /// An event that a group has acknowledged is not delivered to it again.
    TopicEventAgain = "topic-event-again";
    /// The fences of a group in a partition rise.
    TopicFence = "topic-fence";
    /// Nothing is read or acknowledged under an older fence after a newer one.
    TopicStale = "topic-stale";
    /// One consumer of a group at a time holds a partition.
    TopicOverlap = "topic-overlap";

    /// A loss report names each job of which an acknowledged push or end was undone by a failover, and each lease, token, step,
    /// member, request, topic, and queue with schedules of which an acknowledged write was.
    LossUnnamed = "loss-unnamed";
    /// A loss report names no write that was acknowledged more than 1 s before the fault.
    LossTooOld = "loss-too-old";
    /// In a run that pushes again what loss reports name, each such job ends at least once, or is present.
    LossNotRepaired = "loss-not-repaired";

    /// While an independent client writes to the servers, the library does: it succeeds again at most 2 s later.
    WritesBehind = "writes-behind";
    /// After a failover, writes with at most one replica succeed again within 5 s, if those of an independent client do.
    WritesLate = "writes-late";

    /// While slots move and nothing else fails, no call of a handler fails, and no handler loses its lease.
    HandlerDisturbed = "handler-disturbed";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A rule that a history breaks.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The job, lease, key or member.
    pub subject: String,
    /// The operations that show it.
    pub evidence: Vec<Operation>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.rule, self.subject)?;
        for operation in &self.evidence {
            let reply = operation.reply.as_ref().map_or_else(|| "no reply".to_owned(), |reply| format!("{reply:?}"));
            let (start, id, actor) = (operation.start, operation.id, &operation.actor);
            let lasted = match operation.end {
                Micros::MAX => "open".to_owned(),
                end => format!("{} us", end - start),
            };
            writeln!(
                f,
                "  at {start} ({lasted}) #{id} {actor}: {} -> {}",
                cut(&format!("{:?}", operation.call)),
                cut(&reply)
            )?;
        }
        Ok(())
    }
}

/// A batch is long; its beginning is enough to find it in the file.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(300)]
}

/// What the checker found.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The violations.
    pub violations: Vec<Violation>,
    /// The counts.
    pub tally: Tally,
    /// The effects of failovers.
    pub losses: LossTally,
}

/// Checks a whole history.
pub fn check(history: &History) -> Verdict {
    let mut found = Findings::default();
    jobs::check(history, &mut found);
    queues::check(history, &mut found);
    handlers::check(history, &mut found);
    leases::check(history, &mut found);
    idempotency::check(history, &mut found);
    heartbeats::check(history, &mut found);
    resume_tokens::check(history, &mut found);
    steps::check(history, &mut found);
    runs::check(history, &mut found);
    retries::check(history, &mut found);
    schedules::check(history, &mut found);
    topics::check(history, &mut found);
    commits::check(history, &mut found);
    broadcasts::check(history, &mut found);
    let losses = losses::check(history, &mut found);
    Verdict { violations: found.violations, tally: Tally::of(history), losses }
}

/// Collects violations.
#[derive(Default)]
struct Findings {
    violations: Vec<Violation>,
    seen: HashSet<(Rule, String)>,
}

impl Findings {
    fn add<'a>(&mut self, rule: Rule, subject: impl Into<String>, evidence: impl IntoIterator<Item = &'a Operation>) {
        let subject = subject.into();
        // the first of each kind is enough
        if self.seen.insert((rule, subject.clone())) {
            let evidence = evidence.into_iter().cloned().collect();
            self.violations.push(Violation { rule, subject, evidence });
        }
    }
}

/// Reports each fence that is not larger than that of an operation which ended before this one began.
fn check_rising(rule: Rule, subject: &str, grants: &[(u64, &Operation)], found: &mut Findings) {
    let mut by_start: Vec<_> = grants.iter().collect();
    by_start.sort_by_key(|(_, operation)| operation.start);
    let mut by_end: Vec<_> = grants.iter().collect();
    by_end.sort_by_key(|(_, operation)| operation.end);
    let mut ended = by_end.into_iter().peekable();
    let mut largest: Option<&(u64, &Operation)> = None;
    for grant in by_start {
        while let Some(before) = ended.next_if(|before| before.1.end < grant.1.start) {
            largest = largest.filter(|largest| largest.0 >= before.0).or(Some(before));
        }
        if let Some(before) = largest.filter(|before| before.0 >= grant.0) {
            found.add(rule, format!("{subject}: {} after {}", grant.0, before.0), [before.1, grant.1]);
        }
    }
}

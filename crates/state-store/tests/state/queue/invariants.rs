//! Each invariant of the stored data, broken on purpose: the checker in `audit` reports it.

use state_store::{StateOptions, StateStore};
use store_core::{
    ClaimRequest, ClaimedJob, Durability, Error, Extension, Fence, HolderName, JobLease, JobState, Kept, NewJob,
    Outcome, PageRequest, Priority, Queue, QueueControl, QueueExt, QueueInspect, QueueName, Settled, Settlement,
    Timestamp, Unique, UniqueKey, UniqueUntil,
};
use testkit::random_prefix;

use super::audit::Stored;
use super::{LEASE, id, job};
use crate::{Fixture, fixture, fixture_with};

/// A queue with everything that invariants are about.
pub(super) struct Sound<'f> {
    fixture: &'f Fixture,
    pub(super) queue: QueueName,
    /// Three ready jobs.
    ready: Vec<u8>,
    /// Two leases of two jobs each.
    leased: Vec<u8>,
    /// Three delayed jobs.
    delayed: Vec<u8>,
}

fn keyed(name: &str, until: UniqueUntil) -> NewJob {
    job(name).with_unique(Unique::new(UniqueKey::new(format!("key of {name}")).unwrap(), until))
}

impl<'f> Sound<'f> {
    pub(super) async fn new(fixture: &'f Fixture) -> Self {
        let queue = QueueName::new(random_prefix()).unwrap();
        let (ready, leased, delayed) = (Vec::new(), Vec::new(), Vec::new());
        let mut sound = Self { fixture, queue, ready, leased, delayed };
        sound.push(&["running", "kept", "dead"].map(job)).await;
        let [_running, kept, dead] = sound.claim(3).await.try_into().unwrap();
        sound.settle(kept, Outcome::Complete(Some(Kept::new("result", LEASE)))).await;
        sound.settle(dead, Outcome::Dead { reason: "no".into() }).await;
        sound.leased = sound.push(&[(); 4].map(|()| NewJob::new("").with_priority(Priority::Critical))).await;
        assert_eq!((sound.claim(2).await.len(), sound.claim(2).await.len()), (2, 2));
        sound.ready = sound.push(&[(); 3].map(|()| NewJob::new(""))).await;
        sound.delayed = sound.push(&[1, 2, 3].map(|n| NewJob::new("").with_delay(LEASE * n))).await;
        let singles = [
            job("ready"),
            job("scheduled").with_delay(LEASE),
            keyed("keyed", UniqueUntil::Finished),
            keyed("timed", UniqueUntil::Elapsed(LEASE)),
        ];
        sound.push(&singles).await;
        sound
    }

    /// Returns the id of the batch of the first job, if it is in one.
    pub(super) async fn push(&self, jobs: &[NewJob]) -> Vec<u8> {
        let pushed = self.fixture.store.push(&self.queue, jobs, Durability::Accepted).await.unwrap().value;
        let place = pushed[0].id().unwrap().place();
        place.map(|(batch, _)| [&[2], &batch.as_bytes()[..]].concat()).unwrap_or_default()
    }

    async fn claim(&self, max: usize) -> Vec<JobLease> {
        self.claim_jobs(max).await.into_iter().map(|job| job.lease).collect()
    }

    pub(super) async fn claim_jobs(&self, max: usize) -> Vec<ClaimedJob> {
        let worker = HolderName::new("worker").unwrap();
        let request = ClaimRequest::new(self.queue.clone(), worker, max, LEASE);
        self.fixture.store.claim(&request).await.unwrap().jobs
    }

    pub(super) async fn settle(&self, lease: JobLease, outcome: Outcome) -> Settled {
        self.fixture.store.settle_one(&self.queue, lease, outcome).await.unwrap()
    }

    pub(super) async fn violations(&self) -> Vec<String> {
        let now = self.fixture.clock.now().as_millis();
        Stored::read(&self.fixture.server, &self.queue).await.violations_at_rest(now)
    }

    /// Sends a command on a key of the queue.
    pub(super) async fn command(&self, name: &str, part: &str, args: &[&[u8]]) -> testkit::Value {
        let key = format!("test:{{q.{}.0}}:{part}", self.queue);
        let command = [&[name.as_bytes(), key.as_bytes()], args].concat();
        self.fixture.server.command(&command).await.unwrap()
    }

    /// Changes a stored state.
    async fn edit(&self, id: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
        let mut value = self.command("HGET", "state", &[id]).await.as_bytes().unwrap().to_vec();
        change(&mut value);
        self.command("HSET", "state", &[id, &value]).await;
    }

    /// Adds 50 empty records to a batch of delayed jobs.
    async fn lengthen(&self, id: &[u8]) {
        let mut blob = self.command("HGET", "jobs", &[id]).await.as_bytes().unwrap().to_vec();
        let jobs = usize::from(blob[0]);
        let (end, delay) = (blob[3 * jobs - 1..3 * jobs + 2].to_vec(), blob[2 + 3 * jobs..8 + 3 * jobs].to_vec());
        blob[0] += 50;
        blob.splice(2 + 9 * jobs..2 + 9 * jobs, delay.repeat(50));
        blob.splice(2 + 3 * jobs..2 + 3 * jobs, end.repeat(50));
        self.command("HSET", "jobs", &[id, &blob]).await;
    }

    async fn break_it(&self, what: Break) {
        let (ready, leased, delayed) = (&self.ready[..], &self.leased[..], &self.delayed[..]);
        let later = (self.fixture.clock.now().as_millis() + 100_000_000).to_string();
        let later = later.as_bytes();
        match what {
            Break::Remove(command @ "ZREM", index, member) => drop(self.command(command, index, &[member]).await),
            Break::Remove(command, index, member) => drop(self.command(command, index, &[b"0", member]).await),
            Break::ReadyBatchWithoutEntry => drop(self.command("LREM", "ready2", &[b"0", ready]).await),
            Break::LeasedBatchWithoutEntry => drop(self.command("ZREM", "leased", &[leased]).await),
            Break::LateEndOfLease => drop(self.command("ZADD", "leased", &[later, leased]).await),
            // The second lease follows the first one, of a worker with a name of six letters.
            Break::SharedPosition => self.edit(leased, |state| state.copy_within(37..45, 75)).await,
            Break::LeasedPositionThatIsGone => self.edit(leased, |state| state[9] &= !1).await,
            Break::UnknownPosition => self.edit(ready, |state| state[9] |= 8).await,
            Break::OldFenceOfQueue => drop(self.command("HSET", "meta", &[b"fence", b"0000000000000001"]).await),
            Break::NewFenceOfJob => self.edit(b"running", |state| state[1] = b'9').await,
            Break::LateDueTime => drop(self.command("ZADD", "due", &[later, &[b"2", delayed].concat()]).await),
            Break::DelayedBatchWithoutEntry => drop(self.command("ZREM", "due", &[&[b"2", delayed].concat()]).await),
            Break::JobInTwoPlaces => {
                let record = self.command("HGET", "jobs", &[b"ready"]).await.into_bytes().unwrap();
                let single = [&[1], &ready[1..]].concat();
                self.command("RPUSH", "ready2", &[&single]).await;
                self.command("HSET", "jobs", &[&single, &record]).await;
            }
            Break::Moving => drop(self.command("HSET", "meta", &[b"moving", ready]).await),
            Break::Counter(field) => drop(self.command("HINCRBY", "meta", &[field, b"1"]).await),
            Break::KeyWithoutHolder => drop(self.command("HDEL", "unique", &[b"key of keyed"]).await),
            Break::KeyOfAnother => drop(self.command("HSET", "unique", &[b"key of keyed", b"fready"]).await),
            Break::Add(index, member) => drop(self.command("ZADD", index, &[later, member]).await),
            Break::FinishedBatch(index) => drop(self.command("ZADD", index, &[later, ready]).await),
            Break::StateAlone => drop(self.command("HSET", "state", &[b"gone", b"w"]).await),
            Break::BatchRecordAlone => drop(self.command("HDEL", "state", &[ready]).await),
            Break::KeyOfGoneJob => drop(self.command("HSET", "unique", &[b"key of gone", b"fgone"]).await),
            Break::EmptyBatch => self.edit(ready, |state| state[6..14].fill(0)).await,
            Break::LongBatch => self.lengthen(delayed).await,
            Break::EndlessKey => drop(self.command("ZREM", "unique_until", &[b"key of timed"]).await),
            Break::Registration { ends_in, bytes, channel, lasts } => {
                let ends = self.fixture.clock.now().as_millis() + ends_in;
                let head =
                    [&ends.to_be_bytes()[2..], &[0, 1], &bytes.to_be_bytes()[1..], &[0, 0, 0, 0, 58, 152]].concat();
                let registration = [&head[..], &[channel.len() as u8], channel.as_bytes(), b"worker"].concat();
                self.command("HSET", "waiters", &[b"01234567", &registration]).await;
                if lasts {
                    self.command("PEXPIRE", "waiters", &[b"20000"]).await;
                }
            }
        }
    }
}

/// How to break an invariant.
#[derive(Debug, Clone, Copy)]
enum Break {
    Remove(&'static str, &'static str, &'static [u8]),
    ReadyBatchWithoutEntry,
    LeasedBatchWithoutEntry,
    LateEndOfLease,
    SharedPosition,
    LeasedPositionThatIsGone,
    UnknownPosition,
    OldFenceOfQueue,
    NewFenceOfJob,
    LateDueTime,
    DelayedBatchWithoutEntry,
    JobInTwoPlaces,
    Moving,
    Counter(&'static [u8]),
    KeyWithoutHolder,
    KeyOfAnother,
    EndlessKey,
    /// Adds an entry of a job or a batch to an index.
    Add(&'static str, &'static [u8]),
    FinishedBatch(&'static str),
    StateAlone,
    BatchRecordAlone,
    KeyOfGoneJob,
    EmptyBatch,
    LongBatch,
    /// Registers a worker for so many ms and bytes. `lasts`: whether `waiters` gets its TTL.
    Registration {
        ends_in: u64,
        bytes: u32,
        channel: &'static str,
        lasts: bool,
    },
}

/// The name of an invariant in `ARCHITECTURE.md`, how to break it, and what the checker reports.
const TABLE: [(&str, Break, &str); 41] = [
    ("found", Break::Remove("LREM", "ready2", b"ready"), "a single job is not in ready and due"),
    ("found", Break::Remove("ZREM", "due", b"2scheduled"), "a single job is not in ready and due"),
    ("found", Break::Remove("ZREM", "leased", b"running"), "a single job is not in leased"),
    ("found", Break::Remove("ZREM", "completed", b"kept"), "a single job is not in completed"),
    ("found", Break::Remove("ZREM", "dead", b"dead"), "a single job is not in dead"),
    ("found", Break::ReadyBatchWithoutEntry, "a batch with ready positions is in no list"),
    ("found", Break::LeasedBatchWithoutEntry, "a batch with leases is not in leased"),
    ("paired", Break::Add("due", b"2gone"), "an entry of due is stale"),
    ("paired", Break::Add("leased", b"gone"), "an entry of leased is stale"),
    ("paired", Break::Add("completed", b"gone"), "an entry of completed is stale"),
    ("paired", Break::Add("dead", b"gone"), "an entry of dead is stale"),
    ("paired", Break::FinishedBatch("completed"), "a batch is finished"),
    ("paired", Break::FinishedBatch("dead"), "a batch is finished"),
    ("paired", Break::StateAlone, "a state has no record"),
    ("paired", Break::BatchRecordAlone, "a batch has no state"),
    ("paired", Break::KeyOfGoneJob, "a unique key is held by a job that is gone"),
    ("sizes", Break::EmptyBatch, "a batch has no job or more than 50"),
    ("sizes", Break::LongBatch, "a batch has no job or more than 50"),
    ("sizes", Break::LongBatch, "a batch with several due times has more than 16 jobs"),
    ("times", Break::LateEndOfLease, "the first lease ends before its score"),
    ("times", Break::LateDueTime, "a scheduled position is ready before its time"),
    ("times", Break::DelayedBatchWithoutEntry, "a scheduled position is ready before its time"),
    ("one place", Break::SharedPosition, "two leases have one position"),
    ("one place", Break::LeasedPositionThatIsGone, "a position is leased that is not left"),
    ("one place", Break::UnknownPosition, "a batch has more positions than jobs"),
    ("one place", Break::JobInTwoPlaces, "a job is single, and in its batch"),
    ("one place", Break::Moving, "an extraction is not complete"),
    ("fences", Break::OldFenceOfQueue, "the fence of a batch is larger than the last one"),
    ("fences", Break::OldFenceOfQueue, "the fence of a single job is larger than the last one"),
    ("fences", Break::NewFenceOfJob, "the fence of a single job is larger than the last one"),
    ("counters", Break::Counter(b"alive"), "the counter alive is"),
    ("counters", Break::Counter(b"scheduled"), "the counter scheduled is"),
    ("counters", Break::Counter(b"running"), "the counter running is"),
    ("unique keys", Break::KeyWithoutHolder, "a job does not hold its unique key"),
    ("unique keys", Break::KeyOfAnother, "a job does not hold its unique key"),
    ("unique keys", Break::EndlessKey, "a unique key that is held for a time never ends"),
    ("registrations", with_registration(10_001, 60_000, "a", true), "a worker is registered for more than 10 s"),
    ("registrations", with_registration(10_000, 60_001, "a", true), "a registration takes less than 4,096"),
    ("registrations", with_registration(10_000, 4_095, "a", true), "a registration takes less than 4,096"),
    ("registrations", with_registration(10_000, 60_000, "", true), "a registration has no channel"),
    ("registrations", with_registration(10_000, 60_000, "a", false), "registrations do not end within 20 s"),
];

const fn with_registration(ends_in: u64, bytes: u32, channel: &'static str, lasts: bool) -> Break {
    Break::Registration { ends_in, bytes, channel, lasts }
}

/// The invariant of a queue as a whole that [`a_partition_of_another_shape_is_reported_by_every_call`] breaks.
const SHAPE: &str = "shape";

#[tokio::test]
async fn each_invariant_that_is_broken_is_reported() {
    let fixture = fixture().await;
    for (_, what, report) in TABLE {
        let sound = Sound::new(&fixture).await;
        assert_eq!(sound.violations().await, [""; 0], "before {what:?}");
        sound.break_it(what).await;
        let found = sound.violations().await;
        assert!(found.iter().any(|violation| violation.starts_with(report)), "{what:?}: {found:?}");
    }
    let sound = Sound::new(&fixture).await;
    sound.break_it(with_registration(10_000, 60_000, "a", true)).await;
    assert_eq!(sound.violations().await, [""; 0], "a sound registration");
}

#[test]
fn each_invariant_that_the_architecture_names_is_broken_and_each_break_names_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, list) = text.split_once("**Invariants of a queue.**").expect("the list of invariants");
    let (_, list) = list.split_once("\n\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let named = list.lines().filter_map(|line| line.strip_prefix("- *")?.split_once("*: ").map(|(name, _)| name));
    let named: Vec<_> = named.collect();
    let mut broken: Vec<_> = TABLE.iter().map(|(name, ..)| *name).chain([SHAPE]).collect();
    broken.dedup();
    assert_eq!(named, broken);
}

#[tokio::test]
async fn a_partition_of_another_shape_is_reported_by_every_call() {
    let mails = QueueName::new("mails").unwrap();
    let Fixture { server, store, .. } = fixture_with(StateOptions::default().with_partitions(mails.clone(), 2)).await;
    for _ in 0..2 {
        store.push_one(&mails, NewJob::new("")).await.unwrap();
    }
    for key in server.command(&["KEYS", "*:meta"]).await.unwrap().as_strings().unwrap() {
        if !key.starts_with("test:{q.mails.0}") {
            server.command(&["HSET", &key, "shape", "4:2:0000000000000000"]).await.unwrap();
        }
    }
    for (call, answer) in every_call(&store, &mails).await {
        assert!(matches!(answer, Err(Error::Corrupt { .. })), "{call}: {answer:?}");
    }
}

/// Each call on a queue, with a job and a lease that it may not have.
pub(crate) async fn every_call(store: &StateStore, queue: &QueueName) -> [(&'static str, Result<(), Error>); 15] {
    let (worker, jobs) = (HolderName::new("worker").unwrap(), [id("a")]);
    let lease = JobLease::new(id("a"), Fence::new(7), Timestamp::from_millis(0));
    let settlement = Settlement::new(lease.clone(), Outcome::Complete(None));
    let claim = ClaimRequest::new(queue.clone(), worker, 9, LEASE);
    [
        ("push", store.push_one(queue, NewJob::new("")).await.map(drop)),
        ("claim", store.claim(&claim).await.map(drop)),
        ("claim of a waiter", store.waiter().claim(&claim, 1).await.map(drop)),
        ("extend", store.extend(queue, &[Extension::new(lease)], LEASE).await.map(drop)),
        ("settle", store.settle(queue, &[settlement], Durability::Accepted).await.map(drop)),
        ("get", store.get(queue, &jobs[0]).await.map(drop)),
        ("explain", store.explain(queue, &jobs[0]).await.map(drop)),
        ("list", store.list(queue, JobState::Ready, PageRequest::default()).await.map(drop)),
        ("counts", store.counts(queue).await.map(drop)),
        ("cancel", store.cancel(queue, &jobs[0]).await.map(drop)),
        ("replay", store.replay(queue, &jobs).await.map(drop)),
        ("delete", store.delete(queue, &jobs).await.map(drop)),
        ("promote", store.promote(queue, &jobs).await.map(drop)),
        ("pause", store.pause(queue).await),
        ("resume", store.resume(queue).await),
    ]
}

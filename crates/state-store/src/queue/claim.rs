//! [`Queue::claim`](store_core::Queue::claim)

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use redis_link::{Arg, ReplyReader};
use store_core::{
    Claim, ClaimRequest, ClaimedJob, Durability, Error, Fence, JobId, JobLease, Op, Result, Timestamp, UniqueUntil,
    millis_ceil,
};

use super::batch::Claimed;
use super::job_state::JobStateRecord;
use super::partition::{Called, Shape, Target};
use super::record::Record;
use super::registrations::Registered;
use super::{packed_id, scripts};
use crate::StateStore;

pub(super) const OP: Op = Op::QueueClaim;

/// After so many failures a claim visits no more partitions: the next one leaves those out.
const MOST_FAILURES: usize = 2;

/// How much memory small jobs may share with others.
const SHARED_BYTES: usize = 1 << 20;

/// A waiter that registers where a claim finds too few jobs.
pub(super) trait Registering: Sync {
    /// From which of `count` partitions to claim, and the time until the others have to be asked.
    fn visits(&self, request: &ClaimRequest, count: u16) -> (Vec<u16>, Option<Duration>);

    /// How many jobs it has places for in a partition, if it has found so many in others.
    fn room(&self, request: &ClaimRequest, partition: u16, found: usize) -> usize;

    /// The token of a registration, and the argument of a claim from one of `count` partitions that may find `room` jobs.
    fn registration(&self, request: &ClaimRequest, partition: (u16, u16), room: usize) -> (u64, Bytes);

    /// The claim with this token and room, which was sent at this time, was answered.
    fn answered(
        &self,
        request: &ClaimRequest,
        registration: (u64, usize),
        sent: Instant,
        answer: &Result<Option<Answered>>,
    );
}

/// What a partition answers to a claim.
pub(super) struct Answered {
    pub(super) claim: Claim,
    /// The time of the server, rounded up; `None` if the queue is paused.
    pub(super) now: Option<Timestamp>,
    /// Whether a waiter is registered now.
    pub(super) is_registered: bool,
    /// Whether it claimed nothing, because a hand-over had used the earlier registration.
    pub(super) has_crossed: bool,
}

pub(super) async fn claim(
    store: &StateStore,
    request: &ClaimRequest,
    waiter: Option<&dyn Registering>,
) -> Result<Claim> {
    request.validate()?;
    Ok(with_shape!(store, OP, &request.queue, false, |shape| claim_in(store, request, &shape, waiter).await?))
}

/// Claims from the partitions, one after the other, until there are enough jobs. `None` if the queue has another shape. A partition
/// that fails does not keep it from visiting the others.
async fn claim_in(
    store: &StateStore,
    request: &ClaimRequest,
    shape: &Shape,
    waiter: Option<&dyn Registering>,
) -> Result<Option<Claim>> {
    let count = shape.count();
    let (wanted, rest) = match waiter {
        // The lost claim may have leased jobs anywhere.
        Some(waiter) if !request.is_repeat => waiter.visits(request, count),
        _ => (in_order(request, count).collect(), None),
    };
    // A partition that rests has answered a claim within the last 10 s.
    let mut do_some_work = rest.is_some();
    let (partitions, left_out) = store.failing.choose(request, wanted, do_some_work);
    let mut all = Claim::new(Vec::new(), rest, false);
    let (mut visited, mut errors) = (0, Vec::new());
    for &partition in &partitions {
        let found = all.jobs.len();
        let room = waiter.map_or(usize::MAX, |waiter| waiter.room(request, partition, found));
        // A repetition gets what its first copy has leased.
        let most = (request.max - found).min(if request.is_repeat { usize::MAX } else { room });
        let bytes: usize = all.jobs.iter().map(|job| job.payload.len()).sum();
        let left = request.max_bytes.saturating_sub(bytes);
        if most == 0 || left == 0 || !request.is_repeat && errors.len() == MOST_FAILURES {
            break;
        }
        let claim = match visit(store, request, shape, waiter, partition, (most, left)).await {
            Ok(Some(claim)) => claim,
            Ok(None) if all.jobs.is_empty() => return Ok(None),
            // The jobs of the other partitions are leased.
            Ok(None) => break,
            // The caller repeats the claim, which finds the jobs of all partitions.
            Err(error @ Error::Indeterminate { .. }) if !request.is_repeat => return Err(error),
            Err(error) => {
                visited += 1;
                errors.push(error);
                continue;
            }
        };
        (visited, do_some_work) = (visited + 1, true);
        // It had places for no more, and more may be ready.
        let is_cut = claim.jobs.len() == most && found + most < request.max;
        all.jobs.extend(claim.jobs);
        all.paused |= claim.paused;
        all.next = sooner(all.next, claim.next);
        all.next = if is_cut { Some(Duration::ZERO) } else { all.next };
    }
    let unvisited = [&partitions[visited..], &left_out].concat();
    if !unvisited.is_empty() {
        let is_left = |of: &Registered| of.queue == request.queue && unvisited.contains(&of.partition);
        store.pass_on(store.waking.take_notified(is_left));
    }
    let has_broken = errors.iter().any(|error| !is_of_partition(error));
    if all.jobs.is_empty() && (has_broken || !do_some_work) && !errors.is_empty() {
        let error = errors.into_iter().min_by_key(|error| match error {
            Error::Indeterminate { .. } => 1,
            Error::Unavailable { .. } => 2,
            _ => 0,
        });
        return error.map_or(Ok(None), Err);
    }
    if !errors.is_empty() || !left_out.is_empty() {
        all.next = sooner(all.next, store.failing.tries_in(&request.queue));
    }
    if (visited < partitions.len() || has_broken) && (!all.jobs.is_empty() || errors.len() == MOST_FAILURES) {
        all.next = Some(Duration::ZERO);
    }
    all.paused &= all.jobs.is_empty();
    Ok(Some(all))
}

/// Claims up to `most` jobs of about `left` bytes from one partition, and registers the waiter there.
async fn visit(
    store: &StateStore,
    request: &ClaimRequest,
    shape: &Shape,
    waiter: Option<&dyn Registering>,
    partition: u16,
    (most, left): (usize, usize),
) -> Result<Option<Claim>> {
    let is_here = |of: &Registered| of.queue == request.queue && of.partition == partition;
    let notified = waiter.map(|_| store.waking.take_notified(is_here)).unwrap_or_default();
    let registering = waiter.map(|waiter| (waiter, waiter.registration(request, (partition, shape.count()), most)));
    let registration = registering.as_ref().map(|(_, (_, argument))| argument.clone()).unwrap_or_default();
    let sent = Instant::now();
    let answer = claim_from(store, request, shape, partition, (most, left), registration).await;
    if let Some((waiter, (token, _))) = registering {
        waiter.answered(request, (token, most), sent, &answer);
    }
    match &answer {
        Ok(_) => store.failing.answered(&request.queue, partition),
        Err(error) if is_of_partition(error) => store.failing.failed(request, partition, error),
        Err(_) => {}
    }
    // Nobody else was notified of the jobs in this partition. If the reply was lost, the repetition finds them.
    if answer.as_ref().is_err_and(|error| request.is_repeat || !matches!(error, Error::Indeterminate { .. })) {
        store.pass_on(notified);
    }
    Ok(answer?.map(|answered| answered.claim))
}

/// Whether the partition may work again soon. Other errors are for an operator.
fn is_of_partition(error: &Error) -> bool {
    matches!(error, Error::Unavailable { .. } | Error::Indeterminate { .. })
}

fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

/// All partitions in the order in which a claim and its repetitions visit them.
pub(super) fn in_order(request: &ClaimRequest, count: u16) -> impl Iterator<Item = u16> {
    let [first, second, ..] = *request.request.as_bytes();
    let first = u16::from_be_bytes([first, second]) % count;
    (first..count).chain(0..first)
}

async fn claim_from(
    store: &StateStore,
    request: &ClaimRequest,
    shape: &Shape,
    partition: u16,
    (most, bytes): (usize, usize),
    registration: Bytes,
) -> Result<Option<Answered>> {
    let lasting = millis_ceil(request.lease);
    let args = vec![
        shape.bounds_arg(),
        Arg::from(most),
        Arg::from(lasting),
        Arg::from(request.worker.as_str()),
        Arg::from(bytes),
        Arg::from(registration),
    ];
    let [a, b, c, d, e, f, g, h, ..] = *request.request.as_bytes();
    let to = Target {
        op: OP,
        script: &scripts::CLAIM,
        queue: &request.queue,
        shape,
        partition,
        call: Some(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        takes_schedules: false,
        more_keys: Vec::new(),
        is_repeat: request.is_repeat,
        until: None,
        durability: Durability::Accepted,
        lease: None,
    };
    let Called::Answered(answer, _) = store.call_on(to, args).await? else { return Ok(None) };
    let mut reply = answer.reader(OP);
    match reply.next_word()?.as_ref() {
        b"paused" => {
            let claim = Claim::new(Vec::new(), None, true);
            Ok(Some(Answered { claim, now: None, is_registered: true, has_crossed: false }))
        }
        b"crossed" => {
            let claim = Claim::new(Vec::new(), None, false);
            Ok(Some(Answered { claim, now: None, is_registered: false, has_crossed: true }))
        }
        b"claimed" => {
            let now = Timestamp::from_millis(reply.next_u64()?);
            let claim = read(&mut reply, now, lasting, partition)?;
            if !claim.jobs.is_empty() {
                reply.record(request.queue.as_str(), claim.jobs.iter().map(|job| job.lease.job.clone()));
            }
            let is_registered = claim.jobs.len() < most && claim.next != Some(Duration::ZERO);
            Ok(Some(Answered { claim, now: Some(now), is_registered, has_crossed: false }))
        }
        _ => Err(reply.unknown_word()),
    }
}

fn read(reply: &mut ReplyReader, now: Timestamp, lasting: u64, partition: u16) -> Result<Claim> {
    let fence = Fence::new(reply.next_u64()?);
    let next = reply.next_int()?;
    let mut delivery = Delivery::new(now, fence, lasting, partition);
    for _ in 0..reply.next_u64()? {
        let (id, records) = (reply.next_bytes()?, reply.next_bytes()?);
        delivery.add(&id, records);
    }
    while reply.remaining() > 0 {
        let (number, before) = (reply.next_u64()?, reply.next_bytes()?);
        delivery.note_past(number, before);
    }
    Ok(Claim::new(delivery.jobs()?, u64::try_from(next).ok().map(Duration::from_millis), false))
}

/// The jobs of one claim, as they are read. One that cannot be read keeps its lease, is delivered again, and is dead after its
/// last attempt; the others are not affected.
pub(super) struct Delivery {
    now: Timestamp,
    fence: Fence,
    until: Timestamp,
    partition: u16,
    jobs: Vec<Option<ClaimedJob>>,
}

impl Delivery {
    pub(super) fn new(now: Timestamp, fence: Fence, lasting: u64, partition: u16) -> Self {
        let until = Timestamp::from_millis(now.as_millis().saturating_add(lasting));
        Self { now, fence, until, partition, jobs: Vec::new() }
    }

    /// An item: a packed id and a record, or positions of a batch and their records.
    pub(super) fn add(&mut self, id: &Bytes, records: Bytes) {
        let new = |(id, record): (JobId, Record)| self.claimed(id, record);
        let jobs = match Claimed::decode(id.clone()) {
            Some(claimed) => claimed.jobs(records).into_iter().map(|job| job.map(new)).collect(),
            None => vec![packed_id::unpack(id).zip(Record::decode(records)).map(new)],
        };
        self.jobs.extend(jobs);
    }

    /// The state before this claim of a job that was claimed before.
    pub(super) fn note_past(&mut self, number: u64, before: Bytes) {
        let slot = usize::try_from(number).ok().and_then(|number| self.jobs.get_mut(number));
        let Some(slot) = slot else { return };
        match (slot.as_mut(), JobStateRecord::decode(before)) {
            (Some(job), Some(before)) => {
                job.attempt = before.attempts + 1;
                job.last_error = before.last_error;
            }
            _ => *slot = None,
        }
    }

    /// All that can be read.
    pub(super) fn jobs(self) -> Result<Vec<ClaimedJob>> {
        let claimed = self.jobs.len();
        let mut jobs: Vec<_> = self.jobs.into_iter().flatten().collect();
        let bytes: usize = jobs.iter().map(|job| job.payload.len()).sum();
        // A payload shares the reply's memory and keeps all of it, for as long as its handler works.
        for job in jobs.iter_mut().filter(|job| bytes > SHARED_BYTES && 8 * job.payload.len() < bytes) {
            job.payload = Bytes::copy_from_slice(&job.payload);
        }
        if jobs.is_empty() && claimed > 0 {
            return Err(Error::corrupt(OP, "a job has a form that this version does not know"));
        }
        Ok(jobs)
    }

    /// A job as it is claimed for the first time.
    fn claimed(&self, id: JobId, record: Record) -> ClaimedJob {
        let held = record.unique.as_ref().filter(|unique| unique.until == UniqueUntil::Finished);
        let lease = JobLease::new(id, self.fence, self.until)
            .with_unique(held.map(|unique| unique.key.clone()))
            .with_partition(self.partition);
        let mut job = ClaimedJob::new(lease, 1, record.payload, record.pushed_at, self.now);
        job.priority = record.priority;
        job.unique = record.unique;
        job.retry = record.retry;
        job.schema = record.schema;
        job.trace = record.trace;
        job
    }
}

/// The registration of a waiter, as a claim takes it, and the tokens and the reserve of `earlier` ones, which the claim ends.
pub(super) fn registration(token: u64, reserve: usize, earlier: &[(u64, usize)], channel: &str) -> Bytes {
    let (count, earlier) = (earlier.len().min(usize::from(u8::MAX)), earlier.iter().rev());
    let two = |jobs: usize| u16::try_from(jobs).unwrap_or(u16::MAX);
    let mut bytes = BytesMut::with_capacity(13 + 8 * count + channel.len());
    bytes.put_u64(token);
    bytes.put_u16(two(reserve));
    bytes.put_u16(two(earlier.clone().take(count).map(|(_, reserve)| reserve).sum()));
    bytes.put_u8(count as u8);
    earlier.take(count).for_each(|(token, _)| bytes.put_u64(*token));
    bytes.put_slice(channel.as_bytes());
    bytes.freeze()
}

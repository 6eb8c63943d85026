//! Commits of five parts, and the smallest script that writes as much.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use store_core::{
    ClaimRequest, Commit, Delivered, Delivery, Durability, Fence, HolderName, Home, JobId, JobLease, NewJob, NewRun,
    Op, OutboxEntry, Outcome, QueueName, RunEvent, RunId, RunState, RunWrite, SaveRequest, StepAttempt, StepName,
    StreamName, UniqueKey, WorkflowRun,
};

use super::{Call, Prepare, calls_for, expect};
use crate::Result;
use crate::case::Side;
use crate::environment::{Environment, Stores};
use crate::floor::{Pipelined, Script};

/// The name of the floor.
pub(super) const FLOOR: &str = "1 script, 5 writes";
/// The bytes of an output, an event and a token.
const BYTES: usize = 100;
const ACCEPTED: Durability = Durability::Accepted;

/// KEYS: jobs, state, a ready list, leased, meta, a step, a run, a token, the remembered call. ARGV: the settled job, its state, the
/// new job, its record, an attempt, an output, a version, the head of the run, an event, the token. Checks each part, then writes.
const SCRIPT: &str = "local time = redis.call('TIME')
local s = redis.call('HGET', KEYS[2], ARGV[1])
local step = redis.call('HGET', KEYS[6], 's')
local run = redis.call('HGET', KEYS[7], 'run')
local token = redis.call('GETRANGE', KEYS[8], 0, 15)
if s and s ~= ARGV[2] or step and step ~= ARGV[5] or run and run ~= ARGV[7] or token == ARGV[7]
  or redis.call('HEXISTS', KEYS[1], ARGV[3]) == 1 then return {'refused'} end
redis.call('RPUSH', KEYS[3], ARGV[3])
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
redis.call('HSET', KEYS[6], 's', ARGV[5] .. time[1], 'o', ARGV[6])
redis.call('PEXPIRE', KEYS[6], 600000)
redis.call('HSET', KEYS[7], 'run', ARGV[8], 'e1', ARGV[9], 'e2', ARGV[9])
redis.call('PEXPIRE', KEYS[7], 600000)
redis.call('SET', KEYS[8], ARGV[7] .. ARGV[10])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('HINCRBY', KEYS[5], 'running', -1)
redis.call('SET', KEYS[9], 'committed', 'PX', 5000)
return {'committed'}";

pub(super) fn all() -> Vec<(Op, Arc<dyn Prepare>)> {
    vec![(Op::HomeCommit, Arc::new(Commits)), (Op::HomeDeliver, Arc::new(Deliveries))]
}

struct Deliveries;

#[async_trait]
impl Prepare for Deliveries {
    async fn calls(&self, stores: &Stores, numbers: Range<usize>) -> Result<Vec<Call>> {
        let (state, queue) = (&stores.state, QueueName::new("each")?);
        let home = state.home(&queue, &UniqueKey::new("each")?);
        let (outbox, lease, mut entries) = (queue.outbox(), Duration::from_secs(600), Vec::new());
        for of_job in leases(stores, &queue, &numbers).await? {
            let job = Delivery::job(QueueName::new("each-target")?, NewJob::new(vec![b'p'; 200]));
            let commit = Commit::new(of_job, Outcome::Complete(None)).with_delivery(job);
            expect(home.commit(&commit, ACCEPTED).await?.value.done().is_some(), Op::HomeCommit)?;
        }
        while entries.len() < numbers.len() {
            let (since, some) = (Instant::now(), (numbers.len() - entries.len()).min(100));
            let request = ClaimRequest::new(outbox.clone(), HolderName::new("each")?, some, lease);
            let claimed = state.claim(&request).await?.jobs;
            entries.extend(claimed.into_iter().map(|job| OutboxEntry::new(outbox.clone(), job, since, lease)));
        }
        Ok(calls_for(state, entries, |state, entry| async move {
            expect(state.deliver(&entry, ACCEPTED).await? == Delivered::Done, Op::HomeDeliver)
        }))
    }
}

struct Commits;

#[async_trait]
impl Prepare for Commits {
    async fn calls(&self, stores: &Stores, numbers: Range<usize>) -> Result<Vec<Call>> {
        let (state, queue) = (&stores.state, QueueName::new("each")?);
        let home = state.home(&queue, &UniqueKey::new("each")?);
        let leases = leases(stores, &queue, &numbers).await?;
        let mut commits = Vec::with_capacity(numbers.len());
        for (number, lease) in numbers.zip(leases) {
            commits.push(commit(home.as_ref(), number, lease).await?);
        }
        Ok(calls_for(&home, commits, |home, commit| async move {
            expect(home.commit(&commit, ACCEPTED).await?.value.done().is_some(), Op::HomeCommit)
        }))
    }
}

/// The leases of single jobs, as a commit pushes them.
async fn leases(stores: &Stores, queue: &QueueName, numbers: &Range<usize>) -> Result<Vec<JobLease>> {
    let mut leases = Vec::with_capacity(numbers.len());
    while leases.len() < numbers.len() {
        let some = (numbers.len() - leases.len()).min(100);
        let numbers = numbers.clone().skip(leases.len()).take(some);
        let job = |number| Ok(NewJob::new(vec![b'p'; 200]).with_id(JobId::new(format!("each-{number}"))?));
        let jobs = numbers.map(job).collect::<Result<Vec<NewJob>>>()?;
        let _ = stores.state.push(queue, &jobs, ACCEPTED).await?;
        let request = ClaimRequest::new(queue.clone(), HolderName::new("each")?, some, Duration::from_secs(600));
        leases.extend(stores.state.claim(&request).await?.jobs.into_iter().map(|job| job.lease));
    }
    Ok(leases)
}

/// A commit of five parts, whose step has begun and whose run exists.
async fn commit(home: &dyn Home, number: usize, lease: JobLease) -> Result<Commit> {
    let name = format!("each-{number}");
    let new = NewRun::new(RunId::new(&name)?, "each".try_into()?);
    let run = home.runs().create(&new, ACCEPTED).await?.value.done().ok_or("the run exists")?;
    let attempt = StepAttempt::new(WorkflowRun::named(&name)?, StepName::new("charge")?, Fence::new(1));
    expect(home.steps().begin(&attempt, ACCEPTED).await?.value.is_started(), Op::StepBegin)?;
    let text = vec![b't'; BYTES];
    let write = RunWrite::new(run.run.clone()).to(RunState::InProgress, run.version);
    Ok(Commit::new(lease, Outcome::Complete(None))
        .with_job(NewJob::new(vec![b'p'; 200]))
        .with_step(attempt, text.clone())
        .with_run(write.with_event(RunEvent::new("page", text.clone())))
        .with_token(SaveRequest::new(StreamName::new(&name)?, text, Fence::new(1), None)))
}

/// The floor, with `ops` calls per round.
pub(super) async fn floor(environment: &Environment, ops: usize) -> Result<Box<dyn Side>> {
    let mut wire = environment.wire().await?;
    let (script, payload) = (Script::load(&mut wire, SCRIPT).await?, environment.payload());
    let floor = Pipelined::new(wire, FLOOR, 1, ops, move |number, _, commands| {
        let key = |part: &str| format!("floor:{part}").into_bytes();
        let own = |part: &str| key(&format!("{part}:{number}"));
        let keys = [
            key("jobs"),
            key("state"),
            key("ready"),
            key("leased"),
            key("meta"),
            own("step"),
            own("run"),
            own("token"),
            own("call"),
        ];
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let id = format!("{number:017}").into_bytes();
        let (head, text) = (vec![b'h'; 180], vec![b't'; BYTES]);
        let args: [&[u8]; 10] = [&id, &head, &id, &payload, &id, &text, &id, &head, &text, &text];
        script.call(&keys, &args, commands);
    });
    Ok(floor.with_leaves("floor:").side())
}

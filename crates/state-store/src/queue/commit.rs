//! [`Home::commit`](store_core::Home::commit): one script.

use std::sync::Arc;

use bytes::BytesMut;
use redis_link::keys::{HomeKeys, QueueKeys};
use redis_link::layout::Aggregate;
use redis_link::{Answer, Arg, Script, args};
use store_core::{
    Commit, CommitParts, Committed, Durability, Error, NewJob, Op, Pushed, Reached, Receipt, Result, ResumeToken,
    RunEvents, Settled, millis_ceil,
};

use super::homes::HomeOf;
use super::partition::{Called, Shape, Target};
use super::{held, packed_id, push, record, settle};
use crate::{StateStore, resume_tokens, runs, steps};

const OP: Op = Op::HomeCommit;

/// The pieces before a script's own file: files below `lua`, and the pieces of other capabilities.
macro_rules! piece {
    ($name:literal) => {
        include_str!(concat!("../../lua/", $name, ".lua"))
    };
}

const PIECES: &[&str] = &[
    piece!("queue/keys"),
    piece!("queue/begin"),
    piece!("home/commit_plain"),
    piece!("home/layouts"),
    piece!("home/collecting"),
    piece!("queue/positions"),
    piece!("queue/batch"),
    piece!("queue/writes"),
    piece!("queue/batches"),
    piece!("queue/blob"),
    piece!("queue/running"),
    piece!("queue/single"),
    piece!("queue/unique"),
    piece!("queue/waiter"),
    piece!("queue/wake"),
    piece!("queue/finished"),
    piece!("queue/moves"),
    piece!("queue/find"),
    piece!("queue/outcomes"),
    piece!("queue/push_singles"),
    steps::RECORD,
    steps::ENDING,
    runs::RECORD,
    runs::WRITING,
    resume_tokens::RECORD,
    resume_tokens::WRITES,
    piece!("home/parts"),
    piece!("home/commit"),
];

static COMMIT: Script = Script::adds("home/commit", PIECES);
/// For commits that push nothing and append nothing to a run that lasts.
static END: Script = Script::frees("home/commit", PIECES);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 1] = [&COMMIT];

pub(super) async fn commit(
    store: &StateStore,
    home: &HomeOf,
    commit: &Commit,
    durability: Durability,
) -> Result<Receipt<Committed>> {
    Ok(with_shape!(store, OP, &home.queue, true, |shape| { commit_in(store, home, &shape, commit, durability).await? }))
}

/// `None` if the queue has another shape, and nothing was written.
async fn commit_in(
    store: &StateStore,
    home: &HomeOf,
    shape: &Arc<Shape>,
    commit: &Commit,
    durability: Durability,
) -> Result<Option<Receipt<Committed>>> {
    let partition = home.partition(shape);
    let lease = &commit.settlement.lease;
    if lease.partition != partition {
        let detail = format!(
            "the job is in partition {} of the queue, and the home is partition {partition}: commit it in the home of its \
             unique key",
            lease.partition
        );
        return Err(Error::invalid_argument(OP, detail));
    }
    let commit = commit.prepared(&home.queue, partition)?;
    let entries = commit.entries(partition)?;
    for (index, job) in commit.jobs.iter().enumerate() {
        let belongs = push::routed(shape, job).unwrap_or(partition);
        if belongs != partition {
            let detail =
                format!("job {index} belongs to partition {belongs} of the queue, and the home is {partition}");
            return Err(Error::invalid_argument(OP, detail));
        }
    }
    let keys = HomeKeys::new(&store.namespace, shape.keys(partition));
    let (mut more_keys, mut letters, mut parts) = (Vec::new(), String::new(), Vec::new());
    if let Some((attempt, output)) = &commit.step {
        letters.push('s');
        more_keys.push(keys.steps(&store.scope, &attempt.run));
        parts.extend(args![store.step_layouts(), millis_ceil(store.link.collection_margin())]);
        parts.extend(steps::end_args(attempt, output));
    }
    if let Some(write) = &commit.run {
        letters.push('r');
        more_keys.push(keys.run(&write.run));
        let margin = millis_ceil(store.link.collection_margin());
        parts.extend(args![store.link.layouts().argument(Aggregate::Run), margin, RunEvents::MAX_RUN_BYTES]);
        parts.extend(store.commit_args(write, durability));
    }
    if let Some(save) = &commit.token {
        letters.push('t');
        more_keys.push(keys.resume_token(&save.stream));
        parts.extend(args![store.token_layouts(), millis_ceil(ResumeToken::EXPIRED_KEPT_FOR)]);
        parts.extend(resume_tokens::save_args(save));
    }
    if !entries.is_empty() {
        letters.push('o');
        let outbox = QueueKeys::new(&store.namespace, &home.queue.outbox(), partition, shape.count());
        let [_, _, normal, _] = outbox.ready;
        more_keys.extend([outbox.jobs, outbox.state, normal, outbox.meta]);
        parts.push(Arg::from(entries.len()));
        let mut buffer = BytesMut::new();
        for entry in &entries {
            push_id_and_record(entry, &mut buffer, &mut parts);
        }
    }
    let (word, time, text) = settle::outcome(&commit.settlement.outcome);
    let mut all = vec![
        store.remembered_arg(durability),
        shape.bounds_arg(),
        Arg::from(held::fence_and_id(lease)),
        Arg::fixed(word),
        Arg::from(millis_ceil(time)),
        text,
    ];
    // These are 2 to 10 of ARGV, with the shape.
    all.extend(args![letters, 11 + parts.len()]);
    all.append(&mut parts);
    job_args(&commit.jobs, &mut all);
    let adds =
        !commit.jobs.is_empty() || !entries.is_empty() || commit.run.as_ref().is_some_and(|write| !runs::ends(write));
    let [.., a, b, c, d, e, f, g, h] = *commit.request.as_bytes();
    let to = Target {
        call: Some(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        more_keys,
        durability,
        ..Target::new(OP, if adds { &COMMIT } else { &END }, &home.queue, shape, partition)
    };
    match store.call_on(to, all).await? {
        Called::OtherShape => Ok(None),
        Called::Answered(answer, reached) => read(home, &commit, answer, reached).map(Some),
    }
}

fn job_args(jobs: &[NewJob], args: &mut Vec<Arg>) {
    let mut buffer = BytesMut::new();
    for job in jobs {
        push_id_and_record(job, &mut buffer, args);
        let delay = millis_ceil(job.delay);
        args.push(if delay == 0 { Arg::fixed("") } else { Arg::from(delay) });
    }
}

/// A prepared commit gives each job an id.
fn push_id_and_record(job: &NewJob, buffer: &mut BytesMut, args: &mut Vec<Arg>) {
    if let Some(id) = &job.id {
        packed_id::pack(id, buffer);
    }
    args.push(Arg::Bytes(buffer.split().freeze()));
    record::encode(job, buffer);
    args.push(Arg::Bytes(buffer.split().freeze()));
}

fn read(home: &HomeOf, commit: &Commit, answer: Answer, reached: Result<Reached>) -> Result<Receipt<Committed>> {
    let mut reply = answer.reader(OP);
    match reply.next_word()?.as_ref() {
        b"committed" | b"refused" => {}
        b"unknown" => {
            let detail = "the job is settled, and the server cannot tell whether an earlier copy of this call did it";
            return Err(Error::indeterminate(OP, detail));
        }
        _ => return Err(reply.unknown_word()),
    }
    let settled = match reply.next_word()?.as_ref() {
        b"done" => Settled::Done,
        b"lost" => Settled::Lost,
        _ => return Err(reply.unknown_word()),
    };
    let created = |job: &NewJob| job.id.clone().map(|id| Pushed::Created { id });
    let mut pushed: Vec<Pushed> = commit.jobs.iter().filter_map(created).collect();
    let mut refused = reply.next_list()?;
    while refused.remaining() > 0 {
        let number = usize::try_from(refused.next_u64()?).unwrap_or(usize::MAX);
        let (word, holder) = (refused.next_word()?, refused.next_bytes()?);
        let answer = match word.as_ref() {
            b"duplicate" => Pushed::Duplicate,
            b"held" => Pushed::Held { by: super::read_id(OP, &holder)? },
            _ => return Err(refused.unknown_word()),
        };
        let unknown = || Error::corrupt(OP, "the reply names a job that was not sent");
        *pushed.get_mut(number).ok_or_else(unknown)? = answer;
    }
    let mut parts = CommitParts::new(settled, pushed);
    if commit.step.is_some() {
        parts.step = Some(match reply.next_word()?.as_ref() {
            b"recorded" => true,
            b"superseded" => false,
            _ => return Err(reply.unknown_word()),
        });
    }
    if let Some(write) = &commit.run {
        parts.run = Some(runs::reply::written(OP, &write.run, &mut reply.next_list()?)?);
    }
    if let Some(save) = &commit.token {
        parts.token = Some(resume_tokens::saved(&save.stream, &mut reply.next_list()?)?);
    }
    match parts.into_committed() {
        // Nothing was written, so `NotDurable` would be wrong.
        refused @ Committed::Refused(_) => Ok(Receipt::new(refused, reached.unwrap_or_default())),
        done => {
            // Without the jobs that it pushed: if a failover loses them, it loses the settlement too, and the next delivery pushes them
            // again.
            reply.record(home.queue.as_str(), [commit.settlement.lease.job.clone()]);
            Ok(Receipt::new(done, reached?))
        }
    }
}

//! Making sequences from a seed.

use std::time::Duration;

use fastrand::Rng;
use store_core::{
    Backoff, JobId, JobState, Kept, NewJob, Outcome, Priority, Rate, RetryPolicy, RunState, Unique, UniqueKey,
    UniqueUntil,
};

use super::step::{Committing, Step};

/// How many different job ids there are.
pub(super) const IDS: u8 = 40;

const TEXTS: [&str; 5] = ["", "a", "message", "a longer text that is not like the others", "\0\r\n"];

/// The sequence of a seed. `has_batches`: whether the store assigns the ids of many jobs.
pub(super) fn sequence(seed: u64, steps: usize, has_batches: bool) -> Vec<Step> {
    let mut rng = Rng::with_seed(seed);
    // one rate per key: the contract does not define a limit whose rate changes
    let rates = [0, 1, 2].map(|_| rate(&mut rng));
    let step = |_| match rng.u8(..10) {
        0..=5 if has_batches && rng.u8(..4) == 0 => Step::PushNew(new_jobs(&mut rng)),
        0..=5 => queue_step(&mut rng, if has_batches { 2 * IDS } else { IDS }),
        _ => other_step(&mut rng, &rates),
    };
    (0..steps).map(step).collect()
}

fn queue_step(rng: &mut Rng, ids: u8) -> Step {
    let id = rng.u8(..ids);
    match rng.u8(..37) {
        0..=2 => Step::Push((0..rng.usize(1..4)).map(|_| job(rng)).collect()),
        3..=5 => Step::Push(plain_jobs(rng)),
        6..=11 => Step::Claim(rng.usize(1..8), time(rng)),
        12..=13 => Step::Extend(numbers(rng), time(rng), rng.bool().then(|| text(rng))),
        14..=18 => Step::Settle(numbers(rng).into_iter().map(|number| (number, outcome(rng))).collect()),
        19 => Step::Cancel(id),
        20 => Step::Replay(id),
        21 => Step::Delete(id),
        22 => Step::Promote(id),
        23 => [Step::Pause, Step::Resume, Step::Resume][rng.usize(..3)].clone(),
        28..=29 => Step::Push(delayed_jobs(rng)),
        30..=31 => Step::Wait([0, 2, 12, 30][rng.usize(..4)]),
        32 => Step::StopWaiting { is_dropped: rng.bool() },
        33..=36 => Step::Commit(committing(rng)),
        24 => Step::Explain(id),
        25 => Step::List(state(rng), rng.u32(1..6)),
        _ => Step::Advance(time(rng)),
    }
}

fn other_step(rng: &mut Rng, rates: &[Rate; 3]) -> Step {
    let (key, request) = (rng.u8(..3), rng.u8(..4));
    match rng.u8(..25) {
        0 => Step::Acquire { name: key, holder: request, lasting: time(rng), request },
        1 => Step::Renew(rng.usize(..3), time(rng)),
        2 => Step::Release(rng.usize(..3)),
        3 => Step::Inspect(key),
        4..=5 => Step::Beat { member: request, lasting: time(rng) },
        6 => Step::Leave(request),
        7 => Step::Members,
        8..=9 => Step::Begin { key, content: u8::from(rng.u8(..5) == 0), request, lasting: time(rng) },
        10 => Step::Finish { key, request, response: text(rng), keep: time(rng) },
        11 => Step::Abandon { key, request },
        12..=13 => Step::Check((0..rng.u8(1..4)).map(|key| (key, rates[usize::from(key)], rng.u32(..3))).collect()),
        14 => Step::ResetLimit(key),
        15 => Step::Set(key, text(rng)),
        16 => Step::SetIfAbsent(key, text(rng), request),
        17 => Step::Get((0..rng.usize(1..4)).map(|_| rng.u8(..4)).collect()),
        18 => Step::Unset((0..rng.usize(1..4)).map(|_| rng.u8(..4)).collect()),
        19 => Step::DeleteIf(key, text(rng)),
        20 => Step::Add(key, rng.i64(-3..4)),
        21 => Step::Put { to_other: rng.bool(), key, value: text(rng), request },
        22 => Step::Take { by_other: rng.bool(), key, claim: request },
        23 => Step::Prolong { key, request, lasting: time(rng) },
        _ => Step::Advance(time(rng)),
    }
}

/// One of a few times, so that many ends are equal or close.
fn time(rng: &mut Rng) -> Duration {
    Duration::from_millis([999, 1000, 1000, 1001, 2000, 5000, 10_000, 60_000][rng.usize(..8)])
}

fn text(rng: &mut Rng) -> &'static str {
    TEXTS[rng.usize(..TEXTS.len())]
}

fn state(rng: &mut Rng) -> JobState {
    [JobState::Ready, JobState::Scheduled, JobState::Running, JobState::Completed, JobState::Dead][rng.usize(..5)]
}

/// Half of the ids are canonical UUIDs in a few groups, which engines may store differently.
pub(super) fn job_id(id: u8) -> JobId {
    let (group, number) = (id % 3, id.wrapping_mul(11).wrapping_add(30));
    let text = match id.is_multiple_of(2) {
        // Some as long as a packed UUID.
        true => format!("job-{id:0width$}", width = if id.is_multiple_of(4) { 13 } else { 1 }),
        // Those of the last one are of version 4.
        false => format!("00000000-0000-{}000-8000-00000000{group:02x}{number:02x}", if group == 2 { 4 } else { 7 }),
    };
    JobId::new(text).unwrap()
}

fn job(rng: &mut Rng) -> (u8, NewJob) {
    let id = rng.u8(..IDS);
    let mut job = NewJob::new(text(rng).as_bytes()).with_id(job_id(id)).with_schema(rng.u16(..2));
    job.request = rng.u32(..2);
    job.retry = RetryPolicy::new(rng.u16(1..4), Backoff::Fixed(time(rng)));
    if rng.u8(..3) == 0 {
        job.delay = time(rng);
    }
    if rng.u8(..3) == 0 {
        job.priority = Priority::ALL[rng.usize(..4)];
    }
    if rng.u8(..4) == 0 {
        job.start_within = Some(time(rng));
    }
    if rng.u8(..3) == 0 {
        let until = [UniqueUntil::Claimed, UniqueUntil::Finished, UniqueUntil::Elapsed(time(rng))][rng.usize(..3)];
        job.unique = Some(Unique::new(UniqueKey::new(format!("key-{}", rng.u8(..3))).unwrap(), until));
    }
    (id, job)
}

/// Up to 12 different plain jobs of one priority. They are stored as one batch, unless the queue has one of them already.
fn plain_jobs(rng: &mut Rng) -> Vec<(u8, NewJob)> {
    let (priority, retry) = (Priority::ALL[rng.usize(..4)], RetryPolicy::new(rng.u16(1..4), Backoff::Fixed(time(rng))));
    let mut ids: Vec<u8> = (0..IDS).collect();
    rng.shuffle(&mut ids);
    ids.truncate(rng.usize(2..13));
    let plain = |id: u8| {
        let mut job = NewJob::new(text(rng).as_bytes()).with_id(job_id(id)).with_priority(priority).with_retry(retry);
        job.request = 0;
        (id, job)
    };
    ids.into_iter().map(plain).collect()
}

/// Jobs of one push without ids: with one priority or several, due now, at one time or at several times. The plain ones form
/// batches.
fn new_jobs(rng: &mut Rng) -> Vec<NewJob> {
    let most = [3, 10, 52][rng.usize(..3)];
    let (priorities, delays, most_bytes) = (rng.usize(1..3), rng.u8(..3), [20, 300][rng.usize(..2)]);
    let (delay, retry) = (time(rng), RetryPolicy::new(rng.u16(1..4), Backoff::Fixed(time(rng))));
    let priorities: Vec<_> = (0..priorities).map(|_| Priority::ALL[rng.usize(..4)]).collect();
    let count = rng.usize(1..=most);
    let new = |_| {
        let mut job = NewJob::new(vec![b'x'; rng.usize(..most_bytes)]).with_retry(retry);
        job.priority = priorities[rng.usize(..priorities.len())];
        job.delay = [Duration::ZERO, delay, time(rng)][usize::from(delays)];
        job.start_within = (rng.u8(..40) == 0).then(|| time(rng));
        job
    };
    (0..count).map(new).collect()
}

/// Up to 12 different scheduled jobs. They may be packed into one string.
fn delayed_jobs(rng: &mut Rng) -> Vec<(u8, NewJob)> {
    let mut jobs = plain_jobs(rng);
    jobs.iter_mut().for_each(|(_, job)| job.delay = time(rng));
    jobs
}

/// Numbers of the last leases: a few, or many.
fn numbers(rng: &mut Rng) -> Vec<usize> {
    let most = [3, 3, 10, 10, 50][rng.usize(..5)];
    (0..rng.usize(1..most)).map(|_| rng.usize(..=most)).collect()
}

fn outcome(rng: &mut Rng) -> Outcome {
    let after = if rng.bool() { Duration::ZERO } else { time(rng) };
    match rng.u8(..9) {
        0..=1 => Outcome::Complete(None),
        2..=3 => Outcome::Complete(Some(Kept::new(text(rng).as_bytes(), after))),
        4 => Outcome::Retry { after, error: text(rng).to_owned() },
        5 => Outcome::Snooze { after },
        6 => Outcome::Dead { reason: text(rng).to_owned() },
        7 => Outcome::Release,
        _ => Outcome::Cancelled,
    }
}

/// Half of them are just complete, most push a job or none.
fn committing(rng: &mut Rng) -> Committing {
    let of_three = |rng: &mut Rng| rng.u8(..3);
    let mut outcome = if rng.bool() { Outcome::Complete(None) } else { outcome(rng) };
    let jobs: Vec<_> = (0..[0, 0, 1, 1, 1, 2][rng.usize(..6)]).map(|_| job(rng)).collect();
    // The contract does not define the order of the jobs and of a settled job that is ready again at once.
    if let Outcome::Retry { after, .. } | Outcome::Snooze { after } = &mut outcome {
        *after = if jobs.is_empty() { *after } else { time(rng) };
    }
    Committing {
        number: rng.usize(..4),
        outcome,
        jobs,
        step: (of_three(rng) == 0).then(|| rng.u8(1..4)),
        run: (of_three(rng) == 0).then(|| RunState::ALL[[1, 1, 1, 2, 3][rng.usize(..5)]]),
        token: (of_three(rng) == 0).then(|| rng.u8(1..4)),
        is_repeated: of_three(rng) == 0,
    }
}

fn rate(rng: &mut Rng) -> Rate {
    if rng.bool() {
        Rate::Gcra { count: rng.u32(1..4), period: time(rng), burst: rng.u32(1..4) }
    } else {
        Rate::FixedWindow { count: rng.u32(1..4), window: time(rng) }
    }
}

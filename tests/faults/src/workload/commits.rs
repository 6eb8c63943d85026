//! Workers that end their jobs by commits in a home. Each commit pushes a job, finishes a step, appends to a run and saves a token, and
//! all of these have one name, so that they can be read after the run.

use std::time::Duration;

use store_core::{ClaimRequest, JobLease, Outcome, Settlement};
use twinstore::durability::Durability;
use twinstore::home::{Commit, Committed};
use twinstore::lease::Fence;
use twinstore::name::{HolderName, RequestId};
use twinstore::queue::{JobId, NewJob, QueueName, UniqueKey};
use twinstore::resume_token::{SaveRequest, StreamName};
use twinstore::run::{NewRun, RunEvent, RunId, RunOutcome, RunWrite};
use twinstore::step::{StepAttempt, StepName, StepState, WorkflowRun};
use twinstore::time::Ttl;
use twinstore::worker::{Done, HandlerResult, Job, JobError};
use twinstore::{Bytes, Error};

use super::deliveries::sending;
use super::ids::Ids;
use super::{Actor, COMMITS, Shared, queue};
use crate::history::{Answer, Call};
use crate::recorded::{Client, RecordedHome, record, retry};

/// How many commits append to one run.
const PER_RUN: u64 = 200;

/// The payload of the jobs that commits push.
const NEXT: &str = "next";

/// In a run that is no soak, no worker claims what a commit has pushed.
const LATER: Duration = Duration::from_secs(3600);

/// The commit of a worker with this number: the name of what it writes, and the run to which it appends.
struct Named {
    next: String,
    run: String,
}

impl Named {
    fn new(worker: &str, number: u64) -> Self {
        let worker = worker.replace('/', "-");
        Self { next: format!("{worker}-{number}"), run: format!("{worker}-{}", number / PER_RUN) }
    }

    fn step(&self) -> StepAttempt {
        let run = WorkflowRun::named(&self.next).expect("a valid name");
        StepAttempt::new(run, StepName::new("one").expect("a valid name"), Fence::new(1))
    }

    fn run(&self) -> RunId {
        RunId::new(&self.run).expect("a valid name")
    }

    fn stream(&self) -> StreamName {
        StreamName::new(&self.next).expect("a valid name")
    }
}

/// Ends jobs by commits: in time, late, twice, with another commit, or never.
pub(crate) async fn commit(mut actor: Actor) {
    let name = actor.client.recorder.name().to_owned();
    let (worker, mut ids) = (HolderName::new(&name).expect("a valid name"), Ids::new(&format!("{name}-job")));
    let (mut late, mut number): (Vec<JobLease>, u64) = (Vec::new(), 0);
    while actor.pause(Duration::from_millis(200)).await {
        if actor.chance(70) {
            let job = NewJob::new("work").with_id(ids.text());
            drop(actor.client.queue.push(&queue(COMMITS), &[job], actor.client.durability).await);
        }
        let request = ClaimRequest::new(queue(COMMITS), worker.clone(), 3, actor.lasting(300..1500));
        let Ok(claim) = actor.client.queue.claim(&request).await else { continue };
        for job in claim.jobs {
            if job.payload == NEXT {
                let end = [Settlement::new(job.lease, Outcome::Complete(None))];
                drop(actor.client.queue.settle(&queue(COMMITS), &end, actor.client.durability).await);
                continue;
            }
            match actor.random.u32(0..100) {
                // as if the process had died
                0..5 => {}
                5..25 => late.push(job.lease),
                choice => {
                    end(&mut actor, &name, &mut number, &job.lease).await;
                    if choice < 35 {
                        // another commit of a job that has ended
                        end(&mut actor, &name, &mut number, &job.lease).await;
                    }
                }
            }
        }
        if late.len() > 2 {
            let lease = late.swap_remove(0);
            end(&mut actor, &name, &mut number, &lease).await;
        }
    }
}

/// One commit; half of the time it is repeated if it was not answered.
async fn end(actor: &mut Actor, worker: &str, number: &mut u64, lease: &JobLease) {
    let named = Named::new(worker, *number);
    *number += 1;
    let (home, durability) = (actor.client.home.clone(), actor.client.durability);
    let ttl = Ttl::new(actor.times.kept(&mut actor.random)).expect("a valid time");
    let attempt = named.step().with_ttl(ttl);
    // what is missing refuses the commit
    drop(home.inner.steps().begin(&attempt, durability).await);
    let delay = if actor.times.is_soak { actor.lasting(0..1) } else { LATER };
    let next = NewJob::new(NEXT).with_id(JobId::new(&named.next).expect("a valid id")).with_delay(delay);
    let event = RunEvent::new("note", named.next.clone());
    let token = SaveRequest::new(named.stream(), named.next.clone(), Fence::new(1), None).with_ttl(ttl);
    let commit = Commit::new(lease.clone(), Outcome::Complete(None))
        .with_job(next)
        .with_step(attempt, named.next.clone())
        .with_run(RunWrite::new(named.run()).with_event(event))
        .with_request(RequestId::from_bytes(actor.random.u128(..).to_be_bytes()));
    // the fence of an expired token is kept for a day
    let commit = if actor.times.is_soak { commit } else { commit.with_token(token) };
    let commit = sending(commit, &named.next, &mut actor.random);
    let mut committed = home.commit(&commit, durability).await;
    if committed.is_err() && actor.chance(50) {
        committed = home.commit(&commit, durability).await;
    }
    if let Ok(Committed::Refused(parts)) = committed.map(|receipt| receipt.value)
        && parts.run == Some(RunOutcome::Absent)
    {
        create_run(&home, &named, ttl, durability).await;
    }
    if !actor.times.is_soak {
        actor.shared.remember_commit(worker, *number);
    }
}

/// A handler ends its job by a commit, which pushes a job and sends something elsewhere.
pub(super) async fn end_in_handler(client: &Client, job: &Job, random: &mut fastrand::Rng) -> HandlerResult {
    let name = format!("{}-{:016x}", client.recorder.name().replace('/', "-"), random.u64(..));
    let next = NewJob::new("next of a handler").with_id(JobId::new(&name).expect("a valid id"));
    let commit = sending(job.commit(()).with_job(next), &name, random);
    match client.plain_home.commit(&commit, client.durability).await?.value {
        Committed::Done(_) => Ok(Done::committed()),
        Committed::Refused(_) => Err(JobError::retry("refused")),
    }
}

async fn create_run(home: &RecordedHome, named: &Named, ttl: Ttl, durability: Durability) {
    let run = NewRun::new(named.run(), "committer".try_into().expect("a valid name")).with_ttl(ttl);
    drop(home.inner.runs().create(&run, durability).await);
}

/// After the run: reads the parts of all commits.
pub(crate) async fn read_all(client: &Client, shared: &Shared) -> Result<(), Error> {
    for (worker, count) in shared.commits() {
        let mut events: Option<(String, Vec<String>)> = None;
        for number in 0..count {
            let named = Named::new(&worker, number);
            if events.as_ref().is_none_or(|(run, _)| *run != named.run) {
                events = Some((named.run.clone(), retry(async || events_of(client, &named.run()).await).await?));
            }
            let (_, appended) = events.as_ref().expect("it was just read");
            let call = Call::ReadCommit { queue: COMMITS.to_owned(), next: named.next.clone() };
            let invocation = client.recorder.invoke(call);
            let parts = retry(async || parts(client, &named, appended).await).await;
            record(invocation, parts, |parts| Answer::Each(parts.to_vec()))?;
        }
    }
    Ok(())
}

async fn events_of(client: &Client, run: &RunId) -> Result<Vec<String>, Error> {
    let events = client.home.inner.runs().events(run, 0, 1000).await?;
    let events = events.into_iter().flat_map(|events| events.events);
    Ok(events.map(|event| String::from_utf8_lossy(&event.data).into_owned()).collect())
}

async fn parts(client: &Client, named: &Named, appended: &[String]) -> Result<[bool; 4], Error> {
    let (home, queue): (_, QueueName) = (&client.home.inner, queue(COMMITS));
    let id = JobId::new(&named.next).expect("a valid id");
    let (attempt, written) = (named.step(), Bytes::from(named.next.clone()));
    let job = client.inspect.get(&queue, &id).await?.is_some();
    let step = home.steps().get(&attempt.run, &attempt.step).await?;
    let step = step.is_some_and(|step| step.state == StepState::Finished && step.output.as_ref() == Some(&written));
    let token = home.resume_tokens().load(&named.stream()).await?.is_some_and(|token| token.token == written);
    Ok([job, step, appended.contains(&named.next), token])
}

/// The key of the home of all commits. Their queue has one partition.
pub(crate) fn home_key() -> UniqueKey {
    UniqueKey::new("home").expect("a valid key")
}

//! Commits: scripts that are interrupted after each write, keys, partitions.

use std::sync::Arc;
use std::time::Instant;

use state_store::StateOptions;
use store_core::{
    Commit, Committed, Delivered, Delivery, Durability, Error, Fence, Home, Homes, JobId, JobLease, NewJob, NewRun,
    OutboxEntry, Outcome, Queue, QueueExt, QueueInspect, QueueName, Result, RunEvent, RunId, RunOutcome, RunState,
    RunWrite, SaveRequest, StepAttempt, StepName, StepState, StreamName, UniqueKey, UniqueUntil, WorkflowRun,
};
use testkit::{Interrupted, random_prefix};

use super::LEASE;
use super::crashes::{Fixture, fixture, fixture_with, unique};

const ACCEPTED: Durability = Durability::Accepted;

/// The commit of a claimed job, and its home.
pub(super) struct Prepared {
    pub(super) home: Arc<dyn Home>,
    pub(super) commit: Commit,
}

/// Which parts are written: the job, the step, the run, the token, the deliveries if there are any.
type Parts = Vec<bool>;

/// The queue to which a commit of `queue` delivers.
pub(super) fn target(queue: &QueueName) -> QueueName {
    QueueName::new(format!("{queue}-target")).unwrap()
}

/// Two jobs, one with an id of its own.
pub(super) fn delivering(queue: &QueueName, commit: Commit) -> Commit {
    let jobs = [NewJob::new("a"), NewJob::new("b").with_id(JobId::new("own").unwrap())];
    jobs.into_iter().fold(commit, |commit, job| commit.with_delivery(Delivery::job(target(queue), job)))
}

pub(super) async fn entries(fixture: &Fixture, queue: &QueueName) -> Vec<OutboxEntry> {
    let (since, outbox) = (Instant::now(), queue.outbox());
    let claimed = fixture.claim(&outbox, 100).await.unwrap();
    claimed.into_iter().map(|job| OutboxEntry::new(outbox.clone(), job, since, LEASE)).collect()
}

/// Delivers all entries. Then each job has arrived once, and the outbox has nothing left over.
pub(super) async fn assert_delivered(fixture: &Fixture, queue: &QueueName) {
    for entry in entries(fixture, queue).await {
        assert_eq!(fixture.store.deliver(&entry, ACCEPTED).await.unwrap(), Delivered::Done);
    }
    let delivered = fixture.drain(&target(queue)).await;
    assert!(delivered.len() == 2 && delivered.values().all(|times| *times == 1), "{delivered:?}");
    fixture.assert_clean(&target(queue)).await;
    assert_eq!(fixture.drain(&queue.outbox()).await.len(), 0);
    fixture.assert_clean(&queue.outbox()).await;
}

fn run_id() -> RunId {
    RunId::new("run").unwrap()
}

fn charge() -> StepAttempt {
    StepAttempt::new(WorkflowRun::named("import").unwrap(), StepName::new("charge").unwrap(), Fence::new(7))
}

fn stream() -> StreamName {
    StreamName::new("orders").unwrap()
}

/// A job that is claimed, and what its commit changes. `is_single`: whether it is a single job.
pub(super) async fn prepare(fixture: &Fixture, queue: &QueueName, is_single: bool) -> Prepared {
    let store = &fixture.store;
    let home = store.home(queue, &UniqueKey::new("key of first").unwrap());
    let jobs = if is_single { vec![unique("first", UniqueUntil::Finished)] } else { vec![NewJob::new("a"); 3] };
    assert_eq!(store.push(queue, &jobs, ACCEPTED).await.unwrap().value.len(), jobs.len());
    let lease = fixture.claim(queue, 1).await.unwrap().remove(0).lease;
    // The extension shows that the worker has received the job.
    store.extend(queue, &[store_core::Extension::new(lease.clone())], LEASE).await.unwrap();
    let new = NewRun::new(run_id(), "importer".try_into().unwrap());
    let run = home.runs().create(&new, ACCEPTED).await.unwrap().value.done().unwrap();
    assert!(home.steps().begin(&charge(), ACCEPTED).await.unwrap().value.is_started());
    let write = RunWrite::new(run_id()).to(RunState::InProgress, run.version).with_event(RunEvent::new("page", "1"));
    let commit = Commit::new(lease, Outcome::Complete(None))
        .with_job(NewJob::new("next"))
        .with_step(charge(), "paid")
        .with_run(write)
        .with_token(SaveRequest::new(stream(), "page 1", Fence::new(1), None));
    Prepared { home, commit }
}

pub(super) async fn commit(prepared: &Prepared) -> Result<Committed> {
    Ok(prepared.home.commit(&prepared.commit, ACCEPTED).await?.value)
}

/// Whether the step, the run and the token are written. Each is written once.
pub(super) async fn records(home: &dyn Home) -> [bool; 3] {
    let step = home.steps().get(&charge().run, &charge().step).await.unwrap().unwrap();
    assert!(step.output.is_none_or(|output| output == "paid"));
    let events = home.runs().events(&run_id(), 0, 10).await.unwrap().unwrap().events;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert!(kinds == ["run.created"] || kinds == ["run.created", "page", "run.in-progress"], "{kinds:?}");
    let run = home.runs().get(&run_id()).await.unwrap().unwrap();
    assert_eq!(run.state == RunState::InProgress, kinds.len() == 3);
    let token = home.resume_tokens().load(&stream()).await.unwrap();
    [step.state == StepState::Finished, kinds.len() == 3, token.is_some()]
}

/// How many jobs there are that the commit pushes.
pub(super) async fn pushed(fixture: &Fixture, queue: &QueueName) -> usize {
    let mut jobs = 0;
    for state in [store_core::JobState::Ready, store_core::JobState::Running] {
        let listed = fixture.store.list(queue, state, Default::default()).await.unwrap().items;
        for job in listed {
            let info = fixture.store.get(queue, &job.id).await.unwrap();
            jobs += usize::from(info.is_some_and(|info| info.payload == "next"));
        }
    }
    jobs
}

/// The parts that are written. Each is written once.
async fn written(fixture: &Fixture, queue: &QueueName, home: &dyn Home) -> Parts {
    let jobs = pushed(fixture, queue).await;
    assert!(jobs <= 1, "the job was pushed {jobs} times");
    std::iter::once(jobs == 1).chain(records(home).await).collect()
}

/// The number of entries of the outbox.
pub(super) async fn recorded(fixture: &Fixture, queue: &QueueName) -> usize {
    let outbox = queue.outbox();
    fixture.store.list(&outbox, store_core::JobState::Ready, Default::default()).await.unwrap().items.len()
}

/// Everything is written once, and the job is settled.
async fn assert_done(fixture: &Fixture, queue: &QueueName, prepared: &Prepared) {
    assert_eq!(written(fixture, queue, &*prepared.home).await, [true; 4]);
    if !prepared.commit.deliveries.is_empty() {
        assert_eq!(recorded(fixture, queue).await, 2);
        assert_delivered(fixture, queue).await;
    }
    let settled = prepared.commit.settlement.lease.job.to_string();
    let delivered = fixture.drain(queue).await;
    assert!(!delivered.contains_key(&settled), "the settled job was delivered again: {delivered:?}");
    assert!(delivered.values().all(|times| *times == 1), "{delivered:?}");
    fixture.assert_clean(queue).await;
}

/// Interrupts the commit after each number of writes.
#[allow(clippy::print_stdout, reason = "shown when it fails")]
async fn interrupt_everywhere(
    then: Interrupted,
    repair: impl AsyncFn(&Fixture, &QueueName, &mut Prepared, Result<Committed>),
) {
    let fixture = fixture().await;
    let rehearsal = QueueName::new(random_prefix()).unwrap();
    assert!(commit(&prepare(&fixture, &rehearsal, true).await).await.unwrap().done().is_some());
    for (is_single, delivers) in [(true, false), (false, false), (true, true)] {
        let mut partial = std::collections::BTreeSet::new();
        for writes in 0.. {
            let queue = QueueName::new(random_prefix()).unwrap();
            println!(
                "home/commit: single {is_single}, delivers {delivers}, interrupted after {writes} writes, then {then:?}"
            );
            let mut prepared = prepare(&fixture, &queue, is_single).await;
            if delivers {
                prepared.commit = delivering(&queue, prepared.commit);
            }
            fixture.proxy.interrupt("home/commit", writes, then).await.unwrap();
            let outcome = commit(&prepared).await;
            let was_interrupted = fixture.proxy.heal().await.unwrap() || outcome.is_err();
            let mut parts = written(&fixture, &queue, &*prepared.home).await;
            if delivers {
                parts.push(recorded(&fixture, &queue).await == 2);
            }
            assert!(parts.is_sorted_by(|one, next| one >= next), "the parts are written in their order: {parts:?}");
            partial.insert(parts);
            repair(&fixture, &queue, &mut prepared, outcome).await;
            assert_done(&fixture, &queue, &prepared).await;
            if !was_interrupted {
                break;
            }
        }
        // Otherwise the interruptions showed nothing.
        let expected = if then == Interrupted::Fails { 5 + usize::from(delivers) } else { 1 };
        assert_eq!(partial.len(), expected, "{partial:?}");
    }
}

#[tokio::test]
async fn the_link_repeats_an_interrupted_commit() {
    interrupt_everywhere(Interrupted::IsRepeated, async |_, _, _, outcome| match outcome {
        Ok(committed) => assert!(committed.done().is_some()),
        Err(Error::Indeterminate { .. }) => {}
        Err(error) => panic!("{error}"),
    })
    .await;
}

#[tokio::test]
async fn the_caller_repeats_an_interrupted_commit() {
    interrupt_everywhere(Interrupted::Fails, async |_, _, prepared, _| match commit(prepared).await.unwrap() {
        Committed::Done(_) => {}
        Committed::Refused(parts) => assert!(parts.settled.is_lost(), "the settlement was written: {parts:?}"),
    })
    .await;
}

#[tokio::test]
async fn another_worker_finishes_an_interrupted_commit() {
    interrupt_everywhere(Interrupted::Fails, async |fixture, queue, prepared, _| {
        fixture.clock.advance(LEASE * 2);
        let job = prepared.commit.settlement.lease.job.clone();
        let claimed = fixture.claim(queue, 10).await.unwrap();
        let (own, others): (Vec<_>, Vec<_>) = claimed.into_iter().partition(|claimed| *claimed.id() == job);
        for other in others {
            fixture.store.settle_one(queue, other.lease, Outcome::Release).await.unwrap();
        }
        // It is not delivered again if the settlement was written.
        for own in own {
            prepared.commit.settlement.lease = own.lease;
            assert!(commit(prepared).await.unwrap().done().is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_completes_a_single_job_takes_the_fast_path() {
    let fixture = fixture().await;
    let mut calls = Vec::new();
    // The first call of a script loads it.
    for (queue, is_single) in [("first", true), ("single", true), ("batch", false)] {
        let prepared = prepare(&fixture, &QueueName::new(queue).unwrap(), is_single).await;
        let before = fixture.server.commands_processed().await.unwrap();
        assert!(commit(&prepared).await.unwrap().done().is_some());
        calls.push(fixture.server.commands_processed().await.unwrap() - before);
    }
    // EVALSHA; 5 to read and 5 to end the job, 2 for its unique key; 3 for the next job, 3 for the step, 3 for the run, 2 for the
    // token.
    assert_eq!(calls[1], 24);
    assert!(calls[2] > 24, "{calls:?}");
}

#[tokio::test]
async fn the_keys_of_a_home_have_the_tag_of_the_partition() {
    let fixture = fixture().await;
    let queue = QueueName::new("pages").unwrap();
    let prepared = prepare(&fixture, &queue, true).await;
    assert!(commit(&prepared).await.unwrap().done().is_some());
    let mut keys = fixture.server.command(&["KEYS", "test*{q.pages.0}:*"]).await.unwrap().as_strings().unwrap();
    keys.retain(|key| !key.contains(":call:"));
    keys.sort();
    let expected = [
        "test:orders:{q.pages.0}:steps:n:import",
        "test:{q.pages.0}:jobs",
        "test:{q.pages.0}:meta",
        "test:{q.pages.0}:ready2",
        "test:{q.pages.0}:run:run",
        "test:{q.pages.0}:runs:agent:importer",
        "test:{q.pages.0}:runs:all",
        "test:{q.pages.0}:runs:ends",
        "test:{q.pages.0}:token:orders",
    ];
    assert_eq!(keys, expected);
    assert_eq!(fixture.server.command(&["KEYS", "test:{[rxtw].*"]).await.unwrap().as_strings().unwrap(), [""; 0]);
}

/// A queue of 12 partitions: the home of a key is where the jobs with this key are.
#[tokio::test]
async fn a_job_of_another_partition_is_refused_before_anything_is_sent() {
    let queue = QueueName::new("pages").unwrap();
    let other_queue = QueueName::new("documents").unwrap();
    let options = [&queue, &other_queue].into_iter().cloned();
    let options = options.fold(StateOptions::default(), |options, queue| options.with_partitions(queue, 12));
    let fixture = fixture_with(options).await;
    let prepared = prepare(&fixture, &queue, true).await;
    let partition = prepared.commit.settlement.lease.partition;
    let detail = |outcome: Result<_>| match outcome {
        Err(error @ Error::InvalidArgument { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let keys = (0..300).map(|number| UniqueKey::new(format!("key {number}")).unwrap());
    let (mut done, mut refused) = (0, 0);
    for key in keys {
        let other = Prepared { home: fixture.store.home(&queue, &key), commit: prepared.commit.clone() };
        match commit(&other).await {
            // Its home is the same partition, so it has the run. The others of this partition repeat it.
            Ok(Committed::Done(_)) => done += 1,
            outcome => {
                assert!(detail(outcome).contains(&format!("the job is in partition {partition} of the queue")));
                refused += 1;
            }
        }
    }
    assert!(done > 0 && refused > 0, "{done} {refused}");

    let prepared = prepare(&fixture, &other_queue, true).await;
    let foreign = (0..300).map(|number| JobId::new(format!("job-{number}")).unwrap());
    let outcomes = async |id: JobId| {
        let commit_of = Commit::new(prepared.commit.settlement.lease.clone(), Outcome::Complete(None));
        let other = commit_of.with_job(NewJob::new("next").with_id(id));
        commit(&Prepared { home: prepared.home.clone(), commit: other }).await
    };
    let (mut answered, mut refused) = (0, 0);
    for id in foreign {
        match outcomes(id).await {
            // The first one ends the job, so the others of this partition have lost it.
            Ok(_) => answered += 1,
            outcome => {
                assert!(detail(outcome).contains("job 0 belongs to partition"));
                refused += 1;
            }
        }
    }
    assert!(answered > 0 && refused > 0, "{answered} {refused}");
}

#[tokio::test]
async fn another_number_of_partitions_is_an_error() {
    let fixture = fixture().await;
    let queue = QueueName::new("pages").unwrap();
    let prepared = prepare(&fixture, &queue, true).await;
    let options = StateOptions::default().with_partitions(queue.clone(), 2);
    let other = crate::open(&fixture.proxy.url(), options).await.unwrap();
    let home = other.home(&queue, &UniqueKey::new("key of first").unwrap());
    let lease: JobLease = prepared.commit.settlement.lease.clone();
    let errors = [
        home.runs().get(&run_id()).await.unwrap_err(),
        home.resume_tokens().load(&stream()).await.unwrap_err(),
        home.steps().begin(&charge(), ACCEPTED).await.unwrap_err(),
        home.commit(&Commit::new(lease, Outcome::Complete(None)), ACCEPTED).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("the queue has 1 partitions, and this service declares 2"), "{error}");
    }
    assert!(matches!(commit(&prepared).await.unwrap().done().unwrap().run, Some(RunOutcome::Done(_))));
}

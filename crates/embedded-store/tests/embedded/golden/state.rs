//! The golden file of a worker state store.

use std::time::Duration;

use bytes::Bytes;
use embedded_store::EmbeddedState;
use store_core::{
    AcquireRequest, Acquired, AgentName, Backoff, Beat, Begun, Durability, Extension, Fence, Fingerprint, GroupName,
    HolderName, IdempotentRequest, JobState, Kept, LeaseName, ManualClock, NewEvent, NewJob, NewRun, Outcome,
    PageRequest, PoolName, Priority, Pushed, QueueExt, ReadRequest, RequestId, RetryDecision, RetryPolicy,
    RetryRequest, RetryState, RunEvent, RunFilter, RunId, RunState, RunWrite, SaveRequest, Schedule, ScheduleName,
    SessionId, SessionSave, Settled, StateRole, StepAttempt, StepBegun, StepName, StepState, StreamName, Timestamp,
    TopicConfig, TopicName, Unique, UniqueKey, UniqueUntil, WorkflowRun,
};

use super::{HOUR, MINUTE};
use crate::{job, job_id, key, queue};

const ACCEPTED: Durability = Durability::Accepted;
/// When the file was written.
const WRITTEN: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// Longer than the test reads.
const LEASE: Duration = Duration::from_secs(600);

fn request_id() -> RequestId {
    RequestId::from_bytes([7; 16])
}

fn holder() -> HolderName {
    HolderName::new("one").unwrap()
}

fn unique_key(name: &str) -> UniqueKey {
    UniqueKey::new(name).unwrap()
}

fn request(name: &str) -> IdempotentRequest {
    IdempotentRequest::new(key(name), Fingerprint::of(b"body")).with_request(request_id())
}

fn acquire() -> AcquireRequest {
    AcquireRequest::new(LeaseName::new("leader").unwrap(), holder(), LEASE).with_request(request_id())
}

fn new_run() -> NewRun {
    let run = NewRun::new(RunId::new("7").unwrap(), AgentName::new("planner").unwrap()).with_input("a trip");
    run.in_session(SessionId::new("ann").unwrap()).with_ttl(HOUR).with_request(request_id())
}

fn attempt(step: &str) -> StepAttempt {
    let run = WorkflowRun::named("import").unwrap();
    StepAttempt::new(run, StepName::new(step).unwrap(), Fence::new(3)).with_ttl(HOUR)
}

fn save() -> SaveRequest {
    SaveRequest::new(StreamName::new("orders").unwrap(), "a\0b", Fence::new(7), None).with_request(request_id())
}

fn session() -> SessionSave {
    let save = SessionSave::new(SessionId::new("ann").unwrap(), AgentName::new("planner").unwrap(), "a\0b");
    save.with_ttl(HOUR).with_request(request_id())
}

fn schedule() -> Schedule {
    Schedule::cron("30 2 * * MON-FRI", "Europe/Berlin", NewJob::new("report")).unwrap().with_grace(5 * MINUTE)
}

fn retry(name: &str) -> RetryRequest {
    RetryRequest::new(key(name), RetryPolicy::never()).with_lasting(LEASE).with_ttl(HOUR).with_request(request_id())
}

fn consumer() -> ReadRequest {
    let group = GroupName::new("billing").unwrap();
    ReadRequest::new(orders(), 0, group, holder()).with_lease(LEASE).with_max(1).with_request(request_id())
}

fn orders() -> TopicName {
    TopicName::new("orders").unwrap()
}

fn pool() -> PoolName {
    PoolName::new("workers").unwrap()
}

/// What exists in the namespace and in a home.
async fn write_records(store: &dyn StateRole, home: Option<&dyn store_core::Home>) {
    let (runs, tokens) = (home.map(store_core::Home::runs), home.map(store_core::Home::resume_tokens));
    let runs = runs.as_deref().unwrap_or_else(|| store.runs());
    let run = runs.create(&new_run(), ACCEPTED).await.unwrap().value.done().unwrap();
    let write = RunWrite::new(run.run).to(RunState::InProgress, run.version).with_fence(Fence::new(3));
    let write = write.with_output("so far").with_await_request("yes?").with_error("no such file");
    let _ = runs.write(&write.with_event(RunEvent::new("note", "a\0b")), ACCEPTED).await.unwrap().value.done().unwrap();
    match &tokens {
        Some(tokens) => assert!(tokens.save(&save(), ACCEPTED).await.unwrap().value.done().is_some()),
        None => assert!(store.save(&save(), ACCEPTED).await.unwrap().value.done().is_some()),
    }
    let steps = home.map(store_core::Home::steps);
    let steps = steps.as_deref().unwrap_or_else(|| store.steps());
    for step in ["charge", "fail", "run"] {
        assert!(steps.begin(&attempt(step), ACCEPTED).await.unwrap().value.is_started());
    }
    assert!(steps.finish(&attempt("charge"), &Bytes::from_static(b"a\0b"), ACCEPTED).await.unwrap().value);
    assert!(steps.fail(&attempt("fail"), "no such file", ACCEPTED).await.unwrap().value);
    assert!(!steps.sleep(&attempt("wait"), LEASE, ACCEPTED).await.unwrap().value.is_started());
}

async fn read_records(store: &dyn StateRole, home: Option<&dyn store_core::Home>) {
    let (runs, tokens) = (home.map(store_core::Home::runs), home.map(store_core::Home::resume_tokens));
    let runs = runs.as_deref().unwrap_or_else(|| store.runs());
    let run = runs.get(&new_run().run).await.unwrap().unwrap();
    assert_eq!((run.state, run.fence, &run.session), (RunState::InProgress, Some(Fence::new(3)), &new_run().session));
    let text = |text: &'static str| Some(Bytes::from(text));
    assert_eq!((run.output, run.await_request, run.input), (text("so far"), text("yes?"), text("a trip")));
    assert_eq!(run.error.as_deref(), Some("no such file"));
    let events = runs.events(&run.run, 0, 10).await.unwrap().unwrap().events;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["run.created", "note", "run.in-progress"]);
    assert_eq!((&events[1].data[..], run.updated), (&b"a\0b"[..], WRITTEN));
    assert_eq!(runs.list(&RunFilter::default(), PageRequest::default()).await.unwrap().total, 1);
    let stream = save().stream;
    let token = match &tokens {
        Some(tokens) => tokens.load(&stream).await.unwrap().unwrap(),
        None => store.load(&stream).await.unwrap().unwrap(),
    };
    assert_eq!((&token.token[..], token.info.fence, token.info.saved), (&b"a\0b"[..], Fence::new(7), WRITTEN));
    let steps = home.map(store_core::Home::steps);
    let steps = steps.as_deref().unwrap_or_else(|| store.steps());
    let listed = steps.list(&attempt("charge").run, PageRequest::default()).await.unwrap().items;
    let shown: Vec<_> = listed.iter().map(|info| (info.step.as_str(), info.state)).collect();
    let states = [StepState::Finished, StepState::Failed, StepState::Running, StepState::Sleep];
    assert_eq!(shown, ["charge", "fail", "run", "wait"].into_iter().zip(states).collect::<Vec<_>>());
    let again = steps.begin(&attempt("charge"), ACCEPTED).await.unwrap().value;
    assert_eq!(again, StepBegun::Finished(Bytes::from_static(b"a\0b")));
}

/// A job in each state, ready ones of each priority, unique keys of each kind.
async fn write_queue(store: &EmbeddedState) {
    let mails = queue("mails");
    let unique = |id: &str, until| job(id).with_unique(Unique::new(unique_key(id), until));
    let finished = [
        (Outcome::Complete(Some(Kept::new("result", LEASE))), "completed"),
        (Outcome::Dead { reason: "broken".into() }, "dead"),
        (Outcome::Retry { after: LEASE, error: "not yet".into() }, "retried"),
    ];
    for (outcome, id) in finished {
        store.push_one(&mails, job(id).with_retry(RetryPolicy::new(7, Backoff::Fixed(MINUTE)))).await.unwrap();
        let lease = crate::claim(store, "mails", 1).await.jobs.remove(0).lease;
        assert_eq!(store.settle_one(&mails, lease, outcome).await.unwrap(), Settled::Done);
    }
    store.push_one(&mails, unique("running", UniqueUntil::Finished)).await.unwrap();
    let lease = crate::claim(store, "mails", 1).await.jobs.remove(0).lease;
    store_core::Queue::extend(store, &mails, &[Extension::new(lease).with_progress("half")], LEASE).await.unwrap();
    for priority in Priority::ALL {
        store.push_one(&mails, job(&format!("ready {priority:?}")).with_priority(priority)).await.unwrap();
    }
    store.push_one(&mails, unique("scheduled", UniqueUntil::Claimed).with_delay(LEASE)).await.unwrap();
    store.push_one(&mails, unique("timed", UniqueUntil::Elapsed(LEASE)).with_start_within(LEASE)).await.unwrap();
    store_core::QueueControl::pause(store, &mails).await.unwrap();
}

async fn read_queue(store: &dyn StateRole, clock: &ManualClock) {
    let mails = queue("mails");
    let counts = store.counts(&mails).await.unwrap();
    let counts = [counts.ready, counts.scheduled, counts.running, counts.completed, counts.dead];
    assert_eq!(counts, [5, 2, 1, 1, 1]);
    let shown = async |id: &str, state| {
        let info = store.get(&mails, &job_id(id)).await.unwrap().unwrap();
        assert_eq!((info.state, &info.payload[..], info.pushed_at), (state, &b"payload"[..], WRITTEN), "{id}");
        info
    };
    assert_eq!(shown("completed", JobState::Completed).await.result.as_deref(), Some(&b"result"[..]));
    assert_eq!(shown("dead", JobState::Dead).await.last_error.as_deref(), Some("broken"));
    let retried = shown("retried", JobState::Scheduled).await;
    assert_eq!((retried.attempts, retried.max_attempts, retried.at), (1, 7, Some(WRITTEN.after(LEASE))));
    let running = shown("running", JobState::Running).await;
    assert_eq!((running.progress.as_deref(), running.worker.is_some()), (Some(&b"half"[..]), true));
    shown("scheduled", JobState::Scheduled).await;
    for id in ["running", "scheduled", "timed"] {
        let other = NewJob::new("").with_unique(Unique::new(unique_key(id), UniqueUntil::Finished));
        let pushed = store.push(&mails, &[other], ACCEPTED).await.unwrap().value;
        assert_eq!(pushed, [Pushed::Held { by: job_id(id) }]);
    }
    let claim = || store_core::ClaimRequest::new(queue("mails"), holder(), 100, LEASE);
    assert!(store.claim(&claim()).await.unwrap().paused);
    store.resume(&mails).await.unwrap();
    let claimed = store.claim(&claim()).await.unwrap().jobs;
    let ids: Vec<_> = claimed.iter().map(|job| job.id().to_string()).collect();
    assert_eq!(ids, ["ready Critical", "ready High", "ready Normal", "timed", "ready Low"]);
    clock.advance(LEASE);
    assert_eq!(store.claim(&claim()).await.unwrap().jobs.len(), 8, "the scheduled ones, and those whose lease is over");
}

pub(super) async fn write(store: &EmbeddedState, clock: &ManualClock) {
    write_queue(store).await;
    write_records(store, None).await;
    write_records(store, Some(&*store_core::Homes::home(store, &queue("mails"), &unique_key("running")))).await;
    let store: &dyn StateRole = store;
    let _ = store.sessions().save(&session(), ACCEPTED).await.unwrap().value.saved().unwrap();
    let name = ScheduleName::new("nightly").unwrap();
    let _ = store.schedules().put(&queue("mails"), &name, &schedule(), None, ACCEPTED).await.unwrap();
    assert!(matches!(store.acquire(&acquire(), ACCEPTED).await.unwrap().value, Acquired::Yes(_)));
    store.beat(&Beat::new(pool(), holder(), LEASE).with_details("a\0b")).await.unwrap();
    for name in ["begun", "finished"] {
        assert!(store.begin(&request(name), HOUR).await.unwrap().is_started());
    }
    store.finish(&request("finished"), &Bytes::from_static(b"done"), HOUR).await.unwrap();
    let _ = store.retries().begin(&retry("running"), ACCEPTED).await.unwrap();
    let waiting = store.retries().begin(&retry("waiting"), ACCEPTED).await.unwrap().value.attempt().unwrap();
    let _ = store.retries().fail(&waiting, "no such file", RetryDecision::Snooze(LEASE), ACCEPTED).await.unwrap();
    let topics = store.topics();
    topics.declare(&orders(), &TopicConfig::default().with_partitions(2)).await.unwrap();
    // Both partitions.
    for number in 0..8 {
        let event = NewEvent::new("a\0b").with_key(key(&format!("größe {number}")));
        let _ = topics.append(&orders(), &[event], ACCEPTED).await.unwrap();
    }
    let batch = topics.read(&consumer()).await.unwrap().events().unwrap();
    assert!(topics.acknowledge(&batch.lease, batch.events[0].id.number, ACCEPTED).await.unwrap().value);
    assert_eq!(clock.now(), WRITTEN);
}

/// Reads what [`write`] has written, a minute later.
pub(super) async fn read(store: &EmbeddedState, clock: &ManualClock) {
    read_records(store, None).await;
    read_records(store, Some(&*store_core::Homes::home(store, &queue("mails"), &unique_key("running")))).await;
    let store: &dyn StateRole = store;
    let ann = store.sessions().get(&session().session).await.unwrap().unwrap();
    assert_eq!((ann.agent.as_str(), ann.state.as_deref()), ("planner", Some(&b"a\0b"[..])));
    assert_eq!(store.sessions().list(None, PageRequest::default()).await.unwrap().items.len(), 1);
    let listed = store.schedules().list(&queue("mails"), PageRequest::default()).await.unwrap().items;
    assert_eq!((listed[0].name.as_str(), &listed[0].schedule), ("nightly", &schedule()));
    let held = store.inspect(&acquire().name).await.unwrap().unwrap();
    assert_eq!((held.holder, held.until), (holder(), WRITTEN.after(LEASE)));
    let alive = store.alive(&pool(), PageRequest::default()).await.unwrap().items;
    assert_eq!((&alive[0].name, &alive[0].details[..]), (&holder(), &b"a\0b"[..]));
    assert_eq!(store.begin(&request("begun"), HOUR).await.unwrap(), Begun::Started, "its request is recognised");
    let finished = store.begin(&request("finished"), HOUR).await.unwrap();
    assert_eq!(finished, Begun::Finished(Bytes::from_static(b"done")));
    for (name, state) in [("running", RetryState::Running), ("waiting", RetryState::Waiting)] {
        let info = store.retries().get(&key(name)).await.unwrap().unwrap();
        assert_eq!((info.state, info.began), (state, WRITTEN));
    }
    let partitions = store.topics().inspect(&orders()).await.unwrap();
    assert_eq!(partitions.iter().map(store_core::PartitionInfo::events).sum::<u64>(), 8);
    assert!(partitions.iter().all(|info| info.events() > 0));
    let groups = &partitions[0].groups;
    assert_eq!((groups.len(), groups[0].lag), (1, partitions[0].events() - 1));
    let batch = store.topics().read(&consumer()).await.unwrap().events().unwrap();
    let event = &batch.events[0];
    assert_eq!((&event.payload[..], event.appended), (&b"a\0b"[..], WRITTEN));
    assert!(event.key.as_ref().unwrap().as_str().starts_with("größe"));
    assert_eq!(batch.lease.fence, groups[0].fence, "its lease lasts");
    read_queue(store, clock).await;
}

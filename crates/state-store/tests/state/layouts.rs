//! The layouts of leases, pools, resume tokens and idempotent requests: golden files, and upgrades in two steps.

mod page;
mod record;
mod session;
mod topic;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use redis_link::layout::{Aggregate, Layouts};
use redis_link::{Link, LinkConfig, ServerUrl};
use store_core::{
    AcquireRequest, Acquired, AgentName, Beat, Begun, Durability, Error, Fence, Fingerprint, Finished, Heartbeats,
    HolderName, Idempotency, IdempotentRequest, Key, Lease, LeaseName, Leases, NewJob, NewRun, PageRequest, PoolName,
    QueueExt, QueueName, RequestId, ResumeTokens, RunEvent, RunFilter, RunId, RunState, RunWrite, Runs, SaveRequest,
    SessionId, StepAttempt, StepBegun, StepName, StepState, Steps, StreamName, Timestamp, TokenOutcome, TokenVersion,
    Ttl, WorkflowRun,
};
use testkit::RedisServer;
use testkit::golden::{dump, load};

use crate::queue::invariants::every_call;
use crate::{Fixture, fixture, golden_retries, namespace, schedules, service};
use state_store::{StateOptions, StateStore};

const MINUTE: Duration = Duration::from_secs(60);
/// All keys with a hash tag: not the record of the layouts.
const KEYS: &str = "test:*{*}:*";
const KINDS: [Aggregate; 8] = [
    Aggregate::Lease,
    Aggregate::Pool,
    Aggregate::ResumeToken,
    Aggregate::Step,
    Aggregate::Run,
    Aggregate::Topic,
    Aggregate::Retry,
    Aggregate::Idempotency,
];

fn lease_name(name: &str) -> LeaseName {
    LeaseName::new(name).unwrap()
}

fn holder(name: &str) -> HolderName {
    HolderName::new(name).unwrap()
}

fn pool() -> PoolName {
    PoolName::new("workers").unwrap()
}

fn acquire_request(name: &str) -> AcquireRequest {
    AcquireRequest::new(lease_name(name), holder("one"), MINUTE).with_request(RequestId::from_bytes([0xa5; 16]))
}

fn token_request(name: &str) -> SaveRequest {
    let request = SaveRequest::new(StreamName::new(name).unwrap(), "a\0b", Fence::new(7), None);
    request.with_request(RequestId::from_bytes([0xa5; 16]))
}

fn request(key: &str) -> IdempotentRequest {
    let request = IdempotentRequest::new(Key::new(key).unwrap(), Fingerprint::of(b"body"));
    request.with_request(RequestId::from_bytes(*b"0123456789abcdef"))
}

async fn acquire(store: &StateStore, name: &str) -> Result<Lease, Error> {
    match store.acquire(&acquire_request(name), Durability::Accepted).await?.value {
        Acquired::Yes(lease) => Ok(lease),
        other => panic!("{other:?}"),
    }
}

fn new_run(name: &str) -> NewRun {
    let run = NewRun::new(RunId::new(name).unwrap(), AgentName::new("planner").unwrap()).with_input("a trip");
    let run = run.in_session(SessionId::new("ann").unwrap()).with_ttl(Ttl::from_secs(3600));
    run.with_request(RequestId::from_bytes(*b"0123456789abcdef"))
}

fn run_write(name: &str) -> RunWrite {
    RunWrite::new(RunId::new(name).unwrap()).with_request(RequestId::from_bytes(*b"fedcba9876543210"))
}

fn run() -> WorkflowRun {
    WorkflowRun::temporal("default", "order {7}", "8f0e").unwrap()
}

fn step_attempt(step: &str) -> StepAttempt {
    StepAttempt::new(run(), StepName::new(step).unwrap(), Fence::new(3)).with_ttl(Ttl::from_secs(3600))
}

fn golden(aggregate: Aggregate, layout: u8) -> String {
    let name = format!("tests/state/golden/{}.{layout}.redis", aggregate.name());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Writes one of each form of this data.
async fn write(aggregate: Aggregate, fixture: &Fixture) {
    let Fixture { store, clock, .. } = fixture;
    match aggregate {
        Aggregate::Lease => {
            acquire(store, "held").await.unwrap();
            let released = acquire(store, "released").await.unwrap();
            assert!(store.release(&released).await.unwrap());
        }
        Aggregate::Pool => {
            store.beat(&Beat::new(pool(), holder("lost"), MINUTE).with_details("a\0b")).await.unwrap();
            clock.advance(MINUTE);
            store.beat(&Beat::new(pool(), holder("alive"), MINUTE)).await.unwrap();
        }
        Aggregate::ResumeToken => {
            let lasting = token_request("lasting").with_ttl(Ttl::from_secs(60));
            for request in [lasting, token_request("endless"), token_request("deleted")] {
                let saved = store.save(&request, Durability::Accepted).await.unwrap().value.done().unwrap();
                if saved.stream.as_str() == "deleted" {
                    assert!(
                        ResumeTokens::clear(store, &saved.stream, saved.version, None).await.unwrap().done().is_some()
                    );
                }
            }
            assert!(store.take_over(&StreamName::new("taken over").unwrap(), Fence::new(8)).await.is_ok());
        }
        Aggregate::Step => {
            let accepted = Durability::Accepted;
            for step in ["charge", "fail", "run"] {
                assert!(Steps::begin(store, &step_attempt(step), accepted).await.unwrap().value.is_started());
            }
            clock.advance(MINUTE);
            assert!(Steps::finish(store, &step_attempt("charge"), &"a\0b".into(), accepted).await.unwrap().value);
            assert!(Steps::fail(store, &step_attempt("fail"), "no such file", accepted).await.unwrap().value);
            assert!(!store.sleep(&step_attempt("wait"), MINUTE, accepted).await.unwrap().value.is_started());
        }
        Aggregate::Run => {
            let accepted = Durability::Accepted;
            let run = Runs::create(store, &new_run("7"), accepted).await.unwrap().value.done().unwrap();
            clock.advance(MINUTE);
            let write = run_write("7").to(RunState::InProgress, run.version).with_fence(Fence::new(3));
            let write = write.with_output("so far").with_await_request("yes?").with_error("no such file");
            let write = write.with_event(RunEvent::new("note", "a\0b"));
            assert!(store.write(&write, accepted).await.unwrap().value.done().is_some());
            let mut alone = new_run("8");
            alone.session = None;
            assert!(Runs::create(store, &alone, accepted).await.unwrap().value.done().is_some());
            session::write(store).await;
        }
        Aggregate::Topic => topic::write(fixture).await,
        Aggregate::Retry => golden_retries::write(store).await,
        _ => {
            let minute = Ttl::from_secs(60);
            Idempotency::begin(store, &request("begun"), minute).await.unwrap();
            Idempotency::begin(store, &request("finished"), minute).await.unwrap();
            Idempotency::finish(store, &request("finished"), &Bytes::from_static(b"done"), minute).await.unwrap();
        }
    }
}

/// Reads what [`write()`] has written.
async fn read(aggregate: Aggregate, Fixture { store, clock, .. }: &Fixture) {
    match aggregate {
        Aggregate::Lease => {
            let held = store.inspect(&lease_name("held")).await.unwrap().unwrap();
            assert_eq!((held.holder, held.fence), (holder("one"), Fence::new(1_700_000_000_000_000)));
            assert_eq!(held.until, Timestamp::from_millis(1_700_000_060_000));
            assert_eq!(store.inspect(&lease_name("released")).await.unwrap(), None);
            let again = store.acquire(&acquire_request("held"), Durability::Accepted).await.unwrap().value;
            assert!(matches!(again, Acquired::Yes(lease) if lease.fence == held.fence), "its request is recognised");
        }
        Aggregate::Pool => {
            clock.advance(MINUTE);
            let alive = store.alive(&pool(), PageRequest::default()).await.unwrap().items;
            assert!(alive.len() == 1 && alive[0].name == holder("alive"), "{alive:?}");
            let lost = store.lost(&pool(), Timestamp::from_millis(0), PageRequest::default()).await.unwrap().items;
            assert!(lost.len() == 1 && lost[0].name == holder("lost") && lost[0].details.as_ref() == b"a\0b");
            assert_eq!(lost[0].until, Timestamp::from_millis(1_700_000_060_000));
        }
        Aggregate::ResumeToken => {
            for (name, until) in [("lasting", Some(1_700_000_060_000)), ("endless", None)] {
                let token = store.load(&StreamName::new(name).unwrap()).await.unwrap().unwrap();
                assert_eq!((token.token.as_ref(), token.info.fence), (b"a\0b".as_slice(), Fence::new(7)));
                assert_eq!(token.info.until, until.map(Timestamp::from_millis));
                assert_eq!(token.info.saved, Timestamp::from_millis(1_700_000_000_000));
                let again = store.save(&token_request(name), Durability::Accepted).await.unwrap().value;
                assert_eq!(again.done(), Some(token.info), "its request is recognised");
            }
            for (name, fence) in [("deleted", 7), ("taken over", 8)] {
                assert_eq!(store.load(&StreamName::new(name).unwrap()).await.unwrap(), None);
                let stale = store.take_over(&StreamName::new(name).unwrap(), Fence::new(6)).await.unwrap();
                assert_eq!(stale, TokenOutcome::Superseded(Fence::new(fence)));
            }
        }
        Aggregate::Step => {
            let steps = Steps::list(store, &run(), PageRequest::default()).await.unwrap().items;
            let shown: Vec<_> = steps.iter().map(|info| (info.step.as_str(), info.state, info.attempt.get())).collect();
            let states = [StepState::Finished, StepState::Failed, StepState::Running, StepState::Sleep];
            let names = ["charge", "fail", "run", "wait"];
            assert_eq!(shown, names.into_iter().zip(states).map(|(name, state)| (name, state, 3)).collect::<Vec<_>>());
            assert_eq!(steps[1].last_error.as_deref(), Some("no such file"));
            assert_eq!(steps[3].ended, Some(Timestamp::from_millis(1_700_000_120_000)));
            let again = Steps::begin(store, &step_attempt("charge"), Durability::Accepted).await.unwrap().value;
            assert_eq!(again, StepBegun::Finished(Bytes::from_static(b"a\0b")));
        }
        Aggregate::Run => {
            let run = Runs::get(store, &new_run("7").run).await.unwrap().unwrap();
            assert_eq!(
                (run.state, run.fence, run.session),
                (RunState::InProgress, Some(Fence::new(3)), new_run("7").session)
            );
            let text = |text: &'static str| Some(Bytes::from(text));
            assert_eq!((run.output, run.await_request, run.input), (text("so far"), text("yes?"), text("a trip")));
            assert_eq!(run.error.as_deref(), Some("no such file"));
            let events = store.events(&run.run, 1, 10).await.unwrap().unwrap().events;
            assert_eq!((events[0].kind.as_str(), events[0].data.as_ref()), ("note", b"a\0b".as_slice()));
            let again = store.write(&run_write("7").to(RunState::InProgress, 1), Durability::Accepted).await.unwrap();
            assert_eq!(again.value.done().map(|run| run.version), Some(run.version), "its request is recognised");
            let page = Runs::list(store, &RunFilter::default(), PageRequest::default()).await.unwrap();
            assert_eq!(page.items.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(), ["8", "7"]);
            session::read(store).await;
        }
        Aggregate::Topic => topic::read(store).await,
        Aggregate::Retry => golden_retries::read(store).await,
        _ => {
            let minute = Ttl::from_secs(60);
            assert_eq!(Idempotency::begin(store, &request("begun"), minute).await.unwrap(), Begun::Started);
            let finished = Idempotency::begin(store, &request("finished"), minute).await.unwrap();
            assert_eq!(finished, Begun::Finished(Bytes::from_static(b"done")));
        }
    }
}

#[tokio::test]
async fn what_is_written_has_the_golden_layout() {
    for aggregate in KINDS {
        let fixture = fixture().await;
        write(aggregate, &fixture).await;
        let dumped = dump(&fixture.server, KEYS).await.unwrap();
        // Remembered calls have random ids, and last for seconds.
        let lasting = dumped.split_inclusive('\n').filter(|line| !line.contains(":call:"));
        let dumped: String = lasting.collect();
        let written = Layouts::default().written(aggregate);
        assert_eq!(dumped, golden(aggregate, written), "{} in layout {written}:\n{dumped}", aggregate.name());
    }
}

#[tokio::test]
async fn each_golden_layout_is_read() {
    for aggregate in KINDS {
        for layout in Layouts::default().readable(aggregate) {
            let fixture = fixture().await;
            load(&fixture.server, &golden(aggregate, layout)).await.unwrap();
            read(aggregate, &fixture).await;
        }
    }
}

/// A store of a version that reads also layout 2 of all these.
async fn next_version(server: &RedisServer, options: StateOptions) -> Result<StateStore, Error> {
    let link = Link::connect(LinkConfig::new(ServerUrl::parse(&server.url(None)).unwrap(), "tests:next")).await?;
    let layouts = KINDS.into_iter().fold(Layouts::default(), |layouts, aggregate| layouts.with(aggregate, 1, 2));
    StateStore::open(link.with_layouts(layouts), namespace(), service(), options).await
}

#[tokio::test]
async fn an_upgrade_in_two_steps_locks_no_process_out_before_the_second() {
    let server = RedisServer::state().start().await.unwrap();
    let value = async |key: &str| {
        let value = server.command(&["GET", key]).await.unwrap();
        String::from_utf8_lossy(value.as_bytes().unwrap()).into_owned()
    };
    const KEY: &str = "test:orders:{l.leader}:lease";
    let old = crate::open(&server.url(None), StateOptions::default()).await.unwrap();
    let lease = acquire(&old, "leader").await.unwrap();

    // First step: the next version reads the old layout, and writes it.
    let next = next_version(&server, StateOptions::default()).await.unwrap();
    next.renew(&lease, MINUTE).await.unwrap().unwrap();
    assert!(value(KEY).await.starts_with('1'));
    old.renew(&lease, MINUTE).await.unwrap().unwrap();
    crate::open(&server.url(None), StateOptions::default()).await.unwrap();

    // Second step: it writes the new layout; what is not written yet keeps the old one and is read.
    let newest = StateOptions::default().with_newest_layouts(true);
    let told = next_version(&server, newest).await.unwrap();
    assert!(told.inspect(&lease_name("leader")).await.unwrap().is_some());
    told.renew(&lease, MINUTE).await.unwrap().unwrap();
    assert!(value(KEY).await.starts_with('2'));
    assert_eq!(
        value("test:layouts").await,
        "queue 4 lease 2 pool 2 idempotency 2 resume_token 2 step 2 run 2 topic 2 retry 2"
    );
    next.renew(&lease, MINUTE).await.unwrap().expect("the next version also reads the new layout");
    told.renew(&lease, MINUTE).await.unwrap().unwrap();

    // A process that is left of the old version changes nothing, and a new one of it does not start.
    let before = value(KEY).await;
    let text = "lease data has layout 2, and this process reads layout 1; this process is too old: upgrade it to the \
                version of the others";
    let opened = crate::open(&server.url(None), StateOptions::default()).await.map(drop);
    let errors = [old.renew(&lease, MINUTE).await.map(drop), old.release(&lease).await.map(drop), opened];
    for error in errors.map(Result::unwrap_err) {
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().ends_with(text), "{error}");
    }
    assert_eq!(value(KEY).await, before);
    assert!(told.release(&lease).await.unwrap());
}

#[tokio::test]
async fn a_value_of_a_newer_layout_is_refused_and_not_changed() {
    let Fixture { server, store, clock } = fixture().await;
    clock.advance(MINUTE);
    let lease_of_topic = topic::declared(&store).await;
    for aggregate in KINDS {
        let text = golden(aggregate, 1).replace(" \"1", " \"2");
        load(&server, &text).await.unwrap();
    }
    let before = dump(&server, KEYS).await.unwrap();
    let (minute, response) = (Ttl::from_secs(60), Bytes::from_static(b"new"));
    let lease = Lease::new(lease_name("held"), holder("one"), Fence::new(1), Timestamp::from_millis(0));
    let (begun, beat) = (request("begun"), Beat::new(pool(), holder("alive"), MINUTE));
    let since = Timestamp::from_millis(0);
    let endless = StreamName::new("endless").unwrap();
    let (charge, seven, accepted) = (step_attempt("charge"), new_run("7").run, Durability::Accepted);
    let refusals: [(Aggregate, Result<(), Error>); 27] = [
        (Aggregate::Lease, acquire(&store, "held").await.map(drop)),
        (Aggregate::Lease, store.renew(&lease, MINUTE).await.map(drop)),
        (Aggregate::Lease, store.release(&lease).await.map(drop)),
        (Aggregate::Lease, store.inspect(&lease.name).await.map(drop)),
        (Aggregate::Pool, store.beat(&beat).await),
        (Aggregate::Pool, store.leave(&pool(), &beat.member).await.map(drop)),
        (Aggregate::Pool, store.alive(&pool(), PageRequest::default()).await.map(drop)),
        (Aggregate::Pool, store.lost(&pool(), since, PageRequest::default()).await.map(drop)),
        (Aggregate::ResumeToken, store.save(&token_request("endless"), Durability::Accepted).await.map(drop)),
        (Aggregate::ResumeToken, store.take_over(&endless, Fence::new(9)).await.map(drop)),
        (Aggregate::ResumeToken, store.load(&endless).await.map(drop)),
        (Aggregate::ResumeToken, ResumeTokens::clear(&store, &endless, TokenVersion::new(1), None).await.map(drop)),
        (Aggregate::ResumeToken, store.tokens(None, None).await.map(drop)),
        (Aggregate::Idempotency, Idempotency::begin(&store, &begun, minute).await.map(drop)),
        (Aggregate::Idempotency, store.prolong(&begun, minute).await.map(drop)),
        (Aggregate::Idempotency, Idempotency::finish(&store, &begun, &response, minute).await.map(|_: Finished| ())),
        (Aggregate::Idempotency, store.abandon(&begun).await.map(drop)),
        (Aggregate::Step, Steps::begin(&store, &charge, accepted).await.map(drop)),
        (Aggregate::Step, Steps::finish(&store, &charge, &response, accepted).await.map(drop)),
        (Aggregate::Step, Steps::fail(&store, &charge, "an error", accepted).await.map(drop)),
        (Aggregate::Step, store.sleep(&step_attempt("wait"), MINUTE, accepted).await.map(drop)),
        (Aggregate::Step, Steps::get(&store, &charge.run, &charge.step).await.map(drop)),
        (Aggregate::Step, Steps::list(&store, &charge.run, PageRequest::default()).await.map(drop)),
        (Aggregate::Run, store.write(&run_write("7").to(RunState::InProgress, 1), accepted).await.map(drop)),
        (Aggregate::Run, Runs::get(&store, &seven).await.map(drop)),
        (Aggregate::Run, store.events(&seven, 0, 10).await.map(drop)),
        (Aggregate::Run, Runs::delete(&store, &seven).await.map(drop)),
    ];
    let listed = Runs::list(&store, &RunFilter::default(), PageRequest::default()).await.unwrap();
    let ids: Vec<_> = listed.unreadable.iter().map(RunId::as_str).collect();
    assert_eq!((listed.items.len(), ids), (0, vec!["8", "7"]));
    let of_topics = topic::refusals(&store, &lease_of_topic).await;
    let of_sessions = session::refusals(&store).await;
    let of_retries = golden_retries::refusals(&store).await.map(|refusal| (Aggregate::Retry, refusal));
    for (aggregate, refusal) in refusals.into_iter().chain(of_topics).chain(of_sessions).chain(of_retries) {
        let error = refusal.unwrap_err();
        let text = format!("{} data has layout 2, and this process reads layout 1; ", aggregate.name());
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains(&text), "{error}");
    }
    assert_eq!(dump(&server, KEYS).await.unwrap(), before);
}

#[tokio::test]
async fn a_queue_of_a_newer_layout_is_refused_and_not_changed() {
    let Fixture { server, store, .. } = fixture().await;
    let queue = QueueName::new("mails").unwrap();
    store.push_one(&queue, NewJob::new("a")).await.unwrap();
    let meta = server.command(&["KEYS", "*:meta"]).await.unwrap().as_strings().unwrap().remove(0);
    server.command(&["HSET", &meta, "shape", "5:1:0"]).await.unwrap();
    let before = dump(&server, KEYS).await.unwrap();
    // One process has used the queue before, the other has not.
    let other = crate::open(&server.url(None), StateOptions::default()).await.unwrap();
    for store in [store, other] {
        let answers = every_call(&store, &queue).await.into_iter().chain(schedules::every_call(&store, &queue).await);
        for (call, answer) in answers {
            let error = answer.expect_err(call);
            let text = "queue data has layout 5, and this process reads layout 4; ";
            assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains(text), "{call}: {error}");
        }
    }
    assert_eq!(dump(&server, KEYS).await.unwrap(), before);
}

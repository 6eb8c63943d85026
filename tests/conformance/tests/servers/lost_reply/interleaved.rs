//! A write is executed and its reply is lost. Before it is sent again, another caller writes. The repetition changes nothing that the
//! other caller has written, and answers as the first copy did.

mod damaged;
mod queues;
mod topics;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use store_core::{
    AcquireRequest, Acquired, AgentName, Backoff, Beat, Begun, Durability, Fence, Fingerprint, HandoffItem, HolderName,
    Idempotency, IdempotentRequest, Key, LeaseName, NewRun, Op, PageRequest, PoolName, Put, Repeat, RequestId, Result,
    RetryPolicy, RetryRequest, RunId, SaveRequest, SessionId, SessionSave, StreamName, TokenOutcome, Ttl,
};
use testkit::FaultProxy;

use super::{Servers, World, is_of_a_store};

const ACCEPTED: Durability = Durability::Accepted;
const MINUTE: Duration = Duration::from_secs(60);
const TTL: Ttl = Ttl::from_secs(600);

/// How long a repetition waits for the deadline of the copy before it: the other caller writes meanwhile.
const PATIENCE: Duration = Duration::from_secs(4);

/// Writes that are recognised by what they present, which no other caller has: a fence, a request, the identity of a record. What
/// others write between two copies makes the second one lost, superseded or a conflict.
const IDENTIFIED: &[Op] = &[
    Op::QueueExtend,
    Op::LeaseRenew,
    Op::ResumeTokenSave,
    Op::ResumeTokenTakeOver,
    Op::StepBegin,
    Op::StepFinish,
    Op::StepFail,
    Op::StepSleep,
    Op::RunWrite,
    Op::RunSweep,
    Op::RunClear,
    Op::SessionSweep,
    Op::SessionClear,
    Op::RetryBegin,
    Op::RetryFail,
    Op::RetrySucceed,
    Op::ScheduleAdvance,
    Op::HomeCommit,
    Op::HomeDeliver,
    Op::TopicRead,
    Op::TopicAcknowledge,
    Op::TopicRelease,
    Op::IdempotencyBegin,
    Op::IdempotencyProlong,
    Op::IdempotencyFinish,
];

/// A repetition may have an effect of its own: a beat after a leave, and a second message, which listeners recognise. Values of the
/// cache store are written again: `KeyValue` documents it.
const REPEATED: &[Op] = &[
    Op::HeartbeatBeat,
    Op::BroadcastPublish,
    Op::KeyValueSetMany,
    Op::KeyValueSetIfAbsent,
    Op::KeyValueDeleteMany,
    Op::KeyValueDeleteIf,
    Op::RateLimitReset,
];

macro_rules! interleaved {
    ($($op:ident => $($case:ident)::+;)*) => {
        const COVERED: &[Op] = &[$(Op::$op),*];

        $(#[tokio::test(flavor = "multi_thread")]
        #[allow(non_snake_case, reason = "the test is called as the operation is")]
        async fn $op() {
            let servers = Servers::start_within(PATIENCE).await;
            $($case)::+(servers.open("warm", false).await).await;
            $($case)::+(servers.open("lost", true).await).await;
        })*
    };
}

interleaved! {
    HandoffPut => put;
    HandoffTake => take;
    IdempotencyAbandon => abandon;
    QueuePush => queues::push;
    QueueSettle => queues::settle;
    QueueCancel => queues::cancel;
    QueueReplay => queues::replay;
    QueueDelete => queues::delete;
    QueuePromote => queues::promote;
    QueuePause => queues::pause;
    QueueResume => queues::resume;
    LeaseAcquire => acquire;
    LeaseRelease => release;
    HeartbeatLeave => leave;
    ResumeTokenClear => clear_token;
    RunCreate => create_run;
    RunDelete => damaged::delete_run;
    SessionSave => save_session;
    SessionDelete => damaged::delete_session;
    RetryClear => clear_retries;
    SchedulePut => queues::put_schedule;
    ScheduleDelete => queues::delete_schedule;
    SchedulePause => queues::pause_schedule;
    ScheduleResume => queues::resume_schedule;
    TopicDeclare => topics::declare;
    TopicAppend => topics::append;
    TopicSeek => topics::seek;
    TopicRemoveGroup => topics::remove_group;
}

#[test]
fn every_idempotent_write_has_a_case_or_a_reason() {
    let of_stores = Op::ALL.iter().filter(|op| !op.name().starts_with("link."));
    let writes = of_stores.filter(|op| op.repeat() == Repeat::Idempotent);
    let others: Vec<&Op> = writes
        .filter(|op| [COVERED, IDENTIFIED, REPEATED].iter().filter(|list| list.contains(op)).count() != 1)
        .collect();
    assert_eq!(others, Vec::<&Op>::new());
}

impl World {
    /// Makes the call and loses the reply to its first request; then `other` writes, before the call sends it again.
    async fn between<T>(&self, call: impl Future<Output = Result<T>>, other: impl Future<Output = ()>) -> T {
        self.between_behind(0, call, other).await
    }

    /// As `between`, for the request that follows the first `skipped` ones.
    async fn between_behind<T>(
        &self,
        skipped: usize,
        call: impl Future<Output = Result<T>>,
        other: impl Future<Output = ()>,
    ) -> T {
        if !self.loses {
            let answer = call.await.unwrap();
            other.await;
            return answer;
        }
        let fired = || self.proxies.iter().map(FaultProxy::fired).sum::<usize>();
        let (before, steps, seen) = (fired(), AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        for proxy in self.proxies.iter() {
            let seen = Arc::clone(&seen);
            let is_next = move || seen.fetch_add(1, Ordering::SeqCst) == skipped;
            proxy.cut_after_request(move |request| is_of_a_store(request) && is_next());
        }
        let call = async {
            let answer = call.await.unwrap();
            assert_eq!(steps.fetch_add(1, Ordering::SeqCst), 1, "the other caller has written before the repetition");
            answer
        };
        let other = async {
            testkit::wait_until("a reply is lost", PATIENCE, async || fired() > before).await;
            self.proxies.iter().for_each(FaultProxy::disarm);
            other.await;
            steps.fetch_add(1, Ordering::SeqCst);
        };
        tokio::join!(call, other).0
    }
}

fn holder(name: &str) -> HolderName {
    HolderName::new(name).unwrap()
}

async fn put(world: World) {
    let (cache, other, key) = (&world.stores.cache, &world.stores.other, world.key("item"));
    let item = |value: &'static str| HandoffItem::new(world.stores.other_service.clone(), key.clone(), value, TTL);
    let (first, second) = (item("first"), item("second"));
    let put = world.between(cache.put(&first), async {
        assert_eq!(other.take(&key, RequestId::generate()).await.unwrap().as_ref(), Some(&first.value));
        assert_eq!(cache.put(&second).await.unwrap(), Put::Stored);
        assert_eq!(other.take(&key, RequestId::generate()).await.unwrap().as_ref(), Some(&second.value));
    });
    assert_eq!(put.await, Put::Stored);
    assert_eq!(other.take(&key, RequestId::generate()).await.unwrap(), None);
}

async fn take(world: World) {
    let (cache, other, key) = (&world.stores.cache, &world.stores.other, world.key("item"));
    let item = |value: &'static str| HandoffItem::new(world.stores.other_service.clone(), key.clone(), value, TTL);
    let (first, second) = (item("first"), item("second"));
    assert_eq!(cache.put(&first).await.unwrap(), Put::Stored);
    let taken = world.between(other.take(&key, RequestId::generate()), async {
        assert_eq!(cache.put(&second).await.unwrap(), Put::Stored);
    });
    assert_eq!(taken.await, Some(first.value));
    assert_eq!(other.take(&key, RequestId::generate()).await.unwrap(), Some(second.value));
}

async fn abandon(world: World) {
    let roles: [&dyn Idempotency; 2] = [world.stores.cache.as_ref(), world.stores.state.as_ref()];
    for store in roles {
        let request = || IdempotentRequest::new(world.key("request"), Fingerprint::new([1; 32]));
        let (mine, other) = (request(), request());
        store.begin(&mine, TTL).await.unwrap();
        world
            .between(store.abandon(&mine), async {
                assert_eq!(store.begin(&other, TTL).await.unwrap(), Begun::Started);
            })
            .await;
        assert!(store.prolong(&other, TTL).await.unwrap());
    }
}

fn acquire_request(world: &World, name: &str) -> AcquireRequest {
    AcquireRequest::new(LeaseName::new(world.place).unwrap(), holder(name), MINUTE)
}

async fn acquired(world: &World, name: &str) -> store_core::Lease {
    let acquired = world.stores.state.acquire(&acquire_request(world, name), ACCEPTED).await.unwrap().value;
    let Acquired::Yes(lease) = acquired else { panic!("{acquired:?}") };
    lease
}

/// The lease ends before the repetition, and another holder has it.
async fn acquire(world: World) {
    let (state, request) = (&world.stores.state, acquire_request(&world, "one"));
    let mut other = None;
    let answer = world.between(state.acquire(&request, ACCEPTED), async {
        world.clock.advance(MINUTE);
        other = Some(acquired(&world, "two").await);
    });
    let answer = answer.await.value;
    let other = other.unwrap();
    assert_eq!(answer == Acquired::Taken(other.info()), world.loses, "{answer:?}");
    assert_eq!(state.inspect(&request.name).await.unwrap(), Some(other.info()));
}

async fn release(world: World) {
    let state = &world.stores.state;
    let lease = acquired(&world, "one").await;
    let mut other = None;
    world.between(state.release(&lease), async { other = Some(acquired(&world, "two").await) }).await;
    assert_eq!(state.inspect(&lease.name).await.unwrap(), other.map(|lease| lease.info()));
}

async fn leave(world: World) {
    let (state, pool) = (&world.stores.state, PoolName::new(world.place).unwrap());
    let beat = Beat::new(pool.clone(), holder("one"), MINUTE);
    state.beat(&beat).await.unwrap();
    let member = holder("one");
    assert!(world.between(state.leave(&pool, &member), async { state.beat(&beat).await.unwrap() }).await);
    assert_eq!(state.alive(&pool, PageRequest::default()).await.unwrap().items.len(), 1);
}

async fn clear_token(world: World) {
    let (state, stream) = (&world.stores.state, StreamName::new(world.place).unwrap());
    let save = async |token: &'static str| {
        let save = SaveRequest::new(stream.clone(), token, Fence::new(7), None);
        state.save(&save, ACCEPTED).await.unwrap().value.done().unwrap().version
    };
    let version = save("1").await;
    let cleared = world.between(state.clear(&stream, version, None), async {
        save("2").await;
    });
    let cleared = cleared.await;
    assert!(world.loses || cleared == TokenOutcome::Done(()), "{cleared:?}");
    assert_eq!(state.load(&stream).await.unwrap().unwrap().token.as_ref(), b"2");
}

/// The run is deleted before the repetition. A creation is two scripts: the entries of listings, and the run.
async fn create_run(world: World) {
    let (runs, id) = (world.stores.state.runs(), RunId::new(world.place).unwrap());
    let new = NewRun::new(id.clone(), AgentName::new(world.place).unwrap());
    let delete = async { assert!(runs.delete(&id).await.unwrap()) };
    let created = world.between_behind(1, runs.create(&new, ACCEPTED), delete).await.value;
    assert!(created.done().is_some());
    assert_eq!(runs.get(&id).await.unwrap(), None);
}

async fn save_session(world: World) {
    let (sessions, id) = (world.stores.state.sessions(), SessionId::new(world.place).unwrap());
    let save = SessionSave::new(id.clone(), AgentName::new(world.place).unwrap(), "signed in").with_ttl(TTL);
    let delete = async { assert!(sessions.delete(&id).await.unwrap()) };
    let saved = world.between_behind(1, sessions.save(&save, ACCEPTED), delete).await.value;
    assert!(saved.saved().is_some());
    assert_eq!(sessions.get(&id).await.unwrap(), None, "it stays signed out");
}

/// Whether or not there was something to clear.
async fn clear_retries(world: World) {
    clear_retries_of(&world, world.key("operation"), true).await;
    clear_retries_of(&world, world.key("new operation"), false).await;
}

async fn clear_retries_of(world: &World, key: Key, has_begun: bool) {
    let retries = world.stores.state.retries();
    let begin = async || {
        let request = RetryRequest::new(key.clone(), RetryPolicy::new(2, Backoff::Fixed(MINUTE)));
        retries.begin(&request, ACCEPTED).await.unwrap().value
    };
    if has_begun {
        begin().await.attempt().expect("it is due");
    }
    let mut fence = None;
    let cleared = world.between(retries.clear(&key), async { fence = begin().await.attempt().map(|of| of.fence) });
    assert_eq!(cleared.await, has_begun);
    assert_eq!(retries.get(&key).await.unwrap().map(|operation| operation.fence), fence);
    assert!(begin().await.attempt().is_none(), "the attempt of the other caller runs");
}

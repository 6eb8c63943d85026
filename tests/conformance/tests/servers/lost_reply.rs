//! A write is executed and its reply is lost. The store sends it again, and it takes effect once. If it would take effect twice,
//! the store does not send it again and returns `Indeterminate`.

mod broadcasts;
mod cache;
mod homes;
mod interleaved;
mod retries;
mod runs;
mod schedules;
mod sessions;
mod state;
mod steps;
mod tokens;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use conformance::{Engine, Options, RedisEngine, Stores};
use store_core::{Clock, Error, Key, ManualClock, Op, QueueName, Repeat, Result, Timestamp};
use testkit::{FaultProxy, RedisServer};

/// Declares the cases: for each operation a function that runs once with all replies, which also loads the scripts, and once
/// more with one lost reply.
macro_rules! lost_replies {
    ($($op:ident => $($case:ident)::+;)*) => {
        const COVERED: &[Op] = &[$(Op::$op),*];

        $(#[tokio::test(flavor = "multi_thread")]
        #[allow(non_snake_case, reason = "the test is called as the operation is")]
        async fn $op() {
            let servers = Servers::start().await;
            $($case)::+(servers.open("warm", false).await).await;
            $($case)::+(servers.open("lost", true).await).await;
        })*
    };
}

lost_replies! {
    KeyValueSetMany => cache::set_many;
    KeyValueSetIfAbsent => cache::set_if_absent;
    KeyValueDeleteMany => cache::delete_many;
    KeyValueDeleteIf => cache::delete_if;
    KeyValueAdd => cache::add;
    IdempotencyBegin => cache::begin;
    IdempotencyProlong => cache::prolong;
    IdempotencyFinish => cache::finish;
    IdempotencyAbandon => cache::abandon;
    RateLimitCheck => cache::check;
    RateLimitReset => cache::reset;
    HandoffPut => cache::put;
    HandoffTake => cache::take;
    QueuePush => state::push;
    QueueClaim => state::claim;
    QueueExtend => state::extend;
    QueueSettle => state::settle;
    QueueWait => state::wait;
    QueueCancel => state::cancel;
    QueueReplay => state::replay;
    QueueDelete => state::delete;
    QueuePromote => state::promote;
    QueuePause => state::pause;
    QueueResume => state::resume;
    LeaseAcquire => state::acquire;
    LeaseRenew => state::renew;
    LeaseRelease => state::release;
    HeartbeatBeat => state::beat;
    HeartbeatLeave => state::leave;
    ResumeTokenSave => tokens::save;
    ResumeTokenTakeOver => tokens::take_over;
    ResumeTokenClear => tokens::clear;
    StepBegin => steps::begin;
    StepFinish => steps::finish;
    StepFail => steps::fail;
    StepSleep => steps::sleep;
    RunCreate => runs::create;
    RunWrite => runs::write;
    RunDelete => runs::delete;
    RunSweep => runs::sweep;
    RunClear => runs::clear;
    SessionSave => sessions::save;
    SessionDelete => sessions::delete;
    SessionSweep => sessions::sweep;
    SessionClear => sessions::clear;
    HomeCommit => homes::commit;
    HomeDeliver => homes::deliver;
    SchedulePut => schedules::put;
    ScheduleDelete => schedules::delete;
    SchedulePause => schedules::pause;
    ScheduleResume => schedules::resume;
    ScheduleAdvance => schedules::advance;
    TopicDeclare => topics::declare;
    TopicAppend => topics::append;
    TopicRead => topics::read;
    TopicAcknowledge => topics::acknowledge;
    TopicRelease => topics::release;
    TopicSeek => topics::seek;
    TopicRemoveGroup => topics::remove_group;
    BroadcastPublish => broadcasts::publish;
    RetryBegin => retries::begin;
    RetryFail => retries::fail;
    RetrySucceed => retries::succeed;
    RetryClear => retries::clear;
}

#[test]
fn every_operation_that_writes_has_a_case() {
    let is_of_a_store = |op: &&Op| !op.name().starts_with("link.");
    let writes = Op::ALL.iter().filter(is_of_a_store).filter(|op| op.repeat() != Repeat::Reads);
    let missing: Vec<&Op> = writes.filter(|op| !COVERED.contains(op)).collect();
    assert_eq!(missing, Vec::<&Op>::new());
}

/// How long a repetition waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// Both servers, each behind a proxy.
struct Servers {
    started: Arc<[RedisServer; 2]>,
    proxies: Arc<[FaultProxy; 2]>,
    engine: RedisEngine,
}

impl Servers {
    async fn start() -> Self {
        Self::start_within(PATIENCE).await
    }

    /// `patience`: how long a repetition waits.
    async fn start_within(patience: Duration) -> Self {
        let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
        let (cache, state) = (cache.unwrap(), state.unwrap());
        let proxies =
            [FaultProxy::start(cache.address()).await.unwrap(), FaultProxy::start(state.address()).await.unwrap()];
        let urls = [cache.url_through(&proxies[0], None), state.url_through(&proxies[1], None)];
        let engine = RedisEngine::connect_within("redis", &urls[0], &urls[1], patience).await.unwrap();
        Self { started: Arc::new([cache, state]), proxies: Arc::new(proxies), engine }
    }

    async fn open(&self, place: &'static str, loses: bool) -> World {
        let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
        let options = Options { clock: Clock::Manual(clock.clone()), ..Options::default() };
        let stores = self.engine.open(place, &options).await.unwrap();
        World { stores, clock, proxies: Arc::clone(&self.proxies), servers: Arc::clone(&self.started), place, loses }
    }
}

/// The environment of a case.
struct World {
    stores: Stores,
    clock: ManualClock,
    proxies: Arc<[FaultProxy; 2]>,
    servers: Arc<[RedisServer; 2]>,
    place: &'static str,
    loses: bool,
}

impl World {
    /// Makes the call, and loses the reply to the first request that it sends.
    async fn lost<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        if !self.loses {
            return call.await;
        }
        let fired = || self.proxies.iter().map(FaultProxy::fired).sum::<usize>();
        let before = fired();
        for proxy in self.proxies.iter() {
            proxy.cut_after_request(is_of_a_store);
        }
        let answer = call.await;
        for proxy in self.proxies.iter() {
            proxy.cut_after_request(|_| false);
        }
        assert_eq!(fired(), before + 1, "no reply was lost");
        answer
    }

    /// Makes a call that is never repeated. It returns `Indeterminate`, unless its reply arrived.
    async fn never_repeated<T: std::fmt::Debug>(&self, op: Op, call: impl Future<Output = Result<T>>) {
        let answer = self.lost(call).await;
        if self.loses {
            let is_told = matches!(&answer, Err(error @ Error::Indeterminate { .. }) if error.op() == op);
            assert!(is_told && answer.as_ref().is_err_and(|error| !error.is_retryable()), "{answer:?}");
        } else {
            answer.unwrap();
        }
    }

    fn key(&self, what: &str) -> Key {
        Key::new(format!("{}-{what}", self.place)).unwrap()
    }

    fn queue(&self) -> QueueName {
        QueueName::new(self.place).unwrap()
    }
}

/// Whether a request is a store's, and not one that checks the connection.
fn is_of_a_store(request: &[u8]) -> bool {
    ["EVALSHA", "SET", "DEL", "UNLINK", "BLPOP"].iter().any(|name| {
        let header = format!("\r\n${}\r\n{name}\r\n", name.len());
        request.windows(header.len()).any(|window| window.eq_ignore_ascii_case(header.as_bytes()))
    })
}

//! A proxy holds a connection with a request. The store sends the request again on another connection, and a later operation
//! changes the same object. Then the first copy reaches the server: it does not change the object.

mod broadcasts;
mod cache;
mod homes;
mod retries;
mod runs;
mod schedules;
mod sessions;
mod state;
mod steps;
mod tokens;
mod topics;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use conformance::{Engine, Options, RedisEngine, Stores};
use store_core::{Error, HolderName, Key, LeaseName, Op, PoolName, QueueName, Repeat, Result};
use testkit::{DEADLINE, FaultProxy, RedisServer, wait_until};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet, spawn_local};

/// The command time-out, which is the deadline of a copy. A connection without answers for twice this and a second is closed.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How many cases run concurrently.
const AT_ONCE: usize = 8;

type Playing = Pin<Box<dyn Future<Output = ()>>>;

struct Case {
    op: Op,
    name: &'static str,
    play: fn(World) -> Playing,
}

/// Declares the cases: for each operation the later ones that follow it.
macro_rules! late_copies {
    ($($op:ident => $($case:ident)::+;)*) => {
        const CASES: &[Case] = &[$(Case {
            op: Op::$op,
            name: stringify!($($case)::+),
            play: |world| Box::pin($($case)::+(world)),
        }),*];
    };
}

late_copies! {
    KeyValueSetMany => cache::set_then_set;
    KeyValueSetMany => cache::set_then_delete;
    KeyValueSetMany => cache::several_set_then_set;
    KeyValueSetIfAbsent => cache::set_if_absent_then_delete;
    KeyValueDeleteMany => cache::delete_then_set;
    KeyValueDeleteIf => cache::delete_if_then_set;
    IdempotencyBegin => cache::begin_then_abandon;
    IdempotencyBegin => state::begin_then_abandon;
    IdempotencyProlong => cache::prolong_then_prolong;
    IdempotencyProlong => cache::prolong_then_prolong_in_the_state;
    IdempotencyFinish => cache::finish_then_begin;
    IdempotencyFinish => state::finish_then_begin;
    IdempotencyAbandon => cache::abandon_then_begin;
    IdempotencyAbandon => state::abandon_then_begin;
    RateLimitReset => cache::reset_then_check;
    HandoffPut => cache::put_then_take;
    HandoffPut => cache::put_then_take_and_put;
    HandoffTake => cache::take_then_put;
    QueuePush => state::push_then_cancel;
    QueuePush => state::push_then_delete;
    QueuePush => state::push_then_complete;
    QueuePush => state::push_with_delay_then_promote_and_complete;
    QueueExtend => state::extend_then_extend;
    QueueExtend => state::extend_then_release;
    QueueExtend => state::extend_with_progress_then_extend;
    QueueSettle => state::retry_then_promote;
    QueueSettle => state::release_then_claim;
    QueueSettle => state::bury_then_replay;
    QueueSettle => state::complete_then_push;
    QueueCancel => state::cancel_then_push;
    QueueCancel => state::cancel_a_running_job_then_retry;
    QueueReplay => state::replay_then_bury;
    QueueReplay => state::replay_then_delete;
    QueueDelete => state::delete_then_push;
    QueuePromote => state::promote_then_snooze;
    QueuePromote => state::promote_then_cancel;
    QueuePause => state::pause_then_resume;
    QueueResume => state::resume_then_pause;
    LeaseAcquire => state::acquire_then_release;
    LeaseAcquire => state::acquire_then_release_and_another;
    LeaseRenew => state::renew_then_renew;
    LeaseRenew => state::renew_then_release;
    LeaseRelease => state::release_then_acquire;
    HeartbeatBeat => state::beat_then_leave;
    HeartbeatBeat => state::beat_then_beat;
    HeartbeatLeave => state::leave_then_beat;
    ResumeTokenSave => tokens::save_then_save;
    ResumeTokenSave => tokens::save_then_clear;
    ResumeTokenTakeOver => tokens::take_over_then_take_over;
    ResumeTokenClear => tokens::clear_then_save;
    StepBegin => steps::begin_then_fail;
    StepBegin => steps::begin_then_expiry;
    StepFinish => steps::finish_then_expiry;
    StepFail => steps::fail_then_begin;
    StepSleep => steps::sleep_then_expiry;
    HomeCommit => homes::commit_then_clear;
    HomeCommit => homes::commit_then_delete;
    HomeDeliver => homes::deliver_then_complete;
    HomeDeliver => homes::deliver_then_deliver_by_another;
    RunCreate => runs::create_then_delete;
    RunCreate => runs::index_then_delete;
    RunWrite => runs::append_then_end;
    RunWrite => runs::begin_then_cancel;
    RunDelete => runs::delete_then_create;
    RunSweep => runs::sweep_then_create;
    RunClear => runs::clear_then_create;
    SessionSave => sessions::save_then_save;
    SessionSave => sessions::first_save_then_delete;
    SessionDelete => sessions::delete_then_save;
    SessionSweep => sessions::sweep_then_save;
    SessionClear => sessions::clear_then_save;
    SchedulePut => schedules::put_then_put;
    SchedulePut => schedules::put_then_delete;
    ScheduleDelete => schedules::delete_then_put;
    SchedulePause => schedules::pause_then_resume;
    ScheduleResume => schedules::resume_then_pause;
    ScheduleAdvance => schedules::advance_then_complete;
    ScheduleAdvance => schedules::advance_then_pause;
    TopicDeclare => topics::declare_then_declare;
    TopicAppend => topics::append_then_append;
    TopicRead => topics::read_then_release;
    TopicAcknowledge => topics::acknowledge_then_seek;
    TopicRelease => topics::release_then_read;
    TopicSeek => topics::seek_then_acknowledge;
    TopicRemoveGroup => topics::remove_group_then_acknowledge;
    BroadcastPublish => broadcasts::publish_then_publish;
    RetryBegin => retries::begin_then_fail;
    RetryBegin => retries::begin_then_clear;
    RetryFail => retries::fail_then_begin;
    RetrySucceed => retries::succeed_then_begin;
    RetryClear => retries::clear_then_begin;
}

#[test]
fn every_idempotent_operation_has_a_case() {
    let is_of_a_store = |op: &&Op| !op.name().starts_with("link.");
    let idempotent = Op::ALL.iter().filter(is_of_a_store).filter(|op| op.repeat() == Repeat::Idempotent);
    let missing: Vec<&Op> = idempotent.filter(|op| !CASES.iter().any(|case| case.op == **op)).collect();
    assert_eq!(missing, Vec::<&Op>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_copy_undoes_nothing_that_came_after_it() {
    LocalSet::new().run_until(play_all()).await;
}

async fn play_all() {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let servers = Arc::new([cache.unwrap(), state.unwrap()]);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    for case in CASES {
        let (servers, turns) = (Arc::clone(&servers), Arc::clone(&turns));
        playing.spawn_local(async move {
            let _turn = turns.acquire_owned().await.unwrap();
            // First without a hold, so that the servers have the scripts and a late copy could run.
            for holds in [false, true] {
                let world = World::open(&servers, holds).await;
                let played = spawn_local((case.play)(world)).await;
                if let Err(error) = played {
                    return Some(format!("{} ({}), held: {holds}: {error}", case.name, case.op));
                }
            }
            None
        });
    }
    let mut failed = Vec::new();
    while let Some(ended) = playing.join_next().await {
        failed.extend(ended.unwrap());
    }
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), CASES.len(), failed.join("\n"));
}

/// The environment of a case: stores behind proxies of its own, with names of its own.
struct World {
    stores: Stores,
    engine: RedisEngine,
    servers: Arc<[RedisServer; 2]>,
    proxies: [FaultProxy; 2],
    holds: bool,
}

impl World {
    async fn open(servers: &Arc<[RedisServer; 2]>, holds: bool) -> Self {
        let [cache, state] = servers.as_ref();
        let proxies =
            [FaultProxy::start(cache.address()).await.unwrap(), FaultProxy::start(state.address()).await.unwrap()];
        let urls = [cache.url_through(&proxies[0], None), state.url_through(&proxies[1], None)];
        let engine = RedisEngine::connect_within("redis", &urls[0], &urls[1], PATIENCE).await.unwrap();
        let stores = engine.open("late", &Options::default()).await.unwrap();
        Self { stores, engine, servers: Arc::clone(servers), proxies, holds }
    }

    /// Makes the call. Its first copy is held, and another one is answered.
    async fn held<T>(&self, call: impl Future<Output = Result<T>>) -> T {
        if !self.holds {
            return call.await.unwrap();
        }
        self.proxies.iter().for_each(|proxy| proxy.hold_at_request(is_a_script));
        let answer = call.await.unwrap();
        self.proxies.iter().for_each(FaultProxy::disarm);
        let fired: usize = self.proxies.iter().map(FaultProxy::fired).sum();
        assert_eq!(fired, 1, "no request was held");
        answer
    }

    /// Lets the held copy reach the server, and waits until it is answered.
    async fn arrives(&self) {
        for proxy in self.proxies.iter().filter(|proxy| proxy.fired() > 0) {
            let (connections, bytes) = (proxy.connections(), proxy.bytes_down());
            proxy.pass().await;
            wait_until("the late copy is answered", DEADLINE, async || {
                proxy.bytes_down() > bytes || proxy.connections() < connections
            })
            .await;
        }
    }

    /// A text that no other case uses.
    fn text(&self, what: &str) -> String {
        format!("{}-{what}", self.stores.service)
    }

    fn key(&self, what: &str) -> Key {
        Key::new(self.text(what)).unwrap()
    }

    fn queue(&self) -> QueueName {
        QueueName::new(self.text("queue")).unwrap()
    }

    fn lease(&self) -> LeaseName {
        LeaseName::new(self.text("lease")).unwrap()
    }

    fn pool(&self) -> PoolName {
        PoolName::new(self.text("pool")).unwrap()
    }
}

/// Makes a call that the store does not repeat. If it was sent on the held connection, it is not carried out in time, so it is
/// made again.
async fn never_repeated<T, F: Future<Output = Result<T>>>(call: impl Fn() -> F) -> T {
    loop {
        match call().await {
            Err(Error::Indeterminate { .. }) => {}
            answer => return answer.unwrap(),
        }
    }
}

fn holder(name: &str) -> HolderName {
    HolderName::new(name).unwrap()
}

fn is_a_script(request: &[u8]) -> bool {
    let header = b"\r\n$7\r\nEVALSHA\r\n";
    request.windows(header.len()).any(|window| window.eq_ignore_ascii_case(header))
}

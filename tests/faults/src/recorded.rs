//! The stores behind a recorder: each call of a capability is written into the history, with its answer.

mod heartbeats;
mod homes;
mod idempotency;
mod leases;
mod losses;
mod queue;
mod queue_control;
mod resume_tokens;
mod retries;
mod runs;
mod schedules;
mod steps;
mod topics;

pub(crate) use homes::RecordedHome;
pub(crate) use losses::{PushingAgain, record_losses};

use std::sync::Arc;

use store_core::Homes;
use twinstore::broadcast::Broadcasts;
use twinstore::durability::Durability;
use twinstore::heartbeat::Heartbeats;
use twinstore::idempotency::Idempotency;
use twinstore::lease::Leases;
use twinstore::queue::{Queue, QueueControl, QueueInspect};
use twinstore::resume_token::ResumeTokens;
use twinstore::retry::Retries;
use twinstore::run::{Runs, Sessions};
use twinstore::schedule::Schedules;
use twinstore::step::Steps;
use twinstore::topic::Topics;
use twinstore::{Error, ErrorKind, Stores};

use crate::history::{Answer, Invocation, Recorder, Reply};
use crate::workload::{COMMITS, PLAIN, commits::home_key, queue as queue_name};

/// A capability whose calls are recorded.
#[derive(Clone)]
pub(crate) struct Recorded<T: ?Sized> {
    inner: Arc<T>,
    recorder: Recorder,
    /// `state` or `cache`.
    store: &'static str,
}

impl<T: ?Sized> std::fmt::Debug for Recorded<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recorded({})", self.recorder.name())
    }
}

/// The stores of one actor of the workload.
#[derive(Clone)]
pub(crate) struct Client {
    /// The recorder under the actor's name.
    pub(crate) recorder: Recorder,
    /// The durability of its writes.
    pub(crate) durability: Durability,
    /// Queues.
    pub(crate) queue: Arc<dyn Queue>,
    /// Queues, as the handlers of this actor use them.
    pub(crate) of_handler: Arc<dyn Queue>,
    /// Control of queues.
    pub(crate) control: Arc<dyn QueueControl>,
    /// Inspection, which is not recorded.
    pub(crate) inspect: Arc<dyn QueueInspect>,
    /// Leases.
    pub(crate) leases: Arc<dyn Leases>,
    /// Idempotency keys of the state store.
    pub(crate) idempotency: Arc<dyn Idempotency>,
    /// Idempotency keys of the cache store.
    pub(crate) cache_idempotency: Arc<dyn Idempotency>,
    /// Heartbeats.
    pub(crate) heartbeats: Arc<dyn Heartbeats>,
    /// Resume tokens.
    pub(crate) tokens: Arc<dyn ResumeTokens>,
    /// Steps.
    pub(crate) steps: Arc<dyn Steps>,
    /// Runs of agents.
    pub(crate) runs: Arc<dyn Runs>,
    /// Sessions.
    pub(crate) sessions: Arc<dyn Sessions>,
    /// Retries.
    pub(crate) retries: Arc<dyn Retries>,
    /// Schedules.
    pub(crate) schedules: Arc<dyn Schedules>,
    /// Topics.
    pub(crate) topics: Arc<dyn Topics>,
    /// Broadcasts, which are not recorded.
    pub(crate) broadcasts: Arc<dyn Broadcasts>,
    /// The home of the commits.
    pub(crate) home: RecordedHome,
    /// The home of the commits of handlers.
    pub(crate) plain_home: RecordedHome,
    /// Delivers what commits send elsewhere.
    pub(crate) homes: Arc<dyn Homes>,
}

impl Client {
    /// The stores as this actor uses them.
    pub(crate) fn new(stores: &Stores, recorder: Recorder) -> Self {
        fn wrap<T: ?Sized>(inner: Arc<T>, recorder: &Recorder, store: &'static str) -> Arc<Recorded<T>> {
            Arc::new(Recorded { inner, recorder: recorder.clone(), store })
        }
        let state = stores.state();
        let home = |queue: &str| {
            let (queue, recorder) = (queue_name(queue), recorder.clone());
            RecordedHome { inner: state.home(&queue, &home_key()), queue, recorder }
        };
        Self {
            durability: state.durability(),
            queue: wrap(state.queue(), &recorder, "state"),
            of_handler: wrap(
                state.queue(),
                &recorder.actor(format!("{}{}", recorder.name(), crate::OF_HANDLER)),
                "state",
            ),
            control: wrap(state.control(), &recorder, "state"),
            inspect: state.inspect(),
            leases: wrap(state.leases(), &recorder, "state"),
            idempotency: wrap(state.idempotency(), &recorder, "state"),
            cache_idempotency: wrap(stores.cache().idempotency(), &recorder, "cache"),
            heartbeats: wrap(state.heartbeats(), &recorder, "state"),
            tokens: wrap(state.resume_tokens(), &recorder, "state"),
            steps: wrap(state.steps(), &recorder, "state"),
            runs: wrap(state.runs(), &recorder, "state"),
            sessions: wrap(state.sessions(), &recorder, "state"),
            retries: wrap(state.retries(), &recorder, "state"),
            schedules: wrap(state.schedules(), &recorder, "state"),
            topics: wrap(state.topics(), &recorder, "state"),
            broadcasts: state.broadcasts(),
            home: home(COMMITS),
            plain_home: home(PLAIN),
            homes: wrap(state.homes(), &recorder, "state"),
            recorder,
        }
    }
}

/// Records the result of a call and returns it.
pub(crate) fn record<T>(
    invocation: Invocation,
    result: Result<T, Error>,
    answer: impl FnOnce(&T) -> Answer,
) -> Result<T, Error> {
    match &result {
        Ok(value) => invocation.answered(answer(value)),
        Err(error) => invocation.reply(reply(error)),
    }
    result
}

/// Repeats a call until it is answered, at most twenty times.
pub(crate) async fn retry<T>(mut ask: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut answer = ask().await;
    for _ in 0..20 {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        answer = ask().await;
    }
    answer
}

/// The recorded reply of an error.
fn reply(error: &Error) -> Reply {
    let kind = error.kind().name().to_owned();
    match error.kind() {
        ErrorKind::Unavailable
        | ErrorKind::Limit
        | ErrorKind::InvalidArgument
        | ErrorKind::Unauthenticated
        | ErrorKind::Tls => Reply::NotExecuted(kind),
        _ => Reply::Unknown(kind),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! One of the shared connections, and the task that keeps it open.

use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use super::flight::Flight;
use super::upstream::{Opened, Upstream};
use super::waiting::Permit;
use crate::wire::{Failure, Request, Wire};
use crate::{Capabilities, LinkConfig, Reply, metered};

const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pauses between attempts to reopen a connection: random, up to 20 ms, 40 ms, 80 ms … 1 s.
pub(super) struct Backoff(Duration);

/// The pauses between attempts, which the connections to one server take in turn. So a link with three connections tries a server
/// that is down as often as a link with one. When an attempt succeeds, the others follow after short pauses. An attempt that hangs
/// delays no other.
#[derive(Clone)]
pub(super) struct Turns {
    /// Held during a pause.
    turn: Arc<Mutex<()>>,
    /// Apart from the turn, so that a connection that has just opened waits for no pause of the others.
    backoff: Arc<StdMutex<Backoff>>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { turn: Arc::default(), backoff: Arc::new(StdMutex::new(Backoff::new())) }
    }

    /// Waits for the next turn.
    async fn pause(&self) {
        let _turn = self.turn.lock().await;
        let pause = self.backoff().next();
        tokio::time::sleep(pause).await;
    }

    /// An attempt has succeeded.
    fn reset(&self) {
        self.backoff().reset();
    }

    fn backoff(&self) -> MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self(SHORTEST_PAUSE)
    }

    /// The next pause.
    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(self.next()).await;
    }

    /// Begins with the shortest pause again.
    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    fn next(&mut self) -> Duration {
        let pause = self.0.mul_f64(fastrand::f64());
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
        pause
    }
}

pub(super) struct Connection {
    flight: Arc<Flight>,
    keeper: AbortHandle,
    /// Whether the server reported cluster mode when the connection was opened first.
    pub(super) has_slots: bool,
}

impl Connection {
    /// Opens the connection. A task keeps it open until this is dropped.
    pub(super) async fn open(config: &LinkConfig, upstream: &Upstream, turns: &Turns) -> Result<Self, Failure> {
        let opened = upstream.open(config).await?;
        let has_slots = opened.wire.greeting().is_some_and(|greeting| greeting.mode.as_deref() == Some("cluster"));
        Ok(Self::keep(config, upstream, turns, (Some(opened), has_slots)))
    }

    /// A connection to a node of a cluster, which a task opens.
    pub(super) fn begin(config: &LinkConfig, upstream: &Upstream, turns: &Turns) -> Self {
        Self::keep(config, upstream, turns, (None, true))
    }

    fn keep(
        config: &LinkConfig,
        upstream: &Upstream,
        turns: &Turns,
        (opened, has_slots): (Option<Opened>, bool),
    ) -> Self {
        let flight = Arc::new(Flight::new(config));
        if let Some(opened) = &opened {
            let _ = flight.begin(opened.wire.clone());
        }
        let keeper = Keeper {
            flight: Arc::clone(&flight),
            config: config.clone(),
            upstream: upstream.clone(),
            turns: turns.clone(),
        };
        let keeper = tokio::spawn(keeper.keep(opened)).abort_handle();
        Self { flight, keeper, has_slots }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.flight.is_up()
    }

    /// The capabilities of the server; `None` until a connection was open.
    pub(super) fn capabilities(&self) -> Option<Arc<Capabilities>> {
        self.flight.capabilities()
    }

    /// Sends one command and waits up to the command time-out for its reply.
    pub(super) async fn send(&self, request: Request<'_>, permit: Permit) -> Result<Reply, Failure> {
        self.flight.send(request, permit).await
    }

    /// The open connection, for several requests that the same process of the server must answer. Their outcome is not recorded for the
    /// connection.
    pub(super) fn wire(&self) -> Result<Wire, Failure> {
        self.flight.wire()
    }

    /// Closes the connection for good.
    pub(super) fn close(&self) {
        self.keeper.abort();
        self.flight.end();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// The task that keeps a connection open. Dropping the connection aborts it.
struct Keeper {
    flight: Arc<Flight>,
    config: LinkConfig,
    upstream: Upstream,
    turns: Turns,
}

impl Keeper {
    /// Ends calls that timed out, and replaces a connection that is lost, dead, or leads to a server that is no longer the
    /// primary.
    async fn keep(self, opened: Option<Opened>) {
        let mut opened = match opened {
            Some(opened) => opened,
            None => self.open_another().await,
        };
        loop {
            tokio::select! {
                () = opened.ended() => {}
                () = self.flight.watch() => {}
                () = self.flight.failed() => {}
                () = self.flight.given_up() => self.upstream.doubt(),
            }
            drop(opened);
            self.flight.end();
            tracing::debug!("the connection was lost or closed; reopening it");
            opened = self.open_another().await;
        }
    }

    /// Opens a connection to replace a lost one. Tries until it succeeds.
    async fn open_another(&self) -> Opened {
        loop {
            self.turns.pause().await;
            if let Ok(opened) = self.upstream.open(&self.config).await {
                self.turns.reset();
                // Calls are accepted from here on, and only the caller ends those that time out: nothing may wait.
                let before = self.flight.begin(opened.wire.clone());
                if before.is_some_and(|before| before != *opened.wire.capabilities()) {
                    tracing::debug!("the server now has other capabilities:\n{}", opened.wire.capabilities());
                }
                metered::reconnected(self.config.role_label(), opened.endpoint());
                self.config.reopened.send_modify(|count| *count += 1);
                return opened;
            }
        }
    }
}

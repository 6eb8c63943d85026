//! [`Link`]: calls to one server over several connections.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store_core::{Clock, Durability, Error, Op, Reached, Repeat, Result};
use tokio::sync::watch;

use crate::layout::Layouts;
use crate::metered::Meters;
use crate::wire::{Copies, Failure, Request};
use crate::{Answer, Arg, Breaker, LinkConfig, Reply, Script, Topology};

mod admission;
mod call;
mod capable;
mod cluster;
mod commands;
mod connection;
mod doubt;
mod durable;
mod exclusive;
mod flight;
mod loss;
mod node;
mod ping;
mod pressure;
mod receipts;
mod repeating;
mod routes;
mod scan;
mod sending;
mod servers;
mod subscriptions;
mod upstream;
mod values;
mod waiting;

pub(crate) use cluster::{NO_NODE, announced};
use doubt::in_doubt;
pub(crate) use durable::Proof;
pub use loss::LossReports;
pub(crate) use loss::{Acknowledged, Losses, ServerRun};
use pressure::Watched;
use repeating::Repetitions;
use routes::Routes;
use subscriptions::Subscriptions;
pub use subscriptions::{Channel, Event, Subscription};
pub(crate) use upstream::{Opened, Upstream};
use waiting::{Permit, Waiting};

/// A link to one server: a few connections that all calls share, and more for calls that block.
///
/// Clones share the connections; dropping the last clone closes them. Lost connections are reopened in the background,
/// without a limit of attempts. All calls have the same rules:
///
/// - **Time-outs.** An attempt takes at most the command time-out ([`LinkConfig::with_command_timeout`]), and as long
///   again for each further round trip: two if the script has to be loaded, one if the server refused the request as
///   late. Without a connection the attempt fails immediately. A connection on which calls wait, and which answered
///   none of them for 1.75 times the command time-out (with a breaker, a second longer), is closed: its calls fail as lost.
///   So a half-open connection is replaced within twice the command time-out after the first call on it, if the server
///   accepts another one at once. A connection without calls is not checked. The connection of the subscriptions is checked
///   every 10 s ([`Subscription`]); a sentinel is asked every 5 s, and left if it does not answer within one command time-out.
/// - **Retries.** A request that was not executed is repeated; one that may have been executed is repeated only if the
///   operation is idempotent or only reads ([`Op::repeat`]). At most [`LinkConfig::with_max_retries`] times, after random
///   pauses of up to 100 ms, 200 ms, 400 ms …. While a slot of a cluster moves, refusals (`TRYAGAIN`, `ASK`, `MOVED`) do not count for
///   as long as all attempts may take (5.7 s with the defaults, at least 5 s), or for half of the lease if the call is made for one
///   ([`Link::for_lease`]), unless that number is 0. The call returns the last error, or `Indeterminate` if any attempt was
///   indeterminate.
/// - **Breaker.** A link with a breaker ([`LinkConfig::with_breaker`]) returns `Unavailable` immediately, without an attempt or
///   a retry, while no connection is up and during the pause after several unanswered attempts in a row. [`Link::ping`] is
///   always sent.
/// - **Pressure.** While 85 % of `maxmemory` is used, a link that reads its server's memory use
///   ([`LinkConfig::with_pressure_watch`]) returns `Limit` with a time to wait, without an attempt, for calls of scripts that add
///   data. It sends all other calls.
/// - **Deadlines.** Each copy of a request whose script writes carries a deadline by the server's clock: the time it was sent
///   plus the command time-out. The server refuses a copy that arrives later. The link repeats a refused request once,
///   immediately, on the same connection, with a corrected clock; a second refusal is the error `Unavailable`. If the reply
///   to a copy is lost, the link waits for the deadline of that copy before it sends the next one or returns
///   `Indeterminate`. So no copy of an idempotent request, or of one that the caller may repeat
///   ([`Repeat::ByCaller`]), runs after its call has returned. An operation that is never repeated returns `Indeterminate`
///   immediately; its request may run until the command time-out is over. A copy that is sent after another which may have
///   been executed is marked as a repetition, and no copy runs later than [`Link::remembered_for`] allows. The link measures the
///   server's clock when a connection opens and every 30 s while it is used, and keeps a lower bound of it. If that clock is
///   set back, copies may run later than their deadline, by as much as it was set back, until the next measurement.
/// - **Cancellation.** A dropped call may have been executed, or may be executed until its deadline. A plain command, or a
///   script without a deadline ([`Script::new`]), may still be sent when the server reads again. No request outlives its
///   connection or is moved to another one, and a connection without answers is closed as described above.
pub struct Link {
    inner: Arc<Inner>,
    pub(crate) clock: Clock,
    pub(crate) layouts: Layouts,
    /// The duration of the lease for which the calls are made.
    lease: Option<Duration>,
}

struct Inner {
    config: LinkConfig,
    routes: Routes,
    waiting: Arc<Waiting>,
    is_closed: watch::Sender<bool>,
    subscriptions: Arc<Subscriptions>,
    breaker: Option<Breaker>,
    pressure: Option<Arc<Watched>>,
    meters: Meters,
}

impl Clone for Link {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), clock: self.clock.clone(), layouts: self.layouts, lease: self.lease }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Link");
        debug.field("config", &self.inner.config).field("connected", &self.is_connected());
        debug.field("capabilities", &self.capabilities()).finish()
    }
}

impl Link {
    /// Opens all connections of the pool, one after the other, within one connect time-out in all.
    ///
    /// # Errors
    /// `Unauthenticated` for a wrong password or an unreadable password file; `Forbidden` if the user may not select the
    /// database; `InvalidArgument` for a database that does not exist; `Tls` for an untrusted certificate or unreadable TLS
    /// files; `Unavailable` if the server is down or does not answer in time (a server that is still loading its data
    /// accepts connections); `Unsupported` for URLs of a topology that this version does not support (embedded).
    /// Several hosts of `redis://` or `kvrocks://` are a primary and its replicas.
    pub async fn connect(mut config: LinkConfig) -> Result<Self> {
        config.reopened = Arc::new(watch::Sender::new(0));
        if config.reports_losses {
            let has_shards = matches!(config.url.topology(), Topology::Cluster(_));
            config.losses = Some(Losses::begin(has_shards, config.command_timeout));
        }
        let opened = tokio::time::timeout(config.connect_timeout, Box::pin(Routes::open(&config, Op::Connect))).await;
        let silent = "the server did not answer within the connect time-out";
        let (routes, places) = opened.unwrap_or_else(|_| Err(Error::unavailable(Op::Connect, silent)))?;
        let link = Self {
            inner: Arc::new(Inner {
                routes,
                waiting: Waiting::new(config.max_waiting),
                is_closed: watch::Sender::new(false),
                subscriptions: Subscriptions::new(&config, places),
                meters: Meters::new(config.role_label()),
                breaker: config.breaker.map(|(failures, pause)| Breaker::new(failures, pause)),
                pressure: config.pressure_every.map(Watched::new),
                config,
            }),
            clock: Clock::Server,
            layouts: Layouts::default(),
            lease: None,
        };
        link.log_capabilities();
        link.watch_pressure().await;
        Ok(link)
    }

    /// Calls a script. One round trip; another two if the server does not have the script.
    ///
    /// # Errors
    /// Any of [`Error`] except `NotDurable`; see [`Link`] for retries.
    pub async fn call<K: AsRef<[u8]>>(&self, op: Op, script: &Script, keys: &[K], args: Vec<Arg>) -> Result<Answer> {
        self.inner.check_pressure(op, script, &args)?;
        let copies = self.copies(Durability::Accepted);
        self.call_request(op, script, keys, args, copies).await
    }

    /// Calls a script and waits until its writes have reached `durability`, in the same pipeline on a connection of its
    /// own. Returns the level that was reached: for [`Accepted`](store_core::Durability::Accepted), which is
    /// [`Link::call`], nothing is known.
    ///
    /// From Redis 7.2 on a server waits for the last *write* of a connection. A script that recognises a repetition
    /// therefore has to write something (the same value again); otherwise the level is granted without having been
    /// reached.
    ///
    /// An attempt lasts up to the level's `within` longer than one of [`Link::call`], and up to the connect time-out
    /// longer if a connection has to be opened. 16 such calls run at once; others wait for one command time-out.
    ///
    /// [`Fsynced`](store_core::Durability::Fsynced) reads the relevant settings before and after each write, in its
    /// round trip: `CONFIG GET`, and `INFO persistence` if needed. It needs one more round trip on a new connection,
    /// after a change of the settings, and after each write on a server without `WAITAOF`.
    ///
    /// # Errors
    /// [`Error::NotDurable`] if the level was not reached: the write was executed and is kept. `Unsupported`, before
    /// anything is written, for [`Fsynced`](store_core::Durability::Fsynced) if the server's settings do not grant it;
    /// the text states the reason and the setting to change. `Unavailable` if they do not grant it at the moment.
    /// `InvalidArgument` for zero replicas. Otherwise as [`Link::call`].
    pub async fn call_durable<K: AsRef<[u8]>>(
        &self,
        op: Op,
        script: &Script,
        keys: &[K],
        args: Vec<Arg>,
        durability: Durability,
    ) -> Result<(Answer, Reached)> {
        let (answer, reached) = self.call_reaching(op, script, keys, args, durability).await?;
        Ok((answer, reached?))
    }

    /// Sends a plain command.
    ///
    /// # Errors
    /// `InvalidArgument` for a command that is not on the list of those whose reply can never begin with stored data (and so
    /// cannot be mistaken for a message); use a script for others. Otherwise as [`Link::call`].
    pub async fn command(&self, op: Op, name: &'static str, args: Vec<Arg>) -> Result<Answer> {
        commands::check_plain(op, name)?;
        let slot = match self.is_cluster() {
            true => self.inner.routes.slot(op, &commands::keys(name, &args))?,
            false => None,
        };
        let request = Request::new(name, args);
        let call = || self.send(op, request.clone(), slot);
        self.attempts(op, name, &self.copies(Durability::Accepted), call)
            .await
            .map(|(reply, attempts)| Answer::new(reply, attempts))
    }

    /// Sends a command that blocks on the server up to `block`; `args` contain the same time if the command takes one
    /// ([`Arg::seconds`]). Returns `None` if nothing came within that time. Each concurrent call has a connection of
    /// its own, which is kept for later calls; at most 256.
    ///
    /// Dropping the call closes its connection, so the server stops waiting. A value that the server takes at that
    /// moment may be lost: use it for signals, not for data.
    ///
    /// # Errors
    /// `InvalidArgument` for a command that does not block or whose reply could be mistaken for a message. Otherwise as
    /// [`Link::call`]; the time-out of an attempt is `block` plus one command time-out.
    pub async fn blocking(&self, op: Op, name: &'static str, args: Vec<Arg>, block: Duration) -> Result<Option<Reply>> {
        commands::check_blocking(op, name)?;
        let request = Request::new(name, args).blocking();
        let call = || {
            let request = request.clone();
            async move {
                self.inner.check_open()?;
                let patience = self.inner.config.command_timeout;
                let node = self.inner.routes.only()?;
                let held = node.blockers.take(patience).await?;
                let reply = tokio::select! {
                    reply = held.wire().send(request, block + patience) => reply,
                    () = held.left() => Err(Failure::LOST),
                    () = self.inner.closed() => return Err(Failure::Lost("the link was closed")),
                };
                held.settle(&reply);
                reply
            }
        };
        let (reply, _) = self.attempts(op, name, &self.copies(Durability::Accepted), call).await?;
        Ok((reply != Reply::Nil).then_some(reply))
    }

    /// The reports of the writes that failovers after this call may lose; see [`LinkConfig::with_loss_reports`].
    pub fn loss_reports(&self) -> LossReports {
        LossReports::new(self.inner.config.losses.as_ref().and_then(|losses| losses.reports()))
    }

    /// Whether at least one connection is up, without asking the server.
    pub fn is_connected(&self) -> bool {
        !*self.inner.is_closed.borrow() && self.inner.routes.is_usable()
    }

    /// Whether the keys are divided among the nodes of a cluster. All nodes forward a message on a plain channel; use a
    /// [sharded](Channel::sharded) one.
    pub fn is_cluster(&self) -> bool {
        self.inner.routes.is_cluster()
    }

    /// Whether the server is in cluster mode, so that the keys of one call must share a slot.
    pub(crate) fn has_slots(&self) -> bool {
        self.inner.routes.has_slots()
    }

    /// Refuses new calls, ends blocking calls, waits up to one command time-out for the others under way, and closes
    /// all connections. Affects all clones.
    pub async fn close(&self) {
        self.inner.is_closed.send_replace(true);
        let _ = tokio::time::timeout(self.inner.config.command_timeout, self.inner.waiting.empty()).await;
        self.inner.routes.close();
        self.inner.subscriptions.close();
        self.inner.config.losses.iter().for_each(|losses| losses.end());
    }

    async fn call_request<K: AsRef<[u8]>>(
        &self,
        op: Op,
        script: &Script,
        keys: &[K],
        args: Vec<Arg>,
        copies: Copies,
    ) -> Result<Answer> {
        let slot = self.inner.routes.slot(op, keys)?;
        let request = Request::script(script, keys, args, &self.clock);
        let call = || self.run_script(slot, script, &request, &copies);
        let (reply, attempts) = self.attempts(op, script.name(), &copies, call).await?;
        Ok(Answer::new(reply, attempts).acknowledged(copies.acknowledged(slot)))
    }

    /// Alone decides whether a call is repeated.
    async fn attempts<T, F, C>(&self, op: Op, what: &str, copies: &Copies, call: C) -> Result<(T, u32)>
    where
        C: Fn() -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        let started = Instant::now();
        let mut attempt = 1;
        let mut repetitions = Repetitions::new(started, self.inner.config.max_retries, self.moving_for(copies));
        let mut may_have_run = false;
        let result = loop {
            let Some(admission) = self.inner.admit(op) else {
                let error =
                    Error::unavailable(op, "the server did not answer recently; calls are sent again after a pause");
                break Err(if may_have_run { in_doubt(error) } else { error });
            };
            let failure = match call().await {
                Ok(value) => {
                    admission.answered();
                    break Ok((value, attempt));
                }
                Err(failure) => failure,
            };
            self.inner.note_full(&failure);
            let is_withheld = matches!(failure, Failure::Late | Failure::Withheld(_));
            let is_moving = failure.is_of_moving_slot();
            let error = failure.into_error(op, what);
            let gives_up = self.inner.gives_up();
            admission.failed(&error, !is_withheld && !gives_up, &self.inner.meters);
            let is_in_doubt = matches!(error, Error::Indeterminate { .. });
            may_have_run |= is_in_doubt;
            if is_in_doubt && matches!(op.repeat(), Repeat::Idempotent | Repeat::ByCaller) {
                copies.over().await;
            }
            let is_repeatable = match error {
                Error::Unavailable { .. } => !is_withheld,
                Error::Indeterminate { .. } => matches!(op.repeat(), Repeat::Reads | Repeat::Idempotent),
                _ => false,
            };
            let pause = if gives_up || !is_repeatable { None } else { repetitions.next(is_moving) };
            let Some(pause) = pause else {
                break Err(if may_have_run { in_doubt(error) } else { error });
            };
            self.inner.meters.retried(op);
            tracing::debug!(%op, attempt, kind = %error.kind(), is_moving, "trying again");
            tokio::time::sleep(pause).await;
            attempt += 1;
        };
        self.inner.meters.finished(op, started, &result);
        result
    }
}

impl Inner {
    fn check_open(&self) -> Result<(), Failure> {
        if *self.is_closed.borrow() {
            return Err(Failure::Withheld("the link is closed"));
        }
        Ok(())
    }

    /// Waits until the link is closed.
    async fn closed(&self) {
        // `self` holds the sender, so it is not gone.
        let _ = self.is_closed.subscribe().wait_for(|is_closed| *is_closed).await;
    }

    /// Counts one waiting call; refused if too many wait.
    fn enter(&self) -> Result<Permit, Failure> {
        self.waiting.enter().ok_or(Failure::Withheld("too many commands wait"))
    }
}

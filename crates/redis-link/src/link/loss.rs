//! Finds the acknowledged writes that a failover may have lost.
//!
//! Each connection records a receipt of each acknowledged write at the run of its server. A *position* is a replication offset.
//! While the link writes, it reads the server's position every 200 ms: an upper bound of the positions of the writes before. A
//! new primary reports the replication stream that it received before, and up to which position.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store_core::{AcknowledgedWrite, LossReport};
use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;

use super::receipts::Ring;
use crate::wire::{Failure, Request, Wire};
use crate::{Arg, Endpoint, Reply};

mod publishing;
mod replication;
mod reports;

use publishing::{count, publish};
use replication::Replication;
pub use reports::LossReports;

/// The shortest pause between two readings of the position, and the time to wait for late replies after a failover.
const PERIOD: Duration = Duration::from_millis(200);
/// How long to wait for the successor of a primary that left its cluster.
const SUCCESSION: Duration = Duration::from_secs(10);
/// How many reports a slow subscriber may leave unread.
const UNREAD: usize = 64;

/// The receipts of the writes of one link, by server.
pub(crate) struct Losses {
    runs: Mutex<Vec<Arc<ServerRun>>>,
    /// Whether several primaries are in use at the same time.
    has_shards: bool,
    /// How long to wait for a position.
    patience: Duration,
    wake: Arc<Notify>,
    /// `None` after the end.
    reports: Mutex<Option<broadcast::Sender<Arc<LossReport>>>>,
    task: Mutex<Option<AbortHandle>>,
}

/// One run of one server, while it writes to one replication stream.
pub(crate) struct ServerRun {
    endpoint: Endpoint,
    /// The id of the run; `None` if the server does not report it.
    run: Option<String>,
    wake: Arc<Notify>,
    state: Mutex<State>,
}

struct State {
    /// The id of the stream.
    stream: Option<String>,
    ring: Ring,
    /// Connections for reading the position.
    wires: Vec<Wire>,
    is_sampled: bool,
    /// Whether the task has been woken.
    is_noted: bool,
    fate: Option<Fate>,
    /// When it stopped being a primary of its cluster.
    left: Option<Instant>,
}

/// The outcome of the writes of a server that was replaced.
enum Fate {
    /// This other run has the stream up to this position.
    Kept {
        has: u64,
        by: Arc<ServerRun>,
    },
    Unknown,
}

/// The proof that a server acknowledged a write.
#[derive(Clone)]
pub(crate) struct Acknowledged {
    run: Arc<ServerRun>,
    /// The position that was read after the write, in its pipeline.
    bound: Option<u64>,
}

impl Losses {
    /// Starts the task that reads positions and reports. It ends with the last reference.
    pub(crate) fn begin(has_shards: bool, patience: Duration) -> Arc<Self> {
        let losses = Arc::new(Self {
            runs: Mutex::default(),
            has_shards,
            patience,
            wake: Arc::default(),
            reports: Mutex::new(Some(broadcast::Sender::new(UNREAD))),
            task: Mutex::default(),
        });
        let (weak, wake) = (Arc::downgrade(&losses), Arc::clone(&losses.wake));
        let task = tokio::spawn(async move {
            loop {
                let _ = tokio::time::timeout(SUCCESSION / 2, wake.notified()).await;
                tokio::time::sleep(PERIOD).await;
                match weak.upgrade() {
                    Some(losses) => losses.pass(),
                    None => return,
                }
            }
        });
        *lock(&losses.task) = Some(task.abort_handle());
        losses
    }

    pub(crate) fn reports(&self) -> Option<broadcast::Receiver<Arc<LossReport>>> {
        lock(&self.reports).as_ref().map(broadcast::Sender::subscribe)
    }

    /// Reports what is known now, and nothing later.
    pub(crate) fn end(&self) {
        self.pass();
        lock(&self.reports).take();
        lock(&self.task).iter().for_each(AbortHandle::abort);
    }

    /// Identifies the server of a new connection and its run, and determines the outcome of runs that this one replaces. One
    /// round trip.
    pub(crate) async fn identify(&self, wire: &Wire, endpoint: &Endpoint) -> Result<Arc<ServerRun>, Failure> {
        let info = |section| Request::new("INFO", [Arg::fixed(section)]);
        let mut replies = wire.pipeline(vec![info("server"), info("replication")], self.patience).await?.into_iter();
        let mut next = || match replies.next() {
            Some(Err(failure)) if !failure.is_forbidden() && !failure.is_unknown_command() => Err(failure),
            Some(Ok(reply)) => Ok(reply),
            _ => Ok(Reply::Nil),
        };
        let replication = Replication::parse(&next()?, &next()?);
        if replication.is_none() {
            tracing::info!(%endpoint, "the server does not report its replication; a failover may lose writes unnoticed");
        }
        Ok(self.found(endpoint, replication))
    }

    fn found(&self, endpoint: &Endpoint, replication: Option<Replication>) -> Arc<ServerRun> {
        let mut runs = lock(&self.runs);
        let identity = replication.as_ref().map(|found| (found.run.as_str(), found.stream.as_str()));
        let known = runs.iter().find(|other| other.is(endpoint, identity));
        let renamed = || runs.iter().find(|other| replication.as_ref().is_some_and(|found| other.is_renamed(found)));
        let run = known.or_else(renamed).cloned().unwrap_or_else(|| {
            let run = ServerRun::new(endpoint, replication.as_ref(), &self.wake);
            runs.push(Arc::clone(&run));
            run
        });
        run.returned(self.has_shards);
        if replication.as_ref().is_some_and(|found| !found.is_primary) || run.is_replaced() {
            return run;
        }
        for other in runs.iter().filter(|other| !Arc::ptr_eq(other, &run)) {
            let fate = self.fate(other, &run, replication.as_ref());
            if let Some(fate) = fate {
                other.replace(fate);
            }
        }
        run
    }

    /// The outcome of the writes of `old`, now that `run` is a primary.
    fn fate(&self, old: &ServerRun, run: &Arc<ServerRun>, replication: Option<&Replication>) -> Option<Fate> {
        let is_at_one_address = old.endpoint == run.endpoint;
        let Some(found) = replication else {
            return (!self.has_shards && !is_at_one_address).then_some(Fate::Unknown);
        };
        let old_stream = lock(&old.state).stream.clone();
        match (old_stream, &found.earlier) {
            (Some(stream), Some((earlier, has))) if stream == *earlier => {
                Some(Fate::Kept { has: *has, by: Arc::clone(run) })
            }
            (Some(_), _) if !self.has_shards || is_at_one_address => Some(Fate::Unknown),
            (None, _) if !self.has_shards && !is_at_one_address => Some(Fate::Unknown),
            _ => None,
        }
    }

    /// From now on these are the primaries of the cluster.
    pub(crate) fn primaries(&self, endpoints: &[Endpoint]) {
        for run in lock(&self.runs).iter() {
            let mut state = run.lock();
            match endpoints.contains(&run.endpoint) {
                true => state.left = None,
                false => state.left = state.left.or_else(|| Some(Instant::now())),
            }
        }
    }

    /// Reports outcomes, and starts the readings of positions.
    fn pass(&self) {
        let runs = lock(&self.runs).clone();
        for run in &runs {
            let mut state = run.lock();
            state.is_noted = false;
            if state.left.is_some_and(|left| left.elapsed() > SUCCESSION) {
                state.fate.get_or_insert(Fate::Unknown);
            }
            if state.fate.is_some() {
                drop(state);
                if let Some(report) = run.report() {
                    publish(&report);
                    // Without a subscriber, only the log has it.
                    let _ = lock(&self.reports).as_ref().map(|reports| reports.send(Arc::new(report)));
                }
            } else if state.ring.unbounded().is_some() && !state.is_sampled {
                state.is_sampled = true;
                tokio::spawn(Arc::clone(run).sample(self.patience));
            }
        }
        drop(runs);
        // A run that was replaced is kept while a connection to it may still acknowledge writes.
        lock(&self.runs).retain(|run| !run.is_replaced() || Arc::strong_count(run) > 1 || !run.lock().ring.is_empty());
    }
}

impl Drop for Losses {
    fn drop(&mut self) {
        lock(&self.task).iter().for_each(AbortHandle::abort);
    }
}

impl ServerRun {
    fn new(endpoint: &Endpoint, replication: Option<&Replication>, wake: &Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            endpoint: endpoint.clone(),
            run: replication.map(|found| found.run.clone()),
            wake: Arc::clone(wake),
            state: Mutex::new(State {
                stream: replication.map(|found| found.stream.clone()),
                ring: Ring::default(),
                wires: Vec::new(),
                is_sampled: false,
                is_noted: false,
                fate: None,
                left: None,
            }),
        })
    }

    /// Reads the position on this connection, too. Not for connections on which calls wait.
    pub(crate) fn add_wire(&self, wire: Wire) {
        let mut state = self.lock();
        state.wires.retain(Wire::is_connected);
        state.wires.push(wire);
        if state.ring.unbounded().is_some() {
            self.wake.notify_one();
        }
    }

    /// Removes a closed connection. The library does not report that a connection whose task was dropped is closed, and a reading
    /// on it would end only by its time-out.
    pub(crate) fn remove_wire(&self, wire: &Wire) {
        self.lock().wires.retain(|other| !other.is_same(wire));
    }

    fn is(&self, endpoint: &Endpoint, identity: Option<(&str, &str)>) -> bool {
        match (identity, &self.run) {
            (Some((run, stream)), Some(own)) => run == own && self.lock().stream.as_deref() == Some(stream),
            (None, None) => self.endpoint == *endpoint,
            _ => false,
        }
    }

    /// Whether it is this run, and the id of its stream has changed: a server without replicas changes the id when its first
    /// replica connects, and that replica receives everything that was written before. Records the new id.
    fn is_renamed(&self, found: &Replication) -> bool {
        let mut state = self.lock();
        let is_own = self.run.as_ref() == Some(&found.run) && found.is_primary && found.earlier.is_none();
        let is_renamed = is_own && state.fate.is_none();
        if is_renamed {
            state.stream = Some(found.stream.clone());
        }
        is_renamed
    }

    fn is_replaced(&self) -> bool {
        self.lock().fate.is_some()
    }

    /// Records that a connection was opened again. A node of a cluster may have been absent for some time.
    fn returned(&self, has_shards: bool) {
        let mut state = self.lock();
        if has_shards && matches!(state.fate, Some(Fate::Unknown)) {
            state.fate = None;
        }
        state.left = None;
    }

    fn replace(&self, fate: Fate) {
        self.lock().fate.get_or_insert(fate);
        self.wake.notify_one();
    }

    fn add(&self, write: AcknowledgedWrite, bound: Option<u64>) {
        let mut state = self.lock();
        state.ring.add(write, bound);
        if !std::mem::replace(&mut state.is_noted, true) {
            self.wake.notify_one();
        }
    }

    /// Reads the position after the writes that were recorded before.
    async fn sample(self: Arc<Self>, patience: Duration) {
        let (wire, before) = {
            let mut state = self.lock();
            state.wires.retain(Wire::is_connected);
            (state.wires.first().cloned(), state.ring.unbounded())
        };
        let reply = match &wire {
            Some(wire) => wire.send(Request::new("INFO", [Arg::fixed("replication")]), patience).await.ok(),
            None => None,
        };
        let mut state = self.lock();
        state.is_sampled = false;
        let position = reply.as_ref().and_then(replication::position);
        // See `is_renamed`.
        let first = position.filter(|_| reply.as_ref().is_some_and(replication::is_first));
        state.stream = first.map(|(stream, _)| stream.to_owned()).or(state.stream.take());
        match (before, position) {
            (Some(before), Some((stream, position))) if state.stream.as_deref().is_none_or(|own| own == stream) => {
                state.ring.bound(before, position);
            }
            // It was demoted or replaced: the next connection finds out which.
            (_, Some(_)) => {}
            // Another connection may answer. If there is none, the next one that opens wakes the task.
            (_, None) if !state.wires.is_empty() => {
                state.wires.rotate_left(1);
                self.wake.notify_one();
            }
            (_, None) => {}
        }
    }

    /// The outcome of the writes since the last report; `None` if there were none.
    fn report(&self) -> Option<LossReport> {
        let mut state = self.lock();
        if state.ring.is_empty() {
            return None;
        }
        let State { ring, fate, .. } = &mut *state;
        let mut report = LossReport::default();
        match fate.as_ref()? {
            Fate::Unknown => {
                let judged = ring.judge(None);
                report.unknown = judged.lost;
                report.has_older = judged.older_lost;
            }
            Fate::Kept { has, by } => {
                let (judged, by) = (ring.judge(Some(*has)), Arc::clone(by));
                drop(state);
                report.survived = judged.survived.len();
                report.may_be_lost = judged.lost;
                report.has_older = judged.older_lost;
                count("survived", judged.survived.iter().map(|receipt| &receipt.write));
                by.lock().ring.inherit(judged.survived, judged.older_survived);
            }
        }
        count("may_be_lost", report.may_be_lost.iter());
        count("unknown", report.unknown.iter());
        Some(report)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Acknowledged {
    pub(crate) fn new(run: Arc<ServerRun>, bound: Option<u64>) -> Self {
        Self { run, bound }
    }

    /// Records the write.
    pub(crate) fn record(&self, write: AcknowledgedWrite) {
        self.run.add(write, self.bound);
    }
}

impl std::fmt::Debug for Acknowledged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Acknowledged({})", self.run.endpoint)
    }
}

/// The position in the reply to `INFO replication`; `None` if the server is not a primary.
pub(super) fn position(reply: &Reply) -> Option<u64> {
    replication::position(reply).map(|(_, position)| position)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

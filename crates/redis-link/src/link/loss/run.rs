//! One run of a server, and the outcome of its writes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use store_core::{AcknowledgedWrite, LossReport};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::lock;
use super::moves::Move;
use super::publishing::count;
use super::replication::{self, Replication};
use crate::link::receipts::{Receipt, Ring};
use crate::wire::{Failure, Request, Wire};
use crate::{Arg, Endpoint};

/// One run of one server, while it writes to one replication stream.
pub(crate) struct ServerRun {
    pub(super) endpoint: Endpoint,
    /// The id of the run; `None` if the server does not report it.
    run: Option<String>,
    /// When its first connection was begun. Of two primaries, the one whose connection was begun later replaces the other.
    pub(super) begun: Instant,
    /// Whether it received another stream before: it may have replaced another server.
    pub(super) has_earlier: bool,
    wake: Arc<Notify>,
    /// Whether all connections were lost, and the server does not report whether it was restarted meanwhile. The connections that it may
    /// still have are closed.
    interrupted: watch::Sender<bool>,
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    /// The id of the stream.
    pub(super) stream: Option<String>,
    pub(super) ring: Ring,
    /// Connections for reading the position.
    wires: Vec<Wire>,
    /// Whether there has been one.
    had_wire: bool,
    pub(super) is_sampled: bool,
    /// Whether the server may report its position. Each connection that identifies the server asks again.
    pub(super) is_reporting: bool,
    /// Whether the task has been woken.
    pub(super) is_noted: bool,
    pub(super) fate: Option<Fate>,
    /// When the connection was begun that showed its replacement.
    replaced: Option<Instant>,
    /// When it stopped being a primary of its cluster.
    pub(super) left: Option<Instant>,
    /// It was replaced before. Its first write replaces the others.
    pub(super) returns: Option<Return>,
    /// The slots that have moved away.
    pub(super) moves: BTreeMap<u16, Move>,
}

impl State {
    /// Whether it answers on a connection.
    pub(super) fn is_connected(&self) -> bool {
        self.wires.iter().any(Wire::is_connected)
    }
}

/// The outcome of the writes of a server that was replaced.
pub(super) enum Fate {
    /// This other run has the stream up to this position.
    Kept {
        has: u64,
        by: Arc<ServerRun>,
    },
    Unknown,
    /// The same server is a primary again. It never received another stream.
    Returned(Arc<ServerRun>),
}

/// A server to which connections lead again after it was replaced.
pub(super) struct Return {
    /// The same server before.
    pub(super) of: Arc<ServerRun>,
    pub(super) replication: Option<Replication>,
}

impl ServerRun {
    pub(super) fn new(
        endpoint: &Endpoint,
        replication: Option<&Replication>,
        begun: Instant,
        wake: &Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(Self {
            endpoint: endpoint.clone(),
            run: replication.map(|found| found.run.clone()),
            begun,
            has_earlier: replication.is_some_and(|found| found.earlier.is_some()),
            wake: Arc::clone(wake),
            interrupted: watch::Sender::new(false),
            state: Mutex::new(State {
                stream: replication.map(|found| found.stream.clone()),
                ring: Ring::default(),
                wires: Vec::new(),
                had_wire: false,
                is_sampled: false,
                is_reporting: true,
                is_noted: false,
                fate: None,
                replaced: None,
                left: None,
                returns: None,
                moves: BTreeMap::new(),
            }),
        })
    }

    /// Reads the position on this connection, too. Not for connections on which calls wait.
    pub(crate) fn add_wire(&self, wire: Wire) {
        let mut state = self.lock();
        state.wires.retain(Wire::is_connected);
        state.wires.push(wire);
        state.had_wire = true;
        if state.ring.unbounded().is_some() {
            self.wake.notify_one();
        }
    }

    /// Removes a closed connection. The library does not report that a connection whose task was dropped is closed, and a reading
    /// on it would end only by its time-out.
    pub(crate) fn remove_wire(&self, wire: &Wire) {
        self.lock().wires.retain(|other| !other.is_same(wire));
    }

    /// Whether there were connections, and none of them answers.
    pub(super) async fn has_lost_all(&self, patience: Duration) -> bool {
        let (wires, had_wire) = {
            let state = self.lock();
            (state.wires.clone(), state.had_wire)
        };
        let mut asking = JoinSet::new();
        for wire in wires.into_iter().filter(Wire::is_connected) {
            asking.spawn(async move { wire.send(Request::new("PING", []), patience).await });
        }
        while let Some(answered) = asking.join_next().await {
            if matches!(answered, Ok(Ok(_) | Err(Failure::Answered(_)))) {
                return false;
            }
        }
        had_wire
    }

    /// The outcome of its writes is unknown, and new connections belong to another run.
    pub(super) fn interrupt(&self, begun: Instant) {
        if !self.interrupted.send_replace(true) {
            self.replace(Fate::Unknown, begun);
        }
    }

    /// Whether its connections are to be closed.
    pub(crate) fn is_interrupted(&self) -> bool {
        *self.interrupted.borrow()
    }

    /// Waits until its connections are to be closed.
    pub(crate) async fn interrupted(&self) {
        // `self` holds the sender, so it is not gone.
        let _ = self.interrupted.subscribe().wait_for(|is_interrupted| *is_interrupted).await;
    }

    pub(super) fn is(&self, endpoint: &Endpoint, identity: Option<(&str, &str)>) -> bool {
        match (identity, &self.run) {
            (Some((run, stream)), Some(own)) => run == own && self.lock().stream.as_deref() == Some(stream),
            (None, None) => self.endpoint == *endpoint && !self.is_interrupted(),
            _ => false,
        }
    }

    /// Whether it is this run, and the id of its stream has changed: a server without replicas changes the id when its first
    /// replica connects, and that replica receives everything that was written before. Records the new id.
    pub(super) fn is_renamed(&self, found: &Replication) -> bool {
        let mut state = self.lock();
        let is_own = self.run.as_ref() == Some(&found.run) && found.is_primary && found.earlier.is_none();
        let is_renamed = is_own && state.fate.is_none();
        if is_renamed {
            state.stream = Some(found.stream.clone());
        }
        is_renamed
    }

    pub(super) fn is_replaced(&self) -> bool {
        self.lock().fate.is_some()
    }

    /// Whether it is the primary, as far as is known.
    pub(super) fn is_in_use(&self) -> bool {
        let state = self.lock();
        state.fate.is_none() && state.returns.is_none()
    }

    /// Whether it had not been replaced at this time.
    pub(super) fn was_in_use_at(&self, time: Instant) -> bool {
        let state = self.lock();
        state.fate.is_none() || state.replaced.is_some_and(|replaced| replaced > time)
    }

    /// Whether it was replaced before a connection was begun.
    pub(super) fn was_replaced_before(&self, begun: Instant) -> bool {
        self.lock().replaced.is_some_and(|replaced| replaced < begun)
    }

    /// Records that another connection has identified it. A node of a cluster may have been absent for some time.
    pub(super) fn returned(&self, has_shards: bool) {
        let mut state = self.lock();
        if has_shards && matches!(state.fate, Some(Fate::Unknown)) {
            (state.fate, state.replaced) = (None, None);
        }
        state.left = None;
        state.is_reporting = true;
    }

    /// Another run replaces it; a connection that was begun at this time has shown that.
    pub(super) fn replace(&self, fate: Fate, begun: Instant) {
        let mut state = self.lock();
        if state.fate.is_none() {
            (state.fate, state.replaced) = (Some(fate), Some(begun));
            self.wake.notify_one();
        }
    }

    /// The run that replaced it and has its stream.
    pub(super) fn successor(&self) -> Option<Arc<Self>> {
        match &self.lock().fate {
            Some(Fate::Kept { by, .. }) => Some(Arc::clone(by)),
            _ => None,
        }
    }

    /// The server has acknowledged a write after its return: the runs before it, if it was not replaced again.
    pub(super) fn take_return(&self) -> Option<Return> {
        let mut state = self.lock();
        if state.fate.is_some() || state.ring.is_empty() { None } else { state.returns.take() }
    }

    /// Records a write that another server acknowledged, and which this one received later.
    pub(super) fn adopt(&self, receipt: Receipt) {
        self.add(receipt.write, None, receipt.slot);
    }

    /// Records that it received writes of another server, which has dropped their receipts.
    pub(super) fn adopt_dropped(&self) {
        let mut state = self.lock();
        state.ring.adopt_dropped();
        if !std::mem::replace(&mut state.is_noted, true) {
            self.wake.notify_one();
        }
    }

    pub(super) fn add(&self, write: AcknowledgedWrite, bound: Option<u64>, slot: Option<u16>) {
        let mut state = self.lock();
        state.ring.add(write, bound, slot);
        if !std::mem::replace(&mut state.is_noted, true) {
            self.wake.notify_one();
        }
    }

    /// Reads the position after the writes that were recorded before.
    pub(super) async fn sample(self: Arc<Self>, patience: Duration) {
        let (wire, before) = {
            let mut state = self.lock();
            state.wires.retain(Wire::is_connected);
            (state.wires.first().cloned(), state.ring.unbounded())
        };
        let reply = match &wire {
            Some(wire) => Some(wire.send(Request::new("INFO", [Arg::fixed("replication")]), patience).await),
            None => None,
        };
        let mut state = self.lock();
        state.is_sampled = false;
        let answer = reply.as_ref().and_then(|reply| reply.as_ref().ok());
        let position = answer.and_then(replication::position);
        // See `is_renamed`.
        let first = position.filter(|_| answer.is_some_and(replication::is_first));
        state.stream = first.map(|(stream, _)| stream.to_owned()).or(state.stream.take());
        match (before, position) {
            (Some(before), Some((stream, position))) if state.stream.as_deref().is_none_or(|own| own == stream) => {
                state.ring.bound(before, position);
            }
            // It was demoted or replaced: the next connection finds out which.
            (_, Some(_)) => {}
            (_, None) => match reply {
                // The server does not report its position, or only to other users.
                Some(Ok(_)) => state.is_reporting = false,
                Some(Err(failure)) if failure.is_forbidden() || failure.is_unknown_command() => {
                    state.is_reporting = false;
                }
                // Another connection may answer. If there is none, the task asks again later.
                Some(Err(_)) if state.wires.len() > 1 => {
                    state.wires.rotate_left(1);
                    self.wake.notify_one();
                }
                // The next connection that opens wakes the task.
                Some(Err(_)) | None => {}
            },
        }
    }

    /// The outcome of the writes since the last report; `None` if there were none.
    pub(super) fn report(&self) -> Option<LossReport> {
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
            // Connections from before the return still acknowledge writes.
            Fate::Returned(again) => {
                let (receipts, again) = (ring.take(|_| true), Arc::clone(again));
                ring.judge(None);
                drop(state);
                receipts.into_iter().for_each(|receipt| again.adopt(receipt));
                return None;
            }
        }
        // Those of slots that moved here were recorded last.
        report.may_be_lost.sort_by_key(|write| write.at);
        report.unknown.sort_by_key(|write| write.at);
        count("may_be_lost", report.may_be_lost.iter());
        count("unknown", report.unknown.iter());
        Some(report)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// The proof that a server acknowledged a write.
#[derive(Clone)]
pub(crate) struct Acknowledged {
    run: Arc<ServerRun>,
    /// The position that was read after the write, in its pipeline.
    bound: Option<u64>,
    slot: Option<u16>,
}

impl Acknowledged {
    pub(crate) fn new(run: Arc<ServerRun>, bound: Option<u64>, slot: Option<u16>) -> Self {
        Self { run, bound, slot }
    }

    /// Records the write.
    pub(crate) fn record(&self, write: AcknowledgedWrite) {
        self.run.add(write, self.bound, self.slot);
    }
}

impl std::fmt::Debug for Acknowledged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Acknowledged({})", self.run.endpoint)
    }
}

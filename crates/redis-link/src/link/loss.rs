//! Finds the acknowledged writes that a failover may have lost.
//!
//! Each connection records a receipt of each acknowledged write at the run of its server. A *position* is a replication offset.
//! While the link writes, it reads the server's position every 200 ms: an upper bound of the positions of the writes before. A
//! new primary reports the replication stream that it received before, and up to which position.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store_core::LossReport;
use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;

use super::cluster::SlotMap;
use crate::wire::{Failure, Request, Wire};
use crate::{Arg, Endpoint, Reply};

mod moves;
mod publishing;
mod replication;
mod reports;
mod run;

use publishing::publish;
use replication::Replication;
pub use reports::LossReports;
pub(crate) use run::{Acknowledged, ServerRun};
use run::{Fate, Return};

/// The shortest pause between two readings of the position, and the time to wait for late replies after a failover.
const PERIOD: Duration = Duration::from_millis(200);
/// How long to wait for the successor of a primary that left its cluster.
const SUCCESSION: Duration = Duration::from_secs(10);
/// How long an old connection to a server has to answer a `PING` while a new connection answers.
const LONGEST_PING: Duration = Duration::from_secs(1);
/// How many reports a slow subscriber may leave unread.
const UNREAD: usize = 64;

/// The receipts of the writes of one link, by server.
pub(crate) struct Losses {
    runs: Mutex<Vec<Arc<ServerRun>>>,
    /// Whether several primaries are in use at the same time.
    has_shards: bool,
    /// The slots of the nodes as reported last, and when.
    slots: Mutex<Option<(Arc<SlotMap>, Instant)>>,
    /// How long to wait for a position.
    patience: Duration,
    wake: Arc<Notify>,
    /// `None` after the end.
    reports: Mutex<Option<broadcast::Sender<Arc<LossReport>>>>,
    task: Mutex<Option<AbortHandle>>,
}

impl Losses {
    /// Starts the task that reads positions and reports. It ends with the last reference.
    pub(crate) fn begin(has_shards: bool, patience: Duration) -> Arc<Self> {
        let losses = Arc::new(Self {
            runs: Mutex::default(),
            has_shards,
            slots: Mutex::default(),
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

    /// Identifies the server of a new connection, which was begun at this time, and its run, and determines the outcome of runs
    /// that this one replaces. One round trip.
    pub(crate) async fn identify(
        &self,
        wire: &Wire,
        endpoint: &Endpoint,
        begun: Instant,
    ) -> Result<Arc<ServerRun>, Failure> {
        let info = |section| Request::new("INFO", [Arg::fixed(section)]);
        let mut replies = wire.pipeline(vec![info("server"), info("replication")], self.patience).await?.into_iter();
        let mut next = || match replies.next() {
            Some(Err(failure)) if !failure.is_forbidden() && !failure.is_unknown_command() => Err(failure),
            Some(Ok(reply)) => Ok(reply),
            _ => Ok(Reply::Nil),
        };
        let replication = Replication::parse(&next()?, &next()?);
        if replication.is_none() {
            tracing::info!(
                %endpoint,
                "the server does not report its replication; after all connections to it are lost, recent writes are unknown"
            );
            self.end_interrupted(endpoint, begun).await;
        }
        Ok(self.found(endpoint, replication, begun))
    }

    /// Ends the run of a server that does not report its replication, if no connection from before this new one works any more: the
    /// server may have been restarted, or another one may have its address.
    async fn end_interrupted(&self, endpoint: &Endpoint, begun: Instant) {
        let known = lock(&self.runs).iter().rev().find(|run| run.is(endpoint, None)).cloned();
        if let Some(run) = known
            && !run.is_replaced()
            && run.has_lost_all(self.patience.min(LONGEST_PING)).await
        {
            run.interrupt(begun);
        }
    }

    fn found(&self, endpoint: &Endpoint, replication: Option<Replication>, begun: Instant) -> Arc<ServerRun> {
        let mut runs = lock(&self.runs);
        let identity = replication.as_ref().map(|found| (found.run.as_str(), found.stream.as_str()));
        let known = runs.iter().rev().find(|other| other.is(endpoint, identity));
        let renamed = || runs.iter().find(|other| replication.as_ref().is_some_and(|found| other.is_renamed(found)));
        let known = known.or_else(renamed).cloned();
        known.iter().for_each(|run| run.returned(self.has_shards));
        let is_primary = replication.as_ref().is_none_or(|found| found.is_primary);
        let new = || ServerRun::new(endpoint, replication.as_ref(), begun, &self.wake);
        let run = match known {
            Some(of) if is_primary && of.was_replaced_before(begun) => {
                let again = new();
                again.lock().returns = Some(Return { of, replication });
                runs.push(Arc::clone(&again));
                return again;
            }
            Some(run) => run,
            None => {
                let run = new();
                // The connection took so long to open that the server was replaced meanwhile.
                let newer = runs.iter().find(|other| other.begun > begun && other.is_in_use());
                newer.filter(|_| !self.has_shards).iter().for_each(|newer| run.replace(Fate::Unknown, newer.begun));
                runs.push(Arc::clone(&run));
                run
            }
        };
        if is_primary && run.is_in_use() {
            self.replace_others(&runs, &run, replication.as_ref(), begun);
        }
        run
    }

    /// Determines the outcome of the runs that this one replaces. A connection to it was begun at this time.
    fn replace_others(
        &self,
        runs: &[Arc<ServerRun>],
        run: &Arc<ServerRun>,
        replication: Option<&Replication>,
        begun: Instant,
    ) {
        for other in runs.iter().filter(|other| !Arc::ptr_eq(other, run) && other.begun <= begun) {
            if let Some(fate) = self.fate(other, run, replication) {
                other.replace(fate, begun);
            }
        }
    }

    /// A server has acknowledged a write after its return: it is the primary again, and never had the writes of those that
    /// replaced it.
    fn reinstate(&self, runs: &[Arc<ServerRun>], run: &Arc<ServerRun>, again: Return) {
        let mut before = Some(again.of);
        while let Some(old) = before {
            self.report(&old);
            let mut successor = old.successor();
            while let Some(other) = successor {
                successor = other.successor();
                other.replace(Fate::Unknown, run.begun);
            }
            let mut state = old.lock();
            state.fate = Some(Fate::Returned(Arc::clone(run)));
            before = state.returns.take().map(|earlier| earlier.of);
        }
        self.replace_others(runs, run, again.replication.as_ref(), run.begun);
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

    /// Reports outcomes, and starts the readings of positions.
    fn pass(&self) {
        let runs = lock(&self.runs).clone();
        for run in runs.iter().rev() {
            if let Some(again) = run.take_return() {
                self.reinstate(&runs, run, again);
            }
        }
        self.follow(&runs);
        for run in &runs {
            let mut state = run.lock();
            state.is_noted = false;
            if state.left.is_some_and(|left| left.elapsed() > SUCCESSION) {
                state.fate.get_or_insert(Fate::Unknown);
            }
            if state.fate.is_some() {
                drop(state);
                self.report(run);
            } else if state.is_reporting && !state.is_sampled && state.ring.unbounded().is_some() {
                state.is_sampled = true;
                tokio::spawn(Arc::clone(run).sample(self.patience));
            }
        }
        drop(runs);
        // A run that was replaced is kept while a connection to it may still acknowledge writes.
        lock(&self.runs).retain(|run| !run.is_replaced() || Arc::strong_count(run) > 1 || !run.lock().ring.is_empty());
    }

    /// Reports what became of the writes of a run that was replaced, since the last report.
    fn report(&self, run: &ServerRun) {
        if let Some(report) = run.report() {
            publish(&report);
            // Without a subscriber, only the log has it.
            let _ = lock(&self.reports).as_ref().map(|reports| reports.send(Arc::new(report)));
        }
    }
}

impl Drop for Losses {
    fn drop(&mut self) {
        lock(&self.task).iter().for_each(AbortHandle::abort);
    }
}

/// The position in the reply to `INFO replication`; `None` if the server is not a primary.
pub(super) fn position(reply: &Reply) -> Option<u64> {
    replication::position(reply).map(|(_, position)| position)
}

/// The id of the server's process in the reply to `INFO server`.
pub(super) fn run_id(server: &Reply) -> Option<&str> {
    replication::field(server, "run_id")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

//! The log of the deliveries: one run of the worker state store, to which all processes append.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use twinstore::durability::Durability;
use twinstore::name::NameError;
use twinstore::run::{AgentName, NewRun, RunEvent, RunId, RunOutcome, RunWrite, Runs};
use twinstore::time::Ttl;
use twinstore::{Error, Op, Result, Stores};

use crate::ingest::{Outage, Pauses};

/// How long the log is kept after the last event.
const KEPT: Ttl = Ttl::from_secs(3 * 24 * 3600);

/// What happened to a delivery: the kind of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// It was read, and will be queued.
    Received,
    /// It was sent.
    Delivered,
    /// An attempt has failed; another one follows.
    Failed,
    /// The last attempt has failed.
    Dead,
}

/// The data of an event, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry<'a> {
    /// The delivery's id.
    pub(crate) id: Cow<'a, str>,
    /// Which attempt it was, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<u32>,
    /// Why it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Cow<'a, str>>,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(id: &'a str) -> Self {
        Self { id: id.into(), attempt: None, error: None }
    }
}

/// Clones share it.
#[derive(Clone)]
pub(crate) struct Log {
    runs: Arc<dyn Runs>,
    durability: Durability,
    outage: Outage,
    /// Whether the log of this process reports a lost event.
    complained: Arc<AtomicBool>,
}

/// The run. It never changes its state: only its events count.
pub(crate) fn run() -> Result<RunId, NameError> {
    RunId::new("notifications")
}

impl Step {
    fn kind(self) -> &'static str {
        match self {
            Step::Received => "received",
            Step::Delivered => "delivered",
            Step::Failed => "failed",
            Step::Dead => "dead",
        }
    }
}

impl Log {
    pub(crate) fn new(stores: &Stores, outage: Outage) -> Self {
        let state = stores.state();
        Self { runs: state.runs(), durability: state.durability(), outage, complained: Arc::default() }
    }

    /// Appends an event. While the store is unavailable, it waits: the delivery could not be queued or settled either. Any other
    /// error costs the event and not the delivery. So a full store loses events, but its queue is drained.
    pub(crate) async fn append(&self, step: Step, entry: &Entry<'_>) {
        let mut pauses = Pauses::new();
        loop {
            match self.try_append(step, entry).await {
                Ok(()) => return self.outage.ends(),
                Err(error @ (Error::Unavailable { .. } | Error::Indeterminate { .. })) => self.outage.begins(&error),
                // The primary has the event.
                Err(Error::NotDurable { .. }) => return,
                Err(error) => {
                    if !self.complained.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%error, "events of deliveries are not recorded");
                    }
                    return;
                }
            }
            tokio::time::sleep(pauses.next()).await;
        }
    }

    async fn try_append(&self, step: Step, entry: &Entry<'_>) -> Result<()> {
        let invalid = |error: String| Error::invalid_argument(Op::RunWrite, error);
        let data = serde_json::to_vec(entry).map_err(|error| invalid(error.to_string()))?;
        let run = run().map_err(|error| invalid(error.to_string()))?;
        let write = RunWrite::new(run).with_event(RunEvent::new(step.kind(), data));
        loop {
            match self.runs.write(&write, self.durability).await?.value {
                RunOutcome::Done(_) => return Ok(()),
                RunOutcome::Absent => self.create().await?,
                other => return Err(invalid(format!("the log cannot be written: {other:?}"))),
            }
        }
    }

    /// Creates the run, unless there is one.
    pub(crate) async fn create(&self) -> Result<()> {
        let invalid = |error: NameError| Error::invalid_argument(Op::RunCreate, error.to_string());
        let new = NewRun::new(run().map_err(invalid)?, AgentName::new("notifier").map_err(invalid)?);
        let new = new.with_ttl(KEPT).with_max_events(NewRun::MAX_EVENTS);
        self.runs.create(&new, self.durability).await.map(drop)
    }
}

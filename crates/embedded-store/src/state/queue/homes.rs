//! Homes. All partitions of a queue are one here, so a queue is one home.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use store_core::{
    Commit, Committed, Delivered, Durability, Home, Homes, Op, OutboxEntry, QueueName, Receipt, Result, ResumeTokens,
    Runs, RunsRemoved, Steps, UniqueKey,
};
use tokio::sync::Notify;

use super::ledger::Ledger;
use super::settings::Settings;
use crate::EmbeddedState;
use crate::fault::Fault;
use crate::rows::{Change, Rows};
use crate::state::resume_tokens::TokenRows;
use crate::state::runs::{RUNS, Tables};

/// The queues in whose outboxes commits have recorded deliveries.
#[derive(Debug, Default)]
pub(in crate::state) struct Outboxes(Mutex<HashMap<QueueName, Arc<Notify>>>);

impl Outboxes {
    pub(super) fn of(&self, queue: &QueueName) -> Arc<Notify> {
        let mut outboxes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(outboxes.entry(queue.of_outbox()).or_default())
    }
}

/// Where the keys of the rows of a home begin: a byte that begins no name, the queue, a zero byte. Nothing without a home.
#[derive(Debug, Clone)]
pub(in crate::state) struct HomeRows(Option<Arc<[u8]>>);

impl HomeRows {
    /// Those of no home.
    pub(in crate::state) const NONE: Self = Self(None);

    pub(in crate::state) fn prefix(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// The home of an operation, or none.
pub(in crate::state) struct OpenHome {
    rows: HomeRows,
    queue: Option<(QueueName, Settings)>,
}

impl OpenHome {
    pub(in crate::state) fn rows(&self) -> &HomeRows {
        &self.rows
    }

    /// The tables of its runs.
    pub(in crate::state) fn runs(&self) -> Tables {
        Tables { home: self.rows.clone(), ..RUNS }
    }

    pub(in crate::state) fn tokens(&self) -> TokenRows {
        TokenRows::new(self.rows.prefix())
    }

    /// Refuses a home of a queue that has another number of partitions than the store declares.
    pub(in crate::state) fn check(&self, rows: &mut impl Rows) -> Result<(), Fault> {
        if let Some((queue, settings)) = &self.queue
            && let Some(ledger) = Ledger::read(rows, queue)?
        {
            settings.check(ledger)?;
        }
        Ok(())
    }

    /// As [`OpenHome::check`], and begins a queue that does not exist.
    pub(in crate::state) fn enter(&self, change: &mut Change<'_>) -> Result<(), Fault> {
        let Some((queue, settings)) = &self.queue else { return Ok(()) };
        match Ledger::read(change, queue)? {
            Some(ledger) => settings.check(ledger).map(drop),
            None => Ledger::create(change, settings.partitions()?)?.write(change, queue),
        }
    }
}

/// A store whose steps, runs and tokens have a home.
struct AtHome {
    store: Arc<EmbeddedState>,
    queue: QueueName,
}

impl fmt::Debug for AtHome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// `deliver` is one transaction, or two if the destination refuses.
#[async_trait]
impl Homes for EmbeddedState {
    fn home(&self, queue: &QueueName, _: &UniqueKey) -> Arc<dyn Home> {
        let store = Arc::new(Self { home: Some(queue.clone()), ..self.clone() });
        Arc::new(AtHome { store, queue: queue.clone() })
    }

    async fn deliver(&self, entry: &OutboxEntry, durability: Durability) -> Result<Delivered> {
        self.deliver_entry(entry, durability).await
    }

    async fn recorded(&self, queue: &QueueName) {
        self.outboxes.of(queue).notified().await;
    }

    async fn sweep_homes(&self, queue: &QueueName) -> Result<RunsRemoved> {
        Runs::sweep(&Self { home: Some(queue.clone()), ..self.clone() }).await
    }
}

/// `commit` is one transaction.
#[async_trait]
impl Home for AtHome {
    fn steps(&self) -> Arc<dyn Steps> {
        self.store.clone()
    }

    fn runs(&self) -> Arc<dyn Runs> {
        self.store.clone()
    }

    fn resume_tokens(&self) -> Arc<dyn ResumeTokens> {
        self.store.clone()
    }

    async fn commit(&self, commit: &Commit, durability: Durability) -> Result<Receipt<Committed>> {
        self.store.commit_at(&self.queue, commit, durability).await
    }
}

impl EmbeddedState {
    /// The home of the steps, runs and tokens of this handle.
    pub(in crate::state) fn at_home(&self, op: Op) -> OpenHome {
        let prefix = |queue: &QueueName| [&[2], queue.as_str().as_bytes(), &[0]].concat().into();
        let queue = self.home.as_ref().map(|queue| (queue.clone(), Settings::new(op, queue, &self.options)));
        OpenHome { rows: HomeRows(self.home.as_ref().map(prefix)), queue }
    }
}

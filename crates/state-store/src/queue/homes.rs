//! [`Homes`]: steps, runs and resume tokens with the tag of a partition.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use redis_link::keys::HomeKeys;
use store_core::{
    Commit, Committed, Delivered, Durability, Home, Homes, Op, OutboxEntry, QueueName, Receipt, Result, ResumeTokens,
    Runs, RunsRemoved, Steps, UniqueKey,
};
use tokio::sync::Notify;

use super::partition::Shape;
use super::{commit, deliver};
use crate::StateStore;

/// The queues in whose outboxes commits of this process have recorded deliveries.
#[derive(Debug, Default)]
pub(crate) struct Outboxes(Mutex<HashMap<QueueName, Arc<Notify>>>);

impl Outboxes {
    fn of(&self, queue: &QueueName) -> Arc<Notify> {
        let mut outboxes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(outboxes.entry(queue.of_outbox()).or_default())
    }
}

/// A home.
#[derive(Debug)]
pub(crate) struct HomeOf {
    pub(super) queue: QueueName,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Key(UniqueKey),
    Partition(u16),
}

impl HomeOf {
    /// The partition of the queue.
    pub(super) fn partition(&self, shape: &Shape) -> u16 {
        match &self.place {
            Place::Key(key) => shape.of_unique(key),
            Place::Partition(partition) => *partition,
        }
    }
}

/// A store whose steps, runs and tokens have a home.
struct AtHome {
    store: Arc<StateStore>,
    home: Arc<HomeOf>,
}

impl fmt::Debug for AtHome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").field("queue", &self.home.queue).finish_non_exhaustive()
    }
}

/// `deliver` is three scripts in three round trips.
#[async_trait]
impl Homes for StateStore {
    fn home(&self, queue: &QueueName, key: &UniqueKey) -> Arc<dyn Home> {
        let home = Arc::new(HomeOf { queue: queue.clone(), place: Place::Key(key.clone()) });
        let store = Arc::new(StateStore { home: Some(home.clone()), ..self.clone() });
        Arc::new(AtHome { store, home })
    }

    async fn deliver(&self, entry: &OutboxEntry, durability: Durability) -> Result<Delivered> {
        deliver::deliver(self, entry, durability).await
    }

    async fn recorded(&self, queue: &QueueName) {
        self.outboxes.of(queue).notified().await;
    }

    async fn sweep_homes(&self, queue: &QueueName) -> Result<RunsRemoved> {
        let shape = self.recorded_shape(Op::RunSweep, queue, false).await?;
        let mut all = RunsRemoved::new(0, 0, None);
        for partition in (0..shape.count()).filter(|_| shape.is_recorded()) {
            let home = HomeOf { queue: queue.clone(), place: Place::Partition(partition) };
            let swept = Runs::sweep(&Self { home: Some(Arc::new(home)), ..self.clone() }).await?;
            all.removed += swept.removed;
            all.left += swept.left;
        }
        Ok(all)
    }
}

/// `commit` is one script in one round trip. If the queue has several partitions, the first read and the first write of steps, runs or
/// tokens in each partition take one round trip more, which compares the shape of the queue; so do the first ones after a reconnection.
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
        let committed = commit::commit(&self.store, &self.home, commit, durability).await;
        let is_refused = matches!(&committed, Ok(Receipt { value: Committed::Refused(_), .. }));
        if !commit.deliveries.is_empty() && !is_refused {
            self.store.outboxes.of(&self.home.queue).notify_one();
        }
        committed
    }
}

impl StateStore {
    /// The keys of its home, if it has one.
    pub(crate) async fn home_keys(&self, op: Op) -> Result<Option<HomeKeys>> {
        let Some(home) = &self.home else { return Ok(None) };
        let (shape, partition) = self.shape_of_home(op, home).await?;
        Ok(Some(HomeKeys::new(&self.namespace, shape.keys(partition))))
    }
}

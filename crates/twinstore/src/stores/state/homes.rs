//! Homes.

use std::sync::Arc;

use store_core::{Home, Homes, QueueName, UniqueKey};

use super::State;

impl State {
    /// The home in the partition of `queue` that has the jobs with this unique key: steps, runs and resume tokens that one
    /// [`commit`](Home::commit) changes together with a job. Its steps belong to this service.
    pub fn home(&self, queue: &QueueName, key: &UniqueKey) -> Arc<dyn Home> {
        self.store.home(queue, key)
    }

    /// For a worker or deliverer that is not that of [`State::worker`].
    #[doc(hidden)]
    pub fn homes(&self) -> Arc<dyn Homes> {
        self.store.clone()
    }
}

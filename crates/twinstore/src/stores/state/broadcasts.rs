//! Broadcasts.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{Broadcast, BroadcastName, Broadcasts};

use super::State;

impl State {
    /// The broadcasts of a name, values of one type: messages to the processes that listen now. They belong to the whole namespace,
    /// as queues do.
    pub fn broadcast<T: Serialize + DeserializeOwned>(&self, name: BroadcastName) -> Broadcast<T> {
        Broadcast::new(self.broadcasts(), name)
    }

    /// The broadcasts of all names, with bytes as messages.
    pub fn broadcasts(&self) -> Arc<dyn Broadcasts> {
        self.broadcasts.clone()
    }
}

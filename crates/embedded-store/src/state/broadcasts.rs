//! Broadcasts.

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{BroadcastListener, BroadcastName, Broadcasts, Error, Op, Result, validate_message};

use super::EmbeddedState;
use crate::database::CLOSED;

/// Without transactions: nothing is stored. All listeners are in this process.
#[async_trait]
impl Broadcasts for EmbeddedState {
    async fn publish(&self, name: &BroadcastName, message: &Bytes) -> Result<u64> {
        validate_message(message)?;
        let listeners = self.database.waiting().broadcast(name, message);
        listeners.map(|count| count.min(1) as u64).ok_or_else(|| Error::unavailable(Op::BroadcastPublish, CLOSED))
    }

    async fn listen(&self, name: &BroadcastName) -> Result<BroadcastListener> {
        self.database.waiting().listen(name).ok_or_else(|| Error::unavailable(Op::BroadcastListen, CLOSED))
    }
}

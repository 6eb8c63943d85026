//! Publish and subscribe on one connection.
//!
//! The library answers `SUBSCRIBE` before the server does, and drops the server's confirmation and its refusal. So a `PING`
//! follows: the server answers in order, and a refusal arrives as the answer to the `PING`. Then the replies of the
//! connection no longer match its commands, and the caller has to close it.
//!
//! The library never waits for a receiver: if one falls behind by more than [`BUFFERED`] messages, the oldest are dropped.

use std::time::Duration;

use bytes::Bytes;
use fred::interfaces::{EventInterface, PubsubInterface};
use fred::types::{Message, Value};
use tokio::sync::broadcast;

use super::failure::{self, During};
use super::{Failure, Request, Wire};

/// How many messages wait for a receiver.
pub(super) const BUFFERED: usize = 1024;

/// The same of a connection on which none arrive: the library's default.
pub(super) const UNUSED: usize = 32;

/// The messages of one connection, on all of its channels.
pub(crate) struct Messages(broadcast::Receiver<Message>);

/// What the next message is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Message(Bytes),
    /// Messages were dropped, because too many waited.
    Missed,
    /// The connection is lost, and all its messages were received.
    Ended,
}

impl Wire {
    /// The messages that arrive from now on.
    pub(crate) fn messages(&self) -> Messages {
        Messages(self.client.message_rx())
    }

    /// Subscribes to a channel and waits up to `within` for the server's confirmation.
    pub(crate) async fn subscribe(&self, channel: &str, within: Duration) -> Result<(), Failure> {
        let sent = self.client.subscribe(channel).await;
        sent.map_err(|error| failure::of_library(&error, During::Sending))?;
        self.confirm(within).await
    }

    /// Unsubscribes from a channel and waits up to `within` for the server's confirmation.
    pub(crate) async fn unsubscribe(&self, channel: &str, within: Duration) -> Result<(), Failure> {
        let sent = self.client.unsubscribe(channel).await;
        sent.map_err(|error| failure::of_library(&error, During::Sending))?;
        self.confirm(within).await
    }

    /// Waits up to `within` until the server has answered all commands before.
    pub(crate) async fn confirm(&self, within: Duration) -> Result<(), Failure> {
        self.send(Request::new("PING", []), within).await.map(drop)
    }
}

impl Messages {
    /// The next message on `channel`.
    pub(crate) async fn next(&mut self, channel: &str) -> Received {
        loop {
            match self.0.recv().await {
                Ok(message) if message.channel == channel => return Received::Message(payload(message.value)),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return Received::Missed,
                Err(broadcast::error::RecvError::Closed) => return Received::Ended,
            }
        }
    }
}

/// The library presents text as a string.
fn payload(value: Value) -> Bytes {
    match value {
        Value::Bytes(bytes) => bytes,
        Value::String(text) => text.into_inner(),
        _ => Bytes::new(),
    }
}

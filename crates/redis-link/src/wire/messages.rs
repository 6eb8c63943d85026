//! Publish and subscribe on one connection.
//!
//! The library completes `SUBSCRIBE`, `UNSUBSCRIBE` and `SUNSUBSCRIBE` before the server replies, and drops the server's
//! confirmation or refusal. So a `PING` is sent with each `SUBSCRIBE`, and after the others, which no server refuses: the server
//! replies in order, and a refusal arrives as the reply to the `PING`. Then the replies of the connection no longer match its
//! commands, and the caller must close it. For `SSUBSCRIBE` the library waits for the server's reply. But it drops the server's
//! message that a sharded channel was unsubscribed because its slot has moved.
//!
//! The library never waits for a receiver: if one falls behind by more than [`BUFFERED`] messages, the oldest are dropped.

use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use fred::interfaces::{EventInterface, PubsubInterface};
use fred::types::{Message, Value};
use tokio::sync::broadcast;

use super::failure::{self, During};
use super::{Failure, Request, Wire};
use crate::{Arg, Reply};

/// How many messages wait for a receiver.
pub(super) const BUFFERED: usize = 1024;

/// The same of a connection on which none arrive: the library's default.
pub(super) const UNUSED: usize = 32;

/// The messages of one connection, on all of its channels.
pub(crate) struct Messages(broadcast::Receiver<Message>);

/// What the next message is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<C> {
    /// The channel, and what was published.
    Message(C, Bytes),
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
        // Both are queued at once: the library drops a refusal that arrives before the `PING` is queued.
        let (sent, confirmed) = tokio::join!(biased; self.client.subscribe(channel), self.confirm(within));
        sent.map_err(|error| failure::of_library(&error, During::Sending))?;
        confirmed
    }

    /// Unsubscribes from a channel and waits up to `within` for the server's confirmation.
    pub(crate) async fn unsubscribe(&self, channel: &str, within: Duration) -> Result<(), Failure> {
        let sent = self.client.unsubscribe(channel).await;
        sent.map_err(|error| failure::of_library(&error, During::Sending))?;
        self.confirm(within).await
    }

    /// Subscribes to a sharded channel and waits up to `within` for the server's confirmation. The connection stays in order if
    /// the server refuses.
    pub(crate) async fn subscribe_sharded(&self, channel: &str, within: Duration) -> Result<(), Failure> {
        self.send(Request::new("SSUBSCRIBE", [Arg::from(channel)]), within).await.map(drop)
    }

    /// Unsubscribes from a sharded channel and waits up to `within` for the server's confirmation.
    pub(crate) async fn unsubscribe_sharded(&self, channel: &str, within: Duration) -> Result<(), Failure> {
        let sent = self.client.sunsubscribe(channel).await;
        sent.map_err(|error| failure::of_library(&error, During::Sending))?;
        self.confirm(within).await
    }

    /// Whether the server has subscribers on each of these sharded channels; `None` if it does not report that, as on a connection
    /// with RESP2.
    pub(crate) async fn have_subscribers(
        &self,
        channels: impl IntoIterator<Item = &str>,
        within: Duration,
    ) -> Result<Option<Vec<bool>>, Failure> {
        let request = Request::new("PUBSUB SHARDNUMSUB", channels.into_iter().map(Arg::from));
        match self.send(request, within).await {
            Ok(Reply::List(counts)) => {
                Ok(Some(counts.chunks(2).map(|pair| pair.last().and_then(Reply::as_int) > Some(0)).collect()))
            }
            Ok(_) | Err(Failure::Answered(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// To how many sharded channels this connection is subscribed; `None` if the server does not report that (`CLIENT INFO`, from Redis
    /// 7.0.3).
    pub(crate) async fn sharded_count(&self, within: Duration) -> Result<Option<usize>, Failure> {
        match self.send(Request::new("CLIENT INFO", []), within).await {
            Ok(Reply::Bytes(info)) => Ok(sharded_count(&info)),
            Ok(_) | Err(Failure::Answered(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Waits up to `within` until the server has answered all commands before.
    pub(crate) async fn confirm(&self, within: Duration) -> Result<(), Failure> {
        self.send(Request::new("PING", []), within).await.map(drop)
    }
}

/// The field of an answer to `CLIENT INFO`.
fn sharded_count(info: &[u8]) -> Option<usize> {
    let mut fields = std::str::from_utf8(info).ok()?.split_whitespace();
    fields.find_map(|field| field.strip_prefix("ssub="))?.parse().ok()
}

impl Messages {
    /// The next message.
    pub(crate) async fn next(&mut self) -> Received<impl Deref<Target = str> + use<>> {
        match self.0.recv().await {
            Ok(message) => Received::Message(message.channel, payload(message.value)),
            Err(broadcast::error::RecvError::Lagged(_)) => Received::Missed,
            Err(broadcast::error::RecvError::Closed) => Received::Ended,
        }
    }

    /// The next message, if one has arrived.
    pub(crate) fn arrived(&mut self) -> Option<Received<impl Deref<Target = str> + use<>>> {
        match self.0.try_recv() {
            Ok(message) => Some(Received::Message(message.channel, payload(message.value))),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Received::Missed),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
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

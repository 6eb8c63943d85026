//! Messages to the processes that listen now.

mod listener;
mod typed;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{BroadcastName, Error, Op, Result};

pub use listener::{BroadcastListener, BroadcastSender};
pub use typed::Broadcast;

/// Messages to all processes that listen now: "read the configuration again", "drop this entry", "finish your work". Nothing is
/// stored. Broadcasts belong to the namespace, as queues do.
///
/// **Delivery.** A message reaches each listener at most once. A process that does not listen, or whose connection is interrupted,
/// misses it, and no later call returns it. A listener that may have missed messages gets [`BroadcastEvent::Gap`]. What must not
/// be missed belongs in a topic ([`Topics`](crate::Topics)), or into a record that listeners read after a gap.
///
/// **Order.** A listener gets the messages of one publisher in the order of its calls, if each call ends before the next one begins,
/// except that a message whose first reply was lost may come after later ones.
///
/// **Gaps.** A gap is reported after a lost connection, after a failover or a move of the slot in a cluster, and if more than
/// [`BroadcastListener::MAX_WAITING`] messages wait for the listener. It is reported when messages can arrive again. A connection that
/// ends without notice is detected after 10 s and two command time-outs. While the slot of a name moves to another node of a cluster,
/// messages may reach nobody; the gap is reported after the move. If the move is cancelled, no gap is reported.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::Bytes;
/// use twinstore::broadcast::{BroadcastEvent, BroadcastName, Broadcasts};
///
/// let (broadcasts, name) = (stores.state().broadcasts(), BroadcastName::new("configuration")?);
/// let message = Bytes::from_static(b"read it again");
/// assert_eq!(broadcasts.publish(&name, &message).await?, 0); // nobody listens
/// let mut listener = broadcasts.listen(&name).await?;
/// assert_eq!(broadcasts.publish(&name, &message).await?, 1);
/// assert_eq!(listener.next().await?, BroadcastEvent::Message(message));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Broadcasts: Send + Sync + fmt::Debug {
    /// `async fn publish(&self, name: &BroadcastName, message: &Bytes) -> Result<u64>`
    ///
    /// Publishes a message to all who listen to the name. Returns the number of processes to which it was sent; a process with
    /// several listeners counts once. The number is no proof of delivery. One round trip, O(processes that listen). Also works if the
    /// server's memory is full.
    ///
    /// A call whose reply was lost is repeated. Listeners recognise the repetition, unless 1,024 other messages of the name came in
    /// between. No copy is published after the call has returned.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a message of more than [`BroadcastEvent::MAX_BYTES`]; [`Error::Forbidden`] if the server's user
    /// may not publish on the channels of the namespace.
    async fn publish(&self, name: &BroadcastName, message: &Bytes) -> Result<u64>;

    /// `async fn listen(&self, name: &BroadcastName) -> Result<BroadcastListener>`
    ///
    /// Listens to a name. Messages that are published after the call has returned reach the listener. Dropping the listener ends it.
    /// All listeners of a process share one connection, in a cluster one for each node.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the server does not confirm the subscription within the command time-out, for example because its
    /// user may not subscribe.
    ///
    /// # Panics
    /// A store on servers panics outside a tokio runtime.
    async fn listen(&self, name: &BroadcastName) -> Result<BroadcastListener>;
}

/// What a [`BroadcastListener`] returns.
///
/// ```
/// use twinstore::broadcast::{BroadcastEvent, BroadcastListener};
///
/// /// Returns what to drop from a cache; `None`: everything.
/// async fn to_drop(listener: &mut BroadcastListener<String>) -> twinstore::Result<Option<String>> {
///     match listener.next().await? {
///         BroadcastEvent::Message(key) => Ok(Some(key)),
///         _ => Ok(None), // messages may have been missed
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// let stale = stores.state().broadcast::<String>("stale".try_into()?);
/// let mut listener = stale.listen().await?;
/// stale.publish(&"users/42".to_owned()).await?;
/// assert_eq!(to_drop(&mut listener).await?.as_deref(), Some("users/42"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcastEvent<T = Bytes> {
    /// A message.
    Message(T),
    /// Messages may have been missed since the last event. Read again what they are about.
    Gap,
}

impl BroadcastEvent {
    /// The largest message, in bytes: 64 KiB.
    pub const MAX_BYTES: usize = 64 * 1024;
}

impl<T> BroadcastEvent<T> {
    /// The message. `None` for a gap.
    pub fn message(self) -> Option<T> {
        match self {
            BroadcastEvent::Message(message) => Some(message),
            BroadcastEvent::Gap => None,
        }
    }
}

/// Refuses a message that is too long.
///
/// # Errors
/// [`Error::InvalidArgument`]
#[doc(hidden)]
pub fn validate_message(message: &Bytes) -> Result<()> {
    if message.len() > BroadcastEvent::MAX_BYTES {
        let (len, max) = (message.len(), BroadcastEvent::MAX_BYTES);
        let detail = format!("the message has {len} bytes; at most {max} can be broadcast");
        return Err(Error::invalid_argument(Op::BroadcastPublish, detail));
    }
    Ok(())
}

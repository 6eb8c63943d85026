//! Events.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json::{from_json, to_json};
use crate::{Error, Key, Op, Result, Timestamp};

/// An event to append.
///
/// ```
/// use twinstore::name::Key;
/// use twinstore::topic::NewEvent;
///
/// let event = NewEvent::new("paid").with_key(Key::new("order-7")?); // in order with all events of this key
/// assert_eq!(event.payload, "paid");
/// # Ok::<(), twinstore::name::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewEvent {
    /// Events with the same key are read in the order in which they were appended.
    pub key: Option<Key>,
    /// Any bytes.
    pub payload: Bytes,
}

impl NewEvent {
    /// The largest payload, in bytes: 64 KiB.
    pub const MAX_BYTES: usize = 64 << 10;
    /// The most events of one append.
    pub const MAX_BATCH: usize = 1_000;
    /// The most bytes of keys and payloads of one append: 1 MiB.
    pub const MAX_BATCH_BYTES: usize = 1 << 20;

    /// An event without a key.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { key: None, payload: payload.into() }
    }

    /// An event without a key that carries a value as JSON. [`Event::json`] reads it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, _) = twinstore::testing::stores();
    /// use twinstore::topic::{GroupName, NewEvent, TopicConfig, TopicName};
    ///
    /// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    /// enum OrderEvent {
    ///     Placed,
    ///     Paid { cents: u64 },
    /// }
    ///
    /// let orders = stores.state().topic(TopicName::new("orders")?, TopicConfig::default()).await?;
    /// orders.append(&[NewEvent::json(&OrderEvent::Paid { cents: 120 })?]).await?;
    /// let batch = orders.consumer(GroupName::new("billing")?).next().await?;
    /// assert_eq!(batch.events[0].json::<OrderEvent>()?, OrderEvent::Paid { cents: 120 });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the value cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        Ok(Self::new(to_json(Op::TopicAppend, "the event", value)?))
    }

    /// Sets the key.
    #[must_use]
    pub fn with_key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// The bytes of its key and payload.
    #[doc(hidden)]
    pub fn bytes(&self) -> usize {
        self.key.as_ref().map_or(0, |key| key.as_str().len()) + self.payload.len()
    }
}

impl fmt::Debug for NewEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewEvent({} bytes)", self.payload.len())
    }
}

/// Refuses events that are too many or too large.
///
/// # Errors
/// [`Error::InvalidArgument`]
pub fn validate_events(events: &[NewEvent]) -> Result<()> {
    let refused = |detail: String| Err(Error::invalid_argument(Op::TopicAppend, detail));
    if events.len() > NewEvent::MAX_BATCH {
        return refused(format!("an append has {} events; at most {}", events.len(), NewEvent::MAX_BATCH));
    }
    if let Some(large) = events.iter().map(|event| event.payload.len()).find(|len| *len > NewEvent::MAX_BYTES) {
        return refused(format!("the payload of an event has {large} bytes; at most {}", NewEvent::MAX_BYTES));
    }
    let bytes: usize = events.iter().map(NewEvent::bytes).sum();
    if bytes > NewEvent::MAX_BATCH_BYTES {
        return refused(format!("the events of an append have {bytes} bytes; at most {}", NewEvent::MAX_BATCH_BYTES));
    }
    Ok(())
}

/// The place of an event in its topic.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::topic::{EventId, NewEvent, TopicConfig, TopicName};
///
/// let orders = stores.state().topic(TopicName::new("orders")?, TopicConfig::default()).await?;
/// let ids: Vec<EventId> = orders.append(&[NewEvent::new("placed"), NewEvent::new("paid")]).await?;
/// assert_eq!(ids[1], EventId::new(0, ids[0].number + 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct EventId {
    /// The partition, from 0.
    pub partition: u16,
    /// The number in the partition: one more than that of the event before. The first event of a partition has the time in
    /// microseconds since 1970, so that numbers also rise after a partition has expired.
    pub number: u64,
}

impl EventId {
    /// The id of an event.
    pub const fn new(partition: u16, number: u64) -> Self {
        Self { partition, number }
    }
}

/// An event that was read.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// use twinstore::topic::{Event, GroupName, NewEvent, TopicConfig, TopicName};
///
/// let orders = stores.state().topic(TopicName::new("orders")?, TopicConfig::default()).await?;
/// orders.append(&[NewEvent::new("placed")]).await?;
/// let mut consumer = orders.consumer(GroupName::new("billing")?);
/// let event: Event = consumer.next().await?.events.remove(0);
/// assert_eq!((event.payload.as_ref(), event.appended, event.key), (&b"placed"[..], clock.now(), None));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Its place in the topic.
    pub id: EventId,
    /// When it was appended, by the server's clock. It never falls within a partition.
    pub appended: Timestamp,
    /// Its key.
    pub key: Option<Key>,
    /// Its payload.
    pub payload: Bytes,
}

impl Event {
    /// An event that an engine has read.
    #[doc(hidden)]
    pub fn new(id: EventId, appended: Timestamp, key: Option<Key>, payload: Bytes) -> Self {
        Self { id, appended, key, payload }
    }

    /// Its payload, read as JSON; see [`NewEvent::json`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not JSON of this type; the error does not contain the payload. Acknowledge the event anyway, or the
    /// group reads it again.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        from_json(Op::TopicRead, "the event", &self.payload)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("appended", &self.appended)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

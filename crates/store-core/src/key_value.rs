//! Values and counters of the cache store. Each has a TTL.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Key, RequestId, Result, Ttl};

/// Values and counters with a TTL. The store may lose any of them at any time.
///
/// Values and counters are separate: one key can have both, and no call on one changes the other. Only
/// [`delete_many`](KeyValue::delete_many) removes both.
///
/// Each call costs one round trip.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::cache::Entry;
/// use twinstore::{name::Key, time::Ttl};
///
/// let store = stores.cache().key_value();
/// let (ann, bob) = (Key::new("ann")?, Key::new("bob")?);
/// store.set_many(&[Entry::new(ann.clone(), "1", Ttl::from_secs(60))]).await?;
/// assert_eq!(store.get_many(&[ann.clone(), bob]).await?, [Some("1".into()), None]);
/// assert_eq!(store.add(&ann, 5, Ttl::from_secs(60)).await?, 5); // a counter, separate from the value
/// assert_eq!(store.delete_many(&[ann]).await?, 1);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait KeyValue: Send + Sync + fmt::Debug {
    /// `async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>>`
    ///
    /// Returns the values of up to [`Entry::MAX_KEYS`] keys, in the order given. `None` for a key without a value. O(keys).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for more than [`Entry::MAX_KEYS`] keys.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>>;

    /// `async fn set_many(&self, entries: &[Entry]) -> Result<()>`
    ///
    /// Sets or replaces up to [`Entry::MAX_KEYS`] values, each with its TTL. O(entries). The entries are not set as a unit: if the
    /// call fails, some of them may be set. It can be repeated.
    ///
    /// If a reply is lost, the store sets the values again, until the call returns: that may replace a value which another caller
    /// has set since. The same holds for [`set_if_absent`](KeyValue::set_if_absent) and the deletions if a value was deleted or set
    /// between two attempts. Where that matters, use the state store.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for more than [`Entry::MAX_KEYS`] entries, or a value of more than
    /// [`Entry::MAX_VALUE_BYTES`].
    async fn set_many(&self, entries: &[Entry]) -> Result<()>;

    /// `async fn set_if_absent(&self, entry: &Entry, request: RequestId) -> Result<SetIfAbsent>`
    ///
    /// Sets a value unless the key has one. O(1). If the same `request` is sent again, it returns [`SetIfAbsent::Stored`]
    /// again as long as its value is there.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a value of more than [`Entry::MAX_VALUE_BYTES`].
    async fn set_if_absent(&self, entry: &Entry, request: RequestId) -> Result<SetIfAbsent>;

    /// `async fn delete_many(&self, keys: &[Key]) -> Result<u64>`
    ///
    /// Deletes the values and counters of up to [`Entry::MAX_KEYS`] keys. Returns how many keys had one. O(keys). If the reply is
    /// lost and the call is sent again, it does not count what the first call deleted.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for more than [`Entry::MAX_KEYS`] keys.
    async fn delete_many(&self, keys: &[Key]) -> Result<u64>;

    /// `async fn delete_if(&self, key: &Key, expected: &Bytes) -> Result<bool>`
    ///
    /// Deletes the value if it equals `expected`. `true` if it did. O(1). If the reply is lost and the call is sent again, it
    /// returns `false` for a value that the first call deleted. `true` is certain; `false` means that the key no longer has
    /// this value.
    async fn delete_if(&self, key: &Key, expected: &Bytes) -> Result<bool>;

    /// `async fn add(&self, key: &Key, by: i64, ttl: Ttl) -> Result<i64>`
    ///
    /// Adds `by` to a counter and returns the new value. O(1). An absent counter starts at 0 and expires after `ttl`; later
    /// additions do not change its expiry.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the sum is outside the range of `i64`; the counter does not change.
    /// [`Error::Indeterminate`](crate::Error::Indeterminate) if the reply is lost: an addition is never repeated.
    async fn add(&self, key: &Key, by: i64, ttl: Ttl) -> Result<i64>;
}

/// A key, its value and its TTL.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// use twinstore::cache::{Entry, KeyValueExt};
/// use twinstore::{name::Key, time::Ttl};
///
/// let store = stores.cache().key_value();
/// let entry = Entry::new(Key::new("ann")?, "signed in", Ttl::from_secs(60));
/// store.set_many(std::slice::from_ref(&entry)).await?;
/// assert_eq!(store.get(&entry.key).await?, Some(entry.value));
/// clock.advance(std::time::Duration::from_secs(61));
/// assert_eq!(store.get(&entry.key).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value, at most [`Entry::MAX_VALUE_BYTES`].
    pub value: Bytes,
    /// How long the store may keep the value.
    pub ttl: Ttl,
}

impl Entry {
    /// The largest number of keys in one call.
    pub const MAX_KEYS: usize = 1000;

    /// The largest value, in bytes: 8 MiB.
    pub const MAX_VALUE_BYTES: usize = 8 << 20;

    /// A value that expires after `ttl`.
    pub fn new(key: Key, value: impl Into<Bytes>, ttl: Ttl) -> Self {
        Self { key, value: value.into(), ttl }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("bytes", &self.value.len()).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// The outcome of [`KeyValue::set_if_absent`]. It is not `Serialize`, because it may carry a value of the application.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::cache::{Entry, SetIfAbsent};
/// use twinstore::{name::{Key, RequestId}, time::Ttl};
///
/// let store = stores.cache().key_value();
/// let entry = |value: &'static str| Entry::new(Key::new("owner").expect("a valid key"), value, Ttl::from_secs(60));
/// let first = store.set_if_absent(&entry("ann"), RequestId::generate()).await?;
/// let second = store.set_if_absent(&entry("bob"), RequestId::generate()).await?;
/// assert_eq!((first, second), (SetIfAbsent::Stored, SetIfAbsent::Present("ann".into())));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetIfAbsent {
    /// The key had no value. The given value is stored.
    Stored,
    /// The key has this value. Nothing was changed.
    Present(Bytes),
}

impl SetIfAbsent {
    /// Whether the given value is stored.
    pub fn is_stored(&self) -> bool {
        matches!(self, SetIfAbsent::Stored)
    }
}

impl fmt::Debug for SetIfAbsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetIfAbsent::Stored => f.write_str("Stored"),
            SetIfAbsent::Present(value) => write!(f, "Present({} bytes)", value.len()),
        }
    }
}

//! Resume tokens: the position of a stream, saved by one instance at a time.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use crate::json::to_json;
use crate::{Cursor, Durability, Error, Fence, Op, Page, Receipt, RequestId, Result, StreamName, Ttl};

mod token;

pub use token::{ResumeToken, ResumeTokenInfo, TokenVersion};

/// The resume tokens of streams: where the consumer of a change stream, a log or a feed continues after a restart. Many
/// instances can stand by for one stream, and none overwrites the token of another.
///
/// Streams belong to the namespace, whichever service the handle is of. The consumer of a stream holds a
/// [lease](crate::Leases). It begins with [`take_over`](Self::take_over) and saves a token after each batch:
/// - Each call presents the [`Fence`] of the lease. The store records the highest fence of the stream and refuses lower
///   ones ([`TokenOutcome::Superseded`]), so an instance that lost its lease changes nothing.
/// - Each save presents the [`TokenVersion`] that it replaces, and is a conflict if another one is stored
///   ([`TokenOutcome::Conflict`]). Versions rise and are never used again, so an equal version means an equal token. The
///   caller has the version from the call before, and need not send the previous 64 KiB.
///
/// Save the token of a batch after the batch has reached its destination: a token that was saved before would skip the batch
/// if the process died between the two.
///
/// A token without a TTL is kept until it is deleted. One with a TTL expires that long after its last save; a read does not
/// renew it. To renew the token of a quiet stream, save it again. A token never disappears silently: an expired one is still
/// returned for 30 days ([`ResumeToken::EXPIRED_KEPT_FOR`]), marked by [`ResumeTokenInfo::is_expired`], and
/// [`tokens`](Self::tokens) finds those that expire soon, as the command `twinstore tokens` does. The metric
/// `twinstore_resume_token_reads_total` counts the tokens that were read with less than a quarter of their TTL left.
///
/// Each call costs one round trip, and is O(1) in the number of streams, except `tokens`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::lease::{AcquireRequest, LeaseName};
/// use twinstore::resume_token::{ResumeTokens, SaveRequest, StreamName};
/// use twinstore::{durability::Durability, name::HolderName};
///
/// let request = AcquireRequest::new(LeaseName::new("orders")?, HolderName::new("pod-1")?, Duration::from_secs(30));
/// let acquired = stores.state().leases().acquire(&request, Durability::Accepted).await?.value;
/// let fence = acquired.lease().expect("nobody holds it").fence;
///
/// let (tokens, orders) = (stores.state().resume_tokens(), StreamName::new("shop.orders")?);
/// let mut last = tokens.take_over(&orders, fence).await?.done().expect("no later holder");
/// assert!(last.is_none(), "read the stream from its beginning");
/// for position in ["after event 1", "after event 2"] {
///     let version = last.as_ref().map(|token| token.info.version);
///     let save = SaveRequest::new(orders.clone(), position, fence, version);
///     tokens.save(&save, Durability::Accepted).await?.value.done().expect("no other instance saves");
///     last = tokens.load(&orders).await?;
/// }
/// assert_eq!(last.unwrap().token, "after event 2");
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait ResumeTokens: Send + Sync + fmt::Debug {
    /// `async fn save(&self, request: &SaveRequest, durability: Durability) -> Result<Receipt<TokenOutcome<ResumeTokenInfo>>>`
    ///
    /// Saves a token. The saved token has a new version, the larger of the last one plus one and the server's clock in
    /// microseconds.
    ///
    /// A repetition gets the answer to the first request: a request with the same [`request`](SaveRequest::request), or one with
    /// the token that is stored, under the fence under which it was saved, and an outdated version. If the token was
    /// deleted meanwhile, the repetition is a conflict.
    ///
    /// A refused save returns its outcome whatever durability was reached, because nothing was written. A save also works if
    /// the server's memory is full: it replaces the token before it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the token is larger than [`ResumeToken::MAX_BYTES`], or for a fence
    /// or a version of 2^53 or more, also of the other calls: no store gives them out.
    async fn save(
        &self,
        request: &SaveRequest,
        durability: Durability,
    ) -> Result<Receipt<TokenOutcome<ResumeTokenInfo>>>;

    /// `async fn take_over(&self, stream: &StreamName, fence: Fence) -> Result<TokenOutcome<Option<ResumeToken>>>`
    ///
    /// Returns the token from which the holder of a lease continues, and records the fence of the lease: from now on, no earlier
    /// holder saves. Without this call, a late earlier holder could still save before the first save of the new one, which
    /// would then be a conflict. The outcome is never a conflict.
    async fn take_over(&self, stream: &StreamName, fence: Fence) -> Result<TokenOutcome<Option<ResumeToken>>>;

    /// `async fn load(&self, stream: &StreamName) -> Result<Option<ResumeToken>>`
    ///
    /// Returns the token of a stream.
    async fn load(&self, stream: &StreamName) -> Result<Option<ResumeToken>>;

    /// `async fn clear(&self, stream: &StreamName, version: TokenVersion, fence: Option<Fence>) -> Result<TokenOutcome<()>>`
    ///
    /// Deletes the token of this version. An instance presents its fence, and deletes nothing if a later holder is known.
    /// `None` is for operators: the token is deleted whichever instance holds the lease. The next save of that instance is a conflict. The store keeps the
    /// fence and the version for 30 days, so that no late save brings the token back.
    ///
    /// A call whose reply was lost is sent again. If the first copy deleted the token and a new one was saved before the
    /// second copy arrived, the answer is a conflict: it does not prove that nothing was deleted.
    async fn clear(&self, stream: &StreamName, version: TokenVersion, fence: Option<Fence>)
    -> Result<TokenOutcome<()>>;

    /// `async fn tokens(&self, expiring_within: Option<Duration>, after: Option<Cursor>) -> Result<Page<ResumeTokenInfo>>`
    ///
    /// Lists the tokens of the namespace, those of all services, or only those that have expired or will expire within this
    /// time. A complete listing on a server walks over all its keys. Each call is one bounded step, which looks at about
    /// 1,000 entries, in any order, as those of [`Inventory`](crate::Inventory): a page may be empty although others follow.
    ///
    /// # Errors
    /// Those of [`Inventory`](crate::Inventory).
    async fn tokens(&self, expiring_within: Option<Duration>, after: Option<Cursor>) -> Result<Page<ResumeTokenInfo>>;
}

/// A request to save the token of a stream.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// # use twinstore::{durability::Durability, lease::Fence};
/// use std::time::Duration;
/// use twinstore::resume_token::{SaveRequest, StreamName};
/// use twinstore::time::Ttl;
///
/// # let (tokens, orders, fence) = (stores.state().resume_tokens(), StreamName::new("shop.orders")?, Fence::new(1));
/// let week = Ttl::from_secs(7 * 24 * 3600);
/// let request = SaveRequest::new(orders, "after event 1", fence, None).with_ttl(week);
/// let first = tokens.save(&request, Durability::Accepted).await?;
/// // The reply was lost, so the caller sends the same request again.
/// let again = tokens.save(&request, Durability::Accepted).await?;
/// assert_eq!(first.value, again.value);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaveRequest {
    /// The stream.
    pub stream: StreamName,
    /// The token. At most [`ResumeToken::MAX_BYTES`].
    pub token: Bytes,
    /// The fence of the lease under which the caller consumes the stream.
    pub fence: Fence,
    /// The version of the token that this one replaces. `None`: the stream has no token.
    pub expected: Option<TokenVersion>,
    /// How long the token lasts unless another one is saved. `None`, the default: until it is deleted.
    pub ttl: Option<Ttl>,
    /// The identity of this request. Default random.
    pub request: RequestId,
}

impl SaveRequest {
    /// A request with a new identity, for a token without a TTL.
    pub fn new(stream: StreamName, token: impl Into<Bytes>, fence: Fence, expected: Option<TokenVersion>) -> Self {
        Self { stream, token: token.into(), fence, expected, ttl: None, request: RequestId::generate() }
    }

    /// A request with a new identity, for a position that is saved as JSON. [`ResumeToken::json`] reads it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, _) = twinstore::testing::stores();
    /// # use twinstore::{durability::Durability, lease::Fence};
    /// use twinstore::resume_token::{SaveRequest, StreamName};
    ///
    /// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    /// struct Position {
    ///     file: String,
    ///     offset: u64,
    /// }
    ///
    /// # let (tokens, logs, fence) = (stores.state().resume_tokens(), StreamName::new("logs")?, Fence::new(1));
    /// let position = Position { file: "2026-11.log".to_owned(), offset: 4096 };
    /// let save = SaveRequest::json(logs.clone(), &position, fence, None)?;
    /// let _ = tokens.save(&save, Durability::Accepted).await?;
    /// assert_eq!(tokens.load(&logs).await?.unwrap().json::<Position>()?, position);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the position cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(
        stream: StreamName,
        position: &T,
        fence: Fence,
        expected: Option<TokenVersion>,
    ) -> Result<Self> {
        Ok(Self::new(stream, to_json(Op::ResumeTokenSave, "the position", position)?, fence, expected))
    }

    /// Sets how long the token lasts.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Ttl) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets the identity, to repeat a request that was sent before.
    #[must_use]
    pub fn with_request(mut self, request: RequestId) -> Self {
        self.request = request;
        self
    }

    /// What every engine checks before it saves.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the token is too large, or for a fence or a version of 2^53 or more.
    #[doc(hidden)]
    pub fn validate(&self) -> Result<()> {
        ResumeToken::validate_numbers(Op::ResumeTokenSave, Some(self.fence), self.expected)?;
        let (len, most) = (self.token.len(), ResumeToken::MAX_BYTES);
        if len <= most {
            return Ok(());
        }
        let detail = format!("a resume token of {len} bytes; at most {most} are allowed");
        Err(Error::invalid_argument(Op::ResumeTokenSave, detail))
    }
}

impl fmt::Debug for SaveRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaveRequest")
            .field("stream", &self.stream)
            .field("bytes", &self.token.len())
            .field("fence", &self.fence)
            .field("expected", &self.expected)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// The outcome of a call that presents a fence.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// use twinstore::lease::Fence;
/// use twinstore::resume_token::{SaveRequest, StreamName, TokenOutcome};
///
/// # let (tokens, orders) = (stores.state().resume_tokens(), StreamName::new("shop.orders")?);
/// let (paused, active) = (Fence::new(1), Fence::new(2)); // the fences of two leases
/// let save = SaveRequest::new(orders.clone(), "after event 1", paused, None);
/// let version = tokens.save(&save, Durability::Accepted).await?.value.done().unwrap().version;
/// let _ = tokens.take_over(&orders, active).await?;
///
/// let save = SaveRequest::new(orders.clone(), "after event 2", paused, Some(version));
/// assert_eq!(tokens.save(&save, Durability::Accepted).await?.value, TokenOutcome::Superseded(active));
/// let save = SaveRequest::new(orders, "after event 2", active, None); // the wrong version
/// match tokens.save(&save, Durability::Accepted).await?.value {
///     TokenOutcome::Conflict(Some(current)) => assert_eq!(current.token, "after event 1"),
///     other => unreachable!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum TokenOutcome<T> {
    /// It was done.
    Done(T),
    /// Another version is stored than the caller expected, and nothing was changed. The current token; `None`: there is
    /// none.
    Conflict(Option<ResumeToken>),
    /// A later holder of the lease is known: it presented this fence. Nothing was changed. Stop consuming the stream.
    Superseded(Fence),
}

impl<T> TokenOutcome<T> {
    /// What was done. `None` if nothing was changed.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(done) => Some(done),
            Self::Conflict(_) | Self::Superseded(_) => None,
        }
    }
}

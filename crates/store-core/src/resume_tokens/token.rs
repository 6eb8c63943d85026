//! A saved token and what is known of it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json::from_json;
use crate::metric::RESUME_TOKEN_READS;
use crate::{Error, Fence, Op, Result, StreamName, Timestamp};

/// The version of a saved token. It rises with each save of a stream, also across deletion and expiry.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::{durability::Durability, lease::Fence};
/// use twinstore::resume_token::{SaveRequest, StreamName, TokenVersion};
///
/// # let (tokens, orders, fence) = (stores.state().resume_tokens(), StreamName::new("shop.orders")?, Fence::new(1));
/// let first = SaveRequest::new(orders.clone(), "1", fence, None);
/// let saved = tokens.save(&first, Durability::Accepted).await?.value.done().unwrap();
/// let stored = TokenVersion::new(saved.version.get()); // a service may keep it with its own data
/// let second = SaveRequest::new(orders, "2", fence, Some(stored));
/// let saved = tokens.save(&second, Durability::Accepted).await?.value.done().unwrap();
/// assert!(saved.version > stored);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct TokenVersion(u64);

impl TokenVersion {
    /// A version from its number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The version after `last`, if the server's clock is at `micros` microseconds.
    #[must_use]
    pub fn following(last: Option<TokenVersion>, micros: u64) -> Self {
        Self(last.map_or(micros, |last| micros.max(last.0.saturating_add(1))))
    }
}

/// What is known of a saved token, without its bytes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// # use twinstore::{durability::Durability, lease::Fence};
/// use std::time::Duration;
/// use twinstore::resume_token::{ResumeTokenInfo, SaveRequest, StreamName};
/// use twinstore::time::Ttl;
///
/// # let (tokens, orders, fence) = (stores.state().resume_tokens(), StreamName::new("shop.orders")?, Fence::new(1));
/// let save = SaveRequest::new(orders.clone(), "after event 1", fence, None).with_ttl(Ttl::from_secs(3600));
/// let _ = tokens.save(&save, Durability::Accepted).await?;
/// let soon = Some(Duration::from_secs(600));
/// assert_eq!(tokens.tokens(soon, None).await?.items, []);
///
/// clock.advance(Duration::from_secs(3000));
/// let expiring: Vec<ResumeTokenInfo> = tokens.tokens(soon, None).await?.items;
/// assert_eq!(expiring[0].stream, orders);
/// assert_eq!(expiring[0].age(), Duration::from_secs(3000));
/// assert_eq!(expiring[0].left(), Some(Duration::from_secs(600)));
///
/// clock.advance(Duration::from_secs(600));
/// assert!(tokens.load(&orders).await?.expect("it is kept for 30 days").info.is_expired());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ResumeTokenInfo {
    /// The stream.
    pub stream: StreamName,
    /// The version of the token. The next save presents it.
    pub version: TokenVersion,
    /// The highest fence that a save or a [`take_over`](crate::ResumeTokens::take_over) of the stream presented.
    pub fence: Fence,
    /// The size of the token.
    pub bytes: u64,
    /// When it was saved.
    #[serde(rename = "saved_ms")]
    pub saved: Timestamp,
    /// When it expires unless another one is saved. `None`: never.
    #[serde(rename = "until_ms")]
    pub until: Option<Timestamp>,
    /// The server's time of this answer.
    #[serde(rename = "now_ms")]
    pub now: Timestamp,
}

impl ResumeTokenInfo {
    /// What an engine found: an empty token that does not expire.
    pub fn new(stream: StreamName, version: TokenVersion, fence: Fence, saved: Timestamp) -> Self {
        Self { stream, version, fence, bytes: 0, saved, until: None, now: saved }
    }

    /// Sets the size.
    #[must_use]
    pub fn with_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets when it expires, and the time of the answer.
    #[must_use]
    pub fn with_times(mut self, until: Option<Timestamp>, now: Timestamp) -> Self {
        (self.until, self.now) = (until, now);
        self
    }

    /// How long ago it was saved, at the time of the answer.
    pub fn age(&self) -> Duration {
        self.now.since(self.saved)
    }

    /// How much longer it lasts, at the time of the answer; zero if it has expired. `None`: it does not expire.
    pub fn left(&self) -> Option<Duration> {
        self.until.map(|until| until.since(self.now))
    }

    /// Whether it had expired at the time of the answer. What it points to may be gone from its source; consuming the stream
    /// from its end instead would skip events.
    pub fn is_expired(&self) -> bool {
        self.until.is_some_and(|until| until <= self.now)
    }

    /// The label of [`RESUME_TOKEN_READS`].
    fn outcome(&self) -> &'static str {
        match self.until {
            Some(_) if self.is_expired() => "expired",
            Some(until) if until.since(self.now) < until.since(self.saved) / 4 => "expiring",
            _ => "lasting",
        }
    }
}

/// A saved token.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::{durability::Durability, lease::Fence};
/// use twinstore::resume_token::{ResumeToken, SaveRequest, StreamName};
///
/// # let (tokens, orders, fence) = (stores.state().resume_tokens(), StreamName::new("shop.orders")?, Fence::new(1));
/// let too_large = vec![0; ResumeToken::MAX_BYTES + 1];
/// let save = SaveRequest::new(orders.clone(), too_large, fence, None);
/// let error = tokens.save(&save, Durability::Accepted).await.unwrap_err();
/// assert!(error.to_string().ends_with("a resume token of 65537 bytes; at most 65536 are allowed"));
/// assert_eq!(tokens.load(&orders).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResumeToken {
    /// What is known of it.
    pub info: ResumeTokenInfo,
    /// Its bytes.
    pub token: Bytes,
}

impl ResumeToken {
    /// The largest size of a token: 64 KiB.
    pub const MAX_BYTES: usize = 64 << 10;

    /// How long an expired token is still returned, and how long the fence and version of a deleted one are kept: 30 days,
    /// the longest time of a lease.
    pub const EXPIRED_KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Refuses a fence or a version that no store gives out, of 2^53 or more.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`]
    #[doc(hidden)]
    pub fn validate_numbers(op: Op, fence: Option<Fence>, version: Option<TokenVersion>) -> Result<()> {
        let numbers = [fence.map(Fence::get), version.map(TokenVersion::get)];
        if numbers.into_iter().flatten().all(|number| number < 1 << 53) {
            return Ok(());
        }
        Err(Error::invalid_argument(op, "fences and versions are below 2^53"))
    }

    /// What an engine found.
    pub fn new(info: ResumeTokenInfo, token: Bytes) -> Self {
        Self { info, token }
    }

    /// The token, read as JSON; see [`SaveRequest::json`](crate::SaveRequest::json).
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not JSON of this type; the error does not contain the token.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        from_json(Op::ResumeTokenLoad, "the resume token", &self.token)
    }

    /// Counts that a load or a take-over returned it.
    #[doc(hidden)]
    #[must_use]
    pub fn counted(self) -> Self {
        RESUME_TOKEN_READS.counter(&[self.info.outcome()]).increment(1);
        self
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumeToken").field("info", &self.info).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_with_less_than_a_quarter_of_its_ttl_is_expiring() {
        let at = Timestamp::from_millis;
        let stream = StreamName::new("orders").unwrap();
        let saved = ResumeTokenInfo::new(stream, TokenVersion::new(1), Fence::new(1), at(1000));
        for (until, now, outcome) in [
            (None, 1_000_000, "lasting"),
            (Some(5000), 1000, "lasting"),
            (Some(5000), 4000, "lasting"),
            (Some(5000), 4001, "expiring"),
            (Some(5000), 4999, "expiring"),
            (Some(5000), 5000, "expired"),
        ] {
            assert_eq!(saved.clone().with_times(until.map(at), at(now)).outcome(), outcome, "{until:?} {now}");
        }
    }
}

//! Operations that take effect once for each idempotency key.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{
    Begun, Error, Fingerprint, Finished, HandleKind, HandleName, Idempotency, IdempotentRequest, Key, Op, Timestamp,
    Ttl,
};
use tokio::time::{Instant, sleep, sleep_until};

/// The pause before a response is stored again.
const PAUSE: Duration = Duration::from_millis(50);

/// An operation with a request of type `Q` and a response of type `R` that takes effect once for each idempotency key. Both
/// are stored as JSON, the request as a digest. [`State::operation`](crate::State::operation) and
/// [`Cache::operation`](crate::Cache::operation) create it.
///
/// The operation's name is part of its keys: operations with different names share no keys.
///
/// ```
/// use twinstore::prelude::*;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let environment = Environment::from_variables([
/// #     ("SERVICE_NAME", "shop"),
/// #     ("REDIS_CONN_BASE_URL", "embedded:"),
/// #     ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
/// # ]);
/// # let stores = Stores::open(&environment).await?;
/// let payments = stores.state().operation::<u64, String>(HandleName::new("payments")?);
/// let order = Key::new("order-7")?;
/// let pay = async |cents: u64| payments.run(&order, &cents, async || Ok(format!("paid {cents}"))).await;
///
/// assert!(matches!(pay(999).await?, Ran::Fresh(receipt) if receipt == "paid 999"));
/// assert!(matches!(pay(999).await?, Ran::Stored(receipt) if receipt == "paid 999"));
/// assert!(matches!(pay(1).await?, Ran::Mismatch));
/// # Ok(())
/// # }
/// ```
pub struct Operation<Q, R> {
    store: Arc<dyn Idempotency>,
    name: HandleName,
    in_progress_for: Ttl,
    keep: Ttl,
    types: PhantomData<fn(Q) -> R>,
}

impl<Q, R> Clone for Operation<Q, R> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), name: self.name.clone(), ..*self }
    }
}

impl<Q, R> fmt::Debug for Operation<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The error of an operation's own code: any error converts into it with `?`.
///
/// ```
/// use twinstore::idempotency::OperationFailure;
///
/// fn charge(cents: &str) -> Result<u64, OperationFailure> {
///     match cents.parse()? {
///         0 => Err("nothing to pay".into()),
///         cents => Ok(cents),
///     }
/// }
/// assert!(charge("999").is_ok() && charge("0").is_err() && charge("x").is_err());
/// ```
pub type OperationFailure = Box<dyn std::error::Error + Send + Sync>;

impl<Q: Serialize, R: Serialize + DeserializeOwned> Operation<Q, R> {
    pub(crate) fn new(store: Arc<dyn Idempotency>, name: HandleName) -> Self {
        let (in_progress_for, keep) = (Ttl::from_secs(30), Ttl::from_secs(24 * 3600));
        Self { store, name, in_progress_for, keep, types: PhantomData }
    }

    /// With keys that are in progress for this time, after which the key of a process that died is free again.
    /// [`Operation::run`] prolongs the time whenever a third of it is over, so an operation may take longer. Default 30 s.
    #[must_use]
    pub fn with_in_progress_for(mut self, time: Ttl) -> Self {
        self.in_progress_for = time;
        self
    }

    /// With responses that are kept for this time. A request that is repeated later is carried out again. Default 24 h.
    #[must_use]
    pub fn with_keep(mut self, time: Ttl) -> Self {
        self.keep = time;
        self
    }

    /// Carries the operation out. If it was carried out before for this key, returns the stored response instead.
    ///
    /// `carry_out` runs only if no other attempt has begun. If it returns an error, the key is free again and a repeated request
    /// is carried out, so return an error only if nothing took effect. If repeated requests must get the same failure, make it
    /// part of the response, for example as a `Result`.
    ///
    /// The JSON of a repeated request must be the same, so use ordered maps in requests. Dropping the future drops `carry_out`;
    /// the key is free again after the time of [`with_in_progress_for`](Self::with_in_progress_for). A run takes two round
    /// trips, and one more for each third of that time.
    ///
    /// # Errors
    /// [`OperationError`] if there is no response.
    pub async fn run<F, Fut>(&self, key: &Key, request: &Q, carry_out: F) -> Result<Ran<R>, OperationError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<R, OperationFailure>>,
    {
        let Ok(content) = serde_json::to_vec(request) else {
            let error = Error::invalid_argument(Op::IdempotencyBegin, "the request cannot be written as JSON");
            return Err(OperationError::Store(error));
        };
        let key = HandleKind::Operations.key(&self.name, key);
        let attempt = IdempotentRequest::new(key, Fingerprint::of(&content));
        let began = Instant::now();
        let begun = self.store.begin(&attempt, self.in_progress_for).await.map_err(OperationError::Store)?;
        if let Begun::Finished(response) = begun {
            let read = serde_json::from_slice(&response).map(Ran::Stored);
            return read.map_err(|error| {
                let detail = format!("the stored response is not of its type, at column {}", error.column());
                OperationError::Store(Error::corrupt(Op::IdempotencyBegin, detail))
            });
        }
        if let Begun::InProgress { since, retry_after } = begun {
            return Ok(Ran::InProgress { since, retry_after });
        }
        if begun == Begun::Mismatch {
            return Ok(Ran::Mismatch);
        }
        let mut until = began + self.in_progress_for.as_duration();
        let response = {
            let mut carrying_out = pin!(carry_out());
            let mut keeping = pin!(self.keep_in_progress(&attempt, &mut until));
            tokio::select! {
                biased;
                response = &mut carrying_out => response,
                () = &mut keeping => return Err(OperationError::Lost),
            }
        };
        match response {
            Ok(response) => Ok(self.finish(&attempt, response, until).await),
            Err(failure) => {
                // If the store does not answer, the key becomes free when its time is over.
                let _ = self.store.abandon(&attempt).await;
                Err(OperationError::Failed(failure))
            }
        }
    }

    /// Prolongs an attempt every third of its time. Returns when the attempt is lost.
    async fn keep_in_progress(&self, attempt: &IdempotentRequest, until: &mut Instant) {
        let time = self.in_progress_for.as_duration();
        let mut next = *until - time + time / 3;
        loop {
            sleep_until(next.min(*until)).await;
            let sent = Instant::now();
            if sent >= *until {
                return;
            }
            match self.store.prolong(attempt, self.in_progress_for).await {
                Ok(true) => (*until, next) = (sent + time, sent + time / 3),
                Ok(false) => return,
                Err(_) => next = Instant::now() + PAUSE,
            }
        }
    }

    /// Stores the response. Tries until it is stored or the attempt's time is over.
    async fn finish(&self, attempt: &IdempotentRequest, response: R, until: Instant) -> Ran<R> {
        let Ok(json) = serde_json::to_vec(&response) else {
            let error = Error::invalid_argument(Op::IdempotencyFinish, "the response cannot be written as JSON");
            return Ran::Unstored { response, error: Some(error) };
        };
        let json = json.into();
        loop {
            match self.store.finish(attempt, &json, self.keep).await {
                Ok(Finished::Stored) => return Ran::Fresh(response),
                Ok(_) => return Ran::Unstored { response, error: None },
                Err(error) if error.is_retryable() && Instant::now() + PAUSE < until => sleep(PAUSE).await,
                Err(error) => return Ran::Unstored { response, error: Some(error) },
            }
        }
    }
}

/// The outcome of [`Operation::run`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// # let payments = stores.state().operation::<u64, String>(HandleName::new("payments")?);
/// let ran = payments.run(&Key::new("order-7")?, &999, async || Ok("paid".to_owned())).await?;
/// let status = match &ran {
///     Ran::InProgress { .. } => 409,
///     Ran::Mismatch => 422,
///     _ => 200,
/// };
/// assert_eq!((status, ran.response().as_deref()), (200, Some("paid")));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Ran<R> {
    /// The operation was carried out now, and its response is stored.
    Fresh(R),
    /// The operation was carried out before; this was its response.
    Stored(R),
    /// The operation was carried out now, but its response is not stored: a repeated request may be carried out again.
    Unstored {
        /// The response.
        response: R,
        /// Why; `None` if the attempt took so long that another one has taken the key.
        error: Option<Error>,
    },
    /// Another attempt carries the operation out (HTTP 409).
    InProgress {
        /// Since when, by the server's clock.
        since: Timestamp,
        /// If that attempt's process has died, the key is free at this time. Repeat the request then at the latest.
        retry_after: Duration,
    },
    /// The key belongs to another request (HTTP 422).
    Mismatch,
}

impl<R> Ran<R> {
    /// The response, if there is one.
    pub fn response(self) -> Option<R> {
        match self {
            Ran::Fresh(response) | Ran::Stored(response) | Ran::Unstored { response, .. } => Some(response),
            Ran::InProgress { .. } | Ran::Mismatch => None,
        }
    }
}

/// Why [`Operation::run`] returns no outcome.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::idempotency::OperationError;
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// # let payments = stores.state().operation::<u64, String>(HandleName::new("payments")?);
/// let declined = payments.run(&Key::new("order-7")?, &999, async || Err("declined".into())).await;
/// assert!(matches!(declined, Err(OperationError::Failed(reason)) if reason.to_string() == "declined"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The operation's own code returned this error. The key is free again.
    #[error("the operation failed")]
    Failed(#[source] OperationFailure),
    /// The store did not answer or holds a response of another type. The operation was not carried out.
    #[error("the idempotency key cannot be used")]
    Store(#[source] Error),
    /// The attempt could not be kept in progress. The operation was stopped at an `await`; a part of it may have taken effect.
    #[error("the operation was stopped: its idempotency key was lost")]
    Lost,
}

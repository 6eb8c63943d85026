//! Operations that take effect once for each idempotency key.

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{
    Begun, Error, Fingerprint, Finished, HandleKind, HandleName, Idempotency, IdempotentRequest, Key, Op, Timestamp,
    Ttl,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

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
    /// [`Operation::run`] prolongs the time whenever a third of it is over, so an operation may take longer.
    /// It is stopped after nine tenths of the time without an answer of the store. Default 30 s.
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
    /// `run` drops `carry_out` at its next `await` if another attempt has the key, or a tenth of the time of
    /// [`with_in_progress_for`](Self::with_in_progress_for) before another attempt can get it, whether the store answers or not.
    ///
    /// Dropping the future drops `carry_out`, and the key is free again after that time. If dropping must not interrupt
    /// `carry_out`, for example when a client disconnects, call `run` in a task ([`tokio::spawn`]). Once `carry_out` has returned
    /// a response, a task stores it, even if the future is dropped.
    ///
    /// The JSON of a repeated request must be the same, so use ordered maps in requests. A run takes two round trips, and one
    /// more for each third of the time of `with_in_progress_for`.
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
        let begun = match self.store.begin(&attempt, self.in_progress_for).await {
            Ok(begun) => begun,
            Err(error) => {
                // The key is in progress now: free it, so that a repeated request need not wait until it expires.
                if let Error::NotDurable { .. } = error {
                    let _ = self.store.abandon(&attempt).await;
                }
                return Err(OperationError::Store(error));
            }
        };
        match begun {
            Begun::Started => self.carry_out(attempt, began, carry_out).await,
            Begun::Finished(response) => serde_json::from_slice(&response).map(Ran::Stored).map_err(|error| {
                let detail = format!("the stored response is not of its type, at column {}", error.column());
                OperationError::Store(Error::corrupt(Op::IdempotencyBegin, detail))
            }),
            Begun::InProgress { since, retry_after } => Ok(Ran::InProgress { since, retry_after }),
            Begun::Mismatch => Ok(Ran::Mismatch),
            _ => {
                let error = Error::unsupported(Op::IdempotencyBegin, "the outcome is not known to this version");
                Err(OperationError::Store(error))
            }
        }
    }

    /// Carries out what began at `began`, while no other attempt can have the key.
    async fn carry_out<F, Fut>(
        &self,
        attempt: IdempotentRequest,
        began: Instant,
        carry_out: F,
    ) -> Result<Ran<R>, OperationError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<R, OperationFailure>>,
    {
        let until = watch::Sender::new(self.until(began));
        let response = {
            let mut carrying_out = pin!(async { carry_out().await });
            // It is not polled after its time, however late this task runs.
            let guarded = poll_fn(|context| {
                let is_held = Instant::now() < *until.borrow();
                if is_held { carrying_out.as_mut().poll(context).map(Some) } else { Poll::Ready(None) }
            });
            tokio::select! {
                biased;
                () = self.keep_in_progress(&attempt, began, &until) => None,
                response = guarded => response,
            }
        };
        let until = *until.borrow();
        match response {
            Some(Ok(response)) => Ok(self.finish(attempt, response, until).await),
            Some(Err(failure)) => {
                // If the store does not answer, the key is free when its time is over.
                let _ = self.store.abandon(&attempt).await;
                Err(OperationError::Failed(failure))
            }
            None => Err(OperationError::Lost),
        }
    }

    /// Until when an attempt that was begun or prolonged at `sent` is relied on.
    fn until(&self, sent: Instant) -> Instant {
        let time = self.in_progress_for.as_duration();
        sent + time - time / 10
    }

    /// Prolongs an attempt every third of its time. Returns when the attempt is lost, or may be.
    async fn keep_in_progress(&self, attempt: &IdempotentRequest, began: Instant, until: &watch::Sender<Instant>) {
        let time = self.in_progress_for.as_duration();
        let mut next = began + time / 3;
        loop {
            let end = *until.borrow();
            sleep_until(next.min(end)).await;
            let sent = Instant::now();
            if sent >= end {
                return;
            }
            match timeout_at(end, self.store.prolong(attempt, self.in_progress_for)).await {
                Ok(Ok(true)) => {
                    until.send_replace(self.until(sent));
                    next = sent + time / 3;
                }
                Ok(Err(error)) if error.is_retryable() => next = Instant::now() + time / 10,
                Ok(Ok(false) | Err(_)) | Err(_) => return,
            }
        }
    }

    /// Stores the response in a task, which continues if this future is dropped.
    async fn finish(&self, attempt: IdempotentRequest, response: R, until: Instant) -> Ran<R> {
        let Ok(json) = serde_json::to_vec(&response) else {
            let error = Error::invalid_argument(Op::IdempotencyFinish, "the response cannot be written as JSON");
            return Ran::Unstored { response, error: Some(error) };
        };
        let storing = tokio::spawn(store(self.store.clone(), attempt, json.into(), self.keep, until));
        match storing.await {
            Ok(Ok(Finished::Stored)) => Ran::Fresh(response),
            Ok(Ok(_)) => Ran::Unstored { response, error: None },
            Ok(Err(error)) => Ran::Unstored { response, error: Some(error) },
            Err(_) => {
                let error = Error::indeterminate(Op::IdempotencyFinish, "the task that stores the response has ended");
                Ran::Unstored { response, error: Some(error) }
            }
        }
    }
}

/// Stores a response, again and again until the attempt's time is over.
async fn store(
    store: Arc<dyn Idempotency>,
    attempt: IdempotentRequest,
    json: Bytes,
    keep: Ttl,
    until: Instant,
) -> Result<Finished, Error> {
    loop {
        match store.finish(&attempt, &json, keep).await {
            Err(error) if error.is_retryable() && Instant::now() + PAUSE < until => sleep(PAUSE).await,
            outcome => return outcome,
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
    /// The operation was carried out now, but its response may not be stored: a repeated request may be carried out again.
    Unstored {
        /// The response.
        response: R,
        /// Why. After [`Error::Indeterminate`], the response may be stored. `None` if the attempt no longer held the key: the
        /// response is not stored, and another attempt may have carried the operation out.
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
    /// The operation's own code returned this error. The key is free again; if the store did not answer, it is free after the
    /// time of [`Operation::with_in_progress_for`].
    #[error("the operation failed")]
    Failed(#[source] OperationFailure),
    /// The request cannot be written as JSON, or the store returned this error. This call did not carry the operation out. After
    /// [`Error::Corrupt`], an earlier call did, and its stored response is not of the type `R`. After [`Error::Indeterminate`],
    /// the key may be in progress for the time of [`Operation::with_in_progress_for`].
    #[error("the idempotency key cannot be used")]
    Store(#[source] Error),
    /// The attempt could not be kept in progress: another attempt has the key, or the store did not prolong this one in time or
    /// refused it. The operation was stopped at an `await`; a part of it may have taken effect.
    #[error("the operation was stopped: its idempotency key was lost")]
    Lost,
}

#[cfg(test)]
mod tests;

//! Connections that serve one call at a time: blocking calls and calls that wait for replicas.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::durable::Proof;
use super::upstream::{Opened, Upstream};
use crate::LinkConfig;
use crate::wire::{Failure, Wire};

/// Connections to one server, opened on demand and kept for later calls.
pub(crate) struct Exclusive {
    config: LinkConfig,
    upstream: Upstream,
    idle: Mutex<Vec<Solo>>,
    permits: Arc<Semaphore>,
}

struct Solo {
    opened: Opened,
    proof: Option<Proof>,
}

/// A connection that one call holds. It is closed if it is dropped without being settled.
pub(crate) struct Held {
    pool: Arc<Exclusive>,
    /// What the server's settings proved with the last call.
    pub(super) proof: Option<Proof>,
    solo: Solo,
    _permit: OwnedSemaphorePermit,
}

impl Exclusive {
    pub(crate) fn new(config: &LinkConfig, upstream: &Upstream, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            upstream: upstream.clone(),
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(limit)),
        })
    }

    /// A connection for this call alone. Waits up to `patience` while all of them are in use; opening one takes at most
    /// the connect time-out.
    pub(crate) async fn take(self: &Arc<Self>, patience: Duration) -> Result<Held, Failure> {
        let permit = tokio::time::timeout(patience, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| Failure::NotSent("too many calls hold a connection of their own".into()))?;
        let permit = permit.map_err(|_| Failure::Withheld("the link is closed"))?;
        let idle = self.take_idle();
        let mut solo = match idle {
            Some(solo) => solo,
            None => self.open().await?,
        };
        Ok(Held { pool: Arc::clone(self), proof: solo.proof.take(), solo, _permit: permit })
    }

    /// Closes the idle connections immediately, and the others when they are settled.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take_idle(&self) -> Option<Solo> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(|solo| solo.opened.is_usable())
    }

    async fn open(&self) -> Result<Solo, Failure> {
        Ok(Solo { opened: self.upstream.open(&self.config).await?, proof: None })
    }
}

impl Held {
    pub(crate) fn wire(&self) -> &Wire {
        &self.solo.opened.wire
    }

    /// Waits until the connection leads to a server that is no longer the primary.
    pub(crate) fn left(&self) -> impl Future<Output = ()> + Send + use<> {
        self.solo.opened.left()
    }

    /// Gives the connection back, unless the outcome of the call leaves it in doubt.
    pub(crate) fn settle<T>(self, result: &Result<T, Failure>) {
        let is_sound = match result {
            Ok(_) => true,
            Err(failure) => !matches!(failure, Failure::NotSent(_) | Failure::Lost(_)),
        };
        let is_demoted = matches!(result, Err(failure) if failure.is_of_demotion());
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if is_demoted || !is_sound {
            // The others lead to the same server, and the network may have lost them, too.
            idle.clear();
        }
        if is_demoted {
            self.pool.upstream.doubt();
            return;
        }
        // Checked under the lock: after the pool was closed, nothing would clear the list again.
        if is_sound && !self.pool.permits.is_closed() {
            idle.push(Solo { proof: self.proof, ..self.solo });
        }
    }
}

//! Connections that serve one call at a time: blocking calls and calls that wait for replicas.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::durable::Proof;
use crate::wire::{Driver, Failure, Wire};
use crate::{Endpoint, LinkConfig};

/// Connections to one server, opened on demand and kept for later calls.
pub(crate) struct Exclusive {
    config: LinkConfig,
    endpoint: Endpoint,
    idle: Mutex<Vec<Solo>>,
    permits: Arc<Semaphore>,
}

struct Solo {
    wire: Wire,
    driver: Driver,
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
    pub(crate) fn new(config: &LinkConfig, endpoint: &Endpoint, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            endpoint: endpoint.clone(),
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(limit)),
        })
    }

    /// A connection for this call alone. Waits up to `patience` while all of them are in use; opening one takes at most
    /// the connect time-out.
    pub(crate) async fn take(self: &Arc<Self>, patience: Duration) -> Result<Held, Failure> {
        let permit = tokio::time::timeout(patience, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| Failure::NotSent("too many calls hold a connection of their own"))?;
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
        std::iter::from_fn(|| idle.pop()).find(|solo| !solo.driver.is_finished() && solo.wire.is_connected())
    }

    async fn open(&self) -> Result<Solo, Failure> {
        let (wire, driver) = Wire::open(&self.config, &self.endpoint).await?;
        Ok(Solo { wire, driver, proof: None })
    }
}

impl Held {
    pub(crate) fn wire(&self) -> &Wire {
        &self.solo.wire
    }

    /// Gives the connection back, unless the outcome of the call leaves it in doubt.
    pub(crate) fn settle<T>(self, result: &Result<T, Failure>) {
        let is_sound = match result {
            Ok(_) => true,
            Err(failure) => !matches!(failure, Failure::NotSent(_) | Failure::Lost(_)),
        };
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Checked under the lock: after the pool was closed, nothing would clear the list again.
        if is_sound && !self.pool.permits.is_closed() {
            idle.push(Solo { proof: self.proof, ..self.solo });
        }
    }
}

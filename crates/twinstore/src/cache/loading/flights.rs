//! The loads under way: one per key. All callers of the key get its outcome.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store_core::Key;
use tokio::sync::watch;

use super::LoadError;

pub(super) type Outcome<T> = Result<T, LoadError>;

pub(super) struct Flights<T> {
    by_key: Mutex<HashMap<Key, watch::Receiver<Option<Outcome<T>>>>>,
}

/// The handle of a caller that waits for a load.
pub(super) struct Arrival<T> {
    outcome: watch::Receiver<Option<Outcome<T>>>,
}

/// The handle of the task that loads. When it is dropped, its key is free and all callers that wait get an outcome.
pub(super) struct Flight<T> {
    flights: Arc<Flights<T>>,
    key: Key,
    outcome: watch::Sender<Option<Outcome<T>>>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self { by_key: Mutex::default() }
    }
}

impl<T> Flights<T> {
    /// The load of `key` that is under way, or a new one to be carried out by the caller.
    pub(super) fn join(self: &Arc<Self>, key: &Key) -> (Arrival<T>, Option<Flight<T>>) {
        let mut by_key = self.lock();
        if let Some(outcome) = by_key.get(key) {
            return (Arrival { outcome: outcome.clone() }, None);
        }
        let (sender, outcome) = watch::channel(None);
        by_key.insert(key.clone(), outcome.clone());
        let flight = Flight { flights: Arc::clone(self), key: key.clone(), outcome: sender };
        (Arrival { outcome }, Some(flight))
    }

    /// Waits until a load of `key` that has an outcome has also stored it. Does not wait for a load without an outcome.
    pub(super) async fn stored(&self, key: &Key) {
        let landed = self.lock().get(key).filter(|outcome| outcome.borrow().is_some()).cloned();
        if let Some(mut outcome) = landed {
            while outcome.changed().await.is_ok() {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Option<Outcome<T>>>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Arrival<T> {
    /// Waits for the outcome.
    pub(super) async fn landed(mut self) -> Outcome<T> {
        match self.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(LoadError::Stopped)),
            Err(_) => Err(LoadError::Stopped),
        }
    }
}

impl<T> Flight<T> {
    /// Sends the outcome to all callers that wait. Callers that arrive before the flight is dropped get it, too.
    pub(super) fn land(&self, outcome: Outcome<T>) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
        if self.outcome.borrow().is_none() {
            self.outcome.send_replace(Some(Err(LoadError::Stopped)));
        }
    }
}

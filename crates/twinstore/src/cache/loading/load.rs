//! One load: read again, lock, load, return to all callers, store.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{Entry, Error, HandleKind, Key, KeyValueExt, RequestId, Result, SetIfAbsent, Timestamp};
use tokio::time::Instant;

use super::flights::{Arrival, Flight, Outcome};
use super::{FleetLock, Found, LoadError, Loaded, Loading, Origin, Shared, frame};

/// Whether a load waits for another process that loads the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// It does not wait while there is a fresh value.
    No,
    /// It waits for the time of the [`FleetLock`].
    Bounded,
}

/// The result of the attempt to be the fleet's only loader.
enum Turn<T> {
    /// Load, then release the lock if there is one.
    Ours(Option<Held>),
    /// Do not load: another process has loaded the value, or loads it while this value is still fresh.
    Theirs(T),
}

/// A lock that this process holds: its key, and the value that identifies the holder.
struct Held {
    key: Key,
    value: Bytes,
}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Loading<T> {
    /// Joins the load of `key`, or starts one. `found` is the value that was read before.
    pub(super) fn fly<F, L>(&self, key: &Key, found: Option<Found<T>>, wait: Wait, loader: F) -> Arrival<Loaded<T>>
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = Outcome<T>> + Send + 'static,
    {
        let (arrival, flight) = self.shared.flights.join(key);
        if let Some(flight) = flight {
            let (shared, key) = (Arc::clone(&self.shared), key.clone());
            tokio::spawn(async move { shared.carry_out(flight, &key, found, wait, loader).await });
        }
        arrival
    }
}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync> Shared<T> {
    /// The value in the store, fresh or stale. `None` if the store does not answer.
    pub(super) async fn look_up(&self, key: &Key) -> Option<Found<T>> {
        self.ask(self.store.get(&self.key(key))).await.flatten().and_then(|framed| frame::read(&framed))
    }

    /// The key of the value of `key` in the store.
    pub(super) fn key(&self, key: &Key) -> Key {
        HandleKind::Loading.key(&self.name, key)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.options.clock.manual_now().unwrap_or_else(Timestamp::system_now)
    }

    async fn carry_out<F, L>(
        &self,
        flight: Flight<Loaded<T>>,
        key: &Key,
        found: Option<Found<T>>,
        wait: Wait,
        loader: F,
    ) where
        F: FnOnce() -> L,
        L: Future<Output = Outcome<T>>,
    {
        if let Some(value) = self.newer(key, found.as_ref()).await {
            return flight.land(Ok(Loaded::new(value, Origin::Stored)));
        }
        let held = match self.turn(key, found.as_ref(), wait).await {
            Turn::Ours(held) => held,
            Turn::Theirs(value) => return flight.land(Ok(Loaded::new(value, Origin::Stored))),
        };
        let started = Instant::now();
        let outcome = tokio::time::timeout(self.options.load_within, loader()).await;
        let outcome = outcome.unwrap_or(Err(LoadError::TimedOut));
        self.load_seconds.record(started.elapsed());
        flight.land(outcome.clone().map(|value| Loaded::new(value, Origin::Loaded)));
        if let Ok(value) = outcome {
            self.keep(key, &value, started.elapsed()).await;
        }
        if let Some(Held { key, value }) = held {
            self.ask(self.store.delete_if(&key, &value)).await;
        }
    }

    /// A fresh value that was stored after `found`.
    async fn newer(&self, key: &Key, found: Option<&Found<T>>) -> Option<T> {
        let seen = found.map(|found| found.fresh_until);
        let there = self.look_up(key).await?;
        (there.is_fresh(self.now()) && Some(there.fresh_until) != seen).then_some(there.value)
    }

    async fn keep(&self, key: &Key, value: &T, took: Duration) {
        let fresh_until = self.now().after(self.options.fresh_for.as_duration());
        if let Some(framed) = frame::write(value, fresh_until, took) {
            self.ask(self.store.set(self.key(key), framed, self.options.ttl())).await;
        }
    }

    async fn turn(&self, key: &Key, found: Option<&Found<T>>, wait: Wait) -> Turn<T> {
        let Some(FleetLock { held_for, wait: patience }) = self.options.fleet_lock else { return Turn::Ours(None) };
        let lock = HandleKind::LoadingLock.key(&self.name, key);
        let request = RequestId::generate();
        let value = Bytes::copy_from_slice(request.as_bytes());
        let entry = Entry::new(lock.clone(), value.clone(), held_for);
        let started = Instant::now();
        let mut pause = Duration::from_millis(25);
        loop {
            match self.ask(self.store.set_if_absent(&entry, request)).await {
                None => return Turn::Ours(None),
                Some(SetIfAbsent::Stored) => {
                    let held = Held { key: lock, value };
                    return match self.newer(key, found).await {
                        Some(value) => {
                            self.ask(self.store.delete_if(&held.key, &held.value)).await;
                            Turn::Theirs(value)
                        }
                        None => Turn::Ours(Some(held)),
                    };
                }
                Some(_) => {}
            }
            match found {
                Some(found) if wait == Wait::No && found.is_fresh(self.now()) => {
                    return Turn::Theirs(found.value.clone());
                }
                _ => {}
            }
            if started.elapsed() >= patience {
                return Turn::Ours(None);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
            if let Some(value) = self.newer(key, found).await {
                return Turn::Theirs(value);
            }
        }
    }

    /// Calls the store, unless the circuit breaker is open. Any error is `None`; the breaker counts the errors of a store that is
    /// unavailable.
    async fn ask<R>(&self, call: impl Future<Output = Result<R>>) -> Option<R> {
        let permit = self.breaker.permit()?;
        let answer = call.await;
        let is_away =
            matches!(answer, Err(Error::Unavailable { .. } | Error::Indeterminate { .. } | Error::Limit { .. }));
        permit.settle(!is_away);
        answer.ok()
    }
}

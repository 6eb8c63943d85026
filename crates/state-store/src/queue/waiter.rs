//! Waiters: idle workers of this process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{Claim, ClaimRequest, Error, Op, QueueName, REGISTRATION, Result, Waiter, Wakeup};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::channels::QueueChannels;
use super::claim::{self, Answered, Registering};
use super::registrations::{AtQueue, Place};
use crate::StateStore;

pub(super) const OP: Op = Op::QueueWait;

/// A waiter of a store.
struct StateWaiter {
    store: StateStore,
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) sender: UnboundedSender<Result<Wakeup>>,
    receiver: tokio::sync::Mutex<UnboundedReceiver<Result<Wakeup>>>,
    /// What it has at each queue. Locked after the registrations.
    queues: Mutex<HashMap<QueueName, AtQueue>>,
    /// Of the queues from which it claims.
    channels: Mutex<HashMap<QueueName, QueueChannels>>,
}

impl Inner {
    pub(super) fn new(sender: UnboundedSender<Result<Wakeup>>, receiver: UnboundedReceiver<Result<Wakeup>>) -> Self {
        let receiver = tokio::sync::Mutex::new(receiver);
        Self { sender, receiver, queues: Mutex::default(), channels: Mutex::default() }
    }

    pub(super) fn queues(&self) -> MutexGuard<'_, HashMap<QueueName, AtQueue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<QueueName, QueueChannels>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for StateWaiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateWaiter")
    }
}

pub(super) fn waiter(store: &StateStore) -> Arc<dyn Waiter> {
    let (sender, receiver) = unbounded_channel();
    Arc::new(StateWaiter { store: store.clone(), inner: Arc::new(Inner::new(sender, receiver)) })
}

#[async_trait]
impl Waiter for StateWaiter {
    async fn claim(&self, request: &ClaimRequest, reserve: usize) -> Result<Claim> {
        // First of all: what `next` returns from now on is as many places less for this claim.
        let (promised, taken) = self.store.waking.promised(&self.inner, &request.queue, None);
        let places = request.max.max(promised - taken);
        let known = self.inner.channels().get(&request.queue).cloned();
        let channels = self.store.channels(&request.queue, known.clone()).await?;
        if known.is_none_or(|known| !known.are(&channels)) {
            self.inner.channels().insert(request.queue.clone(), channels.clone());
        }
        if !channels.await_new().await {
            // The waiter must not rely on notifications that it may miss.
            let _ = self.inner.sender.send(Ok(Wakeup::Missed));
        }
        let registering = Registration { waiter: self, channels: &channels, reserve, places, taken };
        claim::claim(&self.store, request, Some(&registering)).await
    }

    async fn next(&self, up_to: Duration) -> Result<Option<Wakeup>> {
        let mut receiver = self.inner.receiver.lock().await;
        match tokio::time::timeout(up_to, receiver.recv()).await {
            Ok(Some(Err(error))) => Err(error),
            Ok(Some(Ok(wakeup))) => {
                if let Wakeup::Claimed { queue, claim, .. } = &wakeup {
                    self.store.waking.taken(&self.inner, queue, claim.jobs.len());
                }
                Ok(Some(wakeup))
            }
            Ok(None) => Err(Error::unavailable(OP, "the store was closed")),
            Err(_) => Ok(None),
        }
    }

    fn reserved(&self, queue: &QueueName) -> usize {
        self.store.waking.reserved(&self.inner, queue, None)
    }
}

impl Drop for StateWaiter {
    /// Its registrations stay for up to 10 s: what arrives for them meanwhile is given back.
    fn drop(&mut self) {
        let waiter = Arc::downgrade(&self.inner);
        let runtime = tokio::runtime::Handle::try_current().ok();
        let heir = runtime.is_some().then(|| self.store.clone());
        self.store.waking.bequeath(&waiter, heir.as_ref());
        self.store.pass_on(self.store.waking.take_all_notified(&waiter));
        if let (Some(runtime), Some(store)) = (runtime, heir) {
            let channels = std::mem::take(&mut *self.inner.channels());
            runtime.spawn(async move {
                tokio::time::sleep(REGISTRATION).await;
                store.waking.bequeath(&waiter, None);
                drop(channels);
            });
        }
        let Ok(mut receiver) = self.inner.receiver.try_lock() else { return };
        while let Ok(wakeup) = receiver.try_recv() {
            if let Ok(Wakeup::Claimed { queue, claim, .. }) = wakeup {
                self.store.give_back(queue, claim);
            }
        }
    }
}

struct Registration<'a> {
    waiter: &'a StateWaiter,
    channels: &'a QueueChannels,
    /// The most jobs that it reserves at the queue.
    reserve: usize,
    /// The most jobs that it finds and reserves, and that hand-overs have brought or will bring.
    places: usize,
    /// How many jobs of hand-overs the waiter had taken before.
    taken: usize,
}

impl Registering for Registration<'_> {
    /// The partitions that do not rest: the waiter is not registered there, or something may be due. All partitions if all rest.
    /// Before these, those that rest and reserve jobs of which the waiter needs the places.
    fn visits(&self, request: &ClaimRequest, count: u16) -> (Vec<u16>, Option<Duration>) {
        let rests = self.waiter.store.waking.rests(&self.waiter.inner, &request.queue, count);
        let all_rest = rests.iter().all(|(rest, _)| rest.is_some());
        let mut reserved: usize = rests.iter().filter(|(rest, _)| rest.is_some()).map(|(_, reserve)| reserve).sum();
        let most = self.reserve.min(self.places - usize::from(!all_rest));
        if all_rest && reserved <= most {
            return (claim::in_order(request, count).collect(), None);
        }
        let mut visits = Vec::new();
        let mut until_next = None::<Duration>;
        for partition in claim::in_order(request, count) {
            let (rest, reserve) = rests[usize::from(partition)];
            match rest {
                Some(_) if reserve > 0 && reserved > most => {
                    reserved -= reserve;
                    visits.push((partition, reserve));
                }
                Some(rest) => until_next = Some(until_next.map_or(rest, |first| first.min(rest))),
                None => visits.push((partition, reserve)),
            }
        }
        visits.sort_by_key(|(_, reserve)| *reserve == 0);
        (visits.into_iter().map(|(partition, _)| partition).collect(), until_next)
    }

    fn room(&self, request: &ClaimRequest, partition: u16, found: usize) -> usize {
        let (promised, _) = self.waiter.store.waking.promised(&self.waiter.inner, &request.queue, Some(partition));
        (self.places + self.taken).saturating_sub(found + promised)
    }

    fn registration(&self, request: &ClaimRequest, (partition, count): (u16, u16), room: usize) -> (u64, Bytes) {
        let channel = self.channels.of(partition);
        let (name, is_subscribed) = (&channel.name, channel.is_subscribed());
        let place = Place { partition, count, channel: name, is_subscribed, room };
        self.waiter.store.waking.register(&self.waiter.inner, &request.queue, self.reserve, &place)
    }

    fn answered(
        &self,
        request: &ClaimRequest,
        registration: (u64, usize),
        sent: Instant,
        answer: &Result<Option<Answered>>,
    ) {
        self.waiter.store.waking.answered(request, registration, sent, answer);
    }
}

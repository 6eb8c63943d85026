//! Waiters: registrations, and the messages that end them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use redis_link::{Event, keys};
use store_core::{
    Claim, ClaimRequest, Durability, Error, HolderName, Op, Outcome, Queue, QueueName, REGISTRATION, Result,
    Settlement, Timestamp, Waiter, Wakeup,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use super::claim::{self, Answered, Registering, registration};
use super::message::handed_over;
use crate::StateStore;

const OP: Op = Op::QueueWait;

/// How many registrations of a process may reserve jobs at a time: each may bring a message of 64 KiB, and the server cuts a
/// subscriber that does not read.
const MAX_RESERVING: usize = 16;

/// A message that hands jobs over, and whose waiter stays registered.
const STAYS: u8 = b'h';
/// A message that hands jobs over and ends the registration.
const ENDS: u8 = b'e';

/// How long a first claim waits for the subscription.
const FIRST: Duration = Duration::from_secs(1);

/// The waiters of a process, and its one channel.
#[derive(Debug, Default)]
pub(crate) struct Waking {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    channel: Option<(Arc<str>, watch::Receiver<bool>)>,
    /// The registrations, by token.
    registered: HashMap<u64, Registered>,
    waiters: Vec<Weak<Inner>>,
    /// When the last claim was sent that was answered, and the time of the server when it was executed.
    executed: Option<(Instant, Timestamp)>,
}

#[derive(Debug)]
struct Registered {
    waiter: Weak<Inner>,
    queue: QueueName,
    partition: u16,
    /// How many jobs it reserves.
    reserve: usize,
    /// Until when no claim is needed: the registration lasts, and nothing is due.
    rests_until: Option<Instant>,
    /// Whether a message has ended the registration since the last claim was sent.
    is_woken: bool,
    /// The store that gives back what arrives for a waiter that was dropped.
    heir: Option<StateStore>,
}

impl State {
    /// Notifies another waiter of this process that is registered at the queue. Whether there is one.
    fn pass_on(&self, queue: &QueueName) -> bool {
        let others = self.registered.values().filter(|other| other.queue == *queue && other.heir.is_none());
        let waiter = others.filter_map(|other| other.waiter.upgrade()).next();
        waiter.is_some_and(|waiter| waiter.sender.send(Wakeup::Notified { queue: queue.clone() }).is_ok())
    }
}

impl Waking {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The channel, which `open` opens the first time.
    fn channel(&self, open: impl FnOnce() -> (Arc<str>, watch::Receiver<bool>)) -> (Arc<str>, watch::Receiver<bool>) {
        self.lock().channel.get_or_insert_with(open).clone()
    }
}

/// A waiter of a store.
struct StateWaiter {
    store: StateStore,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    sender: UnboundedSender<Wakeup>,
    receiver: tokio::sync::Mutex<UnboundedReceiver<Wakeup>>,
    /// The token of each queue and partition.
    tokens: Mutex<HashMap<(QueueName, u16), u64>>,
}

impl fmt::Debug for StateWaiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateWaiter")
    }
}

pub(super) fn waiter(store: &StateStore) -> Arc<dyn Waiter> {
    let (sender, receiver) = unbounded_channel();
    let inner = Inner { sender, receiver: tokio::sync::Mutex::new(receiver), tokens: Mutex::default() };
    let inner = Arc::new(inner);
    store.waking.lock().waiters.push(Arc::downgrade(&inner));
    Arc::new(StateWaiter { store: store.clone(), inner })
}

#[async_trait]
impl Waiter for StateWaiter {
    async fn claim(&self, request: &ClaimRequest, reserve: usize) -> Result<Claim> {
        let channel = self.store.open_channel().await;
        let registering = Registration { waiter: self, channel: &channel, reserve };
        claim::claim(&self.store, request, Some(&registering)).await
    }

    async fn next(&self, up_to: Duration) -> Result<Option<Wakeup>> {
        let mut receiver = self.inner.receiver.lock().await;
        match tokio::time::timeout(up_to, receiver.recv()).await {
            Ok(Some(wakeup)) => Ok(Some(wakeup)),
            Ok(None) => Err(Error::unavailable(OP, "the store was closed")),
            Err(_) => Ok(None),
        }
    }
}

impl Drop for StateWaiter {
    /// Its registrations stay for up to 10 s: what arrives for them meanwhile is given back.
    fn drop(&mut self) {
        let waiter = Arc::downgrade(&self.inner);
        let runtime = tokio::runtime::Handle::try_current().ok();
        let heir = runtime.is_some().then(|| self.store.clone());
        self.store.waking.bequeath(&waiter, heir.as_ref());
        if let (Some(runtime), Some(store)) = (runtime, heir) {
            runtime.spawn(async move {
                tokio::time::sleep(REGISTRATION).await;
                store.waking.bequeath(&waiter, None);
            });
        }
        let Ok(mut receiver) = self.inner.receiver.try_lock() else { return };
        while let Ok(wakeup) = receiver.try_recv() {
            self.store.hand_on(wakeup);
        }
    }
}

struct Registration<'a> {
    waiter: &'a StateWaiter,
    channel: &'a str,
    reserve: usize,
}

impl Registration<'_> {
    fn token(&self, queue: &QueueName, partition: u16) -> u64 {
        let mut tokens = self.waiter.inner.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        *tokens.entry((queue.clone(), partition)).or_insert_with(|| fastrand::u64(..))
    }
}

impl Registering for Registration<'_> {
    /// The partitions that do not rest: the waiter is not registered there, or something may be due. All partitions if all
    /// rest, or if those that rest reserve too many jobs.
    fn visits(&self, request: &ClaimRequest, count: u16) -> (Vec<u16>, Option<Duration>) {
        let tokens: Vec<u64> = (0..count).map(|partition| self.token(&request.queue, partition)).collect();
        let (now, mut state) = (Instant::now(), self.waiter.store.waking.lock());
        let rest = |token: &u64| {
            let registered = state.registered.get(token)?;
            Some((registered.rests_until?.checked_duration_since(now)?, registered.reserve))
        };
        let rests: Vec<_> = tokens.iter().map(rest).collect();
        let reserved: usize = rests.iter().flatten().map(|(_, reserve)| reserve).sum();
        if reserved <= self.reserve && rests.iter().any(Option::is_none) {
            let visits = (0..count).zip(&rests).filter(|(_, rest)| rest.is_none()).map(|(partition, _)| partition);
            return (visits.collect(), rests.iter().flatten().map(|(time, _)| *time).min());
        }
        for token in &tokens {
            state.registered.entry(*token).and_modify(|registered| registered.rests_until = None);
        }
        ((0..count).collect(), None)
    }

    fn registration(&self, request: &ClaimRequest, partition: u16, count: u16) -> Bytes {
        let (queue, token, of) = (&request.queue, self.token(&request.queue, partition), usize::from(count));
        let waiter = Arc::downgrade(&self.waiter.inner);
        let mut state = self.waiter.store.waking.lock();
        let others = || state.registered.iter().filter(|(other, entry)| entry.reserve > 0 && **other != token);
        let rest_here =
            |entry: &&Registered| entry.rests_until.is_some() && entry.queue == *queue && entry.waiter.ptr_eq(&waiter);
        let reserved: usize = others().map(|(_, entry)| entry).filter(rest_here).map(|entry| entry.reserve).sum();
        let share = self.reserve / of + usize::from(usize::from(partition) < self.reserve % of);
        let own = share.min(self.reserve.saturating_sub(reserved));
        let reserve = if others().count() < MAX_RESERVING { own } else { 0 };
        let (queue, rests_until) = (queue.clone(), None);
        let registered = Registered { waiter, queue, partition, reserve, rests_until, is_woken: false, heir: None };
        state.registered.insert(token, registered);
        state.executed.get_or_insert((Instant::now(), Timestamp::from_millis(0)));
        registration(token, reserve, self.channel)
    }

    fn answered(&self, request: &ClaimRequest, partition: u16, sent: Instant, answer: &Answered) {
        let token = self.token(&request.queue, partition);
        let mut state = self.waiter.store.waking.lock();
        // A repetition that finds the leases of its first copy returns when those began.
        if let Some(now) = answer.now
            && !request.is_repeat
            && state.executed.is_none_or(|(before, _)| before < sent)
        {
            state.executed = Some((sent, now));
        }
        if let Some(registered) = state.registered.get_mut(&token)
            && answer.is_registered
            && !registered.is_woken
        {
            registered.rests_until = Some(sent + answer.claim.next.map_or(REGISTRATION, |next| next.min(REGISTRATION)));
        }
    }
}

impl StateStore {
    /// The channel of this process. Waits up to [`FIRST`] until it is subscribed to; later, [`Wakeup::Missed`] follows.
    async fn open_channel(&self) -> Arc<str> {
        let (channel, mut is_subscribed) = self.waking.channel(|| {
            let channel: Arc<str> = keys::wake_channel(&self.namespace, &format!("{:016x}", fastrand::u64(..))).into();
            let mut subscription = self.link.subscribe(Arc::clone(&channel));
            let (subscribed, is_subscribed) = watch::channel(false);
            let waking = Arc::downgrade(&self.waking);
            tokio::spawn(async move {
                while let Some(event) = subscription.next().await {
                    let Some(waking) = waking.upgrade() else { break };
                    match event {
                        Event::Message(message) => waking.on_message(message),
                        Event::Subscribed if !subscribed.send_replace(true) => {}
                        _ => waking.notify_all(),
                    }
                }
            });
            (channel, is_subscribed)
        });
        if !*is_subscribed.borrow() && tokio::time::timeout(FIRST, is_subscribed.wait_for(|is| *is)).await.is_err() {
            self.waking.notify_all();
        }
        channel
    }

    /// Gives back the jobs of a dropped waiter, and passes its notifications on.
    fn hand_on(&self, wakeup: Wakeup) {
        if let Wakeup::Notified { queue } = &wakeup
            && self.waking.lock().pass_on(queue)
        {
            return;
        }
        let store = self.clone();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // If a call fails, the leases expire, and workers claim within 10 s.
            let (queue, claim) = match wakeup {
                Wakeup::Claimed { queue, claim, .. } => (queue, claim),
                Wakeup::Notified { queue } => {
                    let Ok(worker) = HolderName::unique("waiter") else { return };
                    let request = ClaimRequest::new(queue.clone(), worker, 1, REGISTRATION);
                    let Ok(claim) = store.claim(&request).await else { return };
                    (queue, claim)
                }
                _ => return,
            };
            let release = |job: store_core::ClaimedJob| Settlement::new(job.lease, Outcome::Release);
            // The last one first, so that the queue keeps their order.
            let settlements: Vec<_> = claim.jobs.into_iter().rev().map(release).collect();
            if !settlements.is_empty() {
                let _ = store.settle(&queue, &settlements, Durability::Accepted).await;
            }
        });
    }
}

impl Waking {
    /// Passes a message on to its waiter, or to the heir of one that was dropped.
    fn on_message(&self, mut message: Bytes) {
        let (Ok(token), Ok(kind)) = (message.try_get_u64(), message.try_get_u8()) else { return };
        let Some((queue, partition)) = self.registration_of(token, kind == STAYS) else { return };
        let mut jobs = 0;
        let wakeup = match kind {
            STAYS | ENDS => {
                let Some((claim, at)) = handed_over(message, partition) else { return };
                jobs = claim.jobs.len();
                Wakeup::Claimed { queue, claim, is_registered: kind == STAYS, since: self.lock().since(at) }
            }
            _ => Wakeup::Notified { queue },
        };
        // A waiter that is dropped sets its heir under this lock, and gives back what it was sent after that: nothing is lost.
        let mut state = self.lock();
        let Some(registered) = state.registered.get_mut(&token) else { return };
        registered.reserve = registered.reserve.saturating_sub(jobs);
        match (registered.heir.clone(), registered.waiter.upgrade()) {
            (Some(heir), _) => {
                drop(state);
                heir.hand_on(wakeup);
            }
            (None, Some(waiter)) => drop(waiter.sender.send(wakeup)),
            (None, None) => {}
        }
    }

    /// The queue and partition of a registration for which a message arrived, and which ends with it unless it `stays`.
    fn registration_of(&self, token: u64, stays: bool) -> Option<(QueueName, u16)> {
        let mut state = self.lock();
        // It stays: the next message may arrive before the claim that registers again is answered.
        let registered = state.registered.get_mut(&token)?;
        if !stays {
            (registered.reserve, registered.rests_until, registered.is_woken) = (0, None, true);
        }
        Some((registered.queue.clone(), registered.partition))
    }

    /// Sets who gives back what arrives for a waiter that was dropped; nobody: its registrations have ended.
    fn bequeath(&self, waiter: &Weak<Inner>, heir: Option<&StateStore>) {
        self.lock().registered.retain(|_, registered| {
            if registered.waiter.ptr_eq(waiter) {
                registered.heir = heir.cloned();
            }
            registered.heir.is_some() || !registered.waiter.ptr_eq(waiter)
        });
    }

    /// Messages may have been missed.
    fn notify_all(&self) {
        let mut state = self.lock();
        for registered in state.registered.values_mut() {
            (registered.rests_until, registered.is_woken) = (None, true);
        }
        state.waiters.retain(|waiter| waiter.strong_count() > 0);
        for waiter in state.waiters.iter().filter_map(Weak::upgrade) {
            let _ = waiter.sender.send(Wakeup::Missed);
        }
    }
}

impl State {
    /// A time of this process at which the server's clock had not passed `at`, in ms rounded up.
    fn since(&self, at: Timestamp) -> Instant {
        let Some((sent, executed)) = self.executed else { return Instant::now() };
        // What was leased before the claim was executed was leased longer ago; the clocks may drift apart by 1 ms/s.
        let before = executed.as_millis().saturating_sub(at.as_millis());
        let margin = if before > 0 { 1 + before / 1000 } else { 0 };
        sent.checked_sub(Duration::from_millis(before + margin)).unwrap_or(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_message_of_a_token_arrives_before_the_next_claim() {
        let (sender, mut receiver) = unbounded_channel();
        let (_, unused) = unbounded_channel();
        let inner = Arc::new(Inner { sender, receiver: tokio::sync::Mutex::new(unused), tokens: Mutex::default() });
        let (waking, queue) = (Waking::default(), QueueName::new("mails").expect("a valid name"));
        let registered = Registered {
            waiter: Arc::downgrade(&inner),
            queue: queue.clone(),
            partition: 0,
            reserve: 1,
            rests_until: None,
            is_woken: false,
            heir: None,
        };
        waking.lock().registered.insert(7, registered);
        let message = Bytes::from([&7_u64.to_be_bytes()[..], b"w"].concat());
        for _ in 0..2 {
            waking.on_message(message.clone());
            assert_eq!(receiver.try_recv().ok(), Some(Wakeup::Notified { queue: queue.clone() }));
        }
        assert_eq!(waking.lock().registered[&7].reserve, 0);
    }

    #[test]
    fn leases_began_no_earlier_than_the_last_claim_if_the_server_leased_them_after_it() {
        let (sent, at) = (Instant::now(), Timestamp::from_millis);
        let state = State { executed: Some((sent, at(10_000))), ..State::default() };
        assert_eq!((state.since(at(10_000)), state.since(at(60_000))), (sent, sent));
        // Before it, and the clocks may differ by a millisecond each second.
        assert_eq!(state.since(at(7_000)), sent - Duration::from_millis(3_000 + 1 + 3));
    }
}

//! Waiters: registrations, and the messages that end them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use store_core::{Claim, ClaimRequest, Error, Op, QueueName, REGISTRATION, Result, Timestamp, Waiter, Wakeup};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::channels::{Channels, QueueChannels};
use super::claim::{self, Answered, Registering, registration};
use super::message::handed_over;
use crate::StateStore;

pub(super) const OP: Op = Op::QueueWait;

/// How many registrations of a process may reserve jobs at a time: each may cause a message of 64 KiB, and the server
/// disconnects a subscriber that does not read.
const MAX_RESERVING: usize = 16;

/// A message that hands jobs over, and whose waiter stays registered.
const STAYS: u8 = b'h';
/// A message that hands jobs over and ends the registration.
const ENDS: u8 = b'e';

/// The waiters of a process, and their channels.
#[derive(Debug, Default)]
pub(crate) struct Waking {
    state: Mutex<State>,
    channels: Mutex<Channels>,
}

#[derive(Debug, Default)]
struct State {
    /// The registrations, by token.
    registered: HashMap<u64, Registered>,
    /// When the last claim was sent that was answered, and the time of the server when it was executed.
    executed: Option<(Instant, Timestamp)>,
}

#[derive(Debug)]
pub(super) struct Registered {
    waiter: Weak<Inner>,
    pub(super) queue: QueueName,
    pub(super) partition: u16,
    channel: Arc<str>,
    /// How many jobs it reserves.
    reserve: usize,
    /// Until when no claim is needed: the registration lasts, and nothing is due.
    rests_until: Option<Instant>,
    /// Whether a message has ended the registration since the last claim was sent.
    is_woken: bool,
    /// Whether a notification has ended it since the last claim was sent. No other waiter got that notification.
    is_notified: bool,
    /// The store that gives back jobs, and passes on notifications, that arrive for a waiter that was dropped.
    heir: Option<StateStore>,
}

impl Waking {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn channels(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// The channels of the queues from which it claims.
    channels: Mutex<HashMap<QueueName, QueueChannels>>,
}

impl Inner {
    fn new(sender: UnboundedSender<Wakeup>, receiver: UnboundedReceiver<Wakeup>) -> Self {
        let receiver = tokio::sync::Mutex::new(receiver);
        Self { sender, receiver, tokens: Mutex::default(), channels: Mutex::default() }
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
        let known = self.inner.channels().get(&request.queue).cloned();
        let channels = self.store.channels(&request.queue, known.clone()).await?;
        if known.is_none_or(|known| !known.are(&channels)) {
            self.inner.channels().insert(request.queue.clone(), channels.clone());
        }
        if !channels.await_new().await {
            // The waiter must not rely on notifications that it may miss.
            let _ = self.inner.sender.send(Wakeup::Missed);
        }
        let registering = Registration { waiter: self, channels: &channels, reserve };
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
        let notified = self.store.waking.take_notified(|registered| registered.waiter.ptr_eq(&waiter));
        self.store.pass_on(notified);
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
            if let Wakeup::Claimed { queue, claim, .. } = wakeup {
                self.store.give_back(queue, claim);
            }
        }
    }
}

struct Registration<'a> {
    waiter: &'a StateWaiter,
    channels: &'a QueueChannels,
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
        let (queue, channel) = (queue.clone(), Arc::clone(&self.channels.of(partition).name));
        let registration = registration(token, reserve, &channel);
        let (rests_until, is_woken, is_notified, heir) = (None, false, false, None);
        let registered =
            Registered { waiter, queue, partition, channel, reserve, rests_until, is_woken, is_notified, heir };
        state.registered.insert(token, registered);
        state.executed.get_or_insert((Instant::now(), Timestamp::from_millis(0)));
        registration
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
        // Without a subscription, each claim visits the partition.
        if let Some(registered) = state.registered.get_mut(&token)
            && answer.is_registered
            && self.channels.of(partition).is_subscribed()
            && !registered.is_woken
        {
            registered.rests_until = Some(sent + answer.claim.next.map_or(REGISTRATION, |next| next.min(REGISTRATION)));
        }
    }
}

impl Waking {
    /// Passes a message on to its waiter, or to `heir` if the waiter was dropped.
    pub(super) fn on_message(&self, mut message: Bytes) {
        let (Ok(token), Ok(kind)) = (message.try_get_u64(), message.try_get_u8()) else { return };
        let Some((queue, partition)) = self.registration_of(token, kind) else { return };
        let mut jobs = 0;
        let wakeup = match kind {
            STAYS | ENDS => {
                let Some((claim, at)) = handed_over(message, partition) else { return };
                jobs = claim.jobs.len();
                Wakeup::Claimed { queue, claim, is_registered: kind == STAYS, since: self.lock().since(at) }
            }
            _ => Wakeup::Notified { queue },
        };
        // A waiter that is dropped sets `heir` under this lock, and gives back what it received after that: nothing is lost.
        let mut state = self.lock();
        let Some(registered) = state.registered.get_mut(&token) else { return };
        registered.reserve = registered.reserve.saturating_sub(jobs);
        match (registered.heir.clone(), registered.waiter.upgrade()) {
            (Some(heir), _) => {
                registered.is_notified = false;
                drop(state);
                match wakeup {
                    Wakeup::Claimed { queue, claim, .. } => heir.give_back(queue, claim),
                    Wakeup::Notified { queue } => heir.pass_on(vec![(queue, partition)]),
                    _ => {}
                }
            }
            (None, Some(waiter)) => drop(waiter.sender.send(wakeup)),
            (None, None) => {}
        }
    }

    /// The queue and partition of a registration for which a message of this kind arrived.
    fn registration_of(&self, token: u64, kind: u8) -> Option<(QueueName, u16)> {
        let mut state = self.lock();
        // It stays: the next message may arrive before the claim that registers again is answered.
        let registered = state.registered.get_mut(&token)?;
        if kind != STAYS {
            (registered.reserve, registered.rests_until, registered.is_woken) = (0, None, true);
        }
        registered.is_notified |= kind != STAYS && kind != ENDS;
        Some((registered.queue.clone(), registered.partition))
    }

    /// Sets `heir` for the registrations of a waiter that was dropped. `None`: removes the registrations, which have ended.
    fn bequeath(&self, waiter: &Weak<Inner>, heir: Option<&StateStore>) {
        self.lock().registered.retain(|_, registered| {
            if registered.waiter.ptr_eq(waiter) {
                registered.heir = heir.cloned();
            }
            registered.heir.is_some() || !registered.waiter.ptr_eq(waiter)
        });
    }

    /// Takes the notifications of these registrations that no claim has followed.
    pub(super) fn take_notified(&self, which: impl Fn(&Registered) -> bool) -> Vec<(QueueName, u16)> {
        let mut state = self.lock();
        let notified = state.registered.values_mut().filter(|registered| registered.is_notified && which(registered));
        let take = |registered: &mut Registered| {
            registered.is_notified = false;
            (registered.queue.clone(), registered.partition)
        };
        notified.map(take).collect()
    }

    /// Messages on a channel may have been missed: sends [`Wakeup::Missed`] to its waiters.
    pub(super) fn on_gap(&self, channel: &str) {
        let mut state = self.lock();
        let mut missed: Vec<Arc<Inner>> = Vec::new();
        for registered in state.registered.values_mut().filter(|registered| *registered.channel == *channel) {
            (registered.rests_until, registered.is_woken) = (None, true);
            let waiter = registered.waiter.upgrade();
            missed.extend(waiter.filter(|waiter| !missed.iter().any(|other| Arc::ptr_eq(other, waiter))));
        }
        drop(state);
        for waiter in missed {
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
        let inner = Arc::new(Inner::new(sender, unused));
        let (waking, queue) = (Waking::default(), QueueName::new("mails").expect("a valid name"));
        let registered = Registered {
            waiter: Arc::downgrade(&inner),
            queue: queue.clone(),
            partition: 0,
            channel: "tw:wake:a".into(),
            reserve: 1,
            rests_until: None,
            is_woken: false,
            is_notified: false,
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

//! The registrations of a process's waiters, and the messages for them.
//!
//! Each claim registers under a token of its own, and removes the earlier registrations of its partition. So each message states
//! of which registration it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use store_core::{ClaimRequest, Error, QueueName, REGISTRATION, Result, Timestamp, Wakeup};

use super::channels::Channels;
use super::claim::{Answered, registration};
use super::message::handed_over;
use super::waiter::Inner;
use crate::StateStore;

/// How many registrations of a process may reserve jobs at a time: each may bring a message of 64 KiB, and the server cuts a
/// subscriber that does not read.
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
    /// How many jobs messages may still hand over.
    reserve: usize,
    /// Until when no claim is needed: the registration lasts, and nothing is due.
    rests_until: Option<Instant>,
    /// Whether messages may have been missed since its claim was sent.
    may_have_missed: bool,
    /// Whether a message has ended it. It is forgotten when the next claim from its partition is sent.
    has_ended: bool,
    /// Whether a notification, which no other waiter has got, has ended it.
    is_notified: bool,
    /// The store that gives back what arrives for a waiter that was dropped.
    heir: Option<StateStore>,
}

/// What a waiter has at one queue.
#[derive(Debug, Default)]
pub(super) struct AtQueue {
    /// The tokens of its registrations.
    tokens: Vec<u64>,
    /// How many jobs were handed over that it has not taken.
    untaken: usize,
    /// How many it has taken since its first claim.
    taken: usize,
}

/// What a claim needs to register.
pub(super) struct Place<'a> {
    pub(super) partition: u16,
    /// How many partitions the queue has.
    pub(super) count: u16,
    pub(super) channel: &'a Arc<str>,
    /// Whether messages on the channel are received. Otherwise each claim visits the partition.
    pub(super) is_subscribed: bool,
    /// How many jobs the claim may find here.
    pub(super) room: usize,
}

impl Waking {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn channels(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many jobs may be handed over to a waiter at a queue, or were and it has not taken them. `beside`: without the
    /// registrations in this partition.
    pub(super) fn reserved(&self, waiter: &Inner, queue: &QueueName, beside: Option<u16>) -> usize {
        let (promised, taken) = self.promised(waiter, queue, beside);
        promised - taken
    }

    /// As [`reserved`](Self::reserved), with the jobs that the waiter has taken since its first claim; and how many these are.
    /// When the waiter takes jobs, the first number stays.
    pub(super) fn promised(&self, waiter: &Inner, queue: &QueueName, beside: Option<u16>) -> (usize, usize) {
        let (state, queues) = (self.lock(), waiter.queues());
        let Some(at) = queues.get(queue) else { return (0, 0) };
        let registered = at.tokens.iter().filter_map(|token| state.registered.get(token));
        let counted = registered.filter(|registered| Some(registered.partition) != beside);
        (at.taken + at.untaken + counted.map(|registered| registered.reserve).sum::<usize>(), at.taken)
    }

    /// The waiter has taken `jobs` that were handed over.
    pub(super) fn taken(&self, waiter: &Inner, queue: &QueueName, jobs: usize) {
        let _state = self.lock();
        if let Some(at) = waiter.queues().get_mut(queue) {
            at.untaken = at.untaken.saturating_sub(jobs);
            at.taken += jobs;
        }
    }

    /// How long each partition rests, and how many jobs its registrations reserve.
    pub(super) fn rests(&self, waiter: &Inner, queue: &QueueName, count: u16) -> Vec<(Option<Duration>, usize)> {
        let (now, state, queues) = (Instant::now(), self.lock(), waiter.queues());
        let mut rests = vec![(None, 0); usize::from(count)];
        for token in queues.get(queue).iter().flat_map(|at| &at.tokens) {
            let Some(registered) = state.registered.get(token) else { continue };
            let Some((rest, reserve)) = rests.get_mut(usize::from(registered.partition)) else { continue };
            *rest = registered.rests_until.and_then(|until| until.checked_duration_since(now));
            *reserve += registered.reserve;
        }
        rests
    }

    /// A claim is sent that registers the waiter, and reserves up to `reserve` jobs at the queue. Returns the registration's
    /// token and the claim's argument.
    pub(super) fn register(
        &self,
        waiter: &Arc<Inner>,
        queue: &QueueName,
        reserve: usize,
        place: &Place<'_>,
    ) -> (u64, Bytes) {
        let (partition, of) = (place.partition, usize::from(place.count));
        let beside = self.reserved(waiter, queue, Some(partition));
        let (mut state, mut queues) = (self.lock(), waiter.queues());
        let at = queues.entry(queue.clone()).or_default();
        let mut earlier = Vec::new();
        at.tokens.retain(|token| {
            let Some(registered) = state.registered.get(token) else { return false };
            let is_here = registered.partition == partition;
            if is_here && registered.has_ended {
                state.registered.remove(token);
                return false;
            }
            if is_here {
                earlier.push((*token, registered.reserve));
            }
            true
        });
        let is_other = |(token, entry): &(&u64, &Registered)| {
            entry.reserve > 0 && !earlier.iter().any(|(earlier, _)| earlier == *token)
        };
        // A push hands nothing over to a process that does not listen.
        let may_reserve = place.is_subscribed && state.registered.iter().filter(is_other).count() < MAX_RESERVING;
        let share = reserve / of + usize::from(usize::from(partition) < reserve % of);
        // A place is left for jobs of other partitions: most claims need not end a reservation first.
        let room = place.room.saturating_sub(usize::from(of > 1));
        let own = share.min(reserve.saturating_sub(beside)).min(room);
        let (token, own) = (fastrand::u64(..), if may_reserve { own } else { 0 });
        let argument = registration(token, own, &earlier, place.channel);
        let registered = Registered {
            waiter: Arc::downgrade(waiter),
            queue: queue.clone(),
            partition,
            channel: Arc::clone(place.channel),
            reserve: own,
            rests_until: None,
            may_have_missed: !place.is_subscribed,
            has_ended: false,
            is_notified: false,
            heir: None,
        };
        at.tokens.push(token);
        state.registered.insert(token, registered);
        state.executed.get_or_insert((Instant::now(), Timestamp::from_millis(0)));
        (token, argument)
    }

    /// The claim that registers under this token, and may find `room` jobs, was answered. It was sent at `sent`.
    pub(super) fn answered(
        &self,
        request: &ClaimRequest,
        (token, room): (u64, usize),
        sent: Instant,
        answer: &Result<Option<Answered>>,
    ) {
        let answered = match answer {
            Ok(answered) => answered.as_ref(),
            // The next claim finds out what it has changed.
            Err(Error::Indeterminate { .. }) => return,
            Err(_) => None,
        };
        let mut state = self.lock();
        let Some(registered) = state.registered.get(&token) else { return };
        let (waiter, partition) = (registered.waiter.clone(), registered.partition);
        let is_earlier = |(other, entry): &(&u64, &mut Registered)| {
            **other != token
                && entry.partition == partition
                && entry.queue == request.queue
                && entry.waiter.ptr_eq(&waiter)
        };
        let Some(answered) = answered else {
            state.registered.remove(&token);
            return;
        };
        if answered.has_crossed {
            state.registered.remove(&token);
            // A message ends them.
            for (_, earlier) in state.registered.iter_mut().filter(is_earlier) {
                earlier.rests_until = (!earlier.has_ended).then_some(sent + REGISTRATION);
            }
            return;
        }
        // A repetition that finds the jobs of its first copy removes none, and returns when the leases of that copy began.
        if !request.is_repeat {
            let mut removed: Vec<_> = state.registered.iter_mut().filter(is_earlier).map(|(other, _)| *other).collect();
            removed.drain(..).for_each(|other| drop(state.registered.remove(&other)));
            if let Some(now) = answered.now
                && state.executed.is_none_or(|(before, _)| before < sent)
            {
                state.executed = Some((sent, now));
            }
        }
        if !answered.is_registered {
            state.registered.remove(&token);
        } else if let Some(registered) = state.registered.get_mut(&token) {
            let unused = room - answered.claim.jobs.len().min(room);
            registered.reserve = registered.reserve.min(unused);
            if !registered.has_ended && !registered.may_have_missed {
                let next = answered.claim.next.map_or(REGISTRATION, |next| next.min(REGISTRATION));
                registered.rests_until = Some(sent + next);
            }
        }
    }

    /// Passes a message on to its waiter, or to the heir of one that was dropped. The waiter gets the error of one that cannot be
    /// read.
    pub(super) fn on_message(&self, mut message: Bytes) {
        let (Ok(token), Ok(kind)) = (message.try_get_u64(), message.try_get_u8()) else { return };
        let of = |registered: &Registered| (registered.queue.clone(), registered.partition);
        let Some((queue, partition)) = self.lock().registered.get(&token).map(of) else { return };
        let is_hand_over = matches!(kind, STAYS | ENDS);
        let handed = is_hand_over.then(|| handed_over(message, partition));
        let jobs = handed.as_ref().map_or(0, |handed| handed.as_ref().map_or(0, |(claim, _)| claim.jobs.len()));
        let mut state = self.lock();
        let wakeup = match handed {
            Some(Ok((claim, at))) => {
                let (is_registered, since) = (kind == STAYS, state.since(at));
                Ok(Wakeup::Claimed { queue: queue.clone(), claim, is_registered, since })
            }
            Some(Err(error)) => Err(error),
            None => Ok(Wakeup::Notified { queue: queue.clone() }),
        };
        // A waiter that is dropped sets its heir under this lock, and gives back what it was sent after that: nothing is lost.
        let Some(registered) = state.registered.get_mut(&token) else { return };
        registered.reserve = registered.reserve.saturating_sub(jobs);
        if kind != STAYS {
            (registered.reserve, registered.rests_until, registered.has_ended) = (0, None, true);
            registered.is_notified |= !is_hand_over;
        }
        match (registered.heir.clone(), registered.waiter.upgrade()) {
            (Some(heir), _) => {
                registered.is_notified = false;
                drop(state);
                match wakeup {
                    Ok(Wakeup::Claimed { queue, claim, .. }) => heir.give_back(queue, claim),
                    Ok(Wakeup::Notified { queue }) => heir.pass_on(vec![(queue, partition)]),
                    _ => {}
                }
            }
            (None, Some(waiter)) => {
                waiter.queues().entry(queue).or_default().untaken += jobs;
                drop(waiter.sender.send(wakeup));
            }
            (None, None) => {}
        }
    }

    /// Sets who gives back what arrives for a waiter that was dropped; nobody: its registrations have ended.
    pub(super) fn bequeath(&self, waiter: &Weak<Inner>, heir: Option<&StateStore>) {
        self.lock().registered.retain(|_, registered| {
            if registered.waiter.ptr_eq(waiter) {
                registered.heir = heir.cloned();
            }
            registered.heir.is_some() || !registered.waiter.ptr_eq(waiter)
        });
    }

    /// Takes the notifications of a dropped waiter for which no claim was sent.
    pub(super) fn take_all_notified(&self, waiter: &Weak<Inner>) -> Vec<(QueueName, u16)> {
        self.take_notified(|registered| registered.waiter.ptr_eq(waiter))
    }

    /// Takes the notifications of these registrations for which no claim was sent.
    pub(super) fn take_notified(&self, which: impl Fn(&Registered) -> bool) -> Vec<(QueueName, u16)> {
        let mut state = self.lock();
        let notified = state.registered.values_mut().filter(|registered| registered.is_notified && which(registered));
        let take = |registered: &mut Registered| {
            registered.is_notified = false;
            (registered.queue.clone(), registered.partition)
        };
        notified.map(take).collect()
    }

    /// Messages on a channel may have been missed.
    pub(super) fn on_gap(&self, channel: &str) {
        let mut state = self.lock();
        let mut missed: Vec<Arc<Inner>> = Vec::new();
        for registered in state.registered.values_mut().filter(|registered| *registered.channel == *channel) {
            (registered.rests_until, registered.may_have_missed) = (None, true);
            let waiter = registered.waiter.upgrade();
            missed.extend(waiter.filter(|waiter| !missed.iter().any(|other| Arc::ptr_eq(other, waiter))));
        }
        drop(state);
        for waiter in missed {
            let _ = waiter.sender.send(Ok(Wakeup::Missed));
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
mod tests;

//! A listener, and the engine's side of it.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::BroadcastEvent;
use crate::{Error, Op, Result, Subscribed};

/// Receives the messages of a name. Dropping it ends that.
///
/// [`Broadcasts::listen`](crate::Broadcasts::listen) makes one for bytes, [`Broadcast::listen`](crate::Broadcast::listen) one for values
/// of a type. Messages that it has not returned yet wait in memory, at most [`MAX_WAITING`](BroadcastListener::MAX_WAITING). Beyond that,
/// the oldest are dropped, and a gap is reported in their place.
///
/// ```
/// use twinstore::broadcast::{BroadcastEvent, BroadcastListener};
///
/// async fn wait_for_drain(mut listener: BroadcastListener) -> twinstore::Result<()> {
///     loop {
///         match listener.next().await? {
///             BroadcastEvent::Message(message) if message == "drain" => return Ok(()),
///             BroadcastEvent::Message(_) => {}
///             _ => println!("messages may have been missed"),
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// let (broadcasts, name) = (stores.state().broadcasts(), "workers".try_into()?);
/// let draining = tokio::spawn(wait_for_drain(broadcasts.listen(&name).await?));
/// assert_eq!(broadcasts.publish(&name, &"drain".into()).await?, 1);
/// draining.await??;
/// # Ok(())
/// # }
/// ```
pub struct BroadcastListener<T = Bytes> {
    inbox: Arc<Inbox>,
    decode: fn(Bytes) -> Result<T>,
    _subscribed: Option<Subscribed>,
}

/// The engine's side of a listener. Dropping it closes the listener.
#[doc(hidden)]
pub struct BroadcastSender(Arc<Inbox>);

#[derive(Default)]
struct Inbox(Mutex<State>);

#[derive(Default)]
struct State {
    /// `None`: a gap.
    waiting: VecDeque<Option<Bytes>>,
    /// Whether the messages before the first one that waits were dropped.
    has_dropped: bool,
    has_begun: bool,
    is_closed: bool,
    /// Of the task that waits.
    waker: Option<Waker>,
}

impl BroadcastListener {
    /// The most messages that wait for a listener: 256.
    pub const MAX_WAITING: usize = 256;

    /// A listener and its sender.
    #[doc(hidden)]
    #[must_use]
    pub fn channel() -> (BroadcastSender, Self) {
        let inbox = Arc::<Inbox>::default();
        (BroadcastSender(Arc::clone(&inbox)), Self { inbox, decode: Ok, _subscribed: None })
    }

    /// Keeps this as long as the listener.
    #[doc(hidden)]
    #[must_use]
    pub fn with(mut self, subscribed: Subscribed) -> Self {
        self._subscribed = Some(subscribed);
        self
    }

    /// Waits until the sender has [begun](BroadcastSender::begin).
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store was closed.
    #[doc(hidden)]
    pub async fn begun(&self) -> Result<()> {
        poll_fn(|context| self.inbox.poll(context, |state| state.has_begun.then_some(()), Op::BroadcastListen)).await
    }

    /// A listener for values.
    pub(super) fn decoded<T>(self, decode: fn(Bytes) -> Result<T>) -> BroadcastListener<T> {
        BroadcastListener { inbox: self.inbox, decode, _subscribed: self._subscribed }
    }
}

impl<T> BroadcastListener<T> {
    /// Waits for the next message, or for a gap. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store was closed, after the messages that came before. [`Error::Corrupt`] if the message is not a
    /// value of the type, for example because a newer version of the service has published it; call it again for the next message.
    pub async fn next(&mut self) -> Result<BroadcastEvent<T>> {
        match poll_fn(|context| self.inbox.poll(context, State::take, Op::BroadcastListen)).await? {
            Some(message) => Ok(BroadcastEvent::Message((self.decode)(message)?)),
            None => Ok(BroadcastEvent::Gap),
        }
    }
}

impl BroadcastSender {
    /// The listener receives messages from now on. Each later call reports a gap.
    pub fn begin(&self) {
        self.0.change(|state| {
            if state.has_begun {
                state.put(None);
            }
            state.has_begun = true;
        });
    }

    /// Delivers a message.
    pub fn send(&self, message: Bytes) {
        self.0.change(|state| state.put(Some(message)));
    }

    /// Reports a gap.
    pub fn miss(&self) {
        self.0.change(|state| state.put(None));
    }

    /// Closes the listener.
    pub fn close(&self) {
        self.0.change(|state| state.is_closed = true);
    }
}

impl Drop for BroadcastSender {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the task that waits.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll<T>(
        &self,
        context: &mut Context<'_>,
        take: impl FnOnce(&mut State) -> Option<T>,
        op: Op,
    ) -> Poll<Result<T>> {
        let mut state = self.lock();
        if let Some(taken) = take(&mut state) {
            return Poll::Ready(Ok(taken));
        }
        if state.is_closed {
            return Poll::Ready(Err(Error::unavailable(op, "the store was closed")));
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl State {
    fn put(&mut self, event: Option<Bytes>) {
        if self.waiting.len() == BroadcastListener::MAX_WAITING {
            self.waiting.pop_front();
            self.has_dropped = true;
        }
        let is_second_gap = event.is_none() && self.waiting.back().is_some_and(Option::is_none);
        if !is_second_gap {
            self.waiting.push_back(event);
        }
    }

    fn take(&mut self) -> Option<Option<Bytes>> {
        if std::mem::take(&mut self.has_dropped) {
            if self.waiting.front().is_some_and(Option::is_none) {
                self.waiting.pop_front();
            }
            return Some(None);
        }
        self.waiting.pop_front()
    }
}

impl<T> fmt::Debug for BroadcastListener<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastListener").field("waiting", &self.inbox.lock().waiting.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for BroadcastSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BroadcastSender")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: usize) -> Bytes {
        number.to_string().into()
    }

    /// The event that waits, if there is one.
    fn next(listener: &mut BroadcastListener) -> Option<BroadcastEvent> {
        let mut context = Context::from_waker(Waker::noop());
        match std::pin::pin!(listener.next()).poll(&mut context) {
            Poll::Ready(event) => Some(event.unwrap()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_slow_listener_gets_one_gap_and_the_latest_messages() {
        let (sender, mut listener) = BroadcastListener::channel();
        sender.begin();
        assert_eq!(next(&mut listener), None, "the beginning is no gap");
        let count = BroadcastListener::MAX_WAITING + 10;
        (0..count).for_each(|number| sender.send(message(number)));
        assert_eq!(next(&mut listener), Some(BroadcastEvent::Gap));
        for number in 10..count {
            assert_eq!(next(&mut listener), Some(BroadcastEvent::Message(message(number))));
        }
        assert_eq!(next(&mut listener), None);
    }

    #[test]
    fn gaps_that_follow_one_another_are_one() {
        let (sender, mut listener) = BroadcastListener::channel();
        sender.begin();
        sender.send(message(0));
        sender.begin();
        sender.miss();
        (1..BroadcastListener::MAX_WAITING).for_each(|number| sender.send(message(number)));
        // The first message was dropped, and the gap after it is the first event that waits.
        assert_eq!(next(&mut listener), Some(BroadcastEvent::Gap));
        assert_eq!(next(&mut listener), Some(BroadcastEvent::Message(message(1))));
    }

    #[test]
    fn a_closed_listener_returns_what_came_before() {
        let (sender, mut listener) = BroadcastListener::channel();
        sender.send(message(0));
        drop(sender);
        assert_eq!(next(&mut listener), Some(BroadcastEvent::Message(message(0))));
        let mut context = Context::from_waker(Waker::noop());
        let closed = std::pin::pin!(listener.next()).poll(&mut context);
        assert!(matches!(closed, Poll::Ready(Err(Error::Unavailable { .. }))), "{closed:?}");
    }
}

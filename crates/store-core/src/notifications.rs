//! Notifications of writes.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::{RunId, TopicName};

/// What [`Notifications`] calls. It must not block.
pub type Notify = Arc<dyn Fn() + Send + Sync>;

/// Dropping it ends the notifications.
pub type Subscribed = Box<dyn Any + Send + Sync>;

/// Notifies the processes that wait for a write of another one.
///
/// A notification has no content: the receiver reads what was written. It is sent after the write, so the read that follows
/// finds it. `notify` is also called if notifications may have been missed: first when they begin, then after each lost connection.
/// A server without the right to publish or to subscribe, or a message that is lost without a trace, means that a call is missing. So
/// a receiver also reads every few seconds.
///
/// ```
/// use std::sync::Arc;
/// use store_core::{Notifications, RunId, Subscribed};
/// use tokio::sync::Notify;
///
/// /// Rings once notifications have begun, and after each write.
/// fn hang(bell: &Arc<Notify>, store: &dyn Notifications, run: &RunId) -> Subscribed {
///     let bell = Arc::clone(bell);
///     store.of_run(run, Arc::new(move || bell.notify_one()))
/// }
/// ```
pub trait Notifications: Send + Sync + fmt::Debug {
    /// Notifies of each write that appends an event to the run, and of its deletion. A run expires without a notification.
    ///
    /// # Panics
    /// A store on servers panics outside a tokio runtime.
    fn of_run(&self, run: &RunId, notify: Notify) -> Subscribed;

    /// Notifies of each append to this partition of a topic that has `of` partitions.
    ///
    /// # Panics
    /// A store on servers panics outside a tokio runtime.
    fn of_partition(&self, topic: &TopicName, partition: u16, of: u16, notify: Notify) -> Subscribed;
}

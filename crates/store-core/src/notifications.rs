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
/// A notification has no content: the receiver reads what was written. It is sent after the write, so a read that follows it finds
/// the write. `notify` is also called if notifications may have been missed: when they begin, and after each lost connection. If the
/// server's user may not publish or subscribe, or if a message is lost unnoticed, `notify` is not called. So a receiver also reads
/// every few seconds.
///
/// ```
/// use std::sync::Arc;
/// use store_core::{Notifications, RunId, Subscribed};
/// use tokio::sync::Notify;
///
/// /// Wakes the waiting task when notifications begin, and after each write of the run.
/// fn wake_on_writes(task: &Arc<Notify>, store: &dyn Notifications, run: &RunId) -> Subscribed {
///     let task = Arc::clone(task);
///     store.of_run(run, Arc::new(move || task.notify_one()))
/// }
/// ```
pub trait Notifications: Send + Sync + fmt::Debug {
    /// Notifies of each write of the run, and of its deletion. A run expires without a notification.
    ///
    /// # Panics
    /// A store on servers panics outside a tokio runtime.
    fn of_run(&self, run: &RunId, notify: Notify) -> Subscribed;

    /// Notifies of each append to this partition of a topic that has `of` partitions, and of each consumer that begins to want
    /// the partition.
    ///
    /// # Panics
    /// A store on servers panics outside a tokio runtime.
    fn of_partition(&self, topic: &TopicName, partition: u16, of: u16, notify: Notify) -> Subscribed;
}

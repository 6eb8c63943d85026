//! Notifications of writes.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::RunId;

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
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use embedded_store::{EmbeddedState, StateOptions};
/// use store_core::{AgentName, Durability, NewRun, Notifications, RunEvent, RunId, RunWrite, Runs, ServiceName};
///
/// let store = EmbeddedState::in_memory(ServiceName::new("planner")?, StateOptions::default());
/// let run = RunId::new("run-7")?;
/// let _ = store.create(&NewRun::new(run.clone(), AgentName::new("planner")?), Durability::Accepted).await?;
///
/// let bell = Arc::new(tokio::sync::Notify::new());
/// let rings = bell.clone();
/// let subscribed = store.of_run(&run, Arc::new(move || rings.notify_one()));
/// bell.notified().await; // notifications have begun
///
/// let append = RunWrite::new(run).with_event(RunEvent::new("note", "one"));
/// assert!(Runs::write(&store, &append, Durability::Accepted).await?.value.done().is_some());
/// bell.notified().await;
/// # Ok(())
/// # }
/// ```
pub trait Notifications: Send + Sync + fmt::Debug {
    /// Notifies of each write that appends an event to the run, and of its deletion. A run expires without a notification.
    ///
    /// # Panics
    /// A store on servers panics outside a tokio runtime.
    fn of_run(&self, run: &RunId, notify: Notify) -> Subscribed;
}

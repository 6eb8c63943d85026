//! The events of a run as they are appended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use store_core::{Notifications, PageRequest, Result, RunEvents, RunId, Runs, Subscribed};
use tokio::sync::Notify;
use tokio::time::timeout;

/// The longest pause between two reads.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The events of a run as they are appended. [`State::watch_run`](crate::State::watch_run) makes it.
///
/// A write of the run notifies the watch, which then reads. So an event arrives a notification and a round trip after it was appended,
/// and a watch has one read under way at a time, however fast events are appended. In case a notification is lost, or the server's
/// user may not publish or subscribe, the watch also reads every 5 s. All watches of a process share one connection, in a cluster one
/// per node.
///
/// If a failover loses events, their numbers are used again, and so are those of a run that is deleted and created again. A watch whose
/// position is behind the end of the log continues with the oldest event and reports it ([`RunEvents::truncated_before`]), so it may return
/// events again. The watch cannot detect a log that has reached its position again before it reads: it does not return the events
/// before that position. A write with a durability that waits for replicas is not lost.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::durability::Durability;
/// use twinstore::run::{NewRun, RunId, RunState, RunWrite};
///
/// let (runs, id) = (stores.state().runs(), RunId::new("run-7")?);
/// let new = NewRun::new(id.clone(), "planner".try_into()?);
/// let run = runs.create(&new, Durability::Accepted).await?.value.done().expect("a new id");
///
/// let mut watch = stores.state().watch_run(id.clone(), 0);
/// let watching = tokio::spawn(async move {
///     let mut kinds = Vec::new();
///     while let Some(events) = watch.next().await? {
///         assert_eq!(events.truncated_before, None); // no event was missed
///         kinds.extend(events.events.into_iter().map(|event| event.kind));
///     }
///     Ok::<_, twinstore::Error>(kinds) // the run has ended
/// });
/// let cancel = RunWrite::new(id).to(RunState::Cancelled, run.version);
/// assert!(runs.write(&cancel, Durability::Accepted).await?.value.done().is_some());
/// assert_eq!(watching.await??, ["run.created", "run.cancelled"]);
/// # Ok(())
/// # }
/// ```
pub struct RunWatch {
    runs: Arc<dyn Runs>,
    notifications: Arc<dyn Notifications>,
    run: RunId,
    position: u64,
    has_ended: bool,
    bell: Arc<Notify>,
    /// From the first pause on.
    subscribed: Option<Subscribed>,
}

impl RunWatch {
    pub(crate) fn new(runs: Arc<dyn Runs>, notifications: Arc<dyn Notifications>, run: RunId, from: u64) -> Self {
        Self { runs, notifications, run, position: from, has_ended: false, bell: Arc::default(), subscribed: None }
    }

    /// Waits for the next events, and returns them. `None` after the last event of a run that has ended, and if there is no run, or
    /// if it was deleted or has expired.
    ///
    /// If events were removed before they could be read, or if the log has become shorter, [`RunEvents::truncated_before`] reports it.
    /// Dropping the future loses no event. After an error, the watch continues where it was.
    ///
    /// # Errors
    /// Those of [`Runs::events`].
    pub async fn next(&mut self) -> Result<Option<RunEvents>> {
        while !self.has_ended {
            let Some(events) = self.runs.events(&self.run, self.position, PageRequest::MAX_LIMIT).await? else {
                self.has_ended = true;
                break;
            };
            self.has_ended = !events.continues;
            self.position = events.next;
            if !events.events.is_empty() {
                return Ok(Some(events));
            }
            if !self.has_ended {
                self.subscribe();
                let _ = timeout(LONGEST_PAUSE, self.bell.notified()).await;
            }
        }
        Ok(None)
    }

    /// The beginning of the notifications is the first one: the read that follows it finds what was appended before.
    fn subscribe(&mut self) {
        let bell = Arc::clone(&self.bell);
        let subscribe = || self.notifications.of_run(&self.run, Arc::new(move || bell.notify_one()));
        self.subscribed.get_or_insert_with(subscribe);
    }

    /// The sequence of the next event. A watch from here, in another process too, continues where this one is.
    pub fn position(&self) -> u64 {
        self.position
    }
}

impl fmt::Debug for RunWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunWatch").field("run", &self.run).field("position", &self.position).finish_non_exhaustive()
    }
}

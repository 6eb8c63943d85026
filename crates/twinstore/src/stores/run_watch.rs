//! The events of a run as they are appended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use store_core::{PageRequest, Result, RunEvents, RunId, Runs};
use tokio::time::sleep;

/// The pause after a read that has found an event.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The events of a run as they are appended. [`State::watch_run`](crate::State::watch_run) makes it.
///
/// It reads the log of the run: first 50 ms after the last event, then after pauses that double, up to one second. So an event
/// arrives at most a second after it was appended, and an idle watch costs one call per second.
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
    run: RunId,
    position: u64,
    has_ended: bool,
}

impl RunWatch {
    pub(crate) fn new(runs: Arc<dyn Runs>, run: RunId, from: u64) -> Self {
        Self { runs, run, position: from, has_ended: false }
    }

    /// Waits for the next events, and returns them. `None` after the last event of a run that has ended, and if there is no run, or
    /// if it was deleted or has expired.
    ///
    /// If events were removed before they could be read, [`RunEvents::truncated_before`] reports it. Dropping the future loses no
    /// event. After an error, the watch continues where it was.
    ///
    /// # Errors
    /// Those of [`Runs::events`].
    pub async fn next(&mut self) -> Result<Option<RunEvents>> {
        let mut pause = SHORTEST_PAUSE;
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
                sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
        Ok(None)
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

//! Runs of agents, with the events that they emit.

mod event;
mod info;
mod request;
mod state;

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;

use crate::{Cursor, Durability, Fence, PageRequest, Receipt, Result, RunId};

pub use event::{RunEvent, RunEvents};
pub use info::RunInfo;
pub use request::{NewRun, RunFilter, RunWrite};
pub use state::RunState;

/// The runs of agents: their states, their payloads and their events. Runs belong to the namespace: one service starts a run,
/// another one carries it out, a third one watches or cancels it.
///
/// **States.** [`RunState`] has the legal transitions. A write that changes a run presents the [version](RunInfo::version) that it
/// has read. If another write came first, nothing is changed and the outcome is [`RunOutcome::Conflict`]: a completion never
/// overwrites a cancellation, and of two processes that resume a run, one does.
///
/// **Events.** Each run has a log of events, numbered from 0. A write appends its events and its change in one step, and each
/// transition appends an event of its own, such as `run.completed` ([`RunState::event`]). So the log contains every transition, and
/// the last event of a run that has ended is that of its end. The log is bounded by count ([`NewRun::max_events`]) and size
/// ([`RunEvents::MAX_RUN_BYTES`]). The oldest events are removed; a read that begins before the oldest one left reports this
/// ([`RunEvents::truncated_before`]). So does a read that begins behind the end of the log, which has become shorter.
///
/// **Time to live.** A run has one, [`NewRun::ttl`]. Each write prolongs it for the run, its events and its place in
/// listings; a read does not. Then the store forgets the run.
///
/// **Listings.** In a cluster, the entries of listings are in another slot than the run. They are written before the run and removed
/// after it.
/// If a process dies in between, an entry without a run remains. Listings skip such entries, [`RunPage::total`] counts
/// them, and [`sweep`](Runs::sweep) removes them.
///
/// **Sweeps.** Entries of listings have no time to live: `sweep` removes those of expired runs, up to five for each run. Each
/// [`create`](Runs::create) sweeps up to 10 expired runs. Workers of `State::worker` sweep all others about once an hour: those of the
/// namespace, and those of each [home](crate::Home) of their queues, which has listings of its own. If a namespace has no such worker,
/// have one process of the fleet call `sweep` every hour until `left` is 0. A sweep without expired runs is one round trip.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::durability::Durability;
/// use twinstore::run::{NewRun, RunEvent, RunId, RunOutcome, RunState, RunWrite};
///
/// let (runs, accepted) = (stores.state().runs(), Durability::Accepted);
/// let new = NewRun::new(RunId::new("run-7")?, "planner".try_into()?).with_input("a trip to Oslo");
/// let run = runs.create(&new, accepted).await?.value.done().expect("a new id");
///
/// let begin = RunWrite::new(run.run.clone()).to(RunState::InProgress, run.version);
/// let begun = runs.write(&begin, accepted).await?.value.done().expect("nobody else began it");
///
/// // Another process cancels the run.
/// let cancel = RunWrite::new(run.run.clone()).to(RunState::Cancelled, begun.version);
/// assert!(runs.write(&cancel, accepted).await?.value.done().is_some());
///
/// // The completion presents the version before that: it does not overwrite the cancellation.
/// let complete = RunWrite::new(run.run.clone())
///     .to(RunState::Completed, begun.version)
///     .with_output("flights and a hotel")
///     .with_event(RunEvent::new("message.completed", "Have a good trip!"));
/// let RunOutcome::Conflict(current) = runs.write(&complete, accepted).await?.value else { panic!() };
/// assert_eq!(current.state, RunState::Cancelled);
///
/// let events = runs.events(&run.run, 0, 100).await?.expect("it has not expired").events;
/// let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
/// assert_eq!(kinds, ["run.created", "run.in-progress", "run.cancelled"]);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Runs: Send + Sync + fmt::Debug {
    /// `async fn create(&self, run: &NewRun, durability: Durability) -> Result<Receipt<RunOutcome>>`
    ///
    /// Creates a run in the state [`RunState::Created`]. [`RunOutcome::Conflict`] if a run has this id: also if the same
    /// request created it and another write has changed it since. Two round trips, one after the other. Sweeps up to 10
    /// expired runs.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the input has more than [`RunInfo::MAX_PAYLOAD_BYTES`].
    async fn create(&self, run: &NewRun, durability: Durability) -> Result<Receipt<RunOutcome>>;

    /// `async fn write(&self, write: &RunWrite, durability: Durability) -> Result<Receipt<RunOutcome>>`
    ///
    /// Changes the state or the payloads of a run, appends events, or both. A repetition of the last write that changed the run
    /// returns what the first one returned, and so does a repetition of a write that presented a
    /// [sequence](RunWrite::at_sequence). Writes that end or cancel a run also work if the server's memory is full. One round
    /// trip, O(events of the write).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if it neither changes nor appends anything, or if a payload, an
    /// event or their number is above its limit, or if an event has a kind that begins with `run.`;
    /// [`Error::Indeterminate`](crate::Error::Indeterminate) if the reply to an append without a sequence was lost, and so many
    /// events followed that its own, if there are any, have been removed.
    async fn write(&self, write: &RunWrite, durability: Durability) -> Result<Receipt<RunOutcome>>;

    /// `async fn get(&self, run: &RunId) -> Result<Option<RunInfo>>`
    ///
    /// Returns a run with its payloads. `None` if there is none, or if it has expired. One round trip.
    async fn get(&self, run: &RunId) -> Result<Option<RunInfo>>;

    /// `async fn events(&self, run: &RunId, from: u64, limit: u32) -> Result<Option<RunEvents>>`
    ///
    /// Reads up to `limit` events (1 to [`PageRequest::MAX_LIMIT`]) and about 1 MiB, from the event with the sequence `from` on; from
    /// the oldest one on if `from` is less than its sequence or more than that of the next event
    /// ([`RunEvents::truncated_before`]). `None` if there is no run, or if it has expired. One round trip, O(events).
    async fn events(&self, run: &RunId, from: u64, limit: u32) -> Result<Option<RunEvents>>;

    /// `async fn list(&self, filter: &RunFilter, page: PageRequest) -> Result<RunPage>`
    ///
    /// Lists runs without their payloads, those that were created last first. A page can be shorter than requested although
    /// another one follows, because it skips runs that have expired. Runs that cannot be read are in [`RunPage::unreadable`]. Runs
    /// that are created meanwhile appear on no later page. Two round trips, O(runs of the page); in a cluster a round trip per slot of
    /// these runs.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the cursor belongs to another listing.
    async fn list(&self, filter: &RunFilter, page: PageRequest) -> Result<RunPage>;

    /// `async fn delete(&self, run: &RunId) -> Result<bool>`
    ///
    /// Deletes a run with its events, in any state, and its entries in listings. Returns whether there was a run that had not
    /// expired. Deletes a damaged run, too; a sweep removes its entries. Also works if the server's memory is full. Three round trips,
    /// one after the other.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) if a newer version of the library wrote the run.
    async fn delete(&self, run: &RunId) -> Result<bool>;

    /// `async fn sweep(&self) -> Result<RunsRemoved>`
    ///
    /// Removes up to 1,000 expired runs, and their entries in listings. The runs themselves also expire without it, unless the server
    /// died while it created them. Call it until `left` is 0, for example every hour. An expired run is swept 10 s after it has
    /// expired, because the clocks of servers differ. Runs that cannot be read are looked at again an hour later.
    async fn sweep(&self) -> Result<RunsRemoved>;

    /// `async fn clear(&self, prefix: &str, after: Option<Cursor>) -> Result<RunsRemoved>`
    ///
    /// Deletes the runs whose ids begin with `prefix`, in any state; the empty prefix deletes all. Each call looks at
    /// up to 1,000 runs, those that were created last first. Repeat it with [`RunsRemoved::next`] until that is `None`. Runs that
    /// are created meanwhile stay, and those that a newer version of the library wrote ([`RunsRemoved::skipped`]).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the cursor belongs to another listing.
    async fn clear(&self, prefix: &str, after: Option<Cursor>) -> Result<RunsRemoved>;
}

/// The outcome of [`Runs::create`] and [`Runs::write`]. The runs in it have no payloads.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::durability::Durability;
/// use twinstore::run::{NewRun, RunId, RunOutcome, RunState, RunWrite};
///
/// let (runs, accepted) = (stores.state().runs(), Durability::Accepted);
/// let created = runs.create(&NewRun::new(RunId::new("run-7")?, "planner".try_into()?), accepted).await?.value;
/// let run = created.done().expect("a new id");
/// let complete = RunWrite::new(run.run.clone()).to(RunState::Completed, run.version);
/// match runs.write(&complete, accepted).await?.value {
///     RunOutcome::Illegal(run) => assert_eq!(run.state, RunState::Created), // it has not begun
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunOutcome {
    /// Done. The run as it is now.
    Done(RunInfo),
    /// Nothing was changed: the run has another version or another next sequence than the write presented, or a run with the id
    /// of a new one exists. The run as it is now.
    Conflict(RunInfo),
    /// Nothing was changed: the state of the run does not allow the transition, or the run has ended. The run as it is now.
    Illegal(RunInfo),
    /// Nothing was changed: a later holder of the lease has written.
    Superseded {
        /// Its fence.
        by: Fence,
    },
    /// There is no such run, or it has expired.
    Absent,
}

impl RunOutcome {
    /// The run, if the write was done.
    pub fn done(self) -> Option<RunInfo> {
        match self {
            RunOutcome::Done(run) => Some(run),
            _ => None,
        }
    }
}

/// One page of [`Runs::list`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// use twinstore::page::PageRequest;
/// use twinstore::run::{NewRun, RunFilter, RunId, RunPage, SessionId};
///
/// let (runs, ann) = (stores.state().runs(), SessionId::new("ann")?);
/// for id in ["1", "2", "3"] {
///     let new = NewRun::new(RunId::new(id)?, "planner".try_into()?).in_session(ann.clone());
///     let _ = runs.create(&new, Durability::Accepted).await?;
/// }
/// let of_ann = RunFilter::default().of_agent("planner".try_into()?).in_session(ann);
/// let page: RunPage = runs.list(&of_ann, PageRequest::first(2)).await?;
/// let ids: Vec<_> = page.items.iter().map(|run| run.run.as_str()).collect();
/// assert_eq!((ids, page.total, page.next.is_some()), (vec!["3", "2"], 3, true));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunPage {
    /// The runs, without their payloads.
    pub items: Vec<RunInfo>,
    /// The start of the next page. `None` after the last page.
    pub next: Option<Cursor>,
    /// How many runs all pages have. Expired runs that were not swept count.
    pub total: u64,
    /// Runs of this page that cannot be read: they are damaged, or a newer version of the library wrote them. [`Runs::get`] returns
    /// which. [`Runs::delete`] removes a damaged one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<RunId>,
}

impl RunPage {
    /// A page.
    pub fn new(items: Vec<RunInfo>, next: Option<Cursor>, total: u64) -> Self {
        Self { items, next, total, unreadable: Vec::new() }
    }
}

/// What one call of [`Runs::sweep`], [`Runs::clear`] or [`Sessions::clear`](crate::Sessions::clear) has removed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// # use twinstore::run::{NewRun, RunId};
/// use twinstore::run::RunsRemoved;
///
/// let runs = stores.state().runs();
/// # for id in ["test/1", "test/2", "live/1"] {
/// #     let _ = runs.create(&NewRun::new(RunId::new(id)?, "planner".try_into()?), Durability::Accepted).await?;
/// # }
/// let (mut after, mut removed) = (None, 0);
/// loop {
///     let cleared: RunsRemoved = runs.clear("test/", after).await?;
///     removed += cleared.removed;
///     println!("{} runs to look at", cleared.left);
///     after = cleared.next;
///     if after.is_none() {
///         break;
///     }
/// }
/// assert_eq!(removed, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunsRemoved {
    /// How many runs or sessions were removed; of a sweep, expired ones.
    pub removed: u64,
    /// How many are left: those at which no call has looked; of a sweep, expired ones.
    pub left: u64,
    /// Where the next call of `clear` continues. `None` after the last one, and of a sweep.
    pub next: Option<Cursor>,
    /// How many `clear` has left because a newer version of the library wrote them.
    pub skipped: u64,
}

impl RunsRemoved {
    /// What one call has removed.
    pub fn new(removed: u64, left: u64, next: Option<Cursor>) -> Self {
        Self { removed, left, next, skipped: 0 }
    }
}

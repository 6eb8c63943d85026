//! The events of a run.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;

use crate::{Error, Op, Result, RunState, Timestamp};

/// An event of a run.
///
/// In JSON, the data does not appear, because it may be private; `bytes` gives its length.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// use twinstore::run::{NewRun, RunEvent, RunId, RunWrite};
///
/// let (runs, run) = (stores.state().runs(), RunId::new("run-7")?);
/// let _ = runs.create(&NewRun::new(run.clone(), "planner".try_into()?), Durability::Accepted).await?;
/// let append = RunWrite::new(run.clone()).with_event(RunEvent::new("message.part", "Have a good"));
/// let _ = runs.write(&append, Durability::Accepted).await?;
///
/// let events = runs.events(&run, 1, 100).await?.unwrap().events; // event 0 is run.created
/// assert_eq!((events[0].sequence, events[0].kind.as_str()), (1, "message.part"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunEvent {
    /// Its number in the run, from 0 on. The store assigns it.
    pub sequence: u64,
    /// When it was appended, by the server's clock.
    #[serde(rename = "at_ms")]
    pub at: Timestamp,
    /// What kind of event it is, such as `message.part`. Kinds that begin with `run.` are those of transitions.
    pub kind: String,
    /// The data.
    #[serde(rename = "bytes", serialize_with = "length")]
    pub data: Bytes,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn length<S: serde::Serializer>(data: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(data.len() as u64)
}

impl RunEvent {
    /// The largest data of an event, in bytes: 64 KiB.
    pub const MAX_BYTES: usize = 64 << 10;

    /// The largest length of a kind, in bytes.
    pub const MAX_KIND_BYTES: usize = 64;

    /// An event to be appended.
    pub fn new(kind: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self { sequence: 0, at: Timestamp::default(), kind: kind.into(), data: data.into() }
    }

    /// The event as it was stored.
    #[doc(hidden)]
    #[must_use]
    pub fn stored(mut self, sequence: u64, at: Timestamp) -> Self {
        (self.sequence, self.at) = (sequence, at);
        self
    }

    pub(super) fn validate(&self, op: Op) -> Result<()> {
        let (kind, data) = (self.kind.len(), self.data.len());
        if kind == 0 || kind > Self::MAX_KIND_BYTES {
            let most = Self::MAX_KIND_BYTES;
            return Err(Error::invalid_argument(op, format!("the kind of an event has {kind} bytes; 1 to {most}")));
        }
        if self.kind.starts_with("run.") {
            return Err(Error::invalid_argument(op, "events whose kind begins with `run.` are those of transitions"));
        }
        if data > Self::MAX_BYTES {
            let most = Self::MAX_BYTES;
            return Err(Error::invalid_argument(op, format!("the event has {data} bytes; at most {most}")));
        }
        Ok(())
    }
}

impl fmt::Debug for RunEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, at, kind, data } = self;
        write!(f, "RunEvent({sequence} at {at:?}: {kind}, {} bytes)", data.len())
    }
}

/// Events of a run, in order.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// use twinstore::run::{NewRun, RunEvent, RunEvents, RunId, RunWrite};
///
/// let (runs, run) = (stores.state().runs(), RunId::new("run-7")?);
/// let new = NewRun::new(run.clone(), "planner".try_into()?).with_max_events(100);
/// let _ = runs.create(&new, Durability::Accepted).await?;
/// for _ in 0..150 {
///     let append = RunWrite::new(run.clone()).with_event(RunEvent::new("message.part", "…"));
///     let _ = runs.write(&append, Durability::Accepted).await?;
/// }
/// let RunEvents { events, truncated_before, next, .. } = runs.events(&run, 0, 10).await?.unwrap();
/// assert_eq!(truncated_before, Some(51)); // events 0 to 50 were removed
/// assert_eq!((events[0].sequence, next), (51, 61));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunEvents {
    /// The events.
    pub events: Vec<RunEvent>,
    /// Where the next read continues: the sequence after the last of these events. If there are none, the sequence of the next
    /// event that will be appended.
    pub next: u64,
    /// The sequence of the oldest event that is left, if the log has no event `from` and the next one will have another sequence.
    /// These events begin there.
    ///
    /// More than `from`: the events before it were removed. Otherwise, the log ends before `from`: a failover has lost events, or the
    /// run was deleted or has expired and was created again. The reader may have read some of these events before.
    pub truncated_before: Option<u64>,
    /// Whether more events can follow: `false` if these are the last ones of a run that has ended.
    pub continues: bool,
}

impl RunEvents {
    /// The largest size of all events of a run, in bytes: 8 MiB.
    pub const MAX_RUN_BYTES: u64 = 8 << 20;

    /// Where a read from `from` on begins in a log that begins at `first` and has `end` as its next sequence.
    #[doc(hidden)]
    #[must_use]
    pub fn begin(from: u64, first: u64, end: u64) -> u64 {
        if (first..=end).contains(&from) { from } else { first }
    }

    /// Events that were read from `from` on in a log that begins at `first` and has `end` as its next sequence.
    #[doc(hidden)]
    pub fn new(events: Vec<RunEvent>, from: u64, first: u64, end: u64, state: RunState) -> Self {
        let begin = Self::begin(from, first, end);
        let next = events.last().map_or(begin, |event| event.sequence + 1);
        let continues = !state.is_ended() || next < end;
        Self { events, next, truncated_before: (begin != from).then_some(begin), continues }
    }
}

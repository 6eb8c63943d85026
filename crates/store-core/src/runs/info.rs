//! A run as the store has recorded it.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;

use crate::{AgentName, Fence, RunId, RunState, SessionId, Timestamp};

/// A run as the store has recorded it.
///
/// In JSON, times are milliseconds since 1970-01-01 UTC in fields that end in `_ms`, and payloads do not appear, because they may be
/// private.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// use twinstore::run::{NewRun, RunId, RunInfo};
///
/// let (runs, id) = (stores.state().runs(), RunId::new("run-7")?);
/// let new = NewRun::new(id.clone(), "planner".try_into()?).with_input("a trip to Oslo");
/// let _ = runs.create(&new, Durability::Accepted).await?;
/// let run: RunInfo = runs.get(&id).await?.expect("it has not expired");
/// assert_eq!((run.agent.as_str(), run.input.as_deref()), ("planner", Some(&b"a trip to Oslo"[..])));
/// assert_eq!((run.output, run.error, run.next_event), (None, None, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunInfo {
    /// The run.
    pub run: RunId,
    /// The agent that carries it out.
    pub agent: AgentName,
    /// The session to which it belongs.
    pub session: Option<SessionId>,
    /// Its state.
    pub state: RunState,
    /// The version. Each write that changes the state or a payload raises it; an append of events does not. A run that is created
    /// again under the same id has a higher one, unless the server's clock was set back after it was deleted.
    pub version: u64,
    /// The highest fence that a write has presented.
    pub fence: Option<Fence>,
    /// When it was created.
    #[serde(rename = "created_ms")]
    pub created: Timestamp,
    /// When its state or a payload was written last.
    #[serde(rename = "updated_ms")]
    pub updated: Timestamp,
    /// When it was completed, failed or cancelled.
    #[serde(rename = "ended_ms")]
    pub ended: Option<Timestamp>,
    /// When it expires, unless it is written before.
    #[serde(rename = "until_ms")]
    pub until: Timestamp,
    /// The sequence of the oldest event that is left.
    pub first_event: u64,
    /// The sequence of the next event.
    pub next_event: u64,
    /// What it was created with. `None` in listings and outcomes.
    #[serde(skip)]
    pub input: Option<Bytes>,
    /// What it has produced so far. `None` in listings and outcomes.
    #[serde(skip)]
    pub output: Option<Bytes>,
    /// What it waits for. `None` in listings and outcomes.
    #[serde(skip)]
    pub await_request: Option<Bytes>,
    /// Why it has failed. `None` in listings and outcomes.
    #[serde(skip)]
    pub error: Option<String>,
}

impl RunInfo {
    /// The largest input, output or await request, in bytes: 256 KiB.
    pub const MAX_PAYLOAD_BYTES: usize = 256 << 10;

    /// A new run. Engines set the other fields.
    #[doc(hidden)]
    pub fn new(run: RunId, agent: AgentName, session: Option<SessionId>, version: u64, created: Timestamp) -> Self {
        Self {
            run,
            agent,
            session,
            state: RunState::Created,
            version,
            fence: None,
            created,
            updated: created,
            ended: None,
            until: created,
            first_event: 0,
            next_event: 0,
            input: None,
            output: None,
            await_request: None,
            error: None,
        }
    }
}

impl fmt::Debug for RunInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunInfo")
            .field("run", &self.run)
            .field("agent", &self.agent)
            .field("session", &self.session)
            .field("state", &self.state)
            .field("version", &self.version)
            .field("fence", &self.fence)
            .field("first_event", &self.first_event)
            .field("next_event", &self.next_event)
            .finish_non_exhaustive()
    }
}

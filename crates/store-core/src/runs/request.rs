//! New runs, writes and filters.

use std::fmt;

use bytes::Bytes;

use crate::{
    AgentName, Error, Fence, Op, RequestId, Result, RunEvent, RunId, RunInfo, RunState, SessionId, Ttl, cut_reason,
};

/// A run to be created.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// use twinstore::run::{NewRun, RunId, SessionId};
/// use twinstore::time::Ttl;
///
/// let (runs, id) = (stores.state().runs(), RunId::new("run-7")?);
/// let new = NewRun::new(id.clone(), "planner".try_into()?)
///     .in_session(SessionId::new("ann")?)
///     .with_input("a trip to Oslo")
///     .with_ttl(Ttl::from_secs(3600)); // since the last write
/// assert!(runs.create(&new, Durability::Accepted).await?.value.done().is_some());
/// clock.advance(std::time::Duration::from_secs(3600));
/// assert_eq!(runs.get(&id).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewRun {
    /// The run.
    pub run: RunId,
    /// The agent that carries it out.
    pub agent: AgentName,
    /// The session to which it belongs. Default `None`.
    pub session: Option<SessionId>,
    /// The input. Default empty.
    pub input: Bytes,
    /// How long the run and its events are kept after the last write. Default 24 hours.
    pub ttl: Ttl,
    /// How many events are kept: 100 to 10,000. Default 1,000.
    pub max_events: u32,
    /// The identity by which a repetition is recognised. Default random.
    pub request: RequestId,
}

impl NewRun {
    /// The largest number of events that a run keeps.
    pub const MAX_EVENTS: u32 = 10_000;

    /// A run without an input, in no session.
    pub fn new(run: RunId, agent: AgentName) -> Self {
        let ttl = Ttl::from_secs(24 * 3600);
        Self { run, agent, session: None, input: Bytes::new(), ttl, max_events: 1000, request: RequestId::generate() }
    }

    /// Sets the session.
    #[must_use]
    pub fn in_session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// Sets the input.
    #[must_use]
    pub fn with_input(mut self, input: impl Into<Bytes>) -> Self {
        self.input = input.into();
        self
    }

    /// Sets how long the run and its events are kept after the last write.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Ttl) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets how many events are kept, clamped to 100 to [`NewRun::MAX_EVENTS`].
    #[must_use]
    pub fn with_max_events(mut self, most: u32) -> Self {
        self.max_events = most.clamp(100, Self::MAX_EVENTS);
        self
    }

    /// Sets the identity by which a repetition is recognised.
    #[must_use]
    pub fn with_request(mut self, request: RequestId) -> Self {
        self.request = request;
        self
    }

    /// Refuses what no engine accepts.
    #[doc(hidden)]
    pub fn validate(&self) -> Result<()> {
        payload(Op::RunCreate, "input", &self.input)
    }
}

impl fmt::Debug for NewRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, agent, session, .. } = self;
        write!(f, "NewRun({run:?}, {agent:?}, {session:?}, {} bytes)", self.input.len())
    }
}

/// A write of a run: a transition, payloads, events, or several of these, in one step.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// # use twinstore::lease::Fence;
/// use twinstore::run::{NewRun, RunEvent, RunId, RunOutcome, RunState, RunWrite};
///
/// let (runs, id, accepted) = (stores.state().runs(), RunId::new("run-7")?, Durability::Accepted);
/// let run = runs.create(&NewRun::new(id.clone(), "planner".try_into()?), accepted).await?.value.done().unwrap();
/// let write = || RunWrite::new(id.clone());
///
/// let begin = write().to(RunState::InProgress, run.version).with_fence(Fence::new(7));
/// let run = runs.write(&begin, accepted).await?.value.done().unwrap();
///
/// // Two processes append to the log at the same place: one does.
/// let append = |text: &'static str| write().with_event(RunEvent::new("note", text)).at_sequence(run.next_event);
/// assert!(runs.write(&append("one"), accepted).await?.value.done().is_some());
/// assert!(matches!(runs.write(&append("two"), accepted).await?.value, RunOutcome::Conflict(_)));
///
/// // An earlier holder of the lease writes nothing.
/// let stale = write().with_event(RunEvent::new("note", "three")).with_fence(Fence::new(6));
/// assert_eq!(runs.write(&stale, accepted).await?.value, RunOutcome::Superseded { by: Fence::new(7) });
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunWrite {
    /// The run.
    pub run: RunId,
    /// The state to be set. Default `None`: it stays.
    pub state: Option<RunState>,
    /// The version that the run must have. A write that sets a state or a payload needs it.
    pub version: Option<u64>,
    /// The sequence that the first event must get. Default `None`: any.
    pub sequence: Option<u64>,
    /// The fence of the lease under which the run is carried out. Default `None`.
    pub fence: Option<Fence>,
    /// The output to be set. Default `None`: it stays.
    pub output: Option<Bytes>,
    /// The await request to be set. Default `None`: it stays.
    pub await_request: Option<Bytes>,
    /// The error to be set. Default `None`: it stays.
    pub error: Option<String>,
    /// The events to be appended, before that of the transition.
    pub events: Vec<RunEvent>,
    /// The identity by which a repetition is recognised. Default random.
    pub request: RequestId,
}

impl RunWrite {
    /// The largest number of events of one write.
    pub const MAX_EVENTS: usize = 50;

    /// A write that changes nothing yet.
    pub fn new(run: RunId) -> Self {
        Self {
            run,
            state: None,
            version: None,
            sequence: None,
            fence: None,
            output: None,
            await_request: None,
            error: None,
            events: Vec::new(),
            request: RequestId::generate(),
        }
    }

    /// Sets the state, if the run has this version.
    #[must_use]
    pub fn to(mut self, state: RunState, version: u64) -> Self {
        self.state = Some(state);
        self.at_version(version)
    }

    /// Writes only if the run has this version.
    #[must_use]
    pub fn at_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Writes only if the first event gets this sequence.
    #[must_use]
    pub fn at_sequence(mut self, sequence: u64) -> Self {
        self.sequence = Some(sequence);
        self
    }

    /// Writes only if no later holder of the lease has written.
    #[must_use]
    pub fn with_fence(mut self, fence: Fence) -> Self {
        self.fence = Some(fence);
        self
    }

    /// Sets the output.
    #[must_use]
    pub fn with_output(mut self, output: impl Into<Bytes>) -> Self {
        self.output = Some(output.into());
        self
    }

    /// Sets what the run waits for.
    #[must_use]
    pub fn with_await_request(mut self, request: impl Into<Bytes>) -> Self {
        self.await_request = Some(request.into());
        self
    }

    /// Sets why the run has failed. The text is truncated to [`JobInfo::MAX_REASON_BYTES`](crate::JobInfo::MAX_REASON_BYTES).
    #[must_use]
    pub fn with_error(mut self, error: impl AsRef<str>) -> Self {
        self.error = Some(cut_reason(error.as_ref()).to_owned());
        self
    }

    /// Appends an event.
    #[must_use]
    pub fn with_event(mut self, event: RunEvent) -> Self {
        self.events.push(event);
        self
    }

    /// Sets the identity by which a repetition is recognised.
    #[must_use]
    pub fn with_request(mut self, request: RequestId) -> Self {
        self.request = request;
        self
    }

    /// Whether it sets a state or a payload.
    #[doc(hidden)]
    pub fn changes_run(&self) -> bool {
        self.state.is_some() || self.output.is_some() || self.await_request.is_some() || self.error.is_some()
    }

    /// Refuses what no engine accepts.
    #[doc(hidden)]
    pub fn validate(&self) -> Result<()> {
        let op = Op::RunWrite;
        let refuse = |what: &'static str| Err(Error::invalid_argument(op, what));
        if self.changes_run() && self.version.is_none() {
            return refuse("a write that sets a state or a payload needs the version of the run");
        }
        if self.events.is_empty() && (self.sequence.is_some() || !self.changes_run()) {
            return refuse("the write has no event");
        }
        if self.events.len() > Self::MAX_EVENTS {
            return refuse("a write has at most 50 events");
        }
        let numbers = [self.version, self.sequence, self.fence.map(Fence::get)];
        if numbers.into_iter().flatten().any(|number| number >= 1 << 53) {
            return refuse("versions, sequences and fences are below 2^53");
        }
        payload(op, "output", self.output.as_deref().unwrap_or_default())?;
        payload(op, "await request", self.await_request.as_deref().unwrap_or_default())?;
        self.events.iter().try_for_each(|event| event.validate(op))
    }
}

impl fmt::Debug for RunWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunWrite")
            .field("run", &self.run)
            .field("state", &self.state)
            .field("version", &self.version)
            .field("sequence", &self.sequence)
            .field("fence", &self.fence)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

fn payload(op: Op, what: &'static str, payload: &[u8]) -> Result<()> {
    let (len, most) = (payload.len(), RunInfo::MAX_PAYLOAD_BYTES);
    match len <= most {
        true => Ok(()),
        false => Err(Error::invalid_argument(op, format!("the {what} of the run has {len} bytes; at most {most}"))),
    }
}

/// Which runs [`Runs::list`](crate::Runs::list) returns. The default is all.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// use twinstore::page::PageRequest;
/// use twinstore::run::{NewRun, RunFilter, RunId};
///
/// let runs = stores.state().runs();
/// for (id, agent) in [("1", "planner"), ("2", "booker"), ("3", "planner")] {
///     let _ = runs.create(&NewRun::new(RunId::new(id)?, agent.try_into()?), Durability::Accepted).await?;
/// }
/// let planned = runs.list(&RunFilter::default().of_agent("planner".try_into()?), PageRequest::default()).await?;
/// assert_eq!(planned.total, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunFilter {
    /// Those of this agent. Default `None`: of all.
    pub agent: Option<AgentName>,
    /// Those of this session. Default `None`: of all, and those without one.
    pub session: Option<SessionId>,
}

impl RunFilter {
    /// Only runs of this agent.
    #[must_use]
    pub fn of_agent(mut self, agent: AgentName) -> Self {
        self.agent = Some(agent);
        self
    }

    /// Only runs of this session.
    #[must_use]
    pub fn in_session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// Whether a run belongs to it.
    #[doc(hidden)]
    pub fn matches(&self, run: &RunInfo) -> bool {
        self.agent.as_ref().is_none_or(|agent| *agent == run.agent)
            && self.session.as_ref().is_none_or(|session| run.session.as_ref() == Some(session))
    }
}

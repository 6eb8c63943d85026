//! The records of sessions: what an agent remembers between its runs.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json::{from_json, to_json};
use crate::{
    AgentName, Cursor, Durability, Error, Op, PageRequest, Receipt, RequestId, Result, RunsRemoved, SessionId,
    Timestamp, Ttl,
};

/// The records of sessions: what an agent remembers between its runs. Sessions belong to the namespace, as [runs](crate::Runs) do.
///
/// A save presents the [version](Session::version) that it has read. If another save came first, nothing is changed and the outcome
/// is [`SessionOutcome::Changed`]. If two runs extend the same history, one save succeeds, and the other run reads the session again.
///
/// A session groups runs: [`RunFilter::in_session`](crate::RunFilter::in_session) lists them, whether the session has a record or
/// not. The record and the runs have their own times to live, and the deletion of one leaves the others.
///
/// A record has one time to live, [`SessionSave::ttl`]. Each save prolongs it for the record and its place in listings; a read does
/// not. The entries of listings are as those of runs: they are written before the record and removed after it, listings skip those
/// that have expired, and [`sweep`](Sessions::sweep) removes these. Workers call it about once an hour: see [`Runs`](crate::Runs).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::durability::Durability;
/// use twinstore::run::{SessionId, SessionOutcome, SessionSave};
///
/// let (sessions, accepted) = (stores.state().sessions(), Durability::Accepted);
/// let save = |history: &'static str| SessionSave::new(SessionId::new("ann").unwrap(), "planner".try_into().unwrap(), history);
/// let first = sessions.save(&save("Hello"), accepted).await?.value.saved().expect("a new session");
///
/// // Two runs have read the session, and both extend the history.
/// let one = save("Hello. To Oslo!").at_version(first.version);
/// assert!(sessions.save(&one, accepted).await?.value.saved().is_some());
/// let other = save("Hello. To Rome!").at_version(first.version);
/// let SessionOutcome::Changed(current) = sessions.save(&other, accepted).await?.value else { panic!() };
///
/// // The second one reads the session again, and extends what is there.
/// let read = sessions.get(&current.session).await?.expect("it has not expired");
/// assert_eq!((read.version, read.state.as_deref()), (current.version, Some(&b"Hello. To Oslo!"[..])));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Sessions: Send + Sync + fmt::Debug {
    /// `async fn save(&self, save: &SessionSave, durability: Durability) -> Result<Receipt<SessionOutcome>>`
    ///
    /// Creates the record of a session, or replaces its state. A repetition returns what the first save returned, unless another one
    /// has followed. One round trip. A save without a version takes two, one after the other; if sessions have expired, it then also
    /// sweeps up to 10 of them, with further round trips.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the state has more than [`Session::MAX_STATE_BYTES`].
    async fn save(&self, save: &SessionSave, durability: Durability) -> Result<Receipt<SessionOutcome>>;

    /// `async fn get(&self, session: &SessionId) -> Result<Option<Session>>`
    ///
    /// Returns a session with its state. `None` if it has no record, or if that has expired. One round trip.
    async fn get(&self, session: &SessionId) -> Result<Option<Session>>;

    /// `async fn list(&self, agent: Option<&AgentName>, page: PageRequest) -> Result<SessionPage>`
    ///
    /// Lists the sessions of an agent, or all, without their states, those that were created last first. A page can be shorter than
    /// requested although another one follows, because it skips sessions that have expired; [`SessionPage::total`] counts those until they are
    /// swept. [`SessionPage::unreadable`] has the ids of those that cannot be read. Two round trips, O(sessions of the page); in a
    /// cluster a round trip per slot of these sessions.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the cursor belongs to another listing.
    async fn list(&self, agent: Option<&AgentName>, page: PageRequest) -> Result<SessionPage>;

    /// `async fn delete(&self, session: &SessionId) -> Result<bool>`
    ///
    /// Deletes the record of a session and its entries in listings, not its runs. Returns whether there was one that had not expired.
    /// Deletes a damaged record, too; a sweep removes its entries. Also works if the server's memory is full. Three round trips, one
    /// after the other.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if a newer version of the library wrote the record.
    async fn delete(&self, session: &SessionId) -> Result<bool>;

    /// `async fn sweep(&self) -> Result<u64>`
    ///
    /// Removes up to 1,000 expired sessions, and their entries in listings. Returns how many are left. The records also expire without
    /// it, unless the server died while it created them. Call it until it returns 0, for example every hour.
    async fn sweep(&self) -> Result<u64>;

    /// `async fn clear(&self, prefix: &str, after: Option<Cursor>) -> Result<RunsRemoved>`
    ///
    /// Deletes the records of the sessions whose ids begin with `prefix`, not their runs; the empty prefix deletes all. Each call looks
    /// at up to 1,000 sessions, those that were created last first. Repeat it with [`RunsRemoved::next`] until that is `None`. Sessions
    /// that are created meanwhile stay, and those that a newer version of the library wrote. Also works if the server's memory is full.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the cursor belongs to another listing.
    async fn clear(&self, prefix: &str, after: Option<Cursor>) -> Result<RunsRemoved>;
}

/// The record of a session.
///
/// In JSON, times are milliseconds since 1970-01-01 UTC in fields that end in `_ms`, and the state does not appear, because it may be
/// private.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// # use twinstore::page::PageRequest;
/// use twinstore::run::{Session, SessionId, SessionSave};
///
/// let (sessions, planner) = (stores.state().sessions(), "planner".try_into()?);
/// for id in ["ann", "ben"] {
///     let save = SessionSave::new(SessionId::new(id)?, "planner".try_into()?, "Hello");
///     let _ = sessions.save(&save, Durability::Accepted).await?;
/// }
/// let page: Vec<Session> = sessions.list(Some(&planner), PageRequest::first(10)).await?.items;
/// assert_eq!(page.iter().map(|session| session.session.as_str()).collect::<Vec<_>>(), ["ben", "ann"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Session {
    /// The session.
    pub session: SessionId,
    /// The agent that saved it first.
    pub agent: AgentName,
    /// The version. Each save raises it. A session that is created again under the same id has a higher one, unless the server's clock
    /// was set back after it was deleted.
    pub version: u64,
    /// When it was saved first.
    #[serde(rename = "created_ms")]
    pub created: Timestamp,
    /// When it was saved last.
    #[serde(rename = "updated_ms")]
    pub updated: Timestamp,
    /// When it expires, unless it is saved before.
    #[serde(rename = "until_ms")]
    pub until: Timestamp,
    /// The state. `None` in listings and outcomes.
    #[serde(skip)]
    pub state: Option<Bytes>,
}

impl Session {
    /// The largest state, in bytes: 256 KiB.
    pub const MAX_STATE_BYTES: usize = crate::RunInfo::MAX_PAYLOAD_BYTES;

    /// The state, read as JSON; see [`SessionSave::json`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not JSON of this type; the error does not contain the state. [`Error::InvalidArgument`] for a
    /// session of a listing or of an outcome, which has no state.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let (op, without) = (Op::SessionGet, "only a session that `get` returned has its state");
        let state = self.state.as_ref().ok_or_else(|| Error::invalid_argument(op, without))?;
        from_json(op, "the state of the session", state)
    }

    /// The record of a session is that of a run that never begins: its state is the input.
    #[doc(hidden)]
    pub fn of_run(session: SessionId, run: crate::RunInfo) -> Self {
        let crate::RunInfo { agent, version, created, updated, until, input: state, .. } = run;
        Self { session, agent, version, created, updated, until, state }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, agent, version, .. } = self;
        f.debug_struct("Session")
            .field("session", session)
            .field("agent", agent)
            .field("version", version)
            .finish_non_exhaustive()
    }
}

/// One page of [`Sessions::list`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// use twinstore::page::PageRequest;
/// use twinstore::run::{SessionId, SessionPage, SessionSave};
///
/// let sessions = stores.state().sessions();
/// for id in ["ann", "ben", "cai"] {
///     let save = SessionSave::new(SessionId::new(id)?, "planner".try_into()?, "Hello");
///     let _ = sessions.save(&save, Durability::Accepted).await?;
/// }
/// let page: SessionPage = sessions.list(None, PageRequest::first(2)).await?;
/// assert_eq!((page.items.len(), page.total, page.next.is_some()), (2, 3, true));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionPage {
    /// The sessions, without their states.
    pub items: Vec<Session>,
    /// The start of the next page. `None` after the last page.
    pub next: Option<Cursor>,
    /// How many sessions all pages have. Expired sessions that were not swept count.
    pub total: u64,
    /// Sessions of this page that cannot be read: they are damaged, or a newer version of the library wrote them. [`Sessions::get`]
    /// returns which. [`Sessions::delete`] removes a damaged one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<SessionId>,
}

impl SessionPage {
    /// A page.
    pub fn new(items: Vec<Session>, next: Option<Cursor>, total: u64) -> Self {
        Self { items, next, total, unreadable: Vec::new() }
    }

    /// The page of the records of sessions, which are those of runs.
    #[doc(hidden)]
    pub fn of_runs<E>(
        page: crate::RunPage,
        session: impl Fn(crate::RunInfo) -> std::result::Result<Session, E>,
    ) -> std::result::Result<Self, E> {
        let sessions = page.items.into_iter().map(session).collect::<std::result::Result<_, E>>()?;
        // The ids of sessions have the characters of those of runs.
        let unreadable = page.unreadable.iter().filter_map(|id| SessionId::new(id.as_str()).ok()).collect();
        Ok(Self { unreadable, ..Self::new(sessions, page.next, page.total) })
    }
}

/// A save of a session.
///
/// ```
/// use twinstore::run::{SessionId, SessionSave};
/// use twinstore::time::Ttl;
///
/// let save = SessionSave::new(SessionId::new("ann")?, "planner".try_into()?, "Hello");
/// let save = save.with_ttl(Ttl::from_secs(7 * 24 * 3600)).at_version(12);
/// assert_eq!(save.version, Some(12));
/// # Ok::<(), twinstore::name::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionSave {
    /// The session.
    pub session: SessionId,
    /// The agent. Only that of the first save counts.
    pub agent: AgentName,
    /// The state.
    pub state: Bytes,
    /// The version that the session must have. Default `None`: it must have no record.
    pub version: Option<u64>,
    /// How long the session is kept after the last save. Default 24 hours. Only that of the first save counts.
    pub ttl: Ttl,
    /// The identity by which a repetition is recognised. Default random.
    pub request: RequestId,
}

impl SessionSave {
    /// The first save of a session.
    pub fn new(session: SessionId, agent: AgentName, state: impl Into<Bytes>) -> Self {
        let ttl = Ttl::from_secs(24 * 3600);
        Self { session, agent, state: state.into(), version: None, ttl, request: RequestId::generate() }
    }

    /// The first save of a session whose state is a value as JSON. [`Session::json`] reads it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, _) = twinstore::testing::stores();
    /// # use twinstore::durability::Durability;
    /// use twinstore::run::{SessionId, SessionSave};
    ///
    /// let (sessions, ann) = (stores.state().sessions(), SessionId::new("ann")?);
    /// let save = SessionSave::json(ann.clone(), "planner".try_into()?, &["Hello", "To Oslo!"])?;
    /// let _ = sessions.save(&save, Durability::Accepted).await?;
    /// let history: Vec<String> = sessions.get(&ann).await?.unwrap().json()?;
    /// assert_eq!(history, ["Hello", "To Oslo!"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the state cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(session: SessionId, agent: AgentName, state: &T) -> Result<Self> {
        Ok(Self::new(session, agent, to_json(Op::SessionSave, "the state of the session", state)?))
    }

    /// Saves only if the session has this version.
    #[must_use]
    pub fn at_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets how long the session is kept after the last save.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Ttl) -> Self {
        self.ttl = ttl;
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
        let (op, len, most) = (Op::SessionSave, self.state.len(), Session::MAX_STATE_BYTES);
        if len > most {
            return Err(Error::invalid_argument(
                op,
                format!("the state of the session has {len} bytes; at most {most}"),
            ));
        }
        if self.version.is_some_and(|version| version >= 1 << 53) {
            return Err(Error::invalid_argument(op, "versions are below 2^53"));
        }
        Ok(())
    }
}

impl fmt::Debug for SessionSave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, agent, version, .. } = self;
        write!(f, "SessionSave({session:?}, {agent:?}, {version:?}, {} bytes)", self.state.len())
    }
}

/// The outcome of [`Sessions::save`]. The sessions in it have no state.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// use twinstore::run::{SessionId, SessionOutcome, SessionSave};
///
/// let save = SessionSave::new(SessionId::new("ann")?, "planner".try_into()?, "Hello").at_version(12);
/// let outcome = stores.state().sessions().save(&save, Durability::Accepted).await?.value;
/// assert_eq!(outcome, SessionOutcome::Absent); // it was never saved, or it has expired
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionOutcome {
    /// Saved. The session as it is now.
    Saved(Session),
    /// Nothing was saved: the session has another version, or the save presented none. The session as it is now.
    Changed(Session),
    /// Nothing was saved: the session has no record, or that has expired.
    Absent,
}

impl SessionOutcome {
    /// The session, if it was saved.
    pub fn saved(self) -> Option<Session> {
        match self {
            SessionOutcome::Saved(session) => Some(session),
            _ => None,
        }
    }
}

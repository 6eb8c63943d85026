//! What one commit writes, and its outcome.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    Backoff, Delivery, Error, JobId, JobLease, NewJob, Op, Outcome, Pushed, QueueName, RequestId, Result,
    ResumeTokenInfo, RetryPolicy, RunOutcome, RunWrite, SaveRequest, Settled, Settlement, StepAttempt, TokenOutcome,
    validate_output,
};

/// The end of one attempt at a job, and what is written in the same step: see [`Home::commit`](crate::Home::commit).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::sync::Arc;
/// use twinstore::home::{Commit, Committed, Home};
/// use twinstore::prelude::*;
/// use twinstore::queue::{Unique, UniqueKey, UniqueUntil};
/// use twinstore::resume_token::{SaveRequest, StreamName};
///
/// fn page(number: &'static str) -> NewJob {
///     let shop = UniqueKey::new("shop-7").expect("a valid key");
///     NewJob::new(number).with_unique(Unique::new(shop, UniqueUntil::Finished))
/// }
///
/// /// The position of the stream, the next job and the end of this one: all or nothing.
/// async fn import(home: Arc<dyn Home>, job: Job) -> HandlerResult {
///     if job.payload() == "2" {
///         return Ok(Done::discard());
///     }
///     let token = SaveRequest::new(StreamName::new("shop-7")?, "after page 1", job.fence(), None);
///     let commit: Commit = job.commit(()).with_job(page("2")).with_token(token);
///     match home.commit(&commit, Durability::Accepted).await?.value {
///         Committed::Done(parts) => {
///             assert!(parts.pushed[0].is_new());
///             Ok(Done::committed())
///         }
///         Committed::Refused(parts) => Err(JobError::dead(format!("{parts:?}"))),
///     }
/// }
///
/// let (pages, shop) = (QueueName::new("pages")?, UniqueKey::new("shop-7")?);
/// stores.state().queue().push_one(&pages, page("1")).await?;
/// let home = stores.state().home(&pages, &shop);
/// let own = home.clone();
/// let worker = stores.state().worker().with_queue("pages", move |job: Job| import(own.clone(), job));
/// let report = twinstore::testing::run_until_empty(worker.build()?, stores.state()).await?;
/// assert_eq!((report.stats.completed, report.stats.lost), (2, 0));
/// let token = home.resume_tokens().load(&StreamName::new("shop-7")?).await?;
/// assert_eq!(token.expect("it was saved").token, "after page 1");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// How the attempt at the job ended.
    pub settlement: Settlement,
    /// The jobs that are pushed to the same partition of the queue. A job without an id gets one that depends on `request`. A
    /// job that has a unique key or an id must belong to the partition. The key of the settled job is free if the
    /// settlement releases it.
    pub jobs: Vec<NewJob>,
    /// The step that this attempt finishes, and its output.
    pub step: Option<(StepAttempt, Bytes)>,
    /// The write to a run. Its own identity is replaced by `request`.
    pub run: Option<RunWrite>,
    /// The token that is saved. Its own identity is replaced by `request`.
    pub token: Option<SaveRequest>,
    /// What is sent elsewhere. The commit records it in the outbox of the queue, and a worker of the queue delivers it.
    pub deliveries: Vec<Delivery>,
    /// The identity by which a repetition is recognised. Default random: only a call with the same `Commit` is recognised as a
    /// repetition. Set one that depends
    /// on the work, such as a hash of the job's id and of the version of the token, if the next delivery of the job must recognise what a
    /// server that crashed has written. Never set that of another commit: the deliveries of the later one count as those of the
    /// earlier one, and are lost while the outbox or their destination knows these.
    pub request: RequestId,
}

impl Commit {
    /// How many jobs and deliveries one commit has at most.
    pub const MAX_JOBS: usize = JobId::MAX_IN_BATCH;

    /// A commit that only settles the job with this lease.
    pub fn new(lease: JobLease, outcome: Outcome) -> Self {
        let settlement = Settlement::new(lease, outcome);
        let (jobs, deliveries, request) = (Vec::new(), Vec::new(), RequestId::generate());
        Self { settlement, jobs, step: None, run: None, token: None, deliveries, request }
    }

    /// Adds a job to push.
    #[must_use]
    pub fn with_job(mut self, job: NewJob) -> Self {
        self.jobs.push(job);
        self
    }

    /// Sets the step that this attempt finishes, and its output.
    #[must_use]
    pub fn with_step(mut self, attempt: StepAttempt, output: impl Into<Bytes>) -> Self {
        self.step = Some((attempt, output.into()));
        self
    }

    /// Sets the write to a run.
    #[must_use]
    pub fn with_run(mut self, write: RunWrite) -> Self {
        self.run = Some(write);
        self
    }

    /// Sets the token to save.
    #[must_use]
    pub fn with_token(mut self, save: SaveRequest) -> Self {
        self.token = Some(save);
        self
    }

    /// Adds what is sent elsewhere.
    #[must_use]
    pub fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.deliveries.push(delivery);
        self
    }

    /// Sets the identity.
    #[must_use]
    pub fn with_request(mut self, request: RequestId) -> Self {
        self.request = request;
        self
    }

    /// The commit at the home in this partition of `queue`: with the identities of its parts, and with ids for the jobs that have none.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a part exceeds its limits.
    #[doc(hidden)]
    pub fn prepared(&self, queue: &QueueName, partition: u16) -> Result<Self> {
        let refused = |detail: String| Err(Error::invalid_argument(Op::HomeCommit, detail));
        let mut commit = self.clone();
        Settlement::validate_all(std::slice::from_ref(&commit.settlement))?;
        let (len, most) = (commit.jobs.len() + commit.deliveries.len(), Self::MAX_JOBS);
        if len > most {
            return refused(format!("{len} jobs and deliveries in one commit; at most {most}"));
        }
        if queue.is_outbox() && !commit.deliveries.is_empty() {
            return refused(
                "an outbox has no outbox: a commit that ends one of its entries records no deliveries".into(),
            );
        }
        if !commit.jobs.is_empty() {
            NewJob::validate_all(&commit.jobs)?;
        }
        let batch = JobId::batch_from(*commit.request.as_bytes(), partition);
        let [a, b, c, d, ..] = *commit.request.as_bytes();
        for (position, job) in (0..).zip(&mut commit.jobs) {
            job.id.get_or_insert_with(|| batch.job(position));
            job.request = u32::from_be_bytes([a, b, c, d]);
        }
        for (index, delivery) in commit.deliveries.iter().enumerate() {
            if let Err(error) = delivery.validate() {
                return refused(format!("delivery {index}: {}", error.detail()));
            }
        }
        if let Some((attempt, output)) = &commit.step {
            attempt.validate(Op::StepFinish)?;
            validate_output(output)?;
        }
        if let Some(write) = &mut commit.run {
            write.request = commit.request;
            write.validate()?;
        }
        if let Some(save) = &mut commit.token {
            save.request = commit.request;
            save.validate()?;
        }
        Ok(commit)
    }

    /// The jobs of the outbox that a prepared commit records. Their ids depend on its identity.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a delivery is too large.
    #[doc(hidden)]
    pub fn entries(&self, partition: u16) -> Result<Vec<NewJob>> {
        // Ids of another batch than those of the jobs that it pushes.
        let batch = JobId::batch_from(self.request.as_bytes().map(|byte| !byte), partition);
        let [a, b, c, d, ..] = *self.request.as_bytes();
        let backoff = Backoff::Exponential { first: Duration::from_secs(1), max: Duration::from_secs(60) };
        let entry = |(position, delivery): (u8, &Delivery)| {
            let job = NewJob::new(delivery.encode()?)
                .with_id(batch.job(position))
                .with_retry(RetryPolicy::new(u16::MAX, backoff))
                .with_start_within(Delivery::LIFE);
            Ok(NewJob { request: u32::from_be_bytes([a, b, c, d]), ..job })
        };
        let entries = (0..).zip(&self.deliveries).map(entry).collect::<Result<Vec<_>>>()?;
        if let Some(error) = NewJob::validate_all(&entries).err().filter(|_| !entries.is_empty()) {
            let detail = format!("the deliveries, as jobs of the outbox with their settings: {}", error.detail());
            return Err(Error::invalid_argument(Op::HomeCommit, detail));
        }
        Ok(entries)
    }
}

/// The outcome of a commit.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::sync::Arc;
/// use twinstore::home::{Committed, Home};
/// use twinstore::prelude::*;
/// use twinstore::queue::UniqueKey;
/// use twinstore::run::{RunId, RunOutcome, RunState, RunWrite};
///
/// async fn finish(home: Arc<dyn Home>, job: Job) -> HandlerResult {
///     let write = RunWrite::new(RunId::new("all")?).to(RunState::Completed, 7);
///     match home.commit(&job.commit(()).with_run(write), Durability::Accepted).await?.value {
///         Committed::Done(_) => unreachable!("the home has no such run"),
///         Committed::Refused(parts) => {
///             assert_eq!(parts.run, Some(RunOutcome::Absent));
///             Ok(Done::discard()) // the job is not settled yet
///         }
///     }
/// }
///
/// # let imports = QueueName::new("imports")?;
/// # stores.state().queue().push_one(&imports, NewJob::new("all")).await?;
/// # let home = stores.state().home(&imports, &UniqueKey::new("all")?);
/// let worker = stores.state().worker().with_queue("imports", move |job: Job| finish(home.clone(), job));
/// let report = twinstore::testing::run_until_empty(worker.build()?, stores.state()).await?;
/// assert_eq!(report.stats.completed, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Committed {
    /// Everything is written.
    Done(CommitParts),
    /// Nothing is written, because at least one part is refused. The other answers are what a commit without it would have returned.
    Refused(CommitParts),
}

impl Committed {
    /// The answers, if everything is written.
    pub fn done(self) -> Option<CommitParts> {
        match self {
            Committed::Done(parts) => Some(parts),
            Committed::Refused(_) => None,
        }
    }
}

/// The answer to each part of a commit.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::sync::Arc;
/// use twinstore::home::{CommitParts, Committed, Home};
/// use twinstore::prelude::*;
/// use twinstore::queue::UniqueKey;
///
/// async fn finish(home: Arc<dyn Home>, job: Job) -> HandlerResult {
///     let _ = home.commit(&job.commit(()), Durability::Accepted).await?;
///     // The delivery has ended: another commit of it writes nothing.
///     let late = job.commit(()).with_job(NewJob::new("next"));
///     match home.commit(&late, Durability::Accepted).await?.value {
///         Committed::Refused(CommitParts { settled, pushed, .. }) => {
///             assert!(settled.is_lost() && pushed[0].is_new()); // the job would have been pushed
///             Ok(Done::committed())
///         }
///         Committed::Done(_) => unreachable!("the lease has ended"),
///     }
/// }
///
/// # let imports = QueueName::new("imports")?;
/// # stores.state().queue().push_one(&imports, NewJob::new("all")).await?;
/// # let home = stores.state().home(&imports, &UniqueKey::new("all")?);
/// let worker = stores.state().worker().with_queue("imports", move |job: Job| finish(home.clone(), job));
/// let report = twinstore::testing::run_until_empty(worker.build()?, stores.state()).await?;
/// assert_eq!(report.stats.completed, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitParts {
    /// The settlement.
    pub settled: Settled,
    /// The jobs, in the order given.
    pub pushed: Vec<Pushed>,
    /// Whether the step has this output. `None` if there is no step.
    pub step: Option<bool>,
    /// The run. `None` if there is no write to a run.
    pub run: Option<RunOutcome>,
    /// The token. `None` if there is no token.
    pub token: Option<TokenOutcome<ResumeTokenInfo>>,
}

impl CommitParts {
    /// The answers to a settlement and to these jobs. Engines set the other fields.
    #[doc(hidden)]
    pub fn new(settled: Settled, pushed: Vec<Pushed>) -> Self {
        Self { settled, pushed, step: None, run: None, token: None }
    }

    /// The outcome of a commit with these answers.
    #[doc(hidden)]
    pub fn into_committed(self) -> Committed {
        let is_refused = self.settled.is_lost()
            || !self.pushed.iter().all(Pushed::is_new)
            || self.step == Some(false)
            || self.run.as_ref().is_some_and(|run| !matches!(run, RunOutcome::Done(_)))
            || self.token.as_ref().is_some_and(|token| !matches!(token, TokenOutcome::Done(_)));
        if is_refused { Committed::Refused(self) } else { Committed::Done(self) }
    }
}

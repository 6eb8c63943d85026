//! Homes: steps, runs and resume tokens beside the jobs of a partition, and commits that write several of them together.

mod commit;
mod delivery;
mod outbox_entry;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Durability, QueueName, Receipt, Result, ResumeTokens, Runs, RunsRemoved, Steps, UniqueKey};

pub use commit::{Commit, CommitParts, Committed};
pub use delivery::Delivery;
pub use outbox_entry::{Delivered, OutboxEntry};

/// The homes of the state store, and the outboxes of their commits.
///
/// **Outboxes.** The outbox of a queue ([`QueueName::outbox`]) is a queue itself: its jobs are the entries that commits of the
/// queue's homes have recorded, one for each [`Delivery`]. It has the partitions of the queue. Everything that queues have applies to
/// it: claims and leases, retries, dead jobs, listings, replay, pause. A process claims entries as it claims other jobs, and calls
/// [`deliver`](Homes::deliver) for each. If the call returns an error, the process settles the entry as
/// [`Outcome::Retry`](crate::Outcome::Retry), by the retry policy of the entry. A job that was pushed directly to an outbox and
/// is no entry becomes dead when it is delivered.
#[async_trait]
pub trait Homes: Send + Sync + fmt::Debug {
    /// The home in the partition of `queue` that has the jobs with this unique key. Sends nothing. The first call that writes to a
    /// home of a queue that does not exist creates the queue.
    fn home(&self, queue: &QueueName, key: &UniqueKey) -> Arc<dyn Home>;

    /// `async fn deliver(&self, entry: &OutboxEntry, durability: Durability) -> Result<Delivered>`
    ///
    /// Sends an entry of an outbox to its destination, with this durability, and removes the entry. An entry that its destination
    /// refuses for good becomes dead, with the reason; replay it when the cause is removed.
    ///
    /// **Once.** However often an entry is delivered, also by several processes and after lost replies, its job is pushed once, and
    /// its event is appended once. On servers, the destination remembers the entry until it is removed, then for the time of the lease
    /// and 2 s more, and no copy of the call is executed after the end of the lease that the caller holds. So a process that was suspended
    /// repeats nothing. (It measures the lease by its own clock: a virtual machine whose clock stops while it is suspended must
    /// not be suspended for longer than that.) An entry that is replayed more than [`Delivery::LIFE`] after its last attempt,
    /// if that attempt had no answer, may be delivered twice; so may one whose destination crashed within a script, on a server
    /// that does not execute scripts as a whole (Kvrocks), if before the next attempt the job was completed and removed, or the event was
    /// removed by the bounds of its topic.
    ///
    /// **Cost.** On servers three round trips: the push or append, the settlement of the entry, and one that shortens how long the
    /// destination remembers the entry. The embedded store executes one transaction.
    ///
    /// # Errors
    /// Those of [`Queue::push`](crate::Queue::push) or [`Topics::append`](crate::Topics::append), and of
    /// [`Queue::settle`](crate::Queue::settle). The entry stays in the outbox, even if a part was executed; deliver it again.
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the queue is no outbox.
    async fn deliver(&self, entry: &OutboxEntry, durability: Durability) -> Result<Delivered>;

    /// `async fn recorded(&self, queue: &QueueName)`
    ///
    /// Waits until a commit of this process has recorded deliveries in the outbox of `queue`. Returns immediately if one has done so
    /// since the last return. Spurious returns are possible. If several tasks wait, one of them returns. Sends nothing: entries
    /// of other processes are found only by claims.
    async fn recorded(&self, queue: &QueueName);

    /// `async fn sweep_homes(&self, queue: &QueueName) -> Result<RunsRemoved>`
    ///
    /// Calls [`Runs::sweep`] for each home of a queue: removes up to 1,000 expired runs of each, and their entries in listings. Call it
    /// until `left` is 0. [Workers](crate::Runs) do so for their queues. A queue that does not exist has no home. One round trip for each
    /// partition in which no run has expired, one after the other.
    ///
    /// # Errors
    /// Those of [`Runs::sweep`].
    async fn sweep_homes(&self, queue: &QueueName) -> Result<RunsRemoved>;
}

/// A home: a partition of a queue, whose jobs are stored beside steps, runs of agents and resume tokens. All of these are on one
/// server, so one [`commit`](Home::commit) ends a job and changes the others.
///
/// A commit also records what it sends elsewhere: see [`Delivery`].
///
/// The home of a unique key is where the jobs with this key are. [`Home::steps`], [`Home::runs`] and [`Home::resume_tokens`] have
/// the same promises as those of the namespace. Their names are separate: a run with an id in a home is not the run with that id
/// of the namespace, and listings return those of the home alone. Several keys share a home, and how many depends on the number of
/// partitions, so choose names that are unique in the queue.
///
/// Every call returns [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the store declares another number of partitions
/// for the queue than the queue has.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::sync::Arc;
/// use twinstore::durability::Durability;
/// use twinstore::home::Home;
/// use twinstore::queue::{QueueName, UniqueKey};
/// use twinstore::run::{NewRun, RunId};
///
/// let imports = QueueName::new("imports")?;
/// let home: Arc<dyn Home> = stores.state().home(&imports, &UniqueKey::new("shop-7")?);
/// let new = NewRun::new(RunId::new("shop-7")?, "importer".try_into()?);
/// assert!(home.runs().create(&new, Durability::Accepted).await?.value.done().is_some());
/// assert_eq!(stores.state().runs().get(&new.run).await?, None); // it is a run of the home
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Home: Send + Sync + fmt::Debug {
    /// `fn steps(&self) -> Arc<dyn Steps>`
    ///
    /// The steps of workflow runs of this home. They also belong to the service, as those of the store do.
    fn steps(&self) -> Arc<dyn Steps>;

    /// `fn runs(&self) -> Arc<dyn Runs>`
    ///
    /// The runs of agents of this home. Their writes notify no process: to follow such a run, call
    /// [`Runs::events`](crate::Runs::events) at an interval of your choice.
    ///
    /// A home has its own listings. The workers of the queue sweep them ([`Homes::sweep_homes`]), [`Runs::sweep`](crate::Runs::sweep) of
    /// this handle does, and so do the creations of runs in this home, up to 10 expired runs each.
    fn runs(&self) -> Arc<dyn Runs>;

    /// `fn resume_tokens(&self) -> Arc<dyn ResumeTokens>`
    ///
    /// The resume tokens of the streams of this home.
    fn resume_tokens(&self) -> Arc<dyn ResumeTokens>;

    /// `async fn commit(&self, commit: &Commit, durability: Durability) -> Result<Receipt<Committed>>`
    ///
    /// Settles a job under its lease, and in the same step pushes jobs, finishes a step, writes a run and saves a resume token, all
    /// of this home, and records deliveries in the outbox. All parts are checked first. If one is refused, nothing is written, and [`Committed::Refused`] has the answer
    /// to each part. One round trip.
    ///
    /// **Repetition.** A commit has an identity, [`Commit::request`]. If a reply is lost, the store sends the same request again. The
    /// store remembers a commit as long as it may be sent again, and gives a repetition the first answer; later, the lease of
    /// the job is lost.
    ///
    /// **Crashes.** Redis and Valkey execute a commit as a whole: a crash leaves all of it or nothing. A server that does not
    /// (Kvrocks) writes the jobs, the step, the run, the token, the deliveries, and last the settlement. If it crashes in between, a prefix
    /// of these is visible, and the job is delivered again. A commit with the same identity ([`Commit::request`]) finishes the rest: it
    /// recognises the parts that were written. A pushed job is recognised as long as the queue has it, so one that was completed and
    /// removed meanwhile is pushed again, and so is one that was delivered elsewhere.
    ///
    /// A commit with another identity, which is the default, recognises only a step that the same attempt has finished. It is
    /// refused for the run, for the token, and for a job with an id of the caller that was written; leave these parts out and commit again.
    /// It pushes a job without an id again, and records the deliveries again.
    ///
    /// A commit that pushes and delivers nothing and whose run ends or is not written also works if the server's memory is full.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the job has another home, if a pushed job belongs to another
    /// partition, or if a part exceeds its limits; [`Error::Indeterminate`](crate::Error::Indeterminate) if the job is settled and
    /// the store cannot tell whether an earlier copy of this call did it; [`Error::NotDurable`](crate::Error::NotDurable): everything
    /// is written.
    async fn commit(&self, commit: &Commit, durability: Durability) -> Result<Receipt<Committed>>;
}

//! Homes: steps, runs and resume tokens beside the jobs of a partition, and commits that write several of them together.

mod commit;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Durability, QueueName, Receipt, Result, ResumeTokens, Runs, Steps, UniqueKey};

pub use commit::{Commit, CommitParts, Committed};

/// The homes of the state store.
pub trait Homes: Send + Sync + fmt::Debug {
    /// The home in the partition of `queue` that has the jobs with this unique key. Sends nothing. The first call that writes to a
    /// home of a queue that does not exist creates the queue.
    fn home(&self, queue: &QueueName, key: &UniqueKey) -> Arc<dyn Home>;
}

/// A home: a partition of a queue, whose jobs are stored beside steps, runs of agents and resume tokens. All of these are on one
/// server, so one [`commit`](Home::commit) ends a job and changes the others.
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
    fn runs(&self) -> Arc<dyn Runs>;

    /// `fn resume_tokens(&self) -> Arc<dyn ResumeTokens>`
    ///
    /// The resume tokens of the streams of this home.
    fn resume_tokens(&self) -> Arc<dyn ResumeTokens>;

    /// `async fn commit(&self, commit: &Commit, durability: Durability) -> Result<Receipt<Committed>>`
    ///
    /// Settles a job under its lease, and in the same step pushes jobs, finishes a step, writes a run and saves a resume token, all
    /// of this home. All parts are checked first. If one is refused, nothing is written, and [`Committed::Refused`] has the answer
    /// to each part. One round trip.
    ///
    /// **Repetition.** A commit has an identity, [`Commit::request`]. If a reply is lost, the store sends the same request again. The
    /// store remembers a commit as long as it may be sent again, and gives a repetition the first answer; later, the lease of
    /// the job is lost.
    ///
    /// **Crashes.** Redis and Valkey execute a commit as a whole: a crash leaves all of it or nothing. A server that does not
    /// (Kvrocks) writes the jobs, the step, the run, the token, and last the settlement. If it crashes in between, the job is delivered
    /// again, and a commit with the same identity finishes the rest: it recognises the parts that were written. A pushed job is
    /// recognised as long as the queue has it, so one that was completed and removed meanwhile is pushed again.
    ///
    /// A commit that pushes nothing and whose run ends or is not written also works if the server's memory is full.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the job has another home, if a pushed job belongs to another
    /// partition, or if a part exceeds its limits; [`Error::Indeterminate`](crate::Error::Indeterminate) if the job is settled and
    /// the store cannot tell whether an earlier copy of this call did it; [`Error::NotDurable`](crate::Error::NotDurable): everything
    /// is written.
    async fn commit(&self, commit: &Commit, durability: Durability) -> Result<Receipt<Committed>>;
}

//! What a namespace of the state store contains.

use std::fmt;

use async_trait::async_trait;

use crate::{Cursor, LeaseName, Page, PoolName, QueueName, Result, Scope, TopicName};

/// Lists what the namespace contains, of all services. For operators and dashboards, not for hot paths: a complete listing on
/// a server walks over all its keys.
///
/// Each call is one bounded step, which looks at about 1,000 entries. A page may be empty although others follow: continue
/// until [`Page::next`] is `None`. A listing contains each name at least once if it exists from the first step to the last,
/// in any order. A name that appears or disappears meanwhile may be missing.
///
/// A cursor belongs to the listing that returned it. With another listing's cursor, a page may be incomplete.
///
/// # Errors
/// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if a text is no cursor of any listing.
/// [`Error::Forbidden`](crate::Error::Forbidden) if the user of a server may not send `SCAN`, which only these listings need
/// and which shows the names of all keys of the server.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::sync::Arc;
/// use twinstore::queue::{Inventory, NewJob, QueueExt, QueueName};
///
/// let mails = QueueName::new("mails")?;
/// stores.state().queue().push_one(&mails, NewJob::new("to ann")).await?;
/// let inventory: Arc<dyn Inventory> = stores.state().inventory();
/// let (mut names, mut cursor) = (Vec::new(), None);
/// loop {
///     let page = inventory.queues(cursor).await?;
///     names.extend(page.items);
///     cursor = page.next;
///     if cursor.is_none() {
///         break;
///     }
/// }
/// assert_eq!(names, [mails]);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Inventory: Send + Sync + fmt::Debug {
    /// `async fn queues(&self, after: Option<Cursor>) -> Result<Page<QueueName>>`
    ///
    /// Lists the queues that have or had jobs, or are paused.
    async fn queues(&self, after: Option<Cursor>) -> Result<Page<QueueName>>;

    /// `async fn leases(&self, after: Option<Cursor>) -> Result<Page<(Scope, LeaseName)>>`
    ///
    /// Lists the leases that are held or were held in the last 24 hours. [`Leases::inspect`](crate::Leases::inspect) of a
    /// handle with the same scope returns the holder.
    async fn leases(&self, after: Option<Cursor>) -> Result<Page<(Scope, LeaseName)>>;

    /// `async fn pools(&self, after: Option<Cursor>) -> Result<Page<(Scope, PoolName)>>`
    ///
    /// Lists the pools that have members, alive or lost. [`Heartbeats::alive`](crate::Heartbeats::alive) of a handle with
    /// the same scope returns the members.
    async fn pools(&self, after: Option<Cursor>) -> Result<Page<(Scope, PoolName)>>;

    /// `async fn declared_topics(&self, after: Option<Cursor>) -> Result<Page<TopicName>>`
    ///
    /// Lists the topics that were declared. [`Topics::inspect`](crate::Topics::inspect) returns their partitions and groups.
    async fn declared_topics(&self, after: Option<Cursor>) -> Result<Page<TopicName>>;
}

//! Pages of listings, and the cursors between them.

use std::fmt;

use serde::Serialize;

/// The start of the next page of a listing. Opaque, and valid only for the listing that returned it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::page::{Cursor, PageRequest};
/// use twinstore::queue::JobState;
/// # use twinstore::queue::{NewJob, QueueExt, QueueName};
///
/// # let (mails, queue) = (QueueName::new("mails")?, stores.state().queue());
/// # for payload in ["a", "b", "c"] {
/// #     queue.push_one(&mails, NewJob::new(payload)).await?;
/// # }
/// # let inspect = stores.state().inspect();
/// let page = inspect.list(&mails, JobState::Ready, PageRequest::first(2)).await?;
/// let text = page.next.unwrap().as_str().to_owned(); // for a link to the next page
///
/// let request = PageRequest::first(2).with_cursor(Cursor::new(text));
/// let page = inspect.list(&mails, JobState::Ready, request).await?;
/// assert_eq!((page.items.len(), page.next), (1, None));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor from its text: what [`Cursor::as_str`] returned, or what an engine encodes.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, to give it to a client and get it back later.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursor(…)")
    }
}

/// A request for one page of a listing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::page::PageRequest;
/// use twinstore::queue::JobState;
/// # use twinstore::queue::{NewJob, QueueExt, QueueName};
///
/// # let (mails, queue) = (QueueName::new("mails")?, stores.state().queue());
/// # for payload in ["a", "b", "c"] {
/// #     queue.push_one(&mails, NewJob::new(payload)).await?;
/// # }
/// # let inspect = stores.state().inspect();
/// let (mut request, mut jobs) = (PageRequest::first(2), 0);
/// loop {
///     let page = inspect.list(&mails, JobState::Ready, request).await?;
///     jobs += page.items.len();
///     let Some(next) = page.next else { break };
///     request = PageRequest::first(2).with_cursor(next);
/// }
/// assert_eq!(jobs, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    limit: u32,
    after: Option<Cursor>,
}

impl PageRequest {
    /// The largest number of items in a page.
    pub const MAX_LIMIT: u32 = 1000;

    /// The first page, of at most `limit` items. The limit is clamped to 1 to [`PageRequest::MAX_LIMIT`].
    pub fn first(limit: u32) -> Self {
        Self { limit: limit.clamp(1, Self::MAX_LIMIT), after: None }
    }

    /// The page that starts at `cursor`.
    #[must_use]
    pub fn with_cursor(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// The largest number of items.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The start of the page. `None` for the first page.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.after.as_ref()
    }
}

impl Default for PageRequest {
    /// The first page, of at most 100 items.
    fn default() -> Self {
        Self::first(100)
    }
}

/// One page of a listing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::page::{Page, PageRequest};
/// use twinstore::queue::{JobInfo, JobState};
/// # use twinstore::queue::{NewJob, QueueExt, QueueName};
///
/// # let (mails, queue) = (QueueName::new("mails")?, stores.state().queue());
/// # for payload in ["a", "b", "c"] {
/// #     queue.push_one(&mails, NewJob::new(payload)).await?;
/// # }
/// # let inspect = stores.state().inspect();
/// let page: Page<JobInfo> = inspect.list(&mails, JobState::Ready, PageRequest::first(2)).await?;
/// assert_eq!(page.items.len(), 2);
/// assert!(page.next.is_some()); // one job is left
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The items, at most as many as were requested.
    pub items: Vec<T>,
    /// The start of the next page. `None` after the last page.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// A page.
    pub fn new(items: Vec<T>, next: Option<Cursor>) -> Self {
        Self { items, next }
    }
}

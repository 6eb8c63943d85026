//! Assertions on the jobs that were pushed.

use std::fmt::Debug;
use std::panic::Location;

use store_core::{Error, JobState, JobType, Op, PageRequest, QueueName, Result};

use crate::State;

/// The payloads of the waiting jobs of this type: first the ready ones, in the order in which a worker claims them, then the
/// scheduled ones, in the order in which they become due. One call to the store per job.
///
/// ```
/// use twinstore::prelude::*;
/// use twinstore::testing;
///
/// # #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// # struct Mail(String);
/// # impl twinstore::queue::JobType for Mail { const QUEUE: &'static str = "mails"; }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (stores, _) = testing::stores();
/// let state = stores.state();
/// let mail = Mail("ann@example.org".into());
/// state.queue_of::<Mail>().push(&mail).await?;
/// assert_eq!(testing::pushed::<Mail>(state).await?, [mail]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`QueueInspect`](store_core::QueueInspect). [`Error::Corrupt`] if a payload is not of this type.
pub async fn pushed<T: JobType>(state: &State) -> Result<Vec<T>> {
    let (queue, inspect) = (QueueName::of::<T>(), state.inspect());
    let mut payloads = Vec::new();
    for state in [JobState::Ready, JobState::Scheduled] {
        let mut cursor = None;
        loop {
            let mut request = PageRequest::default();
            if let Some(cursor) = cursor.take() {
                request = request.with_cursor(cursor);
            }
            let page = inspect.list(&queue, state, request).await?;
            for listed in page.items {
                let Some(job) = inspect.get(&queue, &listed.id).await? else { continue };
                let payload = serde_json::from_slice(&job.payload).map_err(|error| {
                    let id = &listed.id;
                    Error::corrupt(
                        Op::QueueGet,
                        format!("the payload of job {id} is not of its type: column {}", error.column()),
                    )
                })?;
                payloads.push(payload);
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
    }
    Ok(payloads)
}

/// Checks that a job with this payload waits in its queue.
///
/// ```
/// use twinstore::prelude::*;
/// use twinstore::testing;
///
/// # #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// # struct Mail(String);
/// # impl twinstore::queue::JobType for Mail { const QUEUE: &'static str = "mails"; }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (stores, _) = testing::stores();
/// let state = stores.state();
/// let mail = Mail("ann@example.org".into());
/// state.queue_of::<Mail>().push(&mail).await?;
/// testing::assert_pushed(state, &mail).await;
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// If there is none; the message lists what waits. Also if the store returns an error.
#[track_caller]
pub fn assert_pushed<'a, T: JobType + PartialEq + Debug>(
    state: &'a State,
    expected: &'a T,
) -> impl Future<Output = ()> + Send + 'a {
    let caller = Location::caller();
    async move {
        let pushed = waiting::<T>(state, caller).await;
        assert!(
            pushed.contains(expected),
            "{caller}: {expected:?} was not pushed to {}; it holds {pushed:?}",
            T::QUEUE
        );
    }
}

/// Checks that no job of this type waits in its queue.
///
/// ```
/// use twinstore::prelude::*;
/// use twinstore::testing;
///
/// # #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// # struct Mail(String);
/// # impl twinstore::queue::JobType for Mail { const QUEUE: &'static str = "mails"; }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (stores, _) = testing::stores();
/// testing::assert_nothing_pushed::<Mail>(stores.state()).await;
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// If there is one; the message lists what waits. Also if the store returns an error.
#[track_caller]
pub fn assert_nothing_pushed<T: JobType + Debug>(state: &State) -> impl Future<Output = ()> + Send + '_ {
    let caller = Location::caller();
    async move {
        let pushed = waiting::<T>(state, caller).await;
        assert!(pushed.is_empty(), "{caller}: {} is not empty; it holds {pushed:?}", T::QUEUE);
    }
}

async fn waiting<T: JobType>(state: &State, caller: &Location<'_>) -> Vec<T> {
    pushed(state).await.unwrap_or_else(|error| panic!("{caller}: cannot read {}: {error}", T::QUEUE))
}

//! [`Pings`]: which stores answer.

use redis_link::Link;
use store_core::{Error, Role};
use tokio::task::JoinSet;

use crate::StartError;

/// The answer of each role's store to [`Stores::ping`](crate::Stores::ping).
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub struct Pings {
    /// The cache store: its service's database and the one for hand-offs.
    pub cache: Result<(), Error>,
    /// The worker state store.
    pub state: Result<(), Error>,
}

impl Pings {
    /// Pings all links concurrently. A role without links counts as answering. The first error of each role is kept.
    pub(crate) async fn ask(links: &[(Role, Link)]) -> Self {
        let mut asked = JoinSet::new();
        for (role, link) in links {
            let (role, link) = (*role, link.clone());
            asked.spawn(async move { (role, link.ping().await) });
        }
        let mut pings = Self { cache: Ok(()), state: Ok(()) };
        while let Some(answer) = asked.join_next().await {
            // A task without a result was ended with the runtime.
            let Ok((role, answer)) = answer else { continue };
            let of_role = match role {
                Role::Cache => &mut pings.cache,
                Role::State => &mut pings.state,
            };
            if of_role.is_ok() {
                *of_role = answer;
            }
        }
        pings
    }

    /// The answer of one role's store.
    ///
    /// # Errors
    /// Why it did not answer.
    pub fn of(&self, role: Role) -> Result<(), &Error> {
        match role {
            Role::Cache => self.cache.as_ref().copied(),
            Role::State => self.state.as_ref().copied(),
        }
    }

    /// Whether both stores answer.
    pub fn is_ok(&self) -> bool {
        self.cache.is_ok() && self.state.is_ok()
    }

    /// Nothing if both stores answer, for callers who need both.
    ///
    /// # Errors
    /// [`StartError::Store`] for a store that does not answer; for the worker state store if neither does.
    pub fn into_result(self) -> Result<(), StartError> {
        self.state.map_err(StartError::of(Role::State))?;
        self.cache.map_err(StartError::of(Role::Cache))
    }
}

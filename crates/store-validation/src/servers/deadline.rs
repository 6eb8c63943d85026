//! The time limit of the whole preflight.

use std::time::Duration;

use store_core::Role;
use tokio::time::Instant;

use crate::draft::Draft;

/// How long all checks of both servers may take in all, unless one connect time-out is longer.
const LIMIT: Duration = Duration::from_secs(10);

/// The moment at which the preflight of an environment ends, even if answers are missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The deadline of a preflight that starts now.
    pub(crate) fn of(draft: &Draft) -> Self {
        let servers = [Role::Cache, Role::State].into_iter().filter_map(|role| draft.server(role));
        let longest = servers.map(|server| server.connect_timeout).max().unwrap_or_default();
        Self(Instant::now() + longest.max(LIMIT))
    }

    /// The result, or `None` if the deadline comes first.
    pub(crate) async fn within<T>(self, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.0, Box::pin(work)).await.ok()
    }

    /// The time-out of one question: a little more than the time that is left, so that the deadline finds a silent server,
    /// not the time-out of a question.
    pub(crate) fn patience(self) -> Duration {
        self.0.saturating_duration_since(Instant::now()) + Duration::from_secs(1)
    }
}

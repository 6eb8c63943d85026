//! Refreshes the claims of a running service, so that it keeps its database number.

use std::time::Duration;

use store_validation::{Claims, Code};
use tokio::task::JoinHandle;

/// The time between two refreshes. A number is free seven days after the last one.
const EVERY: Duration = Duration::from_secs(3600);

/// The time until a refresh is tried again if a server does not answer.
const AGAIN: Duration = Duration::from_secs(60);

/// A task that refreshes claims until it is dropped.
pub(crate) struct Presence {
    task: JoinHandle<()>,
}

impl Presence {
    /// Starts the task. `None` if nothing is claimed, because both stores are embedded.
    pub(crate) fn keep(claims: Claims) -> Option<Self> {
        (!claims.is_empty()).then(|| Self::refreshing(claims, EVERY, AGAIN))
    }

    fn refreshing(claims: Claims, every: Duration, again: Duration) -> Self {
        let task = tokio::spawn(async move {
            let mut pause = every;
            loop {
                tokio::time::sleep(pause).await;
                let findings = Box::pin(claims.refresh()).await;
                let is_away = findings.iter().any(|finding| finding.code == Code::Unreachable);
                pause = if is_away { again.min(every) } else { every };
            }
        });
        Self { task }
    }

    /// Ends the task, even if other clones of the stores exist.
    pub(crate) fn end(&self) {
        self.task.abort();
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use store_validation::{Claims, Environment, validate};
    use testkit::{DEADLINE, RedisServer, wait_until};

    use super::Presence;

    async fn owner_keys(state: &RedisServer) -> Vec<String> {
        state.command(&["KEYS", "twinstore:owner:*"]).await.unwrap().as_strings().unwrap()
    }

    async fn claims(cache: &RedisServer, state: &RedisServer) -> Claims {
        let environment = Environment::from_variables([
            ("SERVICE_NAME", "billing".to_owned()),
            ("REDIS_CONN_BASE_URL", cache.url(None)),
            ("REDIS_CACHE_DB", "3".to_owned()),
            ("REDIS_WORKERCACHE_CONN_URL", state.url(None)),
        ]);
        validate(&environment).await.unwrap().claims
    }

    #[tokio::test]
    async fn a_service_that_runs_stays_seen_and_one_that_ends_does_not() {
        let (cache, state) = (RedisServer::cache().start().await.unwrap(), RedisServer::state().start().await.unwrap());
        let claims = claims(&cache, &state).await;
        let millisecond = Duration::from_millis(1);
        let presence = Presence::refreshing(claims, millisecond, millisecond);
        for server in [&cache, &state] {
            server.command(&["FLUSHALL"]).await.unwrap();
        }
        let is_restored = async || {
            cache.command_in(3, &["EXISTS", "twinstore:owner"]).await.unwrap().as_integer() == Some(1)
                && owner_keys(&state).await.len() == 1
        };
        wait_until("the claims are restored", DEADLINE, is_restored).await;
        state.kill().await;
        state.start_again().await.unwrap();
        state.command(&["FLUSHALL"]).await.unwrap();
        wait_until("the claims are restored after an outage", DEADLINE, is_restored).await;

        presence.end();
        let task = &presence.task;
        wait_until("the task has ended", DEADLINE, async || task.is_finished()).await;
        // the last refresh may still open a connection
        wait_until("no connection is left", DEADLINE, async || {
            state.info("clients").await.unwrap()["connected_clients"] == "1"
        })
        .await;
        state.command(&["FLUSHALL"]).await.unwrap();
        assert_eq!(owner_keys(&state).await.len(), 0);
    }
}

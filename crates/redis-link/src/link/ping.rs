//! Pings.

use std::time::{Duration, Instant};

use store_core::{Error, Op, Result};

use super::Link;
use crate::wire::Request;

impl Link {
    /// The label `role` of the link's metrics: `cache`, `state`, or `none` without [`LinkConfig::with_role`](crate::LinkConfig::with_role).
    pub fn role_label(&self) -> &'static str {
        self.inner.config.role_label()
    }

    /// Pings the server, with the retries of all calls.
    ///
    /// # Errors
    /// `Unavailable` or `Indeterminate` if it does not answer.
    pub async fn ping(&self) -> Result<()> {
        self.command(Op::Ping, "PING", Vec::new()).await.map(drop)
    }

    /// Pings the server once and returns how long the answer took. It waits for `within` or the command time-out, whichever is
    /// shorter. It is not repeated, and it is sent while the breaker is open or too many calls wait, too.
    ///
    /// # Errors
    /// `Unavailable` or `Indeterminate` if the server does not answer in time.
    pub async fn ping_within(&self, within: Duration) -> Result<Duration> {
        let started = Instant::now();
        let sent = tokio::time::timeout(within, self.send(Op::Ping, Request::new("PING", Vec::new()), None)).await;
        let result = match sent {
            Ok(Ok(_)) => Ok(started.elapsed()),
            Ok(Err(failure)) => Err(failure.into_error(Op::Ping, "PING")),
            Err(_) => Err(Error::unavailable(Op::Ping, format!("the server did not answer within {within:?}"))),
        };
        self.inner.meters.finished(Op::Ping, started, &result);
        result
    }
}

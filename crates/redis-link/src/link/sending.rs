//! One attempt of a call: it follows the nodes of a cluster, and loads a script that a server does not know.

use store_core::Op;

use super::connection::Connection;
use super::routes::Hop;
use super::{Link, durable};
use crate::wire::{Copies, Failure, Request};
use crate::{Reply, Script};

/// How often a script is loaded again within one attempt.
pub(super) const MAX_LOADS: usize = 3;

impl Link {
    /// One attempt of a script, at the node that has its slot.
    pub(super) async fn run_script(
        &self,
        slot: Option<u16>,
        script: &Script,
        request: &Request<'_>,
        copies: &Copies,
    ) -> Result<Reply, Failure> {
        self.inner.check_open()?;
        let mut hop = self.inner.routes.first(slot)?;
        loop {
            let result = match hop.node.connection() {
                _ if hop.asks => {
                    Box::pin(durable::try_behind_asking(&self.inner, &hop, script, (request, copies))).await
                }
                Ok(connection) => match self.run_script_on(connection, script, request, copies).await {
                    // Only this connection has measured the server's clock.
                    Err(Failure::Late) => self.run_script_on(connection, script, request, copies).await,
                    result => result,
                },
                Err(failure) => Err(failure),
            };
            match self.inner.routes.next(&hop, &result) {
                Some(next) => hop = next,
                None => return result,
            }
        }
    }

    async fn run_script_on(
        &self,
        connection: &Connection,
        script: &Script,
        request: &Request<'_>,
        copies: &Copies,
    ) -> Result<Reply, Failure> {
        let send = async || {
            let result = connection.send(copies.next(request), self.inner.enter()?).await;
            copies.note(&result);
            result
        };
        let mut result = send().await;
        for _ in 0..MAX_LOADS {
            if !result.as_ref().is_err_and(Failure::is_unknown_script) {
                break;
            }
            tracing::debug!(script = script.name(), "the server does not know the script; loading it");
            let loaded = connection.send(Request::load(script), self.inner.enter()?).await;
            loaded.map_err(Failure::before_the_call)?;
            result = send().await;
        }
        result
    }

    /// Pings are sent even if too many calls wait: they measure the server, not this process.
    pub(super) async fn send(&self, op: Op, request: Request<'_>, slot: Option<u16>) -> Result<Reply, Failure> {
        self.inner.check_open()?;
        let mut hop = self.inner.routes.first(slot)?;
        loop {
            let permit = match op {
                Op::Ping => self.inner.waiting.enter_beyond(),
                _ => self.inner.enter()?,
            };
            let result = match hop.node.connection() {
                _ if hop.asks => Box::pin(self.send_behind_asking(&hop, request.clone())).await,
                Ok(connection) => connection.send(request.clone(), permit).await,
                Err(failure) => Err(failure),
            };
            match self.inner.routes.next(&hop, &result) {
                Some(next) => hop = next,
                None => return result,
            }
        }
    }

    async fn send_behind_asking(&self, hop: &Hop, request: Request<'_>) -> Result<Reply, Failure> {
        let patience = self.inner.config.command_timeout;
        let held = hop.node.durables.take(patience).await?;
        let result = held.wire().send_last(hop.before().chain([request]).collect(), patience).await;
        held.settle(&result);
        result
    }
}

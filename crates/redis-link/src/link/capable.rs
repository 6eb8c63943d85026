//! What the server of a link is capable of.

use std::sync::Arc;

use store_core::{Durability, Error, Op, Result};

use super::Link;
use crate::{Capabilities, Fact};

impl Link {
    /// What the server was found to be capable of when a connection was opened last: of a cluster, one of its nodes.
    pub fn capabilities(&self) -> Arc<Capabilities> {
        let unknown = || Arc::new(Capabilities::unknown("no connection was open yet", false));
        self.inner.routes.capabilities().unwrap_or_else(unknown)
    }

    /// Writes the matrix into the log.
    pub(super) fn log_capabilities(&self) {
        let url = &self.inner.config.url;
        tracing::debug!("the server of {url} is capable of:\n{}", self.capabilities());
    }

    /// Refuses a level for which the server has no command, before anything is written.
    pub(super) fn check_capable(&self, op: Op, durability: Durability) -> Result<()> {
        let is_lacking = match durability {
            Durability::Replicated { .. } => self.capabilities().wait == Fact::Known(false),
            _ => false,
        };
        let why = "nothing confirms that replicas have a write: the server has no command WAIT (Kvrocks: from 2.14)";
        if is_lacking { Err(Error::unsupported(op, why)) } else { Ok(()) }
    }
}

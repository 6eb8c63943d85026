//! The capabilities of a link's server.

use std::sync::Arc;

use store_core::{Durability, Error, Op, Result};

use super::Link;
use crate::{Capabilities, Fact};

impl Link {
    /// The capabilities of the server, queried when a connection was last opened. On a cluster, those of one node.
    pub fn capabilities(&self) -> Arc<Capabilities> {
        let unknown = || Arc::new(Capabilities::unknown("no connection was open yet", false));
        self.inner.routes.capabilities().unwrap_or_else(unknown)
    }

    /// Logs the capabilities.
    pub(super) fn log_capabilities(&self) {
        let url = &self.inner.config.url;
        tracing::debug!("capabilities of the server of {url}:\n{}", self.capabilities());
    }

    /// Refuses a durability for which the server has no command, before anything is written.
    pub(super) fn check_capable(&self, op: Op, durability: Durability) -> Result<()> {
        let is_lacking = match durability {
            Durability::Replicated { .. } => self.capabilities().wait == Fact::Known(false),
            _ => false,
        };
        let why = "the server has no command WAIT (Kvrocks: from 2.14), so no replica can confirm a write";
        if is_lacking { Err(Error::unsupported(op, why)) } else { Ok(()) }
    }
}

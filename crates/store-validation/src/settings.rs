//! The configuration of a service.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use redis_link::LinkConfig;
use store_core::{Durabilities, Namespace, Retention, ServiceName};

use crate::Code;
use crate::read::{DurabilityVariables, RetentionVariables};

/// The settings of a service, read from its environment. `Debug` shows no secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// This microservice.
    pub service: ServiceName,
    /// The cache store.
    pub cache: Engine<CacheServer>,
    /// The worker state store; its database number, if any, is in the link's URL.
    pub state: Engine<LinkConfig>,
    /// The first segment of every state key.
    pub namespace: Namespace,
    /// What a replicated write waits for by default.
    pub min_replicas: u32,
    /// The variables about durability.
    pub(crate) durabilities: DurabilityVariables,
    /// The variables about retention.
    pub(crate) retention: RetentionVariables,
    /// `production`, `staging` …, if the stores are to be marked with it.
    pub environment: Option<String>,
    /// Whether the variable sets that the newest layouts are written.
    pub(crate) newest_layouts: Option<bool>,
    /// What to do about errors of the preflight.
    pub preflight: PreflightMode,
    /// The allowed findings.
    pub allow: BTreeSet<Code>,
}

impl Settings {
    /// Whether the newest layouts are written: the variable, or if it is not set, `in_code`.
    pub fn newest_layouts(&self, in_code: bool) -> bool {
        self.newest_layouts.unwrap_or(in_code)
    }

    /// The durability that each capability requests: the variable if it is set, else the value in `in_code`, else the default. A
    /// write waits for replicas at most `within`, and for the disk that long but at least 3 s.
    pub fn durabilities(&self, in_code: Durabilities, within: Duration) -> Durabilities {
        self.durabilities.over(in_code, self.min_replicas, within)
    }

    /// How many dead and completed jobs each queue keeps: `retention`, with the values of the variables that are set.
    pub fn retention(&self, retention: Retention) -> Retention {
        self.retention.over(retention)
    }
}

/// Where a store is.
#[derive(Debug, Clone)]
pub enum Engine<S> {
    /// Inside this process: in memory, or in this file.
    Embedded(Option<PathBuf>),
    /// On a server.
    Server(S),
}

impl<S> Engine<S> {
    /// The server, if it is on one.
    pub fn server(&self) -> Option<&S> {
        match self {
            Engine::Embedded(_) => None,
            Engine::Server(server) => Some(server),
        }
    }
}

/// The two databases of the cache server that a service uses.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CacheServer {
    /// The link to the service's own database.
    pub own: LinkConfig,
    /// The link to the database for hand-offs.
    pub shared: LinkConfig,
    /// The number of the service's own database.
    pub database: u32,
    /// The number of the database for hand-offs.
    pub shared_database: u32,
}

/// What to do when the preflight finds errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PreflightMode {
    /// Refuse to start.
    #[default]
    Enforce,
    /// Log them and start, if the settings can be used.
    Warn,
}

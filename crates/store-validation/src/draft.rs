//! The settings that could be read from an environment, even if some could not.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use redis_link::{Endpoint, LinkConfig, ServerUrl, TlsFiles, Topology, read_password_file};
use store_core::{Namespace, Role, Secret, ServiceName};

use crate::read::{DurabilityVariables, RetentionVariables};
use crate::settings::{CacheServer, Engine, PreflightMode, Settings};
use crate::{Code, Finding, commands};

/// The circuit breaker of the cache role: the number of unanswered attempts in a row that open it, and its pause. A
/// service can work without its cache, but must not wait for it.
const CACHE_FAILURES: u32 = 5;
const CACHE_PAUSE: Duration = Duration::from_secs(1);

/// The readable parts of the settings. Each part that could be read is checked, so that all problems show at once.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) service: Option<ServiceName>,
    pub(crate) cache: Option<Engine<Connection>>,
    pub(crate) database: Option<u32>,
    pub(crate) shared_database: Option<u32>,
    pub(crate) state: Option<Engine<Connection>>,
    pub(crate) namespace: Option<Namespace>,
    pub(crate) min_replicas: Option<u32>,
    pub(crate) durabilities: DurabilityVariables,
    pub(crate) retention: RetentionVariables,
    pub(crate) environment: Option<String>,
    pub(crate) newest_layouts: Option<bool>,
    pub(crate) preflight: PreflightMode,
    pub(crate) allow: BTreeSet<Code>,
    /// A required variable is missing, or a value is invalid: the service cannot start.
    pub(crate) is_broken: bool,
}

/// One role's server and how to reach it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) role: Role,
    pub(crate) url: ServerUrl,
    pub(crate) username: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) sentinel: SentinelLogin,
    /// Whether the variable of the password file is set, even if it names no readable file.
    pub(crate) names_password_file: bool,
    /// Whether the servers of a URL with several hosts contradict each other.
    pub(crate) is_undecided: bool,
    /// Whether all files that the connection needs can be used. Otherwise no connection can be opened.
    pub(crate) files_are_right: bool,
    pub(crate) tls: TlsFiles,
    pub(crate) pool_size: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
    pub(crate) max_retries: u32,
}

/// How to log in at the sentinels of a URL.
#[derive(Debug, Default)]
pub(crate) struct SentinelLogin {
    pub(crate) username: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) tls: TlsFiles,
}

impl Draft {
    /// The settings, when every part could be read.
    pub(crate) fn settings(&self) -> Option<Settings> {
        if self.is_broken {
            return None;
        }
        let cache = match self.cache.as_ref()? {
            Engine::Embedded(path) => Engine::Embedded(path.clone()),
            Engine::Server(connection) => {
                let (database, shared_database) = (self.database?, self.shared_database?);
                let link = |number| self.link(connection, Some(number));
                Engine::Server(CacheServer {
                    own: link(database),
                    shared: link(shared_database),
                    database,
                    shared_database,
                })
            }
        };
        let state = match self.state.as_ref()? {
            Engine::Embedded(path) => Engine::Embedded(path.clone()),
            Engine::Server(connection) => Engine::Server(self.link(connection, None)),
        };
        Some(Settings {
            service: self.service.clone()?,
            cache,
            state,
            namespace: self.namespace.clone()?,
            min_replicas: self.min_replicas?,
            durabilities: self.durabilities,
            retention: self.retention,
            environment: self.environment.clone(),
            newest_layouts: self.newest_layouts,
            preflight: self.preflight,
            allow: self.allow.clone(),
        })
    }

    /// The link to a role's server, optionally in another database than the URL's.
    pub(crate) fn link(&self, connection: &Connection, database: Option<u32>) -> LinkConfig {
        let url = connection.url.clone();
        let url = database.map_or(url.clone(), |number| url.with_database(number));
        let service = self.service.as_ref().map_or("unnamed", |service| service.as_str());
        let mut link = LinkConfig::new(url, format!("{service}:{}", connection.role))
            .with_role(connection.role)
            .with_tls(connection.tls.clone())
            .with_pool_size(connection.pool_size)
            .with_connect_timeout(connection.connect_timeout)
            .with_command_timeout(connection.command_timeout)
            .with_max_retries(connection.max_retries);
        if connection.role == Role::Cache {
            link = link.with_breaker(CACHE_FAILURES, CACHE_PAUSE);
        }
        if let Some(username) = &connection.username {
            link = link.with_username(username);
        }
        if let Some(path) = &connection.password_file {
            link = link.with_password_file(path);
        }
        if let Some(username) = &connection.sentinel.username {
            link = link.with_sentinel_username(username);
        }
        if let Some(path) = &connection.sentinel.password_file {
            link = link.with_sentinel_password_file(path);
        }
        link.with_sentinel_tls(connection.sentinel.tls.clone())
    }

    /// The rules of a user of this server who may send what its role needs, and nothing else.
    pub(crate) fn rules(&self, connection: &Connection) -> String {
        let default = || Namespace::new("tw").expect("invariant: the default is a name");
        let namespace = self.namespace.clone().unwrap_or_else(default);
        let selects = connection.url.database().is_some_and(|number| number != 0);
        commands::rules(connection.role, &namespace, selects)
    }

    /// As [`Draft::server`], but mutable.
    pub(crate) fn server_mut(&mut self, role: Role) -> Option<&mut Connection> {
        let place = match role {
            Role::Cache => &mut self.cache,
            Role::State => &mut self.state,
        };
        match place.as_mut()? {
            Engine::Server(connection) => Some(connection),
            Engine::Embedded(_) => None,
        }
    }

    /// The server of a role, if the role uses one and its URL could be read.
    pub(crate) fn server(&self, role: Role) -> Option<&Connection> {
        let place = match role {
            Role::Cache => &self.cache,
            Role::State => &self.state,
        };
        place.as_ref()?.server()
    }
}

impl Connection {
    /// The one data server that the URL names.
    pub(crate) fn endpoint(&self) -> Option<&Endpoint> {
        match self.url.topology() {
            Topology::Standalone(endpoint) => Some(endpoint),
            _ => None,
        }
    }

    /// Host and port, or the service and its sentinels, for findings.
    pub(crate) fn location(&self) -> String {
        let hosts: Vec<_> = self.url.topology().endpoints().iter().map(ToString::to_string).collect();
        match self.url.topology() {
            Topology::Sentinel { service, .. } => format!("{service} of the sentinels {}", hosts.join(", ")),
            Topology::Cluster(_) => format!("the cluster of {}", hosts.join(", ")),
            _ => hosts.join(", "),
        }
    }

    /// Whether the traffic may leave this machine. The servers that sentinels or nodes report may be on any machine.
    pub(crate) fn leaves_the_machine(&self) -> bool {
        let is_reported = matches!(self.url.topology(), Topology::Sentinel { .. } | Topology::Cluster(_));
        is_reported || self.url.topology().endpoints().iter().any(|endpoint| !endpoint.is_loopback())
    }

    /// The user who logs in; without a name it is the default user.
    pub(crate) fn user(&self) -> &str {
        self.username.as_deref().or(self.url.username()).unwrap_or("default")
    }

    /// Whether a password is configured.
    pub(crate) fn has_password(&self) -> bool {
        self.names_password_file || self.url.password().is_some()
    }

    /// The current password.
    pub(crate) fn password(&self) -> Option<Secret> {
        match &self.password_file {
            None if self.names_password_file => None,
            Some(path) => read_password_file(path).ok().filter(|password| !password.expose().is_empty()),
            None => self.url.password().cloned(),
        }
    }

    /// A finding about this server.
    pub(crate) fn finding(&self, code: Code, what: impl AsRef<str>) -> Finding {
        self.fill(Finding::new(code, self.role, format!("{}: {}", self.location(), what.as_ref())))
    }

    /// The finding with this user and role in its remedy.
    pub(crate) fn fill(&self, finding: Finding) -> Finding {
        finding.with_help("<user>", self.user()).with_help("<ROLE>", &self.role.name().to_uppercase())
    }
}

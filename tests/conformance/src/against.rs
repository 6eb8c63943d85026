//! The run against servers that the suite did not start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redis_link::{Link, LinkConfig, ServerUrl, TlsFiles, UrlError, args};
use store_core::{Error, Op, Role};
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::redis::RedisEngine;
use crate::runner::{Report, run_all};

/// The address of one of the two servers, and its credentials. `Debug` shows no password.
#[derive(Clone)]
pub struct Target {
    role: Role,
    url: String,
    username: Option<String>,
    password_file: Option<PathBuf>,
    tls: TlsFiles,
}

impl Target {
    /// A server by its URL.
    pub fn new(role: Role, url: impl Into<String>) -> Self {
        Self { role, url: url.into(), username: None, password_file: None, tls: TlsFiles::new() }
    }

    /// The user, instead of that of the URL.
    #[must_use]
    pub fn with_username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The file with the password, instead of the password of the URL.
    #[must_use]
    pub fn with_password_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.password_file = Some(path.into());
        self
    }

    /// Certificates to trust and to show.
    #[must_use]
    pub fn with_tls(mut self, files: TlsFiles) -> Self {
        self.tls = files;
        self
    }

    /// Opens a link, in a database of the server.
    pub(crate) async fn link(&self, database: Option<u32>, command_timeout: Duration) -> Result<Link, AgainstError> {
        Ok(Link::connect(self.config(database)?.with_command_timeout(command_timeout)).await?)
    }

    /// How links to it are opened.
    pub(crate) fn config(&self, database: Option<u32>) -> Result<LinkConfig, AgainstError> {
        let url = ServerUrl::parse(&self.url);
        let mut url = url.map_err(|source| AgainstError::Url { role: self.role, source })?;
        if let Some(database) = database {
            url = url.with_database(database);
        }
        let mut config = LinkConfig::new(url, "conformance")
            .with_connect_timeout(Duration::from_secs(20))
            .with_tls(self.tls.clone());
        if let Some(username) = &self.username {
            config = config.with_username(username);
        }
        if let Some(path) = &self.password_file {
            config = config.with_password_file(path);
        }
        Ok(config)
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("role", &self.role).field("url", &"***").finish_non_exhaustive()
    }
}

/// Why the suite could not be run against these servers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgainstError {
    /// A URL that cannot be used.
    #[error("the URL of the {role} store: {source}")]
    Url {
        /// Which of the two.
        role: Role,
        /// What is wrong with it, without its text.
        source: UrlError,
    },
    /// A filter that matches no case.
    #[error("no case has a name that contains `{0}`; names look like `queue.claim.a_behaviour`")]
    NoCase(String),
    /// The user lacks the right to remove the keys that the cases would make. Nothing was written.
    #[error("the user of the {role} store may not remove what the cases make: {source}; allow +scan, +unlink")]
    CannotCleanUp {
        /// Which of the two.
        role: Role,
        /// The server's refusal.
        source: Error,
    },
    /// A server that cannot be used.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Runs the cases whose names contain `filter` against two servers that may hold other data: in a random namespace of the
/// state store, and under keys with a random prefix in the databases 0, 1 and 2 of the cache store. Afterwards it removes
/// exactly those keys; if that fails, the report names the keys that are left and is not ok.
///
/// # Errors
/// [`AgainstError`] if no case matches, a server cannot be used, or the user may not remove keys. If the server still answers,
/// keys that were written before are removed. A failed case is part of the report, not an error.
pub async fn against(cache: &Target, state: &Target, filter: &str) -> Result<Report, AgainstError> {
    if !crate::all().any(|case| case.name().contains(filter)) {
        return Err(AgainstError::NoCase(filter.to_owned()));
    }
    let mut engine = RedisEngine::links("redis", cache, state, Duration::from_secs(20)).await?;
    let refused = |(role, source)| AgainstError::CannotCleanUp { role, source };
    engine.clean_up().await.map_err(refused)?;
    if let Err(error) = engine.find_capabilities().await {
        // Keys were written. This error is more useful than the one of removing them.
        let _ = engine.clean_up().await;
        return Err(error.into());
    }
    let engine = Arc::new(engine);
    let suite: Arc<dyn Engine> = engine.clone();
    let mut report = run_all(&suite, filter).await;
    if let Err((role, error)) = engine.clean_up().await {
        report.left = Some(format!("keys with `{}` in their name, on the {role} server: {error}", engine.prefix()));
    }
    Ok(report)
}

/// Removes the keys that match `pattern`, at each node of a cluster; `nobody` matches it but is the name of no key. Its removal is sent
/// first, so a user without the right is refused before any key is made.
pub(crate) async fn sweep(link: &Link, pattern: &str, nobody: &str) -> Result<(), Error> {
    let _ = link.command(Op::Probe, "UNLINK", args![nobody]).await?;
    let mut after = None;
    loop {
        let (mut keys, next) = link.scan(Op::Probe, pattern, 1000, after.as_deref()).await?;
        let mut removing = JoinSet::new();
        while keys.remaining() > 0 {
            // One at a time: the keys of one command must share a slot.
            let (link, key) = (link.clone(), keys.next_bytes()?);
            removing.spawn(async move { link.command(Op::Probe, "UNLINK", args![&key]).await });
        }
        for removed in removing.join_all().await {
            let _ = removed?;
        }
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

//! How to reach one server: the configuration of a [`Link`](crate::Link) or a [`Probe`](crate::Probe).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use store_core::{Role, Secret};
use tokio::sync::watch;

use crate::ServerUrl;
use crate::link::Losses;

/// The files of an encrypted connection. Used only if the URL asks for TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// Certificates (PEM) of the authorities to trust. Default: those of the system.
    pub ca: Option<PathBuf>,
    /// Our own certificate chain (PEM), if the server requires one. Needs `key`.
    pub certificate: Option<PathBuf>,
    /// The private key (PEM) of `certificate`.
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    /// No file: the system's authorities, no certificate of our own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trust these authorities (PEM) instead of the system's.
    #[must_use]
    pub fn with_ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// Show this certificate chain (PEM) with its private key (PEM).
    #[must_use]
    pub fn with_identity(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate = Some(certificate.into());
        self.key = Some(key.into());
        self
    }
}

/// Which file of an encrypted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFile {
    /// [`TlsFiles::ca`]
    Authorities,
    /// [`TlsFiles::certificate`]
    Certificate,
    /// [`TlsFiles::key`]
    Key,
}

/// Why a file of an encrypted connection cannot be used. It repeats nothing of the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {reason}", path.display())]
#[non_exhaustive]
pub struct TlsFileProblem {
    /// Which file.
    pub file: TlsFile,
    /// Its path.
    pub path: PathBuf,
    /// What is wrong with it; follows the path in a sentence.
    pub reason: String,
}

impl TlsFileProblem {
    pub(crate) fn new(file: TlsFile, path: &Path, reason: impl Into<String>) -> Self {
        Self { file, path: path.to_owned(), reason: reason.into() }
    }
}

/// How to reach one server. `Debug` shows no secret.
///
/// ```
/// use redis_link::{LinkConfig, ServerUrl};
///
/// let url = ServerUrl::parse("rediss://app@cache.internal/3")?;
/// let config = LinkConfig::new(url, "billing:cache").with_password_file("/run/secrets/cache").with_pool_size(5);
/// # Ok::<(), redis_link::UrlError>(())
/// ```
#[derive(Clone)]
pub struct LinkConfig {
    pub(crate) url: ServerUrl,
    pub(crate) client_name: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) tls: TlsFiles,
    pub(crate) pool_size: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
    pub(crate) max_retries: u32,
    pub(crate) max_waiting: usize,
    pub(crate) breaker: Option<(u32, Duration)>,
    pub(crate) role: Option<Role>,
    pub(crate) pressure_every: Option<Duration>,
    pub(crate) sentinel_username: Option<String>,
    pub(crate) sentinel_password_file: Option<PathBuf>,
    pub(crate) sentinel_tls: TlsFiles,
    /// Counts the connections of one link that were opened after its start.
    pub(crate) reopened: Arc<watch::Sender<u64>>,
    pub(crate) reports_losses: bool,
    /// The receipts of the link that was made with it.
    pub(crate) losses: Option<Arc<Losses>>,
    /// Whether its connections are to the sentinels themselves.
    pub(crate) is_of_sentinels: bool,
}

impl LinkConfig {
    /// The server at `url`. Connections are named `client_name` (`<service>:<role>`), so that `CLIENT LIST` shows their
    /// owner.
    pub fn new(url: ServerUrl, client_name: impl Into<String>) -> Self {
        Self {
            url,
            client_name: client_name.into(),
            username: None,
            password: None,
            password_file: None,
            tls: TlsFiles::default(),
            pool_size: 3,
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(1),
            max_retries: 3,
            max_waiting: 10_000,
            breaker: None,
            role: None,
            pressure_every: None,
            sentinel_username: None,
            sentinel_password_file: None,
            sentinel_tls: TlsFiles::new(),
            reopened: Arc::new(watch::Sender::new(0)),
            reports_losses: false,
            losses: None,
            is_of_sentinels: false,
        }
    }

    /// With the role of the server, a label of the link's metrics. Default: the label is `none`.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// The label of the link's metrics.
    pub(crate) fn role_label(&self) -> &'static str {
        self.role.map_or("none", Role::name)
    }

    /// The URL of the server.
    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// How long opening a connection may take.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How long to wait for a reply, per attempt.
    pub fn command_timeout(&self) -> Duration {
        self.command_timeout
    }

    /// The user, instead of the URL's. Any text; it is sent unchanged.
    #[must_use]
    pub fn with_username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password, instead of the URL's. Any text; it is sent unchanged. A user without a password logs in with an empty
    /// one.
    #[must_use]
    pub fn with_password(mut self, password: Secret) -> Self {
        self.password = Some(password);
        self
    }

    /// A file that holds the password, instead of any other: UTF-8 text of at most 16 KiB. It is read again for each
    /// connection, so that a rotated password needs no restart. One line break at its end is not part of the password
    /// ([`read_password_file`](crate::read_password_file)).
    #[must_use]
    pub fn with_password_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.password_file = Some(path.into());
        self
    }

    /// The files of an encrypted connection.
    #[must_use]
    pub fn with_tls(mut self, files: TlsFiles) -> Self {
        self.tls = files;
        self
    }

    /// How many connections share the commands; at least 1. Default 3. Blocking and durable calls open more.
    #[must_use]
    pub fn with_pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections.max(1);
        self
    }

    /// How long opening a connection may take, with TLS and authentication. Default 5 s.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// How long to wait for a reply, per attempt. Default 1 s.
    #[must_use]
    pub fn with_command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// How often a call is repeated if that is safe. Default 3. The pauses between attempts are random, up to 100 ms,
    /// 200 ms …. Unless the number is 0, refusals because a slot of a cluster moves do not count at first: [`Link`](crate::Link)
    /// states for how long.
    #[must_use]
    pub fn with_max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// How many calls may wait for their reply at once; a further call returns [`Unavailable`](store_core::Error)
    /// immediately. Default 10,000. Callers that wait in a [`Batcher`](crate::Batcher) are not counted: each group has
    /// a bound of 10,000 of its own.
    #[must_use]
    pub fn with_max_waiting(mut self, calls: usize) -> Self {
        self.max_waiting = calls.clamp(1, usize::MAX >> 1);
        self
    }

    /// For a store that may be lost: calls do not wait for it. While no connection is up, they return
    /// [`Unavailable`](store_core::Error) immediately and are not repeated. After `failures` attempts in a row without
    /// an answer in time, or with an unavailable server, calls return `Unavailable` immediately for `pause`. Then one
    /// call is sent, and if it is answered, all are. Default: no breaker, for a store whose calls ride out failovers.
    /// The cache role has 5 failures and 1 s.
    #[must_use]
    pub fn with_breaker(mut self, failures: u32, pause: Duration) -> Self {
        self.breaker = Some((failures, pause));
        self
    }

    /// Reads the memory use of the server at this interval, and more often while it is full or fills fast
    /// ([`Link::pressure`](crate::Link::pressure)). While it is full, the link refuses calls of scripts that add data
    /// ([`Script::adds`](crate::Script::adds)). Default: off; the server itself refuses such calls when `maxmemory` is reached.
    #[must_use]
    pub fn with_pressure_watch(mut self, every: Duration) -> Self {
        self.pressure_every = Some(every.max(Duration::from_millis(1)));
        self
    }

    /// The user for the sentinels. The user of the data servers is never sent to them.
    #[must_use]
    pub fn with_sentinel_username(mut self, username: impl Into<String>) -> Self {
        self.sentinel_username = Some(username.into());
        self
    }

    /// A file that holds the password for the sentinels, as [`with_password_file`](Self::with_password_file). Default: none; the
    /// password of the data servers is never sent to sentinels.
    #[must_use]
    pub fn with_sentinel_password_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.sentinel_password_file = Some(path.into());
        self
    }

    /// The files for encrypted connections to the sentinels. Default: the authorities, and the certificate with its key, are each those
    /// for the data servers.
    #[must_use]
    pub fn with_sentinel_tls(mut self, files: TlsFiles) -> Self {
        self.sentinel_tls = files;
        self
    }

    /// Whether the link records acknowledged writes ([`ReplyReader::record`](crate::ReplyReader::record)), and reports which of
    /// them a failover may have lost ([`Link::loss_reports`](crate::Link::loss_reports)). Default `false`.
    ///
    /// Opening a connection takes one more round trip. While the link writes, it sends `INFO replication` to each server every 200 ms.
    /// The records of 100,000 pushes of single jobs take about 30 MB, of batches of 50 about 8 MB.
    #[must_use]
    pub fn with_loss_reports(mut self, reports: bool) -> Self {
        self.reports_losses = reports;
        self
    }

    /// How to reach the sentinels of the URL: with their user, password and certificates, for [`Probe::open_at`](crate::Probe::open_at).
    #[must_use]
    pub fn of_sentinels(&self) -> Self {
        let mut config = self.clone();
        config.is_of_sentinels = true;
        config.url = config.url.of_sentinels();
        config.username = config.sentinel_username.take();
        (config.password, config.password_file) = (None, config.sentinel_password_file.take());
        let own = std::mem::take(&mut config.sentinel_tls);
        config.tls.ca = own.ca.or(config.tls.ca);
        if own.certificate.is_some() || own.key.is_some() {
            (config.tls.certificate, config.tls.key) = (own.certificate, own.key);
        }
        config
    }

    /// How long a connection may leave calls unanswered before it is closed. So short that it is replaced within twice the command
    /// time-out, so long that a single late reply does not end it. Longer with a breaker, which fails calls fast while a server hangs
    /// for a moment.
    pub(crate) fn longest_silence(&self) -> Duration {
        self.command_timeout * 7 / 4 + self.breaker.map_or(Duration::ZERO, |_| Duration::from_secs(1))
    }

    /// The same server without any user or password.
    pub(crate) fn without_credentials(mut self) -> Self {
        self.url = self.url.without_credentials();
        (self.username, self.password, self.password_file) = (None, None, None);
        self
    }

    pub(crate) fn effective_username(&self) -> Option<String> {
        self.username.clone().or_else(|| self.url.username().map(str::to_owned))
    }

    pub(crate) fn effective_password(&self) -> Option<&Secret> {
        self.password.as_ref().or_else(|| self.url.password())
    }
}

impl fmt::Debug for LinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkConfig")
            .field("url", &self.url)
            .field("client_name", &self.client_name)
            .field("username", &self.username)
            .field("password", &self.password)
            .field("password_file", &self.password_file)
            .field("tls", &self.tls)
            .field("pool_size", &self.pool_size)
            .field("connect_timeout", &self.connect_timeout)
            .field("command_timeout", &self.command_timeout)
            .field("max_retries", &self.max_retries)
            .field("max_waiting", &self.max_waiting)
            .field("breaker", &self.breaker)
            .field("pressure_every", &self.pressure_every)
            .field("sentinel_username", &self.sentinel_username)
            .field("sentinel_password_file", &self.sentinel_password_file)
            .field("sentinel_tls", &self.sentinel_tls)
            .finish()
    }
}

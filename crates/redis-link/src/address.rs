//! The address of a store: its URL forms, a parser, and output without secrets.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use store_core::Secret;

mod parse;

/// The highest database number that can be opened.
pub const MAX_DATABASE: u32 = 255;

/// One server's host and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// A name in lower case, or an address; IPv6 without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Endpoint {
    /// A server at `host` (a name, an IPv4 or an IPv6 address without brackets) and `port`.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let mut host = host.into();
        host.make_ascii_lowercase();
        Self { host, port }
    }

    /// Whether the traffic stays on this machine: `localhost` or a loopback address.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The addresses behind the name, sorted and without duplicates, as the system's resolver returns them.
    ///
    /// # Errors
    /// The resolver's error if the name is unknown or the resolver does not answer.
    pub async fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        let mut addresses: Vec<_> = tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What kind of store a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Topology {
    /// One server: `redis://host`.
    Standalone(Endpoint),
    /// Several hosts, separated by commas. Their servers report which topology it is.
    Several(Vec<Endpoint>),
    /// Sentinels that monitor the primary of a service: `redis-sentinel://host,host/service/database`.
    Sentinel {
        /// The sentinels (not the data servers).
        sentinels: Vec<Endpoint>,
        /// The name of the service that they monitor.
        service: String,
    },
    /// Seeds of a cluster: `redis-cluster://host,host`.
    Cluster(Vec<Endpoint>),
    /// One Kvrocks, or a primary and its replicas: `kvrocks://host,host`.
    Kvrocks(Vec<Endpoint>),
    /// A store inside the process: `embedded:`, or in one file: `embedded:/path/state.redb`.
    Embedded(Option<PathBuf>),
}

impl Topology {
    /// The hosts that the URL names; none for an embedded store.
    pub fn endpoints(&self) -> &[Endpoint] {
        match self {
            Topology::Standalone(endpoint) => std::slice::from_ref(endpoint),
            Topology::Several(endpoints) | Topology::Cluster(endpoints) | Topology::Kvrocks(endpoints) => endpoints,
            Topology::Sentinel { sentinels, .. } => sentinels,
            Topology::Embedded(_) => &[],
        }
    }
}

/// The URL of a store. `Debug` and `Display` print `***` for the password.
///
/// ```
/// use redis_link::ServerUrl;
///
/// let url = ServerUrl::parse("redis://app:hunter2@Cache.internal/3")?;
/// assert_eq!(url.to_string(), "redis://app:***@cache.internal:6379/3");
/// assert_eq!(url.database(), Some(3));
/// # Ok::<(), redis_link::UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    scheme: &'static str,
    topology: Topology,
    username: Option<String>,
    password: Option<Secret>,
    database: Option<u32>,
}

impl ServerUrl {
    /// Reads a URL.
    ///
    /// `redis://[user[:password]@]host[:port][,host[:port]…][/database]` and, in the same form, `rediss://` (TLS),
    /// `redis-sentinel://…/service[/database]`, `rediss-sentinel`, `redis-cluster`, `rediss-cluster`, `kvrocks`,
    /// `kvrockss`; `embedded:` and `embedded:/path`. User and password are percent-decoded. The default port is 6379
    /// (sentinels: 26379, Kvrocks: 6666).
    ///
    /// # Errors
    /// [`UrlError`] states what is wrong and how to correct it, without repeating the URL. Query parameters and
    /// fragments are refused, because none has a meaning.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        parse::url(text)
    }

    /// What kind of store it names, and where.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The user name, percent-decoded.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The password, percent-decoded.
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// The database number, if the URL has one.
    pub fn database(&self) -> Option<u32> {
        self.database
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self.scheme, "rediss" | "rediss-sentinel" | "rediss-cluster" | "kvrockss")
    }

    pub(crate) fn without_credentials(mut self) -> Self {
        (self.username, self.password) = (None, None);
        self
    }

    /// The sentinels themselves: no database, and not the credentials of the data servers.
    pub(crate) fn of_sentinels(self) -> Self {
        Self { database: None, ..self.without_credentials() }
    }

    /// A URL of this topology with the same user, password and encryption. A cluster has no database number.
    #[must_use]
    pub fn with_topology(mut self, topology: Topology) -> Self {
        self.scheme = match (&topology, self.is_tls()) {
            (Topology::Standalone(_) | Topology::Several(_), false) => "redis",
            (Topology::Standalone(_) | Topology::Several(_), true) => "rediss",
            (Topology::Sentinel { .. }, false) => "redis-sentinel",
            (Topology::Sentinel { .. }, true) => "rediss-sentinel",
            (Topology::Cluster(_), false) => "redis-cluster",
            (Topology::Cluster(_), true) => "rediss-cluster",
            (Topology::Kvrocks(_), false) => "kvrocks",
            (Topology::Kvrocks(_), true) => "kvrockss",
            (Topology::Embedded(_), _) => "embedded",
        };
        if matches!(topology, Topology::Cluster(_) | Topology::Kvrocks(_) | Topology::Embedded(_)) {
            self.database = None;
        }
        self.topology = topology;
        self
    }

    /// The same store with another database number. An embedded store has none and is returned unchanged.
    #[must_use]
    pub fn with_database(mut self, database: u32) -> Self {
        if !matches!(self.topology, Topology::Embedded(_)) {
            self.database = Some(database);
        }
        self
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Topology::Embedded(path) = &self.topology {
            f.write_str("embedded:")?;
            return path.as_ref().map_or(Ok(()), |path| write!(f, "{}", path.display()));
        }
        write!(f, "{}://", self.scheme)?;
        match (&self.username, &self.password) {
            (user, Some(_)) => write!(f, "{}:***@", user.as_deref().unwrap_or_default())?,
            // A common mistake is a password without the colon before it.
            (Some(_), None) => f.write_str("***@")?,
            (None, None) => {}
        }
        for (index, endpoint) in self.topology.endpoints().iter().enumerate() {
            write!(f, "{}{endpoint}", if index == 0 { "" } else { "," })?;
        }
        if let Topology::Sentinel { service, .. } = &self.topology {
            write!(f, "/{service}")?;
        }
        self.database.map_or(Ok(()), |database| write!(f, "/{database}"))
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({self})")
    }
}

/// Why a URL was refused. It does not repeat the URL, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Nothing, or only blanks.
    #[error("the URL is empty; write for example redis://host:6379")]
    Empty,
    /// A blank, a line break or a control character.
    #[error("the URL contains a blank or a control character; remove it, or percent-encode it in user and password")]
    Whitespace,
    /// The part before `://` is not a known scheme.
    #[error(
        "the URL's scheme is unknown; use redis, rediss, redis-sentinel, rediss-sentinel, redis-cluster, \
         rediss-cluster, kvrocks or kvrockss followed by ://, or embedded:"
    )]
    Scheme,
    /// No host, or a host with characters that no host has.
    #[error("the URL's host is missing or is not a host name or an address; write an IPv6 address in brackets")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the URL's port is not a number from 1 to 65535; a / or @ in user or password must be percent-encoded")]
    Port,
    /// A percent sign without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the URL's user or password is not percent-encoded UTF-8; write % as %25")]
    Encoding,
    /// The path is not a database number.
    #[error("the URL's path is not a database number; write for example /3, or remove it")]
    Database,
    /// A sentinel URL without the name of the service.
    #[error("the URL names sentinels but no service; write for example redis-sentinel://host/service or …/service/3")]
    Service,
    /// Something after `?`.
    #[error("the URL has query parameters, but none is supported; remove them, or write ? in a password as %3F")]
    Query,
    /// Something after `#`.
    #[error("the URL has a fragment, but none is supported; remove it, or write # in a password as %23")]
    Fragment,
    /// A cluster or Kvrocks has no database numbers, an embedded store no hosts.
    #[error("the URL has a database number, but this topology has none; remove the path")]
    ClusterDatabase,
    /// `embedded:` followed by something that is not an absolute path.
    #[error("the embedded URL is neither embedded: nor embedded:/absolute/path")]
    EmbeddedPath,
}

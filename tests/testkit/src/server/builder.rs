mod members;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{RedisServer, nodes};
use crate::certificates::Certificates;
use crate::port::ReservedPort;
use crate::remote::Namespace;
use crate::servers;

/// The name of the kit's own configuration file.
const CONFIG: &str = "redis.conf";

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The program is not installed.
    #[error(
        "`{program}` was not found. Tests need a real server: install it with `apt-get install redis-server` \
         (Debian, Ubuntu), `dnf install redis` (Fedora) or `brew install redis` (macOS)"
    )]
    NotInstalled {
        /// The program as it was looked for.
        program: String,
    },
    /// The environment chooses a server that is not there.
    #[error(transparent)]
    Missing(#[from] servers::Missing),
    /// The library that records fsyncs could not be compiled.
    #[error("`cc` could not compile the library that records fsyncs (`apt-get install gcc libc6-dev`): {0}")]
    Compiler(String),
    /// It ended by itself, for instance because of a setting that it does not know.
    #[error("the server ended during its start; its log:\n{log}")]
    Ended {
        /// The end of its log.
        log: String,
    },
    /// It runs but does not answer within [`DEADLINE`](crate::DEADLINE).
    #[error("the server does not answer; its log says:\n{log}")]
    NotReady {
        /// The end of its log.
        log: String,
    },
    /// The keys and certificates could not be made.
    #[error("the certificates could not be made")]
    Certificates(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The directory, a port or a process could not be had.
    #[error("the system refused")]
    System(#[from] io::Error),
}

/// What a server shall be; made by [`RedisServer::builder`], [`RedisServer::cache`] or [`RedisServer::state`].
#[derive(Clone)]
pub struct RedisServerBuilder {
    /// The one that the environment chooses, if none is named.
    program: Option<PathBuf>,
    pub(super) password: Option<String>,
    /// The user of the kit's own client; the default user if none is named.
    pub(super) login: Option<(String, String)>,
    pub(super) users: Vec<User>,
    /// The file to start with instead of one of the kit's own.
    config_file: Option<PathBuf>,
    pub(super) certificates: Option<Arc<Certificates>>,
    /// The names for which the server's certificate is valid.
    names: Vec<String>,
    pub(super) replicates: bool,
    pub(super) records_fsyncs: bool,
    pub(super) fills_disk: bool,
    pub(super) namespace: Option<Arc<Namespace>>,
    pub(super) kind: Kind,
    /// The port to listen on; a free one if none is set.
    pub(super) port: Option<Arc<ReservedPort>>,
    /// The port for the other nodes of a cluster.
    bus: Option<Arc<ReservedPort>>,
    /// The first `nodes.conf` of a node of a cluster.
    nodes: Option<String>,
    tls: bool,
    settings: BTreeMap<String, String>,
    /// Further lines of the configuration file, for settings that occur several times.
    lines: Vec<String>,
    /// Commands to send after each start, which are not part of a configuration file.
    pub(super) first_commands: Vec<Vec<String>>,
}

/// What a server is a part of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of nothing: each start is with the settings of the builder.
    Standalone,
    /// A cluster of one node.
    OneNodeCluster,
    /// One of several servers that change their configuration files at run time. A further start is with the changed file.
    Member,
    /// Like `Member`, and the program runs as a sentinel.
    Sentinel,
}

#[derive(Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
    rules: String,
}

impl RedisServerBuilder {
    /// No password, no persistence, IPv4 loopback only, 16 database numbers, no memory limit.
    pub(super) fn new() -> Self {
        let defaults = [
            ("appendonly", "no"),
            ("bind", "127.0.0.1"),
            ("daemonize", "no"),
            // a primary otherwise waits 5 s for further replicas before it begins to synchronise the first
            ("repl-diskless-sync-delay", "0"),
            ("save", ""),
        ];
        Self {
            program: None,
            password: None,
            login: None,
            users: Vec::new(),
            config_file: None,
            certificates: None,
            names: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into(),
            replicates: false,
            records_fsyncs: false,
            fills_disk: false,
            namespace: None,
            kind: Kind::Standalone,
            port: None,
            bus: None,
            nodes: None,
            tls: false,
            settings: defaults.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            lines: Vec::new(),
            first_commands: Vec::new(),
        }
    }

    /// One setting as a configuration file spells it, several values separated by blanks. Replaces what was set under
    /// this name; an empty value is written as `""`.
    #[must_use]
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts the server with this file instead of the kit's own settings. On the command line the kit overrides the port, the
    /// directory, and what [`config`](Self::config) sets afterwards. A relative path is one of the current directory.
    /// Passwords, users and TLS of this builder do not apply.
    #[must_use]
    pub fn config_file(mut self, path: impl AsRef<Path>) -> Self {
        self.settings.clear();
        self.config_file = Some(std::path::absolute(&path).unwrap_or_else(|_| path.as_ref().to_owned()));
        self
    }

    /// The user as whom the kit's own client logs in; by default the default user.
    #[must_use]
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Switches the append-only file on or off; on means `appendfsync everysec` unless
    /// [`config`](Self::config) says otherwise afterwards.
    #[must_use]
    pub fn appendonly(self, on: bool) -> Self {
        self.config("appendonly", if on { "yes" } else { "no" }).config("appendfsync", "everysec")
    }

    /// The password of the default user.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Adds a user with a password and ACL rules such as `~* &* +@all`.
    #[must_use]
    pub fn acl_user(mut self, name: &str, password: &str, rules: &str) -> Self {
        self.users.push(User { name: name.to_owned(), password: password.to_owned(), rules: rules.to_owned() });
        self
    }

    /// Speaks TLS only, with a certificate for `localhost`, `127.0.0.1` and `::1` of an authority of its own, whose
    /// file is [`RedisServer::ca_file`]. Client certificates are not requested. No fetched server has TLS: unless a program is
    /// named, this starts the installed one, regardless of [`CHOICE`](crate::servers::CHOICE).
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self.config("tls-auth-clients", "no")
    }

    /// Like [`tls`](Self::tls), and clients must show a certificate of that authority:
    /// [`RedisServer::client_cert_file`], [`RedisServer::client_key_file`].
    #[must_use]
    pub fn mutual_tls(self) -> Self {
        self.tls().config("tls-auth-clients", "yes")
    }

    /// The names and addresses for which the server's certificate is valid, instead of those of [`tls`](Self::tls). The kit's own
    /// client asks for `localhost`.
    #[must_use]
    pub fn certificate_names(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(ToString::to_string).collect();
        self
    }

    /// Like [`tls`](Self::tls), with the authority and the certificates of `other`.
    #[must_use]
    pub fn tls_of(mut self, other: &RedisServer) -> Self {
        self.certificates = other.certificates();
        self.tls()
    }

    /// Listens on `::1` also, where the machine has it.
    #[must_use]
    pub fn bind_ipv6(self) -> Self {
        self.config("bind", "127.0.0.1 -::1")
    }

    /// Records what the server syncs to its disk, for [`RedisServer::cut_power`] and [`RedisServer::fail_fsyncs`]. Needs a
    /// C compiler, Linux, and a server that is linked dynamically.
    #[must_use]
    pub fn records_fsyncs(mut self) -> Self {
        self.records_fsyncs = true;
        self
    }

    /// Lets the server survive a full disk, for [`RedisServer::fill_disk`].
    #[must_use]
    pub fn fills_disk(mut self) -> Self {
        self.fills_disk = true;
        self
    }

    /// Starts the server in this network namespace.
    pub(crate) fn in_namespace(mut self, namespace: &Arc<Namespace>) -> Self {
        self.namespace = Some(Arc::clone(namespace));
        self.config("bind", "0.0.0.0").config("protected-mode", "no")
    }

    /// The program with its arguments, behind the one that prepares its process.
    pub(super) fn wrapped(&self, program: PathBuf, arguments: Vec<OsString>) -> (PathBuf, Vec<OsString>) {
        let mut all = vec![program.into_os_string()];
        all.extend(arguments);
        if self.fills_disk {
            // the signal for a file that is too large ends a process that does not ignore it
            let ignoring = ["sh", "-c", r#"trap "" XFSZ; exec "$@""#, "sh"].map(OsString::from);
            all.splice(0..0, ignoring);
        }
        if self.namespace.is_some() {
            all.splice(0..0, ["unshare", "--net", "--"].map(OsString::from));
        }
        (all.remove(0).into(), all)
    }

    /// A cluster of this one node, which owns all slots. It refuses calls whose keys are in several slots, and has database 0
    /// only. [`start`](Self::start) waits until the cluster is up.
    #[must_use]
    pub fn cluster(mut self) -> Self {
        self.kind = Kind::OneNodeCluster;
        self
    }

    /// How many database numbers there are; 16 by default.
    #[must_use]
    pub fn databases(self, count: u32) -> Self {
        self.config("databases", &count.to_string())
    }

    /// Replicates `primary`, with its password of now and, if it speaks TLS, with TLS and its certificates.
    /// [`start`](Self::start) then waits until the first synchronisation is done.
    #[must_use]
    pub fn replica_of(mut self, primary: &RedisServer) -> Self {
        self.replicates = true;
        if let Some(certificates) = primary.certificates() {
            self.certificates = Some(certificates);
            self = self.tls().config("tls-replication", "yes");
        }
        if let Some(password) = primary.password() {
            self = self.config("masterauth", &quoted(&password));
        }
        self.config("replicaof", &format!("127.0.0.1 {}", primary.port()))
    }

    /// The program to run, by its path or by a name on the search path. By default the server that the environment chooses ([`servers::chosen`]): the `redis-server` of
    /// the search path, unless `TESTKIT_SERVER` names another.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    pub(super) fn resolved_program(&self) -> Result<PathBuf, StartError> {
        match &self.program {
            // A server runs in a folder of its own; a name alone is looked for on the path.
            Some(path) if path.components().count() > 1 => {
                Ok(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
            }
            Some(name) => Ok(name.clone()),
            // no fetched server has TLS
            None if self.tls => Ok(servers::installed().program),
            None => Ok(servers::chosen()?.program),
        }
    }

    /// Whether its program reads the shards of nodes from their file.
    pub(crate) fn knows_shards(&self) -> Result<bool, StartError> {
        Ok(servers::knows_shards(&self.resolved_program()?))
    }

    /// Starts the server on a free port with an empty directory, and waits until it answers.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(mut self) -> Result<RedisServer, StartError> {
        self.make_certificates()?;
        if self.kind == Kind::OneNodeCluster {
            let nodes = nodes::one_node(self.knows_shards()?);
            self = self.cluster_node(&Arc::new(ReservedPort::reserve()?), nodes);
        } else if self.bus.is_none() && self.settings.get("cluster-enabled").is_some_and(|value| value == "yes") {
            // The default, 10,000 above its port, is one that the system gives to outgoing connections.
            let bus = Arc::new(ReservedPort::reserve()?);
            self = self.config("cluster-port", &bus.number().to_string());
            self.bus = Some(bus);
        }
        RedisServer::start(self).await
    }

    /// What the program is started with: a file that exists, or one that is written to the directory first.
    pub(super) fn arguments(&self, port: u16, directory: &Path) -> io::Result<Vec<OsString>> {
        let Some(file) = &self.config_file else {
            let file = directory.join(CONFIG);
            let changes_it = matches!(self.kind, Kind::Member | Kind::Sentinel);
            if !(changes_it && file.is_file()) {
                std::fs::write(&file, self.render(port, directory))?;
            }
            if let Some(nodes) = self.nodes.as_ref().filter(|_| !directory.join(nodes::FILE).is_file()) {
                std::fs::write(directory.join(nodes::FILE), nodes)?;
            }
            let mode = (self.kind == Kind::Sentinel).then(|| "--sentinel".into());
            return Ok(std::iter::once(file.into()).chain(mode).collect());
        };
        let own = [("port", port.to_string().into()), ("dir", directory.into())];
        let changed = self.settings.iter().map(|(name, value)| (name.as_str(), value.into()));
        let options = changed.chain(own).flat_map(|(name, value): (_, OsString)| [format!("--{name}").into(), value]);
        Ok(std::iter::once(file.into()).chain(options).collect())
    }

    /// The text of the configuration file.
    fn render(&self, port: u16, directory: &Path) -> String {
        let mut settings = self.settings.clone();
        let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
        set("dir", quoted(&directory.display().to_string()));
        set("port", if self.tls { 0 } else { port }.to_string());
        if let Some(password) = &self.password {
            set("requirepass", quoted(password));
        }
        if let Some(certificates) = self.certificates.as_ref().filter(|_| self.tls) {
            set("tls-port", port.to_string());
            for (name, file) in
                [("tls-ca-cert-file", "ca.crt"), ("tls-cert-file", "server.crt"), ("tls-key-file", "server.key")]
            {
                let path = quoted(&certificates.file(file).display().to_string());
                settings.entry(name.to_owned()).or_insert(path);
            }
        }
        let mut text = String::new();
        for (name, value) in &settings {
            let value = if value.is_empty() { "\"\"" } else { value };
            let _ = writeln!(text, "{name} {value}");
        }
        for User { name, password, rules } in &self.users {
            let _ = writeln!(text, "user {name} on {} {rules}", quoted(&format!(">{password}")));
        }
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

pub(crate) fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

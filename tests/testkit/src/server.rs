mod builder;
mod faults;
mod inspect;
pub(crate) mod nodes;
mod power;
mod process;

pub(crate) use builder::{Kind, quoted};
pub use builder::{RedisServerBuilder, StartError};

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::lock;
use crate::port::ReservedPort;
use crate::wait::DEADLINE;
use crate::{FaultProxy, Value};
use process::Process;

/// A `redis-server` of the test's own, with its own port and directory. All methods take `&self` and none depends on the
/// runtime that started it, so that tasks, and tests through a static, may share it. Dropping it kills the server and removes the directory, unless the thread is panicking: then the directory
/// stays, and its path and the end of the log are printed.
pub struct RedisServer {
    /// What it was built as, with the passwords of now.
    settings: Mutex<RedisServerBuilder>,
    process: Mutex<Option<Process>>,
    /// Commands that the kit itself sent since the process started.
    own_commands: AtomicU64,
    port: Arc<ReservedPort>,
    directory: TempDir,
}

impl RedisServer {
    /// A server without password, persistence and memory limit.
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder::new()
    }

    /// A server as a cache store wants it: `volatile-lru`, 64 MB, no persistence.
    pub fn cache() -> RedisServerBuilder {
        Self::builder().config("maxmemory", "64mb").config("maxmemory-policy", "volatile-lru")
    }

    /// A server as a worker state store wants it: `noeviction`, 256 MB, append-only file with `everysec`.
    pub fn state() -> RedisServerBuilder {
        Self::builder().config("maxmemory", "256mb").config("maxmemory-policy", "noeviction").appendonly(true)
    }

    pub(crate) async fn start(settings: RedisServerBuilder) -> Result<Self, StartError> {
        let replicates = settings.replicates;
        let port = settings.port.clone();
        let mut attempts_left = if port.is_some() { 0 } else { 5 };
        loop {
            let server = Self {
                settings: Mutex::new(settings.clone()),
                process: Mutex::new(None),
                own_commands: AtomicU64::new(0),
                port: port.clone().map_or_else(|| ReservedPort::reserve().map(Arc::new), Ok)?,
                directory: tempfile::Builder::new().prefix("testkit-redis-").tempdir()?,
            };
            match server.launch(replicates).await {
                Ok(()) => return Ok(server),
                Err(StartError::Ended { log }) if attempts_left > 0 && log.contains("Address already in use") => {
                    attempts_left -= 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Kills the server with SIGKILL, as a crash would, and returns when it is gone. Port and directory are kept.
    /// Without effect when it does not run.
    pub async fn kill(&self) {
        *lock(&self.process) = None;
    }

    /// Starts the server again, on the same port, with the same directory, the settings that it was built with and the
    /// passwords of now, and waits until it has loaded its data. If it still runs it is killed first.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_again(&self) -> Result<(), StartError> {
        self.kill().await;
        self.launch(false).await
    }

    /// Stops the process where it stands (SIGSTOP): connections stay, and new ones are taken by the kernel, but nothing
    /// is answered until [`resume`](Self::resume).
    ///
    /// # Errors
    /// When the server does not run.
    pub fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused server go on (SIGCONT).
    ///
    /// # Errors
    /// When the server does not run.
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Whether it can answer: it is neither killed nor paused.
    pub fn is_running(&self) -> bool {
        lock(&self.process).as_ref().is_some_and(|process| !process.is_paused())
    }

    /// The port, also while the server is down.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Host and port. The host is `127.0.0.1`, unless the server has a network namespace.
    pub fn address(&self) -> SocketAddr {
        let namespace = lock(&self.settings).namespace.clone();
        (namespace.map_or(Ipv4Addr::LOCALHOST, |namespace| namespace.address()), self.port()).into()
    }

    /// The URL of the default user: `redis://:password@127.0.0.1:port/database`, with TLS `rediss://`; without the path
    /// when no database is given.
    pub fn url(&self, database: Option<u32>) -> String {
        self.url_at(self.port(), "", self.password().as_deref(), database)
    }

    /// The URL of this user, without a database.
    pub fn user_url(&self, user: &str, password: &str) -> String {
        self.url_at(self.port(), user, Some(password), None)
    }

    /// [`url`](Self::url) with the port of a proxy that stands before this server.
    pub fn url_through(&self, proxy: &FaultProxy, database: Option<u32>) -> String {
        self.url_at(proxy.port(), "", self.password().as_deref(), database)
    }

    /// The authority's certificate, for clients.
    ///
    /// # Panics
    /// Without TLS.
    pub fn ca_file(&self) -> PathBuf {
        self.certificate_file("ca.crt")
    }

    /// A certificate that a [`mutual_tls`](RedisServerBuilder::mutual_tls) server accepts.
    ///
    /// # Panics
    /// Without TLS.
    pub fn client_cert_file(&self) -> PathBuf {
        self.certificate_file("client.crt")
    }

    /// The key of [`client_cert_file`](Self::client_cert_file).
    ///
    /// # Panics
    /// Without TLS.
    pub fn client_key_file(&self) -> PathBuf {
        self.certificate_file("client.key")
    }

    /// The server's directory: its configuration file, log, snapshots and append-only files.
    pub fn dir(&self) -> &Path {
        self.directory.path()
    }

    /// The server's log since its first start.
    pub fn log(&self) -> String {
        process::log(self.dir())
    }

    pub(crate) fn certificates(&self) -> Option<Arc<Certificates>> {
        lock(&self.settings).certificates.clone()
    }

    /// User and password of the kit's own client, if it must log in.
    pub(crate) fn login(&self) -> Option<(String, String)> {
        lock(&self.settings).credentials()
    }

    pub(crate) fn password(&self) -> Option<String> {
        lock(&self.settings).password.clone()
    }

    fn certificate_file(&self, name: &str) -> PathBuf {
        self.certificates().expect("the server was built without tls()").file(name)
    }

    fn url_at(&self, port: u16, user: &str, password: Option<&str>, database: Option<u32>) -> String {
        let scheme = if self.certificates().is_some() { "rediss" } else { "redis" };
        let login = password.map(|password| format!("{}:{}@", percent_encoded(user), percent_encoded(password)));
        let path = database.map(|number| format!("/{number}"));
        format!("{scheme}://{}{}:{port}{}", login.unwrap_or_default(), self.address().ip(), path.unwrap_or_default())
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        self.with_process(|process| process.signal(signal))
    }

    pub(crate) fn process_id(&self) -> io::Result<u32> {
        self.with_process(|process| Ok(process.id()))
    }

    fn with_process<T>(&self, then: impl FnOnce(&mut Process) -> io::Result<T>) -> io::Result<T> {
        let down = || io::Error::new(io::ErrorKind::NotFound, "the server does not run");
        lock(&self.process).as_mut().ok_or_else(down).and_then(then)
    }

    /// Starts the process and waits until that very process answers, since another may hold the port.
    async fn launch(&self, synchronised: bool) -> Result<(), StartError> {
        let settings = lock(&self.settings).clone();
        let arguments = settings.arguments(self.port(), self.dir())?;
        let environment = if settings.records_fsyncs { power::variables(self.dir())? } else { Vec::new() };
        let (program, arguments) = settings.wrapped(settings.resolved_program()?, arguments);
        let process = Process::start(&program, &arguments, self.dir(), &environment)?;
        let id = process.id();
        *lock(&self.process) = Some(process);
        if let Some(namespace) = &settings.namespace {
            namespace.connect(id).await?;
        }
        let id = id.to_string();
        self.own_commands.store(0, Ordering::Relaxed);

        let started = Instant::now();
        loop {
            if lock(&self.process).as_mut().is_none_or(Process::has_ended) {
                return Err(StartError::Ended { log: process::log_tail(self.dir()) });
            }
            let is_ready = self.is_ready(&id, synchronised, settings.kind).await;
            if is_ready && (settings.kind != Kind::OneNodeCluster || self.serves_slots().await) {
                break;
            }
            if started.elapsed() > DEADLINE {
                return Err(StartError::NotReady { log: process::log_tail(self.dir()) });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for command in &settings.first_commands {
            self.command(command).await.map_err(|error| StartError::System(io::Error::other(error)))?;
        }
        Ok(())
    }

    async fn is_ready(&self, process_id: &str, synchronised: bool, kind: Kind) -> bool {
        let info = tokio::time::timeout(Duration::from_secs(5), self.command(&["INFO"])).await;
        let Some(text) = info.ok().and_then(Result::ok).as_ref().and_then(Value::as_str).map(str::to_owned) else {
            return false;
        };
        let says = |field: &str, value: &str| text.lines().any(|line| line.strip_prefix(field) == Some(value));
        says("process_id:", process_id)
            && (kind == Kind::Sentinel || says("loading:", "0"))
            && (!synchronised || says("master_link_status:", "up"))
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisServer").field("port", &self.port()).finish_non_exhaustive()
    }
}

impl Drop for RedisServer {
    #[expect(clippy::print_stderr, reason = "the evidence of a failed test belongs into its output")]
    fn drop(&mut self) {
        *lock(&self.process) = None;
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            let tail = process::log_tail(self.dir());
            eprintln!("redis-server on port {}, kept in {}:\n{tail}", self.port(), self.dir().display());
        }
    }
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

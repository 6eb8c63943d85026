//! The environment of a case: an engine, its server, and the sizes of this run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache_store::CacheStore;
use embedded_store::{EmbeddedCache, EmbeddedState};
use redis_link::{Link, LinkConfig, ServerUrl};
use state_store::StateStore;
use store_core::{CacheRole, Namespace, QueueName, ServiceName, StateOptions, StateRole};
use testkit::RedisServer;
use tokio::sync::Mutex;

use crate::Result;
use crate::figure::Sample;
use crate::meter::{self, Meter};
use crate::wire::Wire;
use testkit::Value;

/// The engine of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A `redis-server` of the bench's own, over loopback TCP.
    Redis,
    /// The embedded store in memory.
    EmbeddedMemory,
    /// The embedded store in one durable file.
    EmbeddedFile,
}

impl Engine {
    /// All engines.
    pub const ALL: [Engine; 3] = [Engine::Redis, Engine::EmbeddedMemory, Engine::EmbeddedFile];

    /// The suffix of the name of a case that also exists on Redis.
    pub fn suffix(self) -> &'static str {
        match self {
            Engine::Redis => "",
            Engine::EmbeddedMemory => "/embedded-memory",
            Engine::EmbeddedFile => "/embedded-file",
        }
    }
}

/// The settings of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Tiny sizes and one round, only to show that everything works.
    pub quick: bool,
    /// How many rounds count.
    pub rounds: usize,
    /// The seed of all random data.
    pub seed: u64,
    /// The bench program, which is started again as the worker to kill.
    pub program: PathBuf,
}

impl Settings {
    /// A full run: five rounds.
    pub fn full(program: PathBuf) -> Self {
        Self { quick: false, rounds: 5, seed: 20_250_101, program }
    }

    /// One round of tiny sizes.
    pub fn quick(program: PathBuf) -> Self {
        Self { quick: true, rounds: 1, ..Self::full(program) }
    }
}

/// Settings of the server, as the outputs show them; all others have their defaults.
pub const SERVER_SETTINGS: &str = "save \"\", appendonly no, no maxmemory, loopback TCP";

/// Database numbers of the server: of state and hand-offs, of the cache of `bench`, of the cache of `receiver`.
const DATABASES: [u32; 3] = [0, 1, 2];

/// The environment of one case. Its server, if it has one, is used by no other case and ends with it.
pub struct Environment {
    /// The engine.
    pub engine: Engine,
    /// The settings of the run.
    pub settings: Settings,
    server: Option<RedisServer>,
    meter: Mutex<Option<Meter>>,
    folder: tempfile::TempDir,
}

/// Both stores of one service, and the cache store of the service that receives hand-offs.
#[derive(Clone)]
pub struct Stores {
    /// The worker state store.
    pub state: Arc<dyn StateRole>,
    /// The cache store of the service `bench`.
    pub cache: Arc<dyn CacheRole>,
    /// The cache store of the service `receiver`.
    pub receiver: Arc<dyn CacheRole>,
}

impl Environment {
    /// With an empty server, if the engine has one.
    pub(crate) async fn make(engine: Engine, settings: &Settings) -> Result<Self> {
        let server = if engine == Engine::Redis { Some(RedisServer::builder().start().await?) } else { None };
        let meter = match &server {
            Some(server) => Some(Meter::open(server).await?),
            None => None,
        };
        let folder = tempfile::Builder::new().prefix("twinstore-bench-").tempdir()?;
        Ok(Self { engine, settings: settings.clone(), server, meter: Mutex::new(meter), folder })
    }

    /// A size: the given one; a quarter of it on an embedded engine, for which a shorter round is enough; a five-hundredth
    /// (20 to 400) in a quick run.
    pub fn size(&self, full: usize) -> usize {
        match (self.settings.quick, self.engine) {
            (true, _) => (full / 500).clamp(20, 400).min(full),
            (false, Engine::Redis) => full,
            (false, _) => full.div_ceil(4),
        }
    }

    /// One of two durations.
    pub fn time(&self, full: Duration, quick: Duration) -> Duration {
        if self.settings.quick { quick } else { full }
    }

    /// The server.
    ///
    /// # Errors
    /// If the engine has none.
    pub fn server(&self) -> Result<&RedisServer> {
        self.server.as_ref().ok_or_else(|| "this engine has no server".into())
    }

    /// A connection of the smallest client to the server.
    ///
    /// # Errors
    /// If there is no server, or it does not accept.
    pub async fn wire(&self) -> Result<Wire> {
        Wire::open(self.server()?.address()).await
    }

    /// Opens both stores with default settings; on Redis both on the one server.
    ///
    /// # Errors
    /// The error of the engine.
    pub async fn stores(&self) -> Result<Stores> {
        let (own, other) = (ServiceName::new("bench")?, ServiceName::new("receiver")?);
        if self.engine == Engine::Redis {
            let url = self.server()?.url(None);
            let state = open_state(&url).await?;
            let [shared, one, two] = DATABASES;
            let (one, shared, two) = (link(&url, one).await?, link(&url, shared).await?, link(&url, two).await?);
            return Ok(Stores {
                state: Arc::new(state),
                cache: Arc::new(CacheStore::new(one, shared.clone(), own, cache_store::CacheOptions::default())),
                receiver: Arc::new(CacheStore::new(two, shared, other, cache_store::CacheOptions::default())),
            });
        }
        let (state_options, cache_options) = Default::default();
        let (state, cache) = if self.engine == Engine::EmbeddedFile {
            let cache = EmbeddedCache::open(self.folder.path().join("cache.redb"), own.clone(), cache_options)?;
            (EmbeddedState::open(self.state_file(), own, state_options)?, cache)
        } else {
            (EmbeddedState::in_memory(own.clone(), state_options), EmbeddedCache::in_memory(own, cache_options))
        };
        let receiver = Arc::new(cache.for_service(other));
        Ok(Stores { state: Arc::new(state), cache: Arc::new(cache), receiver })
    }

    /// The path of the embedded state store's file.
    pub fn state_file(&self) -> PathBuf {
        self.folder.path().join("state.redb")
    }

    /// Does work of `ops` operations and returns the cost of each.
    ///
    /// # Errors
    /// The error of the work.
    pub async fn measure(&self, ops: usize, work: impl Future<Output = Result<()>>) -> Result<Sample> {
        meter::measure(self.meter.lock().await.as_mut_slice(), ops, work).await
    }

    /// Bytes that the server's allocator has allocated.
    ///
    /// # Errors
    /// If there is no server, or it does not answer.
    pub async fn server_memory(&self) -> Result<f64> {
        self.meter.lock().await.as_mut().ok_or("this engine has no server")?.memory().await
    }

    /// The version that the server reports; `None` without a server.
    pub(crate) async fn server_version(&self) -> Result<Option<String>> {
        match self.meter.lock().await.as_mut() {
            Some(meter) => Ok(meter.info("server").await?.remove("redis_version").map(|text| text.trim().to_owned())),
            None => Ok(None),
        }
    }

    /// Removes all keys that contain `part`, while nothing is measured. Does nothing if there is no server.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn remove_keys(&self, part: &str) -> Result<()> {
        if self.server.is_none() {
            return Ok(());
        }
        let mut wire = self.wire().await?;
        for database in DATABASES {
            wire.command(&[b"SELECT", database.to_string().as_bytes()]).await?;
            remove_selected(&mut wire, part).await?;
        }
        Ok(())
    }

    /// Random bytes that are the same in every run: `count` texts of `len` letters.
    pub fn texts(&self, count: usize, len: usize) -> Vec<Bytes> {
        let mut random = fastrand::Rng::with_seed(self.settings.seed);
        (0..count).map(|_| (0..len).map(|_| u8::try_from(random.alphanumeric()).unwrap_or(b'x')).collect()).collect()
    }

    /// The payload of every job: 200 bytes.
    pub fn payload(&self) -> Bytes {
        self.texts(1, 200).remove(0)
    }
}

/// Removes the keys of the selected database number that contain `part`.
async fn remove_selected(wire: &mut Wire, part: &str) -> Result<()> {
    let pattern = format!("*{part}*");
    let mut cursor = Bytes::from_static(b"0");
    loop {
        let scan: [&[u8]; 6] = [b"SCAN", &cursor, b"MATCH", pattern.as_bytes(), b"COUNT", b"1000"];
        let mut reply = wire.command(&scan).await?.into_array();
        let keys = reply.pop().map(Value::into_array).unwrap_or_default();
        let keys: Vec<Bytes> = keys.into_iter().filter_map(Value::into_bytes).collect();
        if !keys.is_empty() {
            let delete: Vec<&[u8]> = [b"DEL".as_slice()].into_iter().chain(keys.iter().map(AsRef::as_ref)).collect();
            wire.command(&delete).await?;
        }
        cursor = reply.pop().and_then(Value::into_bytes).ok_or("SCAN returns no cursor")?;
        if cursor.as_ref() == b"0" {
            return Ok(());
        }
    }
}

/// Opens the state store on a server, with default settings.
///
/// # Errors
/// The error of the store.
pub async fn open_state(url: &str) -> Result<StateStore> {
    open_state_with(url, StateOptions::default()).await
}

/// Opens the state store on a server.
///
/// # Errors
/// The error of the store.
pub(crate) async fn open_state_with(url: &str, options: StateOptions) -> Result<StateStore> {
    let link = Link::connect(LinkConfig::new(ServerUrl::parse(url)?, "bench:state")).await?;
    Ok(StateStore::open(link, Namespace::new("tw")?, ServiceName::new("bench")?, options).await?)
}

pub(crate) async fn link(url: &str, database: u32) -> Result<Link> {
    let url = ServerUrl::parse(url)?.with_database(database);
    Ok(Link::connect(LinkConfig::new(url, "bench:cache")).await?)
}

/// A queue of this name.
///
/// # Errors
/// If the name is invalid.
pub fn queue(name: &str) -> Result<QueueName> {
    Ok(QueueName::new(name)?)
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("engine", &self.engine).finish_non_exhaustive()
    }
}

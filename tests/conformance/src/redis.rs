//! The engine on two Redis-compatible servers, and the run against servers that somebody else started.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cache_store::{CacheOptions, CacheStore};
use redis_link::{Link, LinkConfig, Script, ServerUrl, UrlError, args};
use state_store::{StateOptions, StateStore};
use store_core::{Durability, Namespace, NewJob, Op, Queue, QueueName, Result, ShelfBounds};

use crate::engine::{Capability, Engine, Options, Stores};
use crate::runner::{Report, run_all};
use crate::stage::{random_word, service};

/// The database that all services share, that of the service under test, and that of the other one.
const DATABASES: [u32; 3] = [0, 1, 2];

/// Both stores on servers, under a namespace that nobody else uses.
#[derive(Debug)]
pub struct RedisEngine {
    name: String,
    namespace: Namespace,
    capabilities: Vec<Capability>,
    state: Link,
    shared: Link,
    own: Link,
    other: Link,
    shelves: ShelfBounds,
}

/// Why the suite could not be run against these servers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgainstError {
    /// A URL that cannot be used.
    #[error("the URL of the {role} store: {source}")]
    Url {
        /// Which of the two.
        role: store_core::Role,
        /// What is wrong with it, without its text.
        source: UrlError,
    },
    /// A server that cannot be used.
    #[error(transparent)]
    Store(#[from] store_core::Error),
}

/// Runs the cases whose names contain `filter` against two servers that hold other data as well: under a random
/// namespace in the state store, under keys with a random prefix in the databases 0, 1 and 2 of the cache store. Afterwards
/// removes exactly those keys.
///
/// # Errors
/// [`AgainstError`] when a server cannot be used at all; a case that fails is told in the report.
pub async fn against(cache_url: &str, state_url: &str, filter: &str) -> Result<Report, AgainstError> {
    let engine = Arc::new(RedisEngine::connect("redis", cache_url, state_url).await?);
    let suite: Arc<dyn Engine> = engine.clone();
    let report = run_all(&suite, filter).await;
    engine.clean_up().await?;
    Ok(report)
}

impl RedisEngine {
    /// Connects to both servers and finds out what they can acknowledge.
    ///
    /// # Errors
    /// [`AgainstError`] when a URL or a server cannot be used.
    pub async fn connect(name: &str, cache_url: &str, state_url: &str) -> Result<Self, AgainstError> {
        // For machines that are busy with other things: no case is about time-outs.
        Self::connect_within(name, cache_url, state_url, Duration::from_secs(20)).await
    }

    /// The same with a command time-out of the caller's: a repetition waits for that of the request before it.
    ///
    /// # Errors
    /// As [`RedisEngine::connect`].
    pub async fn connect_within(
        name: &str,
        cache_url: &str,
        state_url: &str,
        command_timeout: Duration,
    ) -> Result<Self, AgainstError> {
        let link = |url| link(url, command_timeout);
        let url = |role, text| ServerUrl::parse(text).map_err(|source| AgainstError::Url { role, source });
        let (cache, state) = (url(store_core::Role::Cache, cache_url)?, url(store_core::Role::State, state_url)?);
        let [shared, own, other] = DATABASES.map(|database| cache.clone().with_database(database));
        let mut engine = Self {
            name: name.to_owned(),
            namespace: Namespace::new(format!("conformance-{}", random_word()))
                .expect("invariant: a word and letters are a valid namespace"),
            capabilities: vec![Capability::Reopen],
            state: link(state).await?,
            shared: link(shared).await?,
            own: link(own).await?,
            other: link(other).await?,
            shelves: ShelfBounds::default(),
        };
        engine.find_capabilities().await?;
        Ok(engine)
    }

    /// With other bounds for the shelves of scheduled jobs: tiny ones put few jobs onto many shelves.
    #[must_use]
    pub fn with_shelves(mut self, shelves: ShelfBounds) -> Self {
        self.shelves = shelves;
        self
    }

    /// Removes what the cases have made, and nothing else. Walks over all keys of the databases used.
    ///
    /// # Errors
    /// Those of the servers.
    pub async fn clean_up(&self) -> Result<()> {
        sweep(&self.state, &format!("{}:*", self.namespace)).await?;
        for link in [&self.shared, &self.own, &self.other] {
            sweep(link, &format!("*:{}-*", self.namespace)).await?;
        }
        Ok(())
    }

    async fn state_store(&self, options: &Options) -> Result<StateStore> {
        let options = StateOptions::default()
            .with_clock(options.clock.clone())
            .with_retention(options.retention)
            .with_shelves(self.shelves);
        StateStore::open(self.state.clone(), self.namespace.clone(), options).await
    }

    /// Asks for a durable write: only that tells what servers behind proxies and managed ones really do.
    async fn find_capabilities(&mut self) -> Result<()> {
        let store = self.state_store(&Options::default()).await?;
        let queue = QueueName::new(format!("{}-durability", self.namespace))
            .expect("invariant: a namespace and letters are a valid name");
        let within = Duration::from_millis(250);
        for (capability, durability) in [
            (Capability::Fsync, Durability::Fsynced { within }),
            (Capability::Replication, Durability::Replicated { replicas: 1, within }),
        ] {
            if store.push(&queue, &[NewJob::new("")], durability).await.is_ok() {
                self.capabilities.push(capability);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Engine for RedisEngine {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    fn prefix(&self) -> &str {
        self.namespace.as_str()
    }

    async fn open(&self, _place: &str, options: &Options) -> Result<Stores> {
        let names = [service(self.prefix()), service(&format!("{}-other", self.namespace))];
        let cache = |link: &Link, name: &store_core::ServiceName| {
            let options = CacheOptions::default().with_clock(options.clock.clone());
            CacheStore::new(link.clone(), self.shared.clone(), name.clone(), options)
        };
        Ok(Stores {
            state: Arc::new(self.state_store(options).await?),
            cache: Arc::new(cache(&self.own, &names[0])),
            other: Arc::new(cache(&self.other, &names[1])),
            service: names[0].clone(),
            other_service: names[1].clone(),
        })
    }
}

async fn link(url: ServerUrl, command_timeout: Duration) -> Result<Link> {
    let config = LinkConfig::new(url, "conformance")
        .with_command_timeout(command_timeout)
        .with_connect_timeout(Duration::from_secs(20));
    Link::connect(config).await
}

/// Looks through a part of the keys and removes those that match. No key is declared: it is for one server only.
///
/// ARGV: the cursor, the pattern. Returns: `swept`, the next cursor.
static SWEEP: Script = Script::new(
    "conformance/sweep",
    "#!lua\n\
     local found = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 1000)\n\
     for _, key in ipairs(found[2]) do redis.call('UNLINK', key) end\n\
     return {'swept', found[1]}",
);

async fn sweep(link: &Link, pattern: &str) -> Result<()> {
    let mut cursor = bytes::Bytes::from_static(b"0");
    loop {
        let answer = link.call(Op::Probe, &SWEEP, &[] as &[&str], args![&cursor, pattern]).await?;
        let mut reply = answer.reader(Op::Probe);
        reply.next_word()?;
        cursor = reply.next_bytes()?;
        if cursor == "0" {
            return Ok(());
        }
    }
}

//! The engine on two Redis-compatible servers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cache_store::{CacheOptions, CacheStore};
use redis_link::{Link, LinkConfig};
use state_store::{StateOptions, StateStore};
use store_core::{Durability, Error, Namespace, NewJob, PressureReading, Queue, QueueName, Result, Role};
use tokio::sync::{OnceCell, watch};

use crate::against::{AgainstError, Target, sweep};
use crate::engine::{Capability, Engine, Options, Stores};
use crate::fixture::{QUEUES, queue, random_word, service};

/// The database that all services share, that of the service under test, and that of the other service.
const DATABASES: [u32; 3] = [0, 1, 2];

/// The command time-out. Long, for busy machines: no case tests time-outs.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Both stores on servers, in a namespace that is not used elsewhere.
#[derive(Debug)]
pub struct RedisEngine {
    name: String,
    namespace: Namespace,
    capabilities: Vec<Capability>,
    state: Link,
    /// For a link that watches the memory of the state server. The others do not: tests count and cut their requests.
    watching: LinkConfig,
    watched: OnceCell<Link>,
    shared: Link,
    own: Link,
    other: Link,
    partitions: u16,
}

impl RedisEngine {
    /// Connects to both servers and determines which durabilities they grant.
    ///
    /// # Errors
    /// [`AgainstError`] if a URL or a server cannot be used.
    pub async fn connect(name: &str, cache_url: &str, state_url: &str) -> Result<Self, AgainstError> {
        Self::connect_within(name, cache_url, state_url, TIMEOUT).await
    }

    /// Connects with another command time-out: a repetition waits for the time-out of the request before it.
    ///
    /// # Errors
    /// As [`RedisEngine::connect`].
    pub async fn connect_within(
        name: &str,
        cache_url: &str,
        state_url: &str,
        command_timeout: Duration,
    ) -> Result<Self, AgainstError> {
        let (cache, state) = (Target::new(Role::Cache, cache_url), Target::new(Role::State, state_url));
        let mut engine = Self::links(name, &cache, &state, command_timeout).await?;
        engine.find_capabilities().await?;
        Ok(engine)
    }

    /// Connects to both servers as the targets describe, in a namespace that their users may use and that nothing else uses.
    ///
    /// # Errors
    /// As [`RedisEngine::connect`].
    pub async fn connect_in(
        name: &str,
        namespace: Namespace,
        cache: &Target,
        state: &Target,
    ) -> Result<Self, AgainstError> {
        let mut engine = Self::links(name, cache, state, TIMEOUT).await?;
        engine.namespace = namespace;
        engine.find_capabilities().await?;
        Ok(engine)
    }

    /// Connects to both servers and writes nothing.
    pub(crate) async fn links(
        name: &str,
        cache: &Target,
        state: &Target,
        command_timeout: Duration,
    ) -> Result<Self, AgainstError> {
        let [shared, own, other] = DATABASES.map(Some);
        Ok(Self {
            name: name.to_owned(),
            namespace: Namespace::new(format!("conformance-{}", random_word()))
                .expect("invariant: a word and letters are a valid namespace"),
            capabilities: vec![Capability::Reopen, Capability::OneOrder],
            state: state.link(None, command_timeout).await?,
            watching: state.config(None)?.with_pressure_watch(Duration::from_millis(200)),
            watched: OnceCell::new(),
            shared: cache.link(shared, command_timeout).await?,
            own: cache.link(own, command_timeout).await?,
            other: cache.link(other, command_timeout).await?,
            partitions: 1,
        })
    }

    /// Divides the queues of the cases into several partitions: there is no order over a whole queue.
    #[must_use]
    pub fn with_partitions(mut self, partitions: u16) -> Self {
        self.capabilities.retain(|capability| *capability != Capability::OneOrder);
        self.partitions = partitions;
        self
    }

    /// Removes the data of the cases, and nothing else. Scans all keys of the used databases.
    ///
    /// # Errors
    /// The server that refused, and why.
    pub(crate) async fn clean_up(&self) -> Result<(), (Role, Error)> {
        let namespace = &self.namespace;
        let (pattern, nobody) = (format!("{namespace}*"), format!("{namespace}:nobody"));
        sweep(&self.state, &pattern, &nobody).await.map_err(|error| (Role::State, error))?;
        let (pattern, nobody) = (format!("*:{namespace}-*"), format!("value:{namespace}-nobody"));
        for link in [&self.shared, &self.own, &self.other] {
            sweep(link, &pattern, &nobody).await.map_err(|error| (Role::Cache, error))?;
        }
        Ok(())
    }

    async fn state_store(&self, place: &str, options: &Options) -> Result<StateStore> {
        let (own_namespace, declared) = (options.own_namespace, options.partitions.clone());
        let mut options = StateOptions::default().with_clock(options.clock.clone()).with_retention(options.retention);
        if self.partitions > 1 {
            for what in QUEUES {
                options = options.with_partitions(queue(place, what), self.partitions);
            }
        }
        for (queue, partitions) in declared {
            options = options.with_partitions(queue, partitions);
        }
        let namespace = match own_namespace {
            // It begins with the namespace of the engine.
            true => Namespace::new(place).expect("invariant: places have short plain names"),
            false => self.namespace.clone(),
        };
        StateStore::open(self.state.clone(), namespace, service(self.namespace.as_str()), options).await
    }

    /// Requests a durable write, because only a write shows what managed servers and servers behind proxies grant. Waits long
    /// enough for `appendfsync everysec` on a busy machine.
    pub(crate) async fn find_capabilities(&mut self) -> Result<()> {
        let store = self.state_store("", &Options::default()).await?;
        let queue = QueueName::new(format!("{}-durability", self.namespace))
            .expect("invariant: a namespace and letters are a valid name");
        for (capability, durability) in [
            (Capability::Fsync, Durability::Fsynced { within: Duration::from_secs(10) }),
            (Capability::Replication, Durability::Replicated { replicas: 1, within: Duration::from_secs(1) }),
        ] {
            match store.push(&queue, &[NewJob::new("")], durability).await {
                Ok(_) => self.capabilities.push(capability),
                Err(Error::Unsupported { .. } | Error::NotDurable { .. }) => {}
                Err(error) => return Err(error),
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

    async fn pressure(&self) -> Result<watch::Receiver<PressureReading>> {
        let watched = self.watched.get_or_try_init(|| Link::connect(self.watching.clone())).await?;
        Ok(watched.pressure())
    }

    async fn open(&self, place: &str, options: &Options) -> Result<Stores> {
        let names = [service(self.prefix()), service(&format!("{}-other", self.namespace))];
        let cache = |link: &Link, name: &store_core::ServiceName| {
            let options = CacheOptions::default().with_clock(options.clock.clone());
            CacheStore::new(link.clone(), self.shared.clone(), name.clone(), options)
        };
        let state = self.state_store(place, options).await?;
        Ok(Stores {
            other_state: Arc::new(state.for_service(names[1].clone())),
            shared_state: Arc::new(state.shared()),
            state: Arc::new(state),
            cache: Arc::new(cache(&self.own, &names[0])),
            other: Arc::new(cache(&self.other, &names[1])),
            service: names[0].clone(),
            other_service: names[1].clone(),
        })
    }
}

//! Both stores of a service, opened together.

use std::error::Error as _;
use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_store::{CacheOptions, CacheStore};
use embedded_store::{EmbeddedCache, EmbeddedState};
use redis_link::Link;
use state_store::StateStore;
use store_core::{Durabilities, Error, Pressure, Role, ServiceName, StateOptions, metric};
use store_validation::{Engine, Environment, Finding, Refused, Settings, validate};

mod cache;
mod health;
mod operation;
mod options;
mod presence;
mod proof;
mod run_watch;
mod shared_state;
mod state;
mod step_run;
mod topic;

pub use cache::Cache;
use health::Checks;
pub use health::{Health, HealthError, RoleHealth};
pub use operation::{Operation, OperationError, OperationFailure, Ran};
pub use options::StoresOptions;
use presence::Presence;
use proof::Proof;
pub use run_watch::RunWatch;
pub use shared_state::SharedState;
pub use state::State;
pub use step_run::{StepError, StepRun};
pub use topic::{Topic, TopicConsumer};

/// Both stores of a service. The preflight has checked that they are two stores, each configured for its role. Clones share
/// their connections.
///
/// Keep one clone while the service runs. Until [`Stores::close`], or until the last clone is dropped, a background
/// task records about once an hour that the service runs. Another service can take its database number after seven days
/// without such a record, or after `cargo xtask release-number`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), twinstore::StartError> {
/// use twinstore::Stores;
/// use twinstore::config::Environment;
///
/// let environment = Environment::from_variables([
///     ("SERVICE_NAME", "billing"),
///     ("REDIS_CONN_BASE_URL", "embedded:"),
///     ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
/// ]);
/// let stores = Stores::open(&environment).await?;
/// assert!(stores.health().await.is_ready());
/// stores.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Stores {
    service: ServiceName,
    cache: Cache,
    state: State,
    warnings: Vec<Finding>,
    opened: Opened,
    /// Those of the cache store and of the worker state store.
    checks: Arc<(Checks, Checks)>,
}

/// What [`Stores::close`] closes.
#[derive(Clone, Default)]
struct Opened {
    links: Vec<(Role, Link)>,
    embedded_cache: Option<EmbeddedCache>,
    embedded_state: Option<EmbeddedState>,
    presence: Option<Arc<Presence>>,
    proof: Option<Arc<Proof>>,
}

/// The servers and their capabilities.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = |(role, link): &(Role, Link)| (*role, link.servers(), link.capabilities());
        f.debug_list().entries(self.links.iter().map(link)).finish()
    }
}

impl Stores {
    /// Opens the stores that this process's environment names. The table of variables is in the README.
    ///
    /// The preflight runs first. It checks both servers concurrently. All checks together take at most ten seconds, or
    /// the longest connect time-out if that is longer. Findings that are not errors are logged as warnings and kept in
    /// [`Stores::warnings`].
    ///
    /// Install a recorder of the crate `metrics` before this call: see [`metrics`](crate::metrics).
    ///
    /// # Errors
    /// [`StartError::Refused`] with all findings if one of them is an error; [`StartError::exit`] prints them and ends the
    /// process. [`StartError::Store`] if the preflight passes, but a store cannot be opened.
    pub async fn from_env() -> Result<Self, StartError> {
        Self::open(&Environment::from_process()).await
    }

    /// Opens the stores as [`Stores::from_env`] does, with variables from another source: a file, a test.
    ///
    /// # Errors
    /// As [`Stores::from_env`].
    pub async fn open(environment: &Environment) -> Result<Self, StartError> {
        Self::open_with(environment, StoresOptions::new()).await
    }

    /// Opens the stores as [`Stores::open`] does, with options from the code of the service. A variable that is set takes
    /// precedence over the option.
    ///
    /// # Errors
    /// As [`Stores::from_env`].
    pub async fn open_with(environment: &Environment, options: StoresOptions) -> Result<Self, StartError> {
        metric::describe();
        let validated = validate(environment).await?;
        let settings = validated.settings;
        let mut opened = Opened::default();
        let cache = open_cache(&settings, &options, &mut opened).await.map_err(StartError::of(Role::Cache))?;
        let state = open_state(&settings, &options, &mut opened).await.map_err(StartError::of(Role::State))?;
        let checks = Arc::new((Checks::new(), Checks::new()));
        for (role, link) in &opened.links {
            tracing::info!(%role, servers = link.servers(), "connected");
        }
        let proof = Proof::keep(validated.claims.clone(), &opened.links, Arc::clone(&checks));
        opened.proof = Some(Arc::new(proof));
        opened.presence = Presence::keep(validated.claims).map(Arc::new);
        Ok(Self { service: settings.service, cache, state, warnings: validated.warnings, opened, checks })
    }

    /// Both stores in memory, on this clock.
    #[cfg(feature = "testing")]
    pub(crate) fn in_memory(clock: store_core::Clock) -> Self {
        let Ok(service) = ServiceName::new("test") else { unreachable!("a valid name") };
        let options = embedded_store::CacheOptions::default().with_clock(clock.clone());
        let cache = EmbeddedCache::in_memory(service.clone(), options);
        let options = store_core::StateOptions::default().with_clock(clock.clone());
        let state = EmbeddedState::in_memory(service.clone(), options);
        let opened =
            Opened { embedded_cache: Some(cache.clone()), embedded_state: Some(state.clone()), ..Opened::default() };
        let shared = state.shared();
        Self {
            service,
            cache: Cache::new(EMBEDDED_MEMORY, cache),
            state: State::new(EMBEDDED_MEMORY, state, shared, Durabilities::default()).with_clock(clock),
            warnings: Vec::new(),
            opened,
            checks: Arc::new((Checks::new(), Checks::new())),
        }
    }

    /// This service's name.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The cache store.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The worker state store.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The findings of the preflight that are warnings.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// Checks both stores concurrently, for a readiness probe: see [`Health::is_ready`].
    ///
    /// Sends one `PING` per link, also while the circuit breaker of the cache is open. It is not repeated, and waits at most 1 s,
    /// or the command time-out of the role if that is shorter. An embedded store is up until it is closed or its file is moved
    /// or deleted; its check only reads the file's metadata.
    ///
    /// A background task repeats the preflight after each failover and each lost connection, because another server may
    /// answer. It logs and counts each error and lists it in [`RoleHealth::wrong`]; the pod is not ready until all errors are
    /// corrected. With `STORE_PREFLIGHT=warn` it only logs and counts them.
    pub async fn health(&self) -> Health {
        let (cache, state) = &*self.checks;
        let check = async |role, checks: &Checks| {
            let begun = Instant::now();
            let outcome = match role {
                Role::Cache => self.opened.embedded_cache.as_ref().map(EmbeddedCache::check),
                Role::State => self.opened.embedded_state.as_ref().map(EmbeddedState::check),
            };
            let links = self.opened.links.iter().filter(|(of, _)| *of == role).map(|(_, link)| link.clone());
            let outcome = match outcome {
                Some(outcome) => outcome.map(|()| begun.elapsed()),
                None => health::ping(links).await,
            };
            let pressure = match role {
                Role::Cache => Pressure::Unknown,
                Role::State => self.state.pressure().borrow().level,
            };
            checks.record(begun, outcome, pressure)
        };
        let (cache, state) = tokio::join!(check(Role::Cache, cache), check(Role::State, state));
        Health { cache, state }
    }

    /// Closes all connections and embedded stores of all clones, and ends the calls under way. The file of an embedded store
    /// can then be opened again. Every later call returns [`Error::Unavailable`]. Stop workers first.
    pub async fn close(&self) {
        self.opened.presence.iter().for_each(|presence| presence.end());
        self.opened.proof.iter().for_each(|proof| proof.end());
        for (_, link) in &self.opened.links {
            link.close().await;
        }
        if let Some(cache) = &self.opened.embedded_cache {
            cache.close().await;
        }
        if let Some(state) = &self.opened.embedded_state {
            state.close().await;
        }
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores")
            .field("service", &self.service)
            .field("cache", &self.cache)
            .field("state", &self.state)
            .field("servers", &self.opened)
            .finish_non_exhaustive()
    }
}

async fn open_cache(settings: &Settings, options: &StoresOptions, opened: &mut Opened) -> Result<Cache, Error> {
    let service = settings.service.clone();
    let (engine, store) = match &settings.cache {
        Engine::Embedded(None) => (EMBEDDED_MEMORY, EmbeddedCache::in_memory(service, Default::default())),
        Engine::Embedded(Some(file)) => (EMBEDDED_FILE, EmbeddedCache::open(file, service, Default::default())?),
        Engine::Server(server) => {
            let own = Link::connect(server.own.clone()).await?;
            let shared = Link::connect(server.shared.clone()).await?;
            opened.links.extend([(Role::Cache, own.clone()), (Role::Cache, shared.clone())]);
            let options =
                CacheOptions::default().with_newest_layouts(settings.newest_layouts(options.newest_layouts()));
            return Ok(Cache::new(REDIS, CacheStore::new(own, shared, service, options)));
        }
    };
    opened.embedded_cache = Some(store.clone());
    Ok(Cache::new(engine, store))
}

async fn open_state(settings: &Settings, options: &StoresOptions, opened: &mut Opened) -> Result<State, Error> {
    let service = settings.service.clone();
    let (partitions, kept_push_bytes, in_code) =
        (options.partitions(), options.kept_push_bytes(), options.durabilities());
    let options = StateOptions::default()
        .with_retention(settings.retention(options.retention()))
        .with_kept_push_bytes(kept_push_bytes)
        .with_newest_layouts(settings.newest_layouts(options.newest_layouts()));
    let options = partitions.iter().fold(options, |all, (queue, count)| all.with_partitions(queue.clone(), *count));
    let (engine, store) = match &settings.state {
        Engine::Embedded(None) => (EMBEDDED_MEMORY, EmbeddedState::in_memory(service, options)),
        Engine::Embedded(Some(file)) => (EMBEDDED_FILE, EmbeddedState::open(file, service, options)?),
        Engine::Server(server) => {
            let config = server.clone().with_loss_reports(true).with_pressure_watch(PRESSURE_EVERY);
            let link = Link::connect(config).await?;
            let pressure = link.pressure();
            opened.links.push((Role::State, link.clone()));
            let durabilities = settings.durabilities(in_code, server.command_timeout());
            let options = options.with_durabilities(durabilities);
            let store = StateStore::open(link, settings.namespace.clone(), service, options).await?;
            let shared = store.shared();
            return Ok(State::new(REDIS, store.clone(), shared, durabilities)
                .on_servers(store)
                .with_pressure(pressure));
        }
    };
    opened.embedded_state = Some(store.clone());
    let shared = store.shared();
    Ok(State::new(engine, store, shared, Durabilities::default()))
}

/// The pause between two readings of the state server's memory. It is shorter while the memory fills; see
/// [`LinkConfig::with_pressure_watch`](redis_link::LinkConfig::with_pressure_watch).
const PRESSURE_EVERY: Duration = Duration::from_secs(5);

const EMBEDDED_MEMORY: &str = "embedded (memory)";
const EMBEDDED_FILE: &str = "embedded (file)";
const REDIS: &str = "redis";

/// Why a service cannot start.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::config::Environment;
/// use twinstore::{StartError, Stores};
///
/// let nothing = Environment::from_variables([("SERVICE_NAME", "billing")]);
/// let error = Stores::open(&nothing).await.unwrap_err(); // in a service: `unwrap_or_else(|error| error.exit())`
/// assert!(matches!(error, StartError::Refused(_)));
/// assert_eq!(StartError::EXIT_CODE, 78);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A variable or a server is misconfigured. `Display` writes all findings as text.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A store could not be opened, or does not answer.
    #[error("the {role} store cannot be used")]
    Store {
        /// Which.
        role: Role,
        /// Why.
        source: Error,
    },
}

impl StartError {
    /// The exit code of a service that refuses to start: `EX_CONFIG` of sysexits.h.
    pub const EXIT_CODE: u8 = 78;

    /// Writes all findings, or the error with its causes, to standard error, and ends the process with
    /// [`StartError::EXIT_CODE`]. A process that returns the error from `main` exits with 1 instead.
    pub fn exit(&self) -> ! {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        // If standard error is closed, the exit code is the only report.
        let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
        std::process::exit(Self::EXIT_CODE.into())
    }

    pub(crate) fn of(role: Role) -> impl Fn(Error) -> Self {
        move |source| StartError::Store { role, source }
    }
}

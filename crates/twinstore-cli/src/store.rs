//! Checks the configuration as a service does, and opens the state store. It claims nothing on the servers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use embedded_store::EmbeddedState;
use redis_link::Link;
use state_store::StateStore;
use store_core::{Cursor, Page, QueueName, Result, Retention, Scope, ServiceName, StateOptions, StateRole};
use store_validation::{Engine, Environment, Report, Settings, check};

use crate::failure::{Failure, note};
use crate::progress::Progress;

/// Where the configuration comes from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Source {
    /// A file of NAME=value lines, used instead of this process's environment
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

/// The opened state store.
pub(crate) struct Store {
    opened: Opened,
    service: ServiceName,
}

enum Opened {
    Server { store: StateStore, link: Link },
    File(EmbeddedState),
}

impl Store {
    /// Checks the configuration and its servers, and opens the state store. Writes only the probe keys of the checks, which
    /// expire after ten seconds.
    pub(crate) async fn open(source: &Source) -> Result<Self, Failure> {
        let environment = match &source.env_file {
            None => Environment::from_process(),
            Some(file) => Environment::from_file(file).map_err(|error| Failure::Usage(with_cause(&error)))?,
        };
        let report = {
            let _spinner = Progress::spinner("checking both stores");
            Box::pin(check(&environment)).await
        };
        let settings = fit(&report)?;
        let service = settings.service.clone();
        Ok(Self { opened: Box::pin(open(settings)).await?, service })
    }

    /// The store, with the leases and pools of the configured service.
    pub(crate) fn state(&self) -> Arc<dyn StateRole> {
        self.scoped(&Scope::Service(self.service.clone()))
    }

    /// The store, with the leases and pools of this scope.
    pub(crate) fn scoped(&self, scope: &Scope) -> Arc<dyn StateRole> {
        match (&self.opened, scope) {
            (Opened::Server { store, .. }, Scope::Shared) => Arc::new(store.shared()),
            (Opened::Server { store, .. }, Scope::Service(service)) => Arc::new(store.for_service(service.clone())),
            (Opened::File(store), Scope::Shared) => Arc::new(store.shared()),
            (Opened::File(store), Scope::Service(service)) => Arc::new(store.for_service(service.clone())),
        }
    }

    /// The existing queues, in the order of their names.
    pub(crate) async fn queues(&self) -> Result<Vec<QueueName>, Failure> {
        let _spinner = Progress::spinner("looking for queues");
        let state = self.state();
        all(|after| state.queues(after)).await
    }

    /// The queues of a command: the one that it names, which must exist, or all.
    pub(crate) async fn chosen(&self, queue: Option<&QueueName>) -> Result<Vec<QueueName>, Failure> {
        match queue {
            None => self.queues().await,
            Some(queue) => self.existing(queue).await.map(|()| vec![queue.clone()]),
        }
    }

    /// Refuses the name of a queue that does not exist: it is probably mistyped.
    pub(crate) async fn existing(&self, queue: &QueueName) -> Result<(), Failure> {
        let counts = self.state().counts(queue).await?;
        let is_used = counts.paused || counts.pending() + counts.completed + counts.dead > 0;
        if is_used || self.queues().await?.contains(queue) {
            return Ok(());
        }
        Err(Failure::Failed(format!("there is no queue {queue}; `twinstore queues` lists the queues that exist")))
    }

    pub(crate) async fn close(self) {
        match self.opened {
            Opened::Server { link, .. } => link.close().await,
            Opened::File(store) => store.close().await,
        }
    }
}

/// All names of a listing, in order, each once.
pub(crate) async fn all<T: Ord, F>(mut list: impl FnMut(Option<Cursor>) -> F) -> Result<Vec<T>, Failure>
where
    F: Future<Output = Result<Page<T>>>,
{
    let (mut names, mut after) = (std::collections::BTreeSet::new(), None);
    loop {
        let page = list(after).await?;
        names.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(names.into_iter().collect()),
        }
    }
}

/// The settings, if a service with them would start.
fn fit(report: &Report) -> Result<Settings, Failure> {
    let findings: Vec<_> = report.findings().iter().filter(|finding| finding.is_error()).collect();
    let text = findings.iter().map(|finding| finding.to_string()).collect::<Vec<_>>().join("\n");
    match report.settings().filter(|_| !report.refuses()) {
        Some(settings) => {
            if !findings.is_empty() {
                note(&format!("STORE_PREFLIGHT=warn: continuing despite these errors\n{text}"));
            }
            Ok(settings)
        }
        None => {
            let hint = match report.settings() {
                Some(_) => "\nSTORE_PREFLIGHT=warn in the environment of this command makes it continue despite errors",
                None => "",
            };
            Err(Failure::Refused(format!("the configuration is refused\n{text}{hint}")))
        }
    }
}

async fn open(settings: Settings) -> Result<Opened, Failure> {
    let file = match settings.state {
        Engine::Server(server) => {
            let link = Link::connect(server.with_pool_size(1)).await?;
            let namespace = settings.namespace.clone();
            let store = StateStore::open_existing(link.clone(), namespace, settings.service, options()).await?;
            let Some(store) = store else {
                return Err(Failure::Failed(format!(
                    "the namespace {} is empty: no service has opened it; set REDIS_STATE_NAMESPACE to that of the services",
                    settings.namespace
                )));
            };
            return Ok(Opened::Server { store, link });
        }
        Engine::Embedded(file) => file,
    };
    let Some(file) = file else {
        return Err(Failure::Refused(
            "REDIS_WORKERCACHE_CONN_URL is `embedded:`: the state store is in the memory of the service, and no other \
             process can read it; use a file (`embedded:/path/state.redb`) or a server"
                .to_owned(),
        ));
    };
    if !file.is_file() {
        return Err(Failure::Failed(format!("{} does not exist: no service has opened it", file.display())));
    }
    let opened = EmbeddedState::open(&file, settings.service, options());
    opened.map(Opened::File).map_err(|error| {
        Failure::Failed(format!("{error}\n{}: one process can open the file; stop the service first", file.display()))
    })
}

/// Retention without bounds, so that the command removes no job: a service may keep more jobs than the default.
fn options() -> StateOptions {
    let retention = Retention::default()
        .with_dead_for(Duration::MAX)
        .with_dead_count(u64::MAX)
        .with_dead_bytes(u64::MAX)
        .with_completed_count(u64::MAX)
        .with_completed_bytes(u64::MAX);
    StateOptions::default().with_retention(retention)
}

fn with_cause(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{cause}")
}

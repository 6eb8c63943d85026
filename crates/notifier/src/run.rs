//! The commands: ingest, work, or both.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use twinstore::config::Environment;
use twinstore::queue::{JobId, JobState, QueueInspect, QueueName};
use twinstore::time::Ttl;
use twinstore::worker::WorkerHandle;
use twinstore::{StartError, Stores};

use crate::cli::{EventsOptions, Options};
use crate::delivery::Webhook;
use crate::follow::{self, Followed};
use crate::ingest::{self, Ingest, Ingested, Input, Outage};
use crate::log::Log;
use crate::progress::Progress;
use crate::report::{Engines, Report, Tally};
use crate::sink::Sink;
use crate::stop::Stop;
use crate::work;

/// How often a job that is not settled yet is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Which parts of the service this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Both,
    Ingest,
    Follow(Followed),
    Work,
}

/// Shows the log of the deliveries.
pub(crate) async fn events(options: EventsOptions) -> Result<(), RunError> {
    let (stores, stop) = (open_stores(false, true).await?, Stop::new());
    let signals = tokio::spawn(stop_on_signals(stop.clone(), None));
    let shown = crate::events::show(&stores, &options, &stop).await;
    signals.abort();
    stores.close().await;
    Ok(shown?)
}

/// Where deliveries come from.
enum Source {
    Input(Input),
    Follow(Followed),
}

/// Why there is no report.
#[derive(Debug)]
pub(crate) enum RunError {
    /// The stores are not fit to start on.
    Start(StartError),
    /// Anything else.
    Other(String),
}

impl From<String> for RunError {
    fn from(message: String) -> Self {
        RunError::Other(message)
    }
}

/// Runs the parts, and reports.
pub(crate) async fn run(part: Part, options: Options) -> Result<(Report, Option<String>), RunError> {
    let stores = open_stores(part == Part::Both, options.json).await?;
    let tally = Arc::new(Tally::new());
    let works = matches!(part, Part::Both | Part::Work);
    let source = match part {
        Part::Work => None,
        Part::Both | Part::Ingest => Some(Source::Input(ingest::open(options.input.as_deref()).await?)),
        Part::Follow(followed) => Some(Source::Follow(followed)),
    };
    let sink = if works { Some(Sink::open(&options.sink).await?) } else { None };
    let service = Service {
        queue: QueueName::of::<Webhook>(),
        stop: Stop::new(),
        progress: Progress::new(tally.clone(), options.json),
        stores,
        options,
        tally,
    };
    service.run(source, sink).await
}

/// Opens the stores. Those inside the process are only for a process that does everything.
async fn open_stores(is_alone: bool, json: bool) -> Result<Stores, RunError> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let environment = Environment::from_process();
    // A mistyped name means a store as well.
    let is_meant = ["REDIS_CONN_BASE_URL", "REDIS_CACHE_DB", "REDIS_WORKERCACHE_CONN_URL"].into_iter().any(is_set);
    if is_meant || !environment.suspects().is_empty() {
        return Stores::open(&environment).await.map_err(RunError::Start);
    }
    if !is_alone {
        return Err(RunError::Other(
            "ingest, work and events are processes of their own and need stores that all can reach: set SERVICE_NAME, REDIS_CONN_BASE_URL, \
             REDIS_CACHE_DB and REDIS_WORKERCACHE_CONN_URL, or use run"
                .to_owned(),
        ));
    }
    crate::say(json, "No store is configured: both are embedded and in memory, and end with this process.");
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "notifier"),
        ("REDIS_CONN_BASE_URL", "embedded:"),
        ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
    ]);
    Stores::open(&environment).await.map_err(RunError::Start)
}

/// One process of the service.
struct Service {
    stores: Stores,
    queue: QueueName,
    options: Options,
    tally: Arc<Tally>,
    stop: Stop,
    progress: Progress,
}

impl Service {
    async fn run(self, source: Option<Source>, sink: Option<Sink>) -> Result<(Report, Option<String>), RunError> {
        let mut worker = None;
        if let Some(sink) = sink {
            let built = work::worker(&self.stores, &self.options, sink, self.tally.clone());
            let built = built.map_err(|error| error.to_string())?;
            worker = Some((built.handle(), tokio::spawn(built.run())));
        }
        let handle = worker.as_ref().map(|(handle, _)| handle.clone());
        let signals = tokio::spawn(stop_on_signals(self.stop.clone(), handle.clone()));
        let watching = self.progress.watch(handle.clone());

        let (settled, failure) = match source {
            Some(source) => {
                let ingested = self.ingest(source, worker.is_some()).await;
                (worker.is_some() && self.all_settled(&ingested.ids).await, ingested.failure)
            }
            None => (self.worked().await, None),
        };
        if let Some((handle, running)) = worker {
            handle.shutdown();
            match running.await {
                Ok(Ok(report)) => self.note(&report.stats),
                Ok(Err(error)) => return Err(RunError::Other(format!("the worker cannot run: {error}"))),
                Err(error) => return Err(RunError::Other(format!("the worker ended: {error}"))),
            }
        }
        signals.abort();
        watching.abort();
        self.progress.finish();
        let pending = if settled { Some(0) } else { self.pending().await };
        let unknown = || "it is not known what is pending: the state store does not answer".to_owned();
        let failure = failure.or_else(|| pending.is_none().then(unknown));
        let (cache, state) = (self.stores.cache().engine().to_owned(), self.stores.state().engine().to_owned());
        let report = self.tally.report(Engines { cache, state }, pending);
        self.stores.close().await;
        Ok((report, failure))
    }

    /// `is_awaited`: whether this process waits until the deliveries are settled.
    async fn ingest(&self, source: Source, is_awaited: bool) -> Ingested {
        let lease = Ttl::new(self.options.lease).unwrap_or(Ttl::from_secs(15));
        let outage = Outage::default();
        let ingest = Ingest {
            log: Log::new(&self.stores, outage.clone()),
            stores: self.stores.clone(),
            tally: self.tally.clone(),
            stop: self.stop.clone(),
            concurrency: self.options.concurrency as usize,
            lease,
            outage,
            keeps_ids: is_awaited,
        };
        let complain = |complaint: String| self.progress.complain(&complaint);
        match source {
            Source::Input(input) => ingest.run(input, complain).await,
            Source::Follow(followed) => {
                let failure = follow::run(&ingest, &followed, complain).await.err();
                Ingested { failure, ..Ingested::default() }
            }
        }
    }

    /// Waits until each of these jobs is settled, by whichever process; `false` when stopped before.
    async fn all_settled(&self, ids: &[JobId]) -> bool {
        let inspect = self.stores.state().inspect();
        for id in ids {
            while !self.is_settled(&*inspect, id).await {
                if self.stop.pause(LOOK).await {
                    return false;
                }
            }
        }
        true
    }

    async fn is_settled(&self, inspect: &dyn QueueInspect, id: &JobId) -> bool {
        match inspect.get(&self.queue, id).await {
            Ok(job) => job.is_none_or(|job| matches!(job.state, JobState::Completed | JobState::Dead)),
            Err(error) => {
                tracing::warn!(%error, "cannot see whether a delivery is settled; trying again");
                false
            }
        }
    }

    /// Works until it is stopped, or until the queue is empty if that was asked for; whether it is empty.
    async fn worked(&self) -> bool {
        if !self.options.drain {
            self.stop.stopped().await;
            return false;
        }
        let inspect = self.stores.state().inspect();
        while !matches!(inspect.counts(&self.queue).await, Ok(counts) if counts.pending() == 0) {
            if self.stop.pause(LOOK).await {
                return false;
            }
        }
        true
    }

    fn note(&self, stats: &twinstore::worker::WorkerStats) {
        self.tally.delivered.store(stats.completed, Ordering::Relaxed);
        self.tally.retried.store(stats.retried(), Ordering::Relaxed);
        self.tally.dead.store(stats.dead, Ordering::Relaxed);
    }

    /// How many jobs of the queue are not settled, if the store says so.
    async fn pending(&self) -> Option<u64> {
        match self.stores.state().inspect().counts(&self.queue).await {
            Ok(counts) => Some(counts.pending()),
            Err(error) => {
                tracing::warn!(%error, "cannot count what is pending");
                None
            }
        }
    }
}

/// Stops gracefully on the first SIGTERM or Ctrl-C, and immediately on the second. A further one ends the process, as does the second if
/// there is no worker.
async fn stop_on_signals(stop: Stop, worker: Option<WorkerHandle>) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    for attempt in 0.. {
        let number = tokio::select! {
            _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
        };
        stop.stop();
        match (&worker, attempt) {
            (Some(worker), 0) => worker.shutdown(),
            (Some(worker), 1) => worker.shutdown_now(),
            (None, 0) => {}
            _ => std::process::exit(128 + number),
        }
    }
}

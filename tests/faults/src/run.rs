//! One run: servers, load, faults, drain, verdict.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet};
use twinstore::page::PageRequest;
use twinstore::queue::{JobState, QueueInspect, QueueName};
use twinstore::worker::WorkerHandle;
use twinstore::{Error, Stores};

use crate::checker::{Verdict, check};
use crate::environment::{Environment, Usage};
use crate::history::{Answer, Call, Event, History, HistoryError, Recorder, RunInfo};
use crate::memory::{self, Memory};
use crate::nemesis::{self, FaultSequence};
use crate::probe;
use crate::process::{OwnProcess, Task};
use crate::recorded::{Client, PushingAgain, record, record_losses, retry};
use crate::topology::{Level, PrimaryFault, Topology};
use crate::workload::deliveries::outboxes;
use crate::workload::{self, Backlog, COMMITS, GROUPS, LONGEST_MS, QUEUES, Times, contend, queue, random_of, work};

/// How long the queues may take to be drained once all faults are over.
const DRAIN: Duration = Duration::from_secs(60);

/// How long after its reply a request that was answered `indeterminate` may still be executed: the command time-out, which
/// is the deadline of each copy by the server's clock, and a margin for the difference of the clocks.
const LATE_MS: u64 = 500;

/// How long after the last fault loss reports are waited for.
const REPORTED: Duration = Duration::from_secs(2);

/// The options of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The seed of the plan of operations and faults.
    pub seed: u64,
    /// How long load and faults last.
    pub duration: Duration,
    /// The folder, which must exist, for the files of the history.
    pub folder: PathBuf,
    /// The server program; by default the `redis-server` of the search path.
    pub server: Option<PathBuf>,
    /// The state server's `appendfsync`: `always` or `everysec`, the default. A kill loses nothing with either.
    pub fsync: String,
    /// The servers of the state store; by default a single one.
    pub topology: Topology,
    /// The only fault with sentinels or a cluster; by default a random one each time.
    pub fault: Option<PrimaryFault>,
    /// The durability of writes. A single server has no replicas.
    pub durability: Level,
    /// Whether faults hold connections and the state server for longer than an attempt of a command lasts, so that copies of
    /// requests arrive after their repetitions were answered.
    pub late_copies: bool,
    /// How many scheduled jobs each partition of the queue that has several has during the run.
    pub backlog: usize,
    /// Leases and results last 1 to 5 s, and the memory of servers and client is sampled.
    pub is_soak: bool,
    /// Returns how many bytes this process has allocated and not freed, for a soak.
    pub live_bytes: fn() -> u64,
    /// The program of this crate, for the worker process; without it there is none. Contenders need it.
    pub program: Option<PathBuf>,
}

impl Options {
    /// A run of 90 s without a worker process.
    pub fn new(seed: u64, folder: impl Into<PathBuf>) -> Self {
        let (duration, fsync) = (Duration::from_secs(90), "everysec".to_owned());
        Self {
            seed,
            duration,
            folder: folder.into(),
            server: None,
            fsync,
            topology: Topology::Standalone,
            fault: None,
            durability: Level::ReplicatedAll,
            late_copies: true,
            backlog: 0,
            is_soak: false,
            live_bytes: || 0,
            program: None,
        }
    }
}

/// Why a run has no verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A server did not start.
    #[error(transparent)]
    Server(#[from] testkit::StartError),
    /// The stores could not be opened before the first fault.
    #[error("the stores could not be opened: {0}")]
    Start(Box<twinstore::StartError>),
    /// The system refused a port or a file.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
    /// The history cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The jobs that lie in a queue during the run could not be pushed or deleted.
    #[error("the backlog could not be pushed or deleted: {0}")]
    Backlog(Error),
    /// The queues, the topic, the runs or the resume token could not be read although all faults were over.
    #[error("the queues, the topic, the runs or the resume token could not be read after the run: {0}")]
    Listing(Error),
    /// Contenders run in processes, and the options name no program.
    #[error("contenders need the program of this crate")]
    Program,
}

/// What a run has found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// What the checker found.
    pub verdict: Verdict,
    /// What a soak has sampled.
    pub memory: Option<Memory>,
}

/// Runs load and faults, drains the queues, and checks the history.
///
/// # Errors
/// [`RunError`] if there is no history to check.
pub async fn run(options: &Options) -> Result<Outcome, RunError> {
    // the tasks that break servers and proxies stay on this thread
    LocalSet::new().run_until(Box::pin(run_here(options))).await
}

async fn run_here(options: &Options) -> Result<Outcome, RunError> {
    let usage = Usage::of(options);
    let recorder = record_run(options)?;
    let environment = Environment::start(options).await?;
    let clients = environment.open(GROUPS[0]).await?;
    let workers = environment.open(GROUPS[1]).await?;
    let holders = environment.open(GROUPS[2]).await?;
    let pushing_again = PushingAgain::default();
    for (stores, group) in [(&clients, GROUPS[0]), (&workers, GROUPS[1]), (&holders, GROUPS[2])] {
        record_losses(stores, recorder.actor(group), usage.pushes_again.then(|| pushing_again.clone()));
    }
    let client = Client::new(&clients, recorder.actor(crate::RUN));
    let backlog = Backlog::push(&client, options.backlog).await.map_err(RunError::Backlog)?;
    let process = options.program.clone().map(|program| {
        let variables = environment.variables(GROUPS[3]);
        OwnProcess::new(Task::Work, program, variables, options.seed, usage, &options.folder)
    });
    let (stop, stopped) = watch::channel(false);
    let running = start_workers(options.seed, &workers, usage.times(), &recorder);
    let is_steady = options.topology != Topology::Standalone;
    let (mut actors, shared) =
        workload::start(options.seed, [&clients, &workers, &holders], &recorder, usage.times(), is_steady, &stopped);
    let sequences = match options.topology {
        Topology::Standalone => FaultSequence::plan(options.seed, options.duration, options.late_copies),
        _ => vec![FaultSequence::of_primary(options)],
    };
    let mut probes = match options.topology {
        Topology::Standalone => tokio::task::JoinSet::new(),
        _ => probe::start(&environment, &recorder, &stopped),
    };
    let sampled = options.is_soak.then(|| memory::sample(&environment, options, &stopped));
    let mut faults = nemesis::start(sequences, &environment, process, &recorder, &stopped);

    tokio::time::sleep(options.duration).await;
    // Without a receiver all tasks have already ended.
    let _ = stop.send(true);
    let mut process = None;
    while let Some(ended) = faults.join_next().await {
        process = ended.expect("no fault panics").or(process);
    }
    environment.heal().await;
    if let Some(process) = &mut process {
        process.keep_running();
    }
    for tasks in [&mut actors, &mut probes] {
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no actor panics");
        }
    }
    if usage.pushes_again {
        wait_for_reports(&pushing_again).await;
    }
    backlog.delete(&client).await.map_err(RunError::Backlog)?;
    drain(&client).await?;
    for (handle, worker) in running {
        handle.shutdown();
        worker.await.expect("the worker does not panic");
    }
    if let Some(process) = process {
        process.end().await;
    }
    list(&client).await?;
    if !options.is_soak {
        let read = tokio::time::timeout(DRAIN, workload::topics::read_to_the_end(&client)).await;
        read.unwrap_or(Ok(())).map_err(RunError::Listing)?;
        workload::runs::read_all(&client).await.map_err(RunError::Listing)?;
        workload::commits::read_all(&client, &shared).await.map_err(RunError::Listing)?;
    }
    load_token(&client).await?;
    for stores in [clients, workers, holders] {
        stores.close().await;
    }
    let memory = match sampled {
        Some(sampled) => Some(sampled.await.expect("the samples are taken").finish(&environment).await),
        None => None,
    };
    environment.keep_logs(&options.folder)?;
    Ok(Outcome { verdict: check(&read_kept(&options.folder)?), memory })
}

/// Records the last resume token.
pub(crate) async fn load_token(client: &Client) -> Result<(), RunError> {
    let token = retry(async || client.tokens.load(&contend::stream()).await).await;
    token.map(drop).map_err(RunError::Listing)
}

/// Creates the history of this process, with its first line.
pub(crate) fn record_run(options: &Options) -> Result<Recorder, RunError> {
    let (recorder, usage) = (Recorder::create(&options.folder.join("main.jsonl"), 0)?, Usage::of(options));
    recorder.write(&Event::Run(RunInfo {
        seed: options.seed,
        duration_ms: u64::try_from(options.duration.as_millis()).unwrap_or(u64::MAX),
        late_ms: Some(LATE_MS),
        has_failovers: options.topology != Topology::Standalone,
        is_replicated: options.durability == Level::ReplicatedAll,
        replicas: options.durability.replicas(options.topology),
        pushes_again: usage.pushes_again,
        kept_ms: options.is_soak.then_some(LONGEST_MS),
        only_moves_slots: options.fault == Some(PrimaryFault::MoveSlots),
        partitioned: usage.partitioned(),
    }));
    Ok(recorder)
}

/// Waits until the reports of the last failover have come and what they name is pushed again.
async fn wait_for_reports(pushing_again: &PushingAgain) {
    tokio::time::sleep(REPORTED).await;
    while pushing_again.is_under_way() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Reads the kept history of a run: `folder` is the one of its [`Options`], or one file.
///
/// # Errors
/// [`RunError::History`], or [`RunError::System`] if the folder cannot be read.
pub fn read_kept(folder: &Path) -> Result<History, RunError> {
    let files = if folder.is_dir() {
        let entries = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
        let mut files = entries.collect::<Result<Vec<_>, _>>()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        files
    } else {
        vec![folder.to_owned()]
    };
    Ok(History::read(&files)?)
}

fn start_workers(seed: u64, stores: &Stores, times: Times, recorder: &Recorder) -> Vec<(WorkerHandle, JoinHandle<()>)> {
    let start = |number: u32| {
        let name = format!("workers/worker-{number}");
        let worker = work(&Client::new(stores, recorder.actor(&name)), random_of(seed, &name), times);
        let handle = worker.handle();
        (handle, tokio::spawn(async move { drop(worker.run().await) }))
    };
    (0..2).map(start).collect()
}

/// Resumes the queues, waits up to [`DRAIN`] until no job is left to be done or to be delivered, and records how many are left.
async fn drain(client: &Client) -> Result<(), RunError> {
    for name in QUEUES {
        retry(async || client.control.resume(&queue(name)).await).await.map_err(RunError::Listing)?;
    }
    let pending = async |name: &QueueName| retry(async || client.inspect.counts(name).await).await;
    let all = async {
        loop {
            for name in QUEUES.map(queue) {
                while pending(&name).await.is_ok_and(|counts| counts.pending() > 0) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            // what is delivered may end by another commit
            if !workload::deliveries::deliver_the_rest(client).await? {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(DRAIN, all).await.unwrap_or(Ok(())).map_err(RunError::Listing)?;
    for name in QUEUES.map(queue).into_iter().chain(outboxes()) {
        let invocation = client.recorder.invoke(Call::Pending { queue: name.to_string() });
        let counts = pending(&name).await;
        record(invocation, counts, |counts| Answer::Number(counts.pending())).map_err(RunError::Listing)?;
    }
    Ok(())
}

/// Records the present content of the queues.
async fn list(client: &Client) -> Result<(), RunError> {
    let states = [
        ("ready", JobState::Ready),
        ("scheduled", JobState::Scheduled),
        ("running", JobState::Running),
        ("completed", JobState::Completed),
        ("dead", JobState::Dead),
    ];
    for name in QUEUES.into_iter().chain([COMMITS]).map(queue).chain(outboxes()) {
        for (word, state) in states {
            let call = Call::List { queue: name.to_string(), state: word.to_owned() };
            let invocation = client.recorder.invoke(call);
            let names = retry(async || list_all(&client.inspect, &name, state).await).await;
            record(invocation, names, |names| Answer::Names(names.clone())).map_err(RunError::Listing)?;
        }
    }
    Ok(())
}

async fn list_all(inspect: &Arc<dyn QueueInspect>, name: &QueueName, state: JobState) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    let mut request = PageRequest::first(PageRequest::MAX_LIMIT);
    loop {
        let page = inspect.list(name, state, request).await?;
        names.extend(page.items.iter().map(|job| job.id.to_string()));
        match page.next {
            Some(next) => request = PageRequest::first(PageRequest::MAX_LIMIT).with_cursor(next),
            None => return Ok(names),
        }
    }
}

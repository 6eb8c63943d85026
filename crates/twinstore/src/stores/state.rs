//! The worker state store of a service.

mod broadcasts;
mod homes;
mod runs;
mod schedules;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use state_store::StateStore;
use store_core::{
    Broadcasts, Durabilities, Durability, Fence, HandleName, Heartbeats, HolderName, Idempotency, Inventory, JobId,
    JobType, LeaseName, Leases, LossReport, Notifications, Queue, QueueControl, QueueInspect, ResumeTokens, Retries,
    Runs, Schedules, Sessions, StateRole, Steps, Topics, TypedQueue, WorkflowRun,
};
use store_worker::{Candidate, Job, QueueSampler, Worker, WorkerBuilder};
use tokio::sync::watch;

use super::{Operation, SharedState, StepRun};
use crate::durability::LossReports;

const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// The worker state store: an acknowledged write survives every failure that its durability covers. Clones share it.
///
/// Queues, schedules, topics, broadcasts, streams, runs of agents, sessions and runs of Temporal belong to the whole namespace: services push jobs
/// for each other. Leases, leaderships, pools of heartbeats, idempotency keys, retries and other workflow runs belong to this service
/// (`SERVICE_NAME`): if two services use the same name for a lease, there are two leases. [`State::shared`] has those that all services
/// of the namespace share.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let state = stores.state();
/// let mails = QueueName::new("mails")?;
/// state.queue().push_one(&mails, NewJob::new("ann@example.org")).await?;
/// assert_eq!(state.inspect().counts(&mails).await?.ready, 1);
/// assert_eq!(state.durability(), Durability::Accepted);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct State {
    engine: &'static str,
    store: Arc<dyn StateRole>,
    shared: Arc<dyn StateRole>,
    schedules: Arc<dyn Schedules>,
    steps: Arc<dyn Steps>,
    shared_steps: Arc<dyn Steps>,
    runs: Arc<dyn Runs>,
    sessions: Arc<dyn Sessions>,
    pub(super) topics: Arc<dyn Topics>,
    broadcasts: Arc<dyn Broadcasts>,
    pub(super) notifications: Arc<dyn Notifications>,
    retries: Arc<dyn Retries>,
    shared_retries: Arc<dyn Retries>,
    durability: Durability,
    leases: Durability,
    /// The store, if it is on servers.
    servers: Option<StateStore>,
    pressure: watch::Receiver<store_core::PressureReading>,
    #[cfg(feature = "testing")]
    clock: store_core::Clock,
}

impl State {
    /// `shared` is the same store, in the scope that all services share.
    pub(crate) fn new<
        S: StateRole + Steps + Runs + Sessions + Schedules + Topics + Broadcasts + Notifications + Retries + 'static,
    >(
        engine: &'static str,
        store: S,
        shared: S,
        durabilities: Durabilities,
    ) -> Self {
        let (store, shared) = (Arc::new(store), Arc::new(shared));
        Self {
            engine,
            schedules: store.clone(),
            steps: store.clone(),
            topics: store.clone(),
            broadcasts: store.clone(),
            notifications: store.clone(),
            shared_steps: shared.clone(),
            runs: store.clone(),
            sessions: store.clone(),
            retries: store.clone(),
            shared_retries: shared.clone(),
            store,
            shared,
            durability: durabilities.queues.unwrap_or_default(),
            leases: durabilities.leases.unwrap_or_default(),
            servers: None,
            pressure: watch::channel(Default::default()).1,
            #[cfg(feature = "testing")]
            clock: store_core::Clock::Server,
        }
    }

    /// Sets the readings of the servers' memory.
    pub(crate) fn with_pressure(mut self, pressure: watch::Receiver<store_core::PressureReading>) -> Self {
        self.pressure = pressure;
        self
    }

    /// Sets the store, which is on servers.
    pub(crate) fn on_servers(mut self, store: StateStore) -> Self {
        self.servers = Some(store);
        self
    }

    /// Sets the clock from which the store takes all times.
    #[cfg(feature = "testing")]
    pub(crate) fn with_clock(mut self, clock: store_core::Clock) -> Self {
        self.clock = clock;
        self
    }

    #[cfg(feature = "testing")]
    pub(crate) fn clock(&self) -> &store_core::Clock {
        &self.clock
    }

    /// The engine: `redis`, `embedded (memory)`, `embedded (file)`.
    pub fn engine(&self) -> &'static str {
        self.engine
    }

    /// The builder of a worker on this store. Its settlements request [`State::durability`]. It delivers the
    /// [outboxes](WorkerBuilder::with_outboxes) of its queues, and [sweeps](WorkerBuilder::with_sweeps) listings; a worker of
    /// [`Worker::new`] does neither. Add queues, then call [`build`](WorkerBuilder::build).
    pub fn worker(&self) -> WorkerBuilder {
        let worker = Worker::new(self.queue()).with_durability(self.durability).with_outboxes(self.store.clone());
        worker.with_sweeps(self.shared.clone(), SWEEP_EVERY)
    }

    /// A candidate for a leadership among the processes of this service, with the durability [`Durabilities::leases`].
    pub fn candidate(&self, name: LeaseName, holder: HolderName) -> Candidate {
        Candidate::new(self.leases(), name, holder).with_durability(self.leases)
    }

    /// Queues of jobs with bytes as payloads. Each push requests its own durability; [`State::durability`] is the one that the
    /// environment requests.
    pub fn queue(&self) -> Arc<dyn Queue> {
        self.store.clone()
    }

    /// The queue of a type of jobs. Its pushes request [`State::durability`].
    pub fn queue_of<T: JobType>(&self) -> TypedQueue<T> {
        TypedQueue::new(self.queue()).with_durability(self.durability)
    }

    /// The durability of this service's queues: [`Durabilities::queues`]. By default, `REDIS_STATE_MIN_REPLICAS` replicas within the
    /// command time-out, or [`Durability::Accepted`] if that variable is 0. [`State::queue_of`] and [`State::worker`] request it;
    /// pass it to other calls that take a durability.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// The reports of the failovers after this call: each [`LossReport`](crate::durability::LossReport) names the writes of this
    /// process that the failover may have lost. The library also logs a warning, and counts the writes
    /// (`twinstore_failover_writes_total`, see [`metrics`](crate::metrics)).
    ///
    /// A restarted process has no record of its earlier writes. An embedded store has no failovers, so it has no reports.
    pub fn loss_reports(&self) -> LossReports {
        let servers = self.servers.as_ref();
        LossReports(servers.map_or_else(redis_link::LossReports::none, StateStore::loss_reports))
    }

    /// Pushes the jobs that a failover may have lost again, with the same ids. It needs
    /// [`StoresOptions::with_kept_push_bytes`](crate::config::StoresOptions::with_kept_push_bytes). Returns the ids of the jobs
    /// that this process no longer has: push these from your own data, or accept the loss.
    ///
    /// The store recognises a job that it still has by its id. A job that was completed and removed meanwhile runs again, so
    /// handlers must expect a repetition, as with every delivery. Only pushes are repeated: after a lost claim or settlement, the
    /// job is delivered again, and the worker of the earlier delivery finds that it has lost the lease.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, _) = twinstore::testing::stores();
    /// let state = stores.state().clone();
    /// tokio::spawn(async move {
    ///     let mut reports = state.loss_reports();
    ///     while let Some(report) = reports.next().await {
    ///         match state.push_again(&report).await {
    ///             Ok(gone) => println!("{} lost jobs were not kept", gone.len()),
    ///             Err(error) => println!("the lost jobs were not pushed again: {error}"),
    ///         }
    ///     }
    /// });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of a push with [`State::durability`]. Repeat the call.
    pub async fn push_again(&self, report: &LossReport) -> store_core::Result<Vec<JobId>> {
        match &self.servers {
            Some(store) => store.push_again(report, self.durability).await,
            None => Ok(Vec::new()),
        }
    }

    /// Inspects queues: counts, listings, jobs, explanations.
    pub fn inspect(&self) -> Arc<dyn QueueInspect> {
        self.store.clone()
    }

    /// Lists the queues, leases and pools of the namespace, those of other services too.
    pub fn inventory(&self) -> Arc<dyn Inventory> {
        self.store.clone()
    }

    /// The builder of a sampler, which updates the [metrics](crate::metrics) of queues. Add queues, then call
    /// [`start`](QueueSampler::start).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use twinstore::prelude::*;
    /// # let environment = Environment::from_variables([
    /// #     ("SERVICE_NAME", "mailer"),
    /// #     ("REDIS_CONN_BASE_URL", "embedded:"),
    /// #     ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
    /// # ]);
    /// # let stores = Stores::open(&environment).await?;
    /// let sampling = stores.state().sampler().with_queue(QueueName::new("mails")?).start(); // until it is dropped
    /// # drop(sampling);
    /// # Ok(())
    /// # }
    /// ```
    pub fn sampler(&self) -> QueueSampler {
        QueueSampler::new(self.inspect())
    }

    /// Changes queues: cancels, replays and deletes jobs, pauses and resumes queues.
    pub fn control(&self) -> Arc<dyn QueueControl> {
        self.store.clone()
    }

    /// This service's leases with fencing tokens.
    pub fn leases(&self) -> Arc<dyn Leases> {
        self.store.clone()
    }

    /// Which members of this service's pools are alive. Workers that send heartbeats to it
    /// ([`WorkerBuilder::with_heartbeats`]) are members of this service's pools, even if they run jobs of another service's
    /// queues.
    pub fn heartbeats(&self) -> Arc<dyn Heartbeats> {
        self.store.clone()
    }

    /// The resume tokens of streams. Streams belong to the whole namespace, as queues do. Pass the durability that the saves of a
    /// stream need, for example [`State::durability`].
    pub fn resume_tokens(&self) -> Arc<dyn ResumeTokens> {
        self.store.clone()
    }

    /// An operation that takes effect once for each idempotency key, as long as the store keeps the key. Make one handle per name
    /// and share its clones.
    ///
    /// The store never evicts the key. Its writes request the durability of [`Durabilities::idempotency`]. With the default,
    /// [`Durability::Accepted`], a crash of the server's machine or a failover can lose the newest keys and responses. Then a
    /// repeated request is executed again.
    pub fn operation<Q, R>(&self, name: HandleName) -> Operation<Q, R>
    where
        Q: serde::Serialize,
        R: serde::Serialize + serde::de::DeserializeOwned,
    {
        Operation::new(self.idempotency(), name)
    }

    /// This service's idempotency keys, which the store never evicts. Writes request [`Durabilities::idempotency`].
    pub fn idempotency(&self) -> Arc<dyn Idempotency> {
        self.store.clone()
    }

    /// This attempt at the run of a job. Its number is the fence of the job's lease, so a delivery that has lost its lease cannot
    /// write once the next one has begun a step.
    pub fn run_of(&self, job: &Job) -> StepRun {
        self.run(WorkflowRun::of_job(job.queue(), job.id(), job.pushed_at()), job.fence())
    }

    /// An attempt at a workflow run. `attempt` is the attempt of the activity in a run of Temporal, which belongs to all services,
    /// else the fence of the lease under which this service carries the run out.
    pub fn run(&self, run: WorkflowRun, attempt: Fence) -> StepRun {
        StepRun::new(self.steps(), run, attempt, self.durability)
    }

    /// The steps of this service's runs, and those of all runs of Temporal.
    pub fn steps(&self) -> Arc<dyn Steps> {
        self.steps.clone()
    }

    /// The retries of this service's operations.
    pub fn retries(&self) -> Arc<dyn Retries> {
        self.retries.clone()
    }

    /// The last report of the server about its memory and replicas, and each later one. A background task asks each primary every
    /// 5 s, every second from 80 % of `maxmemory` on, and up to four times a second while the memory fills fast. Each answer costs
    /// the server about 8 µs.
    ///
    /// While the level is [`Critical`](crate::health::Pressure::Critical), operations that add data (such as pushes, appends to topics,
    /// writes of runs, saves of sessions, new idempotency keys, attempts at operations) return [`Error::Limit`](crate::Error::Limit) with a time to wait, and are not sent. Claims, settlements, extensions,
    /// releases, leases, heartbeats, reads and deletions are sent, and a server that has reached `maxmemory` runs them. The 15 %
    /// between the critical level and `maxmemory` are the reserve for the data that running jobs still store.
    ///
    /// The pressure of an embedded store is [`Unknown`](crate::health::Pressure::Unknown), and its `changed` returns an error.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use twinstore::health::Pressure;
    ///
    /// # let (stores, _) = twinstore::testing::stores();
    /// let mut pressure = stores.state().pressure();
    /// while pressure.borrow_and_update().level == Pressure::Critical {
    ///     pressure.changed().await?; // a producer waits
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn pressure(&self) -> watch::Receiver<store_core::PressureReading> {
        self.pressure.clone()
    }

    /// The leases, leaderships, pools, idempotency keys, steps of workflow runs and retries that all services of the namespace share.
    pub fn shared(&self) -> SharedState {
        SharedState {
            store: self.shared.clone(),
            steps: self.shared_steps.clone(),
            retries: self.shared_retries.clone(),
            leases: self.leases,
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({})", self.engine)
    }
}

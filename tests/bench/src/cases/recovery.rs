//! The time until another worker has done the jobs of a killed worker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use store_core::{Durability, JobId, NewJob, QueueName, StateRole};
use store_worker::{Done, Job, Worker};
use testkit::{Program, RunningProgram};

use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Environment, open_state, queue};
use crate::figure::{Bound, Figure, Sample, Target};
use crate::load::{PATIENCE, let_pass};
use crate::meter::as_f64;

const ALL_DONE: Figure = Figure::new("all done s", 2);
const LOST: Figure = Figure::new("jobs lost", 0);
const IN_FLIGHT: Figure = Figure::new("jobs in flight", 0);
const ENDED_TWICE: Figure = Figure::new("ended twice", 0);

const CONCURRENCY: usize = 10;
const JOB: Duration = Duration::from_millis(20);

struct Recovery;

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    vec![Box::new(Recovery)]
}

#[async_trait]
impl Case for Recovery {
    fn plan(&self) -> Plan {
        Plan::new("recovery", "a worker is killed (SIGKILL) at half of 2,000 jobs of 20 ms, another is started")
            .with_headline(ALL_DONE)
            .with_target(Target::new(ALL_DONE, Bound::AtMost(20.0)))
            .with_target(Target::new(LOST, Bound::AtMost(0.0)))
            .with_also(IN_FLIGHT)
            .with_also(ENDED_TWICE)
            .without_warm_up()
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        Ok(vec![Box::new(Ours { state: environment.stores().await?.state, round: 0 })])
    }
}

struct Ours {
    state: Arc<dyn StateRole>,
    round: usize,
}

#[async_trait]
impl Side for Ours {
    fn name(&self) -> &str {
        OURS
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        self.round += 1;
        let queue = queue(&format!("recovery-{}", self.round))?;
        let count = if environment.settings.quick { 40 } else { 2_000 };
        self.push(&queue, count, environment).await?;

        let mut first = start_worker(environment, &queue)?;
        wait_until_ended(&first, count / 2).await?;
        first.kill().await;
        let killed = Instant::now();
        let mut second = start_worker(environment, &queue)?;
        let before = Seen::by(&first);
        while killed.elapsed() < PATIENCE && before.together_with(&second) < count {
            let_pass(Duration::from_millis(5)).await;
        }
        let all_done = killed.elapsed();
        let after = Seen::by(&second);
        second.kill().await;

        let lost = count - before.together_with(&second);
        let twice = before.ended.keys().filter(|id| after.ended.contains_key(*id)).count();
        Ok(Sample::default()
            .with(ALL_DONE, all_done.as_secs_f64())
            .with(LOST, as_f64(lost))
            .with(IN_FLIGHT, as_f64(before.started.saturating_sub(before.ended.len())))
            .with(ENDED_TWICE, as_f64(twice)))
    }
}

impl Ours {
    async fn push(&self, queue: &QueueName, count: usize, environment: &Environment) -> Result<()> {
        let payload = environment.payload();
        for start in (0..count).step_by(1000) {
            let numbers = start..count.min(start + 1000);
            let job = |number: usize| Ok(NewJob::new(payload.clone()).with_id(JobId::new(number.to_string())?));
            let jobs = numbers.map(job).collect::<Result<Vec<_>>>()?;
            let _ = self.state.push(queue, &jobs, Durability::Accepted).await?;
        }
        Ok(())
    }
}

fn start_worker(environment: &Environment, queue: &QueueName) -> Result<RunningProgram> {
    let mut program = Program::new(&environment.settings.program).arg("worker");
    program = program.args(["--url", &environment.server()?.url(None), "--queue", queue.as_str()]);
    if environment.settings.quick {
        program = program.args(["--lease-ms", "500"]);
    }
    Ok(program.start()?)
}

async fn wait_until_ended(worker: &RunningProgram, count: usize) -> Result<()> {
    let begun = Instant::now();
    while Seen::by(worker).ended.len() < count {
        if begun.elapsed() > PATIENCE {
            return Err(format!("the worker makes no progress: {}", worker.stderr()).into());
        }
        let_pass(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// The reports of a worker.
struct Seen {
    started: usize,
    /// For each job, how often it ended.
    ended: HashMap<String, usize>,
}

impl Seen {
    fn by(worker: &RunningProgram) -> Self {
        let (mut started, mut ended) = (0, HashMap::new());
        let output = worker.stdout();
        for line in output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            match line.split_once(' ') {
                Some(("started", _)) => started += 1,
                Some(("ended", id)) => *ended.entry(id.to_owned()).or_default() += 1,
                _ => {}
            }
        }
        Self { started, ended }
    }

    /// How many jobs ended in one of the workers.
    fn together_with(&self, other: &RunningProgram) -> usize {
        let other = Seen::by(other);
        self.ended.len() + other.ended.keys().filter(|id| !self.ended.contains_key(*id)).count()
    }
}

/// The arguments of the worker that is killed.
#[derive(Debug, clap::Args)]
pub struct WorkerArguments {
    /// The server.
    #[arg(long)]
    url: String,
    /// The queue.
    #[arg(long)]
    queue: String,
    /// Its lease instead of the default.
    #[arg(long)]
    lease_ms: Option<u64>,
}

/// Runs jobs of 20 ms until it is killed. Writes each start and each end to standard output, one per line.
///
/// # Errors
/// If the store cannot be opened.
pub async fn work(arguments: WorkerArguments) -> Result<()> {
    let state: Arc<dyn StateRole> = Arc::new(open_state(&arguments.url).await?);
    let mut worker =
        Worker::new(state).with_concurrency(CONCURRENCY).with_queue(queue(&arguments.queue)?, |job: Job| async move {
            tell("started", &job);
            let_pass(JOB).await;
            tell("ended", &job);
            Ok(Done::discard())
        });
    if let Some(lease) = arguments.lease_ms {
        worker = worker.with_lease(Duration::from_millis(lease));
    }
    worker.build()?.run().await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is how the worker reports to the bench")]
fn tell(what: &str, job: &Job) {
    println!("{what} {}", job.id());
}

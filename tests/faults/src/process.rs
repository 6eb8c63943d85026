//! Processes of their own, which can be killed and suspended: a worker, or contenders for a resume token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::{Program, RunningProgram};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use twinstore::Stores;

use crate::environment::Usage;
use crate::history::Recorder;
use crate::recorded::{Client, PushingAgain, record_losses};
use crate::workload::{CONTENDERS, contend, random_of, start_deliverer, work};

/// What such a process is started with.
#[derive(Debug, Clone, clap::Args)]
pub struct ProcessArguments {
    /// The seed of the run.
    #[arg(long)]
    seed: u64,
    /// The number of the process, which no other process of the run has.
    #[arg(long)]
    number: u32,
    /// The process of the run.
    #[arg(long)]
    parent: u32,
    /// The file of its history.
    #[arg(long)]
    history: PathBuf,
    #[command(flatten)]
    usage: Usage,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Runs jobs, and contends for the resume token a little.
    Work,
    /// Contends for the resume token. Each process has another index.
    Contend(u32),
}

/// How many processes can follow one another.
const NUMBERS: u32 = 1000;

/// How many contenders a process has that does nothing else, and how often each tries to get the lease.
const MANY_CONTENDERS: (u32, Duration) = (25, Duration::from_millis(400));

impl Task {
    /// The group of the actors of such a process.
    pub(crate) fn group(self) -> String {
        match self {
            Task::Work => "process".to_owned(),
            Task::Contend(index) => format!("contenders-{index}"),
        }
    }

    fn command(self) -> &'static str {
        match self {
            Task::Work => "worker",
            Task::Contend(_) => "contenders",
        }
    }

    /// The number before that of the first process.
    fn number(self) -> u32 {
        match self {
            Task::Work => 0,
            Task::Contend(index) => (index + 1) * NUMBERS,
        }
    }
}

/// Starts processes with one task, one at a time, each with its own history.
pub(crate) struct OwnProcess {
    task: Task,
    program: PathBuf,
    variables: Vec<(&'static str, String)>,
    seed: u64,
    usage: Usage,
    folder: PathBuf,
    running: Option<RunningProgram>,
    started: u32,
}

impl OwnProcess {
    pub(crate) fn new(
        task: Task,
        program: PathBuf,
        variables: Vec<(&'static str, String)>,
        seed: u64,
        usage: Usage,
        folder: &Path,
    ) -> Self {
        let (folder, started) = (folder.to_owned(), task.number());
        let mut process = Self { task, program, variables, seed, usage, folder, running: None, started };
        process.keep_running();
        process
    }

    /// Starts a process if none runs.
    pub(crate) fn keep_running(&mut self) {
        if self.running.as_mut().is_some_and(RunningProgram::is_running) {
            return;
        }
        self.started += 1;
        let mut program = Program::new(&self.program)
            .arg(self.task.command())
            .args(["--seed", &self.seed.to_string(), "--number", &self.started.to_string()])
            .args(["--parent", &std::process::id().to_string()])
            .args(self.usage.arguments())
            .arg("--history")
            .arg(self.folder.join(format!("process-{}.jsonl", self.started)));
        for (name, value) in &self.variables {
            program = program.env(name, value);
        }
        self.running = Some(program.start().expect("the program of this run starts again"));
    }

    pub(crate) async fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill().await;
        }
    }

    pub(crate) fn pause(&self) {
        // it may have ended because it could not open its stores
        let _ = self.running.as_ref().map(RunningProgram::pause);
    }

    pub(crate) fn resume(&self) {
        let _ = self.running.as_ref().map(RunningProgram::resume);
    }

    /// Asks the process to end, and waits for it.
    pub(crate) async fn end(mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.terminate();
            drop(running.wait_exit(testkit::DEADLINE).await);
        }
    }
}

/// The work of a process with a worker: runs jobs of the stores in its environment until it is asked to end or the run has ended.
///
/// # Errors
/// If the stores cannot be opened or the history cannot be written.
pub async fn work_in_process(arguments: ProcessArguments) -> Result<(), Box<dyn std::error::Error>> {
    let ProcessArguments { seed, number, parent, usage, history } = arguments;
    let (recorder, group) = (Recorder::create(&history, number)?, Task::Work.group());
    let stores = Stores::open_with(&twinstore::config::Environment::from_process(), usage.options()).await?;
    record_losses(&stores, recorder.actor(&group), usage.pushes_again.then(PushingAgain::default));
    let random = random_of(seed, &format!("process {number}"));
    let (stop, stopped) = watch::channel(false);
    let contenders = if usage.times().is_soak { (0, CONTENDERS.1) } else { CONTENDERS };
    let own_seed = seed.wrapping_add(number.into());
    let mut contenders = contend::start(own_seed, &stores, &recorder, &group, contenders, &stopped);
    contenders.spawn(start_deliverer(own_seed, &stores, &recorder, usage.times(), &stopped));
    let worker = work(&Client::new(&stores, recorder.actor("process/worker")), random, usage.times());
    let handle = worker.handle();
    let watching = tokio::spawn(async move {
        until_orphaned(parent).await;
        handle.shutdown_now();
    });
    worker.run().await?;
    watching.abort();
    // without a receiver all contenders have ended
    let _ = stop.send(true);
    while contenders.join_next().await.transpose()?.is_some() {}
    stores.close().await;
    Ok(())
}

/// The work of a process with contenders, until it is asked to end or the run has ended.
///
/// # Errors
/// If the stores cannot be opened or the history cannot be written.
pub async fn contend_in_process(arguments: ProcessArguments) -> Result<(), Box<dyn std::error::Error>> {
    let ProcessArguments { seed, number, parent, usage, history } = arguments;
    let (recorder, group) = (Recorder::create(&history, number)?, Task::Contend(number / NUMBERS - 1).group());
    let mut terminate = signal(SignalKind::terminate())?;
    let stores = Stores::open_with(&twinstore::config::Environment::from_process(), usage.options()).await?;
    let (stop, stopped) = watch::channel(false);
    let seed = seed.wrapping_add(number.into());
    let mut contenders = contend::start(seed, &stores, &recorder, &group, MANY_CONTENDERS, &stopped);
    tokio::select! {
        _ = terminate.recv() => {}
        () = until_orphaned(parent) => {}
    }
    // without a receiver all contenders have ended
    let _ = stop.send(true);
    while contenders.join_next().await.transpose()?.is_some() {}
    stores.close().await;
    Ok(())
}

/// Returns when the process of the run has ended.
async fn until_orphaned(parent: u32) {
    let is_child = || rustix::process::getppid().is_some_and(|id| id.as_raw_nonzero().get() as u32 == parent);
    while is_child() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

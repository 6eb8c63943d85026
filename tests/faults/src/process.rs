//! The worker in its own process, which can be killed and stopped.

use std::path::{Path, PathBuf};

use testkit::{Program, RunningProgram};
use twinstore::Stores;

use crate::environment::Usage;
use crate::history::Recorder;
use crate::recorded::{Client, PushingAgain, record_losses};
use crate::workload::{random_of, work};

/// Starts worker processes, one at a time, each with its own history.
pub(crate) struct WorkerProcess {
    program: PathBuf,
    variables: Vec<(&'static str, String)>,
    seed: u64,
    usage: Usage,
    folder: PathBuf,
    running: Option<RunningProgram>,
    started: u32,
}

/// The history of the worker process with this number.
pub(crate) fn history_of(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("worker-{number}.jsonl"))
}

impl WorkerProcess {
    pub(crate) fn new(
        program: PathBuf,
        variables: Vec<(&'static str, String)>,
        seed: u64,
        usage: Usage,
        folder: &Path,
    ) -> Self {
        let mut process =
            Self { program, variables, seed, usage, folder: folder.to_owned(), running: None, started: 0 };
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
            .arg("worker")
            .args(["--seed", &self.seed.to_string(), "--number", &self.started.to_string()])
            .args(["--parent", &std::process::id().to_string()])
            .args(self.usage.arguments())
            .arg("--history")
            .arg(history_of(&self.folder, self.started));
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

    /// Asks the process to end, and waits for it. Returns how many there were.
    pub(crate) async fn end(mut self) -> u32 {
        if let Some(mut running) = self.running.take() {
            let _ = running.terminate();
            drop(running.wait_exit(testkit::DEADLINE).await);
        }
        self.started
    }
}

/// The work of such a process: runs jobs of the stores in its environment until it is asked to end or `parent` has ended.
///
/// # Errors
/// If the stores cannot be opened or the history cannot be written.
pub async fn work_in_process(
    seed: u64,
    number: u32,
    parent: u32,
    usage: Usage,
    history: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let recorder = Recorder::create(history, number)?.actor("process/worker");
    let environment = twinstore::config::Environment::from_process();
    let stores = Stores::open_with(&environment, usage.options()).await?;
    record_losses(&stores, recorder.actor("process"), usage.pushes_again.then(PushingAgain::default));
    let random = random_of(seed, &format!("process {number}"));
    let worker = work(&Client::new(&stores, recorder), random, usage.times());
    let handle = worker.handle();
    let watching = tokio::spawn(async move {
        let is_child = || rustix::process::getppid().is_some_and(|id| id.as_raw_nonzero().get() as u32 == parent);
        while is_child() {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        handle.shutdown_now();
    });
    worker.run().await?;
    watching.abort();
    stores.close().await;
    Ok(())
}

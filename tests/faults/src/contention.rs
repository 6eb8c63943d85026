//! A run of 100 contenders for one resume token and its steps. Holders of their lease are suspended and killed, leases expire, and the
//! server dies and starts again on its data.

use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};
use twinstore::lease::Leases;

use crate::checker::check;
use crate::environment::{Environment, Usage};
use crate::history::Recorder;
use crate::process::{OwnProcess, Task};
use crate::recorded::Client;
use crate::run::{Options, Outcome, RunError, load_token, read_kept, record_run};
use crate::workload::{GROUPS, contend as contenders, random_of};

/// How many processes there are. Each has 25 contenders.
const PROCESSES: u32 = 4;

/// Runs contenders and faults, and checks the history. The topology is a single server, whatever the options are.
///
/// # Errors
/// [`RunError`] if there is no history to check.
pub async fn contend(options: &Options) -> Result<Outcome, RunError> {
    // servers are broken by tasks of this thread
    LocalSet::new().run_until(Box::pin(contend_here(options))).await
}

async fn contend_here(options: &Options) -> Result<Outcome, RunError> {
    let program = options.program.clone().ok_or(RunError::Program)?;
    let recorder = record_run(options)?;
    let environment = Environment::start(options).await?;
    let stores = environment.open(GROUPS[2]).await?;
    let (variables, usage) = (environment.variables(GROUPS[3]), Usage::of(options));
    let start = |index| {
        let (program, variables) = (program.clone(), variables.clone());
        OwnProcess::new(Task::Contend(index), program, variables, options.seed, usage, &options.folder)
    };
    let mut nemesis = Nemesis {
        environment: &environment,
        leases: stores.state().leases(),
        processes: (0..PROCESSES).map(start).collect(),
        recorder: recorder.actor("run"),
        random: random_of(options.seed, "contention"),
    };
    let end = Instant::now() + options.duration;
    while Instant::now() < end {
        nemesis.wait(100..500).await;
        nemesis.processes.iter_mut().for_each(OwnProcess::keep_running);
        nemesis.strike().await;
    }
    for process in nemesis.processes {
        process.end().await;
    }
    load_token(&Client::new(&stores, recorder.actor("run"))).await?;
    stores.close().await;
    environment.keep_logs(&options.folder)?;
    Ok(Outcome { verdict: check(&read_kept(&options.folder)?), memory: None })
}

struct Nemesis<'a> {
    environment: &'a Environment,
    leases: std::sync::Arc<dyn Leases>,
    processes: Vec<OwnProcess>,
    recorder: Recorder,
    random: fastrand::Rng,
}

impl Nemesis<'_> {
    async fn wait(&mut self, millis: std::ops::Range<u64>) {
        sleep(Duration::from_millis(self.random.u64(millis))).await;
    }

    /// Applies one fault and undoes it.
    async fn strike(&mut self) {
        match self.random.u32(0..100) {
            0..65 => self.suspend_holder().await,
            65..75 => self.kill_holder().await,
            75..90 => self.kill_server().await,
            _ => self.suspend_server().await,
        }
    }

    /// The process of the holder, or any if there is none.
    async fn holder(&mut self) -> usize {
        let lease = self.leases.inspect(&contenders::lease()).await.ok().flatten();
        let groups = (0..PROCESSES).map(|index| format!("{}/", Task::Contend(index).group()));
        let index = lease.and_then(|lease| groups.clone().position(|group| lease.holder.as_str().starts_with(&group)));
        index.unwrap_or_else(|| self.random.usize(0..self.processes.len()))
    }

    fn name(kind: &str, process: usize) -> String {
        format!("{kind} {}", Task::Contend(process as u32).group())
    }

    /// Suspends the holder, often for longer than its lease lasts, and sometimes the server dies meanwhile.
    async fn suspend_holder(&mut self) {
        let holder = self.holder().await;
        let name = Self::name("suspend", holder);
        self.recorder.fault_begins(&name);
        self.processes[holder].pause();
        self.wait(20..700).await;
        if self.random.u32(0..100) < 15 {
            self.kill_server().await;
        }
        self.wait(20..700).await;
        self.processes[holder].resume();
        self.recorder.fault_ended(&name);
    }

    async fn kill_holder(&mut self) {
        let holder = self.holder().await;
        let name = Self::name("kill", holder);
        self.recorder.fault_begins(&name);
        self.processes[holder].kill().await;
        self.processes[holder].keep_running();
        self.recorder.fault_ended(&name);
    }

    async fn kill_server(&mut self) {
        let server = self.environment.state.standalone();
        self.recorder.fault_begins("kill state");
        server.kill().await;
        self.wait(0..200).await;
        server.start_again().await.expect("the server starts again on its data");
        self.recorder.fault_ended("kill state");
    }

    async fn suspend_server(&mut self) {
        let server = self.environment.state.standalone();
        self.recorder.fault_begins("stop state");
        server.pause().expect("the server runs");
        self.wait(100..900).await;
        server.resume().expect("the server runs");
        self.recorder.fault_ended("stop state");
    }
}

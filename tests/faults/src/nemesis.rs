//! The faults of a run: planned from its seed, then applied to the servers, the network and a worker process.

mod migration;
mod plan;
mod primary;

pub(crate) use plan::{Fault, FaultSequence, Kind, Network};

use std::sync::Arc;
use std::time::Duration;

use testkit::{FaultProxy, RedisServer, mentions};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::environment::Environment;
use crate::history::Recorder;
use crate::process::OwnProcess;

/// Runs all sequences until their plans or the run end. When the tasks have ended, every fault is undone. Call it in a
/// `LocalSet`.
pub(crate) fn start(
    sequences: Vec<FaultSequence>,
    environment: &Arc<Environment>,
    process: Option<OwnProcess>,
    recorder: &Recorder,
    stop: &watch::Receiver<bool>,
) -> JoinSet<Option<OwnProcess>> {
    let mut tasks = JoinSet::new();
    let mut process = process;
    for sequence in sequences {
        let process = if sequence.has_process() { process.take() } else { None };
        let nemesis =
            Nemesis { environment: environment.clone(), recorder: recorder.clone(), stop: stop.clone(), process };
        tasks.spawn_local(nemesis.run(sequence));
    }
    tasks
}

/// One sequence of faults, one after the other.
struct Nemesis {
    environment: Arc<Environment>,
    recorder: Recorder,
    stop: watch::Receiver<bool>,
    process: Option<OwnProcess>,
}

impl Nemesis {
    async fn run(mut self, sequence: FaultSequence) -> Option<OwnProcess> {
        for fault in sequence.faults {
            if !self.wait_running(fault.after).await {
                break;
            }
            let name = fault.kind.name();
            self.recorder.fault_begins(&name);
            self.strike(&fault).await;
            self.recorder.fault_ended(&name);
        }
        self.process
    }

    /// Waits as [`wait`](Self::wait), and starts the worker process again if it has ended, as it does if it cannot open its
    /// stores.
    async fn wait_running(&mut self, time: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + time;
        loop {
            if let Some(process) = &mut self.process {
                process.keep_running();
            }
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if !self.wait(left.min(Duration::from_millis(300))).await {
                return false;
            }
            if left.is_zero() {
                return true;
            }
        }
    }

    /// Waits. Returns whether the run continues.
    async fn wait(&mut self, time: Duration) -> bool {
        let _ = tokio::time::timeout(time, self.stop.wait_for(|stop| *stop)).await;
        !*self.stop.borrow()
    }

    /// Applies one fault and undoes it.
    async fn strike(&mut self, fault: &Fault) {
        if let Kind::Primary(of_primary) = fault.kind {
            return self.strike_primary(of_primary, fault.lasts, fault.pick).await;
        }
        let environment = self.environment.clone();
        let server = match fault.kind {
            Kind::KillCache | Kind::StopCache => &environment.cache,
            _ => environment.state.standalone(),
        };
        match &fault.kind {
            Kind::KillState | Kind::KillCache => {
                server.kill().await;
                self.wait(fault.lasts).await;
                server.start_again().await.expect("the server starts again on its data");
            }
            Kind::StopState | Kind::StopCache => {
                server.pause().expect("the server runs");
                self.wait(fault.lasts).await;
                server.resume().expect("the server runs");
            }
            Kind::FillState => {
                let settings = server.command(&["CONFIG", "GET", "maxmemory"]).await;
                let before = settings.ok().and_then(|reply| reply.as_array()?.get(1)?.as_str().map(str::to_owned));
                command(server, &["CONFIG", "SET", "maxmemory", "1"]).await;
                self.wait(fault.lasts).await;
                command(server, &["CONFIG", "SET", "maxmemory", &before.expect("the setting is known")]).await;
            }
            Kind::FlushScripts => command(server, &["SCRIPT", "FLUSH"]).await,
            // refused while one is under way
            Kind::RewriteState => drop(server.command(&["BGREWRITEAOF"]).await),
            Kind::KillProcess => {
                if let Some(process) = &mut self.process {
                    process.kill().await;
                    process.keep_running();
                }
            }
            Kind::StopProcess => {
                if let Some(process) = &self.process {
                    process.pause();
                }
                self.wait(fault.lasts).await;
                if let Some(process) = &self.process {
                    process.resume();
                }
            }
            Kind::Primary(_) => unreachable!("it is applied above"),
            Kind::Network(link, network) => self.disturb(environment.link(link), *network, fault).await,
        }
    }

    async fn disturb(&mut self, proxy: &FaultProxy, network: Network, fault: &Fault) {
        let script = || mentions("EVALSHA");
        match network {
            Network::Cut => return proxy.cut_connections().await,
            Network::HalfOpen => return proxy.half_open(),
            Network::CutAfterRequest => proxy.cut_after_request(script()),
            Network::CutBeforeRequest => proxy.cut_before_request(script()),
            Network::CutInReply => proxy.cut_in_reply(script()),
            Network::Refuse => proxy.reset().await,
            Network::Delay => proxy.delay(Duration::from_millis(10 + fault.pick as u64 % 150)).await,
            // 100 kB/s to 1.1 MB/s.
            Network::Slow => proxy.slow(100_000 + 1000 * u32::try_from(fault.pick % 1000).unwrap_or(0)).await,
            Network::Blackhole => proxy.blackhole().await,
            Network::OneWay => proxy.one_way().await,
            Network::Hold => drop(proxy.hold_connection(fault.pick)),
        }
        self.wait(fault.lasts).await;
        proxy.disarm();
        proxy.pass().await;
    }
}

async fn command(server: &RedisServer, arguments: &[&str]) {
    server.command(arguments).await.expect("the server runs");
}

//! Faults of the primary of a topology.

use std::time::Duration;

use testkit::{Cluster, RedisServer, Sentinels};

use super::Nemesis;
use crate::environment::StateServers;
use crate::topology::PrimaryFault;
use crate::workload::QUEUES;

/// How long a killed server is down.
const DOWN: Duration = Duration::from_secs(3);

/// How long a primary is separated from its replicas before it is killed. Shorter than 1 s: a loss report must not name older
/// writes.
const SEPARATED: Duration = Duration::from_millis(700);

impl Nemesis {
    /// Injects a fault, ends it, and waits until all servers are in sync.
    pub(super) async fn strike_primary(&mut self, fault: PrimaryFault, lasts: Duration, pick: usize) {
        let environment = self.environment.clone();
        match &environment.state {
            StateServers::Standalone(_) => unreachable!("the plan of a single server has no such fault"),
            StateServers::Sentinels(sentinels) => self.strike_sentinels(sentinels, fault, lasts).await,
            StateServers::Cluster(cluster) => self.strike_cluster(cluster, fault, lasts, pick).await,
        }
    }

    async fn strike_sentinels(&mut self, sentinels: &Sentinels, fault: PrimaryFault, lasts: Duration) {
        let primary = sentinels.primary().await;
        match fault {
            PrimaryFault::Kill => self.kill(primary).await,
            PrimaryFault::Stop => {
                primary.pause().expect("the server runs");
                sentinels.wait_for_failover(primary).await;
                primary.resume().expect("the server runs");
            }
            PrimaryFault::Partition => {
                sentinels.proxy(primary).hold_replication();
                self.wait(lasts).await;
                sentinels.proxy(primary).pass().await;
            }
            PrimaryFault::PartitionKill => {
                sentinels.proxy(primary).hold_replication();
                self.wait(SEPARATED).await;
                primary.kill().await;
                sentinels.wait_for_failover(primary).await;
                sentinels.proxy(primary).pass().await;
                self.kill(primary).await;
            }
            PrimaryFault::Failover => drop(sentinels.failover().await),
            PrimaryFault::MoveSlots => unreachable!("the plan of sentinels has no such fault"),
            PrimaryFault::Restart => {
                for server in sentinels.data().iter().chain(sentinels.sentinels()) {
                    restart(server).await;
                    sentinels.wait_settled().await;
                }
            }
        }
        sentinels.wait_settled().await;
    }

    async fn strike_cluster(&mut self, cluster: &Cluster, fault: PrimaryFault, lasts: Duration, pick: usize) {
        let queue = QUEUES[pick % QUEUES.len()];
        let slot = cluster.slot(&format!("{{q.{queue}.0}}")).await.expect("a node answers");
        let primary = cluster.owner(slot).await;
        match fault {
            PrimaryFault::Kill => self.kill(primary).await,
            PrimaryFault::Stop => {
                primary.pause().expect("the server runs");
                cluster.wait_for_failover(slot, primary).await;
                primary.resume().expect("the server runs");
            }
            PrimaryFault::Partition => {
                cluster.proxy(primary).hold_replication();
                self.wait(lasts).await;
                cluster.proxy(primary).pass().await;
            }
            PrimaryFault::PartitionKill => {
                cluster.proxy(primary).hold_replication();
                self.wait(SEPARATED).await;
                primary.kill().await;
                cluster.wait_for_failover(slot, primary).await;
                cluster.proxy(primary).pass().await;
                self.kill(primary).await;
            }
            PrimaryFault::MoveSlots => self.move_slots(cluster, pick).await,
            PrimaryFault::Failover => {
                let replicas = cluster.replicas_of(primary).await;
                cluster.failover(replicas.first().expect("the primary has a replica")).await;
            }
            PrimaryFault::Restart => {
                for node in cluster.nodes() {
                    restart(node).await;
                    cluster.wait_settled().await;
                }
            }
        }
        cluster.wait_settled().await;
    }

    /// Kills the server, if it runs, and starts it again.
    async fn kill(&self, server: &RedisServer) {
        server.kill().await;
        // also at the end of the run: if the server is back before the failover, the outcome of all writes is unknown
        tokio::time::sleep(DOWN).await;
        server.start_again().await.expect("the server starts again on its data");
    }
}

/// Shuts the server down cleanly and starts it again.
async fn restart(server: &RedisServer) {
    // the server does not reply to SHUTDOWN
    drop(server.command(&["SHUTDOWN"]).await);
    server.start_again().await.expect("the server starts again on its data");
}

//! The servers of the state store, and the durability of its writes.

use clap::ValueEnum;

/// The servers of the state store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Topology {
    /// One server, behind a proxy for each group of actors.
    Standalone,
    /// A primary, two replicas, and three sentinels.
    Sentinel,
    /// Three primaries with a replica each.
    Cluster,
}

/// The durability of the writes of queues, leases, heartbeats and idempotent requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// The primary.
    Accepted,
    /// One replica.
    #[value(name = "replicated-1")]
    ReplicatedOne,
    /// Every replica.
    ReplicatedAll,
}

impl Level {
    /// The number of replicas.
    pub(crate) fn replicas(self, topology: Topology) -> u32 {
        match (self, topology) {
            (Level::Accepted, _) | (_, Topology::Standalone) => 0,
            (Level::ReplicatedOne, _) | (_, Topology::Cluster) => 1,
            (Level::ReplicatedAll, Topology::Sentinel) => 2,
        }
    }
}

/// A fault of the primary of a topology. The next one begins when all servers are in sync again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrimaryFault {
    /// SIGKILL of the primary, which starts again after 3 s.
    Kill,
    /// SIGSTOP of the primary until another one is elected, then SIGCONT. The servers have `min-replicas-to-write 1`.
    Stop,
    /// The replicas receive nothing from the primary for some time.
    Partition,
    /// The replicas receive nothing from the primary, then it is killed, and starts again after 3 s.
    PartitionKill,
    /// A manual failover.
    Failover,
    /// Every server is shut down and started again, one after the other.
    Restart,
    /// Half of the partitions of a queue move to other primaries of a cluster.
    MoveSlots,
}

impl PrimaryFault {
    /// The faults of a topology.
    pub(crate) fn of(topology: Topology) -> Vec<Self> {
        let is_possible = |fault: &&Self| topology == Topology::Cluster || **fault != PrimaryFault::MoveSlots;
        Self::value_variants().iter().filter(is_possible).copied().collect()
    }

    /// Its name in a history.
    pub(crate) fn name(self) -> &'static str {
        match self {
            PrimaryFault::Kill => "kill-primary state",
            PrimaryFault::Stop => "stop-primary state",
            PrimaryFault::Partition => "partition state",
            PrimaryFault::PartitionKill => "partition-kill state",
            PrimaryFault::Failover => "failover state",
            PrimaryFault::Restart => "restart state",
            PrimaryFault::MoveSlots => crate::MOVE_SLOTS,
        }
    }
}

//! `nodes.conf`, from which a node of a cluster knows the cluster.
//!
//! A primary that starts refuses calls for its first 2 s. A replica that is promoted does not. So each primary of the kit starts as a
//! replica of a primary that does not exist, takes its slots over, and forgets it. Servers that know shards read them, too. Otherwise each
//! node makes up its own, and Valkey 9.1 ends with a failed assertion at a `SPUBLISH` if it has lost its shard meanwhile.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::RedisServer;
use crate::topology::random_id;

/// The name of the file.
pub(super) const FILE: &str = "nodes.conf";

/// How long a replica waits for its cluster before it takes over in any case.
const PATIENCE: Duration = Duration::from_millis(500);

/// One line of `nodes.conf`.
pub(crate) struct Line<'a> {
    pub(crate) id: &'a str,
    pub(crate) port: u16,
    pub(crate) bus: u16,
    /// The id of its shard.
    pub(crate) shard: &'a str,
    /// The id of the primary, for a replica.
    pub(crate) replicates: Option<&'a str>,
    pub(crate) epoch: u64,
    pub(crate) slots: Option<RangeInclusive<u16>>,
}

/// The file of the node `myself`, which has seen no later epoch than this one. `with_shards`: see
/// [`knows_shards`](crate::servers::knows_shards).
pub(crate) fn file(lines: &[Line<'_>], myself: &str, epoch: u64, with_shards: bool) -> String {
    let mut text = String::new();
    for Line { id, port, bus, shard, replicates, epoch, slots } in lines {
        let me = if *id == myself { "myself," } else { "" };
        let role = if replicates.is_some() { "slave" } else { "master" };
        let primary = replicates.unwrap_or("-");
        let shard = if with_shards { format!(",,shard-id={shard}") } else { String::new() };
        let _ = write!(text, "{id} 127.0.0.1:{port}@{bus}{shard} {me}{role} {primary} 0 0 {epoch} connected");
        if let Some(slots) = slots {
            let _ = write!(text, " {}-{}", slots.start(), slots.end());
        }
        text.push('\n');
    }
    let _ = writeln!(text, "vars currentEpoch {epoch} lastVoteEpoch 0");
    text
}

/// The file of the only node of a cluster, which reads its own ports elsewhere.
pub(super) fn one_node(with_shards: bool) -> String {
    let (myself, absent) = (random_id(), random_id());
    let line = |id, replicates, slots| Line { id, port: 1, bus: 1, shard: &absent, replicates, epoch: 1, slots };
    file(&[line(&myself, Some(&absent), None), line(&absent, None, Some(0..=16383))], &myself, 1, with_shards)
}

impl RedisServer {
    /// Whether the cluster of this one node is up, after it has taken all slots if it does not own them.
    pub(super) async fn serves_slots(&self) -> bool {
        let Some(nodes) = self.command(&["CLUSTER", "NODES"]).await.ok() else { return false };
        let absent = nodes.as_str().unwrap_or_default().lines().find(|line| !line.contains("myself"));
        if let Some(absent) = absent.and_then(|line| line.split(' ').next()) {
            self.take_over().await;
            // Refused if it has been forgotten already.
            let _ = self.command(&["CLUSTER", "FORGET", absent]).await;
        }
        self.cluster_is_up().await
    }

    /// Promotes this replica of a primary that does not exist.
    pub(crate) async fn take_over(&self) {
        let up = async {
            while !self.cluster_is_up().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, up).await;
        // Refused if it is a primary already.
        let _ = self.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]).await;
    }

    pub(crate) async fn cluster_is_up(&self) -> bool {
        let info = self.command(&["CLUSTER", "INFO"]).await;
        info.is_ok_and(|info| info.as_str().is_some_and(|text| text.contains("cluster_state:ok")))
    }
}

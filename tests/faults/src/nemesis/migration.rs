//! Slots of a queue with partitions move to other nodes while load runs.

use std::cell::Cell;
use std::time::{Duration, Instant};

use testkit::{Cluster, CommandError, RedisServer, RespConnection};

use super::Nemesis;
use crate::history::{Event, MovedSlot, now};
use crate::workload::PARTITIONED;

/// How often the independent client of a slot runs its script.
const EVERY: Duration = Duration::from_millis(1);

/// How many keys one command moves.
const KEYS: usize = 100;

impl Nemesis {
    /// Moves every other partition to another node: in one operation if the servers have it, otherwise with `MIGRATE`.
    pub(super) async fn move_slots(&mut self, cluster: &Cluster, pick: usize) {
        for tag in tags(cluster).await.into_iter().skip(pick % 2).step_by(2) {
            if !self.wait(Duration::ZERO).await {
                return;
            }
            let slot = cluster.slot(&format!("{{{tag}}}")).await.expect("a node answers");
            let source = cluster.owner(slot).await;
            let target = another(cluster, source, pick).await;
            let moved = move_slot(cluster, &tag, slot, [source, target]).await.expect("the nodes are up");
            self.recorder.write(&Event::Slot(moved));
        }
    }
}

/// The hash tags of the partitions, in the order of their numbers.
async fn tags(cluster: &Cluster) -> Vec<String> {
    let mut tags = Vec::new();
    for node in cluster.nodes() {
        let pattern = format!("tw:{{q.{PARTITIONED}.*}}:meta");
        let keys = node.command(&["KEYS", &pattern]).await.expect("the node is up").as_strings().unwrap_or_default();
        tags.extend(keys.iter().filter_map(|key| Some(key.split_once('{')?.1.split_once('}')?.0.to_owned())));
    }
    tags.sort();
    // a replica has the keys of its primary
    tags.dedup();
    tags
}

/// A primary other than this one.
async fn another<'a>(cluster: &'a Cluster, source: &RedisServer, pick: usize) -> &'a RedisServer {
    let mut others = Vec::new();
    // of each third of the slots, which the primaries had at the start, the first
    for slot in [0, 5462, 10923] {
        let owner = cluster.owner(slot).await;
        if owner.port() != source.port() {
            others.push(owner);
        }
    }
    others[pick / 2 % others.len()]
}

async fn move_slot(
    cluster: &Cluster,
    tag: &str,
    slot: u16,
    nodes: [&RedisServer; 2],
) -> Result<MovedSlot, CommandError> {
    let [source, target] = nodes;
    let count =
        async |command: &[&str]| source.command(command).await.map(|reply| number(reply.as_str(), reply.as_integer()));
    let keys = count(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).await?;
    let jobs = count(&["HGET", &format!("tw:{{{tag}}}:meta"), "alive"]).await?;
    let longest = Cell::new(Duration::ZERO);
    let is_atomic = tokio::select! {
        moved = async {
            if cluster.migrate_atomically(slot, target).await? {
                return Ok(true);
            }
            let migration = cluster.begin_migration(slot, target).await?;
            while migration.move_keys(KEYS).await? > 0 {}
            migration.finish().await.map(|()| false)
        } => moved?,
        () = watch(tag, nodes, &longest) => unreachable!("the client does not end"),
    };
    let out_us = u64::try_from(longest.get().as_micros()).unwrap_or(u64::MAX);
    Ok(MovedSlot { at: now(), slot, keys, jobs, is_atomic, out_us })
}

fn number(text: Option<&str>, integer: Option<i64>) -> u64 {
    integer.and_then(|integer| u64::try_from(integer).ok()).or_else(|| text?.parse().ok()).unwrap_or(0)
}

/// Runs a script again and again that names a key that exists and one that does not, as those of the library do, and keeps the
/// longest time between two successes.
async fn watch(tag: &str, nodes: [&RedisServer; 2], longest: &Cell<Duration>) {
    let mut connections = [None, None];
    let keys = [format!("tw:{{{tag}}}:meta"), format!("probe:{{{tag}}}:absent")];
    let mut last = Instant::now();
    loop {
        if runs(nodes, &mut connections, &keys).await {
            longest.set(longest.get().max(last.elapsed()));
            last = Instant::now();
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Whether the script runs at the source, or at the target to which the source refers.
async fn runs(nodes: [&RedisServer; 2], connections: &mut [Option<RespConnection>; 2], keys: &[String; 2]) -> bool {
    let script = ["EVAL", "return redis.call('EXISTS', KEYS[1], KEYS[2])", "2", &keys[0], &keys[1]];
    let [source, target] = connections;
    match send(nodes[0], source, &script).await {
        Ok(()) => true,
        Err(CommandError::Refused(error)) if error.starts_with("ASK ") => {
            send(nodes[1], target, &["ASKING"]).await.is_ok() && send(nodes[1], target, &script).await.is_ok()
        }
        Err(CommandError::Refused(error)) if error.starts_with("MOVED ") => {
            send(nodes[1], target, &script).await.is_ok()
        }
        Err(_) => false,
    }
}

async fn send(
    server: &RedisServer,
    connection: &mut Option<RespConnection>,
    command: &[&str],
) -> Result<(), CommandError> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => server.connect().await?,
    };
    let reply = open.command(command).await;
    // after another error it is of no further use
    if matches!(reply, Ok(_) | Err(CommandError::Refused(_))) {
        *connection = Some(open);
    }
    reply.map(drop)
}

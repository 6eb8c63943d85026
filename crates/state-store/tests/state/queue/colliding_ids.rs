//! Ids whose hashes collide in the server.
//!
//! Redis and Valkey key the hashes of their own tables with a random seed. Lua does not: a server from 7.0 on hashes all bytes of a
//! string, with its length as the seed. All strings of a script are in one table, by this hash, and so are the keys of Lua's
//! tables. So a caller can choose ids that are in one chain. A call has at most 1,000 jobs: this bounds the chain.

use std::collections::HashMap;

use store_core::{
    Claim, ClaimRequest, Deleted, Durability, HolderName, JobId, NewJob, Outcome, Pushed, Queue, QueueControl, Settled,
    Settlement, Unique, UniqueKey, UniqueUntil,
};

use super::{LEASE, push, queue};
use crate::{Fixture, fixture};

/// How many bytes of an id have one of two forms.
const BLOCK: usize = 6;
/// 2 to this power are the ids: for each round 1,000 ids and 1,000 unique keys.
const BLOCKS: usize = 13;
const ROUNDS: usize = 4;

/// How much longer than for other ids a call may take the server. Of 1,000 ids in one chain, a lookup visits 500.
const BOUND: u64 = 5;

/// The hash of Lua 5.1 in a server, continued with bytes of a string: from its end to its begin.
fn hash(hash: u32, bytes: &[u8]) -> u32 {
    let next = |hash: u32, byte: &u8| hash ^ (hash << 5).wrapping_add(hash >> 2).wrapping_add(u32::from(*byte));
    bytes.iter().rev().fold(hash, next)
}

/// Ids with one length and one hash. Each block has two forms that lead from one hash to one hash.
struct Colliding {
    /// From the last block of an id to its first one.
    blocks: Vec<[[u8; BLOCK]; 2]>,
}

impl Colliding {
    fn new() -> Self {
        let (mut now, mut random) = ((BLOCK * BLOCKS) as u32, fastrand::Rng::with_seed(1));
        let mut blocks = Vec::new();
        while blocks.len() < BLOCKS {
            let mut seen = HashMap::new();
            let pair = loop {
                let block: [u8; BLOCK] = std::array::from_fn(|_| random.alphanumeric() as u8);
                match seen.insert(hash(now, &block), block) {
                    Some(other) if other != block => break [block, other],
                    _ => {}
                }
            };
            now = hash(now, &pair[0]);
            blocks.push(pair);
        }
        Self { blocks }
    }

    fn id(&self, number: usize) -> String {
        let block = |(place, forms): (usize, &[[u8; BLOCK]; 2])| forms[number >> place & 1];
        let bytes: Vec<u8> = self.blocks.iter().enumerate().rev().flat_map(block).collect();
        String::from_utf8(bytes).unwrap()
    }

    fn ids(&self) -> Vec<String> {
        (0..1 << BLOCKS).map(|number| self.id(number)).collect()
    }
}

fn other_ids() -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(2);
    let id = |_| (0..BLOCK * BLOCKS).map(|_| random.alphanumeric()).collect();
    (0..1 << BLOCKS).map(id).collect()
}

/// The commands that the server has executed, and the processor's time that its main thread has used, in µs. Unlike the time of a
/// command, that does not depend on what else the machine does.
async fn spent(fixture: &Fixture) -> (u64, u64) {
    let calls = fixture.server.command_calls().await.unwrap();
    let calls =
        calls.iter().filter(|(name, _)| !matches!(name.as_str(), "info" | "hello" | "client" | "time" | "ping"));
    let cpu = fixture.server.info("cpu").await.unwrap();
    let micros = |field: &str| (cpu[field].parse::<f64>().unwrap() * 1e6) as u64;
    let used = micros("used_cpu_user_main_thread") + micros("used_cpu_sys_main_thread");
    (calls.map(|(_, calls)| calls).sum::<u64>(), used)
}

/// For each kind of call, the commands of one, and the shortest time in µs that the server spends on one.
type Costs = Vec<(&'static str, u64, u64)>;

/// Makes each kind of call that names jobs with as many of them as are allowed.
async fn costs(fixture: &Fixture, ids: &[String]) -> Costs {
    let store = &fixture.store;
    let mut least: Costs = Vec::new();
    for round in 0..ROUNDS {
        let of_round = |first: usize| ids[(first + round) * NewJob::MAX_BATCH..][..NewJob::MAX_BATCH].iter();
        let jobs: Vec<_> = of_round(0)
            .zip(of_round(ROUNDS))
            .map(|(id, key)| {
                let unique = Unique::new(UniqueKey::new(key).unwrap(), UniqueUntil::Finished);
                NewJob::new("").with_id(JobId::new(id).unwrap()).with_unique(unique)
            })
            .collect();
        let mut measured = Vec::new();
        let mut measure = async |name: &'static str, before: (u64, u64)| {
            let after = spent(fixture).await;
            measured.push((name, after.0 - before.0, after.1 - before.1));
        };

        let before = spent(fixture).await;
        assert!(push(store, &jobs).await.iter().all(Pushed::is_new));
        measure("push", before).await;

        let before = spent(fixture).await;
        let request = ClaimRequest::new(queue(), HolderName::new("worker").unwrap(), jobs.len(), LEASE);
        let Claim { jobs: claimed, .. } = store.claim(&request).await.unwrap();
        measure("claim", before).await;

        let dead = || Outcome::Dead { reason: "no".into() };
        let settlements: Vec<_> = claimed.into_iter().map(|job| Settlement::new(job.lease, dead())).collect();
        let before = spent(fixture).await;
        let settled = store.settle(&queue(), &settlements, Durability::Accepted).await.unwrap().value;
        measure("settle", before).await;
        assert_eq!(settled, vec![Settled::Done; jobs.len()]);

        let dead: Vec<_> = jobs.iter().filter_map(|job| job.id.clone()).collect();
        let before = spent(fixture).await;
        let deleted = store.delete(&queue(), &dead).await.unwrap();
        measure("delete", before).await;
        assert_eq!(deleted, vec![Deleted::Deleted; jobs.len()]);

        let least_of = |(one, two): ((_, u64, u64), (_, u64, u64))| (one.0, one.1.min(two.1), one.2.min(two.2));
        least = if least.is_empty() { measured } else { least.into_iter().zip(measured).map(least_of).collect() };
    }
    least
}

/// The time that a script takes that only uses ids as the keys of a table.
async fn time_of_table(fixture: &Fixture, ids: &[String]) -> u64 {
    const TABLE: &str = "local t = {} for i = 1, #ARGV do t[ARGV[i]] = i end return #ARGV";
    let command = ["EVAL", TABLE, "0"].into_iter().chain(ids[..NewJob::MAX_BATCH].iter().map(String::as_str));
    let command: Vec<_> = command.collect();
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        let before = spent(fixture).await.1;
        fixture.server.command(&command).await.unwrap();
        least = least.min(spent(fixture).await.1 - before);
    }
    least
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "the measured times")]
async fn colliding_ids_cost_the_server_a_bounded_time() {
    let fixture = fixture().await;
    let (colliding, others) = (Colliding::new().ids(), other_ids());
    let hash_of = |id: &String| hash(id.len() as u32, id.as_bytes());
    assert!(colliding.iter().all(|id| hash_of(id) == hash_of(&colliding[0])));
    // They do collide in this server.
    let (colliding_table, other_table) =
        (time_of_table(&fixture, &colliding).await, time_of_table(&fixture, &others).await);
    println!("a table of 1,000 ids: {colliding_table} us, of others {other_table} us");
    assert!(colliding_table > 2 * other_table, "the ids do not collide: {colliding_table} us, others {other_table} us");

    let rehearsal = other_ids().iter().map(|id| format!("r{}", &id[1..])).collect::<Vec<_>>();
    costs(&fixture, &rehearsal).await;
    let (others, colliding) = (costs(&fixture, &others).await, costs(&fixture, &colliding).await);
    println!("commands and us of a call with others: {others:?}\nwith colliding ids: {colliding:?}");
    for ((call, commands, micros), (_, most_commands, other_micros)) in colliding.into_iter().zip(others) {
        assert_eq!(commands, most_commands, "commands of a {call}");
        assert!(micros <= BOUND * other_micros, "{call}: {micros} us for colliding ids, {other_micros} us for others");
    }
}

//! Ids whose hashes collide in the server.
//!
//! Redis and Valkey key the hashes of their own tables with a random seed. Lua does not: a server from 7.0 on hashes all bytes of a
//! string, with its length as the seed. All strings of a script are in one table, by this hash, and so are the keys of Lua's
//! tables. So a caller can choose ids that are in one chain. A call has at most 1,000 jobs: this bounds the chain.
//!
//! A table of 1,000 keys uses the last 10 bits of the hash. Ids with one hash also collide in the table of all strings, which the
//! salt of the scripts does not prevent; ids with the same 10 bits and different others hardly do. The first show the worst case, the
//! second what the salt prevents.

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
const BLOCKS: usize = 14;
const ROUNDS: usize = 8;

/// How much longer than for other ids a call may take the server, in percent. Of 1,000 ids in one chain, a lookup visits 500. The
/// first bound is for ids with one hash, the second for ids that a salt separates: a push takes 137 to 147 %, and 235 to 251 % without the
/// salt.
const BOUNDS: [u64; 2] = [500, 190];

/// A table with 1,000 keys has so many places.
const PLACES: u32 = 1 << 10;

/// The hash of Lua 5.1 in a server, continued with bytes of a string: from its end to its begin.
fn hash(hash: u32, bytes: &[u8]) -> u32 {
    let next = |hash: u32, byte: &u8| hash ^ (hash << 5).wrapping_add(hash >> 2).wrapping_add(u32::from(*byte));
    bytes.iter().rev().fold(hash, next)
}

/// Ids with one length and one hash. Each block has two forms that lead from one hash to one hash.
struct Colliding {
    /// From the last block of an id to its first one.
    blocks: Vec<[[u8; BLOCK]; 2]>,
    /// The hash so far.
    now: u32,
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
        Self { blocks, now }
    }

    fn id(&self, number: usize) -> String {
        let block = |(place, forms): (usize, &[[u8; BLOCK]; 2])| forms[number >> place & 1];
        let bytes: Vec<u8> = self.blocks.iter().enumerate().rev().flat_map(block).collect();
        String::from_utf8(bytes).unwrap()
    }

    fn ids(&self) -> Vec<String> {
        (0..1 << BLOCKS).map(|number| self.id(number)).collect()
    }

    /// Ids in one place of a table, with 64 hashes: their first bytes differ.
    fn ids_of_one_place(&self) -> Vec<String> {
        let mut random = fastrand::Rng::with_seed(3);
        // As long as the others, and the seed of their hash: their first block is replaced.
        let (last, before) = (&self.blocks[..BLOCKS - 1], (BLOCK * BLOCKS) as u32);
        let now = last.iter().fold(before, |now, forms| hash(now, &forms[0]));
        let mut firsts = Vec::new();
        while firsts.len() < 64 {
            let first: [u8; BLOCK] = std::array::from_fn(|_| random.alphanumeric() as u8);
            if hash(now, &first) % PLACES == self.now % PLACES {
                firsts.push(String::from_utf8(first.to_vec()).unwrap());
            }
        }
        (0..1 << BLOCKS).map(|number: usize| firsts[number % 64].clone() + &self.id(number / 64)[BLOCK..]).collect()
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

/// Makes each kind of call that names jobs with as many of them as are allowed, in turn with the ids of each kind: the machine is as fast
/// for the one as for the other.
async fn costs(fixture: &Fixture, kinds: &[&[String]]) -> Vec<Costs> {
    let mut least: Vec<Costs> = Vec::new();
    for round in 0..ROUNDS {
        for (number, ids) in kinds.iter().enumerate() {
            let measured = costs_of(fixture, ids, round).await;
            let least_of = |(one, two): ((_, u64, u64), (_, u64, u64))| (one.0, one.1.min(two.1), one.2.min(two.2));
            match least.get_mut(number) {
                Some(least) => *least = least.drain(..).zip(measured).map(least_of).collect(),
                None => least.push(measured),
            }
        }
    }
    least
}

async fn costs_of(fixture: &Fixture, ids: &[String], round: usize) -> Costs {
    let store = &fixture.store;
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
    measured
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
    let (colliding, others) = (Colliding::new(), other_ids());
    let kinds = [colliding.ids(), colliding.ids_of_one_place()];
    let hash_of = |id: &String| hash(id.len() as u32, id.as_bytes());
    assert!(kinds[0].iter().all(|id| hash_of(id) == colliding.now));
    assert!(kinds[1].iter().all(|id| hash_of(id) % PLACES == colliding.now % PLACES));
    let other_table = time_of_table(&fixture, &others).await;
    for ids in &kinds {
        // They do collide in this server.
        let table = time_of_table(&fixture, ids).await;
        println!("a table of 1,000 ids: {table} us, of others {other_table} us");
        assert!(table > 2 * other_table, "the ids do not collide: {table} us, others {other_table} us");
    }

    let rehearsal = other_ids().iter().map(|id| format!("r{}", &id[1..])).collect::<Vec<_>>();
    costs_of(&fixture, &rehearsal, 0).await;
    let costs = costs(&fixture, &[&others, &kinds[0], &kinds[1]]).await;
    println!("commands and us of a call with others: {:?}", costs[0]);
    for (colliding, bound) in costs[1..].iter().zip(BOUNDS) {
        println!("with colliding ids: {colliding:?}");
        for ((call, commands, micros), (_, most_commands, other_micros)) in colliding.iter().zip(&costs[0]) {
            assert_eq!(commands, most_commands, "commands of a {call}");
            let text = format!("{call}: {micros} us for colliding ids, {other_micros} us for others");
            assert!(100 * micros <= bound * other_micros, "{text}");
        }
    }
}

//! A checker of the stored data of a partition of a queue. It reads `docs/layout.md`, not the code of the library.
//!
//! What an interrupted script may leave (stale entries, a record or a state alone, `moving`, wrong counters) is reported only by
//! [`Stored::violations_at_rest`]. A stale entry in a ready list may remain at any time.

use std::collections::HashMap;

use store_core::QueueName;
use testkit::{RedisServer, Value};

type Bytes = Vec<u8>;

/// All that is stored of one partition.
pub(super) struct Stored {
    jobs: HashMap<Bytes, Bytes>,
    state: HashMap<Bytes, Bytes>,
    ready: Vec<Vec<Bytes>>,
    due: HashMap<Bytes, u64>,
    leased: HashMap<Bytes, u64>,
    completed: HashMap<Bytes, u64>,
    dead: HashMap<Bytes, u64>,
    unique: HashMap<Bytes, Bytes>,
    unique_until: HashMap<Bytes, u64>,
    meta: HashMap<Bytes, Bytes>,
    waiters: HashMap<Bytes, Bytes>,
    /// The TTL of `waiters` in ms; negative if it has none.
    waiters_last: i64,
}

/// A lease of a batch.
struct Lease {
    fence: u64,
    ends: u64,
    positions: u64,
}

/// A batch, decoded.
struct Batch {
    id: Bytes,
    jobs: u64,
    pushed_at: u64,
    delays: Option<Vec<u64>>,
    left: u64,
    kind: u8,
    leases: Vec<Lease>,
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn digits(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

/// Two words: positions 0 to 31, then 32 to 63.
fn positions(bytes: &[u8]) -> u64 {
    number(&bytes[..4]) | number(&bytes[4..8]) << 32
}

fn pairs(value: Value) -> Vec<(Bytes, Bytes)> {
    let flat: Vec<Bytes> = value.into_array().iter().map(|value| value.as_bytes().unwrap().to_vec()).collect();
    flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

impl Stored {
    pub(super) async fn read(server: &RedisServer, queue: &QueueName) -> Self {
        let key = |part: &str| format!("test:{{q.{queue}.0}}:{part}");
        let hash = async |part: &str| {
            pairs(server.command(&["HGETALL", &key(part)]).await.unwrap()).into_iter().collect::<HashMap<_, _>>()
        };
        let set = async |part: &str| {
            let entries = server.command(&["ZRANGE", &key(part), "0", "-1", "WITHSCORES"]).await.unwrap();
            pairs(entries).into_iter().map(|(member, score)| (member, digits(&score))).collect::<HashMap<_, _>>()
        };
        let mut ready = Vec::new();
        for priority in 0..4 {
            let list = server.command(&["LRANGE", &key(&format!("ready{priority}")), "0", "-1"]).await.unwrap();
            ready.push(list.into_array().iter().map(|id| id.as_bytes().unwrap().to_vec()).collect());
        }
        Self {
            jobs: hash("jobs").await,
            state: hash("state").await,
            ready,
            due: set("due").await,
            leased: set("leased").await,
            completed: set("completed").await,
            dead: set("dead").await,
            unique: hash("unique").await,
            unique_until: set("unique_until").await,
            meta: hash("meta").await,
            waiters: hash("waiters").await,
            waiters_last: server.command(&["PTTL", &key("waiters")]).await.unwrap().as_integer().unwrap(),
        }
    }

    /// What must hold at any time, also after interrupted scripts. `now`: the clock.
    pub(super) fn violations(&self, now: u64) -> Vec<String> {
        let mut found = Vec::new();
        for (id, record) in self.jobs.iter().filter(|(id, _)| id[0] != 2) {
            self.check_single(id, record, &mut found);
        }
        for batch in self.batches() {
            self.check_batch(&batch, now, &mut found);
        }
        found
    }

    /// What holds in addition when no script was interrupted.
    pub(super) fn violations_at_rest(&self, now: u64) -> Vec<String> {
        let mut found = self.violations(now);
        if self.meta.contains_key(&b"moving"[..]) {
            found.push("an extraction is not complete".into());
        }
        let (mut alive, mut scheduled, mut running) = (0, 0, 0);
        for (id, record) in self.jobs.iter().filter(|(id, _)| id[0] != 2) {
            let status = self.state.get(id).map_or(b'w', |state| state[0]);
            alive += i64::from(!matches!(status, b'c' | b'd'));
            running += i64::from(status == b'r');
            scheduled += i64::from(status == b'w' && self.due.contains_key(&due_member(record[2], id)));
            if matches!(record[1] % 4, 1 | 2) && !matches!(status, b'c' | b'd') {
                self.check_key(id, record, &mut found);
            }
        }
        for batch in self.batches() {
            alive += i64::from(batch.left.count_ones());
            running += batch.leases.iter().map(|lease| i64::from(lease.positions.count_ones())).sum::<i64>();
            scheduled += i64::from(self.scheduled(&batch).count_ones());
        }
        for (field, counted) in [("alive", alive), ("scheduled", scheduled), ("running", running)] {
            let stored =
                self.meta.get(field.as_bytes()).map_or(0, |text| String::from_utf8_lossy(text).parse().unwrap());
            if stored != counted {
                found.push(format!("the counter {field} is {stored}, and there are {counted}"));
            }
        }
        for (key, entry) in &self.unique {
            if entry[0] != b'e' && !self.jobs.contains_key(&entry[1..]) {
                found.push("a unique key is held by a job that is gone".into());
            }
            if entry[0] == b'e' && self.unique_until.get(key) != Some(&digits(&entry[1..17])) {
                found.push("a unique key that is held for a time never ends".into());
            }
        }
        self.check_pairs(&mut found);
        self.check_registrations(now, &mut found);
        found
    }

    fn check_registrations(&self, now: u64, found: &mut Vec<String>) {
        for registration in self.waiters.values() {
            if number(&registration[..6]) > now + 10_000 {
                found.push("a worker is registered for more than 10 s".into());
            }
            if !(4096..=60_000).contains(&number(&registration[8..11])) {
                found.push("a registration takes less than 4,096 or more than 60,000 bytes".into());
            }
            if registration[17] == 0 {
                found.push("a registration has no channel".into());
            }
        }
        if !self.waiters.is_empty() && !(0..=20_000).contains(&self.waiters_last) {
            found.push("registrations do not end within 20 s".into());
        }
    }

    /// Each entry has its counterpart, except ids in ready lists.
    fn check_pairs(&self, found: &mut Vec<String>) {
        if self.state.keys().any(|id| !self.jobs.contains_key(id)) {
            found.push("a state has no record".into());
        }
        if self.jobs.keys().any(|id| id[0] == 2 && !self.state.contains_key(id)) {
            found.push("a batch has no state".into());
        }
        for (index, ids) in [("leased", &self.leased), ("completed", &self.completed), ("dead", &self.dead)] {
            if ids.keys().any(|id| !self.jobs.contains_key(id)) {
                found.push(format!("an entry of {index} is stale"));
            }
        }
        if self.due.keys().any(|member| !self.jobs.contains_key(&member[1..])) {
            found.push("an entry of due is stale".into());
        }
        if self.completed.keys().chain(self.dead.keys()).any(|id| id[0] == 2) {
            found.push("a batch is finished".into());
        }
    }

    fn batches(&self) -> Vec<Batch> {
        let stored = self.jobs.iter().filter(|(id, _)| id[0] == 2);
        // A record or a state alone is what an interrupted script may leave.
        stored.filter_map(|(id, blob)| self.state.get(id).map(|state| Batch::decode(id, blob, state))).collect()
    }

    fn last_fence(&self) -> u64 {
        self.meta.get(&b"fence"[..]).map_or(0, |fence| digits(fence))
    }

    fn is_moving(&self, batch: &[u8]) -> bool {
        let moving = self.meta.get(&b"moving"[..]);
        moving.is_some_and(|moving| moving.chunks(17).any(|id| id == batch))
    }

    fn check_single(&self, id: &Bytes, record: &[u8], found: &mut Vec<String>) {
        let (state, priority) = (self.state.get(id), record[2]);
        let status = state.map_or(b'w', |state| state[0]);
        let is_ready = || self.ready[usize::from(priority)].contains(id);
        let (index, is_there) = match status {
            b'r' => ("leased", self.leased.contains_key(id)),
            b'c' => ("completed", self.completed.contains_key(id)),
            b'd' => ("dead", self.dead.contains_key(id)),
            _ => ("ready and due", self.due.contains_key(&due_member(priority, id)) || is_ready()),
        };
        if !is_there {
            found.push(format!("a single job is not in {index}"));
        }
        if state.is_some_and(|state| status == b'r' && digits(&state[1..17]) > self.last_fence()) {
            found.push("the fence of a single job is larger than the last one".into());
        }
    }

    fn check_key(&self, id: &Bytes, record: &[u8], found: &mut Vec<String>) {
        let at = 9 + if record[1] % 8 >= 4 { 6 } else { 0 };
        let key = &record[at + 1..at + 1 + usize::from(record[at])];
        // Until claimed: flag 16 of the state, if it was claimed before.
        let holds = record[1] % 4 == 2 || self.state.get(id).is_none_or(|state| state[26] & 16 != 0);
        if holds && self.unique.get(key).is_none_or(|entry| entry[1..] != id[..]) {
            found.push("a job does not hold its unique key".into());
        }
    }

    /// The positions that wait for their due time.
    fn scheduled(&self, batch: &Batch) -> u64 {
        let first = self.due.get(&due_member(batch.kind % 4, &batch.id));
        let Some((first, delays)) = first.zip(batch.delays.as_ref()) else { return 0 };
        let waits = |position: &usize| batch.pushed_at + delays[*position] >= *first;
        batch.left & (0..delays.len()).filter(waits).fold(0, |mask, position| mask | 1 << position)
    }

    fn check_batch(&self, batch: &Batch, now: u64, found: &mut Vec<String>) {
        if batch.left >> batch.jobs > 0 {
            found.push("a batch has more positions than jobs".into());
        }
        if batch.jobs > 50 || batch.left == 0 {
            found.push("a batch has no job or more than 50".into());
        }
        let mut times = batch.delays.clone().unwrap_or_default();
        times.sort_unstable();
        times.dedup();
        if times.len() > 1 && batch.jobs > 16 {
            found.push("a batch with several due times has more than 16 jobs".into());
        }
        let mut leased = 0;
        for lease in &batch.leases {
            if lease.positions & leased > 0 {
                found.push("two leases have one position".into());
            }
            leased |= lease.positions;
            if lease.fence > self.last_fence() {
                found.push("the fence of a batch is larger than the last one".into());
            }
        }
        if leased & !batch.left > 0 {
            found.push("a position is leased that is not left".into());
        }
        match (batch.leases.iter().map(|lease| lease.ends).min(), self.leased.get(&batch.id)) {
            (Some(_), None) => found.push("a batch with leases is not in leased".into()),
            (Some(first), Some(score)) if *score > first => found.push("the first lease ends before its score".into()),
            _ => {}
        }
        let scheduled = self.scheduled(batch);
        let is_early = |(position, delay): (usize, &u64)| {
            (batch.left & !scheduled & !leased) >> position & 1 == 1 && batch.pushed_at + delay > now
        };
        if batch.delays.iter().flatten().enumerate().any(is_early) {
            found.push("a scheduled position is ready before its time".into());
        }
        if batch.left & !scheduled & !leased > 0 && !self.ready[usize::from(batch.kind % 4)].contains(&batch.id) {
            found.push("a batch with ready positions is in no list".into());
        }
        let is_single = |position: &u8| {
            let mut id = batch.id.clone();
            (id[0], id[16]) = (1, id[16] + position);
            batch.left >> position & 1 == 1 && self.jobs.contains_key(&id)
        };
        if !self.is_moving(&batch.id) && (0..64).any(|position| is_single(&position)) {
            found.push("a job is single, and in its batch".into());
        }
    }
}

fn due_member(priority: u8, id: &[u8]) -> Bytes {
    [&[b'0' + priority], id].concat()
}

impl Batch {
    fn decode(id: &Bytes, blob: &[u8], state: &[u8]) -> Self {
        let jobs = usize::from(blob[0]);
        let delays = &blob[2 + 3 * jobs..];
        let delays = (blob[1] & 1 == 1).then(|| delays.chunks(6).take(jobs).map(number).collect());
        let (mut leases, mut rest) = (Vec::new(), &state[15..]);
        while rest.len() >= 32 {
            let end = 32 + usize::from(rest[31]);
            leases.push(Lease {
                fence: digits(&rest[..16]),
                ends: number(&rest[16..22]),
                positions: positions(&rest[22..30]),
            });
            rest = &rest[end..];
        }
        let (pushed_at, left, kind) = (number(&state[..6]), positions(&state[6..14]), state[14]);
        Self { id: id.clone(), jobs: jobs as u64, pushed_at, delays, left, kind, leases }
    }
}

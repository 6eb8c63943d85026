//! The spelling of every key on a server. Nothing else in the project builds one.
//!
//! State keys: the namespace, the service if the key is one of its own, one hash tag in braces, the part:
//! `tw:{q.email.0}:ready`, `tw:billing:{l.leader}:lease`. All keys of one aggregate (a
//! partition of a queue or a topic, a lease, a pool, an idempotency key, a run, a session, the listings of runs, an operation) share its tag, hence a slot of a cluster; no other state
//! key has braces, since names cannot hold them or are encoded. Cache keys need no tags, because that role never runs on a cluster: there,
//! braces enclose the name of a typed handle.

mod handoff;
mod home;
mod retry;
mod run;
mod step;
mod topic;

use store_core::{
    BroadcastName, Key, LeaseName, Namespace, PoolName, QueueName, RequestId, Scope, ServiceName, StreamName,
};

pub use self::handoff::{handoff, handoff_claim, handoff_put};
pub use self::home::HomeKeys;
pub use self::retry::{clearing, operation_of, operations, retries};
pub use self::run::{RunIndexKeys, RunKeys, run, run_ends, run_listing, session};
pub use self::step::steps;
pub use self::topic::{TopicKeys, topic, topic_call, topic_of, topics};

/// The number of lists that hold ready jobs: one per priority.
pub const PRIORITIES: usize = 4;

/// `ns:layouts`: string, the newest layouts that are written in the namespace: [`Layouts::record`](crate::layout::Layouts::record).
/// No TTL.
pub fn layouts(namespace: &Namespace) -> String {
    format!("{namespace}:layouts")
}

/// The keys of one partition of a queue: `ns:{q.queue.0}:…`; of its outbox `ns:{q.queue.0}:outbox:…`. `crates/state-store/docs/layout.md` describes their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueKeys {
    /// Hash: packed job id -> record of a single job: the pushed job, never changed; batch id -> the jobs of a batch, never
    /// changed. A job exists if it has a record, or is in a batch that has its position. A byte 3 and the name of a schedule -> the
    /// schedule, so that one command stores it and the job that it pushes.
    pub jobs: String,
    /// Hash: packed job id -> the changing state of a single job (fence, attempts, worker, error, progress or result), absent
    /// before its first claim; batch id -> the positions that the batch still has, and their leases.
    pub state: String,
    /// Lists of packed job ids and batch ids, one per priority, the next to be claimed at the head.
    pub ready: [String; PRIORITIES],
    /// Sorted set: the digit of the priority and the packed job id or batch id, (first) due time in ms.
    pub due: String,
    /// Sorted set: packed job id or batch id, end of the (first) lease in ms.
    pub leased: String,
    /// Sorted set: packed job id, time in ms at which it is removed.
    pub completed: String,
    /// Sorted set: packed job id, time of death in ms.
    pub dead: String,
    /// Hash: unique key -> a letter for how long it is held, its end in ms (16 digits) if it is held for a time, and the packed
    /// id of the job that holds it.
    pub unique: String,
    /// Sorted set: unique key, end in ms; only those held for a time.
    pub unique_until: String,
    /// Hash: `shape` (layout, number of partitions, routing seed), `fence` (the last one issued), `alive`, `scheduled` and
    /// `running` (numbers of jobs), `paused`, `dead_bytes` and `completed_bytes` (of the kept jobs), `tidied` (when an idle
    /// queue was last cleaned up, in ms), `moving` (batch ids, only while a script makes some of their jobs single ones).
    /// Exists as long as the queue.
    pub meta: String,
    /// Hash: token of a waiting worker -> when its registration ends, how many jobs and bytes it takes, its lease, its channel
    /// and name. TTL: 20 s after the last registration.
    pub waiters: String,
    /// Sorted set: name of a schedule that is not paused, its next time in ms at the latest. Only in partition 0. The schedules are
    /// in `jobs`: a byte 3 and the name -> the schedule.
    pub schedules: String,
    /// Sorted set: name of a schedule, 0: by name. Only in partition 0.
    pub schedule_names: String,
    tag: String,
    /// What precedes each part.
    prefix: String,
}

impl QueueKeys {
    /// The keys of partition `partition` of a queue that has `of` partitions.
    ///
    /// The slots of a cluster are divided into `of` equal ranges; the tag of partition i ends in a number that makes it hash
    /// to a slot of range i.
    pub fn new(namespace: &Namespace, queue: &QueueName, partition: u16, of: u16) -> Self {
        let tag = partition_tag(&format!("q.{}", queue.of_outbox()), partition, of);
        let tag = format!("{namespace}:{{{tag}}}");
        let prefix = if queue.is_outbox() { format!("{tag}:{OUTBOX}") } else { format!("{tag}:") };
        let key = |part: &str| format!("{prefix}{part}");
        Self {
            jobs: key("jobs"),
            state: key("state"),
            ready: ["ready0", "ready1", "ready2", "ready3"].map(key),
            due: key("due"),
            leased: key("leased"),
            completed: key("completed"),
            dead: key("dead"),
            unique: key("unique"),
            unique_until: key("unique_until"),
            meta: key("meta"),
            waiters: key("waiters"),
            schedules: key("schedules"),
            schedule_names: key("schedule_names"),
            tag,
            prefix,
        }
    }

    /// `…:call:id`: string: the reply to a push or a settlement, or the jobs that a claim has leased. TTL: as long as the call
    /// may be repeated; of a claim, its lease.
    pub fn call(&self, id: u64) -> String {
        format!("{}call:{id:016x}", self.prefix)
    }

    /// `ns:wake:name{tag}`: the sharded channel on which a process waits for jobs of this partition in a cluster. `of_process` is
    /// the process's [`wake_channel`]. The outbox has the same channel.
    pub fn wake_channel(&self, of_process: &str) -> String {
        let (_, tag) = self.tag.split_once(':').unwrap_or_default();
        format!("{of_process}{tag}")
    }
}

/// What precedes the parts of the keys of an outbox.
const OUTBOX: &str = "outbox:";

/// The tag of a partition of a queue or a topic.
fn partition_tag(name: &str, partition: u16, of: u16) -> String {
    let tag = format!("{name}.{partition}");
    if of <= 1 {
        return tag;
    }
    // No name holds a plus sign.
    let range = |slot: u16| u32::from(slot) * u32::from(of) / SLOTS;
    let mut candidates = (0_u32..).map(|number| format!("{tag}+{number}"));
    candidates.find(|tag| range(slot(tag.as_bytes())) == u32::from(partition)).unwrap_or(tag)
}

/// The number of slots of a cluster.
const SLOTS: u32 = 16_384;

/// What each byte adds to a CRC-16 (XMODEM).
const CRC: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// The slot of a tag: CRC-16 (XMODEM) modulo 16,384, as the Redis Cluster specification defines it.
pub(crate) fn slot(tag: &[u8]) -> u16 {
    let crc = tag.iter().fold(0_u16, |crc, &byte| crc << 8 ^ CRC[usize::from((crc >> 8) as u8 ^ byte)]);
    crc % 16_384
}

/// The slot of a key: that of its tag.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    slot(tag_of(key))
}

/// The tag of a key: the text in its first braces, or all of it.
pub(crate) fn tag_of(key: &[u8]) -> &[u8] {
    let behind = |text: &'_ [u8], brace: u8| text.iter().position(|byte| *byte == brace);
    let tag = behind(key, b'{').and_then(|open| {
        let rest = &key[open + 1..];
        behind(rest, b'}').map(|close| &rest[..close])
    });
    tag.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

/// `ns:wake:name`: the channel on which a process waits for jobs. `name` is random. A channel is no key: nothing is stored.
pub fn wake_channel(namespace: &Namespace, name: &str) -> String {
    format!("{namespace}:wake:{name}")
}

/// `ns:wake:{tag}:part`: the channel on which processes are notified of writes of the key `ns:{tag}:part`. Sharded in a cluster, where it
/// has the slot of the key. `lua/notify_watchers.lua` of the state store derives it as well.
pub fn watch_channel(key: &str) -> String {
    key.replacen(':', ":wake:", 1)
}

/// `ns:wake:{b.name}`: the channel of the broadcasts of a name. Sharded in a cluster.
pub fn broadcast_channel(namespace: &Namespace, name: &BroadcastName) -> String {
    format!("{namespace}:wake:{{b.{name}}}")
}

/// The part before the hash tag of a lease, a pool or an idempotency key: `ns:service`, or `ns` for a shared one. A
/// namespace contains no colon, so the two cannot be confused.
fn scoped(namespace: &Namespace, scope: &Scope) -> String {
    match scope {
        Scope::Service(service) => format!("{namespace}:{service}"),
        Scope::Shared => namespace.to_string(),
    }
}

/// `ns:service:{l.name}:lease`, shared `ns:{l.name}:lease`: string: fence, until (ms), released or held, request, holder. TTL:
/// the lease and a day, after which the clock alone keeps the fence rising.
pub fn lease(namespace: &Namespace, scope: &Scope, name: &LeaseName) -> String {
    format!("{}:{{l.{name}}}:lease", scoped(namespace, scope))
}

/// The keys of a pool of members that send heartbeats: `ns:service:{p.pool}:…`, shared `ns:{p.pool}:…`. TTL of all: a day
/// after the last beat ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolKeys {
    /// Hash: member -> first beat, last beat and its end (ms), details. A member exists as long as this entry does.
    pub details: String,
    /// Sorted set: member, minus the end of its last beat in ms: the latest first, those of one millisecond by name.
    pub until: String,
    /// Sorted set: member, 0: by name.
    pub names: String,
    tag: String,
}

impl PoolKeys {
    /// The keys of a pool.
    pub fn new(namespace: &Namespace, scope: &Scope, pool: &PoolName) -> Self {
        let tag = format!("{}:{{p.{pool}}}", scoped(namespace, scope));
        let key = |part: &str| format!("{tag}:{part}");
        Self { details: key("details"), until: key("until"), names: key("names"), tag }
    }

    /// `…:call:id`: string: the reply to a leave. TTL: as long as the call may be repeated.
    pub fn call(&self, id: u64) -> String {
        format!("{}:call:{id:016x}", self.tag)
    }
}

/// `ns:service:{i.key}:idempotency`, shared `ns:{i.key}:idempotency`: string: request, fingerprint, times, response. TTL: the
/// longer of its promises. A typed handle's key holds braces ([`HandleKind`](store_core::HandleKind)): braces and percent signs are
/// percent-encoded, so that the tag is whole and each key has its own slot.
pub fn state_idempotency(namespace: &Namespace, scope: &Scope, key: &Key) -> String {
    let key = key.as_str().replace('%', "%25").replace('{', "%7B").replace('}', "%7D");
    format!("{}:{{i.{key}}}:idempotency", scoped(namespace, scope))
}

/// `idempotency:key`: as [`state_idempotency`], in the cache store.
pub fn cache_idempotency(key: &Key) -> String {
    format!("idempotency:{key}")
}

/// `value:key`: string: a frame byte and the value. TTL: the value's.
pub fn value(key: &Key) -> String {
    format!("value:{key}")
}

/// `value:{id}`: never written, and no key of a value: without a handle it holds no braces, and an id has no dot. Read before
/// values, with an id that nobody else has, so that the reply begins with a missing value.
pub fn no_value(id: RequestId) -> String {
    format!("value:{{{}}}", digits(id))
}

/// `counter:key`: string: a decimal number. TTL: from its first addition.
pub fn counter(key: &Key) -> String {
    format!("counter:{key}")
}

/// `gcra:key`: string: the theoretical arrival time in µs. TTL: until it lies in the past.
pub fn gcra(key: &Key) -> String {
    format!("gcra:{key}")
}

/// `window:key`: string: the start of the window in µs and the units used. TTL: until its end.
pub fn window(key: &Key) -> String {
    format!("window:{key}")
}

/// The hexadecimal digits of an identity.
fn digits(id: RequestId) -> String {
    id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `twinstore:owner`, in a service's cache database: string: when the owner of the number was last seen in ms, a blank, its
/// name. No TTL: `volatile-lru` would evict it.
pub fn database_owner() -> &'static str {
    "twinstore:owner"
}

/// `twinstore:owner:server:number`, in database 0 of the state server: as [`database_owner`], for a number of the cache
/// server that has this id ([`server`]). TTL: a day longer than a silent owner keeps the number.
pub fn database_owner_on(server: &str, number: u32) -> String {
    format!("twinstore:owner:{server}:{number}")
}

/// `twinstore:server`, in database 0 of the cache server: string, a random id. No TTL.
pub fn server() -> &'static str {
    "twinstore:server"
}

/// `twinstore:server:sign`, in database 0 of the state server: string, the id ([`server`]) of the cache server that has
/// this sign: its `run_id`, or host and port. It keeps the id through a flush or a restart of the cache. TTL: as
/// [`database_owner_on`].
pub fn server_by(sign: &str) -> String {
    format!("twinstore:server:{sign}")
}

/// `twinstore:environment`, in database 0 of each server: string, the name of the environment. No TTL.
pub fn environment() -> &'static str {
    "twinstore:environment"
}

/// `twinstore:role`, in database 0 of each server: string, `cache` or `state`. No TTL.
pub fn role() -> &'static str {
    "twinstore:role"
}

/// `twinstore:probe:id`: string, a random value by which two URLs are found to lead to one server. TTL: seconds.
pub fn probe(id: &str) -> String {
    format!("twinstore:probe:{id}")
}

/// `ns:probe:id`: as [`probe`], for a user of the state role who must touch the namespace only.
pub fn state_probe(namespace: &Namespace, id: &str) -> String {
    format!("{namespace}:probe:{id}")
}

/// `value:{probe.id}`: as [`probe`], for a user of the cache role who must touch values only. No value has this key, since
/// no name holds braces.
pub fn cache_probe(id: &str) -> String {
    format!("value:{{probe.{id}}}")
}

/// `ns:{t.stream}:token`: string, the resume token of a stream. TTL: that of the token and 30 days, none if the token has
/// none; of a deleted token 30 days.
pub fn resume_token(namespace: &Namespace, stream: &StreamName) -> String {
    format!("{namespace}:{{t.{stream}}}:token")
}

/// `ns:{t.*}:token`: the pattern of the keys of [`resume_token`].
pub fn resume_tokens(namespace: &Namespace) -> String {
    format!("{namespace}:{{t.*}}:token")
}

/// The stream whose resume token has this key.
pub fn stream_of(namespace: &Namespace, key: &str) -> Option<StreamName> {
    let name = key.strip_prefix(namespace.as_str())?.strip_prefix(":{t.")?.strip_suffix("}:token")?;
    StreamName::new(name).ok()
}

/// `ns:{q.*}:*`: the pattern of all keys of all queues.
pub fn queues(namespace: &Namespace) -> String {
    format!("{namespace}:{{q.*}}:*")
}

/// The queue that has this key of [`QueueKeys`], unless the key may outlive the queue.
pub fn queue_of(namespace: &Namespace, key: &str) -> Option<QueueName> {
    let (tag, part) = key.strip_prefix(namespace.as_str())?.strip_prefix(":{q.")?.split_once("}:")?;
    let (name, partition) = tag.rsplit_once('.')?;
    let (partition, suffix) = partition.split_once('+').unwrap_or((partition, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let own = part.strip_prefix(OUTBOX).unwrap_or(part);
    if !["jobs", "meta"].contains(&own) || !is_number(partition) || !is_number(suffix) {
        return None;
    }
    let queue = QueueName::new(name).ok().filter(|queue| !queue.is_outbox())?;
    Some(if own == part { queue } else { queue.outbox() })
}

/// `ns:*{l.*}:lease`: the pattern of all keys of [`lease`].
pub fn leases(namespace: &Namespace) -> String {
    format!("{namespace}:*{{l.*}}:lease")
}

/// The lease that has this key.
pub fn lease_of(namespace: &Namespace, key: &str) -> Option<(Scope, LeaseName)> {
    let (scope, name) = scoped_of(namespace, key, "l.", "lease")?;
    Some((scope, LeaseName::new(name).ok()?))
}

/// `ns:*{p.*}:details`: the pattern of the keys [`PoolKeys::details`].
pub fn pools(namespace: &Namespace) -> String {
    format!("{namespace}:*{{p.*}}:details")
}

/// The pool that has this key as its [`PoolKeys::details`].
pub fn pool_of(namespace: &Namespace, key: &str) -> Option<(Scope, PoolName)> {
    let (scope, name) = scoped_of(namespace, key, "p.", "details")?;
    Some((scope, PoolName::new(name).ok()?))
}

/// The scope and the name in a key of one scope.
fn scoped_of<'a>(namespace: &Namespace, key: &'a str, kind: &str, part: &str) -> Option<(Scope, &'a str)> {
    let (before, rest) = key.strip_prefix(namespace.as_str())?.strip_prefix(':')?.split_once('{')?;
    let (name, after) = rest.strip_prefix(kind)?.split_once("}:")?;
    let scope = match before.strip_suffix(':') {
        Some(service) => Scope::Service(ServiceName::new(service).ok()?),
        None if before.is_empty() => Scope::Shared,
        None => return None,
    };
    (after == part).then_some((scope, name))
}

#[cfg(test)]
mod tests;

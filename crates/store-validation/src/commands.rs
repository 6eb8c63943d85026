//! The commands that each role sends: those of the link itself, and those inside its scripts, which are checked against
//! the user's rights too. A test compares these lists with the scripts.

use std::collections::BTreeSet;

use redis_link::keys;
use store_core::{
    Key, LeaseName, NameError, Namespace, PoolName, QueueName, Role, RunId, Scope, ServiceName, StreamName, TopicName,
    WorkflowRun,
};

/// The commands that every link needs. (It also sends `INFO` and names its connections if it may.) `<key>` is a key of
/// the role.
const LINK: [&str; 4] = ["PING", "TIME", "SCRIPT LOAD x", "EVALSHA x 1 <key>"];

/// Commands of the cache store, whose services use numbered databases, besides those of its scripts.
const CACHE: [&str; 2] = ["SELECT 0", "MGET <key>"];

/// Commands of the worker state store, besides those of its scripts.
const STATE: [&str; 3] = ["PUBSUB NUMSUB x", "PUBSUB SHARDNUMSUB x", "WAIT 0 0"];

/// Commands of the worker state store on its channels.
const STATE_CHANNELS: [&str; 6] = [
    "PUBLISH <channel> x",
    "SPUBLISH <channel> x",
    "SSUBSCRIBE <channel>",
    "SUBSCRIBE <channel>",
    "SUNSUBSCRIBE <channel>",
    "UNSUBSCRIBE <channel>",
];

/// Commands of a link to a cluster.
pub(crate) const CLUSTER: [&str; 3] = ["CLUSTER INFO", "CLUSTER SLOTS", "ASKING"];

/// Commands of the worker state store that only `Inventory` sends. A service starts without them.
const INVENTORY: [&str; 2] = ["SCAN 0", "CLUSTER NODES"];

/// Commands that the cache store sends and its scripts call, each on a key.
const CACHE_KEYED: [&str; 8] = ["DEL", "GET", "GETRANGE", "INCRBY", "PEXPIRE", "SET", "SETRANGE", "UNLINK"];

/// Commands that the worker state store sends and its scripts call, each on a key.
const STATE_KEYED: [&str; 38] = [
    "DEL",
    "EXISTS",
    "GET",
    "GETRANGE",
    "HDEL",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HINCRBY",
    "HLEN",
    "HMGET",
    "HRANDFIELD",
    "HSET",
    "HSETNX",
    "HSTRLEN",
    "LLEN",
    "LPOS",
    "LPUSH",
    "LRANGE",
    "LTRIM",
    "PEXPIRE",
    "RPUSH",
    "SET",
    "SETRANGE",
    "UNLINK",
    "XADD",
    "XRANGE",
    "XTRIM",
    "ZADD",
    "ZCARD",
    "ZCOUNT",
    "ZRANGE",
    "ZRANGEBYLEX",
    "ZRANGEBYSCORE",
    "ZRANK",
    "ZREM",
    "ZREMRANGEBYSCORE",
    "ZSCORE",
];

/// Rights that a user should have besides those of [`of_role`]: a link uses them if it may, and the preflight reads
/// settings with them.
const WHERE_ALLOWED: [&str; 4] = ["INFO", "CLIENT ID", "CLIENT SETNAME x", "CONFIG GET x"];

/// The same for the worker state store alone. Without it, the link cannot tell its own subscriptions on a cluster from those of others.
const STATE_WHERE_ALLOWED: [&str; 1] = ["CLIENT INFO"];

/// Commands that no service needs and that can empty, block, copy or reconfigure a server.
pub(crate) const TOO_WIDE: [&str; 26] = [
    "FLUSHALL",
    "FLUSHDB",
    "SWAPDB 0 1",
    "KEYS *",
    "MIGRATE x 0 x 0 1",
    "FUNCTION FLUSH",
    "SHUTDOWN",
    "DEBUG SLEEP 0",
    "SAVE",
    "CLIENT KILL x",
    "CLIENT PAUSE 0",
    "MONITOR",
    "SYNC",
    "PSYNC x 0",
    "REPLICAOF NO ONE",
    "SLAVEOF NO ONE",
    "FAILOVER",
    "CONFIG SET maxmemory 0",
    "CONFIG REWRITE",
    "MODULE LOAD x",
    "MODULE LOADEX x",
    "MODULE UNLOAD x",
    "ACL SETUSER x",
    "ACL DELUSER x",
    "ACL LOAD",
    "ACL SAVE",
];

/// The commands of a role, each as its words.
pub(crate) fn of_role(role: Role, key: &str) -> Vec<Vec<String>> {
    let (own, keyed): (&[&str], &[&str]) = match role {
        Role::Cache => (&CACHE, &CACHE_KEYED),
        Role::State => (&STATE, &STATE_KEYED),
    };
    let words = |line: &&str| line.split(' ').map(|word| word.replace("<key>", key)).collect();
    // the server derives the position of the keys from the name and inspects nothing else
    let on_key = |name: &&str| vec![(*name).to_owned(), key.to_owned()];
    LINK.iter().chain(own).map(words).chain(keyed.iter().map(on_key)).collect()
}

/// Keys of the role, one of each kind that an ACL can distinguish.
pub(crate) fn sample_keys(role: Role, namespace: &Namespace) -> Vec<String> {
    let of_cache = || -> Result<_, NameError> {
        let key = Key::new("preflight")?;
        let handoff = keys::handoff(&ServiceName::new("preflight")?, &key);
        let idempotency = keys::cache_idempotency(&key);
        Ok(vec![keys::value(&key), keys::counter(&key), idempotency, keys::gcra(&key), keys::window(&key), handoff])
    };
    let of_state = || -> Result<_, NameError> {
        let mut sample =
            vec![keys::layouts(namespace), keys::QueueKeys::new(namespace, &QueueName::new("preflight")?, 0, 1).jobs];
        sample.push(keys::resume_token(namespace, &StreamName::new("preflight")?));
        let run = RunId::new("preflight")?;
        for of in [keys::RunKeys::OfRuns, keys::RunKeys::OfSessions] {
            sample.extend([of.record(namespace, &run), keys::run_ends(&of.listings(namespace))]);
        }
        sample.push(keys::TopicKeys::new(namespace, &TopicName::new("preflight")?, 0, 1).events);
        for scope in [Scope::Shared, Scope::from(ServiceName::new("preflight")?)] {
            sample.extend([
                keys::lease(namespace, &scope, &LeaseName::new("preflight")?),
                keys::PoolKeys::new(namespace, &scope, &PoolName::new("preflight")?).until,
                keys::state_idempotency(namespace, &scope, &Key::new("preflight")?),
                keys::steps(namespace, &scope, &WorkflowRun::named("preflight")?),
                keys::retries(namespace, &scope, &Key::new("preflight")?),
            ]);
        }
        Ok(sample)
    };
    let sample = match role {
        Role::Cache => of_cache(),
        Role::State => of_state(),
    };
    sample.expect("invariant: preflight is a valid name of every kind")
}

/// The commands of a role on a channel.
pub(crate) fn on_channel(role: Role, channel: &str) -> Vec<Vec<String>> {
    let own: &[&str] = match role {
        Role::Cache => &[],
        Role::State => &STATE_CHANNELS,
    };
    own.iter().map(|line| line.split(' ').map(|word| word.replace("<channel>", channel)).collect()).collect()
}

/// A channel of the state role.
pub(crate) fn sample_channel(namespace: &Namespace) -> String {
    keys::wake_channel(namespace, "preflight")
}

/// The pattern of the channels of the state role.
pub(crate) fn channels(namespace: &Namespace) -> String {
    format!("&{}", keys::wake_channel(namespace, "*"))
}

/// The name of a command, with its subcommand: `SCRIPT LOAD`.
pub(crate) fn name_of<W: AsRef<str>>(words: &[W]) -> String {
    const WITH_SUBCOMMANDS: [&str; 8] =
        ["ACL", "CLIENT", "CLUSTER", "CONFIG", "FUNCTION", "MODULE", "PUBSUB", "SCRIPT"];
    let has_subcommand = words.first().is_some_and(|word| WITH_SUBCOMMANDS.contains(&word.as_ref()));
    let name = words.iter().take(1 + usize::from(has_subcommand)).map(AsRef::as_ref);
    name.collect::<Vec<_>>().join(" ")
}

/// The name of a command as an ACL rule spells it: `script|load`.
pub(crate) fn rule_of<W: AsRef<str>>(words: &[W]) -> String {
    name_of(words).to_lowercase().replace(' ', "|")
}

/// The pattern that a user needs for a key of [`sample_keys`].
pub(crate) fn pattern_of(role: Role, namespace: &Namespace, key: &str) -> String {
    let prefix = match role {
        Role::State => namespace.as_str(),
        Role::Cache => key.split(':').next().unwrap_or(key),
    };
    format!("~{prefix}:*")
}

/// The rules of a user who may send what the role needs, and nothing else. `selects`: whether the state URL names a
/// database.
pub(crate) fn rules(role: Role, namespace: &Namespace, selects: bool) -> String {
    let samples = sample_keys(role, namespace);
    let mut patterns: Vec<_> = samples.iter().map(|key| pattern_of(role, namespace, key)).collect();
    patterns.push("~twinstore:*".to_owned());
    let select = selects.then(|| vec!["SELECT".to_owned()]);
    let of_state = [&INVENTORY[..], &CLUSTER, &STATE_WHERE_ALLOWED];
    let of_state = of_state.into_iter().flatten().filter(|_| role == Role::State);
    let where_allowed = WHERE_ALLOWED.iter().chain(of_state);
    let where_allowed = where_allowed.map(|line| line.split(' ').map(str::to_owned).collect());
    let commands = of_role(role, "x").into_iter().chain(on_channel(role, "x")).chain(where_allowed).chain(select);
    // the preflight also sends these
    let own = ["get", "set"].map(str::to_owned);
    let commands: BTreeSet<_> = commands.map(|words| rule_of(&words)).chain(own).collect();
    patterns.dedup();
    let commands = commands.iter().map(|command| format!("+{command}"));
    // a server may grant all channels to new users
    patterns.insert(0, "resetchannels".to_owned());
    patterns.extend((role == Role::State).then(|| channels(namespace)));
    patterns.into_iter().chain(commands).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::{CACHE, CACHE_KEYED, INVENTORY, LINK, STATE, STATE_CHANNELS, STATE_KEYED, WHERE_ALLOWED};

    /// Text in quotes after these words is a command.
    const BEFORE: [&str; 5] = ["call('", "call(\"", "many('", ".command(", ".blocking("];

    fn collect(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for before in BEFORE {
                let calls = text.split(before).skip(1).filter_map(|rest| match before.ends_with('(') {
                    true => rest.split('"').nth(1),
                    false => rest.split(['\'', '"']).next(),
                });
                let is_name = |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase());
                found.extend(calls.filter(is_name).map(str::to_owned));
            }
        }
    }

    /// Every command that is sent or called must be granted to the role's user, and no other.
    #[test]
    fn the_lists_equal_the_commands_of_the_stores_and_their_scripts() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (store, listed) in [("cache-store", CACHE_KEYED.as_slice()), ("state-store", STATE_KEYED.as_slice())] {
            let mut called = BTreeSet::new();
            for folder in [&format!("{store}/lua"), &format!("{store}/src"), "redis-link/lua"] {
                collect(&crates.join(folder), &mut called);
            }
            let with_arguments = LINK
                .iter()
                .chain(&CACHE)
                .chain(&STATE)
                .chain(&STATE_CHANNELS)
                .chain(&INVENTORY)
                .chain(&WHERE_ALLOWED)
                .filter_map(|line| line.split(' ').next());
            called.retain(|name| !with_arguments.clone().any(|listed| listed == name));
            let listed: BTreeSet<String> = listed.iter().map(|name| (*name).to_owned()).collect();
            let missing: Vec<_> = called.difference(&listed).collect();
            let needless: Vec<_> = listed.difference(&called).collect();
            assert!(missing.is_empty() && needless.is_empty(), "{store}: add {missing:?}, remove {needless:?}");
        }
    }
}

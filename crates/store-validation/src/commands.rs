//! What each role sends: by the link itself, and from inside its scripts, whose commands are checked against the user's
//! rights too. A test compares these lists with the scripts.

use store_core::{Key, Namespace, QueueName, Role, ServiceName, keys};

/// Sent by every link. `<key>` stands for a key of the role.
const LINK: [&str; 5] = ["PING", "INFO", "CLIENT SETNAME x", "SCRIPT LOAD x", "EVALSHA x 1 <key>"];

/// Called by the scripts of both roles.
const SCRIPTS: [&str; 4] = ["DEL <key>", "GET <key>", "SET <key> x", "TIME"];

/// Sent by the cache store: its services live in numbered databases.
const CACHE: [&str; 6] =
    ["SELECT 0", "GETRANGE <key> 0 0", "INCRBY <key> 1", "MGET <key>", "PEXPIRE <key> 1", "UNLINK <key>"];

/// Sent by the worker state store.
const STATE: [&str; 2] = ["BLPOP <key> 0", "WAIT 0 0"];

/// What no service needs, and what can empty, block or reconfigure a server.
pub(crate) const TOO_WIDE: [&str; 3] = ["FLUSHALL", "KEYS *", "CONFIG SET maxmemory 0"];

/// The commands of a role, each as its words.
pub(crate) fn of_role(role: Role, key: &str) -> Vec<Vec<String>> {
    let own: &[&str] = match role {
        Role::Cache => &CACHE,
        Role::State => &STATE,
    };
    let lines = LINK.iter().chain(&SCRIPTS).chain(own);
    lines.map(|line| line.split(' ').map(|word| word.replace("<key>", key)).collect()).collect()
}

/// Keys as the role writes them, one of each kind that an ACL may tell apart.
pub(crate) fn sample_keys(role: Role, namespace: &Namespace) -> Vec<String> {
    let name = "preflight";
    match (role, Key::new(name), QueueName::new(name), ServiceName::new(name)) {
        (Role::Cache, Ok(key), _, Ok(service)) => vec![
            keys::value(&key),
            keys::counter(&key),
            keys::cache_idempotency(&key),
            keys::gcra(&key),
            keys::window(&key),
            keys::handoff(&service, &key),
        ],
        (Role::State, _, Ok(queue), _) => vec![keys::QueueKeys::new(namespace, &queue, 0).jobs],
        _ => Vec::new(),
    }
}

/// The name of a command, with its subcommand: `SCRIPT LOAD`.
pub(crate) fn name_of(words: &[String]) -> String {
    let has_subcommand = words.first().is_some_and(|word| matches!(word.as_str(), "CLIENT" | "SCRIPT" | "CONFIG"));
    words[..words.len().min(1 + usize::from(has_subcommand))].join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::{CACHE, LINK, SCRIPTS, STATE};

    fn collect(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "lua") {
                let text = fs::read_to_string(&path).unwrap();
                let calls = text.split("redis.call('").skip(1).chain(text.split("redis.pcall('").skip(1));
                found.extend(calls.filter_map(|rest| rest.split('\'').next().map(str::to_owned)));
            }
        }
    }

    /// Every command that a script calls must be granted to the role's user, and nothing else be asked for.
    #[test]
    fn the_lists_are_what_the_scripts_call() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let sent = ["PING", "INFO", "CLIENT", "SCRIPT", "EVALSHA", "SELECT", "BLPOP", "WAIT"];
        for (store, own) in [("cache-store", CACHE.as_slice()), ("state-store", STATE.as_slice())] {
            let mut called = BTreeSet::new();
            for folder in [&format!("{store}/lua"), "redis-link/lua"] {
                collect(&crates.join(folder), &mut called);
            }
            let lines = LINK.iter().chain(&SCRIPTS).chain(own);
            let listed = lines.filter_map(|line| line.split(' ').next()).filter(|name| !sent.contains(name));
            let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
            let missing: Vec<_> = called.difference(&listed).collect();
            let needless: Vec<_> = listed.difference(&called).collect();
            assert!(missing.is_empty() && needless.is_empty(), "{store}: add {missing:?}, remove {needless:?}");
        }
    }
}

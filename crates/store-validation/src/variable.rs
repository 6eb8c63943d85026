//! The one table of all environment variables. Parsing, listings and the README use it.

use std::fmt::Write as _;

use crate::nearest::nearest;

/// One row of the table: a variable, or the same variable of both roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variable {
    /// Its name, or two: of the cache role and of the state role.
    pub names: &'static [&'static str],
    /// The value if the variable is not set.
    pub default: WhenUnset,
    /// Its allowed values, with the unit.
    pub range: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// The value of a variable that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnset {
    /// The variable is required.
    Required,
    /// Required unless the store is `embedded:`.
    RequiredOnServer,
    /// No value.
    Nothing,
    /// This value.
    Value(&'static str),
}

impl WhenUnset {
    fn text(self) -> String {
        match self {
            WhenUnset::Required => "required".to_owned(),
            WhenUnset::RequiredOnServer => "required, unless the cache is `embedded:`".to_owned(),
            WhenUnset::Nothing => "none".to_owned(),
            WhenUnset::Value(value) => format!("`{value}`"),
        }
    }
}

pub(crate) const SERVICE_NAME: &str = "SERVICE_NAME";
pub(crate) const CACHE_URL: &str = "REDIS_CONN_BASE_URL";
pub(crate) const CACHE_DB: &str = "REDIS_CACHE_DB";
pub(crate) const CACHE_SHARED_DB: &str = "REDIS_CACHE_SHARED_DB";
pub(crate) const STATE_URL: &str = "REDIS_WORKERCACHE_CONN_URL";
pub(crate) const STATE_NAMESPACE: &str = "REDIS_STATE_NAMESPACE";
pub(crate) const STATE_MIN_REPLICAS: &str = "REDIS_STATE_MIN_REPLICAS";
pub(crate) const QUEUE_DURABILITY: &str = "REDIS_STATE_QUEUE_DURABILITY";
pub(crate) const LEASE_DURABILITY: &str = "REDIS_STATE_LEASE_DURABILITY";
pub(crate) const HEARTBEAT_DURABILITY: &str = "REDIS_STATE_HEARTBEAT_DURABILITY";
pub(crate) const IDEMPOTENCY_DURABILITY: &str = "REDIS_STATE_IDEMPOTENCY_DURABILITY";
pub(crate) const RETAIN_DEAD_FOR: &str = "REDIS_STATE_RETAIN_DEAD_FOR";
pub(crate) const RETAIN_DEAD_COUNT: &str = "REDIS_STATE_RETAIN_DEAD_COUNT";
pub(crate) const RETAIN_DEAD_BYTES: &str = "REDIS_STATE_RETAIN_DEAD_BYTES";
pub(crate) const RETAIN_COMPLETED_COUNT: &str = "REDIS_STATE_RETAIN_COMPLETED_COUNT";
pub(crate) const RETAIN_COMPLETED_BYTES: &str = "REDIS_STATE_RETAIN_COMPLETED_BYTES";
pub(crate) const ENVIRONMENT: &str = "STORE_ENVIRONMENT";
pub(crate) const LAYOUTS: &str = "STORE_LAYOUTS";
pub(crate) const PREFLIGHT: &str = "STORE_PREFLIGHT";
pub(crate) const PREFLIGHT_ALLOW: &str = "STORE_PREFLIGHT_ALLOW";

/// The prefixes of our names: another name with one of them is probably mistyped.
const PREFIXES: [&str; 5] = ["REDIS_CACHE_", "REDIS_STATE_", "REDIS_CONN_", "REDIS_WORKERCACHE_", "STORE_"];

const fn row(
    names: &'static [&'static str],
    default: WhenUnset,
    range: &'static str,
    meaning: &'static str,
) -> Variable {
    Variable { names, default, range, meaning }
}

/// Every variable that is read, in the order of the README. A variable with an empty value is not set.
pub const VARIABLES: &[Variable] = &[
    row(
        &[SERVICE_NAME],
        WhenUnset::Required,
        "1 to 64 of ASCII letters, digits and `. _ - : / @`",
        "The name of this microservice. Its connections carry it; its database number, idempotency keys, leases and pools belong to it",
    ),
    row(
        &[CACHE_URL],
        WhenUnset::Required,
        "`redis://`, `rediss://` without a path (several hosts: a primary and its replicas), `redis-sentinel://`, `rediss-sentinel://` with the service alone as path, `embedded:` or `embedded:/path/file.redb`",
        "The cache store. The database number is appended to it",
    ),
    row(
        &[CACHE_DB],
        WhenUnset::RequiredOnServer,
        "0 to 255, below the server's `databases`",
        "This service's database number in the cache store; no other service may use it",
    ),
    row(
        &[CACHE_SHARED_DB],
        WhenUnset::Value("0"),
        "0 to 255, different from `REDIS_CACHE_DB`",
        "The database number for hand-offs between services, the same for all of them",
    ),
    row(
        &[STATE_URL],
        WhenUnset::Required,
        "`redis://`, `rediss://` (several hosts: the topology that they report), `redis-sentinel://`, `rediss-sentinel://`, `redis-cluster://`, `rediss-cluster://`, `kvrocks://`, `kvrockss://`, `embedded:` or `embedded:/path/file.redb`",
        "The worker state store, another server than the cache store",
    ),
    row(
        &[STATE_NAMESPACE],
        WhenUnset::Value("tw"),
        "1 to 32 of ASCII letters, digits and `. _ - / @`",
        "The first segment of every state key",
    ),
    row(
        &[STATE_MIN_REPLICAS],
        WhenUnset::Value("0"),
        "0 to 16",
        "How many replicas the writes of typed queues, workers and leaderships wait for",
    ),
    row(
        &[QUEUE_DURABILITY, LEASE_DURABILITY, HEARTBEAT_DURABILITY, IDEMPOTENCY_DURABILITY],
        WhenUnset::Nothing,
        "`accepted`, `replicated` or `fsynced`",
        "The durability of the writes of typed queues and workers, of leaderships, of heartbeats, and of idempotent operations. \
         `replicated` waits for `REDIS_STATE_MIN_REPLICAS` replicas. By default, queues and leases use `replicated` if that number \
         is not 0, and everything else uses `accepted`",
    ),
    row(
        &[RETAIN_DEAD_FOR],
        WhenUnset::Value("30d"),
        "`1s` to `366d`",
        "How long each queue keeps a dead job. Give all services of a namespace the same values of `REDIS_STATE_RETAIN_…`",
    ),
    row(
        &[RETAIN_DEAD_COUNT],
        WhenUnset::Value("100000"),
        "1 to 10000000",
        "How many dead jobs each queue keeps; the oldest are removed first",
    ),
    row(
        &[RETAIN_DEAD_BYTES],
        WhenUnset::Value("256MiB"),
        "`1KiB` to `1024GiB`",
        "How many bytes the dead jobs of each queue may have together",
    ),
    row(
        &[RETAIN_COMPLETED_COUNT],
        WhenUnset::Value("100000"),
        "1 to 10000000",
        "How many completed jobs each queue keeps; each job states how long it is kept",
    ),
    row(
        &[RETAIN_COMPLETED_BYTES],
        WhenUnset::Value("256MiB"),
        "`1KiB` to `1024GiB`",
        "How many bytes the completed jobs of each queue may have together",
    ),
    row(
        &["REDIS_CACHE_USERNAME", "REDIS_STATE_USERNAME"],
        WhenUnset::Nothing,
        "text",
        "The user, instead of the URL's",
    ),
    row(
        &["REDIS_CACHE_PASSWORD_FILE", "REDIS_STATE_PASSWORD_FILE"],
        WhenUnset::Nothing,
        "path",
        "A file with the password as UTF-8 text, used instead of the URL's. One line break at its end is not part of the password. Read again for each connection",
    ),
    row(
        &["REDIS_CACHE_TLS_CA_FILE", "REDIS_STATE_TLS_CA_FILE"],
        WhenUnset::Nothing,
        "path, PEM; only with `rediss://`",
        "The authorities to trust, instead of the system's",
    ),
    row(
        &["REDIS_CACHE_TLS_CERT_FILE", "REDIS_STATE_TLS_CERT_FILE"],
        WhenUnset::Nothing,
        "path, PEM; with the key file",
        "The certificate to show to the server",
    ),
    row(
        &["REDIS_CACHE_TLS_KEY_FILE", "REDIS_STATE_TLS_KEY_FILE"],
        WhenUnset::Nothing,
        "path, PEM; with the certificate file",
        "The private key of that certificate",
    ),
    row(
        &["REDIS_CACHE_SENTINEL_USERNAME", "REDIS_STATE_SENTINEL_USERNAME"],
        WhenUnset::Nothing,
        "text; only with `redis-sentinel://`",
        "The user for the sentinels, which get no credentials of the data servers",
    ),
    row(
        &["REDIS_CACHE_SENTINEL_PASSWORD_FILE", "REDIS_STATE_SENTINEL_PASSWORD_FILE"],
        WhenUnset::Nothing,
        "path; only with `redis-sentinel://`",
        "A file with the password for the sentinels, as the other password file",
    ),
    row(
        &["REDIS_CACHE_SENTINEL_TLS_CA_FILE", "REDIS_STATE_SENTINEL_TLS_CA_FILE"],
        WhenUnset::Nothing,
        "path, PEM; only with `rediss-sentinel://`",
        "The authorities to trust for the sentinels, instead of those for the data servers",
    ),
    row(
        &["REDIS_CACHE_SENTINEL_TLS_CERT_FILE", "REDIS_STATE_SENTINEL_TLS_CERT_FILE"],
        WhenUnset::Nothing,
        "path, PEM; with the key file",
        "The certificate to show to the sentinels, instead of the one for the data servers",
    ),
    row(
        &["REDIS_CACHE_SENTINEL_TLS_KEY_FILE", "REDIS_STATE_SENTINEL_TLS_KEY_FILE"],
        WhenUnset::Nothing,
        "path, PEM; with the certificate file",
        "The private key of that certificate",
    ),
    row(
        &["REDIS_CACHE_POOL_SIZE", "REDIS_STATE_POOL_SIZE"],
        WhenUnset::Value("3"),
        "1 to 64",
        "The number of connections that share the commands",
    ),
    row(
        &["REDIS_CACHE_CONNECT_TIMEOUT", "REDIS_STATE_CONNECT_TIMEOUT"],
        WhenUnset::Value("5s"),
        "`10ms` to `60s`",
        "How long opening a connection may take",
    ),
    row(
        &["REDIS_CACHE_COMMAND_TIMEOUT", "REDIS_STATE_COMMAND_TIMEOUT"],
        WhenUnset::Value("1s"),
        "`10ms` to `60s`",
        "How long to wait for a reply",
    ),
    row(
        &["REDIS_CACHE_MAX_RETRIES", "REDIS_STATE_MAX_RETRIES"],
        WhenUnset::Value("3"),
        "0 to 10",
        "How often a failed operation is repeated if that is safe. The pauses are random, up to 100 ms, 200 ms, 400 ms …. \
         Unless it is 0, refusals because a slot of a cluster moves do not count at first: for half of the lease if the call renews \
         one, otherwise for as long as all attempts of the call may take, at least 5 s; never longer than 60 s",
    ),
    row(
        &[ENVIRONMENT],
        WhenUnset::Nothing,
        "1 to 64 of ASCII letters, digits and `. _ -`",
        "`production`, `staging` …: the first service writes the name into both servers. A service with another name, or \
         without one, does not start on them. With a name, state in memory (`embedded:`) is an error",
    ),
    row(
        &[LAYOUTS],
        WhenUnset::Value("oldest"),
        "`oldest` or `newest`",
        "In which of the layouts that this version reads the stores write. Set `newest` when each service on the servers has this version",
    ),
    row(
        &[PREFLIGHT],
        WhenUnset::Value("enforce"),
        "`enforce` or `warn`",
        "With `warn` the service logs errors and starts anyway, if its settings can be used",
    ),
    row(
        &[PREFLIGHT_ALLOW],
        WhenUnset::Nothing,
        "codes, separated by commas",
        "Findings to allow: `no-tls,state-persistence-unknown`. Each is logged at every start",
    ),
];

/// The table as Markdown, as in the README.
pub fn environment_table_markdown() -> String {
    let mut table = String::from("| variable | default | range | meaning |\n|---|---|---|---|\n");
    for Variable { names, default, range, meaning } in VARIABLES {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(table, "| {} | {} | {range} | {meaning} |", names.join(", "), default.text());
    }
    table
}

/// Whether the variable is in the table.
pub(crate) fn is_known(name: &str) -> bool {
    names().any(|known| known == name)
}

/// The default of a variable of the table.
pub(crate) fn default_of(name: &str) -> Option<&'static str> {
    VARIABLES.iter().find(|row| row.names.contains(&name)).and_then(|row| match row.default {
        WhenUnset::Value(value) => Some(value),
        _ => None,
    })
}

/// Whether the name looks like a mistyped one of ours: `Some` with the nearest of ours.
///
/// The variables that Kubernetes sets for a Service called `redis-cache` or `redis-state` are not ours. With the common
/// prefixes `STORE_` and `REDIS_`, only names that are nearly one of ours are reported.
pub(crate) fn is_suspect(name: &str) -> Option<Option<&'static str>> {
    if is_known(name) {
        return None;
    }
    let Some(prefix) = PREFIXES.into_iter().find(|prefix| name.starts_with(prefix)) else {
        return name.starts_with("REDIS_").then(|| nearest(name, names())).flatten().map(Some);
    };
    let is_longer = |known: &&str| name.len() > prefix.len() && known.starts_with(name);
    let nearest = nearest(name, names()).or_else(|| names().find(is_longer)).or_else(|| of_role(name));
    let kubernetes = name.contains("_SERVICE_") || name.ends_with("_PORT") || name.contains("_PORT_");
    (nearest.is_some() || (prefix != "STORE_" && !kubernetes)).then_some(nearest)
}

/// The prefixes of the URLs' names, and of the names of the other variables of the same store.
const ROLES: [(&str, &str); 3] =
    [("REDIS_WORKERCACHE_", "REDIS_STATE_"), ("REDIS_CONN_BASE_", "REDIS_CACHE_"), ("REDIS_CONN_", "REDIS_CACHE_")];

/// The variable that was meant by a name that begins like the store's URL: `REDIS_WORKERCACHE_USERNAME`.
fn of_role(name: &str) -> Option<&'static str> {
    let rest_of = |(url, role): (&str, &'static str)| Some((role, name.strip_prefix(url)?));
    let meant = ROLES.into_iter().find_map(rest_of).map(|(role, rest)| format!("{role}{rest}"))?;
    let is_longer = |known: &&str| known.starts_with(&meant);
    names().find(|known| *known == meant).or_else(|| nearest(&meant, names())).or_else(|| names().find(is_longer))
}

fn names() -> impl Iterator<Item = &'static str> {
    VARIABLES.iter().flat_map(|row| row.names.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::is_suspect;

    #[test]
    fn a_mistyped_name_is_suspect_and_what_kubernetes_sets_is_not() {
        assert_eq!(is_suspect("REDIS_CACHE_POLSIZE"), Some(Some("REDIS_CACHE_POOL_SIZE")));
        assert_eq!(is_suspect("REDIS_STATE_NO_SUCH_SETTING"), Some(None));
        assert_eq!(is_suspect("REDIS_STATE_PASSWORD"), Some(Some("REDIS_STATE_PASSWORD_FILE")));
        assert_eq!(is_suspect("REDIS_CON_BASE_URL"), Some(Some("REDIS_CONN_BASE_URL")));
        assert_eq!(is_suspect("REDIS_WORKER_CACHE_CONN_URL"), Some(Some("REDIS_WORKERCACHE_CONN_URL")));
        assert_eq!(is_suspect("REDIS_WORKERCACHE_PASSWORD_FILE"), Some(Some("REDIS_STATE_PASSWORD_FILE")));
        assert_eq!(is_suspect("REDIS_WORKERCACHE_PASSWORD"), Some(Some("REDIS_STATE_PASSWORD_FILE")));
        assert_eq!(is_suspect("REDIS_WORKERCACHE_TLS_CAFILE"), Some(Some("REDIS_STATE_TLS_CA_FILE")));
        assert_eq!(is_suspect("REDIS_CONN_USERNAME"), Some(Some("REDIS_CACHE_USERNAME")));
        assert_eq!(is_suspect("REDIS_CONN_BASE_PASSWORD_FILE"), Some(Some("REDIS_CACHE_PASSWORD_FILE")));
        assert_eq!(is_suspect("STORE_ENVIROMENT"), Some(Some("STORE_ENVIRONMENT")));
        for name in [
            "REDIS_CACHE_DB",
            "REDIS_CACHE_PORT_6379_TCP",
            "REDIS_STATE_SERVICE_HOST",
            "STORE_NAME",
            "REDIS_URL",
            "REDIS_HOST",
            "PATH",
        ] {
            assert_eq!(is_suspect(name), None, "{name}");
        }
    }
}

//! Every code that a finding can have, with what it means and what to do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::nearest::nearest;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The service refuses to start.
    Error,
    /// The service starts; the finding is logged.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $severity:ident, $why:literal, $help:literal;)*) => {
        /// The stable name of a kind of finding, with a severity, a reason and a remedy that are always the same.
        ///
        /// A code that ends in `-unknown` says that a question could not be answered; it is never an error, and never
        /// a pass.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, errors first.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The name: `same-instance`.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// How much it matters.
            pub fn severity(self) -> Severity {
                match self { $(Code::$variant => Severity::$severity,)* }
            }

            /// Why it matters.
            pub fn why(self) -> &'static str {
                match self { $(Code::$variant => $why,)* }
            }

            /// What to do.
            pub fn help(self) -> &'static str {
                match self { $(Code::$variant => $help,)* }
            }
        }
    };
}

codes! {
    /// A required URL is not set.
    UrlMissing = "url-missing", Error,
        "There is no default store: a service that invents one loses what it writes.",
        "Set the variable to the URL of the store; embedded: keeps the store inside the process.";
    /// A URL cannot be understood, or names what this version does not serve.
    UrlInvalid = "url-invalid", Error,
        "A URL that is understood in part leads to the wrong store.",
        "Correct the URL: redis://[user][:password]@host:port, rediss:// for TLS, or embedded:.";
    /// A variable is missing, or its value is outside its range.
    ConfInvalid = "conf-invalid", Error,
        "A setting that is not understood would silently be replaced by another.",
        "Correct the setting; the README's table lists all variables with their ranges.";
    /// The base URL names a database number.
    CacheUrlHasDatabase = "cache-url-has-database", Error,
        "The number of each service is appended to the base URL: one in the URL itself would be the number of all.",
        "Remove the path from REDIS_CONN_BASE_URL and set REDIS_CACHE_DB.";
    /// The cache store is a cluster.
    CacheOnCluster = "cache-on-cluster", Error,
        "A cluster has no database numbers, and by them the services are kept apart in the cache store.",
        "Use a standalone server, or one that sentinels watch, for the cache store.";
    /// The state URL names a database number of a cluster.
    ClusterDatabaseNumber = "cluster-database-number", Error,
        "A cluster has database 0 and no other.",
        "Remove the database number from REDIS_WORKERCACHE_CONN_URL; REDIS_STATE_NAMESPACE keeps services apart.";
    /// `REDIS_CACHE_DB` is not set.
    DatabaseNumberMissing = "database-number-missing", Error,
        "Each service has a database number of its own in the cache store.",
        "Set REDIS_CACHE_DB to a number that no other service uses.";
    /// A database number is no number, or the server has fewer.
    DatabaseNumberOutOfRange = "database-number-out-of-range", Error,
        "The server refuses to select it.",
        "Use a smaller number, or raise `databases` in the server's configuration.";
    /// Two services share one database number.
    DatabaseNumberTaken = "database-number-taken", Error,
        "Two services in one database read, overwrite and flush each other's values.",
        "Give each service a number of its own, different from the shared one. If the owner no longer exists, delete the key twinstore:owner in that database.";
    /// Both URLs lead to one server, one replication group or one file.
    SameInstance = "same-instance", Error,
        "The cache store may be flushed and evicted at any moment; what must not be lost would go with it.",
        "Start a second server for the worker state store, and point REDIS_WORKERCACHE_CONN_URL to it.";
    /// The server does not answer.
    Unreachable = "unreachable", Error,
        "A service without its stores can do nothing.",
        "Check host, port, TLS and the network, and that the server runs and has loaded its data.";
    /// The server refuses the credentials.
    AuthRefused = "auth-refused", Error,
        "Without the right user and password the server answers nothing.",
        "Correct the user or the password in the URL, or the password file; an ACL user must be `on`.";
    /// A certificate or key file cannot be used.
    TlsFileUnreadable = "tls-file-unreadable", Error,
        "Without it no encrypted connection can be made.",
        "Check the path and the permissions; the file must be PEM.";
    /// The server is older than what the scripts need.
    ServerTooOld = "server-too-old", Error,
        "The scripts need functions that older servers do not have.",
        "Upgrade to Redis or Valkey 7.0, or Kvrocks 2.14, or later.";
    /// The state server evicts keys.
    StateEvicts = "state-evicts", Error,
        "When its memory is full it deletes jobs and leases without telling anyone.",
        "Set `maxmemory-policy noeviction` on the worker state server.";
    /// The state server forgets on restart.
    StateNotPersistent = "state-not-persistent", Error,
        "A restart loses every acknowledged write.",
        "Set `appendonly yes` and `appendfsync everysec` (or `always`) on the worker state server.";
    /// The user may not send what the role needs.
    AclMissingCommand = "acl-missing-command", Error,
        "The first operation that needs it would fail in the middle of the work.",
        "Grant the commands, and keys and channels, to the user with ACL SETUSER.";
    /// There are fewer replicas than writes are promised to.
    TooFewReplicas = "too-few-replicas", Error,
        "Every replicated write would be answered as not durable.",
        "Add replicas, or lower REDIS_STATE_MIN_REPLICAS.";
    /// The server takes no writes.
    NotWritable = "not-writable", Error,
        "Nothing can be stored on a replica, or on a server whose disk is full or broken.",
        "Point the URL to the primary; free the disk (the server's log names the reason).";
    /// The store belongs to another environment.
    EnvironmentMismatch = "environment-mismatch", Error,
        "A service of one environment must never open the stores of another.",
        "Correct the URL or STORE_ENVIRONMENT. If the store has changed hands, delete the key twinstore:environment in it.";
    /// The engine cannot serve the cache role.
    CacheEngineUnsupported = "cache-engine-unsupported", Error,
        "Its SELECT does not change the database, so services could not be kept apart.",
        "Use Redis or Valkey 7.0 or later for the cache store.";

    /// The cache server does not evict as a cache should.
    CachePolicy = "cache-policy", Warning,
        "Without eviction a full cache refuses writes; with allkeys-… the keys that mark a database's owner go too.",
        "Set `maxmemory-policy volatile-lru` on the cache server.";
    /// The cache server writes to disk.
    CachePersists = "cache-persists", Warning,
        "What may be lost at any moment need not be written: it costs disk, memory for forks, and a slow restart.",
        "Set `save \"\"` and `appendonly no` on the cache server.";
    /// The server has no memory limit.
    NoMaxmemory = "no-maxmemory", Warning,
        "It grows until the system kills it.",
        "Set `maxmemory` below the memory of the machine or container.";
    /// The connection is not encrypted and leaves the machine.
    NoTls = "no-tls", Warning,
        "Passwords and data can be read on the network.",
        "Use rediss:// and, for an authority of your own, the variable …_TLS_CA_FILE.";
    /// No password is used.
    NoPassword = "no-password", Warning,
        "Everybody who reaches the port can read and delete everything.",
        "Set a password on the server, and put it into the URL or the variable …_PASSWORD_FILE.";
    /// The service logs in as the default user.
    DefaultUser = "default-user", Warning,
        "The default user may do everything, and is shared by all.",
        "Create an ACL user for this service and role.";
    /// Both roles use one user and password.
    SharedCredential = "shared-credential", Warning,
        "Whoever has the credential of the cache also has that of the state.",
        "Use another user and another password for each role.";
    /// The user may do what no service needs.
    AclTooWide = "acl-too-wide", Warning,
        "A mistake or a stolen password can empty or reconfigure the server.",
        "Take the commands from the user: ACL SETUSER <user> -flushall -flushdb -keys -config.";
    /// The state server's memory fills.
    MemoryHigh = "memory-high", Warning,
        "From 85 % on new jobs are refused.",
        "Add memory, or find out why jobs are not being worked off.";
    /// The state server's memory is nearly full.
    MemoryCritical = "memory-critical", Warning,
        "New jobs are refused until there is room.",
        "Start workers to drain the queues, and add memory.";
    /// The server's clock is wrong, or ours.
    ClockSkew = "clock-skew", Warning,
        "The server's clock decides leases and deadlines; logs and dates of other machines will not fit.",
        "Let NTP set the clocks of both machines.";
    /// A state server with replicas accepts writes without them.
    NoMinReplicas = "no-min-replicas", Warning,
        "A primary that is cut off accepts writes that it will lose when it comes back.",
        "Set `min-replicas-to-write 1` and `min-replicas-max-lag 10` on the worker state server.";

    /// The server does not tell its version.
    ServerVersionUnknown = "server-version-unknown", Warning,
        "Whether it can run the scripts is not known.",
        "Allow INFO to the user.";
    /// The cache server does not tell how it evicts, or how much memory it may use.
    CachePolicyUnknown = "cache-policy-unknown", Warning,
        "Whether a full cache still takes writes is not known.",
        "Allow INFO or CONFIG GET to the user, or make sure that it is volatile-lru and allow this code.";
    /// The cache server does not tell whether it persists.
    CachePersistenceUnknown = "cache-persistence-unknown", Warning,
        "Whether it writes what may be lost is not known.",
        "Allow CONFIG GET to the user, or make sure of it and allow this code.";
    /// The state server does not tell how it evicts, or how much memory it may use.
    StateEvictionUnknown = "state-eviction-unknown", Warning,
        "Whether it deletes jobs when its memory is full is not known.",
        "Allow INFO or CONFIG GET to the user, or make sure that it is noeviction and allow this code.";
    /// The state server does not tell how it persists.
    StatePersistenceUnknown = "state-persistence-unknown", Warning,
        "What a crash would lose is not known.",
        "Allow CONFIG GET to the user, or make sure of appendonly and appendfsync and allow this code.";
    /// The server does not tell about its replicas.
    ReplicasUnknown = "replicas-unknown", Warning,
        "Whether writes reach as many replicas as asked for is not known.",
        "Allow INFO and CONFIG GET to the user.";
    /// What the user may do could not be asked.
    AclUnknown = "acl-unknown", Warning,
        "Whether the user may send what the role needs, and no more, is not known.",
        "Allow EVAL to the user, or make sure of the rights and allow this code.";
    /// Whether the server takes writes could not be asked.
    WritableUnknown = "writable-unknown", Warning,
        "A replica or a full disk would show only at the first write.",
        "Allow SET on the keys twinstore:* to the user.";
    /// Whether both URLs lead to one server could not be found out.
    SameInstanceUnknown = "same-instance-unknown", Warning,
        "If they do, a flush of the cache takes the worker state with it.",
        "Allow INFO, and SET, GET and SELECT on the keys twinstore:*, to the users of both roles.";
    /// Who owns the database number could not be read.
    DatabaseOwnerUnknown = "database-owner-unknown", Warning,
        "Another service may use the same database number.",
        "Allow GET and SET on the keys twinstore:* to the user.";
    /// To which environment the store belongs could not be read.
    EnvironmentUnknown = "environment-unknown", Warning,
        "The store may be that of another environment.",
        "Allow GET and SET on the keys twinstore:* to the user.";
}

impl Code {
    /// Whether one finding of this kind per role says all: the same thing may be found in several ways.
    pub(crate) fn is_told_once(self) -> bool {
        matches!(self, Code::SameInstance | Code::NoPassword | Code::NotWritable)
    }
}

/// A text that is not a code. The nearest code, if one is near, helps against typing errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a code of a finding{}", nearest.map(|code| format!("; did you mean {code}?")).unwrap_or_default())]
pub struct UnknownCode {
    /// The code that looks most like it.
    pub nearest: Option<Code>,
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let find = |name: &str| Code::ALL.iter().copied().find(|code| code.name() == name);
        find(text).ok_or_else(|| UnknownCode {
            nearest: nearest(text, Code::ALL.iter().map(|code| code.name())).and_then(find),
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Severity};

    #[test]
    fn names_are_unique_and_what_is_unknown_is_a_warning() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(code.name().parse(), Ok(*code));
            assert!(!code.name().ends_with("-unknown") || code.severity() == Severity::Warning);
        }
    }

    #[test]
    fn a_mistyped_code_is_answered_with_the_nearest() {
        assert_eq!("no-tsl".parse::<Code>().unwrap_err().nearest, Some(Code::NoTls));
        assert_eq!("everything".parse::<Code>().unwrap_err().nearest, None);
    }
}

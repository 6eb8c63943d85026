//! Every code that a finding can have, with what it means and what to do.

use std::fmt;

use serde::Serialize;

mod severity;
mod unknown;

pub use severity::Severity;
pub use unknown::UnknownCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $severity:ident, $why:literal, $help:literal;)*) => {
        /// The stable name of a kind of finding, with a severity, a reason and a remedy. A finding
        /// fills in `<user>`, `<ROLE>`, `<rules>`, `<replicas>` and `<needed>` of its remedy; the reader chooses `<name>`,
        /// `<password>` and `<limit>`.
        ///
        /// A code that ends in `-unknown` says that a question could not be answered; it is never an error, and never
        /// a pass.
        ///
        /// ```
        /// use twinstore::config::Code;
        ///
        /// assert_eq!("url-missing".parse(), Ok(Code::UrlMissing));
        /// assert!(Code::UrlMissing.help().starts_with("Set the variable"));
        /// ```
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
        "Set the variable to the URL of the store. embedded: keeps the store inside the process.";
    /// A URL cannot be understood, or names what this version does not serve.
    UrlInvalid = "url-invalid", Error,
        "A URL that is understood in part leads to the wrong store.",
        "Write redis://[user][:password]@host:port for one server, redis-sentinel://[user][:password]@host,host/service for the primary of sentinels, redis-cluster://[user][:password]@host,host for a cluster and kvrocks://[:password]@host for a Kvrocks server (both only for the worker state store), rediss://, rediss-sentinel://, rediss-cluster:// or kvrockss:// with TLS, or embedded:.";
    /// A variable is missing, or its value is outside its range; or a server refuses a line of its configuration file.
    ConfInvalid = "conf-invalid", Error,
        "If the setting were ignored, another value would apply without notice.",
        "Correct the setting. The README's table lists all variables with their ranges.";
    /// A server's configuration file contradicts the role of the server.
    ConfContradictsRole = "conf-contradicts-role", Error,
        "A server that is started with the file is misconfigured for its role.",
        "Correct the setting in the file.";
    /// The base URL names a database number.
    CacheUrlHasDatabase = "cache-url-has-database", Error,
        "The number of each service is appended to the base URL. A number in the URL itself would apply to all services.",
        "Remove the path from REDIS_CONN_BASE_URL and set REDIS_CACHE_DB.";
    /// The URL names another topology than the servers report.
    TopologyMismatch = "topology-mismatch", Error,
        "Calls would not find the keys of other nodes, or would not follow a failover.",
        "Write redis:// or rediss:// for one server, redis-sentinel:// or rediss-sentinel:// with the name of the service for sentinels, redis-cluster:// or rediss-cluster:// for the nodes of a cluster, and kvrocks:// or kvrockss:// for a Kvrocks server. Name only hosts of one primary with its replicas, of one group of sentinels, or of one cluster.";
    /// Slots of the cluster belong to no node, or to one that has failed.
    ClusterSlotsUncovered = "cluster-slots-uncovered", Error,
        "Calls on keys of these slots fail. With the setting cluster-require-full-coverage, all calls fail.",
        "Start the failed nodes, or run `redis-cli --cluster fix <node>`; `CLUSTER SHARDS` shows the state.";
    /// The cache store is a cluster.
    CacheOnCluster = "cache-on-cluster", Error,
        "The database number keeps the services apart in the cache store, and a cluster has no database numbers.",
        "Name a standalone server in REDIS_CONN_BASE_URL.";
    /// The state URL names a database number of a cluster.
    ClusterDatabaseNumber = "cluster-database-number", Error,
        "The library uses database 0 of a cluster; most servers have no other there.",
        "Remove the path from REDIS_WORKERCACHE_CONN_URL, and write redis-cluster:// or rediss-cluster://.";
    /// `REDIS_CACHE_DB` is not set.
    DatabaseNumberMissing = "database-number-missing", Error,
        "Each service has a database number of its own in the cache store.",
        "Set REDIS_CACHE_DB to a number that no other service uses.";
    /// A database number is no number, or the server has fewer.
    DatabaseNumberOutOfRange = "database-number-out-of-range", Error,
        "The server refuses to select it.",
        "Use a smaller number, or set `databases 256` in the server's configuration file and restart the server.";
    /// Two services share one database number.
    DatabaseNumberTaken = "database-number-taken", Error,
        "Two services in one database read, overwrite and flush each other's values.",
        "Set REDIS_CACHE_DB to a number that no other service uses, different from REDIS_CACHE_SHARED_DB. If the owner is retired, free its number with `cargo xtask release-number --env-file FILE`; after 7 days of silence it is free anyway.";
    /// Both URLs lead to one server, one replication group or one file.
    SameInstance = "same-instance", Error,
        "The cache store may be flushed and evicted at any time, and the worker state would be lost with it.",
        "Start a second server for the worker state store, and name it in REDIS_WORKERCACHE_CONN_URL.";
    /// The server does not answer.
    Unreachable = "unreachable", Error,
        "A service without its stores can do nothing.",
        "Check host, port and network, and that the server runs and has loaded its data.";
    /// Client and server do not agree about TLS.
    TlsRefused = "tls-refused", Error,
        "If client and server do not agree about TLS, there is no connection.",
        "Write rediss:// for a port with TLS and redis:// for one without. Name the server's authority in REDIS_<ROLE>_TLS_CA_FILE, that of sentinels in REDIS_<ROLE>_SENTINEL_TLS_CA_FILE. If the server requires a client certificate, set REDIS_<ROLE>_TLS_CERT_FILE and REDIS_<ROLE>_TLS_KEY_FILE, for sentinels REDIS_<ROLE>_SENTINEL_TLS_CERT_FILE and REDIS_<ROLE>_SENTINEL_TLS_KEY_FILE. Certificates must contain the hosts that servers report: let nodes of a cluster (cluster-announce-hostname), sentinels (announce-hostnames) and replicas (replica-announce-ip) announce names.";
    /// The server refuses the credentials, or answers the login with an error that this version does not know.
    AuthRefused = "auth-refused", Error,
        "The server refuses every command of a client without the right user and password.",
        "Correct the user, or the password in the URL or in the file of REDIS_<ROLE>_PASSWORD_FILE. If the user is switched off, run `ACL SETUSER <user> on` on the server.";
    /// A certificate or key file cannot be used.
    TlsFileUnreadable = "tls-file-unreadable", Error,
        "No encrypted connection can be made without it.",
        "Name files in PEM form that this process can read: the authorities, the certificate, and the private key of that certificate, not encrypted.";
    /// The server is older than what the scripts need.
    ServerTooOld = "server-too-old", Error,
        "The scripts need functions that older servers do not have.",
        "Use Redis or Valkey 7.0 or later. If the server is new enough, let it and any proxy in front of it accept the command HELLO.";
    /// The server is a build for 32 bits.
    ServerOf32Bits = "server-of-32-bits", Error,
        "Lua in such a server formats no whole number above 2147483647: all leases would get one fence, so a stale holder would not be refused.",
        "Use a build of the server for 64 bits.";
    /// The state server evicts keys.
    StateEvicts = "state-evicts", Error,
        "If its memory is full, the server deletes jobs and leases without notice.",
        "Run `CONFIG SET maxmemory-policy noeviction` and `CONFIG REWRITE` on the worker state server, or change the setting at its provider.";
    /// The state server forgets on restart.
    StateNotPersistent = "state-not-persistent", Error,
        "A restart loses every acknowledged write.",
        "Run `CONFIG SET appendfsync everysec`, `CONFIG SET appendonly yes` and `CONFIG REWRITE` on the worker state server, or change the settings at its provider. Until INFO shows aof_rewrite_in_progress:0 and aof_rewrite_scheduled:0, a crash still loses data.";
    /// A variable requests `fsynced`, and the server does not grant it.
    FsyncedUnavailable = "fsynced-unavailable", Error,
        "Every call with this durability would return an error, because nothing proves that its write is on disk.",
        "Run `CONFIG SET appendonly yes`, `CONFIG SET appendfsync always`, `CONFIG SET no-appendfsync-on-rewrite no` and `CONFIG REWRITE` on the worker state server, and `ACL SETUSER <user> +config|get +info`. Or request another level in REDIS_STATE_…_DURABILITY.";
    /// The user may not send what the role needs.
    AclMissingCommand = "acl-missing-command", Error,
        "The first operation that needs it would fail.",
        "Run `ACL SETUSER <user> <rules>` on the server, and keep it with ACL SAVE or in the server's configuration file.";
    /// There are fewer replicas than writes are promised to.
    TooFewReplicas = "too-few-replicas", Error,
        "Every replicated write would fail as not durable, and the server itself refuses writes below min-replicas-to-write.",
        "Add replicas. Or set REDIS_STATE_MIN_REPLICAS to <replicas>, and run `CONFIG SET min-replicas-to-write <replicas>` and `CONFIG REWRITE` on the worker state server.";
    /// Too few sentinels can be reached.
    SentinelQuorum = "sentinel-quorum", Error,
        "If the primary fails, no other server takes its place.",
        "Start the missing sentinels, or correct the quorum of their `sentinel monitor` lines; `SENTINEL CKQUORUM` shows the state.";
    /// The server takes no writes.
    NotWritable = "not-writable", Error,
        "Nothing can be stored on a replica, or on a server whose memory or disk is full or whose disk is broken.",
        "If the server is a replica, name its primary in the URL. If its disk is full or broken, repair it and run `BGSAVE`; the server's log shows the reason. If its memory is full, run `CONFIG SET maxmemory <limit>` with a higher limit.";
    /// The store belongs to another environment.
    EnvironmentMismatch = "environment-mismatch", Error,
        "A service of one environment must never open the stores of another.",
        "Correct the URL, or set STORE_ENVIRONMENT to the environment of the server. If the server now belongs to another environment, run `DEL twinstore:environment` in its database 0.";
    /// The server serves another role to other services.
    RoleMismatch = "role-mismatch", Error,
        "The cache store may be flushed and evicted at any moment, and the state that other services keep there would be lost.",
        "Swap REDIS_CONN_BASE_URL and REDIS_WORKERCACHE_CONN_URL if they are interchanged, or correct the wrong one. If the server has changed its role, run `DEL twinstore:role` in its database 0.";
    /// The server does not run scripts.
    ScriptsUnsupported = "scripts-unsupported", Error,
        "The operations of both stores are scripts, so all would fail.",
        "Use a server that runs Lua scripts: load its module `lua` (Valkey 9.1 and later), and do not rename EVALSHA and SCRIPT.";
    /// The worker state is in the process's memory, in a named environment.
    StateInMemory = "state-in-memory", Error,
        "Every job and lease is gone when the process ends.",
        "Set REDIS_WORKERCACHE_CONN_URL to a server or to a file, embedded:/path/state.redb; or unset STORE_ENVIRONMENT on a developer's machine.";
    /// Two environments name one embedded file.
    EmbeddedFileTaken = "embedded-file-taken", Error,
        "The first process locks the file, and the second one cannot open it.",
        "Name another file in each environment, or a server that all of them use.";
    /// The engine cannot serve the cache role.
    CacheEngineUnsupported = "cache-engine-unsupported", Error,
        "Its SELECT does not change the database, so it cannot keep services apart.",
        "Use Redis or Valkey 7.0 or later for the cache store.";

    /// The cache server does not evict as a cache should.
    CachePolicy = "cache-policy", Warning,
        "Without eviction a full cache refuses writes. Under allkeys-… it also evicts the keys that mark a database's owner.",
        "Run `CONFIG SET maxmemory-policy volatile-lru` and `CONFIG REWRITE` on the cache server, or change the setting at its provider.";
    /// The cache server writes to disk.
    CachePersists = "cache-persists", Warning,
        "A cache may be lost, so writing it to disk only costs disk, memory for forks, and a slow restart.",
        "Run `CONFIG SET save \"\"`, `CONFIG SET appendonly no` and `CONFIG REWRITE` on the cache server, or change the settings at its provider.";
    /// The server has no memory limit.
    NoMaxmemory = "no-maxmemory", Warning,
        "It grows until the system kills it.",
        "Run `CONFIG SET maxmemory <limit>` with a limit below the memory of the machine or container, and `CONFIG REWRITE`.";
    /// The connection is not encrypted and leaves the machine.
    NoTls = "no-tls", Warning,
        "Passwords and data can be read on the network.",
        "Write rediss:// and, for an authority of your own, set REDIS_<ROLE>_TLS_CA_FILE.";
    /// No password is used.
    NoPassword = "no-password", Warning,
        "Everybody who reaches the port can read and delete everything that this user may.",
        "Run `ACL SETUSER <user> resetpass ><password>` on the server, and keep it with ACL SAVE or CONFIG REWRITE. A service that logs in as this user reads the password from the file that REDIS_<ROLE>_PASSWORD_FILE names.";
    /// The service logs in as the default user.
    DefaultUser = "default-user", Warning,
        "The default user may do everything, and everybody shares it.",
        "Run `ACL SETUSER <name> on ><password> <rules>` on the server, and set REDIS_<ROLE>_USERNAME and REDIS_<ROLE>_PASSWORD_FILE. The right +config|get also shows the passwords masterauth and requirepass.";
    /// Both roles use one user and password.
    SharedCredential = "shared-credential", Warning,
        "A stolen credential of the cache also opens the worker state store.",
        "Run `ACL SETUSER <user> resetpass ><password>` with another password on one of the two servers, and write that password into the file of its REDIS_…_PASSWORD_FILE.";
    /// The user may do what no service needs.
    AclTooWide = "acl-too-wide", Warning,
        "A mistake or a stolen password can empty, block, copy or reconfigure the server.",
        "Run `ACL SETUSER <user> <rules>` on the server, and keep it with ACL SAVE or in the server's configuration file.";
    /// The state server's memory fills.
    MemoryHigh = "memory-high", Warning,
        "From 85 % on new jobs are refused.",
        "Find out why jobs are not processed, or give the server more memory: `CONFIG SET maxmemory <limit>`.";
    /// The state server's memory is nearly full.
    MemoryCritical = "memory-critical", Warning,
        "New jobs are refused until there is room.",
        "Start workers to drain the queues, or give the server more memory: `CONFIG SET maxmemory <limit>`.";
    /// The cache is in the process's memory, in a named environment.
    CacheInMemory = "cache-in-memory", Warning,
        "Each process has a cache of its own: rate limits, idempotency keys and hand-offs hold for one process only.",
        "Set REDIS_CONN_BASE_URL to a server.";
    /// The server accepts fewer connections than the service needs.
    MaxclientsLow = "maxclients-low", Warning,
        "Connections beyond this limit are refused: the pool stays smaller, and durable or waiting calls fail.",
        "Run `CONFIG SET maxclients <needed>` and `CONFIG REWRITE` on the server, and add as many for each further process of every service. Or lower REDIS_<ROLE>_POOL_SIZE.";
    /// The server's clock is wrong, or ours.
    ClockSkew = "clock-skew", Warning,
        "The server's clock decides leases and deadlines, and the times in the logs of other machines will differ from them.",
        "Let NTP set the clocks of both machines.";
    /// A state server with replicas accepts writes without them.
    NoMinReplicas = "no-min-replicas", Warning,
       "A primary that is cut off from its replicas accepts writes, and loses them when it rejoins.",
        "Run `CONFIG SET min-replicas-to-write 1`, `CONFIG SET min-replicas-max-lag 2` and `CONFIG REWRITE` on the worker state server.";
    /// A primary of the cluster has no replica.
    ClusterNoReplica = "cluster-no-replica", Warning,
        "If the primary fails, no node serves its slots, and if its disk fails, their data is lost.",
        "Start another node, and run `CLUSTER REPLICATE <id>` on it.";
    /// A replica cannot be reached.
    ReplicaUnreachable = "replica-unreachable", Warning,
        "After a failover to this replica, the service cannot reach the store.",
        "Let the replica announce an address that can be reached from here (replica-announce-ip, cluster-announce-ip), and give it the same users and certificates as its primary.";
    /// A replica has settings that a primary must not have.
    ReplicaMisconfigured = "replica-misconfigured", Warning,
        "After a failover it is the primary, and its settings apply.",
        "Give the replica the settings of its primary.";
    /// The state server disconnects clients whose buffers are large.
    ClientEviction = "client-eviction", Warning,
        "Some versions of Redis and Valkey crash when they disconnect a client that waits; others disconnect workers without a reason.",
        "Run `CONFIG SET maxmemory-clients 0` and `CONFIG REWRITE` on the server.";
    /// The server lacks a capability without which the role is degraded.
    CapabilityMissing = "capability-missing", Warning,
        "The service works without it, but slower or with fewer guarantees.",
        "Use a server that has the capability; do not rename PUBLISH and SPUBLISH. `cargo xtask config-check --capabilities` prints all of them.";
    /// The name of a variable looks mistyped.
    VariableMistyped = "variable-mistyped", Warning,
        "The variable is ignored, and the default applies instead.",
        "Correct the name, or remove the variable. If it belongs to other software, name the code in STORE_PREFLIGHT_ALLOW.";

    /// The server does not report its version.
    ServerVersionUnknown = "server-version-unknown", Warning,
        "It is not known whether it can run the scripts, nor whether it is a sentinel, a node of a cluster or a replica.",
        "Run `ACL SETUSER <user> +info` on the server.";
    /// The cache server does not report how it evicts, or how much memory it may use.
    CachePolicyUnknown = "cache-policy-unknown", Warning,
        "Whether a full cache still takes writes is not known.",
        "Run `ACL SETUSER <user> +info` on the server.";
    /// The cache server does not report whether it persists.
    CachePersistenceUnknown = "cache-persistence-unknown", Warning,
        "It is not known whether it writes to disk, which a cache need not do.",
        "Run `ACL SETUSER <user> +config|get` on the server. This right also shows the passwords masterauth and requirepass. Or make sure that it does not persist, and name the code in STORE_PREFLIGHT_ALLOW.";
    /// The state server does not report how it evicts, or how much memory it may use.
    StateEvictionUnknown = "state-eviction-unknown", Warning,
        "Whether it deletes jobs when its memory is full is not known.",
        "Run `ACL SETUSER <user> +info` on the server.";
    /// The state server does not report how it persists.
    StatePersistenceUnknown = "state-persistence-unknown", Warning,
        "What a crash would lose is not known.",
        "Run `ACL SETUSER <user> +config|get` on the server. This right also shows the passwords masterauth and requirepass. Or make sure of appendonly and appendfsync, and name the code in STORE_PREFLIGHT_ALLOW.";
    /// The server does not report its replicas.
    ReplicasUnknown = "replicas-unknown", Warning,
        "Whether writes reach as many replicas as asked for is not known.",
        "Run `ACL SETUSER <user> +info +config|get` on the server. This right also shows the passwords masterauth and requirepass.";
    /// The nodes of a cluster do not report which node has which slots.
    ClusterUnknown = "cluster-unknown", Warning,
        "Whether the cluster serves all slots, and whether its other nodes are configured for their role, is not known.",
        "Run `ACL SETUSER <user> +cluster|info +cluster|slots` on each node.";
    /// No sentinel reports whether it reaches the others.
    SentinelQuorumUnknown = "sentinel-quorum-unknown", Warning,
        "Whether another server takes the place of a failed primary is not known.",
        "Run `ACL SETUSER <name> +sentinel|ckquorum` on each sentinel for the user who asks it, and start the sentinels that cannot be reached.";
    /// The server does not report how many connections it accepts.
    MaxclientsUnknown = "maxclients-unknown", Warning,
        "It is not known whether it accepts all connections of this service.",
        "Run `ACL SETUSER <user> +info` on the server.";
    /// The server does not report whether it disconnects clients whose buffers are large.
    ClientEvictionUnknown = "client-eviction-unknown", Warning,
        "It is not known whether it disconnects clients to free memory, which crashes some versions of Redis and Valkey.",
        "Run `ACL SETUSER <user> +config|get` on the server. This right also shows the passwords masterauth and requirepass. Or make sure that maxmemory-clients is 0, and name the code in STORE_PREFLIGHT_ALLOW.";
    /// What the user may do could not be asked.
    AclUnknown = "acl-unknown", Warning,
        "Whether the user may send what the role needs, and no more, is not known.",
        "Make sure that the user may run scripts and what they call, and name the code in STORE_PREFLIGHT_ALLOW.";
    /// Whether the server takes writes could not be asked.
    WritableUnknown = "writable-unknown", Warning,
        "A replica or a full disk would show only at the first write.",
        "Run `ACL SETUSER <user> (+set +select ~twinstore:*)` on the server.";
    /// Whether both URLs lead to one server could not be decided.
    SameInstanceUnknown = "same-instance-unknown", Warning,
        "If they do, a flush of the cache deletes the worker state too.",
        "Run `ACL SETUSER <user> +info (+set +get +select ~twinstore:*)` on both servers, each for the user of its role.";
    /// Who owns the database number could not be read.
    DatabaseOwnerUnknown = "database-owner-unknown", Warning,
        "Another service may use the same database number.",
        "Run `ACL SETUSER <user> (+get +set +select ~twinstore:*)` on the server.";
    /// The mark of the server's role could not be read or written.
    RoleUnknown = "role-unknown", Warning,
        "Other services may use the server for the other role.",
        "Run `ACL SETUSER <user> (+get +set +select ~twinstore:*)` on the server.";
    /// To which environment the store belongs could not be read.
    EnvironmentUnknown = "environment-unknown", Warning,
        "The store may be that of another environment.",
        "Run `ACL SETUSER <user> (+get +set +select ~twinstore:*)` on the server.";
}

impl Code {
    /// Whether the problem lasts until an operator changes a server. Other problems may occur during a failover.
    pub(crate) fn is_lasting(self) -> bool {
        matches!(
            self,
            Code::SameInstance
                | Code::TopologyMismatch
                | Code::CacheOnCluster
                | Code::CacheEngineUnsupported
                | Code::DatabaseNumberOutOfRange
                | Code::DatabaseNumberTaken
                | Code::ServerTooOld
                | Code::ServerOf32Bits
                | Code::ScriptsUnsupported
                | Code::StateEvicts
                | Code::StateNotPersistent
                | Code::FsyncedUnavailable
                | Code::AclMissingCommand
                | Code::EnvironmentMismatch
                | Code::RoleMismatch
        )
    }

    /// Whether one finding of this kind per role is enough, since the same problem may be found in several ways.
    pub(crate) fn is_reported_once(self) -> bool {
        matches!(
            self,
            Code::SameInstance
                | Code::NoPassword
                | Code::NotWritable
                | Code::RoleUnknown
                | Code::EnvironmentUnknown
                | Code::DatabaseOwnerUnknown
        )
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
mod tests;

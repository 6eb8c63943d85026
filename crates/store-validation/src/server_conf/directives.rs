//! Every directive of Redis 7.0 to 8.2 and of Valkey up to 9.1, with the values that at least one of them accepts.

/// What follows a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `yes` or `no`.
    YesNo,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number in decimal digits.
    Number { min: i64, max: i64 },
    /// A number of bytes, such as `256mb`.
    Size { min: u64 },
    /// A number of bytes or a percentage.
    SizeOrPercent,
    /// Access rights in octal digits.
    Octal,
    /// One text.
    Text,
    /// The name of a file or folder in the server's directory.
    FileName,
    /// Several values; `values.rs` checks each of these directives.
    Several,
    /// One value, which the server ignores.
    Ignored,
}

const YES_NO: &str = "activedefrag activerehashing always-show-logo aof-disable-auto-gc aof-load-truncated \
    aof-rewrite-incremental-fsync aof-timestamp-enabled aof-use-rdb-preamble appendonly cluster-allow-pubsubshard-when-down \
    cluster-allow-reads-when-down cluster-allow-replica-migration cluster-enabled cluster-replica-no-failover \
    cluster-require-full-coverage cluster-slot-stats-enabled crash-log-enabled crash-memcheck-enabled daemonize \
    debug-assert-enabled disable-thp dual-channel-replication-enabled dynamic-hz extended-redis-compatibility \
    hide-user-data-from-log import-mode io-threads-do-reads jemalloc-bg-thread latency-tracking lazyfree-lazy-eviction \
    lazyfree-lazy-expire lazyfree-lazy-server-del lazyfree-lazy-user-del lazyfree-lazy-user-flush mptcp \
    no-appendfsync-on-rewrite protected-mode rdb-del-sync-files rdb-save-incremental-fsync rdbchecksum rdbcompression \
    repl-disable-tcp-nodelay repl-diskless-sync repl-mptcp replica-announced replica-ignore-disk-write-errors \
    replica-ignore-maxmemory replica-lazy-flush replica-read-only replica-serve-stale-data set-proc-title \
    stop-writes-on-bgsave-error syslog-enabled tls-cluster tls-prefer-server-ciphers tls-replication tls-session-caching \
    use-exit-on-panic vset-force-single-threaded-execution";

const TEXTS: &str = "aclfile aof-rewrite-cpulist availability-zone bgsave-cpulist bind-source-addr bio-cpulist \
    cluster-announce-client-ipv4 cluster-announce-client-ipv6 cluster-announce-hostname cluster-announce-human-nodename \
    cluster-announce-ip cluster-config-file cluster-config-save-behavior dir hash-seed ignore-warnings locale-collate \
    log-format log-timestamp-format logfile masterauth masteruser pidfile proc-title-template rdb-version-check rdma-bind \
    replica-announce-ip requirepass server-cpulist syslog-ident tls-auth-clients-user tls-ca-cert-dir tls-ca-cert-file \
    tls-cert-file tls-ciphers tls-ciphersuites tls-client-cert-file tls-client-key-file tls-client-key-file-pass \
    tls-dh-params-file tls-key-file tls-key-file-pass tls-protocols unixsocket unixsocketgroup";

const SEVERAL: &str = "bind client-output-buffer-limit latency-tracking-info-percentiles notify-keyspace-events \
    oom-score-adj-values replicaof save shutdown-on-sigint shutdown-on-sigterm loadmodule rename-command user";

/// Numbers from 0 to the largest that the server stores.
const COUNTS: &str = "acllog-max-len busy-reply-threshold cluster-blacklist-ttl cluster-compatibility-sample-ratio \
    cluster-manual-failover-timeout cluster-node-timeout cluster-ping-interval cluster-slot-migration-log-max-len \
    commandlog-large-reply-max-len commandlog-large-request-max-len commandlog-slow-execution-max-len \
    hash-max-listpack-entries latency-monitor-threshold prefetch-batch-max-size repl-backlog-ttl \
    set-max-intset-entries set-max-listpack-entries set-max-listpack-value slowlog-max-len socket-mark-id \
    stream-node-max-entries tls-auto-reload-interval tracking-table-max-keys zset-max-listpack-entries";

const PORTS: &str = "cluster-announce-bus-port cluster-announce-client-port cluster-announce-client-tls-port \
    cluster-announce-port cluster-announce-tls-port cluster-port port rdma-port replica-announce-port tls-port";

/// Numbers from 0 to the largest `int` of C.
const INTS: &str = "auto-aof-rewrite-percentage cluster-migration-barrier cluster-replica-validity-factor hz \
    lfu-decay-time lfu-log-factor list-compress-depth min-replicas-max-lag min-replicas-to-write repl-diskless-sync-delay \
    repl-diskless-sync-max-replicas replica-priority shutdown-timeout tcp-backlog tcp-keepalive timeout \
    tls-session-cache-size tls-session-cache-timeout watchdog-period";

const NUMBERS: [(&str, i64, i64); 26] = [
    ("active-defrag-cycle-max", 1, 99),
    ("active-defrag-cycle-min", 1, 99),
    ("active-defrag-cycle-us", 0, 100_000),
    ("active-defrag-max-scan-fields", 1, i64::MAX),
    ("active-defrag-threshold-lower", 0, 1_000),
    ("active-defrag-threshold-upper", 0, 1_000),
    ("active-expire-effort", 1, 10),
    ("cluster-databases", 1, INT_MAX),
    ("commandlog-execution-slower-than", -1, i64::MAX),
    ("commandlog-reply-larger-than", -1, i64::MAX),
    ("commandlog-request-larger-than", -1, i64::MAX),
    ("databases", 1, INT_MAX),
    ("io-threads", 1, 256),
    ("key-load-delay", INT_MIN, INT_MAX),
    ("list-max-listpack-size", INT_MIN, INT_MAX),
    ("loading-process-events-interval-bytes", 1_024, INT_MAX),
    ("max-new-connections-per-cycle", 1, 1_000),
    ("max-new-tls-connections-per-cycle", 1, 1_000),
    ("maxclients", 1, 4_294_967_295),
    ("maxmemory-eviction-tenacity", 0, 100),
    ("maxmemory-samples", 1, INT_MAX),
    ("rdb-key-save-delay", INT_MIN, INT_MAX),
    ("rdma-completion-vector", -1, 1_024),
    ("repl-ping-replica-period", 1, INT_MAX),
    ("repl-timeout", 1, INT_MAX),
    ("slowlog-log-slower-than", -1, i64::MAX),
];

const INT_MIN: i64 = i32::MIN as i64;
const INT_MAX: i64 = i32::MAX as i64;

const SIZES: [(&str, u64); 14] = [
    ("active-defrag-ignore-bytes", 1),
    ("auto-aof-rewrite-min-size", 0),
    ("client-query-buffer-limit", 1_048_576),
    ("cluster-link-sendbuf-limit", 0),
    ("hash-max-listpack-value", 0),
    ("hll-sparse-max-bytes", 0),
    ("maxmemory", 0),
    ("proto-max-bulk-len", 1_048_576),
    ("rdma-rx-size", 0),
    ("repl-backlog-size", 1),
    ("replica-full-sync-buffer-limit", 0),
    ("slot-migration-max-failover-repl-bytes", 0),
    ("stream-node-max-bytes", 0),
    ("zset-max-listpack-value", 0),
];

const WORDS: [(&str, &[&str]); 15] = [
    ("acl-pubsub-default", &["allchannels", "resetchannels"]),
    ("appendfsync", &["always", "everysec", "no"]),
    ("cluster-preferred-endpoint-type", &["ip", "hostname", "unknown-endpoint"]),
    ("enable-debug-command", &["no", "yes", "local"]),
    ("enable-module-command", &["no", "yes", "local"]),
    ("enable-protected-configs", &["no", "yes", "local"]),
    ("loglevel", &["debug", "verbose", "notice", "warning", "nothing"]),
    ("maxmemory-policy", POLICIES),
    ("oom-score-adj", &["no", "yes", "relative", "absolute"]),
    ("propagation-error-behavior", &["ignore", "panic", "panic-on-replicas"]),
    ("repl-diskless-load", &["disabled", "on-empty-db", "swapdb", "flush-before-load"]),
    ("sanitize-dump-payload", &["no", "yes", "clients"]),
    ("supervised", &["no", "upstart", "systemd", "auto"]),
    ("syslog-facility", FACILITIES),
    ("tls-auth-clients", &["no", "yes", "optional"]),
];

const POLICIES: &[&str] = &[
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
];

const FACILITIES: &[&str] = &["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"];

/// An older name, and the name that it has in this module.
const ALIASES: [(&str, &str); 28] = [
    ("aof_rewrite_cpulist", "aof-rewrite-cpulist"),
    ("bgsave_cpulist", "bgsave-cpulist"),
    ("bio_cpulist", "bio-cpulist"),
    ("cluster-slave-no-failover", "cluster-replica-no-failover"),
    ("cluster-slave-validity-factor", "cluster-replica-validity-factor"),
    ("hash-max-ziplist-entries", "hash-max-listpack-entries"),
    ("hash-max-ziplist-value", "hash-max-listpack-value"),
    ("list-max-ziplist-size", "list-max-listpack-size"),
    ("lua-time-limit", "busy-reply-threshold"),
    ("min-slaves-max-lag", "min-replicas-max-lag"),
    ("min-slaves-to-write", "min-replicas-to-write"),
    ("primaryauth", "masterauth"),
    ("primaryuser", "masteruser"),
    ("repl-ping-slave-period", "repl-ping-replica-period"),
    ("server_cpulist", "server-cpulist"),
    ("slave-announce-ip", "replica-announce-ip"),
    ("slave-announce-port", "replica-announce-port"),
    ("slave-ignore-maxmemory", "replica-ignore-maxmemory"),
    ("slave-lazy-flush", "replica-lazy-flush"),
    ("slave-priority", "replica-priority"),
    ("slave-read-only", "replica-read-only"),
    ("slave-serve-stale-data", "replica-serve-stale-data"),
    ("slaveof", "replicaof"),
    ("zset-max-ziplist-entries", "zset-max-listpack-entries"),
    ("zset-max-ziplist-value", "zset-max-listpack-value"),
    ("list-max-ziplist-entries", IGNORED),
    ("list-max-ziplist-value", IGNORED),
    ("lua-replicate-commands", IGNORED),
];

const IGNORED: &str = "(ignored)";

/// The name that a directive has in this module, whatever name the file gives it.
pub(super) fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, canonical)| canonical)
}

/// What follows the directive with this canonical name; `None` for a directive that no server has.
pub(super) fn kind(name: &str) -> Option<Kind> {
    let is_in = |list: &str| list.split_whitespace().any(|listed| listed == name);
    let number = NUMBERS.iter().find(|(listed, _, _)| *listed == name);
    let size = SIZES.iter().find(|(listed, _)| *listed == name);
    let words = WORDS.iter().find(|(listed, _)| *listed == name);
    Some(match name {
        "appenddirname" | "appendfilename" | "dbfilename" => Kind::FileName,
        "maxmemory-clients" => Kind::SizeOrPercent,
        "unixsocketperm" => Kind::Octal,
        IGNORED => Kind::Ignored,
        _ if is_in(YES_NO) => Kind::YesNo,
        _ if is_in(PORTS) => Kind::Number { min: 0, max: 65_535 },
        _ if is_in(INTS) => Kind::Number { min: 0, max: INT_MAX },
        _ if is_in(COUNTS) => Kind::Number { min: 0, max: i64::MAX },
        _ if is_in(SEVERAL) => Kind::Several,
        _ if is_in(TEXTS) => Kind::Text,
        _ => match (number, size, words) {
            (Some((_, min, max)), _, _) => Kind::Number { min: *min, max: *max },
            (_, Some((_, min)), _) => Kind::Size { min: *min },
            (_, _, Some((_, words))) => Kind::OneOf(words),
            _ => return None,
        },
    })
}

/// Every name that a file may use.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let lists = [YES_NO, TEXTS, SEVERAL, COUNTS, PORTS, INTS].into_iter().flat_map(str::split_whitespace);
    let others = ["appenddirname", "appendfilename", "dbfilename", "include", "maxmemory-clients", "unixsocketperm"];
    let numbers = NUMBERS.iter().map(|(name, _, _)| *name);
    let tables = SIZES.iter().map(|(name, _)| *name).chain(WORDS.iter().map(|(name, _)| *name));
    lists.chain(others).chain(numbers).chain(tables).chain(ALIASES.iter().map(|(name, _)| *name))
}

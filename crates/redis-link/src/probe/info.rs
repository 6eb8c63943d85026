//! The fields of `INFO`; any of them may be missing.

use crate::{Endpoint, Greeting};

/// The fields of `INFO` that checks use. A field that the server hides is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// `redis_version`; servers other than Redis report here the version that they imitate.
    pub redis_version: Option<String>,
    /// `kvrocks_version`, on Kvrocks only.
    pub kvrocks_version: Option<String>,
    /// `server_name`: `valkey` on Valkey.
    pub server_name: Option<String>,
    /// `valkey_version`, on Valkey only.
    pub valkey_version: Option<String>,
    /// `redis_mode`, on Valkey `server_mode`: `standalone`, `sentinel` or `cluster`.
    pub mode: Option<String>,
    /// `cluster_enabled`
    pub is_cluster: Option<bool>,
    /// `arch_bits`: 32 or 64.
    pub bits: Option<u32>,
    /// `run_id`: one run of one server process.
    pub run_id: Option<String>,
    /// `tcp_port`
    pub tcp_port: Option<u16>,
    /// `loading`: the server is reading its data.
    pub is_loading: Option<bool>,
    /// `role`: `master` or `slave`.
    pub role: Option<String>,
    /// `master_replid`: one replication history, shared by a primary and its replicas.
    pub replication_id: Option<String>,
    /// `master_host`, on a replica.
    pub primary_host: Option<String>,
    /// `master_port`, on a replica.
    pub primary_port: Option<u16>,
    /// `connected_slaves`
    pub connected_replicas: Option<u32>,
    /// The addresses of the connected replicas (`slave0:ip=…`).
    pub replicas: Vec<Endpoint>,
    /// `connected_clients`
    pub connected_clients: Option<u64>,
    /// `maxclients`: how many connections the server accepts.
    pub max_clients: Option<u32>,
    /// `used_memory` in bytes.
    pub used_memory: Option<u64>,
    /// `maxmemory` in bytes; 0 for no limit.
    pub max_memory: Option<u64>,
    /// `maxmemory_policy`
    pub max_memory_policy: Option<String>,
    /// `aof_enabled`
    pub is_aof_enabled: Option<bool>,
    /// `aof_last_write_status` is `ok`.
    pub is_aof_healthy: Option<bool>,
    /// `rdb_last_bgsave_status` is `ok`.
    pub is_snapshot_healthy: Option<bool>,
    /// The databases that hold keys, with how many (`db0:keys=…`).
    pub keyspace: Vec<(u32, u64)>,
}

impl ServerInfo {
    /// Reads the text of `INFO`.
    pub fn parse(text: &str) -> Self {
        let mut info = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.trim().split_once(':')) {
            info.set(name, value);
        }
        info
    }

    fn set(&mut self, name: &str, value: &str) {
        let text = || (!value.is_empty()).then(|| value.to_owned());
        match name {
            "redis_version" => self.redis_version = text(),
            "kvrocks_version" => self.kvrocks_version = text(),
            "server_name" => self.server_name = text(),
            "valkey_version" => self.valkey_version = text(),
            "redis_mode" | "server_mode" => self.mode = text(),
            "cluster_enabled" => self.is_cluster = flag(value),
            "arch_bits" => self.bits = value.parse().ok(),
            "run_id" => self.run_id = text(),
            "tcp_port" => self.tcp_port = value.parse().ok(),
            "loading" => self.is_loading = flag(value),
            "role" => self.role = text(),
            "master_replid" => self.replication_id = text(),
            "master_host" => self.primary_host = text(),
            "master_port" => self.primary_port = value.parse().ok(),
            "connected_slaves" => self.connected_replicas = value.parse().ok(),
            "connected_clients" => self.connected_clients = value.parse().ok(),
            "maxclients" => self.max_clients = value.parse().ok(),
            "used_memory" => self.used_memory = value.parse().ok(),
            "maxmemory" => self.max_memory = value.parse().ok(),
            "maxmemory_policy" => self.max_memory_policy = text(),
            "aof_enabled" => self.is_aof_enabled = flag(value),
            "aof_last_write_status" => self.is_aof_healthy = Some(value == "ok"),
            "rdb_last_bgsave_status" => self.is_snapshot_healthy = Some(value == "ok"),
            _ => {
                self.keyspace.extend(database(name, value));
                self.replicas.extend(replica(name, value));
            }
        }
    }

    /// Fills mode, role and version from `HELLO` if `INFO` does not have them, so a server that hides `INFO` still
    /// shows what it is.
    #[must_use]
    pub fn completed_by(mut self, greeting: &Greeting) -> Self {
        let role = greeting.role.as_deref().map(|role| if role == "replica" { "slave" } else { role }.to_owned());
        self.mode = self.mode.or_else(|| greeting.mode.clone());
        self.role = self.role.or(role);
        if self.redis_version.is_none() && self.valkey_version.is_none() && self.kvrocks_version.is_none() {
            let version = greeting.version.clone();
            match greeting.server.as_deref() {
                Some("valkey") => self.valkey_version = version,
                _ => self.redis_version = version,
            }
        }
        self
    }

    /// The version of Redis (or of what imitates it) as three numbers.
    pub fn version(&self) -> Option<(u32, u32, u32)> {
        version_of(self.redis_version.as_deref()?)
    }
}

/// The first three numbers of a version: `7.0.15` or `v2.14.0-rc1`; a missing number counts as 0.
pub fn version_of(text: &str) -> Option<(u32, u32, u32)> {
    let text = text.trim_start_matches(['v', 'V']);
    let mut parts = text.split(['.', '-', '+']).map(|part| part.parse::<u32>());
    let major = parts.next()?.ok()?;
    let mut next = || parts.next().and_then(Result::ok).unwrap_or(0);
    Some((major, next(), next()))
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "1" | "yes" => Some(true),
        "0" | "no" => Some(false),
        _ => None,
    }
}

/// `db3:keys=12,expires=0,avg_ttl=0`
fn database(name: &str, value: &str) -> Option<(u32, u64)> {
    let number = name.strip_prefix("db")?.parse().ok()?;
    let keys = value.split(',').find_map(|field| field.strip_prefix("keys="))?.parse().ok()?;
    Some((number, keys))
}

/// `slave0:ip=10.0.0.2,port=6379,state=online,offset=1,lag=0`
fn replica(name: &str, value: &str) -> Option<Endpoint> {
    name.strip_prefix("slave")?.parse::<u32>().ok()?;
    let field = |wanted: &str| value.split(',').find_map(|field| field.strip_prefix(wanted)?.strip_prefix('='));
    Some(Endpoint::new(field("ip")?, field("port")?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_parsed_and_missing_ones_are_unknown() {
        let info = ServerInfo::parse(
            "# Server\r\nredis_version:7.0.15\r\ntcp_port:1\r\n\r\n# Keyspace\r\ndb3:keys=12,expires=0\r\nodd\r\n\
             aof_enabled:1\r\nmaxmemory:junk\r\nloading:0\r\n",
        );
        assert_eq!(info.version(), Some((7, 0, 15)));
        assert_eq!((info.tcp_port, info.is_aof_enabled, info.is_loading), (Some(1), Some(true), Some(false)));
        assert_eq!(info.keyspace, [(3, 12)]);
        assert_eq!((info.max_memory, info.run_id, info.is_cluster), (None, None, None));
        assert_eq!(ServerInfo::parse(""), ServerInfo::default());
    }

    #[test]
    fn replicas_are_addresses() {
        let info = ServerInfo::parse(
            "slave_repl_offset:5\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=1,lag=0\r\nslave1:ip=::1,port=2,state=x\r\n",
        );
        assert_eq!(info.replicas, [Endpoint::new("10.0.0.2", 6379), Endpoint::new("::1", 2)]);
    }

    #[test]
    fn a_sentinel_of_valkey_is_recognised() {
        let info = ServerInfo::parse(
            "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\nserver_mode:sentinel\r\n",
        );
        assert_eq!((info.mode.as_deref(), info.valkey_version.as_deref()), (Some("sentinel"), Some("9.1.2")));
    }

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version_of("7.2"), Some((7, 2, 0)));
        assert_eq!(version_of("v2.14.0-rc1"), Some((2, 14, 0)));
        assert_eq!(version_of("unstable"), None);
    }
}

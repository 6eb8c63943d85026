mod builder;

pub use builder::SentinelsBuilder;

use std::net::SocketAddr;

use crate::topology::proxy_of;
use crate::wait::{DEADLINE, holds_within, wait_until};
use crate::{CommandError, FaultProxy, RedisServer};

/// One primary, its replicas, and three sentinels with a quorum of two, all on `127.0.0.1`.
///
/// Each node is a [`RedisServer`] that a test kills, pauses and starts again on its own: [`kill`](RedisServer::kill),
/// [`pause`](RedisServer::pause), [`resume`](RedisServer::resume), [`start_again`](RedisServer::start_again). Unlike a
/// standalone server, a node starts again with the configuration file as the sentinels have changed it.
///
/// What a method returns is what the servers report at that time.
#[derive(Debug)]
pub struct Sentinels {
    name: String,
    data: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
    /// One for each data server, or none at all.
    proxies: Vec<FaultProxy>,
}

impl Sentinels {
    /// One primary and two replicas, without passwords.
    pub fn builder() -> SentinelsBuilder {
        SentinelsBuilder::new()
    }

    /// The name of the primary in the sentinels.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The primary and the replicas, whatever their roles are now. At the start the first one was the primary.
    pub fn data(&self) -> &[RedisServer] {
        &self.data
    }

    /// The three sentinels.
    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// The addresses of the three sentinels.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(RedisServer::address).collect()
    }

    /// The proxy before this data server.
    ///
    /// # Panics
    /// Without [`through_proxies`](SentinelsBuilder::through_proxies), or for a server that is not one of [`data`](Self::data).
    pub fn proxy(&self, server: &RedisServer) -> &FaultProxy {
        proxy_of(&self.data, &self.proxies, server)
    }

    /// The port that this data server announces: that of its proxy, if it has one.
    pub fn announced_port(&self, server: &RedisServer) -> u16 {
        if self.proxies.is_empty() { server.port() } else { self.proxy(server).port() }
    }

    /// The server that all running sentinels name as the primary and that reports this role itself. Waits until there is one.
    ///
    /// # Panics
    /// When there is none within [`DEADLINE`].
    pub async fn primary(&self) -> &RedisServer {
        self.wait_for_primary("a primary on which the sentinels agree", |_| true).await
    }

    /// The running data servers that report to be replicas of the primary with a link that is up.
    ///
    /// # Panics
    /// As [`primary`](Self::primary).
    pub async fn replicas(&self) -> Vec<&RedisServer> {
        let primary = self.primary().await;
        let mut replicas = Vec::new();
        for server in self.data.iter().filter(|server| server.is_running()) {
            if self.follows(server, primary).await {
                replicas.push(server);
            }
        }
        replicas
    }

    /// Has a sentinel promote a replica, with `SENTINEL FAILOVER`. Returns the new primary after
    /// [`wait_settled`](Self::wait_settled).
    ///
    /// # Panics
    /// When no replica is promoted within [`DEADLINE`].
    pub async fn failover(&self) -> &RedisServer {
        let old = self.primary().await;
        // Refused while no replica has reported its state recently enough.
        let command = ["SENTINEL", "FAILOVER", &self.name];
        wait_until("a sentinel begins the failover", DEADLINE, async || {
            let Some(sentinel) = self.sentinels.iter().find(|sentinel| sentinel.is_running()) else { return false };
            sentinel.command(&command).await.is_ok()
        })
        .await;
        let new = self.wait_for_failover(old).await;
        self.wait_settled().await;
        new
    }

    /// Waits until the primary is another server than `old`, and returns it. The remaining replicas may not follow it yet.
    ///
    /// # Panics
    /// When it is not within [`DEADLINE`].
    pub async fn wait_for_failover(&self, old: &RedisServer) -> &RedisServer {
        self.wait_for_primary("another primary", |server| server.port() != old.port()).await
    }

    /// Waits until all running data servers but the primary are its replicas in sync, and all running sentinels report them and
    /// the other running sentinels as up.
    ///
    /// # Panics
    /// When this is not so within [`DEADLINE`].
    pub async fn wait_settled(&self) {
        wait_until("all replicas follow the primary, and the sentinels report it", DEADLINE, async || {
            self.is_settled().await.unwrap_or(false)
        })
        .await;
    }

    async fn is_settled(&self) -> Option<bool> {
        let primary = self.reported_primary().await?;
        let running = self.data.iter().filter(|server| server.is_running());
        let others = running.filter(|server| server.port() != primary.port()).collect::<Vec<_>>();
        for replica in &others {
            if !self.follows(replica, primary).await {
                return Some(false);
            }
        }
        let replication = primary.info("replication").await.ok()?;
        if replication.values().filter(|value| value.contains("state=online")).count() != others.len() {
            return Some(false);
        }
        let running = self.sentinels.iter().filter(|sentinel| sentinel.is_running()).collect::<Vec<_>>();
        for sentinel in &running {
            let replicas = self.healthy(sentinel, "REPLICAS").await.ok()?;
            let sentinels = self.healthy(sentinel, "SENTINELS").await.ok()?;
            let primary = fields(sentinel.command(&["SENTINEL", "MASTER", &self.name]).await.ok()?.as_strings()?);
            if replicas != others.len() || sentinels + 1 != running.len() || field(&primary, "flags") != "master" {
                return Some(false);
            }
        }
        Some(true)
    }

    /// How many of a sentinel's list are up and, as replicas, have a link to the primary.
    async fn healthy(&self, sentinel: &RedisServer, list: &str) -> Result<usize, CommandError> {
        let list = sentinel.command(&["SENTINEL", list, &self.name]).await?.into_array();
        let entries = list.into_iter().filter_map(|entry| Some(fields(entry.as_strings()?)));
        // A sentinel keeps `master_down` of another one for as long as it does not ask again.
        let is_up = |flags: &str| !flags.contains("s_down") && !flags.contains("disconnected");
        let healthy = entries
            .filter(|entry| is_up(field(entry, "flags")) && ["ok", ""].contains(&field(entry, "master-link-status")));
        Ok(healthy.count())
    }

    async fn wait_for_primary(&self, what: &str, accept: impl Fn(&RedisServer) -> bool) -> &RedisServer {
        let mut found = None;
        holds_within(DEADLINE, async || {
            found = self.reported_primary().await.filter(|server| accept(server));
            found.is_some()
        })
        .await;
        found.unwrap_or_else(|| panic!("not within {DEADLINE:?}: {what}"))
    }

    async fn reported_primary(&self) -> Option<&RedisServer> {
        let mut ports = Vec::new();
        for sentinel in self.sentinels.iter().filter(|sentinel| sentinel.is_running()) {
            let address = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &self.name]).await.ok()?;
            ports.push(address.as_strings()?.pop()?.parse::<u16>().ok()?);
        }
        let port = *ports.first()?;
        let server = self.data.iter().find(|server| self.announced_port(server) == port && server.is_running())?;
        let agreed = ports.iter().all(|other| *other == port);
        let is_primary = agreed && server.info("replication").await.ok()?.get("role")? == "master";
        is_primary.then_some(server)
    }

    async fn follows(&self, replica: &RedisServer, primary: &RedisServer) -> bool {
        let Ok(info) = replica.info("replication").await else { return false };
        let says = |field: &str, value: &str| info.get(field).is_some_and(|found| found == value);
        says("role", "slave")
            && says("master_link_status", "up")
            && says("master_port", &self.announced_port(primary).to_string())
    }
}

/// Pairs of a flat list of names and values.
fn fields(list: Vec<String>) -> Vec<(String, String)> {
    let (names, values): (Vec<_>, Vec<_>) = list.into_iter().enumerate().partition(|(index, _)| index % 2 == 0);
    names.into_iter().zip(values).map(|((_, name), (_, value))| (name, value)).collect()
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
}

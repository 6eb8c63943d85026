use std::io;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::FaultProxy;
use crate::port::ReservedPort;
use crate::server::{RedisServer, RedisServerBuilder, StartError};

/// Where the servers of a topology listen, before they start.
pub(crate) struct Places {
    pub(crate) ports: Vec<Arc<ReservedPort>>,
    /// One for each port, or none.
    pub(crate) proxies: Vec<FaultProxy>,
    /// The port that each server announces: its own, or that of its proxy.
    pub(crate) announced: Vec<u16>,
}

impl Places {
    pub(crate) async fn reserve(count: usize, with_proxies: bool) -> io::Result<Self> {
        let reserve = || ReservedPort::reserve().map(Arc::new);
        let ports = std::iter::repeat_with(reserve).take(count).collect::<io::Result<Vec<_>>>()?;
        let mut proxies = Vec::new();
        for port in ports.iter().filter(|_| with_proxies) {
            proxies.push(FaultProxy::start(([127, 0, 0, 1], port.number()).into()).await?);
        }
        let announced = if with_proxies {
            proxies.iter().map(FaultProxy::port).collect()
        } else {
            ports.iter().map(|port| port.number()).collect()
        };
        Ok(Self { ports, proxies, announced })
    }
}

/// The proxy before the server, one of `servers`.
pub(crate) fn proxy_of<'a>(servers: &[RedisServer], proxies: &'a [FaultProxy], server: &RedisServer) -> &'a FaultProxy {
    let position = servers.iter().position(|other| other.port() == server.port());
    let proxy = position.and_then(|position| proxies.get(position));
    proxy.expect("the server belongs to this topology, which was built with through_proxies()")
}

/// 40 hexadecimal digits, as the id of a sentinel or of a node.
pub(crate) fn random_id() -> String {
    std::iter::repeat_with(|| char::from_digit(fastrand::u32(0..16), 16).unwrap_or('0')).take(40).collect()
}

/// Starts all at the same time; the servers are in the order of the builders.
pub(crate) async fn start_all(builders: Vec<RedisServerBuilder>) -> Result<Vec<RedisServer>, StartError> {
    let mut starts = JoinSet::new();
    for (index, builder) in builders.into_iter().enumerate() {
        starts.spawn(async move { builder.start().await.map(|server| (index, server)) });
    }
    let mut started = Vec::new();
    while let Some(server) = starts.join_next().await {
        started.push(server.map_err(|error| StartError::System(io::Error::other(error)))??);
    }
    started.sort_by_key(|(index, _)| *index);
    Ok(started.into_iter().map(|(_, server)| server).collect())
}

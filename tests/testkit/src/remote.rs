//! Servers that can be cut off from the network without a closed connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::wait::DEADLINE;
use crate::{FaultProxy, RedisServer, RedisServerBuilder, StartError, skipped};

/// A server with a cable that can be pulled out: packets disappear, and no connection is closed.
///
/// The server runs in a network namespace of its own, if this process may create one (`CAP_SYS_ADMIN` and `CAP_NET_ADMIN`, and the
/// programs `unshare`, `nsenter` and `ip`). Otherwise a [`FaultProxy`] takes the place of the cable, and [`skipped`] reports the
/// reason.
pub struct RemoteServer {
    server: RedisServer,
    cable: Cable,
}

enum Cable {
    Namespace(Arc<Namespace>),
    Proxy(FaultProxy),
}

impl RemoteServer {
    /// Starts the server.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(builder: RedisServerBuilder) -> Result<Self, StartError> {
        let reason = match Namespace::new() {
            Ok(namespace) => {
                let namespace = Arc::new(namespace);
                match builder.clone().in_namespace(&namespace).start().await {
                    Ok(server) => return Ok(Self { server, cable: Cable::Namespace(namespace) }),
                    Err(error) => error.to_string(),
                }
            }
            Err(error) => error.to_string(),
        };
        let server = builder.start().await?;
        skipped(format!("a network namespace; a proxy replaces it: {reason}"));
        let proxy = FaultProxy::start(server.address()).await?;
        Ok(Self { server, cable: Cable::Proxy(proxy) })
    }

    /// The server. While it is unplugged from a namespace, the kit does not reach it either.
    pub fn server(&self) -> &RedisServer {
        &self.server
    }

    /// Whether the server is in a network namespace of its own.
    pub fn has_namespace(&self) -> bool {
        matches!(self.cable, Cable::Namespace(_))
    }

    /// Where clients reach it.
    pub fn address(&self) -> SocketAddr {
        match &self.cable {
            Cable::Namespace(_) => self.server.address(),
            Cable::Proxy(proxy) => proxy.address(),
        }
    }

    /// From now on nothing arrives, in both directions.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn unplug(&self) -> io::Result<()> {
        match &self.cable {
            Cable::Namespace(namespace) => namespace.switch(self.server.process_id()?, false),
            Cable::Proxy(proxy) => {
                proxy.blackhole().await;
                Ok(())
            }
        }
    }

    /// Everything arrives again.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn plug_in(&self) -> io::Result<()> {
        match &self.cable {
            Cable::Namespace(namespace) => namespace.switch(self.server.process_id()?, true),
            Cable::Proxy(proxy) => {
                proxy.pass().await;
                Ok(())
            }
        }
    }
}

/// The network namespace of a server's process, which ends with it, and a pair of connected interfaces.
pub(crate) struct Namespace {
    /// The interface on this side.
    here: String,
    /// The interface on the server's side.
    there: String,
    /// The first three bytes of both addresses, and the fourth of the network.
    network: [u8; 4],
}

impl Namespace {
    /// Checks that this process may create one.
    fn new() -> io::Result<Self> {
        run(&["unshare", "--net", "true"])?;
        let name = crate::random_prefix()[..9].to_owned();
        let network = [10, fastrand::u8(128..=250), fastrand::u8(..), fastrand::u8(0..64) * 4];
        Ok(Self { here: format!("{name}h"), there: format!("{name}t"), network })
    }

    /// The address of the server.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.host(2)
    }

    fn host(&self, number: u8) -> Ipv4Addr {
        let [a, b, c, d] = self.network;
        Ipv4Addr::new(a, b, c, d + number)
    }

    /// Connects the namespace of this process with that of the kit.
    pub(crate) async fn connect(&self, process: u32) -> io::Result<()> {
        let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net"));
        let (own, process) = (of("self")?, process.to_string());
        let begun = Instant::now();
        // the process creates its namespace first
        while of(&process)? == own {
            if begun.elapsed() > DEADLINE {
                return Err(io::Error::other("the server has no network namespace"));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (here, there) = (self.here.as_str(), self.there.as_str());
        run(&["ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", &process])?;
        run(&["ip", "address", "add", &format!("{}/30", self.host(1)), "dev", here])?;
        run(&["ip", "link", "set", here, "up"])?;
        inside(&process, &["ip", "address", "add", &format!("{}/30", self.host(2)), "dev", there])?;
        inside(&process, &["ip", "link", "set", there, "up"])
    }

    fn switch(&self, process: u32, on: bool) -> io::Result<()> {
        inside(&process.to_string(), &["ip", "link", "set", &self.there, if on { "up" } else { "down" }])
    }
}

/// Runs a program in the namespace of a process.
fn inside(process: &str, command: &[&str]) -> io::Result<()> {
    run(&[&["nsenter", "--net", "--target", process, "--"], command].concat())
}

fn run(command: &[&str]) -> io::Result<()> {
    let output = Command::new(command[0]).args(&command[1..]).output()?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("`{}`: {error}", command.join(" "))))
}

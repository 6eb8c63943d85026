mod answers;
mod frames;
mod scripts;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::RedisServer;
use crate::resp::encode;
use answers::{Change, Plan, changed, plan};
use frames::{frame_end, request};
use scripts::Scripts;

/// A proxy that makes a `redis-server` reply like Kvrocks. The replies were measured on Kvrocks 2.14.0.
///
/// It emulates: the greeting and `INFO` (no `run_id`, no `used_memory`, version 4.0.0), `SELECT` that answers `OK` and does not
/// switch, no users, no `CLIENT SETINFO`, `TRACKING` and `PAUSE`, commands that do not exist, also inside scripts, `EVAL` that
/// does not fill the cache of scripts, refused flags of scripts, statuses of scripts as bulk strings, errors without their codes,
/// `XREADGROUP` without a group, messages as arrays instead of RESP3 pushes, settings, and `ROLE`. A server at `maxmemory` replies as one at
/// `max-db-size`, which refuses all writes; here those that need memory. The texts of its errors are
/// approximate, except for those that begin with `ERR Invalid`, `ERR running script` and `NOSCRIPT`.
///
/// It does not emulate durations, durability, expiry and replication. It has no TLS. Dropping it ends all connections.
#[derive(Debug)]
pub struct KvrocksProxy {
    address: SocketAddr,
    listener: JoinHandle<()>,
}

struct Shared {
    target: SocketAddr,
    scripts: Scripts,
    kind: Kind,
}

/// The version and the configuration that the proxy emulates.
#[derive(Clone, Copy)]
struct Kind {
    version: &'static str,
    has_wait: bool,
    /// `resp3-enabled`
    has_resp3: bool,
    /// `rocksdb.write_options.sync`
    syncs: bool,
    /// Whether clients have the token of a namespace: they cannot read settings.
    is_namespace: bool,
}

const NEW: Kind = Kind { version: "2.14.0", has_wait: true, has_resp3: true, syncs: false, is_namespace: false };

impl KvrocksProxy {
    /// Listens on a free port of `127.0.0.1` and answers as version 2.14.0.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(server: &RedisServer) -> io::Result<Self> {
        Self::start_as(server, NEW).await
    }

    /// Like [`start`](Self::start), as version 2.13.0, which has no `WAIT`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_without_wait(server: &RedisServer) -> io::Result<Self> {
        Self::start_as(server, Kind { version: "2.13.0", has_wait: false, ..NEW }).await
    }

    /// Like [`start`](Self::start), with `resp3-enabled no`: it accepts `HELLO 3` and stays at version 2 of the protocol.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_without_resp3(server: &RedisServer) -> io::Result<Self> {
        Self::start_as(server, Kind { has_resp3: false, ..NEW }).await
    }

    /// Like [`start`](Self::start), with `rocksdb.write_options.sync yes`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_with_synced_writes(server: &RedisServer) -> io::Result<Self> {
        Self::start_as(server, Kind { syncs: true, ..NEW }).await
    }

    /// Like [`start`](Self::start), for clients with the token of a namespace, which may not read settings.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_for_namespace(server: &RedisServer) -> io::Result<Self> {
        Self::start_as(server, Kind { is_namespace: true, ..NEW }).await
    }

    async fn start_as(server: &RedisServer, kind: Kind) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { target: server.address(), scripts: Scripts::default(), kind });
        let listener = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    // Whatever fails on one side ends both.
                    let _ = Connection::open(client, &shared).await.serve(&shared).await;
                });
            }
        });
        Ok(Self { address, listener })
    }

    /// Host and port on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the server through this proxy, without a password.
    pub fn url(&self) -> String {
        format!("kvrocks://{}", self.address)
    }
}

impl Drop for KvrocksProxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

struct Connection {
    client: TcpStream,
    server: Option<TcpStream>,
    requests: Vec<u8>,
    replies: Vec<u8>,
}

impl Connection {
    async fn open(client: TcpStream, shared: &Shared) -> Self {
        let server = TcpStream::connect(shared.target).await.ok();
        Self { client, server, requests: Vec::new(), replies: Vec::new() }
    }

    /// One request after the other, until the client subscribes: then both directions on their own.
    async fn serve(mut self, shared: &Shared) -> io::Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        self.client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        loop {
            let Some((arguments, end)) = request(&self.requests) else {
                if self.client.read_buf(&mut self.requests).await? == 0 {
                    return Ok(());
                }
                continue;
            };
            let is_subscription =
                arguments.first().is_some_and(|name| name.to_ascii_uppercase().ends_with(b"SUBSCRIBE"));
            if is_subscription {
                server.write_all(&self.requests).await?;
                return forward_messages(self.client, server).await;
            }
            self.requests.drain(..end);
            let reply = match plan(arguments, &shared.scripts, shared.kind) {
                Plan::Answer(reply) => reply,
                Plan::Forward(arguments, change) => {
                    server.write_all(&encode(&arguments)).await?;
                    self.reply(&mut server, &change, shared).await?
                }
            };
            self.client.write_all(&reply).await?;
        }
    }

    async fn reply(&mut self, server: &mut TcpStream, change: &Change, shared: &Shared) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = frame_end(&self.replies, 0) {
                let frame = self.replies.drain(..end).collect::<Vec<_>>();
                return Ok(changed(&frame, change, &shared.scripts, shared.kind.version));
            }
            if server.read_buf(&mut self.replies).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Forwards requests as they are, and pushed messages as arrays.
async fn forward_messages(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let messages = async {
        let mut buffer = Vec::new();
        while from_server.read_buf(&mut buffer).await? > 0 {
            while let Some(end) = frame_end(&buffer, 0) {
                let is_message = ["message\r\n", "pmessage\r\n", "smessage\r\n"].iter().any(|kind| {
                    // after the count and the length of the kind
                    buffer[..end]
                        .splitn(3, |byte| *byte == b'\n')
                        .nth(2)
                        .is_some_and(|rest| rest.starts_with(kind.as_bytes()))
                });
                if is_message {
                    buffer[0] = b'*';
                }
                to_client.write_all(&buffer[..end]).await?;
                buffer.drain(..end);
            }
        }
        io::Result::Ok(())
    };
    tokio::select! {
        ended = messages => ended,
        ended = tokio::io::copy(&mut from_client, &mut to_server) => ended.map(drop),
    }
}

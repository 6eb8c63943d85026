use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::resp::{CommandError, arguments, frame_end};
use crate::{RedisServer, lock};

/// A proxy that has a script end between two of its writes, as in a server that dies there: the writes before stay, and the rest
/// never happens.
///
/// It learns the scripts as clients load them through it (`SCRIPT LOAD`), and on demand has the server run one of them with a
/// limit on its writes: the next write fails the script. It speaks no TLS. Dropping it ends all connections.
pub struct ScriptProxy {
    address: SocketAddr,
    scripts: Arc<Mutex<Scripts>>,
    listener: JoinHandle<()>,
}

#[derive(Default)]
struct Scripts {
    sources: Vec<String>,
    /// The digest that clients send, and the one that is run instead.
    instead: HashMap<Vec<u8>, Vec<u8>>,
}

impl ScriptProxy {
    /// Listens on a free port of `127.0.0.1` and forwards each connection to the server.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(server: &RedisServer) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, target) = (listener.local_addr()?, server.address());
        let scripts = Arc::new(Mutex::new(Scripts::default()));
        let shared = Arc::clone(&scripts);
        let listener = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(forward(client, target, Arc::clone(&shared)));
            }
        });
        Ok(Self { address, scripts, listener })
    }

    /// The URL of the server through this proxy, without a user.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// From now on the script fails before its write number `writes` + 1. `script` is the name at the beginning of its head,
    /// such as `queue/push`.
    ///
    /// # Errors
    /// [`CommandError`] of loading the changed script.
    ///
    /// # Panics
    /// When no client has loaded the script through this proxy.
    pub async fn interrupt(&self, server: &RedisServer, script: &str, writes: usize) -> Result<(), CommandError> {
        let head = format!("-- {script}:");
        let source = lock(&self.scripts).sources.iter().find(|source| source.contains(&head)).cloned();
        let source = source.unwrap_or_else(|| panic!("{script} has not been loaded through the proxy"));
        let (first_line, rest) = source.split_once('\n').unwrap_or((&source, ""));
        let limited = format!("{first_line}\n{}\n{rest}", LIMIT.replace("WRITES", &writes.to_string()));
        let digest = load(server, &source).await?;
        let instead = load(server, &limited).await?;
        lock(&self.scripts).instead.insert(digest, instead);
        Ok(())
    }

    /// All scripts run as they are.
    pub fn heal(&self) {
        lock(&self.scripts).instead.clear();
    }
}

impl Drop for ScriptProxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Counts what is no read: the server knows which commands write, but a script cannot ask it.
const LIMIT: &str = "
local real, left = redis.call, WRITES
local reads = { TIME = 1, GET = 1, GETRANGE = 1, HMGET = 1, HGET = 1, HLEN = 1, HEXISTS = 1, HSTRLEN = 1, HVALS = 1, LRANGE = 1,
  LLEN = 1, LPOS = 1, LINDEX = 1, EXISTS = 1, ZRANGE = 1, ZRANGEBYLEX = 1, ZRANGEBYSCORE = 1, ZSCORE = 1, ZMSCORE = 1, ZCARD = 1,
  ZCOUNT = 1 }
local redis = { call = function(command, ...)
  if not reads[command] then
    if left == 0 then error('the server died') end
    left = left - 1
  end
  return real(command, ...)
end }";

async fn load(server: &RedisServer, source: &str) -> Result<Vec<u8>, CommandError> {
    let digest = server.command(&["SCRIPT", "LOAD", source]).await?;
    digest.as_bytes().map(<[u8]>::to_vec).ok_or(CommandError::Malformed)
}

/// Forwards both directions until either ends.
async fn forward(client: TcpStream, target: SocketAddr, scripts: Arc<Mutex<Scripts>>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let requests = async {
        let mut buffer = Vec::new();
        while from_client.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
            let whole = exchange_all(&mut buffer, &scripts);
            if to_server.write_all(&buffer[..whole]).await.is_err() {
                return;
            }
            buffer.drain(..whole);
        }
    };
    tokio::select! {
        () = requests => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

/// Exchanges the scripts in all whole requests, and returns where these end.
fn exchange_all(buffer: &mut [u8], scripts: &Mutex<Scripts>) -> usize {
    let mut whole = 0;
    while whole < buffer.len() {
        let end = match frame_end(buffer, whole) {
            Ok(end) => end,
            // an inline command, such as a greeting
            Err(_) => buffer[whole..].windows(2).position(|pair| pair == b"\r\n").map(|length| whole + length + 2),
        };
        let Some(end) = end else { break };
        let places = arguments(buffer, whole).unwrap_or_default();
        exchange(buffer, &places, scripts);
        whole = end;
    }
    whole
}

fn exchange(buffer: &mut [u8], arguments: &[Range<usize>], scripts: &Mutex<Scripts>) {
    let mut scripts = lock(scripts);
    let argument = |at: usize| arguments.get(at).map(|place| buffer[place.clone()].to_vec()).unwrap_or_default();
    match argument(0).to_ascii_uppercase().as_slice() {
        b"SCRIPT" if argument(1).eq_ignore_ascii_case(b"LOAD") => {
            scripts.sources.push(String::from_utf8_lossy(&argument(2)).into_owned());
        }
        b"EVALSHA" => {
            if let Some(instead) = scripts.instead.get(&argument(1)) {
                buffer[arguments[1].clone()].copy_from_slice(instead);
            }
        }
        _ => {}
    }
}

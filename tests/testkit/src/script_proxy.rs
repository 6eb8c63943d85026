use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::resp::{CommandError, arguments, frame_end};
use crate::{RedisServer, RespConnection, lock};

/// A proxy that has a script end between two of its writes, as in a server that dies there: the writes before stay, and the rest
/// never happens.
///
/// It can also give scripts another clock. It learns the scripts as clients load them through it (`SCRIPT LOAD`), and on demand has the server run one of them with a
/// limit on its writes: the next write ends the script. It keeps the limit in a key of the server, `testkit:writes`. It speaks
/// no TLS. Dropping it ends all connections.
pub struct ScriptProxy {
    address: SocketAddr,
    scripts: Arc<Mutex<Scripts>>,
    control: tokio::sync::Mutex<RespConnection>,
    listener: JoinHandle<()>,
}

/// What follows when a script was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interrupted {
    /// The client gets an error.
    Fails,
    /// The script runs again at once, without a limit, with a blank and `r` after its first argument: so the link marks a request
    /// of which an earlier copy may have been executed. The client gets the second answer.
    IsRepeated,
}

#[derive(Default)]
struct Scripts {
    sources: Vec<String>,
    /// For a script and what follows: its digest, and that of the limited one.
    limited: HashMap<(String, Interrupted), (Vec<u8>, Vec<u8>)>,
    /// The digest that clients send, and the one that is run instead.
    instead: HashMap<Vec<u8>, Vec<u8>>,
}

impl ScriptProxy {
    /// Listens on a free port of `127.0.0.1` and forwards each connection to the server.
    ///
    /// # Errors
    /// When no port can be had, or the server cannot be reached.
    pub async fn start(server: &RedisServer) -> io::Result<Self> {
        let control = server.connect().await.map_err(io::Error::other)?;
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
        Ok(Self { address, scripts, control: control.into(), listener })
    }

    /// The URL of the server through this proxy, without a user.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The next run of the script that makes more than `writes` writes ends before its write number `writes` + 1. `script` is the
    /// name at the beginning of its head, such as `queue/push`.
    ///
    /// # Errors
    /// [`CommandError`] of loading the changed script.
    ///
    /// # Panics
    /// When no client has loaded the script through this proxy.
    pub async fn interrupt(&self, script: &str, writes: usize, then: Interrupted) -> Result<(), CommandError> {
        let mut control = self.control.lock().await;
        let of = (script.to_owned(), then);
        let known = lock(&self.scripts).limited.get(&of).cloned();
        let (digest, instead) = match known {
            Some(digests) => digests,
            None => {
                let source = self.source(script);
                let digests = (load(&mut control, &source).await?, load(&mut control, &limited(&source, then)).await?);
                lock(&self.scripts).limited.insert(of, digests.clone());
                digests
            }
        };
        control.command(&["SET", "testkit:writes", &writes.to_string()]).await?;
        lock(&self.scripts).instead.insert(digest, instead);
        Ok(())
    }

    /// From now on, these scripts find the server's clock `seconds` ahead: to them, the client's clock is that much behind.
    ///
    /// # Errors
    /// [`CommandError`] of loading a changed script.
    ///
    /// # Panics
    /// When no client has loaded one of the scripts through this proxy.
    pub async fn shift_clock(&self, scripts: &[&str], seconds: i64) -> Result<(), CommandError> {
        let mut control = self.control.lock().await;
        for script in scripts {
            let source = self.source(script);
            let shifted = wrapped(&source, &SHIFT.replace("SECONDS", &seconds.to_string()));
            let (digest, instead) = (load(&mut control, &source).await?, load(&mut control, &shifted).await?);
            lock(&self.scripts).instead.insert(digest, instead);
        }
        Ok(())
    }

    /// The text of a script that a client has loaded.
    fn source(&self, script: &str) -> String {
        let head = format!("-- {script}:");
        let source = lock(&self.scripts).sources.iter().find(|source| source.contains(&head)).cloned();
        source.unwrap_or_else(|| panic!("{script} has not been loaded through the proxy"))
    }

    /// Calls `round` for each write of the script and each of [`Interrupted`], and once more for each of these without an
    /// interruption. Each round prepares data of its own, and makes the call in [`Interruption::during`]. Returns how many writes
    /// the script makes. Prints where it interrupts: the output of a test that fails.
    ///
    /// # Panics
    /// As [`interrupt`](Self::interrupt).
    #[allow(clippy::print_stdout, reason = "shown when a test fails")]
    pub async fn at_each_write(
        &self,
        script: &str,
        context: impl Display,
        mut round: impl AsyncFnMut(&mut Interruption<'_>),
    ) -> usize {
        let mut count = 0;
        for then in [Interrupted::IsRepeated, Interrupted::Fails] {
            for writes in 0.. {
                println!("{script}, {context}: interrupted after {writes} writes, then {then:?}");
                let mut interruption = Interruption { proxy: self, script, writes, then, happened: false };
                round(&mut interruption).await;
                if !interruption.happened {
                    count = writes;
                    break;
                }
            }
        }
        count
    }

    /// All scripts run as they are. Returns whether one was interrupted since [`interrupt`](Self::interrupt).
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn heal(&self) -> Result<bool, CommandError> {
        lock(&self.scripts).instead.clear();
        let mut control = self.control.lock().await;
        let left = control.command(&["GETDEL", "testkit:writes"]).await?;
        Ok(left.as_str() == Some("interrupted"))
    }
}

/// One of the interruptions of [`ScriptProxy::at_each_write`].
pub struct Interruption<'a> {
    proxy: &'a ScriptProxy,
    script: &'a str,
    writes: usize,
    then: Interrupted,
    happened: bool,
}

impl Interruption<'_> {
    /// Makes a call, whose script is interrupted.
    ///
    /// # Panics
    /// As [`ScriptProxy::interrupt`].
    pub async fn during<T, E: Debug>(&mut self, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.proxy.interrupt(self.script, self.writes, self.then).await.expect("the script can be changed");
        let outcome = call.await;
        self.happened = self.proxy.heal().await.expect("the server answers") || outcome.is_err();
        outcome
    }
}

impl Drop for ScriptProxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Counts what is no read: the server knows which commands write, but a script cannot ask it.
const LIMIT: &str = "
local left, is_interrupted = tonumber(redis.call('GET', 'testkit:writes')), false
local reads = {}
for name in ([[TIME GET GETRANGE HMGET HGET HLEN HEXISTS HSTRLEN HVALS HRANDFIELD HSCAN LRANGE LLEN LPOS LINDEX EXISTS ZRANGE
  ZRANGEBYLEX ZRANGEBYSCORE ZSCORE ZMSCORE ZCARD ZCOUNT ZSCAN INFO PUBSUB]]):gmatch('%u+') do reads[name] = true end
local function check(command)
  if not left or reads[command] then return end
  if left == 0 then
    left, is_interrupted = nil, true
    redis.call('SET', 'testkit:writes', 'interrupted')
    error('the server died')
  end
  left = left - 1
end
local limited = {
  call = function(command, ...) check(command) return redis.call(command, ...) end,
  pcall = function(command, ...) check(command) return redis.pcall(command, ...) end,
}
local is_whole, answer = pcall(run, limited, ARGV)
if is_whole then return answer end
if not is_interrupted or not IS_REPEATED then error(answer) end
local again = { ARGV[1] .. ' r' }
for i = 2, #ARGV do again[i] = ARGV[i] end
return run(redis, again)";

const SHIFT: &str = "
local function shifted(answer, command)
  if command == 'TIME' then answer[1] = string.format('%d', answer[1] + SECONDS) end
  return answer
end
local clock = {
  call = function(command, ...) return shifted(redis.call(command, ...), command) end,
  pcall = function(command, ...) return shifted(redis.pcall(command, ...), command) end,
}
return run(clock, ARGV)";

fn limited(source: &str, then: Interrupted) -> String {
    let is_repeated = (then == Interrupted::IsRepeated).to_string();
    wrapped(source, &LIMIT.replace("IS_REPEATED", &is_repeated))
}

/// The script as a function `run`, and what runs it.
fn wrapped(source: &str, runs: &str) -> String {
    let (first_line, rest) = source.split_once('\n').unwrap_or((source, ""));
    format!("{first_line}\nlocal function run(redis, ARGV)\n{rest}\nend\n{runs}")
}

async fn load(control: &mut RespConnection, source: &str) -> Result<Vec<u8>, CommandError> {
    let digest = control.command(&["SCRIPT", "LOAD", source]).await?;
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

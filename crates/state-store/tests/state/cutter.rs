//! A server that dies between two writes of a script: its earlier writes are kept, the later ones never happen.
//!
//! A proxy records the scripts as they are loaded. On demand it makes the server run one of them with a limit on its
//! writes: the next write fails the script, and the earlier writes are kept, because no server rolls a script back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use testkit::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Cutter {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    sources: Vec<String>,
    /// The digest that is sent -> the digest that is run instead.
    instead: HashMap<Vec<u8>, Vec<u8>>,
}

impl Cutter {
    pub(crate) async fn start(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, target) = (Arc::new(Mutex::new(Seen::default())), server.address());
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(target).await.unwrap();
                tokio::spawn(forward(client, server, Arc::clone(&shared)));
            }
        });
        Self { port, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on the script fails at its write number `writes` + 1.
    pub(crate) async fn cut(&self, server: &RedisServer, script: &str, writes: usize) {
        let head = format!("-- {script}:");
        let source = self.seen.lock().unwrap().sources.iter().find(|source| source.contains(&head)).cloned();
        let source = source.unwrap_or_else(|| panic!("{script} has not been loaded through the cutter"));
        let (first_line, rest) = source.split_once('\n').unwrap();
        let limited = format!("{first_line}\n{}\n{rest}", LIMIT.replace("WRITES", &writes.to_string()));
        let digest = load(server, &source).await;
        let instead = load(server, &limited).await;
        self.seen.lock().unwrap().instead.insert(digest, instead);
    }

    /// All scripts run unchanged.
    pub(crate) fn heal(&self) {
        self.seen.lock().unwrap().instead.clear();
    }
}

const LIMIT: &str = "
local real, left = redis.call, WRITES
local reads = { TIME = 1, HMGET = 1, HGET = 1, HLEN = 1, HEXISTS = 1, HSTRLEN = 1, LRANGE = 1, LLEN = 1, LPOS = 1, LINDEX = 1, HVALS = 1, EXISTS = 1,
  ZRANGE = 1, ZRANGEBYSCORE = 1, ZSCORE = 1, ZMSCORE = 1, ZCARD = 1, ZCOUNT = 1 }
local redis = { call = function(command, ...)
  if not reads[command] then
    if left == 0 then error('the server died') end
    left = left - 1
  end
  return real(command, ...)
end }";

async fn load(server: &RedisServer, source: &str) -> Vec<u8> {
    server.command(&["SCRIPT", "LOAD", source]).await.unwrap().as_bytes().unwrap().to_vec()
}

async fn forward(client: TcpStream, server: TcpStream, seen: Arc<Mutex<Seen>>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut buffer = Vec::new();
    while from_client.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        let mut whole = 0;
        while let Some(arguments) = request(&buffer, &mut whole) {
            exchange(&mut buffer, &arguments, &seen);
        }
        if to_server.write_all(&buffer[..whole]).await.is_err() {
            return;
        }
        buffer.drain(..whole);
    }
}

/// The ranges of the arguments of the request at `at`, which advances past it; `None` if the request is incomplete.
fn request(buffer: &[u8], at: &mut usize) -> Option<Vec<std::ops::Range<usize>>> {
    if buffer.get(*at).is_some_and(|byte| *byte != b'*') {
        // A greeting, in a line without arguments.
        *at += buffer[*at..].windows(2).position(|window| window == b"\r\n")? + 2;
        return Some(Vec::new());
    }
    let number = |from: &mut usize| {
        let length = buffer.get(*from..)?.windows(2).position(|window| window == b"\r\n")?;
        let digits = std::str::from_utf8(&buffer[*from + 1..*from + length]).unwrap();
        *from += length + 2;
        Some(digits.parse::<usize>().unwrap())
    };
    let mut end = *at;
    let arguments = (0..number(&mut end)?).map(|_| {
        let length = number(&mut end)?;
        let place = end..end + length;
        end += length + 2;
        (end <= buffer.len()).then_some(place)
    });
    let arguments = arguments.collect::<Option<Vec<_>>>()?;
    *at = end;
    Some(arguments)
}

fn exchange(buffer: &mut [u8], arguments: &[std::ops::Range<usize>], seen: &Mutex<Seen>) {
    let mut seen = seen.lock().unwrap();
    let text = |at: usize| arguments.get(at).map(|place| buffer[place.clone()].to_vec()).unwrap_or_default();
    match text(0).to_ascii_uppercase().as_slice() {
        b"SCRIPT" if text(1).eq_ignore_ascii_case(b"LOAD") => seen.sources.push(String::from_utf8(text(2)).unwrap()),
        b"EVALSHA" => {
            if let Some(instead) = seen.instead.get(&text(1)) {
                buffer[arguments[1].clone()].copy_from_slice(instead);
            }
        }
        _ => {}
    }
}

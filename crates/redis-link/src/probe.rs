//! [`Probe`]: the facts about one server that checks before a start need. Answers are three-valued: if a server hides a
//! fact or forbids the question, the fact is unknown, not false.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use store_core::{Clock, Error, ErrorKind, Op, Result, Timestamp, millis_ceil};

use crate::link::Opened;
use crate::wire::{self, Failure, Request};
use crate::{Arg, Capabilities, Endpoint, Greeting, LinkConfig, Reply, Script};

mod cluster;
mod encryption;
mod fsync;
mod info;
mod mark;
mod opening;
pub(crate) mod owner;
pub(crate) mod permissions;
mod quorum;
pub(crate) mod scripts;

pub use cluster::{ClusterInfo, ClusterNode};
pub use info::{ServerInfo, version_of};
pub use owner::{NumberClaim, Owner};
pub use permissions::UserInfo;
pub use quorum::SentinelGroup;

/// How many databases one pipeline searches.
const DATABASES_AT_ONCE: usize = 64;

/// A fact about a server, or why it is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<T> {
    /// The server's answer.
    Known(T),
    /// No answer: the server forbids the question, does not know it, or gave an unexpected answer. The reason in words,
    /// without data.
    Unknown(String),
}

impl<T> Fact<T> {
    /// The value, if known.
    pub fn known(self) -> Option<T> {
        match self {
            Fact::Known(value) => Some(value),
            Fact::Unknown(_) => None,
        }
    }

    /// The value by reference, if known.
    pub fn as_known(&self) -> Option<&T> {
        match self {
            Fact::Known(value) => Some(value),
            Fact::Unknown(_) => None,
        }
    }

    /// Applies `f` to the value, if known.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Fact::Known(value) => Fact::Known(change(value)),
            Fact::Unknown(why) => Fact::Unknown(why),
        }
    }

    pub(crate) fn of_option(value: Option<T>, why: &str) -> Self {
        value.map_or_else(|| Fact::Unknown(why.to_owned()), Fact::Known)
    }
}

/// The settings of a server that matter to its role (`CONFIG GET`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerSettings {
    /// `maxmemory-policy`
    pub maxmemory_policy: Fact<String>,
    /// `appendonly`: `yes` or `no`.
    pub appendonly: Fact<String>,
    /// `appendfsync`: `always`, `everysec` or `no`.
    pub appendfsync: Fact<String>,
    /// `save`: the snapshot rules; empty for none.
    pub save: Fact<String>,
    /// `databases`: how many there are.
    pub databases: Fact<u32>,
    /// `min-replicas-to-write`
    pub min_replicas_to_write: Fact<u32>,
    /// `maxclients`: how many connections the server accepts.
    pub max_clients: Fact<u32>,
    /// `maxmemory-clients`: the server disconnects clients if their buffers exceed this in all; `0` for never.
    pub max_memory_clients: Fact<String>,
}

/// A short-lived connection to one server that asks questions. Dropping it closes the connection.
///
/// If the URL names a cluster, the server is one of its primaries. A question about a key follows redirections to the node that has
/// its slot, on another connection.
///
/// Opening takes at most the connect time-out of the configuration. So does each question, unless
/// [`with_patience`](Probe::with_patience) sets another time. The connection begins in the database of the URL and
/// returns to it after each question. One question at a time.
pub struct Probe {
    opened: Opened,
    config: LinkConfig,
    patience: Duration,
    /// Connections to other nodes of a cluster; `None` if redirections are not followed.
    others: Option<Mutex<Vec<Arc<Opened>>>>,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe").field("config", &self.config).finish()
    }
}

impl Probe {
    /// The server to which the connection leads: for a URL with sentinels, the primary.
    pub fn endpoint(&self) -> &Endpoint {
        self.opened.endpoint()
    }

    /// How long each question waits for its answer.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whether the server accepts clients without user and password. Opens a connection of its own.
    pub async fn is_open_to_all(config: LinkConfig) -> Fact<bool> {
        match Self::open(config.without_credentials()).await {
            Ok(probe) => match probe.ask(Request::new("PING", [])).await {
                Ok(_) => Fact::Known(true),
                Err(failure) => unknown_unless_refused(&failure.into_error(Op::Probe, "PING")),
            },
            Err(error) => unknown_unless_refused(&error),
        }
    }

    /// What the server reported when the connection was opened. Sends nothing.
    pub fn greeting(&self) -> Fact<Greeting> {
        Fact::of_option(self.opened.wire.greeting().cloned(), "the server does not know HELLO")
    }

    /// The capabilities of the server when the connection was opened. Sends nothing.
    pub fn capabilities(&self) -> &Capabilities {
        self.opened.wire.capabilities()
    }

    /// The fields of `INFO`.
    pub async fn server_info(&self) -> Fact<ServerInfo> {
        self.question("INFO", []).await.map(|reply| ServerInfo::parse(reply.as_str().unwrap_or_default()))
    }

    /// The settings of `CONFIG GET`; each of them may be unknown.
    pub async fn server_settings(&self) -> ServerSettings {
        ServerSettings {
            maxmemory_policy: self.setting("maxmemory-policy").await,
            appendonly: self.setting("appendonly").await,
            appendfsync: self.setting("appendfsync").await,
            save: self.setting("save").await,
            databases: as_number(self.setting("databases").await),
            min_replicas_to_write: as_number(self.setting("min-replicas-to-write").await),
            max_clients: as_number(self.setting("maxclients").await),
            max_memory_clients: self.setting("maxmemory-clients").await,
        }
    }

    /// The server's clock (`TIME`).
    pub async fn time(&self) -> Fact<Timestamp> {
        let reply = match self.question("TIME", []).await {
            Fact::Known(reply) => reply,
            Fact::Unknown(why) => return Fact::Unknown(why),
        };
        Fact::of_option(time_of(&reply), "TIME was answered with something else")
    }

    /// Whether a database number can be selected. If the server accepts any word as the number, it does not switch databases.
    pub async fn can_select(&self, database: u32) -> Fact<bool> {
        if database == self.home() {
            return Fact::Known(true);
        }
        if self.capabilities().select == Fact::Known(false) {
            return Fact::Known(false);
        }
        match self.ask(select(database)).await {
            Ok(_) => self.ask(select(self.home())).await.map_or_else(unknown, |_| Fact::Known(true)),
            Err(failure) if failure.is_no_database() => Fact::Known(false),
            Err(failure) => unknown(failure),
        }
    }

    /// Writes `key` in `database`, for [`find_probe_key`](Self::find_probe_key) through another URL, with a TTL
    /// (rounded up to a millisecond). It also proves that the server accepts writes.
    ///
    /// # Errors
    /// `Forbidden` if the user may not write that key or select the database; `InvalidArgument` if there is no such
    /// database; `Unavailable` if the server refuses writes: a read-only replica, a full disk; `Limit` if its memory is full.
    pub async fn set_probe_key(&self, database: u32, key: &str, value: &str, ttl: Duration) -> Result<()> {
        let args = crate::args![key, value, "PX", millis_ceil(ttl).max(1)];
        let written = self.in_database(database, async || self.ask(Request::new("SET", args)).await).await;
        written.map(drop).map_err(|failure| failure.into_error(Op::Probe, "SET"))
    }

    /// The databases in which `key` has `value`: that of the URL, and those below `count` that can be selected, at most
    /// 1024, 64 per round trip. Unknown if it was not found and a database that may have it could not be read.
    pub async fn find_probe_key(&self, key: &str, value: &str, count: u32) -> Fact<Vec<u32>> {
        let get = || Request::new("GET", [Arg::from(key)]);
        let is_there = |reply: &Reply| reply.as_str() == Some(value);
        let mut found = Vec::new();
        let mut unread = None;
        // The keys of a cluster are in database 0.
        let count = if self.others.is_some() { 1 } else { count };
        match self.ask(get()).await {
            Ok(reply) => found.extend(is_there(&reply).then_some(self.home())),
            Err(failure) => unread = Some(failure),
        }
        let others: Vec<u32> = (0..count.min(1024)).filter(|database| *database != self.home()).collect();
        for some in others.chunks(DATABASES_AT_ONCE) {
            let mut requests: Vec<_> = some.iter().flat_map(|database| [select(*database), get()]).collect();
            requests.push(select(self.home()));
            let replies = match self.opened.wire.pipeline(requests, self.patience).await {
                Ok(replies) => replies,
                Err(failure) => return unknown(failure),
            };
            let mut replies = replies.into_iter();
            for database in some {
                match (replies.next(), replies.next()) {
                    (Some(Ok(_)), Some(Ok(reply))) => found.extend(is_there(&reply).then_some(*database)),
                    (Some(Err(failure)), _) if failure.is_no_database() => {}
                    (Some(Err(failure)), _) | (_, Some(Err(failure))) => unread = Some(failure),
                    _ => {}
                }
            }
        }
        match unread {
            Some(failure) if found.is_empty() => unknown(failure),
            _ => Fact::Known(found),
        }
    }

    /// Whether the server accepts writes: writes `key` in the URL's database with a TTL of one second.
    pub async fn is_writable(&self, key: &str) -> Fact<bool> {
        match self.set_probe_key(self.home(), key, "1", Duration::from_secs(1)).await {
            Ok(()) => Fact::Known(true),
            Err(Error::Unavailable { .. } | Error::Limit { .. }) => Fact::Known(false),
            Err(error) => Fact::Unknown(error.detail().into_owned()),
        }
    }

    fn home(&self) -> u32 {
        self.config.url.database().unwrap_or(0)
    }

    /// Sends a request in a database, and selects the URL's database again. Sends nothing if the database cannot be
    /// selected.
    async fn in_database(
        &self,
        database: u32,
        request: impl AsyncFnOnce() -> std::result::Result<Reply, Failure>,
    ) -> std::result::Result<Reply, Failure> {
        if database == self.home() {
            return request().await;
        }
        self.ask(select(database)).await?;
        let reply = request().await;
        self.ask(select(self.home())).await?;
        reply
    }

    /// Runs a script, and loads it first if the server does not have it.
    async fn run<K: AsRef<[u8]>>(
        &self,
        script: &Script,
        keys: &[K],
        args: Vec<Arg>,
    ) -> std::result::Result<Reply, Failure> {
        let send = async || self.ask(Request::script(script, keys, args.clone(), &Clock::Server)).await;
        let mut answered = send().await;
        if answered.as_ref().is_err_and(Failure::is_unknown_script) {
            self.load(script).await?;
            answered = send().await;
        }
        match answered {
            // the refusal has reported the server's time
            Err(Failure::Late) => send().await,
            answered => answered,
        }
    }

    /// A setting of Kvrocks (`CONFIG GET`). Only the administrator may read it.
    pub async fn kvrocks_setting(&self, name: &'static str) -> Fact<String> {
        self.setting(name).await
    }

    async fn setting(&self, name: &'static str) -> Fact<String> {
        let value = match self.question("CONFIG GET", [Arg::fixed(name)]).await {
            Fact::Known(Reply::List(pair)) => pair.get(1).and_then(Reply::as_str).map(str::to_owned),
            Fact::Known(_) => None,
            Fact::Unknown(why) => return Fact::Unknown(why),
        };
        Fact::of_option(value, "the server has no such setting")
    }

    async fn question<const N: usize>(&self, name: &'static str, args: [Arg; N]) -> Fact<Reply> {
        self.ask(Request::new(name, args)).await.map_or_else(unknown, Fact::Known)
    }
}

fn select(database: u32) -> Request<'static> {
    Request::new("SELECT", [Arg::from(database)])
}

fn time_of(reply: &Reply) -> Option<Timestamp> {
    let micros = u64::try_from(wire::time(reply)?).ok()?;
    Some(Timestamp::from_millis(micros / 1000))
}

fn as_number(setting: Fact<String>) -> Fact<u32> {
    match setting {
        Fact::Known(text) => Fact::of_option(text.parse().ok(), "the setting is not a number"),
        Fact::Unknown(why) => Fact::Unknown(why),
    }
}

fn unknown<T>(failure: Failure) -> Fact<T> {
    // The question names the command.
    Fact::Unknown(failure.into_error(Op::Probe, "the question").detail().into_owned())
}

/// A refusal is an answer to the question whether the server accepts a client.
fn unknown_unless_refused(error: &Error) -> Fact<bool> {
    match error.kind() {
        ErrorKind::Unauthenticated | ErrorKind::Forbidden => Fact::Known(false),
        _ => Fact::Unknown(error.detail().into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_no_clock_shows_is_unknown() {
        let time = |parts: [i64; 2]| time_of(&Reply::List(parts.map(Reply::Int).into()));
        assert_eq!(time([1_800_000_000, 999_999]), Some(Timestamp::from_millis(1_800_000_000_999)));
        for garbage in [[i64::MAX, 0], [i64::MAX / 1_000_000, i64::MAX], [-1, 0]] {
            assert_eq!(time(garbage), None, "{garbage:?}");
        }
    }
}

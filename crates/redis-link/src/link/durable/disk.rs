//! The settings that prove that a write is on the disk of the server.
//!
//! Settings can change while the server runs. They are therefore read before and after each write; the write counts as on
//! disk only if both readings prove it.

use std::time::Duration;

use crate::wire::{Failure, Request, Wire};
use crate::{Arg, Fact, Reply, version_of};

/// The first version of Redis whose `WAITAOF` was measured to wait for the disk under `appendfsync everysec`. Redis 7.4
/// and Valkey 8.1 and 9.1 answer before any fsync (<https://github.com/redis/redis/pull/13793>).
const WAITS_UNDER_EVERYSEC: (u32, u32, u32) = (8, 2, 0);

const HIDDEN: Failure = Failure::Unsupported(
    "whether a write is on disk depends on settings that this server hides; allow `+config|get` (it also shows the passwords \
     `masterauth` and `requirepass`), or do not request Fsynced",
);
const HIDDEN_STATE: Failure = Failure::Unsupported(
    "whether a write is on disk cannot be read: allow WAITAOF (from Redis 7.2) or INFO, or do not request Fsynced",
);
const NO_FILE: Failure = Failure::Unsupported(
    "the server writes nothing to disk before it answers: `appendonly` is `no`; set `appendonly yes` and `appendfsync \
     always`",
);
const ON_REWRITE: Failure = Failure::Unsupported(
    "the server does not sync its append-only file while it saves or rewrites: set `no-appendfsync-on-rewrite no`",
);
const NEVER: Failure =
    Failure::Unsupported("the server leaves it to the system when a write is on disk: set `appendfsync always`");
const EVERYSEC: Failure = Failure::Unsupported(
    "the server answers before a write is on disk: set `appendfsync always` (under `everysec` only Redis from 8.2 can \
     wait for the disk; Valkey cannot)",
);
const UNSYNCED: Failure = Failure::Unsupported(
    "the server answers before a write is on disk: set `rocksdb.write_options.sync yes` and restart it, or do not request Fsynced",
);
const HIDDEN_SYNC: Failure = Failure::Unsupported(
    "whether Kvrocks syncs each write is unknown: only its administrator may read `rocksdb.write_options.sync`, not a user with \
     the token of a namespace; do not request Fsynced",
);
const UNHEALTHY: Failure = Failure::Withheld("the server's last write to its append-only file failed");
const REWRITING: Failure = Failure::Withheld(
    "the server rewrites its append-only file; before Redis 7.2 it does not report whether writes are on disk meanwhile",
);

/// Why a reply of a server means that the write before it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// `appendfsync always`, and `WAITAOF`, which answers only if the synced file is the one in use.
    Confirmed,
    /// `appendfsync always` without `WAITAOF`. The synced file is the one in use while no rewrite is under way. A file that
    /// was switched on at run time is in use after its first rewrite.
    Replied,
    /// `appendfsync everysec`, and `WAITAOF`, which answers when the file is synced.
    EverySecond,
    /// `rocksdb.write_options.sync yes` of Kvrocks. It was read when this connection was opened, and cannot change while the server
    /// runs.
    EachWrite,
}

impl Proof {
    /// Reads what the settings of a server prove. One round trip.
    ///
    /// # Errors
    /// `Unsupported` if they prove nothing, with the reason; `Withheld` if they prove nothing at the moment.
    pub(crate) async fn ask(wire: &Wire, patience: Duration) -> Result<Self, Failure> {
        let capabilities = wire.capabilities();
        match (&capabilities.waitaof, &capabilities.synced_writes) {
            (Fact::Known(false), Fact::Known(true)) => return Ok(Proof::EachWrite),
            (Fact::Known(false), Fact::Known(false)) => return Err(UNSYNCED),
            // Kvrocks accepts only one setting in each CONFIG GET
            _ if capabilities.is_plain => return Err(HIDDEN_SYNC),
            _ => {}
        }
        let mut requests = vec![
            Request::new("HELLO", []),
            // waits for nothing; it only shows whether the command may be sent
            Request::new("WAITAOF", [Arg::from(0), Arg::from(0), Arg::from(1)]),
        ];
        requests.extend(readings());
        let mut replies = wire.pipeline(requests, patience).await?.into_iter();
        let mut next = || replies.next().unwrap_or(Err(Failure::Lost("the replies do not match")));
        let (hello, waits) = (next(), next().is_ok());
        let reading = Reading::of(next(), next())?;
        let waits_under_everysec = waits && hello.is_ok_and(|hello| is_redis_since(&hello, WAITS_UNDER_EVERYSEC));
        reading.proves(waits, waits_under_everysec)
    }

    /// The commands to send before the write, in the same pipeline.
    pub(super) fn before(self) -> Vec<Request<'static>> {
        match self {
            Proof::Confirmed => vec![settings()],
            Proof::Replied | Proof::EverySecond => readings().into(),
            Proof::EachWrite => Vec::new(),
        }
    }

    /// The commands to send after the write, in the same pipeline; they run after the write was synced. If the server cannot
    /// wait for the sync, another pipeline must follow ([`Proof::holds_after`]).
    pub(super) fn behind(self, within: Duration) -> Vec<Request<'static>> {
        let wait = || Request::new("WAITAOF", [Arg::from(1), Arg::from(0), super::milliseconds(within)]);
        match self {
            Proof::Confirmed => vec![wait(), settings()],
            Proof::EverySecond => [wait()].into_iter().chain(readings()).collect(),
            Proof::Replied | Proof::EachWrite => Vec::new(),
        }
    }

    /// Whether these replies to [`before`](Self::before), or to the commands after the wait of [`behind`](Self::behind),
    /// still prove it.
    pub(super) fn holds(self, replies: &mut impl Iterator<Item = Result<Reply, Failure>>) -> bool {
        let mut next = || replies.next().unwrap_or(Err(Failure::LOST));
        let reading = match self {
            Proof::Confirmed => Reading::of(next(), Err(Failure::LOST)),
            Proof::Replied | Proof::EverySecond => Reading::of(next(), next()),
            Proof::EachWrite => return true,
        };
        let (waits, waits_under_everysec) = (self != Proof::Replied, self == Proof::EverySecond);
        reading.is_ok_and(|reading| reading.proves(waits, waits_under_everysec).is_ok_and(|proof| proof == self))
    }

    /// For a server that cannot wait for the sync: reads its settings again. A setting that was changed after the write may
    /// take effect before the write is synced, so this is sent after the reply to the write.
    pub(super) async fn holds_after(self, wire: &Wire, patience: Duration) -> bool {
        if self == Proof::EachWrite {
            return true;
        }
        let replies = wire.pipeline(readings().into(), patience).await;
        replies.is_ok_and(|replies| self.holds(&mut replies.into_iter()))
    }
}

/// The settings that decide, at one moment.
struct Reading {
    appends: bool,
    policy: String,
    skips_during_rewrites: bool,
    /// `None` if `INFO` is forbidden or was not sent.
    state: Option<State>,
}

struct State {
    is_rewriting: bool,
    is_healthy: bool,
}

impl Reading {
    fn of(settings: Result<Reply, Failure>, info: Result<Reply, Failure>) -> Result<Self, Failure> {
        let settings = match settings {
            Ok(settings) => settings,
            Err(failure) if failure.is_forbidden() || failure.is_unknown_command() => return Err(HIDDEN),
            Err(failure) => return Err(failure),
        };
        let setting = |name| field(&settings, name).ok_or(HIDDEN);
        Ok(Self {
            appends: setting("appendonly")? == "yes",
            policy: setting("appendfsync")?.to_owned(),
            skips_during_rewrites: setting("no-appendfsync-on-rewrite")? != "no",
            state: info.ok().and_then(|info| State::of(info.as_str()?)),
        })
    }

    fn proves(&self, waits: bool, waits_under_everysec: bool) -> Result<Proof, Failure> {
        if !self.appends {
            return Err(NO_FILE);
        }
        let proof = match self.policy.as_str() {
            "always" if waits => Proof::Confirmed,
            "always" => Proof::Replied,
            "everysec" if waits_under_everysec => Proof::EverySecond,
            "everysec" => return Err(EVERYSEC),
            _ => return Err(NEVER),
        };
        if self.skips_during_rewrites {
            return Err(ON_REWRITE);
        }
        match (proof, &self.state) {
            (Proof::Confirmed, _) => Ok(proof),
            (_, None) => Err(HIDDEN_STATE),
            (_, Some(state)) if !state.is_healthy => Err(UNHEALTHY),
            (Proof::Replied, Some(state)) if state.is_rewriting => Err(REWRITING),
            _ => Ok(proof),
        }
    }
}

impl State {
    fn of(info: &str) -> Option<Self> {
        let value = |name: &str| info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
        Some(Self {
            is_rewriting: value("aof_rewrite_in_progress")? != "0" || value("aof_rewrite_scheduled")? != "0",
            is_healthy: value("aof_last_write_status")? == "ok",
        })
    }
}

fn readings() -> [Request<'static>; 2] {
    [settings(), Request::new("INFO", [Arg::fixed("persistence")])]
}

fn settings() -> Request<'static> {
    let names = ["appendonly", "appendfsync", "no-appendfsync-on-rewrite"];
    Request::new("CONFIG GET", names.map(Arg::fixed))
}

/// The value behind `name` in a flat list of pairs.
fn field<'a>(pairs: &'a Reply, name: &str) -> Option<&'a str> {
    let Reply::List(pairs) = pairs else { return None };
    pairs.chunks_exact(2).find(|pair| pair[0].as_str() == Some(name)).and_then(|pair| pair[1].as_str())
}

/// Whether the server is Redis itself. Valkey reports in `INFO` the version of Redis that it imitates, and its own in
/// `HELLO`; if it is configured to imitate Redis there as well, that version is 7.2.4.
fn is_redis_since(hello: &Reply, since: (u32, u32, u32)) -> bool {
    field(hello, "server") == Some("redis")
        && field(hello, "version").and_then(version_of).is_some_and(|version| version >= since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(words: &[&str]) -> Reply {
        Reply::List(words.iter().map(|word| Reply::Bytes(word.as_bytes().to_vec().into())).collect())
    }

    fn proves(
        settings: [&str; 3],
        info: &str,
        waits: bool,
        waits_under_everysec: bool,
    ) -> Result<Proof, Option<&'static str>> {
        let [appendonly, appendfsync, skips] = settings;
        let settings = ["no-appendfsync-on-rewrite", skips, "appendonly", appendonly, "appendfsync", appendfsync];
        let info = Reply::Bytes(info.as_bytes().to_vec().into());
        let reading = Reading::of(Ok(pairs(&settings)), Ok(info)).map_err(|_| None)?;
        reading.proves(waits, waits_under_everysec).map_err(|failure| match failure {
            Failure::Unsupported(why) | Failure::Withheld(why) => Some(why),
            _ => None,
        })
    }

    const IDLE: &str =
        "# Persistence\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\naof_last_write_status:ok\r\n";

    #[test]
    fn only_measured_settings_prove_the_disk() {
        let always = ["yes", "always", "no"];
        assert_eq!(proves(always, IDLE, true, false), Ok(Proof::Confirmed));
        assert_eq!(proves(always, "", true, false), Ok(Proof::Confirmed));
        assert_eq!(proves(always, IDLE, false, false), Ok(Proof::Replied));
        assert_eq!(proves(["yes", "everysec", "no"], IDLE, true, true), Ok(Proof::EverySecond));
        let refused = |settings: [&str; 3], info: &str, waits: bool, under_everysec: bool, word: &str| {
            let why = proves(settings, info, waits, under_everysec).unwrap_err().unwrap();
            assert!(why.contains(word), "{why}");
        };
        refused(["no", "always", "no"], IDLE, true, true, "`appendonly yes`");
        refused(["yes", "always", "yes"], IDLE, true, true, "`no-appendfsync-on-rewrite no`");
        refused(["yes", "everysec", "yes"], IDLE, true, true, "`no-appendfsync-on-rewrite no`");
        refused(["yes", "everysec", "no"], IDLE, true, false, "`appendfsync always`");
        refused(["yes", "no", "no"], IDLE, true, true, "`appendfsync always`");
        refused(always, "", false, false, "INFO");
        refused(always, &IDLE.replace("scheduled:0", "scheduled:1"), false, false, "rewrites");
        refused(always, &IDLE.replace("in_progress:0", "in_progress:1"), false, false, "rewrites");
        refused(["yes", "everysec", "no"], &IDLE.replace(":ok", ":err"), true, true, "failed");
    }

    #[test]
    fn only_redis_itself_counts_as_redis() {
        let hello = |server, version| pairs(&["server", server, "version", version, "proto", "3"]);
        assert!(is_redis_since(&hello("redis", "8.2.3"), WAITS_UNDER_EVERYSEC));
        for (server, version) in [("redis", "8.1.9"), ("redis", "7.4.0"), ("valkey", "9.1.2"), ("redis", "?")] {
            assert!(!is_redis_since(&hello(server, version), WAITS_UNDER_EVERYSEC), "{server} {version}");
        }
    }

    #[test]
    fn what_is_hidden_is_not_proved() {
        let nothing = || Err(Failure::LOST);
        assert!(matches!(Reading::of(Ok(pairs(&[])), nothing()), Err(Failure::Unsupported(_))));
        for error in ["NOPERM this user has no permissions", "ERR unknown command 'CONFIG', with args"] {
            let refused = Err(crate::wire::answered(error.as_bytes()));
            assert!(matches!(Reading::of(refused, nothing()), Err(Failure::Unsupported(_))), "{error}");
        }
    }
}

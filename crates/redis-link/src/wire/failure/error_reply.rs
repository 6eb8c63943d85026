//! An error that a server answered with.

use std::time::Duration;

use store_core::{Error, Op};

use super::classify;
use crate::Endpoint;

/// How long a caller should wait after the server refused a call because its memory is full.
const WAIT_FOR_MEMORY: Duration = Duration::from_secs(5);

/// The code words with which our scripts answer an error; the text behind the word reaches the caller.
pub(super) const CORRUPT: &str = "TWCORRUPT";
pub(super) const INVALID: &str = "TWINVALID";
pub(super) const LIMIT: &str = "TWLIMIT";
pub(super) const LAYOUT: &str = "TWLAYOUT";

/// An error that the server answered with. Its text may contain data: it leaves this module only in parts.
pub(crate) struct ErrorReply {
    meaning: Meaning,
    /// The code word, if it is a known one.
    word: Option<&'static str>,
    text: Box<str>,
}

/// What an error reply means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    PasswordMissing,
    PasswordWrong,
    ProtectedMode,
    Forbidden,
    ForbiddenInScript,
    Loading,
    PrimaryLost,
    ReadOnly,
    ClusterDown,
    SlotMoves,
    OtherServer,
    Busy,
    TooFewReplicas,
    TooManyClients,
    DiskFailed,
    Unblocked,
    UnknownScript,
    MemoryFull,
    DiskLimit,
    DiskLimitInScript,
    OtherType,
    NoNumber,
    ScriptFailed,
    SeveralSlots,
    UnknownDatabase,
    UnknownService,
    NoQuorum,
    UnknownProtocol,
    UnknownCommand,
    UnknownCommandInScript,
    BadArguments,
    OursCorrupt,
    OursInvalid,
    OursLimit,
    OursLayout,
    Unknown,
}

/// Where a node of a cluster sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Redirection {
    /// Another node has the slot.
    Moved {
        /// Which slot.
        slot: u16,
        /// The other node.
        to: Endpoint,
    },
    /// The slot moves to another node, which has the key already and accepts this request behind `ASKING`.
    Asked {
        /// The other node.
        to: Endpoint,
    },
}

impl std::fmt::Debug for ErrorReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.meaning)
    }
}

impl ErrorReply {
    pub(in crate::wire) fn new(text: &str) -> Self {
        let text = text.trim();
        let (meaning, word) = classify::of_reply(text);
        Self { meaning, word, text: text.into() }
    }

    /// The redirection in a reply of the node at the address `asked`; `None` if it has no address. A redirection without a host
    /// (`cluster-preferred-endpoint-type unknown-endpoint`) means the host of `asked`.
    pub(super) fn redirection(&self, asked: Option<&Endpoint>) -> Option<Redirection> {
        let mut words = self.text.split(' ');
        let word = words.next()?;
        let slot = words.next()?.parse().ok()?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        let host = if host.is_empty() { asked?.host.as_str() } else { host };
        let to = Endpoint::new(Some(host).filter(|host| *host != "?")?, port.parse().ok()?);
        match word {
            "MOVED" => Some(Redirection::Moved { slot, to }),
            "ASK" => Some(Redirection::Asked { to }),
            _ => None,
        }
    }

    pub(super) fn meaning(&self) -> Meaning {
        self.meaning
    }

    /// The error for the caller; `what` is the command or script.
    pub(super) fn into_error(self, op: Op, what: &str) -> Error {
        let unavailable = |detail: &'static str| Error::unavailable(op, detail);
        match self.meaning {
            Meaning::PasswordMissing => Error::unauthenticated(op, "the server requires a password"),
            Meaning::PasswordWrong => Error::unauthenticated(op, "the server does not accept this user and password"),
            Meaning::ProtectedMode => Error::unauthenticated(
                op,
                "the server is in protected mode: set a password on it, or bind it to this host only",
            ),
            Meaning::Forbidden => Error::forbidden(op, self.permission(what)),
            Meaning::ForbiddenInScript => {
                Error::forbidden(op, format!("{what}: the user has no permission for a command that the script sends"))
            }
            Meaning::Loading => unavailable("the server is loading its data"),
            Meaning::PrimaryLost => unavailable("the server is a replica that has lost its primary"),
            Meaning::ReadOnly => unavailable("the server is a read-only replica"),
            Meaning::ClusterDown => unavailable("the cluster is down"),
            Meaning::SlotMoves => unavailable("the slot of the key is moving to another server"),
            Meaning::OtherServer => unavailable("another server of the cluster has the key"),
            Meaning::Busy => unavailable("the server is busy with a script that does not end"),
            Meaning::TooFewReplicas => {
                unavailable("the server has fewer replicas than it needs to accept writes (min-replicas-to-write)")
            }
            Meaning::TooManyClients => unavailable("the server has as many clients as it accepts (maxclients)"),
            Meaning::DiskFailed => unavailable("the server cannot write to its disk and refuses writes"),
            Meaning::Unblocked => unavailable("the server became a replica while the call waited"),
            Meaning::UnknownScript => unavailable("the server repeatedly removed the script"),
            Meaning::MemoryFull => {
                let detail = "the server's memory is full (maxmemory)".into();
                Error::Limit { op, detail, retry_after: Some(WAIT_FOR_MEMORY) }
            }
            Meaning::DiskLimit => {
                let detail = "the server's data has reached the limit on its disk (max-db-size)".into();
                Error::Limit { op, detail, retry_after: Some(WAIT_FOR_MEMORY) }
            }
            Meaning::DiskLimitInScript => Error::indeterminate(
                op,
                "the server stopped the script, because its data has reached the limit on its disk (max-db-size)",
            ),
            Meaning::OtherType => Error::corrupt(op, format!("{what}: a key has another type")),
            Meaning::NoNumber => Error::corrupt(op, format!("{what}: a stored value is not a number")),
            Meaning::ScriptFailed => Error::corrupt(op, self.position(what)),
            Meaning::SeveralSlots => Error::invalid_argument(op, format!("{what}: the keys do not share one hash tag")),
            Meaning::UnknownDatabase => Error::invalid_argument(op, "the server has no database with this number"),
            Meaning::UnknownService => Error::invalid_argument(op, "the sentinel monitors no service of this name"),
            Meaning::NoQuorum => unavailable("too few sentinels can be reached"),
            Meaning::UnknownProtocol => Error::unsupported(op, "the server does not support RESP3"),
            Meaning::UnknownCommand => Error::unsupported(op, self.unknown_command(what)),
            Meaning::UnknownCommandInScript => {
                Error::unsupported(op, format!("{what}: the server does not know a command that the script sends"))
            }
            Meaning::BadArguments => {
                Error::unexpected(op, format!("{what}: the server does not accept the arguments of the command"))
            }
            Meaning::OursCorrupt => Error::corrupt(op, self.said().to_owned()),
            Meaning::OursInvalid => Error::invalid_argument(op, self.said().to_owned()),
            Meaning::OursLimit => self.limit(op),
            Meaning::OursLayout => crate::layout::refused(op, self.said()),
            Meaning::Unknown => Error::unexpected(op, self.code_word(what)),
        }
    }

    /// What one of our scripts wrote behind its word, without the position that the server adds.
    fn said(&self) -> &str {
        let said = self.word.and_then(|word| self.text.split_once(word)).map_or("", |(_, said)| said);
        said.split_once(" script: ").map_or(said, |(said, _)| said).trim()
    }

    fn limit(&self, op: Op) -> Error {
        let said = self.said();
        let (first, rest) = said.split_once(' ').unwrap_or((said, ""));
        let (retry_after, detail) = match first.parse() {
            Ok(millis) => (Some(Duration::from_millis(millis)), rest),
            Err(_) => (None, said),
        };
        Error::Limit { op, detail: detail.to_owned().into(), retry_after }
    }

    fn permission(&self, what: &str) -> String {
        let command =
            self.text.split_once("run the '").and_then(|(_, rest)| rest.split_once('\'')).map(|(name, _)| name);
        match command {
            Some(command) => format!("{what}: the user has no permission for the command {command}"),
            None => format!("{what}: the user has no permission for one of the keys or channels"),
        }
    }

    /// Where a script failed. Messages of Lua name variables and types, never values.
    fn position(&self, what: &str) -> String {
        let Some((_, position)) = self.text.split_once("user_script:") else {
            return format!("{what}: the script failed");
        };
        let (line, rest) = position.split_once(':').unwrap_or((position, ""));
        let line: String = line.chars().take_while(char::is_ascii_digit).collect();
        let reason = rest.trim().strip_prefix("attempt to ").map(|rest| rest.split(" script: ").next().unwrap_or(rest));
        let reason = reason.map_or(String::new(), |reason| format!(": attempt to {reason}"));
        format!("{what}: the script failed at line {line}{reason}")
    }

    /// Names the command as the server does, if it is one. The error continues with the command's arguments.
    fn unknown_command(&self, what: &str) -> String {
        let quoted = self.text.split(['\'', '`', '"']).nth(1).unwrap_or_default();
        let is_name = !quoted.is_empty()
            && quoted.len() <= 32
            && quoted.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'|' | b'.'));
        let name = if is_name { quoted.to_uppercase() } else { what.to_owned() };
        format!("the server does not know the command {name}, or it is renamed or disabled there")
    }

    /// Names the code word alone.
    fn code_word(&self, what: &str) -> String {
        let first = self.text.split(' ').next().unwrap_or_default();
        let is_word = (2..=32).contains(&first.len()) && first.bytes().all(|byte| byte.is_ascii_uppercase());
        let word = if is_word { first } else { "without a code word" };
        format!("{what} was answered with the error {word}; its text is not shown, because it may contain data")
    }
}

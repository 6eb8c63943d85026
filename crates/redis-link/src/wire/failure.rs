//! The one place where errors are told apart: by where they arose, then by the word of the server's error.

use std::borrow::Cow;
use std::time::Duration;

use fred::error::{Error as LibraryError, ErrorKind};
use store_core::{Error, Op};

const SILENCE: &str = "no reply came in time";
const LOST: &str = "the connection was lost before the reply";

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was not written to any connection.
    NotSent(&'static str),
    /// It was not written, by a decision of ours that another attempt would not change.
    Withheld(&'static str),
    /// The server refused to run a copy that reached it after its deadline.
    Late,
    /// It may have been written; no reply came.
    Lost(&'static str),
    /// It cannot be sent at all, and will not be later.
    Refused(Cow<'static, str>),
    /// The server cannot do it; nothing was sent.
    Unsupported(&'static str),
    /// The server answered with an error.
    Answered(ErrorReply),
}

/// An error that the server answered with. Its text may hold data: it never leaves this module as a whole.
pub(crate) struct ErrorReply(Box<str>);

impl std::fmt::Debug for ErrorReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// A failure while a connection was opened. The library turns the server's refusals into errors of its own here.
pub(super) fn of_connecting(error: &LibraryError) -> Failure {
    let text = error.details();
    if let Some(failure) = of_encryption(text) {
        return failure;
    }
    match error.kind() {
        ErrorKind::IO if text.contains("ConnectionRefused") => Failure::NotSent("nothing listens at that address"),
        ErrorKind::IO if text.contains("failed to lookup") => Failure::NotSent("the host's name is not known"),
        ErrorKind::IO | ErrorKind::Canceled => Failure::NotSent("the connection could not be made"),
        ErrorKind::Timeout => Failure::NotSent("the server did not answer within the connect time-out"),
        ErrorKind::Protocol => Failure::NotSent("what answers there does not speak the protocol of Redis"),
        ErrorKind::Tls => Failure::Refused("an encrypted connection could not be agreed on".into()),
        _ => Failure::Answered(ErrorReply::new(text)),
    }
}

/// The error of the TLS library inside an error of the client library.
fn of_encryption(text: &str) -> Option<Failure> {
    let reason_after = |marker: &str| {
        let at = text.find(marker)? + marker.len();
        text[at..].split(|letter: char| !letter.is_ascii_alphanumeric()).next()
    };
    let what = if let Some(reason) = reason_after("InvalidCertificate(") {
        format!("the server's certificate is not accepted ({reason})")
    } else if let Some(reason) = reason_after("AlertReceived(") {
        match reason {
            "CertificateRequired" => "the server wants a certificate of the client, and none is configured".to_owned(),
            reason => format!("the server refuses the encrypted connection ({reason})"),
        }
    } else {
        return None;
    };
    Some(Failure::Refused(what.into()))
}

/// A failure that is not an error reply: the connection's, or the library's.
///
/// Only those that arise before anything is written count as not sent; where the library cannot tell, it may have been.
pub(super) fn of_sending(error: &LibraryError) -> Failure {
    match (error.kind(), error.details()) {
        (ErrorKind::Canceled, "Connection closed unexpectedly.")
        | (
            ErrorKind::Unknown,
            "Failed to route command." | "Client is not initialized." | "Failed to send command to router.",
        ) => Failure::NotSent("the connection is down"),
        (ErrorKind::Backpressure, _) => Failure::NotSent("too many commands wait"),
        (ErrorKind::Timeout, _) => Failure::Lost(SILENCE),
        _ => Failure::Lost(LOST),
    }
}

/// An error inside a pipeline whose replies have all come: an error reply.
pub(super) fn of_pipelined_reply(error: &LibraryError) -> Failure {
    Failure::Answered(ErrorReply::new(error.details()))
}

impl Failure {
    /// Whether the server does not know the script.
    pub(crate) fn is_unknown_script(&self) -> bool {
        matches!(self, Failure::Answered(reply) if reply.word() == "NOSCRIPT")
    }

    /// Whether the server has become a replica.
    pub(crate) fn is_read_only(&self) -> bool {
        matches!(self, Failure::Answered(reply) if reply.word() == "READONLY")
    }

    /// Whether the user may not run it.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Failure::Answered(reply) if reply.word() == "NOPERM")
    }

    /// Whether the server wants credentials first.
    pub(super) fn is_unauthenticated(&self) -> bool {
        matches!(self, Failure::Answered(reply) if reply.word() == "NOAUTH")
    }

    /// Whether the server only knows version 2 of the protocol.
    pub(super) fn is_unknown_protocol(&self) -> bool {
        let says_so = |text: &str| text.starts_with("ERR unknown command");
        matches!(self, Failure::Answered(reply) if reply.word() == "NOPROTO" || says_so(&reply.0))
    }

    /// Whether the server has no such command, or reports so.
    pub(crate) fn is_unknown_command(&self) -> bool {
        let says_so = |text: &str| text.starts_with("ERR unknown") || text.starts_with("ERR Unknown");
        matches!(self, Failure::Answered(reply) if says_so(&reply.0))
    }

    /// Whether there is no database with that number.
    pub(crate) fn is_no_database(&self) -> bool {
        let says_so = |text: &str| text.contains("DB index") || text.contains("SELECT is not allowed in cluster mode");
        matches!(self, Failure::Answered(reply) if reply.word() == "ERR" && says_so(&reply.0))
    }

    /// Whether the connection itself failed.
    pub(crate) fn is_of_connection(&self) -> bool {
        matches!(self, Failure::NotSent(_) | Failure::Lost(LOST))
    }

    /// Nothing came back in time, while the connection seemed to be there.
    pub(crate) const SILENCE: Self = Failure::Lost(SILENCE);

    /// The connection ended before the reply came.
    pub(crate) const LOST: Self = Failure::Lost(LOST);

    /// There is no connection to send it on.
    pub(crate) const DOWN: Self = Failure::NotSent("the connection is down");

    /// Whether nothing came back in time.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Failure::Lost(SILENCE))
    }

    /// The failure of a call of which only what had to precede it was sent: it was not executed, whatever was lost.
    pub(crate) fn before_the_call(self) -> Self {
        match self {
            Failure::Lost(detail) => Failure::NotSent(detail),
            other => other,
        }
    }

    /// The error for the caller; `what` is the command or script.
    pub(crate) fn into_error(self, op: Op, what: &str) -> Error {
        match self {
            Failure::NotSent(detail) | Failure::Withheld(detail) => Error::unavailable(op, detail),
            Failure::Late => Error::unavailable(op, "the request reached the server after its time-out"),
            Failure::Lost(detail) => Error::indeterminate(op, detail),
            Failure::Refused(detail) => Error::rejected(op, detail),
            Failure::Unsupported(detail) => Error::unsupported(op, detail),
            Failure::Answered(reply) => reply.into_error(op, what),
        }
    }
}

const WORDS: [&str; 27] = [
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "DENIED",
    "LOADING",
    "MASTERDOWN",
    "READONLY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
    "NOREPLICAS",
    "MISCONF",
    "UNBLOCKED",
    "MOVED",
    "ASK",
    "OOM",
    "WRONGTYPE",
    "NOSCRIPT",
    "CROSSSLOT",
    "NOPROTO",
    "NOTBUSY",
    "EXECABORT",
    "BUSYKEY",
    "BUSYGROUP",
    "TWCORRUPT",
    "TWREJECT",
    "TWLIMIT",
];

impl ErrorReply {
    pub(super) fn new(text: &str) -> Self {
        Self(text.trim().into())
    }

    /// The word that says what it is. Some servers put it behind `ERR` and the script's position; only there is it
    /// looked for, since the rest of an error may repeat what was sent.
    fn word(&self) -> &'static str {
        let words = || self.0.split([' ', ':']);
        let known = |word: &str| WORDS.into_iter().find(|known| *known == word);
        let first = words().next().unwrap_or_default();
        match known(first) {
            Some(word) => word,
            None if self.is_of_script() => words().find_map(known).unwrap_or("ERR"),
            None => "ERR",
        }
    }

    fn is_of_script(&self) -> bool {
        self.0.contains("user_script") || self.0.contains("unning script")
    }

    /// What follows the word of a script of ours, without the position that the server adds.
    fn said(&self, word: &str) -> &str {
        let said = self.0.split_once(word).map_or("", |(_, said)| said);
        said.split_once(" script: ").map_or(said, |(said, _)| said).trim()
    }

    fn into_error(self, op: Op, what: &str) -> Error {
        let unavailable = |detail: &'static str| Error::unavailable(op, detail);
        match self.word() {
            "NOAUTH" => Error::rejected(op, "the server wants a password"),
            "WRONGPASS" => Error::rejected(op, "the server does not accept this user and password"),
            "NOPERM" => Error::rejected(op, self.permission(what)),
            "DENIED" => {
                Error::rejected(op, "the server is in protected mode: give it a password or bind it to this host")
            }
            "LOADING" => unavailable("the server is loading its data"),
            "MASTERDOWN" => unavailable("the replica has lost its primary"),
            "READONLY" => unavailable("the server is a read-only replica"),
            "CLUSTERDOWN" => unavailable("the cluster is down"),
            "TRYAGAIN" => unavailable("the slot is moving"),
            "MOVED" | "ASK" => unavailable("another server of the cluster has this key"),
            "BUSY" => unavailable("the server is busy with a script that does not end"),
            "NOREPLICAS" => unavailable("the server has fewer replicas than it needs to accept writes"),
            "MISCONF" => unavailable("the server cannot write to its disk and refuses writes"),
            "UNBLOCKED" => unavailable("the server has become a replica while the call waited"),
            "NOSCRIPT" => unavailable("the server keeps forgetting the script"),
            "OOM" => Error::limit(op, "the server's memory is full"),
            "WRONGTYPE" => Error::corrupt(op, format!("{what}: a key holds another type")),
            "CROSSSLOT" => Error::rejected(op, format!("{what}: the keys do not share one hash tag")),
            "NOPROTO" => Error::unsupported(op, "the server does not speak RESP3"),
            "TWCORRUPT" => Error::corrupt(op, self.said("TWCORRUPT").to_owned()),
            "TWREJECT" => Error::rejected(op, self.said("TWREJECT").to_owned()),
            "TWLIMIT" => self.limit(op),
            _ => self.unnamed(op, what),
        }
    }

    fn limit(&self, op: Op) -> Error {
        let said = self.said("TWLIMIT");
        let (first, rest) = said.split_once(' ').unwrap_or((said, ""));
        let (retry_after, detail) = match first.parse() {
            Ok(millis) => (Some(Duration::from_millis(millis)), rest),
            Err(_) => (None, said),
        };
        Error::Limit { op, detail: detail.to_owned().into(), retry_after }
    }

    fn permission(&self, what: &str) -> String {
        let command = self.0.split_once("run the '").and_then(|(_, rest)| rest.split_once('\'')).map(|(name, _)| name);
        match command {
            Some(command) => format!("{what}: the user may not run the command {command}"),
            None => format!("{what}: the user may not touch one of the keys or channels"),
        }
    }

    /// Everything that has no word of its own.
    fn unnamed(&self, op: Op, what: &str) -> Error {
        let text = &*self.0;
        if let Some((_, position)) = text.split_once("user_script:") {
            let (line, rest) = position.split_once(':').unwrap_or((position, ""));
            let line: String = line.chars().take_while(char::is_ascii_digit).collect();
            // Lua's own messages name variables and types, never values.
            let reason =
                rest.trim().strip_prefix("attempt to ").map(|rest| rest.split(" script: ").next().unwrap_or(rest));
            let reason = reason.map_or(String::new(), |reason| format!(": attempt to {reason}"));
            return Error::corrupt(op, format!("{what}: the script failed at line {line}{reason}"));
        }
        if self.is_of_script() {
            return Error::corrupt(op, format!("{what}: the script failed"));
        }
        match text.strip_prefix("ERR ").unwrap_or(text) {
            text if text.starts_with("max number of clients") => {
                Error::unavailable(op, "the server has as many clients as it takes")
            }
            text if text.starts_with("unknown command") || text.starts_with("unknown subcommand") => {
                Error::unsupported(op, unknown_command(text, what))
            }
            text if text.starts_with("invalid password") => {
                Error::rejected(op, "the server does not accept this user and password")
            }
            text if text.contains("DB index") => Error::rejected(op, "the server has no database with this number"),
            text if text.starts_with("value is not") || text.starts_with("hash value is not") => {
                Error::corrupt(op, format!("{what}: a value is not the number that was expected"))
            }
            _ => Error::rejected(op, format!("{what}: the server refused it with an error that has no name")),
        }
    }
}

/// The command that the server names, if it is one. The error continues with its arguments.
fn unknown_command(text: &str, what: &str) -> String {
    let quoted = text.split(['\'', '`', '"']).nth(1).unwrap_or_default();
    let is_name = !quoted.is_empty()
        && quoted.len() <= 32
        && quoted.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'|' | b'.'));
    let name = if is_name { quoted.to_uppercase() } else { what.to_owned() };
    format!("the server does not know the command {name}, or it is renamed or disabled there")
}

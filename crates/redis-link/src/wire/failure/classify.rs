//! The one place that reads the texts of errors: those of the client library, and those that a server answered with.
//!
//! An error of the library is classified by its kind, and where the kind covers several causes, by the fixed texts of the
//! library and of rustls. An error reply is classified by its code word. Only where a server puts everything under the
//! word `ERR`, the beginning of the text decides.

use std::borrow::Cow;

use fred::error::{Error as LibraryError, ErrorKind as LibraryKind};

use super::error_reply::{ErrorReply, Meaning};
use super::{CLUSTER_DOWN, Failure, LOST, SILENCE};

/// What the library was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wire) enum During {
    /// It opened a connection. It turns the server's refusals into errors of its own.
    Connecting,
    /// It sent a request, or waited for its reply.
    Sending,
    /// All replies of a pipeline have come, and this one is an error reply.
    Pipelined,
}

/// The failure that an error of the library is.
pub(in crate::wire) fn of_library(error: &LibraryError, during: During) -> Failure {
    match during {
        During::Connecting => of_connecting(error),
        During::Sending => of_sending(error),
        During::Pipelined => Failure::Answered(ErrorReply::new(error.details())),
    }
}

fn of_connecting(error: &LibraryError) -> Failure {
    let text = error.details();
    // An error of rustls during the handshake arrives inside an I/O error.
    if let Some(detail) = of_tls(text) {
        return Failure::Tls(detail);
    }
    match error.kind() {
        LibraryKind::Tls => Failure::Tls("client and server could not agree on an encrypted connection".into()),
        LibraryKind::IO if text.contains("ConnectionRefused") => {
            Failure::NotSent("no server listens at that address".into())
        }
        LibraryKind::IO if text.contains("failed to lookup") => {
            Failure::NotSent("the name of the host is unknown".into())
        }
        LibraryKind::IO | LibraryKind::Canceled => Failure::NotSent("the connection could not be opened".into()),
        LibraryKind::Timeout => Failure::NotSent("the server did not answer within the connect time-out".into()),
        LibraryKind::Protocol => Failure::NotSent("the port answers, but not with the protocol of Redis".into()),
        LibraryKind::Config | LibraryKind::Url => {
            Failure::InvalidArgument("the client library does not accept the settings of the connection".into())
        }
        _ => Failure::Answered(ErrorReply::new(text)),
    }
}

/// Only an error from before the first write counts as not sent. If the library does not report which, the request may have been sent.
fn of_sending(error: &LibraryError) -> Failure {
    match (error.kind(), error.details()) {
        (LibraryKind::Canceled, "Connection closed unexpectedly.")
        | (
            LibraryKind::Unknown,
            "Failed to route command." | "Client is not initialized." | "Failed to send command to router.",
        ) => Failure::DOWN,
        (LibraryKind::Backpressure, _) => Failure::NotSent("too many commands wait".into()),
        (LibraryKind::Timeout, _) => Failure::Lost(SILENCE),
        (_, details) if details.starts_with("CLUSTERDOWN") => Failure::Lost(CLUSTER_DOWN),
        _ => Failure::Lost(LOST),
    }
}

/// What an error of rustls means; `None` for any other error.
fn of_tls(text: &str) -> Option<Cow<'static, str>> {
    let reason_after = |marker: &str| {
        let at = text.find(marker)? + marker.len();
        text[at..].split(|letter: char| !letter.is_ascii_alphanumeric()).next()
    };
    if let Some(reason) = reason_after("InvalidCertificate(") {
        return Some(match reason {
            "UnknownIssuer" => "the server's certificate is not accepted: no trusted authority has issued it".into(),
            "Expired" | "ExpiredContext" => "the server's certificate is not accepted: it has expired".into(),
            "NotValidForName" | "NotValidForNameContext" => {
                "the server's certificate is not accepted: it does not contain the name of the host".into()
            }
            reason => format!("the server's certificate is not accepted ({reason})").into(),
        });
    }
    match reason_after("AlertReceived(")? {
        "CertificateRequired" => Some("the server requires a certificate of the client, and none is configured".into()),
        reason => Some(format!("the server refuses the encrypted connection ({reason})").into()),
    }
}

/// The code words that servers and our scripts use.
const WORDS: [(&str, Meaning); 27] = [
    ("NOAUTH", Meaning::PasswordMissing),
    ("WRONGPASS", Meaning::PasswordWrong),
    ("DENIED", Meaning::ProtectedMode),
    ("NOPERM", Meaning::Forbidden),
    ("LOADING", Meaning::Loading),
    ("MASTERDOWN", Meaning::PrimaryLost),
    ("READONLY", Meaning::ReadOnly),
    ("CLUSTERDOWN", Meaning::ClusterDown),
    ("TRYAGAIN", Meaning::SlotMoves),
    ("MOVED", Meaning::OtherServer),
    ("ASK", Meaning::OtherServer),
    ("BUSY", Meaning::Busy),
    ("UNKILLABLE", Meaning::Busy),
    ("NOREPLICAS", Meaning::TooFewReplicas),
    ("NOQUORUM", Meaning::NoQuorum),
    ("MISCONF", Meaning::DiskFailed),
    ("UNBLOCKED", Meaning::Unblocked),
    ("NOSCRIPT", Meaning::UnknownScript),
    ("OOM", Meaning::MemoryFull),
    ("WRONGTYPE", Meaning::OtherType),
    ("CROSSSLOT", Meaning::SeveralSlots),
    ("NOPROTO", Meaning::UnknownProtocol),
    ("EXECABORT", Meaning::Unknown),
    (super::error_reply::CORRUPT, Meaning::OursCorrupt),
    (super::error_reply::INVALID, Meaning::OursInvalid),
    (super::error_reply::LIMIT, Meaning::OursLimit),
    (super::error_reply::LAYOUT, Meaning::OursLayout),
];

/// The texts of Kvrocks for a script that sends a command that scripts cannot use there. The position in the script precedes them.
const LACKING: [&str; 2] = ["Unknown Redis command called from", "command is not allowed from scripts"];

/// What Kvrocks says behind the position of a script whose write `max-db-size` does not allow.
const SPACE_LIMIT: &str = "IO error: Space limit reached";

/// What follows `ERR`, in lower case. Redis says nothing more precise; Kvrocks and old versions also not for credentials.
const BEGINNINGS: [(&str, Meaning); 24] = [
    ("invalid password", Meaning::PasswordWrong),
    ("client sent auth, but no password is set", Meaning::PasswordWrong),
    ("auth <password> called without any password configured", Meaning::PasswordWrong),
    ("protocol error: unauthenticated", Meaning::PasswordMissing),
    ("the user executing the script can't run", Meaning::ForbiddenInScript),
    ("the user executing the script can't access", Meaning::Forbidden),
    ("the user executing the script can't publish", Meaning::Forbidden),
    ("acl failure in script", Meaning::Forbidden),
    ("admin permission required", Meaning::Forbidden),
    ("max number of clients", Meaning::TooManyClients),
    ("unknown redis command called from script", Meaning::UnknownCommandInScript),
    ("unknown command called from script", Meaning::UnknownCommandInScript),
    ("this redis command is not allowed from script", Meaning::UnknownCommandInScript),
    ("no such master with that name", Meaning::UnknownService),
    ("unknown command", Meaning::UnknownCommand),
    ("io error: space limit reached", Meaning::DiskLimit),
    ("unknown subcommand", Meaning::UnknownCommand),
    ("db index is out of range", Meaning::UnknownDatabase),
    ("invalid db index", Meaning::UnknownDatabase),
    ("select is not allowed in cluster mode", Meaning::UnknownDatabase),
    ("value is not", Meaning::NoNumber),
    ("hash value is not", Meaning::NoNumber),
    ("syntax error", Meaning::BadArguments),
    ("wrong number of arg", Meaning::BadArguments),
];

/// The meaning of an error reply, and its code word if it has one that [`WORDS`] lists.
///
/// Some servers put the word of an error inside a script behind `ERR` and the script's position. Only in such replies is a
/// word looked for behind the first: the rest of other errors may repeat what was sent.
pub(super) fn of_reply(text: &str) -> (Meaning, Option<&'static str>) {
    // Kvrocks puts these words before that of an error.
    let text =
        text.strip_prefix("ERR Invalid argument: ").or_else(|| text.strip_prefix("Invalid argument: ")).unwrap_or(text);
    let mut words = text.split([' ', ':']);
    let first = words.next().unwrap_or_default();
    let known = |word: &str| WORDS.into_iter().find(|(known, _)| *known == word);
    let is_of_script = text.contains("user_script") || text.contains("unning script");
    if let Some((word, meaning)) = known(first).or_else(|| words.find_map(known).filter(|_| is_of_script)) {
        return (meaning, Some(word));
    }
    let said = text.strip_prefix("ERR ").unwrap_or(text);
    let begins = |beginning: &str| said.get(..beginning.len()).is_some_and(|said| said.eq_ignore_ascii_case(beginning));
    let meaning = BEGINNINGS.into_iter().find(|(beginning, _)| begins(beginning)).map(|(_, meaning)| meaning);
    let meaning = match meaning {
        None if is_of_script && text.contains(SPACE_LIMIT) => Meaning::DiskLimitInScript,
        None if is_of_script && LACKING.iter().any(|lacking| text.contains(lacking)) => Meaning::UnknownCommandInScript,
        // The script computed with what is stored, or has a defect.
        None | Some(Meaning::NoNumber | Meaning::BadArguments) if is_of_script => Meaning::ScriptFailed,
        None => Meaning::Unknown,
        Some(meaning) => meaning,
    };
    (meaning, None)
}

#[cfg(test)]
mod tests {
    use store_core::ErrorKind::{
        self, Corrupt, Forbidden, Indeterminate, InvalidArgument, Limit, Tls, Unauthenticated, Unavailable, Unexpected,
        Unsupported,
    };
    use store_core::Op;

    use super::*;

    /// Replies of Redis 7.0 and 8.2, Valkey 8.1 and Kvrocks 2.14, and those that their documentation lists.
    const REPLIES: &[(ErrorKind, &str)] = &[
        (Unauthenticated, "NOAUTH Authentication required."),
        (Unauthenticated, "WRONGPASS invalid username-password pair or user is disabled."),
        (Unauthenticated, "ERR Invalid password"),
        (Unauthenticated, "ERR invalid password"),
        (Unauthenticated, "ERR Client sent AUTH, but no password is set"),
        (Unauthenticated, "ERR AUTH <password> called without any password configured for the default user. Are you"),
        (Unauthenticated, "DENIED Redis is running in protected mode because protected mode is enabled"),
        (Forbidden, "NOPERM this user has no permissions to run the 'set' command"),
        (Forbidden, "NOPERM No permissions to access a key"),
        (Forbidden, "NOPERM ACL failure in script: User app has no permissions to run the 'set' command"),
        (
            Forbidden,
            "ERR The user executing the script can't run this command or subcommand script: 8f, on @user_script:2.",
        ),
        (Forbidden, "ERR The user executing the script can't access at least one of the keys mentioned in the command"),
        (Forbidden, "ERR The user executing the script can't publish to the channel mentioned in the command"),
        (Forbidden, "ERR admin permission required to perform the command"),
        (Unavailable, "LOADING Redis is loading the dataset in memory"),
        (Unavailable, "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
        (Unavailable, "READONLY You can't write against a read only replica. script: 8f, on @user_script:1."),
        (Unavailable, "ERR Error running script (call to f_8f): @user_script:1: READONLY You can't write"),
        (Unavailable, "CLUSTERDOWN Hash slot not served"),
        (Unavailable, "TRYAGAIN Multiple keys request during rehashing of slot"),
        (Unavailable, "MOVED 12182 127.0.0.1:7000"),
        (Unavailable, "ASK 12182 127.0.0.1:7000"),
        (Unavailable, "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."),
        (Unavailable, "UNKILLABLE Sorry the script already executed write commands against the dataset."),
        (Unavailable, "NOREPLICAS Not enough good replicas to write."),
        (Unavailable, "NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the majority"),
        (Unavailable, "MISCONF Errors writing to the AOF file: No space left on device"),
        (Unavailable, "UNBLOCKED force unblock from blocking operation, instance state changed"),
        (Unavailable, "NOSCRIPT No matching script. Please use EVAL."),
        (Unavailable, "ERR max number of clients reached"),
        (Limit, "OOM command not allowed when used memory > 'maxmemory'. script: 8f, on @user_script:1."),
        (Limit, "TWLIMIT 250 the queue is full"),
        (Limit, "ERR IO error: Space limit reached"),
        (Indeterminate, "ERR running script (call to f_8f): IO error: Space limit reached"),
        (Corrupt, "WRONGTYPE Operation against a key holding the wrong kind of value"),
        (
            Corrupt,
            "ERR Invalid argument: WRONGTYPE Operation against a key holding the wrong kind of value user_script:1",
        ),
        (Corrupt, "ERR Invalid argument: WRONGTYPE Operation against a key holding the wrong kind of value"),
        (Corrupt, "Invalid argument: WRONGTYPE Operation against a key holding the wrong kind of value"),
        (Corrupt, "ERR running script (call to f_8f): Invalid argument: WRONGTYPE Operation against a key"),
        (Unexpected, "ERR allow-oom is not supported yet"),
        (Corrupt, "ERR value is not an integer or out of range"),
        (Corrupt, "ERR value is not an integer or out of range script: 8f, on @user_script:2."),
        (Corrupt, "ERR running script (call to f_8f): user_script:3: attempt to compare number with nil"),
        (Corrupt, "TWCORRUPT the record has another layout script: 8f, on @user_script:1."),
        (InvalidArgument, "CROSSSLOT Keys in request don't hash to the same slot"),
        (InvalidArgument, "ERR DB index is out of range"),
        (InvalidArgument, "ERR No such master with that name"),
        (InvalidArgument, "ERR SELECT is not allowed in cluster mode"),
        (InvalidArgument, "TWINVALID the sum leaves the range of 64 bits"),
        (Unsupported, "NOPROTO unsupported protocol version"),
        (Unsupported, "TWLAYOUT 2 lease 111 script: 8f, on @user_script:1."),
        (Unsupported, "ERR unknown command 'WAITAOF', with args beginning with: '0' '0'"),
        (Unsupported, "ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP."),
        (Unsupported, "ERR running script (call to f_8f): user_script:1: Unknown Redis command called from Lua script"),
        (Unsupported, "ERR Unknown Redis command called from script script: 8f, on @user_script:2."),
        (Unexpected, "EXECABORT Transaction discarded because of previous errors."),
        (Unexpected, "BUSYKEY Target key name already exists."),
        (Unexpected, "ERR syntax error"),
        (Unexpected, "OOM2 is no word of ours, nor is NOPERM here"),
        (Unexpected, ""),
    ];

    #[test]
    fn an_error_reply_is_classified_by_its_code_word() {
        for (kind, text) in REPLIES {
            let error = Failure::Answered(ErrorReply::new(text)).into_error(Op::QueuePush, "SET");
            assert_eq!(error.kind(), *kind, "{text}: {error}");
        }
    }

    #[test]
    fn an_error_of_the_library_is_classified_by_its_kind() {
        let connecting = |kind, text: &'static str| {
            let error = LibraryError::new(kind, text);
            of_library(&error, During::Connecting).into_error(Op::Connect, "connect").kind()
        };
        let unknown_issuer = "Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }";
        assert_eq!(connecting(LibraryKind::IO, unknown_issuer), Tls);
        assert_eq!(connecting(LibraryKind::IO, "Custom { error: AlertReceived(CertificateRequired) }"), Tls);
        assert_eq!(connecting(LibraryKind::Tls, "any"), Tls);
        assert_eq!(connecting(LibraryKind::IO, "Os { code: 111, kind: ConnectionRefused }"), Unavailable);
        assert_eq!(connecting(LibraryKind::Timeout, "any"), Unavailable);
        assert_eq!(connecting(LibraryKind::Auth, "WRONGPASS invalid username-password pair"), Unauthenticated);
        assert_eq!(connecting(LibraryKind::Config, "any"), InvalidArgument);
        let sending = |kind, text: &'static str| {
            let error = LibraryError::new(kind, text);
            of_library(&error, During::Sending).into_error(Op::QueuePush, "SET").kind()
        };
        assert_eq!(sending(LibraryKind::Canceled, "Connection closed unexpectedly."), Unavailable);
        assert_eq!(sending(LibraryKind::Backpressure, "any"), Unavailable);
        for lost in [LibraryKind::Timeout, LibraryKind::IO, LibraryKind::Auth, LibraryKind::Unknown] {
            assert_eq!(sending(lost, "any"), ErrorKind::Indeterminate);
        }
    }
}

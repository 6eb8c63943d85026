//! Why a connection could not be opened.

use redis_link::{Fact, Probe, Topology};
use store_core::{Error, ErrorKind};

use crate::draft::{Connection, Draft};
use crate::{Code, Finding};

/// The finding. The server's answer does not show a mismatch about TLS, so the port is probed.
pub(super) async fn why(draft: &Draft, connection: &Connection, error: &Error) -> Finding {
    let code = code_of(error.kind());
    let detail = error.detail();
    if code == Code::Unreachable {
        let speaks_tls = Box::pin(Probe::speaks_tls(&draft.link(connection, Some(0)))).await;
        match (speaks_tls, connection.url.is_tls()) {
            (Fact::Known(true), false) => {
                return connection.finding(Code::TlsRefused, "the port speaks TLS, but the URL begins with redis://");
            }
            (Fact::Known(false), true) => {
                return connection
                    .finding(Code::TlsRefused, "the port does not speak TLS, but the URL begins with rediss://");
            }
            _ => {}
        }
    }
    if code == Code::ConfInvalid && matches!(connection.url.topology(), Topology::Cluster(_)) {
        let what = "the URL names a cluster, and the server reports that it is no node of one";
        return connection.finding(Code::TopologyMismatch, what);
    }
    let user = connection.user();
    match code {
        Code::AuthRefused if error.kind() == ErrorKind::Unauthenticated && !connection.has_password() => {
            connection.finding(code, format!("{detail}; no password is configured for the user {user}"))
        }
        _ => connection.finding(code, detail),
    }
}

fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Tls => Code::TlsRefused,
        // The server answered the login, so it is reachable.
        ErrorKind::Unauthenticated | ErrorKind::Unexpected | ErrorKind::Corrupt => Code::AuthRefused,
        ErrorKind::InvalidArgument => Code::ConfInvalid,
        ErrorKind::Forbidden => Code::AclMissingCommand,
        ErrorKind::Unsupported => Code::ServerTooOld,
        _ => Code::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use store_core::ErrorKind;

    use super::code_of;
    use crate::Code;

    #[test]
    fn only_a_server_that_does_not_answer_is_unreachable() {
        for kind in ErrorKind::ALL {
            let answers = !matches!(
                kind,
                ErrorKind::Unavailable | ErrorKind::Indeterminate | ErrorKind::Limit | ErrorKind::NotDurable
            );
            assert_eq!(code_of(kind) != Code::Unreachable, answers, "{kind}");
        }
    }
}

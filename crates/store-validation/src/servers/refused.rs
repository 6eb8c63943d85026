//! Why a connection could not be opened.

use redis_link::{Endpoint, Fact, Probe, Topology};
use store_core::{Error, ErrorKind};

use super::visit::At;
use crate::draft::Connection;
use crate::{Code, Finding};

/// The finding. The server's answer does not show a mismatch about TLS, so the port is probed.
pub(super) async fn why(connection: &Connection, error: &Error) -> Finding {
    let code = code_of(error.kind());
    let detail = error.detail();
    if code == Code::Unreachable
        && let Some(named) = connection.url.topology().endpoints().first()
        && let Some(what) = tls_mismatch(connection, named).await
    {
        let url = connection.url.to_string();
        let scheme = url.split("://").next().unwrap_or_default();
        return connection.finding(Code::TlsRefused, format!("the port {what}, but the URL begins with {scheme}://"));
    }
    if code == Code::ConfInvalid && matches!(connection.url.topology(), Topology::Cluster(_)) {
        let what = "the URL names a cluster, and the server reports that it is no node of one";
        return connection.finding(Code::TopologyMismatch, what);
    }
    match code {
        Code::AuthRefused if error.kind() == ErrorKind::Unauthenticated && !connection.has_password() => {
            // The name may be a password without the colon before it.
            let what = "the URL has no password; a password without a user is written :PASSWORD@";
            connection.finding(code, format!("{detail}; {what}"))
        }
        _ => connection.finding(code, detail),
    }
}

/// How the port contradicts the URL about TLS, if it does.
async fn tls_mismatch(connection: &Connection, endpoint: &Endpoint) -> Option<&'static str> {
    let speaks_tls = Box::pin(Probe::speaks_tls(endpoint, connection.connect_timeout)).await;
    match (speaks_tls, connection.url.is_tls()) {
        (Fact::Known(true), false) => Some("speaks TLS"),
        (Fact::Known(false), true) => Some("does not speak TLS"),
        _ => None,
    }
}

/// Why a server that another one reported cannot be reached.
pub(super) async fn why_reported(connection: &Connection, at: &At, error: &Error) -> Finding {
    let mismatch = tls_mismatch(connection, &at.endpoint).await;
    let code = match at.is_primary() && (mismatch.is_some() || error.kind() == ErrorKind::Tls) {
        true => Code::TlsRefused,
        false => unreachable(at),
    };
    let why = match mismatch {
        Some(what) => {
            format!(
                "{at}: its port {what}, unlike the port of the server that reports it (tls-cluster, tls-replication)"
            )
        }
        None => format!("{at}: {}", error.detail()),
    };
    connection.finding(code, why)
}

/// A server that another one has reported did not answer before the deadline.
pub(super) fn silent(connection: &Connection, at: &At) -> Finding {
    connection.finding(unreachable(at), format!("{at}: it does not answer"))
}

fn unreachable(at: &At) -> Code {
    if at.is_primary() { Code::Unreachable } else { Code::ReplicaUnreachable }
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

//! Why a connection could not be opened.

use redis_link::{Fact, Probe};
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
    let user = connection.user();
    match code {
        Code::AuthRefused if !connection.has_password() => {
            connection.finding(code, format!("{detail}; no password is configured for the user {user}"))
        }
        _ => connection.finding(code, detail),
    }
}

fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Tls => Code::TlsRefused,
        ErrorKind::Unauthenticated => Code::AuthRefused,
        ErrorKind::Forbidden => Code::AclMissingCommand,
        ErrorKind::Unsupported => Code::ServerTooOld,
        _ => Code::Unreachable,
    }
}

//! Why a connection could not be opened.

use redis_link::{Fact, Probe};
use store_core::Error;

use crate::draft::{Connection, Draft};
use crate::{Code, Finding};

/// The finding. The server's answer does not show a mismatch about TLS, so the port is probed.
pub(super) async fn why(draft: &Draft, connection: &Connection, error: &Error) -> Finding {
    let code = code_of(error);
    let detail = error.detail();
    if code == Code::Unreachable && may_be_of_encryption(&detail) {
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

/// Whether the port accepts connections.
fn may_be_of_encryption(detail: &str) -> bool {
    !detail.contains("nothing listens") && !detail.contains("name is not known")
}

/// A connection can be refused because of its credentials, or for another reason.
fn code_of(error: &Error) -> Code {
    let text = error.to_string();
    match error {
        Error::Rejected { .. } if text.contains("certificate") || text.contains("encrypted") => Code::TlsRefused,
        Error::Rejected { .. } => Code::AuthRefused,
        Error::Unsupported { .. } => Code::ServerTooOld,
        _ => Code::Unreachable,
    }
}

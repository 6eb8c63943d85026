//! Whether a port speaks TLS, checked after a connection has failed, without sending a secret or trusting the server.

use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Fact, Probe};
use crate::Endpoint;

/// How long the check may take.
const LONGEST: Duration = Duration::from_secs(1);

impl Probe {
    /// Whether the server at this address speaks TLS. Opens two connections at the same time: one sends `PING`, the other starts a
    /// TLS handshake and aborts it. Sends no user, no password and no certificate. Takes at most `within`, or 1 s if that is shorter.
    pub async fn speaks_tls(endpoint: &Endpoint, within: Duration) -> Fact<bool> {
        let within = within.min(LONGEST);
        let hello = hello(endpoint).unwrap_or_default();
        // a record of a handshake or an alert; the first bytes of a reply
        let (is_tls, is_plain) = tokio::join!(
            answers(endpoint, &hello, &[0x16, 0x15], within),
            answers(endpoint, b"PING\r\n", b"+-", within)
        );
        match (is_tls, is_plain) {
            (true, false) => Fact::Known(true),
            (false, true) => Fact::Known(false),
            _ => Fact::Unknown("the port answers neither or both".into()),
        }
    }
}

/// Whether the first byte of the answer is one of these.
async fn answers(endpoint: &Endpoint, sent: &[u8], expected: &[u8], within: Duration) -> bool {
    let exchange = async {
        let mut stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.ok()?;
        stream.write_all(sent).await.ok()?;
        stream.read_u8().await.ok()
    };
    let first = tokio::time::timeout(within, exchange).await.ok().flatten();
    first.is_some_and(|byte| expected.contains(&byte))
}

/// The first message of a TLS handshake.
fn hello(endpoint: &Endpoint) -> Option<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(endpoint.host.clone()).ok()?;
    let mut bytes = Vec::new();
    ClientConnection::new(Arc::new(config), name).ok()?.write_tls(&mut bytes).ok()?;
    Some(bytes)
}

//! An address that leads to one primary, to another, and back to the first.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use redis_link::{Link, LossReports};
use store_core::Durability;
use testkit::RedisServer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::losses::{PERIODS, named, next, write, write_some};
use crate::{config, eventually};

/// Forwards connections to a server that changes.
struct Address {
    port: u16,
    target: watch::Sender<SocketAddr>,
}

impl Address {
    async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (target, leads_to) = watch::channel(target);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut leads_to = leads_to.clone();
                let to = *leads_to.borrow_and_update();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = leads_to.changed() => {}
                    }
                });
            }
        });
        Self { port, target }
    }

    /// Ends all connections; the next ones lead to this server.
    fn lead_to(&self, server: &RedisServer) {
        self.target.send_replace(server.address());
    }
}

/// The first writes of this prefix after connections were lost.
async fn write_again(link: &Link, prefix: &str) -> BTreeSet<String> {
    eventually("calls reach the server", async || write(link, &format!("{prefix}-first"), Durability::Accepted).await)
        .await;
    let mut written = write_some(link, prefix, Durability::Accepted).await;
    written.insert(format!("{prefix}-first"));
    written
}

async fn has_nothing_to_report(reports: &mut LossReports) {
    let report = tokio::time::timeout(PERIODS, reports.next()).await;
    assert!(report.is_err(), "{report:?}");
}

#[tokio::test]
async fn the_writes_of_the_second_primary_are_reported_when_the_first_returns() {
    let first = RedisServer::builder().start().await.unwrap();
    let second = RedisServer::builder().replica_of(&first).start().await.unwrap();
    let address = Address::start(first.address()).await;
    let url = format!("redis://127.0.0.1:{}", address.port);
    let link = Link::connect(config(&url).with_loss_reports(true)).await.unwrap();
    let mut reports = link.loss_reports();
    // On a connection that is kept for later calls.
    let on_both = Durability::Replicated { replicas: 1, within: Duration::from_secs(20) };
    assert!(write(&link, "both", on_both).await);
    second.command(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    address.lead_to(&second);
    let at_second = write_again(&link, "second").await;
    let report = next(&mut reports).await;
    assert!(report.is_clean() && report.survived == 1, "{report:?}");
    address.lead_to(&first);
    let at_first = write_again(&link, "first").await;
    let report = next(&mut reports).await;
    assert!(named(&report.unknown).is_superset(&at_second) && report.may_be_lost.is_empty(), "{report:?}");
    assert!(named(&report.unknown).is_disjoint(&at_first));
    assert!(!write_some(&link, "later", Durability::Accepted).await.is_empty());
    has_nothing_to_report(&mut reports).await;
    // And once more.
    address.lead_to(&second);
    let _ = write_again(&link, "third").await;
    let report = next(&mut reports).await;
    assert!(named(&report.may_be_lost).is_superset(&at_first), "{report:?}");
    has_nothing_to_report(&mut reports).await;
}

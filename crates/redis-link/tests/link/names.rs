//! The link resolves the name of a host again at each attempt.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use redis_link::Link;
use testkit::{Sentinels, free_port};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::sentinel::is_watched;
use crate::{config, eventually, server};

/// The hosts file of the process, in a mount namespace of its own.
const HOSTS: &str = "TESTS_LINK_HOSTS";
/// The name.
const HOST: &str = "store.test";

/// Forwards connections until it is aborted; then they end.
async fn pass_on(from: SocketAddr, to: SocketAddr) -> JoinHandle<()> {
    let listener = TcpListener::bind(from).await.unwrap();
    tokio::spawn(async move {
        let mut passing = tokio::task::JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            passing.spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    })
}

async fn moves(hosts: PathBuf) {
    let (server, port) = (server().await, free_port().unwrap());
    is_named(&hosts, 2);
    let first = pass_on(at(2, port), server.address()).await;
    let link = Link::connect(config(&format!("redis://{HOST}:{port}")).with_max_retries(0)).await.unwrap();
    link.ping().await.unwrap();
    first.abort();
    eventually("the link is down", async || !link.is_connected()).await;
    assert!(link.ping().await.is_err());

    let _second = pass_on(at(3, port), server.address()).await;
    assert!(link.ping().await.is_err(), "the name still leads to the old address");
    is_named(&hosts, 3);
    eventually("the link follows the name", async || link.ping().await.is_ok()).await;
}

/// Only the sentinel behind the name runs.
async fn sentinel_moves(hosts: PathBuf) {
    let (sentinels, port) = (Sentinels::builder().start().await.unwrap(), free_port().unwrap());
    let [sentinel, others @ ..] = sentinels.sentinels() else { unreachable!("three sentinels") };
    for other in others {
        other.kill().await;
    }
    is_named(&hosts, 2);
    let first = pass_on(at(2, port), sentinel.address()).await;
    let url = format!("redis-sentinel://{HOST}:{port}/{}", sentinels.name());
    let _link = Link::connect(config(&url)).await.unwrap();
    eventually("the link watches the sentinel", async || is_watched(sentinel).await).await;
    first.abort();
    eventually("the connection has ended", async || !is_watched(sentinel).await).await;
    let _second = pass_on(at(3, port), sentinel.address()).await;
    is_named(&hosts, 3);
    eventually("the link follows the name", async || is_watched(sentinel).await).await;
}

fn at(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], port))
}

fn is_named(hosts: &Path, last: u8) {
    fs::write(hosts, format!("127.0.0.1 localhost\n127.0.0.{last} {HOST}\n")).unwrap();
}

/// Runs the test with this name again where `/etc/hosts` can be replaced without an effect on other processes.
fn with_hosts<F: Future<Output = ()>>(name: &str, test: impl FnOnce(PathBuf) -> F) {
    if let Some(hosts) = env::var_os(HOSTS) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(test(hosts.into()));
    }
    if !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success()) {
        return testkit::skipped("this machine allows no mount namespace, so no name can be given another address");
    }
    let hosts = tempfile::NamedTempFile::new().unwrap();
    let inside = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let status = Command::new("unshare")
        .args(["-m", "sh", "-c", inside])
        .arg(hosts.path())
        .arg(env::current_exe().unwrap())
        .args([&format!("names::{name}"), "--exact", "--nocapture"])
        .env(HOSTS, hosts.path())
        .status()
        .unwrap();
    assert!(status.success(), "see above");
}

#[test]
fn a_host_that_has_moved_is_found_at_its_new_address() {
    with_hosts("a_host_that_has_moved_is_found_at_its_new_address", moves);
}

#[test]
fn a_sentinel_that_has_moved_is_found_at_its_new_address() {
    with_hosts("a_sentinel_that_has_moved_is_found_at_its_new_address", sentinel_moves);
}

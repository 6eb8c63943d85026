//! The link resolves the name of a host again at each attempt.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use redis_link::Link;
use testkit::free_port;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::{config, eventually, server};

/// The hosts file of the process, in a mount namespace of its own.
const HOSTS: &str = "TESTS_LINK_HOSTS";
const NAME: &str = "names::a_host_that_has_moved_is_found_at_its_new_address";

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
    let at = |last: u8| SocketAddr::from(([127, 0, 0, last], port));
    let is_named = |last: u8| fs::write(&hosts, format!("127.0.0.1 localhost\n127.0.0.{last} store.test\n")).unwrap();
    is_named(2);
    let first = pass_on(at(2), server.address()).await;
    let link = Link::connect(config(&format!("redis://store.test:{port}")).with_max_retries(0)).await.unwrap();
    link.ping().await.unwrap();
    first.abort();
    eventually("the link is down", async || !link.is_connected()).await;
    assert!(link.ping().await.is_err());

    let _second = pass_on(at(3), server.address()).await;
    assert!(link.ping().await.is_err(), "the name still leads to the old address");
    is_named(3);
    eventually("the link follows the name", async || link.ping().await.is_ok()).await;
}

/// Runs itself again where `/etc/hosts` can be replaced without an effect on other processes.
#[test]
fn a_host_that_has_moved_is_found_at_its_new_address() {
    if let Some(hosts) = env::var_os(HOSTS) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(moves(hosts.into()));
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
        .args([NAME, "--exact", "--nocapture"])
        .env(HOSTS, hosts.path())
        .status()
        .unwrap();
    assert!(status.success(), "see above");
}

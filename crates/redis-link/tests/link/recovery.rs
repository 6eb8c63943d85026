//! How soon calls succeed after an outage, and what a fleet of links costs a server meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redis_link::{Link, TlsFiles, args};
use store_core::{Durability, Error};
use testkit::{DEADLINE, FaultProxy, RedisServer, RemoteServer, wait_until};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::{COUNTS, INCREMENT, RECOGNISED, config, eventually, is_indeterminate, is_unavailable, passed, server};

const LINKS: usize = 200;
/// Within this time after a server is back, all links have to be back.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// Replaces a server that is down, on its port: closes each connection and counts it.
struct Door {
    attempts: Arc<AtomicUsize>,
    accepting: AbortHandle,
}

impl Door {
    async fn open(address: SocketAddr) -> Self {
        let mut listener = None;
        wait_until("the port is free", DEADLINE, async || {
            listener = TcpListener::bind(address).await.ok();
            listener.is_some()
        })
        .await;
        let (listener, attempts) = (listener.unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&attempts);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                drop(stream);
            }
        });
        Self { attempts, accepting: accepting.abort_handle() }
    }

    /// The attempts per second of the next two seconds.
    async fn rate(&self) -> usize {
        let before = self.attempts.load(Ordering::Relaxed);
        passed(Duration::from_secs(2)).await;
        (self.attempts.load(Ordering::Relaxed) - before) / 2
    }
}

/// Each link has three connections. While the server is down, all of a link's connections together are tried about twice a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_links_are_back_within_five_seconds_and_do_not_storm_a_server_that_is_down() {
    let server = server().await;
    let mut links = Vec::new();
    for _ in 0..LINKS {
        links.push(Link::connect(config(&server.url(None)).with_connect_timeout(DEADLINE)).await.unwrap());
    }
    server.kill().await;
    let door = Door::open(server.address()).await;
    // The pauses have grown to their bound.
    passed(Duration::from_secs(3)).await;
    let rate = door.rate().await;
    assert!(rate > LINKS / 2 && rate < LINKS * 7 / 2, "{rate} attempts a second of {LINKS} links");
    door.accepting.abort();
    wait_until("the door is shut", DEADLINE, async || TcpStream::connect(server.address()).await.is_err()).await;

    server.start_again().await.unwrap();
    let back = Instant::now();
    let mut pings = JoinSet::new();
    for link in links.clone() {
        pings.spawn(async move {
            while link.ping_within(BACK_WITHIN).await.is_err() {
                tokio::task::yield_now().await;
            }
            back.elapsed()
        });
    }
    let mut times = pings.join_all().await;
    times.sort();
    eprintln!(
        "{LINKS} links: {rate} attempts a second; back after {:?} (median) to {:?}",
        times[LINKS / 2],
        times[LINKS - 1]
    );
    assert!(times[LINKS - 1] < BACK_WITHIN, "{:?}", times[LINKS - 1]);
    wait_until("all their connections are open again", DEADLINE, async || {
        let clients = server.info("clients").await.unwrap();
        clients["connected_clients"].parse::<usize>().unwrap() > 3 * LINKS
    })
    .await;
}

/// A firewall has dropped the state of a connection. The first call finds out.
#[tokio::test]
async fn a_half_open_connection_is_replaced_within_twice_the_command_time_out() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let timeout = Duration::from_secs(1);
    let settings = config(&server.url_through(&proxy, None)).with_command_timeout(timeout).with_pool_size(1);
    let link = Link::connect(settings.with_max_retries(0)).await.unwrap();
    for _ in 0..3 {
        link.ping().await.unwrap();
        proxy.half_open();
        let first = Instant::now();
        while link.ping().await.is_err() {
            tokio::task::yield_now().await;
        }
        let noticed = first.elapsed();
        assert!(noticed > timeout && noticed < timeout * 2, "{noticed:?}");
    }
}

/// A firewall has dropped the state of all connections. Only one call that waits for replicas finds out.
#[tokio::test]
async fn half_open_connections_of_durable_calls_are_replaced_together() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let settings = config(&server.url_through(&proxy, None)).with_command_timeout(Duration::from_millis(500));
    let link = Link::connect(settings.with_max_retries(0)).await.unwrap();
    let durability = Durability::Replicated { replicas: 1, within: Duration::from_millis(1) };
    let call = async || link.call_durable(COUNTS, &INCREMENT, &["counter"], args![1], durability).await.map(drop);
    let is_answered = |result: Result<(), Error>| matches!(result, Ok(()) | Err(Error::NotDurable { .. }));
    let at_once = tokio::join!(call(), call(), call());
    assert!(is_answered(at_once.0) && is_answered(at_once.1) && is_answered(at_once.2));
    proxy.half_open();
    let first = call().await;
    assert!(is_indeterminate(&first), "{first:?}");
    let second = call().await;
    assert!(is_answered(second.clone()), "{second:?}");
}

/// Packets disappear, and new connections get no answer.
#[tokio::test]
async fn a_server_whose_cable_is_pulled_out_is_noticed_within_twice_the_command_time_out_and_found_again() {
    let remote = RemoteServer::start(RedisServer::builder()).await.unwrap();
    let timeout = Duration::from_secs(1);
    let settings = config(&format!("redis://{}", remote.address())).with_command_timeout(timeout).with_pool_size(1);
    let link = Link::connect(settings.with_max_retries(0).with_connect_timeout(timeout)).await.unwrap();
    link.ping().await.unwrap();
    remote.unplug().await.unwrap();
    let first = Instant::now();
    while link.is_connected() {
        assert!(link.ping().await.is_err());
    }
    let noticed = first.elapsed();
    assert!(noticed > timeout && noticed < timeout * 2, "{noticed:?}");
    assert!(is_unavailable(&link.ping().await));
    remote.plug_in().await.unwrap();
    eventually("the link is back", async || link.ping().await.is_ok()).await;
}

/// The server is back and stalls immediately, while 63 other connections wait for their turn to be opened.
#[tokio::test]
async fn a_call_on_the_first_connection_after_an_outage_times_out() {
    let server = server().await;
    let timeout = Duration::from_millis(300);
    let settings = config(&server.url(None)).with_command_timeout(timeout).with_max_retries(0).with_pool_size(64);
    let link = Link::connect(settings.with_connect_timeout(DEADLINE)).await.unwrap();
    server.kill().await;
    // The pauses have grown to their bound.
    passed(Duration::from_secs(3)).await;
    server.start_again().await.unwrap();
    wait_until("a connection is open", DEADLINE, async || link.is_connected()).await;
    server.pause().unwrap();
    let called = Instant::now();
    let result = link.ping().await;
    let took = called.elapsed();
    server.resume().unwrap();
    assert!(result.is_err() && took < timeout + Duration::from_secs(1), "{result:?} after {took:?}");
}

/// The server accepts the connection but never replies.
#[tokio::test]
async fn each_state_of_a_connection_attempt_ends_with_the_connect_time_out() {
    let encrypted = RedisServer::builder().password("p").tls().start().await.unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let attempt = Duration::from_millis(300);
    for url in ["redis://", "redis://:p@", "rediss://:p@"] {
        let settings = config(&format!("{url}127.0.0.1:{port}")).with_connect_timeout(attempt);
        let started = Instant::now();
        let result = Link::connect(settings.with_tls(TlsFiles::new().with_ca(encrypted.ca_file()))).await;
        let took = started.elapsed();
        assert!(is_unavailable(&result), "{url} {result:?}");
        assert!(took >= attempt && took < attempt + Duration::from_secs(3), "{url} {took:?}");
    }
}

/// The network is back while an earlier attempt still waits for it.
#[tokio::test]
async fn an_attempt_that_hangs_does_not_keep_a_link_from_a_server_that_is_back() {
    let server = RedisServer::builder().password("p").tls().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let settings = config(&server.url_through(&proxy, None)).with_tls(TlsFiles::new().with_ca(server.ca_file()));
    let settings = settings.with_connect_timeout(Duration::from_secs(1)).with_pool_size(1).with_max_retries(0);
    let link = Link::connect(settings).await.unwrap();
    proxy.blackhole().await;
    proxy.cut_connections().await;
    wait_until("an attempt hangs", DEADLINE, async || !link.is_connected() && proxy.connections() > 0).await;
    let hung = Instant::now();
    wait_until("it is given up", DEADLINE, async || {
        proxy.connections() == 0 || hung.elapsed() > Duration::from_millis(1500)
    })
    .await;
    proxy.cut_connections().await;
    proxy.pass().await;
    let passed = Instant::now();
    wait_until("the link is back", DEADLINE, async || link.ping().await.is_ok()).await;
    assert!(passed.elapsed() < Duration::from_secs(4), "{:?}", passed.elapsed());
}

/// The server stops while a write waits for its replicas: the call ends with the time of the wait and the time-out.
#[tokio::test]
async fn a_durable_write_to_a_silent_server_ends() {
    let server = server().await;
    let timeout = Duration::from_millis(300);
    let settings = config(&server.url(None)).with_command_timeout(timeout).with_max_retries(0);
    let link = Link::connect(settings).await.unwrap();
    let durability = Durability::Replicated { replicas: 1, within: Duration::from_millis(200) };
    let write = async || link.call_durable(RECOGNISED, &INCREMENT, &["x"], args![1], durability).await;
    assert!(write().await.is_err(), "it has no replica");
    server.pause().unwrap();
    let started = Instant::now();
    let result = write().await;
    assert!(is_indeterminate(&result), "{result:?}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    server.resume().unwrap();
}

//! Replies that arrive just before a connection ends, and error replies that do not end it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis_link::{Link, LinkConfig, Script, ServerUrl, args};
use store_core::{Error, Op};
use testkit::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CALLS: usize = 300;

/// A proxy. Once armed it holds back the server's replies until it has a given number of lines, then passes them all
/// and closes.
async fn last_words(target: std::net::SocketAddr, armed: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let armed = armed.clone();
            tokio::spawn(async move {
                let server = TcpStream::connect(target).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let (mut buffer, mut held) = (vec![0; 65536], Vec::new());
                loop {
                    let read = from_server.read(&mut buffer).await.unwrap();
                    if read == 0 {
                        return;
                    }
                    if !armed.load(Ordering::SeqCst) {
                        to_client.write_all(&buffer[..read]).await.unwrap();
                        continue;
                    }
                    held.extend_from_slice(&buffer[..read]);
                    if held.iter().filter(|byte| **byte == b'\n').count() >= CALLS {
                        armed.store(false, Ordering::SeqCst);
                        to_client.write_all(&held).await.unwrap();
                        return;
                    }
                }
            });
        }
    });
    port
}

/// The server answers all calls and closes the connection right after its last answer, as a server does that shuts
/// down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_came_before_the_end_of_a_connection_are_returned() {
    let server = RedisServer::cache().start().await.unwrap();
    let armed = Arc::new(AtomicBool::new(false));
    let target = std::net::SocketAddr::from(([127, 0, 0, 1], server.port()));
    let port = last_words(target, armed.clone()).await;
    let url = ServerUrl::parse(&format!("redis://127.0.0.1:{port}")).unwrap();
    let link = Link::connect(LinkConfig::new(url, "tests:link").with_pool_size(1).with_max_retries(0)).await.unwrap();
    let (mut unheard, mut heard) = (0, 0);
    for _ in 0..20 {
        while link.ping().await.is_err() {}
        armed.store(true, Ordering::SeqCst);
        let calls: Vec<_> = (0..CALLS)
            .map(|_| {
                let link = link.clone();
                tokio::spawn(async move { link.command(Op::KeyValueAdd, "INCR", args!["counter"]).await })
            })
            .collect();
        for call in calls {
            match call.await.unwrap() {
                Ok(_) => heard += 1,
                Err(Error::Indeterminate { .. }) => unheard += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert_eq!((unheard, heard), (0, 20 * CALLS), "replies that had come were thrown away");
}

/// `CLUSTERDOWN` does: the client library always closes the connection on it.
#[tokio::test]
async fn no_error_reply_costs_the_connection() {
    let server = RedisServer::cache().start().await.unwrap();
    let url = ServerUrl::parse(&server.url(None)).unwrap();
    let link = Link::connect(LinkConfig::new(url, "tests:link").with_pool_size(1).with_max_retries(0)).await.unwrap();
    static FAIL: Script = Script::new("test/fail", "#!lua\nreturn redis.error_reply(ARGV[1])");
    for text in [
        "MOVED 866 127.0.0.1:7000",
        "ASK 866 127.0.0.1:7000",
        "MOVED x",
        "NOAUTH Authentication required.",
        "WRONGPASS no",
        "LOADING no",
        "MASTERDOWN no",
        "UNBLOCKED no",
        "Canceled",
        "ERR Canceled",
        "BUSY no",
        "NOSCRIPTS no",
        "IO error",
        "Unexpected EOF",
    ] {
        let answer = link.call(Op::KeyValueAdd, &FAIL, &["k"], args![text]).await;
        answer.unwrap_err();
        for _ in 0..3 {
            link.ping().await.unwrap_or_else(|error| panic!("after {text}: {error}"));
        }
    }
}

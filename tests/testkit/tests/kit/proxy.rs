use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use testkit::{CommandError, DEADLINE, FaultProxy, RedisServer, RespConnection, Value, mentions, wait_until};

const A_WHILE: Duration = Duration::from_millis(200);

async fn server_and_proxy() -> (RedisServer, FaultProxy) {
    let server = RedisServer::builder().start().await.expect("redis-server starts");
    let proxy = FaultProxy::start(server.address()).await.expect("a port is free");
    (server, proxy)
}

async fn ping(connection: &mut RespConnection) -> bool {
    connection.command(&["PING"]).await.is_ok_and(|reply| reply.as_str() == Some("PONG"))
}

async fn answers_within(connection: &mut RespConnection, limit: Duration) -> bool {
    tokio::time::timeout(limit, connection.receive()).await.is_ok()
}

#[tokio::test]
async fn passing_forwards_and_counts() {
    let (server, proxy) = server_and_proxy().await;
    assert_eq!(server.url_through(&proxy, Some(1)), format!("redis://127.0.0.1:{}/1", proxy.port()));
    let mut connection = RespConnection::open(proxy.address()).await.unwrap();
    let large = vec![7; 3_000_000];
    connection.command(&[b"SET", b"key".as_slice(), &large]).await.unwrap();
    assert_eq!(connection.command(&["GET", "key"]).await.unwrap().as_bytes(), Some(large.as_slice()));
    assert!(proxy.bytes_up() > 3_000_000 && proxy.bytes_down() > 3_000_000);
    assert_eq!(proxy.connections(), 1);
    drop(connection);
    wait_until("the proxy forgets the connection", DEADLINE, async || proxy.connections() == 0).await;
}

#[tokio::test]
async fn a_delay_holds_each_direction() {
    let (_server, proxy) = server_and_proxy().await;
    let mut connection = RespConnection::open(proxy.address()).await.unwrap();
    assert!(ping(&mut connection).await);
    proxy.delay(Duration::from_millis(50)).await;
    let started = Instant::now();
    assert!(ping(&mut connection).await);
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_slow_line_holds_each_direction_by_the_byte() {
    let (_server, proxy) = server_and_proxy().await;
    let mut connection = RespConnection::open(proxy.address()).await.unwrap();
    let value = "x".repeat(20_000);
    proxy.slow(100_000).await;
    for request in [["SET", "key", value.as_str()].as_slice(), &["GET", "key"]] {
        let started = Instant::now();
        connection.command(request).await.unwrap();
        assert!(started.elapsed() >= Duration::from_millis(200), "{} of {:?}", request[0], started.elapsed());
    }
}

#[tokio::test]
async fn new_connections_are_led_to_another_server() {
    let (server, proxy) = server_and_proxy().await;
    let other = RedisServer::builder().start().await.unwrap();
    let mut old = RespConnection::open(proxy.address()).await.unwrap();
    assert!(ping(&mut old).await);
    proxy.lead_to(other.address());
    let mut new = RespConnection::open(proxy.address()).await.unwrap();
    for (connection, number) in [(&mut old, "1"), (&mut new, "2")] {
        connection.command(&["SET", "key", number]).await.unwrap();
    }
    for (server, number) in [(&server, "1"), (&other, "2")] {
        assert_eq!(server.command(&["GET", "key"]).await.unwrap().as_str(), Some(number));
    }
}

#[tokio::test]
async fn a_blackhole_swallows_until_traffic_passes_again() {
    let (server, proxy) = server_and_proxy().await;
    let mut old = RespConnection::open(proxy.address()).await.unwrap();
    assert!(ping(&mut old).await);
    proxy.blackhole().await;
    old.send(&["INCR", "count"]).await.unwrap();
    let mut new = RespConnection::open(proxy.address()).await.unwrap();
    new.send(&["PING"]).await.unwrap();
    assert!(!answers_within(&mut old, A_WHILE).await);
    assert!(!answers_within(&mut new, A_WHILE).await);
    assert!(server.command(&["GET", "count"]).await.unwrap().is_nil());

    proxy.pass().await;
    assert_eq!(old.receive().await.unwrap(), Value::Integer(1));
    assert_eq!(new.receive().await.unwrap().as_str(), Some("PONG"));
}

#[tokio::test]
async fn one_way_executes_without_an_answer() {
    let (server, proxy) = server_and_proxy().await;
    let mut connection = RespConnection::open(proxy.address()).await.unwrap();
    proxy.one_way().await;
    connection.send(&["INCR", "count"]).await.unwrap();
    wait_until("the server has counted", DEADLINE, async || server.keys_count().await.unwrap() == 1).await;
    assert!(!answers_within(&mut connection, A_WHILE).await);

    proxy.reset().await;
    proxy.pass().await;
    assert!(connection.receive().await.is_err());
}

#[tokio::test]
async fn a_reset_ends_connections_with_rst_and_refuses_new_ones() {
    let (_server, proxy) = server_and_proxy().await;
    let mut connection = RespConnection::open(proxy.address()).await.unwrap();
    assert!(ping(&mut connection).await);
    proxy.reset().await;
    assert_eq!(proxy.connections(), 0);
    let Err(CommandError::Connection(error)) = connection.receive().await else { panic!("still connected") };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let Err(CommandError::Connection(error)) = RespConnection::open(proxy.address()).await else {
        panic!("still accepts")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);

    proxy.pass().await;
    assert!(ping(&mut RespConnection::open(proxy.address()).await.unwrap()).await);
}

#[tokio::test]
async fn a_cut_of_connections_accepts_new_ones() {
    let (_server, proxy) = server_and_proxy().await;
    let mut connection = RespConnection::open(proxy.address()).await.unwrap();
    assert!(ping(&mut connection).await);
    proxy.cut_connections().await;
    assert!(connection.receive().await.is_err());
    assert!(ping(&mut RespConnection::open(proxy.address()).await.unwrap()).await);
}

#[tokio::test]
async fn a_cut_after_a_request_executes_it_exactly_once_and_loses_the_reply() {
    let (server, proxy) = server_and_proxy().await;
    let mut connection = RespConnection::open(proxy.address()).await.unwrap();
    assert_eq!(connection.command(&["INCR", "count"]).await.unwrap(), Value::Integer(1));

    proxy.cut_after_request(mentions("INCR"));
    assert!(ping(&mut connection).await);
    assert_eq!(proxy.fired(), 0);
    assert!(matches!(connection.command(&["INCR", "count"]).await, Err(CommandError::Connection(_))));
    assert_eq!(proxy.fired(), 1);
    proxy.wait_fired(1).await;
    assert_eq!(server.command(&["GET", "count"]).await.unwrap().as_str(), Some("2"));

    let mut next = RespConnection::open(proxy.address()).await.unwrap();
    assert_eq!(next.command(&["INCR", "count"]).await.unwrap(), Value::Integer(3));
    assert_eq!(proxy.fired(), 1);
}

#[tokio::test]
async fn a_cut_executes_a_large_request_whole_and_nothing_behind_it() {
    let (server, proxy) = server_and_proxy().await;
    let mut connection = RespConnection::open(proxy.address()).await.unwrap();
    proxy.cut_after_request(mentions("marker"));
    let large = vec![b'x'; 5_000_000];
    // the pipelined rest may find the connection closed
    let _ = connection.send(&[b"SET".as_slice(), b"before", b"1"]).await;
    let _ = connection.send(&[b"SET".as_slice(), b"marker", &large]).await;
    let _ = connection.send(&[b"SET".as_slice(), b"behind", b"1"]).await;
    proxy.wait_fired(1).await;
    assert_eq!(server.command(&["STRLEN", "marker"]).await.unwrap(), Value::Integer(5_000_000));
    assert_eq!(server.command(&["EXISTS", "before", "behind"]).await.unwrap(), Value::Integer(1));
}

#[tokio::test]
async fn a_cut_after_a_slow_script_waits_for_its_writes() {
    let (server, proxy) = server_and_proxy().await;
    let mut connection = RespConnection::open(proxy.address()).await.unwrap();
    proxy.cut_after_request(mentions("EVAL"));
    let script = "for i = 1, 3000000 do end return redis.call('INCR', KEYS[1])";
    assert!(connection.command(&["EVAL", script, "1", "count"]).await.is_err());
    assert_eq!(server.command(&["GET", "count"]).await.unwrap().as_str(), Some("1"));
}

#[tokio::test]
async fn a_cut_before_a_request_executes_nothing() {
    let (server, proxy) = server_and_proxy().await;
    let mut connection = RespConnection::open(proxy.address()).await.unwrap();
    proxy.cut_before_request(mentions("INCR"));
    assert!(connection.command(&["INCR", "count"]).await.is_err());
    assert_eq!(proxy.fired(), 1);
    assert!(server.command(&["GET", "count"]).await.unwrap().is_nil());
}

#[tokio::test]
async fn a_server_that_is_down_ends_the_connection() {
    let (server, proxy) = server_and_proxy().await;
    let mut connection = RespConnection::open(proxy.address()).await.unwrap();
    assert!(ping(&mut connection).await);
    server.kill().await;
    assert!(connection.receive().await.is_err());
    assert!(!ping(&mut RespConnection::open(proxy.address()).await.unwrap()).await);
    server.start_again().await.unwrap();
    assert!(ping(&mut RespConnection::open(proxy.address()).await.unwrap()).await);
}

#[tokio::test]
async fn a_held_connection_waits_while_the_others_pass() {
    let (server, proxy) = server_and_proxy().await;
    let mut held = RespConnection::open(proxy.address()).await.unwrap();
    assert!(ping(&mut held).await);
    let mut other = RespConnection::open(proxy.address()).await.unwrap();
    assert!(ping(&mut other).await);
    assert!(proxy.hold_connection(0));
    held.send(&["INCR", "count"]).await.unwrap();
    assert!(!answers_within(&mut held, A_WHILE).await);
    assert!(ping(&mut other).await);
    assert!(server.command(&["GET", "count"]).await.unwrap().is_nil());

    proxy.pass().await;
    assert_eq!(held.receive().await.unwrap(), Value::Integer(1));
}

#[tokio::test]
async fn a_half_open_connection_swallows_requests_and_stays() {
    let (server, proxy) = server_and_proxy().await;
    let mut old = RespConnection::open(proxy.address()).await.unwrap();
    assert!(ping(&mut old).await);
    proxy.half_open();
    let mut new = RespConnection::open(proxy.address()).await.unwrap();
    assert!(ping(&mut new).await);
    old.send(&["INCR", "count"]).await.unwrap();
    assert!(!answers_within(&mut old, A_WHILE).await);
    assert!(server.command(&["GET", "count"]).await.unwrap().is_nil());
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn a_cut_in_a_reply_delivers_a_part_of_it() {
    let (server, proxy) = server_and_proxy().await;
    server.command(&["SET", "key", &"x".repeat(1000)]).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.cut_in_reply(mentions("GET"));
    stream.write_all(b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n").await.unwrap();
    let mut received = Vec::new();
    // the end is a reset or an orderly end, as the system likes
    let _ = stream.read_to_end(&mut received).await;
    assert_eq!(received.len(), ("$1000\r\n".len() + 1000 + "\r\n".len()) / 2);
    assert_eq!(proxy.fired(), 1);
}

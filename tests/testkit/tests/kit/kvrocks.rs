use testkit::{CommandError, DEADLINE, KvrocksProxy, RedisServer, RespConnection, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn refusal(client: &mut RespConnection, command: &[&str]) -> String {
    match client.command(command).await {
        Err(CommandError::Refused(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

async fn server_and_client() -> (RedisServer, KvrocksProxy, RespConnection) {
    let server = RedisServer::builder().start().await.expect("redis-server starts");
    let proxy = KvrocksProxy::start(&server).await.expect("a port is free");
    let client = RespConnection::open(proxy.address()).await.expect("the proxy accepts");
    (server, proxy, client)
}

#[tokio::test]
async fn it_presents_itself_as_kvrocks_and_has_one_keyspace() {
    let (server, _proxy, mut client) = server_and_client().await;
    let hello = client.command(&["HELLO", "2"]).await.unwrap().into_array();
    assert!(!hello.iter().any(|part| part.as_str() == Some("id")));
    assert_eq!(hello[3].as_str(), Some("4.0.0"));
    let info = client.command(&["INFO"]).await.unwrap();
    let info = info.as_str().unwrap();
    assert!(info.contains("kvrocks_version:2.14.0\r\nredis_version:4.0.0\r\n") && info.contains("used_memory_rss:"));
    for absent in ["run_id:", "used_memory:", "maxmemory:"] {
        assert!(!info.contains(absent), "{absent}");
    }
    assert!(client.command(&["CONFIG", "GET", "maxmemory-policy"]).await.unwrap().as_array().unwrap().is_empty());
    let role = client.command(&["ROLE"]).await.unwrap().into_array();
    assert!(role.len() == 2 && role[1].as_str().is_some(), "{role:?}");

    client.command(&["SELECT", "3"]).await.unwrap();
    client.command(&["SET", "key", "1"]).await.unwrap();
    assert_eq!(server.command_in(0, &["GET", "key"]).await.unwrap().as_str(), Some("1"));
}

#[tokio::test]
async fn what_it_does_not_have_is_refused() {
    let (server, _proxy, mut client) = server_and_client().await;
    for command in [
        "CLIENT TRACKING ON",
        "CLIENT SETINFO lib-name x",
        "WAITAOF 1 0 0",
        "ACL WHOAMI",
        "WAIT 0 10",
        "SPUBLISH a b",
        "OBJECT ENCODING a",
        "EXPIRE a 1 NX",
        "XADD a MAXLEN ~ 1 * a b",
        "AUTH user password",
    ] {
        let error = refusal(&mut client, &command.split(' ').collect::<Vec<_>>()).await;
        assert!(error.starts_with("ERR "), "{command}: {error}");
    }
    assert_eq!(client.command(&["WAIT", "1", "10"]).await.unwrap().as_integer(), Some(0));
    let old = KvrocksProxy::start_without_wait(&server).await.unwrap();
    let mut client = RespConnection::open(old.address()).await.unwrap();
    assert!(refusal(&mut client, &["WAIT", "1", "10"]).await.contains("unknown command"));
}

#[tokio::test]
async fn a_script_is_known_after_its_load_only_and_answers_in_bytes() {
    let (_server, proxy, mut client) = server_and_client().await;
    let script = "return redis.call('SET', KEYS[1], 1)";
    let reply = client.command(&["EVAL", script, "1", "key"]).await.unwrap();
    assert_eq!(reply, Value::Bulk("OK".into()));
    let digest = "5b4a5e1a2b6ff3a5e9b1cd2d6b6e7b2a4a0a6a0b";
    assert!(refusal(&mut client, &["EVALSHA", digest, "0"]).await.starts_with("NOSCRIPT"));
    let digest = client.command(&["SCRIPT", "LOAD", script]).await.unwrap();
    let digest = digest.as_str().unwrap();
    let mut other = RespConnection::open(proxy.address()).await.unwrap();
    assert_eq!(other.command(&["EVALSHA", digest, "1", "key"]).await.unwrap(), Value::Bulk("OK".into()));
    other.command(&["SCRIPT", "FLUSH"]).await.unwrap();
    client.command(&["EVAL", script, "1", "key"]).await.unwrap();
    assert!(refusal(&mut client, &["EVALSHA", digest, "1", "key"]).await.starts_with("NOSCRIPT"));
    let exists = client.command(&["SCRIPT", "EXISTS", digest]).await.unwrap();
    assert_eq!(exists, Value::Array(vec![Value::Integer(0)]));
    assert!(refusal(&mut client, &["EVAL", "error('x')", "0"]).await.starts_with("ERR running script"));
    let error = refusal(&mut client, &["LPUSH", "key", "1"]).await;
    assert!(error.starts_with("ERR Invalid argument: WRONGTYPE"), "{error}");
}

#[tokio::test]
async fn a_read_of_a_group_that_does_not_exist_is_empty() {
    let (_server, _proxy, mut client) = server_and_client().await;
    let reply = client.command(&["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"]).await.unwrap();
    let expected = Value::Array(vec![Value::Bulk("s".into()), Value::Array(Vec::new())]);
    assert_eq!(reply, Value::Array(vec![expected]));
    assert!(client.command(&["BLPOP", "none", "0.01"]).await.unwrap().is_nil());
}

#[tokio::test]
async fn passwords_have_no_users() {
    let server = RedisServer::builder().password("secret").acl_user("app", "secret", "~* +@all").start().await.unwrap();
    let proxy = KvrocksProxy::start(&server).await.unwrap();
    let mut client = RespConnection::open(proxy.address()).await.unwrap();
    assert_eq!(refusal(&mut client, &["AUTH", "wrong"]).await, "ERR Invalid password");
    assert_eq!(refusal(&mut client, &["HELLO", "2", "AUTH", "app", "secret"]).await, "ERR Invalid password");
    client.command(&["HELLO", "2", "AUTH", "default", "secret"]).await.unwrap();
    assert_eq!(client.command(&["PING"]).await.unwrap().as_str(), Some("PONG"));
}

/// In protocol version 3, where the reply to `SUBSCRIBE` is a push.
#[tokio::test]
async fn messages_are_no_pushes() {
    let (server, proxy, _client) = server_and_client().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(b"HELLO 3\r\nINFO server\r\n*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n").await.unwrap();
    let greeting = read_until(&mut stream, ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n").await;
    assert!(greeting.starts_with("%6\r\n") && greeting.contains("\r\n# Server\r\n"), "{greeting}");
    server.command(&["PUBLISH", "c", "text"]).await.unwrap();
    read_until(&mut stream, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\ntext\r\n").await;
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut received = Vec::new();
    let read = async {
        while !received.ends_with(end.as_bytes()) {
            assert!(stream.read_buf(&mut received).await.expect("the proxy answers") > 0);
        }
    };
    let outcome = tokio::time::timeout(DEADLINE, read).await;
    let received = String::from_utf8_lossy(&received).into_owned();
    assert!(outcome.is_ok(), "received {received}");
    received
}

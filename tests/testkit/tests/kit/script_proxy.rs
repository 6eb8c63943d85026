use testkit::{RedisServer, RespConnection, ScriptProxy};

const SCRIPT: &str = "#!lua
-- test/write: writes twice
redis.call('SET', KEYS[1], 1)
redis.call('GET', KEYS[1])
redis.call('SET', KEYS[2], 2)
return 'written'";

#[tokio::test]
async fn a_script_ends_between_two_writes_and_what_it_wrote_stays() {
    let server = RedisServer::builder().start().await.unwrap();
    let proxy = ScriptProxy::start(&server).await.unwrap();
    let address = proxy.url().strip_prefix("redis://").unwrap().to_owned();
    let mut client = RespConnection::open(address).await.unwrap();
    let digest = client.command(&["SCRIPT", "LOAD", SCRIPT]).await.unwrap();
    let run = ["EVALSHA", digest.as_str().unwrap(), "2", "a", "b"];
    for (writes, keys, runs) in [(0, 0, false), (1, 1, false), (2, 2, true)] {
        server.command(&["DEL", "a", "b"]).await.unwrap();
        proxy.interrupt(&server, "test/write", writes).await.unwrap();
        let outcome = client.command(&run).await;
        assert_eq!((outcome.is_ok(), server.keys_count().await.unwrap()), (runs, keys), "after {writes}: {outcome:?}");
    }
    proxy.interrupt(&server, "test/write", 0).await.unwrap();
    proxy.heal();
    // pipelined
    client.send(&["PING"]).await.unwrap();
    client.send(&run).await.unwrap();
    assert_eq!(client.receive().await.unwrap().as_str(), Some("PONG"));
    assert_eq!(client.receive().await.unwrap().as_str(), Some("written"));
}

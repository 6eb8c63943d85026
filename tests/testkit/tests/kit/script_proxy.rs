use testkit::{Interrupted, Interruption, RedisServer, RespConnection, ScriptProxy};

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
        proxy.interrupt("test/write", writes, Interrupted::Fails).await.unwrap();
        let outcome = client.command(&run).await;
        assert_eq!((outcome.is_ok(), proxy.heal().await.unwrap()), (runs, !runs), "after {writes}: {outcome:?}");
        assert_eq!(server.keys_count().await.unwrap(), keys);
    }
    proxy.interrupt("test/write", 0, Interrupted::Fails).await.unwrap();
    proxy.heal().await.unwrap();
    // pipelined
    client.send(&["PING"]).await.unwrap();
    client.send(&run).await.unwrap();
    assert_eq!(client.receive().await.unwrap().as_str(), Some("PONG"));
    assert_eq!(client.receive().await.unwrap().as_str(), Some("written"));
}

#[tokio::test]
async fn an_interrupted_script_is_repeated_with_the_mark_of_a_repetition() {
    let script = "#!lua
-- test/mark: appends its first argument twice
redis.call('APPEND', KEYS[1], ARGV[1])
redis.call('APPEND', KEYS[1], ARGV[1])
return ARGV[2]";
    let server = RedisServer::builder().start().await.unwrap();
    let proxy = ScriptProxy::start(&server).await.unwrap();
    let address = proxy.url().strip_prefix("redis://").unwrap().to_owned();
    let mut client = RespConnection::open(address).await.unwrap();
    let digest = client.command(&["SCRIPT", "LOAD", script]).await.unwrap();
    let run = ["EVALSHA", digest.as_str().unwrap(), "1", "a", "7;", "answer"];
    for (writes, written, interrupted) in [(0, "7; r7; r", true), (1, "7;7; r7; r", true), (2, "7;7;", false)] {
        server.command(&["DEL", "a"]).await.unwrap();
        proxy.interrupt("test/mark", writes, Interrupted::IsRepeated).await.unwrap();
        assert_eq!(client.command(&run).await.unwrap().as_str(), Some("answer"));
        assert_eq!(proxy.heal().await.unwrap(), interrupted);
        assert_eq!(server.command(&["GET", "a"]).await.unwrap().as_str(), Some(written));
    }
}

#[tokio::test]
async fn each_write_of_a_script_is_interrupted_in_turn() {
    let server = RedisServer::builder().start().await.unwrap();
    let proxy = ScriptProxy::start(&server).await.unwrap();
    let address = proxy.url().strip_prefix("redis://").unwrap().to_owned();
    let mut client = RespConnection::open(address).await.unwrap();
    let digest = client.command(&["SCRIPT", "LOAD", SCRIPT]).await.unwrap();
    let run = ["EVALSHA", digest.as_str().unwrap(), "2", "a", "b", "deadline"];
    let mut rounds = Vec::new();
    let round = async |interruption: &mut Interruption<'_>| {
        server.command(&["DEL", "a", "b"]).await.unwrap();
        let outcome = interruption.during(client.command(&run)).await;
        rounds.push((outcome.is_ok(), server.keys_count().await.unwrap()));
    };
    assert_eq!(proxy.at_each_write("test/write", "whole", round).await, 2);
    assert_eq!(rounds, [(true, 2), (true, 2), (true, 2), (false, 0), (false, 1), (true, 2)]);
}

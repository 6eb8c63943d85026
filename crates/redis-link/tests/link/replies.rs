use redis_link::{Script, args};
use store_core::{Error, Op};
use tokio::task::JoinSet;

use crate::{READS, link_to, server};

static ECHO: Script = Script::new(
    "test/echo",
    "#!lua\nlocal reply = {'ok', ARGV[1]}\nfor at = 1, #KEYS do reply[at + 2] = redis.call('GET', KEYS[at]) end\nreturn reply",
);

const HOSTILE: &[&str] = &[
    "message",
    "pmessage",
    "smessage",
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "unsubscribe",
    "punsubscribe",
    "sunsubscribe",
    "pubsub",
    "invalidate",
];

/// Stored values that look like messages, in groups of three and four, read by 50 concurrent tasks: each gets its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_caller_ever_gets_the_reply_of_another() {
    let server = server().await;
    let link = link_to(&server).await;
    for word in HOSTILE {
        server.command(&["SET", &format!("value:{word}"), word]).await.unwrap();
        server.command(&["HSET", "hash", word, word]).await.unwrap();
    }
    let mut tasks = JoinSet::new();
    for task in 0..50_usize {
        let link = link.clone();
        tasks.spawn(async move {
            for turn in 0..20 {
                let word = HOSTILE[(task + turn) % HOSTILE.len()];
                let mine = format!("{task}/{turn}");
                let keys = vec![format!("value:{word}"); 1 + turn % 3];
                let answer = link.call(READS, &ECHO, &keys, args![mine.as_str()]).await.unwrap();
                let mut reader = answer.reader(READS);
                assert_eq!(reader.next_word().unwrap().as_ref(), b"ok");
                assert_eq!(reader.next_text().unwrap(), mine);
                assert_eq!(reader.remaining(), keys.len());
                assert_eq!(reader.next_text().unwrap(), word);
                let value = link.command(READS, "HGET", args!["hash", word]).await.unwrap();
                assert_eq!(value.reply.as_str(), Some(word));
                let value = link.command(READS, "ECHO", args![mine.as_str()]).await.unwrap();
                assert_eq!(value.reply.as_str(), Some(mine.as_str()));
            }
        });
    }
    while let Some(finished) = tasks.join_next().await {
        finished.unwrap();
    }
}

#[tokio::test]
async fn commands_whose_reply_could_be_mistaken_for_a_message_are_not_sent() {
    let server = server().await;
    let link = link_to(&server).await;
    server.command(&["RPUSH", "list", "message", "a", "b"]).await.unwrap();
    let before = server.commands_processed().await.unwrap();
    let refused = link.command(READS, "LRANGE", args!["list", 0, -1]).await;
    assert!(matches!(refused, Err(Error::InvalidArgument { .. })), "{refused:?}");
    let refused = link.blocking(Op::QueueWait, "GET", args!["list"], std::time::Duration::from_secs(1)).await;
    assert!(matches!(refused, Err(Error::InvalidArgument { .. })), "{refused:?}");
    assert_eq!(server.commands_processed().await.unwrap(), before);
}

#[tokio::test]
async fn every_kind_of_reply_is_parsed() {
    static KINDS: Script = Script::new(
        "test/kinds",
        "#!lua\nredis.setresp(3)\nreturn {'kinds', 7, false, true, {double = 1.5}, {map = {a = 1}}, {ok = 'status'}, {1, {2}}}",
    );
    let server = server().await;
    let link = link_to(&server).await;
    let keys: [&str; 0] = [];
    let mut reader = link.call(READS, &KINDS, &keys, Vec::new()).await.unwrap().reader(READS);
    assert_eq!(reader.next_word().unwrap().as_ref(), b"kinds");
    assert_eq!(reader.next_int().unwrap(), 7);
    assert_eq!((reader.next_int().unwrap(), reader.next_int().unwrap()), (0, 1));
    assert_eq!(reader.next_text().unwrap(), "1.5");
    let mut map = reader.next_list().unwrap();
    assert_eq!((map.next_text().unwrap(), map.next_int().unwrap()), ("a".into(), 1));
    assert_eq!(reader.next_text().unwrap(), "status");
    assert_eq!(reader.next_list().unwrap().remaining(), 2);
    static NOTHING: Script = Script::new("test/nothing", "#!lua\nreturn {'nothing', false, redis.call('GET', 'none')}");
    let mut reader = link.call(READS, &NOTHING, &keys, Vec::new()).await.unwrap().reader(READS);
    assert_eq!(reader.next_word().unwrap().as_ref(), b"nothing");
    assert_eq!((reader.next_opt_bytes().unwrap(), reader.next_opt_int().unwrap()), (None, None));
    let payload: Vec<u8> = (0..=255).collect();
    link.command(READS, "SET", args!["bytes", payload.clone()]).await.unwrap();
    let value = link.command(READS, "GET", args!["bytes"]).await.unwrap();
    assert_eq!(value.reply.as_bytes().unwrap().as_ref(), payload);
}

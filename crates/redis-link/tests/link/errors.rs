use std::time::Duration;

use redis_link::{Link, Script, args};
use store_core::{Error, ErrorKind, Op, Result};
use testkit::RedisServer;

use crate::{INCREMENT, READS, RECOGNISED, config, eventually, is_unavailable, link_to, server};

const NO_KEYS: [&str; 0] = [];

fn assert_kind<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind, detail: &str) {
    let error = result.expect_err("an error");
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.to_string().contains(detail), "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn errors_of_our_scripts_are_recognised_by_their_first_word() {
    static CORRUPT: Script =
        Script::new("test/corrupt", "#!lua\nreturn redis.error_reply('TWCORRUPT the record is odd')");
    static REJECT: Script = Script::new("test/reject", "#!lua\nreturn redis.error_reply('TWINVALID too long')");
    static LIMIT: Script =
        Script::new("test/limit", "#!lua\nreturn redis.error_reply('TWLIMIT 250 the queue is full')");
    static FULL: Script = Script::new("test/full", "#!lua\nreturn redis.error_reply('TWLIMIT full')");
    static RAISED: Script = Script::new("test/raised", "#!lua\nerror({err = 'TWINVALID raised'})");
    let server = server().await;
    let link = link_to(&server).await;
    assert_kind(link.call(RECOGNISED, &CORRUPT, &NO_KEYS, vec![]).await, ErrorKind::Corrupt, "the record is odd");
    assert_kind(link.call(RECOGNISED, &REJECT, &NO_KEYS, vec![]).await, ErrorKind::InvalidArgument, "too long");
    assert_kind(link.call(RECOGNISED, &RAISED, &NO_KEYS, vec![]).await, ErrorKind::InvalidArgument, ": raised");
    assert_kind(link.call(RECOGNISED, &FULL, &NO_KEYS, vec![]).await, ErrorKind::Limit, "full");
    let limit = link.call(RECOGNISED, &LIMIT, &NO_KEYS, vec![]).await;
    let Err(Error::Limit { retry_after, detail, op }) = limit else { panic!("{limit:?}") };
    assert_eq!((retry_after, &*detail, op), (Some(Duration::from_millis(250)), "the queue is full", RECOGNISED));
}

#[tokio::test]
async fn stored_data_of_another_kind_is_corrupt_and_not_shown() {
    static COMPARE: Script = Script::new("test/compare", "#!lua\n\nif ARGV[1] > 1 then return {'more'} end");
    static DECODE: Script = Script::new("test/decode", "#!lua\nreturn {cjson.decode(ARGV[1])}");
    let server = server().await;
    let link = link_to(&server).await;
    server.command(&["RPUSH", "canary-list", "canary"]).await.unwrap();
    server.command(&["SET", "text", "canary"]).await.unwrap();
    assert_kind(
        link.call(RECOGNISED, &INCREMENT, &["canary-list"], args![1]).await,
        ErrorKind::Corrupt,
        "test/increment",
    );
    assert_kind(link.call(RECOGNISED, &INCREMENT, &["text"], args![1]).await, ErrorKind::Corrupt, "line");
    assert_kind(link.command(READS, "INCR", args!["text"]).await, ErrorKind::Corrupt, "INCR");
    assert_kind(link.command(READS, "GET", args!["canary-list"]).await, ErrorKind::Corrupt, "GET");
    let result = link.call(READS, &COMPARE, &NO_KEYS, args!["canary"]).await;
    assert_kind(
        result,
        ErrorKind::Corrupt,
        "test/compare: the script failed at line 3: attempt to compare number with string",
    );
    assert_kind(link.call(READS, &DECODE, &NO_KEYS, args!["canary OOM"]).await, ErrorKind::Corrupt, "test/decode");
    assert_kind(link.command(READS, "SET", args!["x", "1", "canary"]).await, ErrorKind::Unexpected, "SET");
}

#[tokio::test]
async fn a_missing_permission_names_the_command_and_no_key() {
    let server = RedisServer::builder().acl_user("app", "p", "~tw:* -@all +get +@connection").start().await.unwrap();
    let link = Link::connect(config(&server.user_url("app", "p"))).await.unwrap();
    assert_kind(
        link.command(READS, "SET", args!["tw:canary", "canary"]).await,
        ErrorKind::Forbidden,
        "the command set",
    );
    assert_kind(link.command(READS, "GET", args!["canary"]).await, ErrorKind::Forbidden, "one of the keys");
    assert_kind(
        link.call(READS, &INCREMENT, &["tw:canary"], args![1]).await,
        ErrorKind::Forbidden,
        "the command evalsha",
    );
}

/// Redis 7.0 puts the refusal of a command inside a script under the word `ERR`.
#[tokio::test]
async fn a_right_that_is_revoked_while_the_link_is_up_is_forbidden_also_inside_a_script() {
    static TRIES: Script = Script::new("test/tries", "#!lua\nreturn redis.pcall('SET', KEYS[1], ARGV[1])");
    static READS_OTHER: Script = Script::new("test/reads_other", "#!lua\nreturn redis.call('GET', KEYS[1])");
    let server = RedisServer::builder().acl_user("app", "p", "~tw:* +@all").start().await.unwrap();
    let link = Link::connect(config(&server.user_url("app", "p"))).await.unwrap();
    link.call(RECOGNISED, &INCREMENT, &["tw:x"], args![1]).await.unwrap();
    server.command(&["ACL", "SETUSER", "app", "-incrby", "-set"]).await.unwrap();
    for script in [&INCREMENT, &TRIES] {
        let refused = link.call(RECOGNISED, script, &["tw:x"], args!["1"]).await;
        // newer servers name the command
        assert_kind(refused, ErrorKind::Forbidden, "permission for");
    }
    assert_kind(link.command(RECOGNISED, "INCRBY", args!["tw:x", 1]).await, ErrorKind::Forbidden, "command incrby");
    let other = link.call(READS, &READS_OTHER, &["canary"], args![]).await;
    assert_kind(other, ErrorKind::Forbidden, "one of the keys");
    server.command(&["ACL", "SETUSER", "app", "+incrby"]).await.unwrap();
    link.call(RECOGNISED, &INCREMENT, &["tw:x"], args![1]).await.unwrap();
}

#[tokio::test]
async fn an_argument_that_the_server_or_the_link_refuses_is_invalid() {
    static MANY: Script = Script::new("test/many", "#!lua\nreturn redis.error_reply('TWINVALID at most 5')");
    let server = server().await;
    let link = link_to(&server).await;
    let many = link.call(RECOGNISED, &MANY, &NO_KEYS, args!["canary"]).await;
    assert_kind(many, ErrorKind::InvalidArgument, "at most 5");
    assert_kind(link.command(READS, "LRANGE", args!["canary", 0, 1]).await, ErrorKind::InvalidArgument, "LRANGE");
    let no_database = Link::connect(config(&server.url(Some(99)))).await;
    assert_kind(no_database, ErrorKind::InvalidArgument, "no database with this number");
}

#[tokio::test]
async fn an_unknown_command_is_unsupported_and_an_unknown_error_shows_its_word_only() {
    static SENDS: Script = Script::new("test/sends", "#!lua\nreturn redis.call('NOSUCHCOMMAND', ARGV[1])");
    static ODD: Script = Script::new("test/odd", "#!lua\nreturn redis.error_reply('ODDWORD ' .. ARGV[1])");
    static BARE: Script = Script::new("test/bare", "#!lua\nreturn redis.error_reply(ARGV[1])");
    let server = RedisServer::builder().config("rename-command", "STRLEN hidden").start().await.unwrap();
    let link = link_to(&server).await;
    assert_kind(link.command(READS, "STRLEN", args!["canary"]).await, ErrorKind::Unsupported, "command STRLEN");
    let sends = link.call(READS, &SENDS, &NO_KEYS, args!["canary"]).await;
    assert_kind(sends, ErrorKind::Unsupported, "a command that the script sends");
    assert_kind(link.call(READS, &ODD, &NO_KEYS, args!["canary"]).await, ErrorKind::Unexpected, "ODDWORD");
    assert_kind(link.call(READS, &BARE, &NO_KEYS, args!["canary it"]).await, ErrorKind::Unexpected, "test/bare");
}

#[tokio::test]
async fn a_command_that_is_unknown_in_a_script_keeps_the_earlier_writes() {
    static WRITES: Script =
        Script::new("test/writes", "#!lua\nredis.call('SET', KEYS[1], 'kept')\nreturn redis.call('NOSUCHCOMMAND')");
    let server = server().await;
    let link = link_to(&server).await;
    let error = link.call(RECOGNISED, &WRITES, &["x"], Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(!error.to_string().contains("nothing was executed"), "{error}");
    assert_eq!(server.command(&["GET", "x"]).await.unwrap().as_str().unwrap(), "kept");
}

#[tokio::test]
async fn a_full_server_is_a_limit() {
    let server = RedisServer::state().start().await.unwrap();
    let link = link_to(&server).await;
    link.call(RECOGNISED, &INCREMENT, &["x"], args![1]).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    assert_kind(link.command(RECOGNISED, "SET", args!["x", "1"]).await, ErrorKind::Limit, "memory");
    assert_kind(link.call(RECOGNISED, &INCREMENT, &["x"], args![1]).await, ErrorKind::Limit, "memory");
}

#[tokio::test]
async fn a_replica_is_unavailable_for_writes_until_it_is_promoted() {
    let primary = server().await;
    let replica = RedisServer::builder().replica_of(&primary).start().await.unwrap();
    let link = link_to(&replica).await;
    assert_kind(link.command(RECOGNISED, "SET", args!["x", "1"]).await, ErrorKind::Unavailable, "read-only");
    let result = link.call(RECOGNISED, &INCREMENT, &["x"], args![1]).await;
    assert!(matches!(result, Err(Error::Unavailable { .. } | Error::Indeterminate { .. })), "{result:?}");
    replica.command(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    eventually("the promoted server accepts writes", async || {
        link.call(RECOGNISED, &INCREMENT, &["x"], args![1]).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn too_few_replicas_and_a_busy_server_are_unavailable() {
    static FOR_EVER: Script = Script::new("test/for_ever", "#!lua\nwhile true do end");
    let server = RedisServer::builder().config("busy-reply-threshold", "1").start().await.unwrap();
    let settings = config(&server.url(None)).with_command_timeout(Duration::from_millis(500)).with_max_retries(0);
    let link = Link::connect(settings).await.unwrap();
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await.unwrap();
    assert_kind(link.command(RECOGNISED, "SET", args!["x", "1"]).await, ErrorKind::Unavailable, "fewer replicas");
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await.unwrap();
    let ended = link.call(Op::QueueClaim, &FOR_EVER, &NO_KEYS, vec![]).await;
    assert_kind(ended, ErrorKind::Indeterminate, "in time");
    eventually("the server is busy", async || is_unavailable(&link.command(READS, "GET", args!["x"]).await)).await;
    server.command(&["SCRIPT", "KILL"]).await.unwrap();
    eventually("it is free again", async || link.ping().await.is_ok()).await;
}

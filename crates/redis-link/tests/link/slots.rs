//! A server in cluster mode that owns all slots: the link uses it as a single server, and the server refuses whatever crosses
//! slots.

use std::time::Duration;

use redis_link::{Channel, Event, Link, Script, args};
use store_core::{Durability, Error};
use testkit::RedisServer;

use crate::subscriptions::hear;
use crate::{READS, RECOGNISED, config, number};

static BOTH: Script = Script::adds(
    "test/both",
    &["call('INCR', KEYS[1])\ncall('INCR', KEYS[2])\nreturn {'both', redis.pcall('PUBLISH', ARGV[2], 'done')}"],
);

#[tokio::test]
async fn keys_of_one_hash_tag_are_served_and_others_are_refused() {
    let server = RedisServer::state().cluster().start().await.unwrap();
    let link = Link::connect(config(&server.url(None))).await.unwrap();
    let mut subscription = hear(&link, Channel::plain("tw:wake:a"));
    assert_eq!(subscription.next().await, Some(Event::Subscribed));

    link.call(RECOGNISED, &BOTH, &["{q}:1", "{q}:2"], args!["tw:wake:a"]).await.unwrap();
    assert_eq!(subscription.next().await, Some(Event::Message("done".into())));
    let durability = Durability::Fsynced { within: Duration::from_secs(5) };
    let durable = link.call_durable(RECOGNISED, &BOTH, &["{q}:1", "{q}:2"], args!["other"], durability).await;
    assert!(durable.is_ok() || matches!(durable, Err(Error::Unsupported { .. })), "{durable:?}");
    let waited = link.blocking(READS, "BLPOP", args!["{q}:list", "0.01"], Duration::from_millis(10)).await;
    assert_eq!(waited.unwrap(), None);

    let across = link.call(RECOGNISED, &BOTH, &["{q}:1", "{r}:2"], args!["tw:wake:a"]).await;
    assert!(matches!(across, Err(Error::InvalidArgument { .. })), "{across:?}");
    assert!(number(&server, "{q}:1").await >= 1);
    link.ping().await.unwrap();
}

/// A script that uses a key that it was not given.
#[tokio::test]
async fn a_key_of_another_slot_inside_a_script_is_refused() {
    static HIDDEN: Script = Script::adds("test/hidden", &["call('INCR', KEYS[1] .. '}')\nreturn {'done'}"]);
    let server = RedisServer::state().cluster().start().await.unwrap();
    let link = Link::connect(config(&server.url(None))).await.unwrap();
    let refused = link.call(RECOGNISED, &HIDDEN, &["{q}:1{x"], args![]).await;
    assert!(refused.is_ok(), "the tag is the first one: {refused:?}");
    let refused = link.call(RECOGNISED, &HIDDEN, &["{q"], args![]).await;
    assert!(refused.is_err(), "{refused:?}");
}

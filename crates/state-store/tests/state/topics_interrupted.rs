//! Calls on topics that are interrupted after a write and not repeated.

use store_core::{GroupName, SeekTo, TopicConfig, TopicName, Topics};
use testkit::Interruption;

use crate::interrupting::Interrupting;
use crate::topics::{DAY, append, billing, consumer, read, topic};

#[derive(Debug, Clone, Copy)]
enum Call {
    Append,
    Read,
    Seek,
}

impl Interrupting {
    async fn call_on_topic(&self, topic: &TopicName, call: Call) -> store_core::Result<()> {
        match call {
            Call::Append => append(&self.store, topic, &["one", "two"]).await.map(drop),
            Call::Read => read(&self.store, &consumer(topic, 1)).await.map(drop),
            Call::Seek => self.store.seek(topic, &billing(), SeekTo::End).await,
        }
    }
}

/// The next read of any group removes what the script has left, or gives it a TTL.
#[tokio::test]
async fn what_an_interrupted_call_has_left_is_removed_or_expires() {
    let fixture = Interrupting::start().await;
    let config = TopicConfig::default().with_max_age(DAY);
    let other = GroupName::new("other").unwrap();
    let calls = [("topic/append", Call::Append), ("topic/read", Call::Read), ("topic/seek", Call::Seek)];
    let mut number = 0;
    for ((script, call), has_expired) in calls.iter().flat_map(|it| [(it, false), (it, true)]) {
        let warm = topic("warm");
        fixture.store.declare(&warm, &config).await.unwrap();
        fixture.call_on_topic(&warm, *call).await.unwrap(); // loads the script
        let round = async |interruption: &mut Interruption<'_>| {
            number += 1;
            let orders = topic(&format!("orders-{number}"));
            fixture.store.declare(&orders, &config).await.unwrap();
            if has_expired {
                append(&fixture.store, &orders, &["old"]).await.unwrap();
                fixture.clock.advance(3 * DAY);
            }
            let _ = interruption.during(fixture.call_on_topic(&orders, *call)).await;
            let mut reader = consumer(&orders, 9);
            reader.group = other.clone();
            let found = read(&fixture.store, &reader).await.unwrap().events;
            assert!(found.iter().all(|event| event.payload != "old"), "{found:?}");
            for kind in ["events", "groups"] {
                let key = format!("test:{{e.{orders}.0}}:{kind}");
                let ttl = fixture.server.command(&["PTTL", &key]).await.unwrap().as_integer();
                assert_ne!(ttl, Some(-1), "{key} has no TTL");
            }
        };
        assert!(fixture.proxy.at_each_write(script, format!("{call:?} {has_expired}"), round).await > 1);
    }
}

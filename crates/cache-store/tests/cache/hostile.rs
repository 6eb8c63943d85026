//! Stored values that look like the protocol's own words, in groups of three and four, through every operation from
//! many tasks: each caller gets its own reply.

use bytes::Bytes;
use cache_store::CacheStore;
use std::sync::Arc;
use store_core::loading::{Loading, LoadingOptions};
use store_core::{
    Begun, Entry, Finished, HandleName, Handoff, HandoffItem, Idempotency, KeyValue, KeyValueExt, Put, RateLimit, RequestId,
    SetIfAbsent,
};

use crate::{MINUTE, key, per_hour, per_minute, request, server, service, store};

const WORDS: [&str; 11] = [
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "unsubscribe",
    "punsubscribe",
    "sunsubscribe",
    "message",
    "pmessage",
    "smessage",
    "pubsub",
    "invalidate",
];

fn word(index: usize) -> Bytes {
    Bytes::from_static(WORDS[index % WORDS.len()].as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_of_the_protocol_in_values_mix_up_no_replies() {
    let server = server().await;
    let store = store(&server).await;
    let tasks: Vec<_> = (0..50).map(|task| tokio::spawn(run(store.clone(), task))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn run(store: CacheStore, task: usize) {
    for round in 0..10 {
        let start = task + round;
        values(&store, task, start).await;
        decisions(&store, task, start).await;
    }
}

async fn values(store: &CacheStore, task: usize, start: usize) {
    for count in [1, 3, 4] {
        let name = |index: usize| key(format!("{}:{task}:{count}:{index}", WORDS[index % WORDS.len()]));
        let entries: Vec<_> = (0..count).map(|index| Entry::new(name(index), word(start + index), MINUTE)).collect();
        let names: Vec<_> = entries.iter().map(|entry| entry.key.clone()).collect();
        let expected: Vec<_> = entries.iter().map(|entry| Some(entry.value.clone())).collect();
        store.set_many(&entries).await.unwrap();
        assert_eq!(store.get_many(&names).await.unwrap(), expected);
        for entry in &entries {
            assert_eq!(store.get(&entry.key).await.unwrap().as_ref(), Some(&entry.value));
            let present = store.set_if_absent(entry, RequestId::generate()).await.unwrap();
            assert_eq!(present, SetIfAbsent::Present(entry.value.clone()));
        }
        assert!(store.delete_if(&names[0], &entries[0].value).await.unwrap());
        assert_eq!(store.delete_many(&names).await.unwrap(), count as u64 - 1);
    }
    let sum = i64::try_from(start).unwrap();
    let counter = key(format!("message:{task}:{start}"));
    assert_eq!(store.add(&counter, sum, MINUTE).await.unwrap(), sum);
}

async fn decisions(store: &CacheStore, task: usize, start: usize) {
    let name = format!("{}:{task}:{start}", WORDS[start % WORDS.len()]);
    let begun = request(&name);
    assert_eq!(store.begin(&begun, MINUTE).await.unwrap(), Begun::Started);
    assert!(matches!(store.begin(&request(&name), MINUTE).await.unwrap(), Begun::InProgress { .. }));
    assert_eq!(store.finish(&begun, &word(start), MINUTE).await.unwrap(), Finished::Stored);
    assert_eq!(store.begin(&request(&name), MINUTE).await.unwrap(), Begun::Finished(word(start)));
    assert!(!store.abandon(&begun).await.unwrap());

    let checks = [per_minute(&format!("a{name}"), 5), per_hour(&format!("b{name}"), 5), per_hour(&name, 9)];
    let decision = store.check(&checks).await.unwrap();
    assert_eq!(decision.limits.iter().map(|limit| limit.limit).collect::<Vec<_>>(), [5, 5, 9]);
    assert!(decision.allowed && decision.limits.iter().all(|limit| limit.remaining == limit.limit - 1));
    store.reset(&[key(&name)]).await.unwrap();

    let item = HandoffItem::new(service("billing"), key(&name), word(start), MINUTE);
    assert_eq!(store.put(&item).await.unwrap(), Put::Stored);
    assert_eq!(store.take(&key(&name), RequestId::generate()).await.unwrap(), Some(word(start)));

    let words = Loading::<Vec<String>>::new(
        Arc::new(store.clone()),
        HandleName::new("words").unwrap(),
        LoadingOptions::new(MINUTE).with_eagerness(0.0),
    );
    let expected: Vec<_> = WORDS.iter().skip(start % 4).take(3 + start % 2).map(|word| word.to_string()).collect();
    for _ in 0..2 {
        let loaded = expected.clone();
        let loader = || async { Ok::<_, std::io::Error>(loaded) };
        assert_eq!(words.get_or_load(&key(format!("loaded:{name}")), loader).await.unwrap().value, expected);
    }
}

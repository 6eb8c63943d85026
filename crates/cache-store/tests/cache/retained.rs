//! The memory that a value keeps alive.

use std::time::Duration;

use bytes::Bytes;
use store_core::{KeyValueExt, Ttl};

use crate::{key, server, store};

/// How many bytes of memory this value keeps alive: those of its buffer, which it must not share with another value.
fn kept_bytes(value: Bytes) -> usize {
    value.try_into_mut().expect("a value with a buffer of its own").capacity()
}

/// A task that keeps small values must not keep alive the large values of other tasks that were read with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_value_keeps_no_large_one_in_memory() {
    let server = server().await;
    let store = store(&server).await;
    let minute = Ttl::new(Duration::from_secs(60)).unwrap();
    store.set(key("small"), Bytes::from_static(b"small"), minute).await.unwrap();
    store.set(key("large"), Bytes::from(vec![7; 4 << 20]), minute).await.unwrap();
    let mut kept = Vec::new();
    for _ in 0..30 {
        let get = |name: &'static str| {
            let store = store.clone();
            tokio::spawn(async move { store.get(&key(name)).await.unwrap().unwrap() })
        };
        let larges: Vec<_> = (0..4).map(|_| get("large")).collect();
        let smalls: Vec<_> = (0..4).map(|_| get("small")).collect();
        for small in smalls {
            kept.push(small.await.unwrap());
        }
        for large in larges {
            assert_eq!(large.await.unwrap().len(), 4 << 20);
        }
    }
    let lengths: usize = kept.iter().map(Bytes::len).sum();
    assert_eq!(kept.into_iter().map(kept_bytes).sum::<usize>(), lengths);
}

//! What a value keeps in memory.

use std::time::Duration;

use bytes::Bytes;
use store_core::{KeyValueExt, Ttl};

use crate::{key, server, store};

fn resident_mib() -> usize {
    let pages: usize = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    (pages * 4096) >> 20
}

/// A task that keeps small values does not keep the large ones of others, with which they travelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_value_keeps_no_large_one_in_memory() {
    let server = server().await;
    let store = store(&server).await;
    let minute = Ttl::new(Duration::from_secs(60)).unwrap();
    store.set(key("small"), Bytes::from_static(b"small"), minute).await.unwrap();
    store.set(key("large"), Bytes::from(vec![7; 4 << 20]), minute).await.unwrap();
    let before = resident_mib();
    let mut kept = Vec::new();
    for _ in 0..30 {
        let larges: Vec<_> = (0..4)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.get(&key("large")).await.map(drop) })
            })
            .collect();
        let smalls: Vec<_> = (0..4)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.get(&key("small")).await })
            })
            .collect();
        for small in smalls {
            kept.push(small.await.unwrap().unwrap().unwrap());
        }
        for large in larges {
            large.await.unwrap().unwrap();
        }
    }
    let grown = resident_mib().saturating_sub(before);
    assert!(grown < 100, "{} values of 5 bytes keep {grown} MiB", kept.len());
}

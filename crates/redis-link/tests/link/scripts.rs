use redis_link::args;
use tokio::task::JoinSet;

use crate::{COUNTS, INCREMENT, link_to, number, server};

/// The server's scripts are flushed repeatedly while 50 tasks count: each call counts exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_are_loaded_again() {
    let server = server().await;
    let link = link_to(&server).await;
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let link = link.clone();
        tasks.spawn(async move {
            for _ in 0..20 {
                link.call(COUNTS, &INCREMENT, &["counter"], args![1]).await.unwrap();
            }
        });
    }
    for _ in 0..20 {
        server.command(&["SCRIPT", "FLUSH"]).await.unwrap();
    }
    while let Some(finished) = tasks.join_next().await {
        finished.unwrap();
    }
    assert_eq!(number(&server, "counter").await, 1000);
    let calls = server.command_calls().await.unwrap();
    assert!(!calls.contains_key("eval"), "{calls:?}");
}

#[tokio::test]
async fn the_digest_is_the_server_s() {
    let server = server().await;
    let loaded = server.command(&["SCRIPT", "LOAD", INCREMENT.source()]).await.unwrap();
    assert_eq!(loaded.as_str().unwrap().as_bytes(), INCREMENT.digest());
    assert_eq!(INCREMENT.name(), "test/increment");
}

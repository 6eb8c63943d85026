use std::net::SocketAddr;

use store_validation::Code;
use testkit::{DEADLINE, RedisServer, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

use crate::{assert_errors, cache, check_urls, state, warnings, what};

/// A forward to a server whose replies say something else: stands in for engines and clocks that are not here. Both
/// texts have one length, and stand near the beginning of a reply.
async fn disguise(server: SocketAddr, text: String, other: String) -> String {
    assert_eq!(text.len(), other.len());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (text, other) = (text.clone(), other.clone());
            let (mut requests, mut replies) = client.into_split();
            let (mut answers, mut questions) = TcpStream::connect(server).await.unwrap().into_split();
            tokio::spawn(async move { copy(&mut requests, &mut questions).await });
            tokio::spawn(async move {
                let mut chunk = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = answers.read(&mut chunk).await {
                    let chunk = &mut chunk[..length];
                    if let Some(at) = chunk.windows(text.len()).position(|window| window == text.as_bytes()) {
                        chunk[at..at + text.len()].copy_from_slice(other.as_bytes());
                    }
                    if replies.write_all(chunk).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused() {
    let (cache, state) = (cache().await, state().await);
    let version = &state.info("server").await.unwrap()["redis_version"];
    let (major, rest) = version.split_once('.').unwrap();
    let old = format!("redis_version:{:0>width$}.{rest}", 6, width = major.len());
    let old = disguise(state.address(), format!("redis_version:{version}"), old).await;
    let report = check_urls(&cache.url(None), &old).await;
    assert_errors(&report, &[Code::ServerTooOld]);
    assert!(what(&report, Code::ServerTooOld).contains("Redis 6."));
}

#[tokio::test]
async fn kvrocks_is_known_by_its_own_version_and_is_no_cache() {
    let (cache, state) = (cache().await, state().await);
    let disguise = |server: SocketAddr| disguise(server, "redis_git_dirty:0".into(), "kvrocks_version:2".into());
    let report = check_urls(&cache.url(None), &disguise(state.address()).await).await;
    assert_errors(&report, &[Code::ServerTooOld]);
    assert!(what(&report, Code::ServerTooOld).contains("Kvrocks 2.0.0"));
    let report = check_urls(&disguise(cache.address()).await, &state.url(None)).await;
    assert_errors(&report, &[Code::CacheEngineUnsupported]);
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told() {
    let (cache, state) = (cache().await, state().await);
    let now = state.command(&["TIME"]).await.unwrap().as_strings().unwrap().swap_remove(0);
    let seconds = |digits: &str| format!("\r\n${}\r\n{digits}", now.len());
    let wrong = disguise(state.address(), seconds(&now[..2]), seconds("10")).await;
    let report = check_urls(&cache.url(None), &wrong).await;
    assert_errors(&report, &[]);
    assert!(warnings(&report).contains(&Code::ClockSkew), "{report:#?}");
    assert!(!warnings(&check_urls(&cache.url(None), &state.url(None)).await).contains(&Code::ClockSkew));
}

#[tokio::test]
async fn a_node_of_a_cluster_serves_neither_role() {
    let (cache, state) = (cache().await, state().await);
    let node = RedisServer::state().config("cluster-enabled", "yes").start().await.unwrap();
    assert_errors(&check_urls(&node.url(None), &state.url(None)).await, &[Code::CacheOnCluster]);
    assert_errors(&check_urls(&cache.url(None), &node.url(None)).await, &[Code::UrlInvalid]);
    assert_errors(&check_urls(&cache.url(None), &node.url(Some(3))).await, &[Code::ClusterDatabaseNumber]);
}

#[tokio::test]
async fn a_server_whose_disk_is_broken_takes_no_writes() {
    let (cache, state) = (cache().await, RedisServer::state().config("save", "3600 1").start().await.unwrap());
    std::fs::remove_dir_all(state.dir()).unwrap();
    wait_until("the snapshot has failed", DEADLINE, async || {
        // refused while one is being tried
        let _ = state.command(&["BGSAVE"]).await;
        state.info("persistence").await.unwrap()["rdb_last_bgsave_status"] == "err"
    })
    .await;
    assert_errors(&check_urls(&cache.url(None), &state.url(None)).await, &[Code::NotWritable]);
    std::fs::create_dir_all(state.dir()).unwrap();
}

//! Sentinels and a cluster with TLS: both sides verify certificates, and clients verify the names that servers announce.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod working;

use testkit::{Cluster, RedisServer, RedisServerBuilder, Sentinels};
use twinstore::prelude::*;

use working::works_through;

/// Clients must present a certificate, and the server's certificate contains only its name.
fn encrypted(server: RedisServerBuilder) -> RedisServerBuilder {
    server.password("secret").mutual_tls().certificate_names(&["localhost"])
}

/// The hosts by the name for which their certificates are valid.
fn hosts(servers: &[RedisServer]) -> String {
    servers.iter().map(|server| format!("localhost:{}", server.port())).collect::<Vec<_>>().join(",")
}

fn environment(cache: &RedisServer, state_url: String, state: &RedisServer) -> Vec<(&'static str, String)> {
    let text = |path: std::path::PathBuf| path.display().to_string();
    vec![
        ("SERVICE_NAME", "billing".to_owned()),
        ("REDIS_CONN_BASE_URL", format!("rediss://:secret@localhost:{}", cache.port())),
        ("REDIS_CACHE_DB", "3".to_owned()),
        ("REDIS_CACHE_TLS_CA_FILE", text(cache.ca_file())),
        ("REDIS_CACHE_TLS_CERT_FILE", text(cache.client_cert_file())),
        ("REDIS_CACHE_TLS_KEY_FILE", text(cache.client_key_file())),
        ("REDIS_WORKERCACHE_CONN_URL", state_url),
        ("REDIS_STATE_TLS_CA_FILE", text(state.ca_file())),
        ("REDIS_STATE_TLS_CERT_FILE", text(state.client_cert_file())),
        ("REDIS_STATE_TLS_KEY_FILE", text(state.client_key_file())),
        ("REDIS_STATE_MIN_REPLICAS", "1".to_owned()),
    ]
}

/// The sentinels have their own authority and password, and require a client certificate, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_show_certificates_under_sentinels_and_through_a_failover() {
    let states = Sentinels::builder().data(encrypted(RedisServer::state())).hostnames();
    let states = states.own_authority().sentinel_password("of-sentinels").start();
    let (cache, states) = tokio::join!(encrypted(RedisServer::cache()).start(), states);
    let (cache, states) = (cache.unwrap(), states.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "of-sentinels").unwrap();
    let url = format!("rediss-sentinel://:secret@{}/{}", hosts(states.sentinels()), states.name());
    let mut variables = environment(&cache, url, &states.data()[0]);
    variables.push(("REDIS_STATE_SENTINEL_PASSWORD_FILE", password.display().to_string()));
    let refused = Stores::open(&Environment::from_variables(variables.clone())).await.unwrap_err().to_string();
    assert!(refused.contains("tls-refused") && refused.contains("no trusted authority"), "{refused}");
    variables.push(("REDIS_STATE_SENTINEL_TLS_CA_FILE", states.sentinels()[0].ca_file().display().to_string()));
    let stores = Stores::open(&Environment::from_variables(variables)).await.unwrap();
    works_through(&stores, async || {
        let old = states.primary().await;
        old.kill().await;
        states.wait_for_failover(old).await;
    })
    .await;
    assert!(stores.health().await.is_ready());
    stores.close().await;
}

/// The nodes also use TLS among each other, and announce names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_show_certificates_on_a_cluster_and_through_a_failover() {
    let node = encrypted(RedisServer::state())
        .config("cluster-announce-hostname", "localhost")
        .config("cluster-preferred-endpoint-type", "hostname");
    let (cache, cluster) = tokio::join!(encrypted(RedisServer::cache()).start(), Cluster::builder().node(node).start());
    let (cache, cluster) = (cache.unwrap(), cluster.unwrap());
    let url = format!("rediss-cluster://:secret@{}", hosts(&cluster.nodes()[..3]));
    let variables = environment(&cache, url, &cluster.nodes()[0]);
    let options = twinstore::config::StoresOptions::new().with_partitions(QueueName::new("mails").unwrap(), 3);
    let stores = Stores::open_with(&Environment::from_variables(variables), options).await.unwrap();
    works_through(&stores, async || {
        let primary = &cluster.nodes()[1];
        primary.kill().await;
        cluster.wait_for_failover(8000, primary).await;
        // Without a replica, no write to these slots can be confirmed.
        primary.start_again().await.unwrap();
        cluster.wait_settled().await;
    })
    .await;
    assert!(stores.health().await.is_ready());
    stores.close().await;
}

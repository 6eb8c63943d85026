//! TLS with sentinels and clusters: the servers that others report must match the URL and their own certificates.

use store_validation::Code;
use testkit::{Cluster, RedisServer, Sentinels};

use crate::{assert_errors, cache, environment_with, what};

#[tokio::test]
async fn a_url_of_sentinels_without_tls_is_refused_if_they_speak_it() {
    let sentinels = Sentinels::builder().data(RedisServer::state().tls()).replicas(0).start().await.unwrap();
    let hosts: Vec<_> = sentinels.addresses().iter().map(ToString::to_string).collect();
    let url = format!("redis-sentinel://{}/{}", hosts.join(","), sentinels.name());
    let report = crate::check_urls(&cache().await.url(None), &url).await;
    assert_errors(&report, &[Code::TlsRefused]);
    let text = what(&report, Code::TlsRefused);
    assert!(text.ends_with("the port speaks TLS, but the URL begins with redis-sentinel://"), "{text}");
}

/// The nodes announce addresses, and their certificates have names.
#[tokio::test]
async fn certificates_without_the_announced_address_are_refused() {
    let node = RedisServer::state().tls().certificate_names(&["localhost"]);
    let (cache, cluster) = tokio::join!(cache(), Cluster::builder().node(node).start());
    let cluster = cluster.unwrap();
    let seed = &cluster.nodes()[0];
    let ca = seed.ca_file().display().to_string();
    let url = format!("rediss-cluster://localhost:{}", seed.port());
    let check = async || {
        let more = [("REDIS_STATE_TLS_CA_FILE", ca.as_str())];
        store_validation::check(&environment_with(&cache.url(None), &url, &more)).await
    };
    let report = check().await;
    assert_errors(&report, &[Code::TlsRefused]);
    let refused: Vec<_> = report.findings().iter().filter(|finding| finding.code == Code::TlsRefused).collect();
    assert_eq!(refused.len(), 3, "{refused:#?}");
    assert!(
        refused[0].what.contains("the primary 127.0.0.1:") && refused[0].help.contains("cluster-announce-hostname")
    );
    assert!(refused[0].what.ends_with("it does not contain the name of the host"), "{refused:#?}");
    for (setting, value) in
        [("cluster-announce-hostname", "localhost"), ("cluster-preferred-endpoint-type", "hostname")]
    {
        for node in cluster.nodes() {
            node.command(&["CONFIG", "SET", setting, value]).await.unwrap();
        }
    }
    testkit::wait_until("all nodes know all names", testkit::DEADLINE, async || check().await.errors() == 0).await;
}

/// Without `tls-cluster`, Redis 7.0 announces the port without TLS also to clients with TLS.
#[tokio::test]
async fn an_announced_port_without_tls_is_refused() {
    let (cache, plain) = tokio::join!(cache(), RedisServer::state().start());
    let port = plain.unwrap();
    let node = RedisServer::state().tls().cluster().config("cluster-announce-tls-port", &port.port().to_string());
    let node = node.start().await.unwrap();
    let ca = node.ca_file().display().to_string();
    let url = node.url(None).replace("rediss", "rediss-cluster");
    let more = [("REDIS_STATE_TLS_CA_FILE", ca.as_str())];
    let report = store_validation::check(&environment_with(&cache.url(None), &url, &more)).await;
    let text = what(&report, Code::TlsRefused);
    assert!(text.contains(&format!("the primary 127.0.0.1:{}", port.port())), "{report:#?}");
    assert!(text.contains("does not speak TLS") && text.contains("tls-cluster"), "{text}");
}

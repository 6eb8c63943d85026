//! URLs with several hosts: the servers report their topology.

use store_validation::{Code, check, validate};
use testkit::{Cluster, RedisServer, Sentinels};

use crate::{assert_errors, cache, check_urls, environment, state, what};

fn of(servers: &[&RedisServer]) -> String {
    let hosts: Vec<_> = servers.iter().map(|server| server.address().to_string()).collect();
    format!("redis://{}", hosts.join(","))
}

#[tokio::test]
async fn a_primary_and_its_replica_are_one_store_in_any_order() {
    let (cache, primary) = (cache().await, state().await);
    let replica = RedisServer::state().replica_of(&primary).start().await.unwrap();
    for url in [of(&[&primary, &replica]), of(&[&replica, &primary])] {
        assert_errors(&check_urls(&cache.url(None), &url).await, &[]);
        let settings = validate(&environment(&cache.url(None), &url)).await.unwrap().settings;
        let link = redis_link::Link::connect(settings.state.server().unwrap().clone()).await.unwrap();
        assert!(link.servers().starts_with(&format!("primary {} of", primary.address())), "{}", link.servers());
    }
    let report = check_urls(&replica.url(None), &of(&[&primary, &replica])).await;
    assert!(report.findings().iter().any(|finding| finding.code == Code::SameInstance), "{:#?}", report.findings());
}

#[tokio::test]
async fn nodes_of_a_cluster_and_sentinels_are_recognised() {
    let cluster = Cluster::builder().node(RedisServer::state()).start();
    let sentinels = Sentinels::builder().data(RedisServer::state()).start();
    let (cache, cluster, sentinels) = tokio::join!(cache(), cluster, sentinels);
    let (cluster, sentinels) = (cluster.unwrap(), sentinels.unwrap());
    for (servers, scheme) in [(&cluster.nodes()[..2], "redis-cluster://"), (sentinels.sentinels(), "redis-sentinel://")]
    {
        let url = of(&servers.iter().collect::<Vec<_>>());
        let report = check(&environment(&cache.url(None), &url)).await;
        assert_errors(&report, &[]);
        let settings = report.settings().unwrap();
        let url = settings.state.server().unwrap().url().to_string();
        assert!(url.starts_with(scheme), "{url}");
    }
    let nodes = of(&[&cluster.nodes()[0], &cluster.nodes()[1]]);
    assert_errors(&check_urls(&nodes, &state().await.url(None)).await, &[Code::CacheOnCluster]);
    let numbered = format!("{nodes}/3");
    assert_errors(&check_urls(&cache.url(None), &numbered).await, &[Code::ClusterDatabaseNumber]);
}

#[tokio::test]
async fn servers_that_contradict_each_other_are_an_error_with_each_reading() {
    let (cache, one, two) = (cache().await, state().await, state().await);
    let node = RedisServer::state().config("cluster-enabled", "yes").start().await.unwrap();
    for (url, readings) in [
        (of(&[&one, &two]), [(&one, "is a primary"), (&two, "is a primary")]),
        (of(&[&one, &node]), [(&one, "is a primary"), (&node, "is a node of a cluster")]),
    ] {
        let report = check_urls(&cache.url(None), &url).await;
        assert_errors(&report, &[Code::TopologyMismatch]);
        let text = what(&report, Code::TopologyMismatch);
        for (server, reading) in readings {
            assert!(text.contains(&format!("{} {reading}", server.address())), "{text}");
        }
    }
}

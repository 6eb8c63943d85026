//! URLs with several hosts: the servers report their topology.

use std::time::{Duration, Instant};

use store_validation::{Code, Report, check, validate};
use testkit::{Cluster, RedisServer, Sentinels};

use crate::{assert_errors, cache, check_urls, environment, errors, state, what};

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
    let replica = RedisServer::state().replica_of(&two).start().await.unwrap();
    let sentinels = Sentinels::builder().data(RedisServer::state()).start().await.unwrap();
    let [sentinel, ..] = sentinels.sentinels() else { unreachable!("three sentinels") };
    for (servers, readings) in [
        ([&one, &two], ["is a primary", "is a primary"]),
        ([&one, &node], ["is a primary", "is a node of a cluster"]),
        ([&one, &replica], ["is a primary", "is a replica"]),
        ([sentinel, &one], ["is a sentinel", "is a primary"]),
    ] {
        let report = check_urls(&cache.url(None), &of(&servers)).await;
        assert_errors(&report, &[Code::TopologyMismatch]);
        assert_contradiction(&report, &servers, readings);
    }
    let report = check_urls(&cache.url(None), &of(&[&one, &replica])).await;
    assert!(what(&report, Code::TopologyMismatch).contains("a replica belongs to another primary"), "{report:#?}");
    let node = RedisServer::state().cluster().start().await.unwrap();
    for (scheme, service, servers, readings) in [
        ("redis-cluster", "", [&node, &one], ["is a node of the cluster", "is no node of a cluster"]),
        ("redis-sentinel", "/main", [sentinel, &one], ["is a sentinel", "is no sentinel"]),
    ] {
        let url = of(&servers).replace("redis:", &format!("{scheme}:")) + service;
        let report = check_urls(&cache.url(None), &url).await;
        assert_errors(&report, &[Code::TopologyMismatch]);
        assert_contradiction(&report, &servers, readings);
    }
}

/// Calls would go to the cluster with the higher epoch.
#[tokio::test]
async fn nodes_of_two_clusters_are_an_error_with_the_primaries_of_each() {
    let (one, two) = (RedisServer::state().cluster().start(), RedisServer::state().cluster().start());
    let (cache, one, two) = tokio::join!(cache(), one, two);
    let servers = [&one.unwrap(), &two.unwrap()];
    let readings = servers.map(|node| format!("is a node of the cluster with the primaries {}", node.address()));
    for scheme in ["redis", "redis-cluster"] {
        let report = check_urls(&cache.url(None), &of(&servers).replace("redis", scheme)).await;
        assert_errors(&report, &[Code::TopologyMismatch]);
        assert_contradiction(&report, &servers, readings.each_ref().map(String::as_str));
    }
}

/// Both groups monitor a service of this name. They may lead a probe from one primary to the other, which can cause further findings.
#[tokio::test]
async fn sentinels_of_two_groups_are_an_error_with_the_primary_of_each() {
    let group = async || Sentinels::builder().data(RedisServer::state()).replicas(1).start().await.unwrap();
    let (cache, one, two) = tokio::join!(cache(), group(), group());
    let servers = [&one.sentinels()[0], &two.sentinels()[0]];
    let readings =
        [&one, &two].map(|group| format!("is a sentinel that reports the primary {}", group.data()[0].address()));
    for (scheme, service) in [("redis", ""), ("redis-sentinel", "/main")] {
        let url = of(&servers).replace("redis", scheme) + service;
        let report = check_urls(&cache.url(None), &url).await;
        assert_contradiction(&report, &servers, readings.each_ref().map(String::as_str));
    }
}

/// Sentinels that have just started have not found each other yet.
#[tokio::test]
async fn a_contradiction_that_ends_within_three_seconds_is_none() {
    let group = async || Sentinels::builder().data(RedisServer::state()).replicas(1).start().await.unwrap();
    let (cache, one, two) = tokio::join!(cache(), group(), group());
    let (first, second) = (&one.sentinels()[0], &two.sentinels()[0]);
    let url = of(&[first, second]).replace("redis", "redis-sentinel") + "/main";
    let (url_of_cache, begun) = (cache.url(None), Instant::now());
    let corrected = async {
        let has_been_asked = async || begun.elapsed() > Duration::from_secs(1);
        testkit::wait_until("the sentinels have been asked", testkit::DEADLINE, has_been_asked).await;
        second.command(&["SENTINEL", "REMOVE", "main"]).await.unwrap();
        let port = one.data()[0].port().to_string();
        second.command(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "2"]).await.unwrap();
    };
    let (report, ()) = tokio::join!(check_urls(&url_of_cache, &url), corrected);
    // A probe may have been led to the primary of the second group.
    assert!(!errors(&report).contains(&Code::TopologyMismatch), "{report:#?}");
}

#[tokio::test]
async fn sentinels_of_several_services_need_a_name() {
    let sentinels = Sentinels::builder().data(RedisServer::state()).start().await.unwrap();
    let (cache, other) = (cache().await, state().await);
    let [one, two, ..] = sentinels.sentinels() else { unreachable!("three sentinels") };
    one.command(&["SENTINEL", "MONITOR", "other", "127.0.0.1", &other.port().to_string(), "2"]).await.unwrap();
    let report = check_urls(&cache.url(None), &of(&[one, two])).await;
    assert_errors(&report, &[Code::UrlInvalid]);
    assert!(what(&report, Code::UrlInvalid).contains("monitor 2 services; name one"), "{report:#?}");
}

#[track_caller]
fn assert_contradiction(report: &Report, servers: &[&RedisServer; 2], readings: [&str; 2]) {
    let text = what(report, Code::TopologyMismatch);
    for (server, reading) in servers.iter().zip(readings) {
        assert!(text.contains(&format!("{} {reading}", server.address())), "{text}");
    }
}

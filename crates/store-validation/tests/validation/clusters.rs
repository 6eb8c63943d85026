//! The worker state store on a cluster.

use store_validation::{Code, check, validate};
use testkit::{Cluster, DEADLINE, FaultProxy, RedisServer, wait_until};

use crate::engines::disguise;
use crate::{assert_errors, cache, check_urls, environment_with, errors, state, warnings, what};

async fn started() -> (RedisServer, Cluster) {
    let cluster = Cluster::builder().node(RedisServer::state()).start();
    let (cache, cluster) = tokio::join!(cache(), cluster);
    (cache, cluster.unwrap())
}

/// The URL that names all nodes.
fn url(cluster: &Cluster) -> String {
    let hosts: Vec<_> = cluster.addresses().iter().map(ToString::to_string).collect();
    format!("redis-cluster://{}", hosts.join(","))
}

fn through(node: &RedisServer) -> String {
    format!("redis-cluster://{}", node.address())
}

#[tokio::test]
async fn the_state_store_runs_on_a_cluster_whichever_node_the_url_names() {
    let (cache, cluster) = started().await;
    let urls = [url(&cluster), through(&cluster.nodes()[0]), through(&cluster.nodes()[5])];
    for url in urls {
        let report = check_urls(&cache.url(None), &url).await;
        assert_errors(&report, &[]);
        for code in [Code::ClusterUnknown, Code::ClusterNoReplica, Code::ReplicaUnreachable, Code::ReplicaMisconfigured]
        {
            assert!(!warnings(&report).contains(&code), "{:#?}", report.findings());
        }
        // The primaries have replicas here, but the preset of the role has no min-replicas-to-write.
        let missing = report.findings().iter().filter(|finding| finding.code == Code::NoMinReplicas);
        assert_eq!(missing.count(), 3, "one finding for each primary: {:#?}", report.findings());
    }
}

/// The marks of the servers are keys, and each is on the node that has its slot.
#[tokio::test]
async fn the_marks_of_a_cluster_are_found_through_each_node() {
    let (cache, cluster) = started().await;
    let of = |node: &RedisServer, name: &str| {
        environment_with(&cache.url(None), &through(node), &[("STORE_ENVIRONMENT", name)])
    };
    validate(&of(&cluster.nodes()[0], "staging")).await.unwrap();
    for node in cluster.nodes() {
        assert_errors(&check(&of(node, "staging")).await, &[]);
        let report = check(&of(node, "production")).await;
        assert_errors(&report, &[Code::EnvironmentMismatch]);
    }
}

#[tokio::test]
async fn the_cache_store_may_be_on_no_node_of_the_cluster_of_the_state_store() {
    let (_, cluster) = started().await;
    let proxy = FaultProxy::start(cluster.nodes()[1].address()).await.unwrap();
    let [first, last] = [&cluster.nodes()[0], &cluster.nodes()[5]].map(|node| node.url(None));
    for cache in [first, last, cluster.nodes()[1].url_through(&proxy, None)] {
        let report = check_urls(&cache, &through(&cluster.nodes()[0])).await;
        assert_eq!(errors(&report), [Code::CacheOnCluster, Code::SameInstance].into(), "{cache}");
    }
}

#[tokio::test]
async fn each_node_is_checked_and_named() {
    let (cache, cluster) = started().await;
    let check = async || check_urls(&cache.url(None), &url(&cluster)).await;
    let (primary, replica) = (&cluster.nodes()[1], &cluster.nodes()[3]);
    for (node, setting, wrong, right, code) in [
        (primary, "maxmemory-policy", "allkeys-lru", "noeviction", Code::StateEvicts),
        (primary, "appendonly", "no", "yes", Code::StateNotPersistent),
        (primary, "min-replicas-to-write", "2", "0", Code::TooFewReplicas),
        (primary, "maxmemory-clients", "10mb", "0", Code::ClientEviction),
        (replica, "maxmemory-clients", "10mb", "0", Code::ClientEviction),
        (replica, "maxmemory-policy", "allkeys-lru", "noeviction", Code::ReplicaMisconfigured),
    ] {
        node.command(&["CONFIG", "SET", setting, wrong]).await.unwrap();
        // The cluster reports a replica as soon as its offset is not 0.
        wait_until(setting, DEADLINE, async || {
            let report = check().await;
            let found: Vec<_> = report.findings().iter().filter(|finding| finding.code == code).collect();
            found.len() == 1 && found[0].what.contains(&format!(":{} (", node.port()))
        })
        .await;
        node.command(&["CONFIG", "SET", setting, right]).await.unwrap();
    }
    primary.command(&["ACL", "SETUSER", "default", "-hset"]).await.unwrap();
    let report = check().await;
    assert!(
        what(&report, Code::AclMissingCommand).contains(&format!(":{} (", primary.port())),
        "{:#?}",
        report.findings()
    );
    primary.command(&["ACL", "SETUSER", "default", "+hset"]).await.unwrap();
    primary.command(&["ACL", "SETUSER", "default", "-cluster|slots"]).await.unwrap();
    assert!(what(&check().await, Code::AclMissingCommand).contains("CLUSTER SLOTS"));
}

/// The connect time-out is that of the whole preflight.
#[tokio::test]
async fn a_node_that_does_not_answer_hides_no_finding_about_the_others() {
    let (cache, cluster) = started().await;
    let [first, silent, evicts, ..] = cluster.nodes() else { unreachable!() };
    evicts.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await.unwrap();
    silent.command(&["CLIENT", "PAUSE", "60000", "ALL"]).await.unwrap();
    let more = [("REDIS_STATE_CONNECT_TIMEOUT", "10s")];
    let report = check(&environment_with(&cache.url(None), &through(first), &more)).await;
    assert_errors(&report, &[Code::Unreachable, Code::StateEvicts]);
    let mut found = report.findings().iter().filter(|finding| finding.code == Code::Unreachable);
    assert!(found.any(|finding| finding.what.contains(&format!("127.0.0.1:{} (", silent.port()))), "{report:#?}");
}

/// The replica announces a proxy that changes the time in its replies.
#[tokio::test]
async fn clocks_of_nodes_that_differ_are_reported() {
    let (cache, cluster) = started().await;
    let replica = &cluster.nodes()[4];
    let now = replica.command(&["TIME"]).await.unwrap().as_strings().unwrap().swap_remove(0);
    let seconds = |digits: &str| format!("\r\n${}\r\n{digits}", now.len());
    let proxy = disguise(replica.address(), seconds(&now[..2]), seconds("10")).await;
    let port = proxy.rsplit(':').next().unwrap();
    let check = async || check_urls(&cache.url(None), &through(&cluster.nodes()[0])).await;
    assert!(!warnings(&check().await).contains(&Code::ClockSkew));
    replica.command(&["CONFIG", "SET", "cluster-announce-port", port]).await.unwrap();
    wait_until("the clocks are compared", DEADLINE, async || {
        let report = check().await;
        let mut found = report.findings().iter().filter(|finding| finding.code == Code::ClockSkew);
        found.any(|finding| finding.what.contains(&format!("the clock of the replica 127.0.0.1:{port} (")))
    })
    .await;
}

#[tokio::test]
async fn uncovered_slots_and_primaries_without_a_replica_are_named() {
    let (cache, cluster) = started().await;
    let check = async || check_urls(&cache.url(None), &url(&cluster)).await;
    let replica = &cluster.nodes()[4];
    replica.kill().await;
    wait_until("the primary has no replica", DEADLINE, async || {
        warnings(&check().await).contains(&Code::ClusterNoReplica)
    })
    .await;
    let text = what(&check().await, Code::ClusterNoReplica);
    assert!(text.contains(&format!("the primary 127.0.0.1:{} (", cluster.nodes()[1].port())), "{text}");

    // A node that still has a slot would announce it to the others again.
    for (owner, slot) in [(0, "100"), (0, "101"), (0, "102"), (1, "7000")] {
        cluster.nodes()[owner].command(&["CLUSTER", "DELSLOTS", slot]).await.unwrap();
        for node in cluster.nodes().iter().filter(|node| node.is_running()) {
            // A node that already considers the slot free refuses the command.
            let _ = node.command(&["CLUSTER", "DELSLOTS", slot]).await;
        }
    }
    wait_until("the slots are named", DEADLINE, async || {
        let report = check().await;
        let mut found = report.findings().iter().filter(|finding| finding.code == Code::ClusterSlotsUncovered);
        found.any(|finding| finding.what.ends_with("4 slots belong to no node: 100-102, 7000"))
    })
    .await;
}

#[tokio::test]
async fn a_dead_primary_without_a_replica_is_an_error() {
    let cluster = Cluster::builder().node(RedisServer::state()).replicas(0).start();
    let (cache, cluster) = tokio::join!(cache(), cluster);
    let cluster = cluster.unwrap();
    cluster.nodes()[2].kill().await;
    let report = check_urls(&cache.url(None), &url(&cluster)).await;
    assert!(errors(&report).contains(&Code::Unreachable), "{:#?}", report.findings());
    wait_until("the others report it", DEADLINE, async || {
        errors(&check_urls(&cache.url(None), &url(&cluster)).await).contains(&Code::ClusterSlotsUncovered)
    })
    .await;
}

#[tokio::test]
async fn a_url_and_a_server_that_disagree_are_an_error() {
    let (cache, state) = (cache().await, state().await);
    let report = check_urls(&cache.url(None), &through(&state)).await;
    assert_errors(&report, &[Code::TopologyMismatch]);
    let text = what(&report, Code::TopologyMismatch);
    assert!(text.contains("the URL names a cluster") && text.contains("no node of one"), "{text}");
}

/// `deploy/acl/state.acl` has rules that suffice for a cluster.
#[tokio::test]
async fn the_user_of_the_role_has_the_rights_that_a_cluster_needs() {
    let (cache, cluster) = started().await;
    let text = include_str!("../../../../deploy/acl/state.acl");
    let rules = text.lines().find_map(|line| line.strip_prefix("user state-app on #{state-app} ")).unwrap();
    for node in cluster.nodes() {
        let command: Vec<_> = ["ACL", "SETUSER", "state-app", "on", ">x"].into_iter().chain(rules.split(' ')).collect();
        node.command(&command).await.unwrap();
        node.command(&["ACL", "LOG", "RESET"]).await.unwrap();
    }
    let url = url(&cluster).replace("://", "://state-app:x@");
    let report = check_urls(&cache.url(None), &url).await;
    assert_errors(&report, &[]);
    assert!(!warnings(&report).contains(&Code::ClusterUnknown), "{:#?}", report.findings());
    let more = [("STORE_ENVIRONMENT", "staging")];
    validate(&environment_with(&cache.url(None), &url, &more)).await.unwrap();
}

/// Scripts on a cluster send `SPUBLISH`, never `PUBLISH`.
#[tokio::test]
async fn nodes_without_spublish_are_reported_with_what_is_degraded() {
    let without = async |command: &str| {
        let node = RedisServer::state().config("rename-command", &format!("{command} \"\""));
        let cluster = Cluster::builder().node(node).replicas(0).start().await.unwrap();
        check_urls(&cache().await.url(None), &url(&cluster)).await
    };
    let report = without("SPUBLISH").await;
    let missing: Vec<_> = report.findings().iter().filter(|finding| finding.code == Code::CapabilityMissing).collect();
    assert_eq!(missing.len(), 3, "one finding for each primary: {report:#?}");
    assert!(missing[0].what.contains("SPUBLISH: on a cluster, waiting workers claim every 10 s"), "{missing:#?}");
    let report = without("PUBLISH").await;
    assert!(!warnings(&report).contains(&Code::CapabilityMissing), "{report:#?}");
}

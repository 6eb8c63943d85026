//! Remedies that are not a command: another server, a line of a configuration file, a repaired disk.

use store_validation::Code;
use testkit::{DEADLINE, RedisServer, wait_until};

use super::{Setup, assert_running_cured, codes, commands};
use crate::{check_urls, environment_with};

/// Codes that no setting or right of a server causes, but a file, a variable, the network, a clock or another service:
/// their tests are beside the cause.
const OF_SOMETHING_ELSE: [Code; 32] = [
    Code::UrlMissing,
    Code::UrlInvalid,
    Code::ConfInvalid,
    Code::ConfContradictsRole,
    Code::CacheUrlHasDatabase,
    Code::DatabaseNumberMissing,
    Code::DatabaseNumberTaken,
    Code::SameInstance,
    Code::Unreachable,
    Code::TlsRefused,
    Code::TlsFileUnreadable,
    Code::ServerTooOld,
    Code::ServerOf32Bits,
    Code::ServerVersionUnknown,
    Code::ScriptsUnsupported,
    Code::SentinelQuorum,
    Code::SentinelQuorumUnknown,
    Code::StateInMemory,
    Code::EmbeddedFileTaken,
    Code::CacheInMemory,
    Code::CacheEngineUnsupported,
    Code::NoTls,
    Code::ClockSkew,
    Code::CapabilityMissing,
    Code::VariableMistyped,
    Code::AclUnknown,
    Code::TopologyMismatch,
    Code::ClusterSlotsUncovered,
    Code::ClusterNoReplica,
    Code::ClusterUnknown,
    Code::ReplicaUnreachable,
    Code::ReplicaMisconfigured,
];

#[test]
fn every_code_that_a_server_causes_has_its_remedy_tested() {
    let tested = concat!(include_str!("cases.rs"), include_str!("elsewhere.rs"));
    let is_tested = |code: &Code| {
        [format!("(Code::{code:?}, "), format!("Code::{code:?})")].iter().any(|text| tested.contains(text))
    };
    let untested: Vec<_> =
        Code::ALL.iter().filter(|code| !OF_SOMETHING_ELSE.contains(code) && !is_tested(code)).collect();
    assert!(untested.is_empty(), "add a case to advice/cases.rs, or the code to OF_SOMETHING_ELSE: {untested:?}");
}

#[tokio::test]
async fn a_replica_is_replaced_by_its_primary() {
    let (cache, primary) = (RedisServer::cache().start().await.unwrap(), RedisServer::state().start().await.unwrap());
    let replica = RedisServer::state().replica_of(&primary).start().await.unwrap();
    let before = check_urls(&cache.url(None), &replica.url(None)).await;
    let finding = before.findings().iter().find(|finding| finding.code == Code::NotWritable).unwrap();
    assert!(finding.help.contains("name its primary in the URL"), "{}", finding.help);
    let mut expected = codes(&before);
    // it has a replica, which the first finding hid
    assert!(expected.remove(&Code::NotWritable) && expected.insert(Code::NoMinReplicas));
    assert_eq!(codes(&check_urls(&cache.url(None), &primary.url(None)).await), expected);
}

#[tokio::test]
async fn a_disk_is_repaired() {
    let running = Setup::of_state(|state| state.config("save", "3600 1")).start().await;
    // the snapshot cannot replace a folder of its name
    let in_the_way = running.state.dir().join("dump.rdb");
    std::fs::create_dir(&in_the_way).unwrap();
    wait_until("the snapshot has failed", DEADLINE, async || {
        let info = running.state.info("persistence").await.unwrap();
        if info["rdb_bgsave_in_progress"] == "1" {
            return false;
        }
        let has_failed = info["rdb_last_bgsave_status"] == "err";
        if !has_failed {
            running.state.command(&["BGSAVE"]).await.unwrap();
        }
        has_failed
    })
    .await;
    wait_until("no further one is under way", DEADLINE, async || {
        running.state.info("persistence").await.unwrap()["rdb_bgsave_in_progress"] == "0"
    })
    .await;
    let before = running.check().await;
    assert_eq!(codes(&before), [Code::NotWritable].into(), "{:#?}", before.findings());
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_running_cured(Code::NotWritable, running).await;
}

#[tokio::test]
async fn a_number_is_made_to_exist() {
    let variables = [("REDIS_CACHE_DB", "200")];
    let (few, state) = (RedisServer::cache().start().await.unwrap(), RedisServer::state().start().await.unwrap());
    let before = store_validation::check(&environment_with(&few.url(None), &state.url(None), &variables)).await;
    let finding = before.findings().iter().find(|finding| finding.code == Code::DatabaseNumberOutOfRange).unwrap();
    let line = finding.help.split('`').nth(1).unwrap();
    let (name, value) = line.split_once(' ').unwrap();
    let many = RedisServer::cache().config(name, value).start().await.unwrap();
    let after = store_validation::check(&environment_with(&many.url(None), &state.url(None), &variables)).await;
    let mut expected = codes(&before);
    assert!(expected.remove(&Code::DatabaseNumberOutOfRange));
    assert_eq!(codes(&after), expected, "{:#?}", after.findings());
}

#[tokio::test]
async fn a_cluster_is_replaced_by_a_standalone_server_or_has_no_number() {
    let right = Setup::right().start().await;
    let node = RedisServer::state().config("cluster-enabled", "yes").start().await.unwrap();
    let cached = check_urls(&node.url(None), &right.state.user_url("app", "of-state")).await;
    let numbered = check_urls(&right.cache.user_url("app", "of-cache"), &node.url(Some(3))).await;
    for (report, code) in
        [(cached, (Code::CacheOnCluster, "a standalone")), (numbered, (Code::ClusterDatabaseNumber, "Remove the path"))]
    {
        let finding = report.findings().iter().find(|finding| finding.code == code.0).unwrap();
        assert!(finding.help.contains(code.1), "{}", finding.help);
        assert!(commands(finding).is_empty());
    }
    assert!(right.check().await.findings().is_empty());
}

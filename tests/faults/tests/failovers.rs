//! The short form of runs on sentinels and a cluster: the primary is killed or replaced, and slots move.

use std::time::Duration;

use faults::checker::Verdict;
use faults::{Level, Options, PrimaryFault, Topology, run};

/// Runs load and one kind of fault. No rule is broken, and the fault happened.
async fn run_with(topology: Topology, fault: PrimaryFault, durability: Level, duration: Duration) -> Verdict {
    let folder = tempfile::Builder::new().prefix("faults-failovers-").tempdir().expect("a folder");
    let mut options = Options::new(1, folder.path());
    (options.topology, options.fault, options.durability) = (topology, Some(fault), durability);
    options.duration = duration;
    options.program = Some(env!("CARGO_BIN_EXE_faults").into());
    let verdict = Box::pin(run(&options)).await.expect("a history").verdict;
    if !verdict.violations.is_empty() {
        let kept = folder.keep();
        let list: Vec<_> = verdict.violations.iter().map(ToString::to_string).collect();
        panic!("history kept in {}:\n{}", kept.display(), list.join("\n"));
    }
    assert!(!verdict.tally.faults.is_empty(), "nothing failed");
    assert!(verdict.tally.completed > 50, "hardly anything was done");
    assert!(verdict.tally.operations["home.deliver"].acknowledged > 10, "hardly anything was delivered");
    verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_loses_nothing_that_all_replicas_confirmed() {
    let (topology, fault) = (Topology::Sentinel, PrimaryFault::Kill);
    let verdict = run_with(topology, fault, Level::ReplicatedAll, Duration::from_secs(6)).await;
    assert_eq!((verdict.losses.pushes.lost, verdict.losses.settlements.lost), (0, 0));
}

/// The checker wants every job to end at least once that was lost and pushed again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_replica_confirmed_is_named_by_a_report_and_pushed_again() {
    let (topology, fault) = (Topology::Cluster, PrimaryFault::PartitionKill);
    let verdict = run_with(topology, fault, Level::Accepted, Duration::from_secs(6)).await;
    let losses = verdict.losses;
    assert!(losses.pushed_again > 0, "no loss report named a push: {losses}");
    assert_eq!((losses.pushes.lost, losses.settlements.lost), (losses.pushes.named, losses.settlements.named));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_handler_notices_that_slots_move() {
    let (topology, fault) = (Topology::Cluster, PrimaryFault::MoveSlots);
    let verdict = run_with(topology, fault, Level::ReplicatedAll, Duration::from_secs(6)).await;
    assert!(verdict.losses.slots.len() >= 2, "{}", verdict.losses);
}

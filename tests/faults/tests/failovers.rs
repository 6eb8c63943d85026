//! The short form of a run on sentinels: the primary is killed, and no write that the replicas confirmed is lost.

use std::time::Duration;

use faults::{Options, PrimaryFault, Topology, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_run_on_sentinels_breaks_no_rule() {
    let folder = tempfile::Builder::new().prefix("faults-failovers-").tempdir().unwrap();
    let mut options = Options::new(1, folder.path());
    (options.topology, options.fault) = (Topology::Sentinel, Some(PrimaryFault::Kill));
    options.duration = Duration::from_secs(6);
    options.program = Some(env!("CARGO_BIN_EXE_faults").into());
    let verdict = Box::pin(run(&options)).await.unwrap();
    println!("{}\n{}", verdict.tally, verdict.losses);
    if !verdict.violations.is_empty() {
        let kept = folder.keep();
        let list: Vec<_> = verdict.violations.iter().map(ToString::to_string).collect();
        panic!("history kept in {}:\n{}", kept.display(), list.join("\n"));
    }
    assert!(verdict.tally.faults.contains_key("kill-primary state"), "the primary was not killed");
    assert!(verdict.tally.completed > 50, "hardly anything was done");
    assert_eq!(verdict.losses.lost, 0, "no acknowledged push vanished");
}

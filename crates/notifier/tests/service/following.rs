//! `ingest --follow`: a file to which others append, and a position that another process takes over.

use std::fs::OpenOptions;
use std::io::Write as _;

use testkit::{DEADLINE, RunningProgram, wait_until};

use crate::fixture::{Fixture, counts, delivery, report};

const FOLLOW: [&str; 6] = ["ingest", "--follow", "in.jsonl", "--lease", "1s", "--json"];

fn append(fixture: &Fixture, text: &str) {
    let path = fixture.folder.path().join("in.jsonl");
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Appends the deliveries with these ids.
fn deliver(fixture: &Fixture, ids: std::ops::Range<u64>) {
    let lines: String = ids.map(|id| delivery(&id.to_string())).collect();
    append(fixture, &lines);
}

/// How many jobs are in the queue.
async fn queued(fixture: &Fixture) -> u64 {
    let jobs = fixture.state.command(&["HGET", "tw:{q.notifications.0}:meta", "alive"]).await.unwrap();
    jobs.as_str().map_or(0, |jobs| jobs.parse().unwrap())
}

pub(crate) async fn until_queued(fixture: &Fixture, jobs: u64) {
    wait_until("the jobs are in the queue", DEADLINE, async || queued(fixture).await >= jobs).await;
}

/// Stops it gracefully. Returns how many lines it read, and how many of them were in the queue before.
async fn stop(mut process: RunningProgram) -> [u64; 2] {
    process.terminate().unwrap();
    let exit = process.wait_exit(DEADLINE).await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    counts(&report(&exit), ["received", "duplicates"])
}

#[tokio::test]
async fn a_killed_ingestion_of_a_growing_file_goes_on_where_it_was() {
    let fixture = Fixture::new().await;
    deliver(&fixture, 0..2000);
    let mut first = fixture.notifier(&FOLLOW).start().unwrap();
    until_queued(&fixture, 300).await;
    first.kill().await;
    let before = queued(&fixture).await;
    assert!(before < 2000, "it was killed in the middle");

    deliver(&fixture, 2000..2500);
    let second = fixture.notifier(&FOLLOW).start().unwrap();
    until_queued(&fixture, 2500).await;
    let [received, duplicates] = stop(second).await;
    assert_eq!(queued(&fixture).await, 2500, "each delivery is queued once");
    assert_eq!(received - duplicates, 2500 - before, "nothing is skipped");
    assert!(duplicates <= 64, "{duplicates} lines were read twice; only those of one batch may be");

    let third = fixture.notifier(&FOLLOW).start().unwrap();
    deliver(&fixture, 2500..2501);
    until_queued(&fixture, 2501).await;
    assert_eq!(stop(third).await, [1, 0], "it reads only what is new");
}

#[tokio::test]
async fn one_process_reads_and_another_takes_over() {
    let fixture = Fixture::new().await;
    deliver(&fixture, 0..10);
    let first = fixture.notifier(&FOLLOW).start().unwrap();
    until_queued(&fixture, 10).await;
    let second = fixture.notifier(&FOLLOW).start().unwrap();
    // A line counts when its end is there.
    let line = delivery("10");
    let (begin, rest) = line.split_at(20);
    append(&fixture, begin);
    append(&fixture, rest);
    until_queued(&fixture, 11).await;
    assert_eq!(stop(first).await, [11, 0]);

    deliver(&fixture, 11..20);
    until_queued(&fixture, 20).await;
    assert_eq!(stop(second).await, [9, 0], "it read nothing before, and each line after it once");
}

#[tokio::test]
async fn a_bad_line_is_reported_and_passed() {
    let fixture = Fixture::new().await;
    append(&fixture, "{\"id\"\n");
    deliver(&fixture, 0..1);
    let mut process = fixture.notifier(&FOLLOW).start().unwrap();
    until_queued(&fixture, 1).await;
    process.terminate().unwrap();
    let exit = process.wait_exit(DEADLINE).await;
    assert_eq!((exit.code, counts(&report(&exit), ["received", "rejected"])), (Some(1), [2, 1]), "{}", exit.stderr);
    assert!(exit.stderr.contains("line 1: broken JSON at column 5"), "{}", exit.stderr);
}

#[tokio::test]
async fn a_file_that_was_truncated_or_replaced_is_refused() {
    let fixture = Fixture::new().await;
    deliver(&fixture, 0..3);
    let mut process = fixture.notifier(&FOLLOW).start().unwrap();
    until_queued(&fixture, 3).await;
    fixture.folder.write("in.jsonl", delivery("4"));
    let exit = process.wait_exit(DEADLINE).await;
    assert_eq!(exit.code, Some(1), "{}", exit.stderr);
    assert!(exit.stderr.contains("cannot follow in.jsonl: it was truncated or replaced"), "{}", exit.stderr);

    let exit = fixture.notifier(&FOLLOW).run().await.unwrap();
    assert_eq!(exit.code, Some(1), "{}", exit.stderr);
    let ingested = format!("but {} were ingested before", 3 * delivery("0").len());
    assert!(exit.stderr.contains(&ingested), "{}", exit.stderr);
    let other = [&FOLLOW[..], &["--stream", "new"]].concat();
    let process = fixture.notifier(&other).start().unwrap();
    until_queued(&fixture, 4).await;
    assert_eq!(stop(process).await, [1, 0]);
}

#[tokio::test]
async fn a_longer_file_that_has_replaced_the_old_one_is_refused() {
    let fixture = Fixture::new().await;
    deliver(&fixture, 0..3);
    let process = fixture.notifier(&FOLLOW).start().unwrap();
    until_queued(&fixture, 3).await;
    assert_eq!(stop(process).await, [3, 0]);
    let others: String = (10..20).map(|id| delivery(&id.to_string())).collect();
    fixture.folder.write("in.jsonl", others);
    let exit = fixture.notifier(&FOLLOW).run().await.unwrap();
    assert_eq!(exit.code, Some(1), "{}", exit.stderr);
    assert!(exit.stderr.contains("cannot follow in.jsonl: it was truncated or replaced"), "{}", exit.stderr);
    assert_eq!(queued(&fixture).await, 3, "nothing in the middle of it was read");
}

#[tokio::test]
async fn a_missing_file_is_reported_at_once() {
    let fixture = Fixture::new().await;
    let exit = fixture.notifier(&FOLLOW).run().await.unwrap();
    assert_eq!(exit.code, Some(1), "{}", exit.stderr);
    assert!(exit.stderr.contains("cannot follow in.jsonl: No such file"), "{}", exit.stderr);
}

//! Processes and servers that are killed in the middle.

use testkit::{DEADLINE, wait_until};

use crate::fixture::{Fixture, Folder, counts, report};

/// How many jobs there are, and how many run at a time.
const JOBS: usize = 2000;
const CONCURRENCY: usize = 64;

fn lines(folder: &Folder) -> usize {
    folder.delivered("out.txt").values().sum()
}

#[tokio::test]
async fn what_a_killed_worker_held_is_delivered_by_the_next_one() {
    let fixture = Fixture::new().await;
    let input = fixture.folder.deliveries(JOBS);
    fixture.notifier(&["ingest", "--input", &input]).run().await.unwrap();
    let work = ["work", "--sink", "file:out.txt", "--delay", "20ms", "--lease", "2s", "--drain", "--json"];
    let mut first = fixture.notifier(&work).start().unwrap();
    wait_until("the first worker is in the middle", DEADLINE, async || lines(&fixture.folder) > JOBS / 4).await;
    first.kill().await;
    assert!(lines(&fixture.folder) < JOBS, "it was killed in the middle");

    let exit = fixture.notifier(&work).run().await.unwrap();
    assert_eq!(counts(&report(&exit), ["pending", "dead"]), [0, 0], "{}", exit.stderr);
    let delivered = fixture.folder.delivered("out.txt");
    assert_eq!(delivered.len(), JOBS, "nothing is lost");
    assert!(delivered.values().all(|times| *times <= 2), "each at most once more");
    let twice = delivered.values().filter(|times| **times == 2).count();
    assert!(twice <= 2 * CONCURRENCY, "{twice} were delivered twice; only what was in flight may be");
}

#[tokio::test]
async fn a_killed_ingestion_is_taken_up_where_it_was() {
    let fixture = Fixture::new().await;
    let input = fixture.folder.deliveries(JOBS);
    let mut first = fixture.notifier(&["ingest", "--input", &input, "--lease", "1s"]).start().unwrap();
    let pushed = async || {
        let jobs = fixture.state.command(&["HGET", "tw:{q.notifications.0}:meta", "alive"]).await.unwrap();
        jobs.as_str().is_some_and(|jobs| jobs.parse::<u32>().unwrap() > 100)
    };
    wait_until("the first ingestion is in the middle", DEADLINE, pushed).await;
    first.kill().await;

    let run = ["run", "--input", &input, "--sink", "file:out.txt", "--lease", "1s", "--json"];
    let exit = fixture.notifier(&run).run().await.unwrap();
    let report = report(&exit);
    let [received, duplicates, queued] = counts(&report, ["received", "duplicates", "queued"]);
    assert_eq!((received, duplicates + queued), (JOBS as u64, JOBS as u64), "{report}");
    assert_eq!(counts(&report, ["delivered", "pending"]), [JOBS as u64, 0], "{report}");
    let delivered = fixture.folder.delivered("out.txt");
    assert_eq!((delivered.len(), delivered.values().max()), (JOBS, Some(&1)));
}

#[tokio::test]
async fn a_run_waits_for_what_a_killed_one_had_claimed() {
    let fixture = Fixture::new().await;
    let input = fixture.folder.deliveries(JOBS);
    let run = ["run", "--input", &input, "--sink", "file:out.txt", "--delay", "20ms", "--lease", "2s", "--json"];
    let mut first = fixture.notifier(&run).start().unwrap();
    wait_until("the first run is in the middle", DEADLINE, async || lines(&fixture.folder) > JOBS / 4).await;
    first.kill().await;
    assert!(lines(&fixture.folder) < JOBS, "it was killed in the middle");

    let exit = fixture.notifier(&run).run().await.unwrap();
    let report = report(&exit);
    assert_eq!((exit.code, counts(&report, ["received", "rejected", "pending"])), (Some(0), [JOBS as u64, 0, 0]));
    let delivered = fixture.folder.delivered("out.txt");
    assert_eq!(delivered.len(), JOBS, "it ends when every delivery that it read is settled: {report}");
    assert!(delivered.values().all(|times| *times <= 2), "each at most once more");
}

#[tokio::test]
async fn both_wait_for_a_state_store_that_is_killed_and_go_on() {
    let fixture = Fixture::new().await;
    fixture.state.command(&["CONFIG", "SET", "appendfsync", "always"]).await.unwrap();
    let input = fixture.folder.deliveries(JOBS);
    let flags = ["--delay", "20ms", "--lease", "2s", "--json"];
    let mut work = fixture.notifier(&[&["work", "--sink", "file:out.txt"], &flags[..]].concat()).start().unwrap();
    let mut ingest = fixture.notifier(&[&["ingest", "--input", &input], &flags[..]].concat()).start().unwrap();
    wait_until("the first jobs are delivered", DEADLINE, async || lines(&fixture.folder) > 100).await;
    fixture.state.kill().await;
    fixture.state.start_again().await.unwrap();

    let exit = ingest.wait_exit(DEADLINE).await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert_eq!(counts(&report(&exit), ["received", "rejected"]), [JOBS as u64, 0], "{}", exit.stderr);
    wait_until("everything is delivered", DEADLINE, async || fixture.folder.delivered("out.txt").len() == JOBS).await;
    work.terminate().unwrap();
    let exit = work.wait_exit(DEADLINE).await;
    assert_eq!((exit.code, counts(&report(&exit), ["pending", "dead"])), (Some(0), [0, 0]), "{}", exit.stderr);
    assert!(fixture.folder.delivered("out.txt").values().all(|times| *times <= 2));
}

#[tokio::test]
async fn sigterm_lets_running_handlers_end_and_gives_the_rest_back_at_once() {
    let fixture = Fixture::new().await;
    let input = fixture.folder.deliveries(500);
    fixture.notifier(&["ingest", "--input", &input]).run().await.unwrap();
    // Leases of an hour: what the first worker did not give back, the second one could not get.
    let work = |delay| ["work", "--sink", "file:out.txt", "--delay", delay, "--lease", "3600s", "--drain", "--json"];
    let mut first = fixture.notifier(&work("300ms")).start().unwrap();
    wait_until("handlers run", DEADLINE, async || lines(&fixture.folder) > 0).await;
    first.terminate().unwrap();
    let exit = first.wait_exit(DEADLINE).await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    let before = report(&exit)["delivered"].as_u64().unwrap();
    assert_eq!(before, lines(&fixture.folder) as u64, "what it delivered it settled");

    let exit = fixture.notifier(&work("0ms")).run().await.unwrap();
    assert_eq!(counts(&report(&exit), ["delivered", "pending"]), [500 - before, 0], "{}", exit.stderr);
    let delivered = fixture.folder.delivered("out.txt");
    assert_eq!((delivered.len(), delivered.values().max()), (500, Some(&1)));
}

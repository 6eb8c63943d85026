//! The example of a service runs, and stays short.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use testkit::{DEADLINE, Program, RedisServer};
use twinstore::prelude::*;
use twinstore::queue::JobState;

/// The lines that a user writes: all but blank lines and comments.
fn lines_of(source: &str) -> usize {
    source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

#[test]
fn the_order_service_has_at_most_120_lines() {
    let source = include_str!("../examples/orders.rs");
    assert!(source.lines().count() <= 120, "{} lines", source.lines().count());
    assert!(lines_of(source) > 50, "the count counts");
}

#[tokio::test]
async fn the_order_service_places_each_order_once_and_ships_it() {
    let program =
        Program::built("examples/orders").expect("run `cargo build --package twinstore --example orders` first");
    let orders = "k1 ann tea 2\nk1 ann tea 2\nk1 ann tea 3\nk2 ann tea 1\nk3 bob coffee 1\n";
    let program = program.env("SERVICE_NAME", "orders").env("REDIS_CONN_BASE_URL", "embedded:");
    let mut service = program.env("REDIS_WORKERCACHE_CONN_URL", "embedded:").input(orders).start().unwrap();
    service.wait_line(|line| line.starts_with("k3: ")).await;
    service.wait_line(|line| line.starts_with("shipping 1 coffee to bob")).await;
    service.wait_line(|line| line.starts_with("shipping 2 tea to ann for 600 cents, attempt 1")).await;
    service.terminate().unwrap();
    let exit = service.wait_exit(DEADLINE).await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    let answers: Vec<&str> = exit.stdout.lines().filter(|line| line.starts_with('k')).collect();
    assert_eq!(
        answers,
        [
            "k1: 201 600 cents",
            "k1: 200 600 cents",
            "k1: 422 the key belongs to another order",
            "k2: 429 too many orders",
            "k3: 201 600 cents",
        ]
    );
    let count = |text: &str| exit.stdout.lines().filter(|line| line.starts_with(text)).count();
    assert_eq!((count("shipping 2 tea"), count("loading a price")), (1, 2), "{}", exit.stdout);
}

/// The second order after a crash pushes the same shipment: the queue must still have it.
#[tokio::test]
async fn the_order_service_keeps_a_shipment_for_as_long_as_its_order_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("embedded:{}", folder.path().join("state.redb").display());
    let program =
        Program::built("examples/orders").expect("run `cargo build --package twinstore --example orders` first");
    let program = program.env("SERVICE_NAME", "orders").env("REDIS_CONN_BASE_URL", "embedded:");
    let mut service = program.env("REDIS_WORKERCACHE_CONN_URL", &file).input("k1 ann tea 2\n").start().unwrap();
    service.wait_line(|line| line.starts_with("shipping 2 tea")).await;
    service.terminate().unwrap();
    let exit = service.wait_exit(DEADLINE).await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "orders"),
        ("REDIS_CONN_BASE_URL", "embedded:"),
        ("REDIS_WORKERCACHE_CONN_URL", &file),
    ]);
    let stores = Stores::open(&environment).await.unwrap();
    let (queue, job) = (QueueName::new("shipments").unwrap(), JobId::new("k1").unwrap());
    let shipment = stores.state().inspect().get(&queue, &job).await.unwrap().expect("it is kept");
    assert_eq!(shipment.state, JobState::Completed);
    let kept_for = shipment.at.unwrap().since(shipment.pushed_at);
    assert!(kept_for >= Duration::from_secs(24 * 3600), "{kept_for:?}");
}

#[tokio::test]
async fn a_job_whose_process_died_after_its_second_step_continues_with_the_third() {
    let directory = tempfile::tempdir().unwrap();
    let program = || {
        let built =
            Program::built("examples/steps").expect("run `cargo build --package twinstore --example steps` first");
        built.arg(directory.path().display().to_string())
    };
    let first = program().arg("die").start().unwrap().wait_exit(DEADLINE).await;
    assert_eq!(first.stdout.lines().collect::<Vec<_>>(), ["reserving tea", "charging for 1 tea", "dying"]);
    let second = program().start().unwrap().wait_exit(DEADLINE).await;
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    assert_eq!(second.stdout.lines().collect::<Vec<_>>(), ["shipping 1 tea, receipt 4711", "done"]);
}

#[tokio::test]
async fn a_run_is_watched_and_cancelled_by_other_processes() {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let program = |verb: &str| {
        let built = Program::built("examples/agent");
        let program = built.expect("run `cargo build --package twinstore --example agent` first");
        let program = program.env("SERVICE_NAME", "planner").env("REDIS_CACHE_DB", "1");
        let program = program.env("REDIS_CONN_BASE_URL", cache.url(None));
        program.env("REDIS_WORKERCACHE_CONN_URL", state.url(None)).arg(verb).arg("trip-7")
    };
    let running = program("run").start().unwrap();
    running.wait_line(|line| line == "running").await;
    let mut watching = program("watch").start().unwrap();
    watching.wait_line(|line| line.ends_with("message.part idea 0")).await;
    let cancelled = program("cancel").run().await.unwrap();
    assert_eq!(cancelled.stdout.trim(), "Some(Cancelling)", "{}", cancelled.stderr);
    running.wait_line(|line| line == "stopping: true").await;
    let watched = watching.wait_exit(DEADLINE).await;
    let lines: Vec<&str> = watched.stdout.lines().collect();
    assert_eq!(lines[..2], ["0 run.created ", "1 run.in-progress "], "{}", watched.stdout);
    assert!(lines[lines.len() - 1].ends_with(" run.cancelled "), "{}", watched.stdout);
    let sequences: Vec<_> = lines.iter().filter_map(|line| line.split(' ').next()?.parse::<usize>().ok()).collect();
    assert_eq!(sequences, (0..lines.len()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_report_that_is_due_every_second_is_made_every_second() {
    let program =
        Program::built("examples/schedules").expect("run `cargo build --package twinstore --example schedules` first");
    let exit = program.start().unwrap().wait_exit(DEADLINE).await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    let lines: Vec<&str> = exit.stdout.lines().collect();
    let seconds: Vec<u64> =
        lines.iter().filter_map(|line| line.strip_prefix("a report for second ")?.parse().ok()).collect();
    assert!(seconds.len() >= 3 && seconds.windows(2).all(|pair| pair[1] == pair[0] + 1), "{lines:?}");
    assert_eq!(lines.last(), Some(&"the nightly report comes 7 times in the next week"));
}

#[tokio::test]
async fn a_consumer_that_dies_in_the_middle_of_a_batch_is_followed_by_one_that_repeats_its_last_event() {
    let directory = tempfile::tempdir().unwrap();
    let program = |command: &str| {
        let built =
            Program::built("examples/topic").expect("run `cargo build --package twinstore --example topic` first");
        built.arg(directory.path().display().to_string()).arg(command)
    };
    let appended = program("append").start().unwrap().wait_exit(DEADLINE).await;
    assert_eq!(appended.code, Some(0), "{}", appended.stderr);
    let dead = program("die").start().unwrap().wait_exit(DEADLINE).await;
    assert_eq!(dead.stdout.lines().collect::<Vec<_>>(), ["order-7: placed", "order-7: paid", "dying"]);
    let other = program("read").start().unwrap().wait_exit(DEADLINE).await;
    assert_eq!(other.code, Some(0), "{}", other.stderr);
    let expected = ["order-7: paid", "order-7: shipped", "lag 0"];
    assert_eq!(other.stdout.lines().collect::<Vec<_>>(), expected);
}

/// The lines that an example on a store in memory prints.
async fn printed(example: &str, arguments: &[&str]) -> Vec<String> {
    let program = Program::built(&format!("examples/{example}"));
    let program = program.unwrap_or_else(|_| panic!("run `cargo build --package twinstore --example {example}` first"));
    let exit = program.args(arguments).start().unwrap().wait_exit(DEADLINE).await;
    assert_eq!(exit.code, Some(0), "{}\n{}", exit.stdout, exit.stderr);
    exit.stdout.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn an_agent_is_watched_and_cancelled_in_one_process() {
    let lines = printed("agent", &[]).await;
    for line in ["running", "0 run.created ", "1 run.in-progress ", "2 message.part idea 0", "stopping: true"] {
        assert!(lines.iter().any(|found| found == line), "{line}: {lines:?}");
    }
    assert!(lines.last().unwrap().ends_with(" run.cancelled "), "{lines:?}");
}

#[tokio::test]
async fn an_operation_is_tried_until_it_succeeds() {
    let lines = printed("retries", &[]).await;
    let expected =
        ["attempt 1: the service is down", "attempt 2: the service is down", "attempt 3: delivered, recorded: true"];
    assert_eq!(lines[..3], expected);
    assert!(lines[3].starts_with("3 attempts"), "{lines:?}");
}

#[tokio::test]
async fn no_run_overwrites_what_another_has_added_to_the_session() {
    let lines = printed("sessions", &[]).await;
    let (answers, repeated) = lines.split_last_chunk::<2>().map(|(first, last)| (last, first)).unwrap();
    assert_eq!(answers, &["3 lines".to_owned(), "1 deleted".to_owned()]);
    assert!(repeated.iter().all(|line| line.ends_with("reads the history again")), "{lines:?}");
}

#[tokio::test]
async fn each_listener_gets_the_messages() {
    let mut lines = printed("broadcast", &[]).await;
    lines.sort_unstable();
    let expected = ["one: level debug", "one: stops", "sent to 1 process", "two: level debug", "two: stops"];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn an_import_whose_process_died_after_a_commit_continues_with_the_next_page() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().display().to_string();
    let program = Program::built("examples/commit");
    let program = program.expect("run `cargo build --package twinstore --example commit` first");
    let dead = program.args([directory.as_str(), "die"]).start().unwrap().wait_exit(DEADLINE).await;
    assert_eq!(dead.stdout.lines().collect::<Vec<_>>(), ["importing page 1", "importing page 2"], "{}", dead.stderr);
    assert_eq!(printed("commit", &[&directory]).await, ["importing page 3", "after page 3"]);
}

#[tokio::test]
async fn a_commit_sends_a_letter_to_another_queue() {
    assert_eq!(printed("outbox", &[]).await, ["a letter: your order is placed"]);
}

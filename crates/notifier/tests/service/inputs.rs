//! Bad input: one clear message each, the rest processed.

use std::io::Write as _;

use testkit::DEADLINE;

use crate::fixture::{Fixture, Folder, counts, delivery, notifier, report};
use crate::following::until_queued;

#[tokio::test]
async fn bad_lines_are_named_and_the_rest_is_delivered() {
    let folder = Folder::new();
    let mut input = delivery("good-1").into_bytes();
    input.extend_from_slice(b"{\"id\":\"x\",\"event\":\n");
    input.extend_from_slice(b"{\"event\":\"push\",\"payload\":{}}\n");
    input.extend_from_slice(b"{\"id\":[1],\"event\":\"push\",\"payload\":{}}\n");
    input.extend_from_slice(b"\xff\xff\n");
    input.extend(std::iter::repeat_n(b'a', 5 << 20));
    input.push(b'\n');
    input.extend_from_slice(b"{\"id\":\"a{b}\",\"event\":\"push\",\"payload\":{}}\n");
    input.extend_from_slice(delivery("good-2").as_bytes());
    let input = folder.write("in.jsonl", input);
    let exit = notifier(&["run", "--input", &input, "--sink", "file:out.txt", "--json"]).current_dir(folder.path());
    let exit = exit.run().await.unwrap();
    assert_eq!(exit.code, Some(1), "{}", exit.stderr);
    let report = report(&exit);
    assert_eq!(
        counts(&report, ["received", "rejected", "queued", "delivered", "pending"]),
        [8, 6, 2, 2, 0],
        "{report}"
    );
    for line in 2..=7 {
        let messages = exit.stderr.lines().filter(|message| message.starts_with(&format!("line {line}: "))).count();
        assert_eq!(messages, 1, "line {line} in {}", exit.stderr);
    }
    assert_eq!(folder.delivered("out.txt").len(), 2);
}

#[tokio::test]
async fn an_id_with_another_content_is_rejected() {
    let folder = Folder::new();
    let other = delivery("a").replace("opened", "closed");
    let input = folder.write("in.jsonl", delivery("a") + &other);
    let exit = notifier(&["run", "--input", &input, "--json"]).run().await.unwrap();
    assert_eq!(exit.code, Some(1));
    assert_eq!(counts(&report(&exit), ["received", "rejected", "delivered"]), [2, 1, 1], "{}", exit.stderr);
    assert!(exit.stderr.contains("used before with another content"), "{}", exit.stderr);
}

#[tokio::test]
async fn an_empty_input_and_a_missing_one_say_so() {
    let folder = Folder::new();
    let empty = folder.write("empty.jsonl", "");
    let exit = notifier(&["run", "--input", &empty, "--json"]).run().await.unwrap();
    assert_eq!((exit.code, counts(&report(&exit), ["received"])), (Some(1), [0]));
    assert!(exit.stderr.contains("the input holds no delivery"), "{}", exit.stderr);

    let exit = notifier(&["run", "--input", "no-such-file"]).run().await.unwrap();
    assert_eq!(exit.code, Some(1));
    assert!(exit.stderr.contains("cannot read no-such-file"), "{}", exit.stderr);
}

#[tokio::test]
async fn standard_input_is_read() {
    let exit = notifier(&["run", "--input", "-", "--json"]).input(delivery("a") + &delivery("b"));
    let exit = exit.run().await.unwrap();
    assert_eq!(counts(&report(&exit), ["received", "delivered"]), [2, 2], "{}", exit.stderr);
}

/// A thread of the process reads the pipe, and nothing arrives any more.
#[tokio::test]
async fn a_process_that_reads_an_idle_pipe_can_be_stopped() {
    let fixture = Fixture::new().await;
    let pipe = fixture.folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut writer = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    writer.write_all(delivery("1").as_bytes()).unwrap();
    let mut process = fixture.notifier(&["ingest", "--input", "pipe", "--json"]).start().unwrap();
    until_queued(&fixture, 1).await;
    process.terminate().unwrap();
    let exit = process.wait_exit(DEADLINE).await;
    assert_eq!((exit.code, counts(&report(&exit), ["queued"])), (Some(1), [1]), "{}", exit.stderr);
    assert!(exit.stderr.contains("stopped before the end of the input"), "{}", exit.stderr);
}

#[tokio::test]
async fn wrong_usage_exits_2() {
    for arguments in [&["run", "--sink", "ftp://x"][..], &["run", "--lease", "1ms"], &["run", "--concurrency", "0"]] {
        let exit = notifier(arguments).run().await.unwrap();
        assert_eq!(exit.code, Some(2), "{arguments:?}: {}", exit.stderr);
    }
}

//! Whole runs.

use std::time::Duration;

use testkit::{DEADLINE, wait_until};

use crate::fixture::{Fixture, Folder, counts, delivery, notifier, report};

#[tokio::test]
async fn without_arguments_and_variables_it_works_on_a_sample_and_says_where() {
    let exit = notifier(&[]).run().await.unwrap();
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(exit.stdout.lines().next().unwrap().contains("embedded"), "{}", exit.stdout);
    assert!(exit.stdout.contains("delivered                450"), "{}", exit.stdout);
}

#[tokio::test]
async fn each_id_is_delivered_once_on_the_embedded_stores() {
    let folder = Folder::new();
    let lines: String = (0..300).chain(100..133).map(|id| delivery(&id.to_string())).collect();
    let input = folder.write("in.jsonl", lines);
    let exit = notifier(&["run", "--input", &input, "--sink", "file:out.txt", "--json"]).current_dir(folder.path());
    let exit = exit.run().await.unwrap();
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    let report = report(&exit);
    let names = ["received", "rejected", "duplicates", "queued", "delivered", "retried", "dead", "pending"];
    assert_eq!(counts(&report, names), [333, 0, 33, 300, 300, 0, 0, 0], "{report}");
    assert_eq!(report["engine"]["state"], "embedded (memory)");
    let delivered = folder.delivered("out.txt");
    assert_eq!((delivered.len(), delivered.values().max()), (300, Some(&1)));
}

#[tokio::test]
async fn on_real_servers_a_second_run_finds_only_duplicates() {
    let fixture = Fixture::new().await;
    let input = fixture.folder.deliveries(200);
    let run = || fixture.notifier(&["run", "--input", &input, "--sink", "file:out.txt", "--json"]).run();
    let names = ["received", "duplicates", "queued", "delivered", "dead", "pending"];
    let first = run().await.unwrap();
    assert_eq!(counts(&report(&first), names), [200, 0, 200, 200, 0, 0], "{}", first.stderr);
    assert_eq!(report(&first)["engine"]["cache"], "redis");
    let second = run().await.unwrap();
    assert_eq!(counts(&report(&second), names), [200, 200, 0, 0, 0, 0], "{}", second.stderr);
    assert_eq!(fixture.folder.delivered("out.txt").len(), 200);
}

#[tokio::test]
async fn the_queue_knows_what_a_flushed_cache_forgot() {
    let fixture = Fixture::new().await;
    let input = fixture.folder.deliveries(50);
    let run = || fixture.notifier(&["run", "--input", &input, "--sink", "file:out.txt", "--json"]).run();
    run().await.unwrap();
    fixture.cache.command_in(3, &["FLUSHDB"]).await.unwrap();
    let second = run().await.unwrap();
    assert_eq!(counts(&report(&second), ["duplicates", "delivered", "pending"]), [50, 0, 0], "{}", second.stderr);
    assert_eq!(fixture.folder.delivered("out.txt").len(), 50);
}

#[tokio::test]
async fn two_processes_are_a_run() {
    let fixture = Fixture::new().await;
    let input = fixture.folder.deliveries(300);
    let mut work = fixture.notifier(&["work", "--sink", "file:out.txt", "--json"]).start().unwrap();
    let ingest = fixture.notifier(&["ingest", "--input", &input, "--json"]).run().await.unwrap();
    assert_eq!(counts(&report(&ingest), ["received", "queued", "delivered"]), [300, 300, 0], "{}", ingest.stderr);
    wait_until("everything is delivered", DEADLINE, async || fixture.folder.delivered("out.txt").len() == 300).await;
    work.terminate().unwrap();
    let exit = work.wait_exit(DEADLINE).await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert_eq!(counts(&report(&exit), ["delivered", "pending"]), [300, 0]);
}

#[tokio::test]
async fn failures_are_retried_until_everything_is_delivered() {
    let folder = Folder::new();
    let input = folder.deliveries(100);
    let arguments = ["run", "--input", &input, "--sink", "file:out.txt", "--failure-rate", "0.2", "--json"];
    let exit = notifier(&arguments).current_dir(folder.path()).run().await.unwrap();
    let report = report(&exit);
    let [delivered, retried, dead, pending] = counts(&report, ["delivered", "retried", "dead", "pending"]);
    assert_eq!((delivered + dead, pending), (100, 0), "{report}");
    assert!(retried > 0, "{report}");
    assert_eq!(folder.delivered("out.txt").len() as u64, delivered);
}

#[tokio::test]
async fn a_repository_over_its_limit_is_snoozed_and_loses_nothing() {
    let folder = Folder::new();
    let lines: String = (0..30)
        .map(|id| {
            format!(r#"{{"id":"{id}","event":"push","payload":{{"repository":{{"full_name":"harbour/crane"}}}}}}"#)
                + "\n"
        })
        .collect();
    let input = folder.write("in.jsonl", lines);
    let arguments = ["run", "--input", &input, "--sink", "file:out.txt", "--rate", "10", "--json"];
    let started = std::time::Instant::now();
    let exit = notifier(&arguments).current_dir(folder.path()).run().await.unwrap();
    let report = report(&exit);
    assert_eq!(counts(&report, ["delivered", "retried", "dead"]), [30, 0, 0], "{report}");
    assert!(started.elapsed() >= Duration::from_millis(1900), "10 at once, then 10 a second");
}

#[tokio::test]
async fn an_http_sink_gets_one_post_each() {
    let folder = Folder::new();
    let input = folder.deliveries(5);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = format!("http://{}/hook", listener.local_addr().unwrap());
    let server = tokio::spawn(answer_posts(listener, 5));
    let exit = notifier(&["run", "--input", &input, "--sink", &sink, "--json"]).run().await.unwrap();
    assert_eq!(counts(&report(&exit), ["delivered", "dead"]), [5, 0], "{}", exit.stderr);
    assert_eq!(server.await.unwrap(), 5);
}

/// Answers this many POSTs, each on a connection of its own, and counts them.
async fn answer_posts(listener: tokio::net::TcpListener, posts: usize) -> usize {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for _ in 0..posts {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut chunk = [0; 4096];
            let read = connection.read(&mut chunk).await.unwrap();
            assert!(read > 0, "the request ends with its JSON");
            request.extend_from_slice(&chunk[..read]);
        }
        assert!(request.starts_with(b"POST /hook"));
        let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
        connection.write_all(answer).await.unwrap();
        let _ = connection.shutdown().await;
    }
    posts
}

#[tokio::test]
async fn an_idle_worker_hardly_asks_and_starts_a_pushed_job_soon() {
    let fixture = Fixture::new().await;
    let mut work = fixture.notifier(&["work", "--json"]).start().unwrap();
    let waits = async || {
        let waiters = fixture.state.command(&["HLEN", "tw:{q.notifications.0}:waiters"]).await.unwrap();
        waiters != testkit::Value::Integer(0)
    };
    wait_until("the worker waits", DEADLINE, waits).await;
    let before = fixture.state.command_calls().await.unwrap();
    let started = std::time::Instant::now();
    // One delivery at a time: each finds an idle worker. Meanwhile the commands of a worker that waits are counted.
    for id in 0..20 {
        wait_until("the worker waits again", DEADLINE, waits).await;
        let input = fixture.folder.write("one.jsonl", delivery(&format!("one-{id}")));
        let exit = fixture.notifier(&["ingest", "--input", &input]).run().await.unwrap();
        assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    }
    // A claim and a hand-over read each of the four lists of ready jobs once or twice.
    let read = |calls: &std::collections::BTreeMap<String, u64>| calls.get("lindex").copied().unwrap_or_default();
    let after = fixture.state.command_calls().await.unwrap();
    let seconds = started.elapsed().as_secs() + 1;
    let reads = read(&after) - read(&before);
    assert!(reads <= 20 * 2 * 8 + 4 * seconds, "a hand-over and a claim for each job, and few more; {reads} reads");
    work.terminate().unwrap();
    let exit = work.wait_exit(DEADLINE).await;
    let report = report(&exit);
    assert_eq!(counts(&report, ["delivered"]), [20]);
    assert!(report["push_to_handler_ms"]["p50"].as_f64().unwrap() < 1000.0, "{report}");
}

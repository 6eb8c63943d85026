//! Commands that write.

use std::time::Duration;

use embedded_store::EmbeddedState;
use store_core::{
    ClaimRequest, Clock, HolderName, ManualClock, NewJob, Outcome, Queue, QueueExt, QueueInspect, Retention,
    ServiceName, Settled, StateOptions, Timestamp, Unique, UniqueKey, UniqueUntil,
};

use crate::fixture::{Fixture, claim, id, kill, push, queue, with_variables};

const DAY: u64 = 24 * 3600;

#[tokio::test]
async fn a_queue_is_paused_and_resumed() {
    let fixture = Fixture::start().await;
    let store = fixture.store().await;
    push(&store, "mails", vec![NewJob::new("")]).await;
    for (command, paused) in [("pause", true), ("resume", false)] {
        let dry = fixture.run(&format!("{command} mails")).await;
        assert_eq!(dry.code, Some(0), "{dry:?}");
        assert!(dry.stderr.contains("nothing was changed") && dry.stderr.contains("--write"), "{dry:?}");
        assert_eq!(store.counts(&queue("mails")).await.unwrap().paused, !paused);
        let (code, rows) = fixture.json(&format!("{command} mails --write")).await;
        assert_eq!((code, &rows[0]["paused"], &rows[0]["written"]), (Some(0), &paused.into(), &true.into()));
        assert_eq!(store.counts(&queue("mails")).await.unwrap().paused, paused);
    }
}

#[tokio::test]
async fn cancel_removes_jobs_and_asks_running_ones_to_stop() {
    let fixture = Fixture::start().await;
    let store = fixture.store().await;
    push(&store, "mails", vec![NewJob::new("").with_id(id("running"))]).await;
    assert_eq!(claim(&store, "mails", 1).await.len(), 1);
    push(&store, "mails", vec![NewJob::new("").with_id(id("ready"))]).await;
    let outcomes = async |line: &str| {
        let (code, rows) = fixture.json(line).await;
        (code, rows.iter().map(|row| row["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    let foreseen = ["would_request", "would_remove"].map(str::to_owned).to_vec();
    assert_eq!(outcomes("cancel mails running ready").await, (Some(0), foreseen));
    let done = ["requested", "removed", "unknown"].map(str::to_owned).to_vec();
    assert_eq!(outcomes("cancel mails running ready nobody --write").await, (Some(1), done));
    assert!(store.get(&queue("mails"), &id("ready")).await.unwrap().is_none());
    assert!(store.get(&queue("mails"), &id("running")).await.unwrap().unwrap().cancel_requested);
}

#[tokio::test]
async fn replay_of_ids_reports_the_outcome_of_each() {
    let fixture = Fixture::start().await;
    let store = fixture.store().await;
    kill(&store, "mails", 1, "no such mailbox").await;
    let (_, dead) = fixture.json("dead mails").await;
    let dead = dead[0]["id"].as_str().unwrap();
    push(&store, "mails", vec![NewJob::new("").with_id(id("ready"))]).await;

    let (code, rows) = fixture.json(&format!("replay mails {dead}")).await;
    assert_eq!((code, &rows[0]["outcome"], &rows[0]["written"]), (Some(0), &"would_replay".into(), &false.into()));
    let (code, rows) = fixture.json(&format!("replay mails {dead} ready --write")).await;
    assert_eq!((code, &rows[0]["outcome"], &rows[1]["outcome"]), (Some(1), &"replayed".into(), &"not_dead".into()));
    assert_eq!(store.counts(&queue("mails")).await.unwrap().ready, 2);
}

#[tokio::test]
async fn a_job_whose_unique_key_is_held_stays_dead_and_is_counted() {
    let fixture = Fixture::start().await;
    let store = fixture.store().await;
    let unique = || Unique::new(UniqueKey::new("ann").unwrap(), UniqueUntil::Finished);
    push(&store, "mails", vec![NewJob::new("").with_id(id("first")).with_unique(unique())]).await;
    let job = claim(&store, "mails", 1).await.remove(0);
    let outcome = Outcome::Dead { reason: "no".to_owned() };
    assert_eq!(store.settle_one(&queue("mails"), job.lease, outcome).await.unwrap(), Settled::Done);
    push(&store, "mails", vec![NewJob::new("").with_id(id("second")).with_unique(unique())]).await;
    let (code, rows) = fixture.json("replay --all --write").await;
    assert_eq!((code, &rows[0]["held"], &rows[0]["replayed"]), (Some(1), &1.into(), &0.into()));
    let (code, rows) = fixture.json("replay mails first --write").await;
    assert_eq!((code, &rows[0]["outcome"], &rows[0]["held_by"]), (Some(1), &"held".into(), &"second".into()));
    records_no_mark(&fixture).await;
}

/// A write claims nothing either: only probe keys exist.
async fn records_no_mark(fixture: &Fixture) {
    let marks = fixture.state.command(&["KEYS", "twinstore:*"]).await.unwrap().as_strings().unwrap();
    assert!(marks.iter().all(|key| key.starts_with("twinstore:probe:")), "{marks:?}");
}

#[tokio::test]
async fn a_write_removes_no_job_that_the_service_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let service = || ServiceName::new("billing").unwrap();
    let long_ago = Timestamp::from_millis(Timestamp::system_now().as_millis() - 40 * DAY * 1000);
    let options = StateOptions::default()
        .with_clock(Clock::Manual(ManualClock::new(long_ago)))
        .with_retention(Retention::default().with_dead_for(Duration::from_secs(100 * DAY)));
    let store = EmbeddedState::open(&path, service(), options).unwrap();
    store.push_one(&queue("mails"), NewJob::new("").with_id(id("dead"))).await.unwrap();
    let worker = HolderName::new("worker-1").unwrap();
    let request = ClaimRequest::new(queue("mails"), worker, 1, Duration::from_secs(60));
    let job = store.claim(&request).await.unwrap().jobs.remove(0);
    let outcome = Outcome::Dead { reason: "no such mailbox".to_owned() };
    assert_eq!(store.settle_one(&queue("mails"), job.lease, outcome).await.unwrap(), Settled::Done);
    store.close().await;
    drop(store);

    for line in ["pause mails --write", "cancel mails nobody --write", "dead mails --json"] {
        let command = with_variables("embedded:", &format!("embedded:{}", path.display()));
        let exit = command.args(line.split(' ')).run().await.unwrap();
        assert!(!exit.stdout.is_empty(), "{exit:?}");
        assert!(!line.starts_with("dead") || exit.stdout.contains("no such mailbox"), "{exit:?}");
    }
}

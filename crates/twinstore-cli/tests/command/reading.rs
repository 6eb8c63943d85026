//! Commands that read.

use std::time::Duration;

use state_store::StateStore;
use store_core::{
    AcquireRequest, Beat, Durability, Fence, Heartbeats, HolderName, JobLease, LeaseName, Leases, NewJob, Outcome,
    PoolName, Queue, QueueControl, QueueExt, ResumeTokens, SaveRequest, Settlement, StreamName, TopicConfig, TopicName,
    Topics,
};

use crate::fixture::{Fixture, claim, id, push, queue};

/// Queues with jobs in every state, leases and members of two services.
async fn fill(store: &StateStore) {
    push(store, "mails", vec![NewJob::new("{}").with_id(id("dead")), NewJob::new("{}").with_id(id("running"))]).await;
    let jobs = claim(store, "mails", 2).await;
    let lease = |name: &str| -> JobLease { jobs.iter().find(|job| *job.id() == id(name)).unwrap().lease.clone() };
    let dead = Settlement::new(lease("dead"), Outcome::Dead { reason: "a\u{1b}[2J\nb".to_owned() });
    drop(store.settle(&queue("mails"), &[dead], Durability::Accepted).await.unwrap());
    let later = NewJob::new("{}").with_id(id("scheduled")).with_delay(Duration::from_secs(600));
    push(store, "mails", vec![later, NewJob::new("{}").with_id(id("ready"))]).await;
    store.push_one(&queue("sms"), NewJob::new("{}")).await.unwrap();
    store.pause(&queue("sms")).await.unwrap();
    let (holder, minute) = (HolderName::new("worker-1").unwrap(), Duration::from_secs(60));
    for store in [store.clone(), store.shared()] {
        let request = AcquireRequest::new(LeaseName::new("leader").unwrap(), holder.clone(), minute);
        drop(store.acquire(&request, Durability::Accepted).await.unwrap());
        let beat = Beat::new(PoolName::new("workers").unwrap(), holder.clone(), minute).with_details("{\"running\":3}");
        store.beat(&beat).await.unwrap();
    }
    let save = SaveRequest::new(StreamName::new("shop").unwrap(), "1", Fence::new(1), None);
    drop(store.save(&save, Durability::Accepted).await.unwrap());
    store.declare(&TopicName::new("orders").unwrap(), &TopicConfig::default()).await.unwrap();
}

/// Each command that writes nothing.
const READING: [&str; 23] = [
    "check",
    "queues",
    "jobs mails",
    "jobs mails --state dead --limit 1",
    "dead",
    "dead mails",
    "explain mails ready",
    "explain mails unknown",
    "leases",
    "workers",
    "workers --lost",
    "tokens",
    "tokens shop --expiring 1h",
    "topics",
    "replay --all",
    "replay mails --all",
    "replay mails dead",
    "cancel mails ready running",
    "pause mails",
    "resume sms",
    "pause no-such-queue",
    "jobs no-such-queue",
    "queues --json",
];

#[tokio::test]
async fn a_command_without_write_changes_nothing_on_either_server() {
    let fixture = Fixture::start().await;
    let nothing = "0".repeat(40);
    for line in ["check", "queues", "leases", "workers", "replay --all", "pause mails --write", "replay --all --write"]
    {
        let exit = fixture.run(line).await;
        assert_eq!(fixture.digests().await, [nothing.clone(), nothing.clone()], "{line}: {exit:?}");
    }
    fill(&fixture.store().await).await;
    let before = fixture.digests().await;
    for line in READING {
        let exit = fixture.run(line).await;
        assert!(matches!(exit.code, Some(0 | 1)), "{exit:?}");
        assert_eq!(fixture.digests().await, before, "{line}: {exit:?}");
    }
}

#[tokio::test]
async fn what_is_stored_is_shown() {
    let fixture = Fixture::start().await;
    fill(&fixture.store().await).await;

    let (_, queues) = fixture.json("queues").await;
    let counts = |index: usize| ["ready", "scheduled", "running", "completed", "dead"].map(|name| &queues[index][name]);
    assert_eq!(
        (&queues[0]["queue"], counts(0).map(|count| count.as_u64().unwrap())),
        (&"mails".into(), [1, 1, 1, 0, 1])
    );
    assert_eq!((&queues[1]["queue"], &queues[1]["paused"]), (&"sms".into(), &true.into()));
    assert!(queues[0]["oldest_pushed_at_ms"].as_u64().is_some_and(|time| time > 1_600_000_000_000), "{queues:?}");

    for (state, name) in [("ready", "ready"), ("scheduled", "scheduled"), ("running", "running"), ("dead", "dead")] {
        let (code, jobs) = fixture.json(&format!("jobs mails --state {state}")).await;
        assert_eq!((code, jobs.len(), &jobs[0]["id"], &jobs[0]["state"]), (Some(0), 1, &name.into(), &state.into()));
        let (code, explained) = fixture.json(&format!("explain mails {name}")).await;
        let expected = if state == "ready" { "waits_for_worker" } else { state };
        assert_eq!((code, &explained[0]["explanation"]), (Some(0), &expected.into()));
    }
    let (code, unknown) = fixture.json("explain mails nobody").await;
    assert_eq!((code, &unknown[0]["explanation"]), (Some(1), &"unknown".into()));

    let (_, leases) = fixture.json("leases").await;
    let services: Vec<_> = leases.iter().map(|lease| (&lease["service"], &lease["holder"])).collect();
    let holder = &"worker-1".into();
    assert_eq!(services, [(&serde_json::Value::Null, holder), (&"billing".into(), holder)]);
    let (_, members) = fixture.json("workers").await;
    assert_eq!(members.len(), 2);
    assert_eq!((&members[1]["service"], &members[1]["state"]), (&"billing".into(), &"alive".into()));
    assert_eq!(members[1]["details"], "{\"running\":3}");

    let table = fixture.run("dead").await.stdout;
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.starts_with("QUEUE") && table.contains("a\\u{1b}[2J\\nb"), "{table}");
}

#[tokio::test]
async fn a_listing_continues_after_its_limit() {
    let fixture = Fixture::start().await;
    let store = fixture.store().await;
    push(&store, "mails", (0..25).map(|number| NewJob::new("").with_id(id(&format!("{number:02}")))).collect()).await;
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let exit = fixture.run(&format!("jobs mails --limit 10 --json {after}")).await;
        let jobs = crate::fixture::objects(&exit);
        assert!(jobs.len() <= 10);
        found.extend(jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        match exit.stderr.trim().split_once("more jobs follow: ") {
            Some((_, next)) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(found, (0..25).map(|number| format!("{number:02}")).collect::<Vec<_>>());
    let wrong = fixture.run("jobs mails --after nonsense").await;
    assert!(wrong.code == Some(2) && wrong.stderr.contains("cursor"), "{wrong:?}");
}

#[tokio::test]
async fn every_json_field_is_in_the_help_of_its_command() {
    let fixture = Fixture::start().await;
    fill(&fixture.store().await).await;
    for line in [
        "queues",
        "jobs mails",
        "dead",
        "explain mails ready",
        "leases",
        "workers",
        "tokens",
        "topics",
        "replay --all",
        "replay mails dead",
        "cancel mails ready",
        "pause mails",
        "resume mails",
    ] {
        let command = line.split(' ').next().unwrap();
        let help = fixture.run(&format!("{command} --help")).await.stdout;
        let (_, fields) = help.split_once("JSON fields").unwrap();
        let words: Vec<&str> = fields.split(|other: char| !other.is_alphanumeric() && other != '_').collect();
        let (_, rows) = fixture.json(line).await;
        for field in rows[0].as_object().unwrap().keys() {
            assert!(words.contains(&field.as_str()), "{line}: {field} is not in {fields}");
        }
    }
}

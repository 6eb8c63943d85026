//! Ids that callers choose, also such as the library assigns.

use std::collections::BTreeSet;
use std::time::Duration;

use state_store::StateOptions;
use store_core::{
    ClaimRequest, Durability, HolderName, JobId, NewJob, Outcome, Pushed, Queue, QueueControl, QueueInspect, Settled,
    Settlement,
};

use super::{LEASE, are_new, claim, push, queue};
use crate::{fixture, fixture_with};

/// 64 ids that name one batch, each pushed alone, every other one delayed, in a queue of two partitions.
#[tokio::test]
async fn ids_of_one_batch_that_callers_choose_are_single_jobs() {
    let fixture = fixture_with(StateOptions::default().with_partitions(queue(), 2)).await;
    let store = &fixture.store;
    let batch = JobId::new_batch(1);
    for position in 0..64 {
        let mut job = NewJob::new(position.to_string()).with_id(batch.job(position));
        job.delay = Duration::from_secs(u64::from(position % 2));
        assert_eq!(push(store, &[job.clone()]).await, [Pushed::Created { id: batch.job(position) }]);
        assert_eq!(push(store, &[job]).await, [Pushed::Created { id: batch.job(position) }], "the same job again");
        let another = NewJob::new("another").with_id(batch.job(position));
        assert_eq!(push(store, &[another]).await, [Pushed::Duplicate]);
    }
    let counts = store.counts(&queue()).await.unwrap();
    assert_eq!((counts.ready, counts.scheduled), (32, 32));
    for position in 0..64 {
        let info = store.get(&queue(), &batch.job(position)).await.unwrap().unwrap();
        assert_eq!(info.payload, position.to_string());
    }
    assert!(matches!(store.cancel(&queue(), &batch.job(7)).await.unwrap(), store_core::Cancelled::Removed));
    fixture.clock.advance(Duration::from_secs(1));
    let mut done = BTreeSet::new();
    while done.len() < 63 {
        let worker = HolderName::new("worker-1").unwrap();
        let jobs = store.claim(&ClaimRequest::new(queue(), worker, 10, LEASE)).await.unwrap().jobs;
        assert!(!jobs.is_empty(), "{} jobs", done.len());
        done.extend(jobs.iter().map(|job| String::from_utf8(job.payload.to_vec()).unwrap()));
        let settlements: Vec<_> =
            jobs.into_iter().map(|job| Settlement::new(job.lease, Outcome::Complete(None))).collect();
        let settled = store.settle(&queue(), &settlements, Durability::Accepted).await.unwrap().value;
        assert_eq!(settled, vec![Settled::Done; settled.len()]);
    }
    let expected: BTreeSet<_> =
        (0..64).filter(|position| *position != 7).map(|position| position.to_string()).collect();
    assert_eq!(done, expected);
    assert_eq!(store.counts(&queue()).await.unwrap().pending(), 0);
}

/// A caller may push an id that was assigned, while its batch has the job.
#[tokio::test]
async fn an_assigned_id_is_known_as_long_as_its_batch_has_the_job() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let pushed = push(store, &[NewJob::new("one"), NewJob::new("two")]).await;
    let first = pushed[0].id().unwrap().clone();
    assert_eq!(push(store, &[NewJob::new("other").with_id(first.clone())]).await, [Pushed::Duplicate]);
    for job in claim(store, 2).await.jobs {
        super::settle(store, &job, Outcome::Complete(None)).await;
    }
    assert_eq!(are_new(&push(store, &[NewJob::new("other").with_id(first)]).await), [true]);
    assert_eq!(claim(store, 2).await.jobs.len(), 1);
}

/// The arguments of a push of a batch are sent again with other payloads, as if the library had assigned one id twice.
#[tokio::test]
async fn an_existing_batch_is_never_written_over() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for delay in [0, 1] {
        let mut monitor = fixture.server.connect().await.unwrap();
        monitor.command(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]).await.unwrap();
        monitor.command(&["SLOWLOG", "RESET"]).await.unwrap();
        let jobs = ["first", "other"].map(|name| NewJob::new(name).with_delay(Duration::from_secs(delay)));
        push(store, &jobs).await;
        // The slow log keeps the arguments of a command if they are few and short.
        let log = monitor.command(&["SLOWLOG", "GET", "20"]).await.unwrap();
        let calls = log.as_array().unwrap().iter().map(|entry| entry.as_array().unwrap()[3].as_array().unwrap());
        let is_push = |arguments: &&[testkit::Value]| {
            arguments
                .iter()
                .any(|argument| argument.as_bytes().is_some_and(|text| text.windows(5).any(|part| part == b"first")))
        };
        let call: Vec<Vec<u8>> = calls
            .into_iter()
            .find(is_push)
            .unwrap()
            .iter()
            .map(|argument| argument.as_bytes().unwrap().to_vec())
            .collect();
        let forged = call.iter().map(|argument| {
            let text = argument.windows(5).position(|part| part == b"first");
            let mut argument = argument.clone();
            if let Some(at) = text {
                argument[at..at + 5].copy_from_slice(b"forge");
            }
            argument
        });
        let mut forged: Vec<_> = forged.collect();
        // Half a delay later, by the time that the test has set: after the script, the number of keys, and the keys.
        let clock = 3 + std::str::from_utf8(&forged[2]).unwrap().parse::<usize>().unwrap();
        let text = String::from_utf8(forged[clock].clone()).unwrap();
        let (deadline, millis) = text.split_once(' ').unwrap();
        let later = millis.parse::<u64>().unwrap() + 500 * delay;
        forged[clock] = format!("{deadline} {later}").into_bytes();
        let reply = monitor.command(&forged).await.unwrap();
        assert_eq!(reply.as_array().unwrap()[0].as_str(), Some("taken"));
        fixture.clock.advance(Duration::from_secs(delay));
        let payloads: Vec<_> = claim(store, 9).await.jobs.into_iter().map(|job| job.payload).collect();
        assert_eq!(payloads, ["first", "other"]);
        assert!(claim(store, 9).await.jobs.is_empty());
    }
}

/// 1,000 jobs with ids of one batch whose records have 50 KiB.
#[tokio::test]
async fn a_batch_is_read_once_by_a_push_of_its_ids() {
    let fixture = fixture().await;
    let stored = push(&fixture.store, &vec![NewJob::new(vec![7; 1 << 10]); 50]).await;
    let reads = async || fixture.server.command_calls().await.unwrap().get("hget").copied().unwrap_or(0);
    let ids = stored.iter().cycle().take(NewJob::MAX_BATCH).filter_map(Pushed::id);
    let jobs: Vec<_> = ids.map(|id| NewJob::new("another").with_id(id.clone())).collect();
    assert_eq!(push(&fixture.store, &jobs[..1]).await, [Pushed::Duplicate]);
    let before = reads().await;
    assert_eq!(push(&fixture.store, &jobs).await, vec![Pushed::Duplicate; 1000]);
    let read = reads().await - before;
    assert!(read < 5, "{read} reads");
}

//! The number of partitions that a queue records.

use state_store::{StateOptions, StateStore};
use store_core::{
    AgentName, Cancelled, Durability, Error, Homes, JobId, NewJob, NewRun, Pushed, QueueControl, QueueExt,
    QueueInspect, RunId, RunOutcome, Unique, UniqueKey, UniqueUntil,
};
use testkit::RedisServer;

use super::invariants::every_call;
use super::{claim, push, queue};
use crate::{open, schedules};

async fn declaring(server: &RedisServer, partitions: u16) -> StateStore {
    open(&server.url(None), StateOptions::default().with_partitions(queue(), partitions)).await.unwrap()
}

fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Error>, recorded: u16, declared: u16) {
    match answer {
        Err(Error::InvalidArgument { detail, .. }) => {
            let texts = [format!("has {recorded} partitions"), format!("declares {declared}")];
            assert!(texts.iter().all(|text| detail.contains(text)), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_number_is_refused_by_every_call_and_none_adopts_the_recorded_one() {
    let server = RedisServer::state().start().await.unwrap();
    push(&declaring(&server, 4).await, &[NewJob::new("a")]).await;
    let other = declaring(&server, 12).await;
    for (_, answer) in every_call(&other, &queue()).await {
        assert_refused(answer, 4, 12);
    }
    for (_, answer) in schedules::every_call(&other, &queue()).await {
        assert_refused(answer, 4, 12);
    }
    let undeclared = open(&server.url(None), StateOptions::default()).await.unwrap();
    push(&undeclared, &[NewJob::new("b"), NewJob::new("c")]).await;
    assert_eq!(claim(&undeclared, 10).await.jobs.len(), 3);
}

/// The partition of a home depends on the seed that the queue has recorded.
#[tokio::test]
async fn a_home_that_was_read_before_its_queue_existed_is_read_where_another_process_writes() {
    let server = RedisServer::state().start().await.unwrap();
    let (reader, writer) = (declaring(&server, 4).await, declaring(&server, 4).await);
    let homes = |store: &StateStore| {
        let home = |number: u8| {
            let key = UniqueKey::new(number.to_string()).unwrap();
            (RunId::new(number.to_string()).unwrap(), store.home(&queue(), &key).runs())
        };
        (0..8).map(home).collect::<Vec<_>>()
    };
    for (run, runs) in homes(&reader) {
        assert_eq!(runs.get(&run).await.unwrap(), None);
    }
    for (run, runs) in homes(&writer) {
        let new = NewRun::new(run, AgentName::new("importer").unwrap());
        assert!(matches!(runs.create(&new, Durability::Accepted).await.unwrap().value, RunOutcome::Done(_)));
    }
    for (run, runs) in homes(&reader) {
        assert!(runs.get(&run).await.unwrap().is_some());
    }
}

/// Whichever is first records its number; the other one is refused, and pushes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_producers_that_start_together_one_decides() {
    for _ in 0..4 {
        let server = RedisServer::state().start().await.unwrap();
        let pushing = |partitions: u16| {
            let url = server.url(None);
            tokio::spawn(async move {
                let options = StateOptions::default().with_partitions(queue(), partitions);
                let store = open(&url, options).await.unwrap();
                let mut answers = Vec::new();
                for number in 0..20 {
                    answers.push(store.push_one(&queue(), NewJob::new(number.to_string())).await);
                }
                answers
            })
        };
        let (four, twelve) = (pushing(4), pushing(12));
        let (four, twelve) = (four.await.unwrap(), twelve.await.unwrap());
        let (recorded, declared, refused) = match four[0] {
            Ok(_) => (4, 12, twelve),
            Err(_) => (12, 4, four),
        };
        refused.into_iter().for_each(|answer| assert_refused(answer, recorded, declared));
        let undeclared = open(&server.url(None), StateOptions::default()).await.unwrap();
        assert_eq!(undeclared.counts(&queue()).await.unwrap().ready, 20);
    }
}

/// The documented limit: an id is looked up in the partition of the job's unique key, or in its own if it has none.
#[tokio::test]
async fn an_id_is_recognised_among_the_jobs_of_its_unique_key_and_among_those_without_one() {
    let server = RedisServer::state().start().await.unwrap();
    let store = declaring(&server, 4).await;
    let id = JobId::new("x").unwrap();
    let plain = || NewJob::new("").with_id(id.clone());
    let keyed = |number: u32| {
        let key = UniqueKey::new(format!("key {number}")).unwrap();
        plain().with_unique(Unique::new(key, UniqueUntil::Claimed))
    };
    let is_new = async |job| match &push(&store, &[job]).await[..] {
        [Pushed::Created { .. }] => true,
        [Pushed::Duplicate] => false,
        other => panic!("{other:?}"),
    };
    assert!(is_new(plain()).await && !is_new(plain()).await);
    let mut elsewhere = None;
    for number in 0..100 {
        if is_new(keyed(number)).await {
            elsewhere = Some(number);
            break;
        }
    }
    let elsewhere = elsewhere.expect("four partitions have some of 100 keys each");
    assert_eq!(claim(&store, 10).await.jobs.len(), 2, "two jobs have the id");
    assert!(!is_new(keyed(elsewhere)).await, "its key is free, and its partition has the id");
    assert!(!is_new(plain()).await);
    assert!(store.get(&queue(), &id).await.unwrap().is_some());
    assert_eq!(store.cancel(&queue(), &id).await.unwrap(), Cancelled::Requested);
    assert_eq!(store.counts(&queue()).await.unwrap().running, 2);
}

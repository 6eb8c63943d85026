//! The number of partitions that a queue records.

use state_store::{StateOptions, StateStore};
use store_core::{Error, NewJob, QueueControl, QueueExt, QueueInspect};
use testkit::RedisServer;

use super::{claim, push, queue};
use crate::open;

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
    assert_refused(other.push_one(&queue(), NewJob::new("b")).await, 4, 12);
    assert_refused(other.counts(&queue()).await, 4, 12);
    assert_refused(other.pause(&queue()).await, 4, 12);
    let undeclared = open(&server.url(None), StateOptions::default()).await.unwrap();
    push(&undeclared, &[NewJob::new("b"), NewJob::new("c")]).await;
    assert_eq!(claim(&undeclared, 10).await.jobs.len(), 3);
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

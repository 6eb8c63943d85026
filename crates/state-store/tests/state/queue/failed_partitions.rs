//! Claims that fail in one of several partitions.

use std::sync::Arc;
use std::time::Duration;

use state_store::{StateOptions, StateStore};
use store_core::{ClaimRequest, Error, Extension, HolderName, NewJob, Outcome, Queue, RequestId, Waiter, Wakeup};
use testkit::{DEADLINE, RedisServer};

use super::{LEASE, claim_one, push, queue, settle};
use crate::open;

/// A user who may use both partitions, or only the first one.
async fn set_user(server: &RedisServer, may_use_both: bool) {
    let keys = if may_use_both { "~*" } else { "~test:{q.mail.0*" };
    let user = ["ACL", "SETUSER", "consumer", "on", ">secret", "resetkeys", keys, "&*", "+@all"];
    server.command(&user).await.unwrap();
}

async fn opened(url: &str) -> StateStore {
    open(url, StateOptions::default().with_partitions(queue(), 2)).await.unwrap()
}

/// Of up to two jobs, from the first partition, then from the second one.
fn request() -> ClaimRequest {
    let mut request = ClaimRequest::new(queue(), HolderName::new("waiter").unwrap(), 2, LEASE);
    while request.request.as_bytes()[1] % 2 == 1 {
        request.request = RequestId::generate();
    }
    request
}

async fn registered(store: &StateStore) -> Arc<dyn Waiter> {
    let waiter = store.waiter();
    assert!(waiter.claim(&request(), 0).await.unwrap().jobs.is_empty());
    waiter
}

#[tokio::test]
async fn a_notification_of_a_partition_that_fails_is_passed_on_when_it_can_be_reached() {
    let server = RedisServer::state().start().await.unwrap();
    let producer = opened(&server.url(None)).await;
    for _ in 0..2 {
        push(&producer, &[NewJob::new("first")]).await;
        settle(&producer, &claim_one(&producer).await, Outcome::Complete(None)).await;
    }
    set_user(&server, true).await;
    let consumer = opened(&server.url(None).replace("redis://", "redis://consumer:secret@")).await;
    let second = &server.command(&["KEYS", "test:{q.mail.1*:meta"]).await.unwrap().as_strings().unwrap()[0];
    let second = second.replace(":meta", ":waiters");
    // The other waiter is registered in the second partition while both pushes notify the consumer.
    let other = registered(&producer).await;
    server.command(&["COPY", &second, "kept"]).await.unwrap();
    for key in server.command(&["KEYS", "*:waiters"]).await.unwrap().as_strings().unwrap() {
        server.command(&["DEL", &key]).await.unwrap();
    }
    let waiter = registered(&consumer).await;
    for _ in 0..2 {
        push(&producer, &[NewJob::new("")]).await;
        assert_eq!(waiter.next(DEADLINE).await.unwrap(), Some(Wakeup::Notified { queue: queue() }));
    }
    server.command(&["COPY", "kept", &second]).await.unwrap();
    set_user(&server, false).await;

    let claim = waiter.claim(&request(), 0).await.unwrap();
    assert_eq!((claim.jobs.len(), claim.jobs[0].lease.partition, claim.next), (1, 0, Some(Duration::ZERO)));
    assert!(waiter.claim(&request(), 0).await.is_err());
    set_user(&server, true).await;
    assert_eq!(other.next(DEADLINE).await.unwrap(), Some(Wakeup::Notified { queue: queue() }));
    // The first to claim gets it.
    let claim = waiter.claim(&request(), 0).await.unwrap();
    assert_eq!((claim.jobs.len(), claim.jobs[0].lease.partition), (1, 1));
}

/// An extension is not all or nothing: the error says so.
#[tokio::test]
async fn an_extension_that_fails_in_one_partition_is_indeterminate() {
    let server = RedisServer::state().start().await.unwrap();
    let producer = opened(&server.url(None)).await;
    for _ in 0..2 {
        push(&producer, &[NewJob::new("")]).await;
    }
    let jobs = producer.claim(&request()).await.unwrap().jobs;
    let extensions: Vec<_> = jobs.into_iter().map(|job| Extension::new(job.lease)).collect();
    assert_eq!(extensions.iter().map(|job| job.lease.partition).collect::<Vec<_>>(), [0, 1]);
    set_user(&server, true).await;
    let consumer = opened(&server.url(None).replace("redis://", "redis://consumer:secret@")).await;
    assert!(consumer.extend(&queue(), &extensions, LEASE).await.unwrap().iter().all(|answer| !answer.is_lost()));
    set_user(&server, false).await;
    let error = consumer.extend(&queue(), &extensions, 2 * LEASE).await.unwrap_err();
    let text = "other jobs of the call were extended in other partitions";
    assert!(matches!(&error, Error::Indeterminate { .. }) && error.to_string().contains(text), "{error}");
    let answer = consumer.extend(&queue(), &extensions[..1], 2 * LEASE).await.unwrap()[0];
    assert!(answer.until().unwrap() > extensions[0].lease.until.after(LEASE / 2), "{answer:?}");
    let error = consumer.extend(&queue(), &extensions[1..], LEASE).await.unwrap_err();
    assert!(!matches!(error, Error::Indeterminate { .. }), "{error}");
}

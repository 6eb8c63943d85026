//! Calls that nobody polls, and claims that leave jobs behind.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use embedded_store::{EmbeddedState, StateOptions};
use store_core::{ClaimRequest, Durability, HolderName, NewJob, Queue, QueueName};

use crate::service;

/// `select! { done = &mut push => …, () = tick => { push_another().await } }`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_in_memory_that_is_not_polled_does_not_delay_others() {
    let store = EmbeddedState::in_memory(service("orders"), StateOptions::default());
    let mail = QueueName::new("mail").unwrap();
    for _ in 0..100 {
        let many: Vec<_> = (0..1000).map(|_| NewJob::new("x")).collect();
        let (other, name) = (store.clone(), mail.clone());
        let busy = tokio::spawn(async move { other.push(&name, &many, Durability::Accepted).await });
        tokio::task::yield_now().await;
        let jobs = [NewJob::new("a")];
        let mut first = pin!(store.push(&mail, &jobs, Durability::Accepted));
        let is_pending = poll_fn(|context| Poll::Ready(first.as_mut().poll(context).is_pending())).await;
        let _ = busy.await.unwrap().unwrap();
        if is_pending {
            let jobs = [NewJob::new("b")];
            let second = store.push(&mail, &jobs, Durability::Accepted);
            let second = tokio::time::timeout(Duration::from_secs(5), second).await;
            let _ = second.expect("held up for ever by a push that nobody polls").unwrap();
            let _ = first.await.unwrap();
        }
    }
}

/// `Queue::claim`: it "may return fewer than are ready: then `Claim::next` is zero".
#[tokio::test]
async fn a_claim_that_leaves_jobs_because_of_their_bytes_reports_it() {
    let store = EmbeddedState::in_memory(service("orders"), StateOptions::default());
    let mail = QueueName::new("mail").unwrap();
    for _ in 0..20 {
        let _ = store.push(&mail, &[NewJob::new(vec![0; 1 << 20])], Durability::Accepted).await.unwrap();
    }
    let worker = HolderName::new("w").unwrap();
    let claim = store.claim(&ClaimRequest::new(mail, worker, 20, Duration::from_secs(30))).await.unwrap();
    assert!(claim.jobs.len() < 20);
    assert_eq!(claim.next, Some(Duration::ZERO));
}

//! The messages for waiters: what is published now is compared with a golden file.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use state_store::StateStore;
use store_core::{ClaimRequest, Error, HolderName, JobId, NewJob, Outcome, Pushed, Queue, Waiter, Wakeup};
use testkit::DEADLINE;
use testkit::golden::quoted;

use super::{LEASE, id, push, queue, settle};
use crate::fixture;

/// What the random bytes of a batch id are in the golden file.
const BATCH: &[u8; 15] = b"random\x80a\x80batch ";
const TOKEN: &str = "waiter 1";
const CHANNEL: &str = "\"the channel\"";

fn golden() -> String {
    let path = format!("{}/tests/state/golden/message.4.redis", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn plain(payload: &str) -> NewJob {
    let mut job = NewJob::new(payload.to_owned());
    job.request = 0xa5a5_0001;
    job
}

/// A waiter that has found nothing, and reserves so many jobs.
async fn registered(store: &StateStore, reserve: usize) -> Arc<dyn Waiter> {
    let waiter = store.waiter();
    let request = ClaimRequest::new(queue(), HolderName::new("waiter").unwrap(), reserve.max(1), LEASE);
    assert!(waiter.claim(&request, reserve).await.unwrap().jobs.is_empty());
    waiter
}

/// The jobs that a message hands over, and whether the waiter is still registered; `None` for a notification.
async fn received(waiter: &Arc<dyn Waiter>) -> Option<(bool, store_core::Claim)> {
    match waiter.next(DEADLINE).await.unwrap().expect("a wake-up") {
        Wakeup::Claimed { claim, is_registered, .. } => Some((is_registered, claim)),
        Wakeup::Notified { .. } => None,
        other => panic!("{other:?}"),
    }
}

/// Messages as commands that publish them, with fixed bytes in the place of random ones.
struct Observed {
    observer: testkit::RespConnection,
    text: String,
}

impl Observed {
    /// The next message. `pushed`: the first job of each batch that it names.
    async fn add(&mut self, pushed: &[Pushed]) {
        let published = self.observer.receive().await.unwrap().into_array();
        let mut message = published.last().and_then(|value| value.as_bytes()).unwrap().to_vec();
        message[..TOKEN.len()].copy_from_slice(TOKEN.as_bytes());
        for (batch, _) in pushed.iter().filter_map(Pushed::id).filter_map(JobId::place) {
            let random = &batch.as_bytes()[..BATCH.len()];
            let at = message.windows(BATCH.len()).position(|bytes| bytes == random);
            at.into_iter().for_each(|at| message[at..at + BATCH.len()].copy_from_slice(BATCH));
        }
        let _ = writeln!(self.text, "PUBLISH {CHANNEL} {}", quoted(&message));
    }
}

#[tokio::test]
async fn what_is_published_has_the_golden_form() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let mut observer = fixture.server.connect().await.unwrap();
    observer.command(&["PSUBSCRIBE", "test:wake:*"]).await.unwrap();
    let mut observed = Observed { observer, text: String::new() };
    // The waiter stays registered, then not; one job of a push that finds no other is handed over by the fast path.
    let waiter = registered(store, 2).await;
    push(store, &[plain("single").with_id(id("single"))]).await;
    observed.add(&[]).await;
    let (_, mut claim) = received(&waiter).await.unwrap();
    observed.add(&push(store, &[plain("fast")]).await).await;
    // One of two waiters is notified of a job that was claimed before, and a push hands it over to the other one.
    let _waiters = [registered(store, 2).await, registered(store, 2).await];
    let again = Outcome::Retry { after: Duration::ZERO, error: "no".into() };
    settle(store, &claim.jobs.remove(0), again).await;
    observed.add(&[]).await;
    observed.add(&push(store, &[plain("new")]).await).await;
    // The whole of a batch, then a part of another one.
    let _waiter = registered(store, 3).await;
    observed.add(&push(store, &[plain("a"), plain("b")]).await[..1]).await;
    observed.add(&push(store, &[plain("c"), plain("d")]).await[..1]).await;
    // A few jobs of a large batch, with their records alone.
    while !super::claim(store, 9).await.jobs.is_empty() {}
    let _waiter = registered(store, 2).await;
    let large = (0..9).map(|position| plain(&format!("{position} {}", "x".repeat(240))));
    observed.add(&push(store, &large.collect::<Vec<_>>()).await[..1]).await;
    assert_eq!(observed.text, golden(), "the messages:\n{}", observed.text);
}

/// The waiter reports the message, and continues.
#[tokio::test]
async fn a_message_that_cannot_be_read_is_reported_to_the_waiter() {
    let fixture = fixture().await;
    let waiter = registered(&fixture.store, 2).await;
    let of = async |command: &[&str]| fixture.server.command(command).await.unwrap().as_strings().unwrap().remove(0);
    let channel = of(&["PUBSUB", "CHANNELS", "test:wake:*"]).await;
    let token = fixture.server.command(&["HKEYS", "test:{q.mail.0}:waiters"]).await.unwrap().into_array().remove(0);
    let message = [token.as_bytes().unwrap(), b"h and no jobs"].concat();
    fixture.server.command(&[b"PUBLISH", channel.as_bytes(), &message]).await.unwrap();
    let error = waiter.next(DEADLINE).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("a message that hands jobs over cannot be read"), "{error}");
    push(&fixture.store, &[plain("a")]).await;
    assert_eq!(received(&waiter).await.unwrap().1.jobs.len(), 1);
}

//! The messages for waiters: what is published now is compared with a golden file.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use state_store::StateStore;
use store_core::{ClaimRequest, Error, HolderName, JobId, NewJob, Outcome, Pushed, Queue, Waiter, Wakeup};
use testkit::golden::{quoted, words};
use testkit::{DEADLINE, RedisServer};

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
    register(&waiter, reserve).await;
    waiter
}

async fn register(waiter: &Arc<dyn Waiter>, reserve: usize) {
    let request = ClaimRequest::new(queue(), HolderName::new("waiter").unwrap(), reserve.max(1), LEASE);
    assert!(waiter.claim(&request, reserve).await.unwrap().jobs.is_empty());
}

/// Sends a message to the only registered waiter, and ends its registration if the message says so.
async fn publish(server: &RedisServer, content: &[u8]) {
    const WAITERS: &str = "test:{q.mail.0}:waiters";
    let channels = server.command(&["PUBSUB", "CHANNELS", "test:wake:*"]).await.unwrap();
    let channel = channels.as_strings().unwrap().remove(0);
    let tokens: [_; 1] = server.command(&["HKEYS", WAITERS]).await.unwrap().into_array().try_into().unwrap();
    let token = tokens[0].as_bytes().unwrap();
    if content[0] != b'h' {
        server.command(&[b"HDEL", WAITERS.as_bytes(), token]).await.unwrap();
    }
    server.command(&[b"PUBLISH", channel.as_bytes(), &[token, content].concat()]).await.unwrap();
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

/// The jobs in the golden messages: whether the waiter is still registered, the fence, and for each job its id, attempt, last error,
/// and the beginning of its payload.
const JOBS: [&str; 7] = [
    "true 1700000000000000 | single 1 None single",
    "false 1700000000000001 | 72616e64-6f6d-8061-8062-617463682000 1 None fast",
    "a notification",
    "false 1700000000000002 | single 2 Some(\"no\") single | 72616e64-6f6d-8061-8062-617463682000 1 None new",
    "true 1700000000000003 | 72616e64-6f6d-8061-8062-617463682000 1 None a | 72616e64-6f6d-8061-8062-617463682001 1 None b",
    "false 1700000000000004 | 72616e64-6f6d-8061-8062-617463682000 1 None c",
    "false 1700000000000006 | 72616e64-6f6d-8061-8062-617463682000 1 None 0 xxxx | \
     72616e64-6f6d-8061-8062-617463682001 1 None 1 xxxx",
];

#[tokio::test]
async fn the_golden_messages_are_read() {
    let fixture = fixture().await;
    let waiter = fixture.store.waiter();
    for (line, expected) in golden().lines().zip(JOBS) {
        register(&waiter, 3).await;
        publish(&fixture.server, &words(line)[2][TOKEN.len()..]).await;
        let Some((is_registered, claim)) = received(&waiter).await else {
            assert_eq!("a notification", expected);
            continue;
        };
        let mut read = format!("{is_registered} {}", claim.jobs[0].lease.fence.get());
        for job in &claim.jobs {
            let payload = String::from_utf8_lossy(&job.payload[..job.payload.len().min(6)]);
            let _ = write!(read, " | {} {} {:?} {payload}", job.id(), job.attempt, job.last_error);
            let lease = (job.lease.fence, job.lease.until.as_millis(), job.pushed_at.as_millis());
            assert_eq!(lease, (claim.jobs[0].lease.fence, 1_700_000_030_000, 1_700_000_000_000));
        }
        assert_eq!(read, expected);
    }
    assert_eq!(golden().lines().count(), JOBS.len());
}

/// The waiter reports the message, and continues.
#[tokio::test]
async fn a_message_that_cannot_be_read_is_reported_to_the_waiter() {
    let fixture = fixture().await;
    let waiter = registered(&fixture.store, 2).await;
    publish(&fixture.server, b"h and no jobs").await;
    let error = waiter.next(DEADLINE).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("a message that hands jobs over cannot be read"), "{error}");
    push(&fixture.store, &[plain("a")]).await;
    assert_eq!(received(&waiter).await.unwrap().1.jobs.len(), 1);
}

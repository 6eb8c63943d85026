//! The layout of queues: a golden file with every stored form, and upgrades in two steps.

use std::fmt::Write as _;
use std::time::Duration;

use redis_link::layout::{Aggregate, Layouts};
use redis_link::{Link, LinkConfig, ServerUrl};
use state_store::{StateOptions, StateStore};
use store_core::{
    Backoff, Cancelled, ClaimRequest, Durability, Error, Extension, Fence, HolderName, JobId, JobLease, JobState, Kept,
    NewJob, Outcome, PageRequest, Priority, Pushed, Queue, QueueControl, QueueExt, QueueInspect, QueueName, RequestId,
    RetryPolicy, Settled, Settlement, Timestamp, TraceContext, Unique, UniqueKey, UniqueUntil,
};
use testkit::RedisServer;
use testkit::golden::{dump, load, quoted};

use crate::{Fixture, fixture_with, namespace, service};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// When the fixture begins.
const BEGUN: u64 = 1_700_000_000_000;
const KEYS: &str = "test:*{*}*:*";

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn id(text: &str) -> JobId {
    JobId::new(text).unwrap()
}

/// The job at a position of a batch of the golden file.
fn assigned(batch: u8, position: u8) -> JobId {
    id(&format!("018bcfe5-6800-8000-8000-0000{batch:02x}00{position:04x}"))
}

fn plain(payload: &str) -> NewJob {
    let mut job = NewJob::new(payload.to_owned());
    job.request = 0xa5a5_0001;
    job
}

fn single(name: &str) -> NewJob {
    plain(&format!("payload of {name}")).with_id(id(name))
}

fn unique(key: &str, until: UniqueUntil) -> Unique {
    Unique::new(UniqueKey::new(key).unwrap(), until)
}

/// A claim that can be repeated.
fn request(queue: QueueName, max: usize, number: u8) -> ClaimRequest {
    let mut request = ClaimRequest::new(queue, HolderName::new("worker").unwrap(), max, HOUR);
    request.request = RequestId::from_bytes([number; 16]);
    request
}

async fn claim(store: &StateStore, name: &str, max: usize, number: u8) -> Vec<JobLease> {
    let claimed = store.claim(&request(queue(name), max, number)).await.unwrap();
    claimed.jobs.into_iter().map(|job| job.lease).collect()
}

async fn settle(store: &StateStore, name: &str, lease: JobLease, outcome: Outcome) {
    assert_eq!(store.settle_one(&queue(name), lease, outcome).await.unwrap(), Settled::Done);
}

async fn push(store: &StateStore, name: &str, jobs: &[NewJob]) -> Vec<JobId> {
    let pushed = store.push(&queue(name), jobs, Durability::Accepted).await.unwrap().value;
    pushed.iter().map(|pushed| pushed.id().unwrap().clone()).collect()
}

async fn golden_fixture() -> Fixture {
    fixture_with(StateOptions::default().with_partitions(queue("parts"), 2)).await
}

/// Single jobs in every state, with everything that a record and a state can have.
async fn write_singles(store: &StateStore) {
    let jobs = ["running", "retried", "completed", "dead"].map(single);
    push(store, "singles", &jobs).await;
    let [running, retried, completed, dead] = claim(store, "singles", 4, 1).await.try_into().unwrap();
    let extension = Extension::new(running).with_progress("half");
    store.extend(&queue("singles"), &[extension], HOUR).await.unwrap();
    assert_eq!(store.cancel(&queue("singles"), &id("running")).await.unwrap(), Cancelled::Requested);
    settle(store, "singles", retried, Outcome::Retry { after: MINUTE, error: "no".into() }).await;
    settle(store, "singles", completed, Outcome::Complete(Some(Kept::new("result", HOUR)))).await;
    settle(store, "singles", dead, Outcome::Dead { reason: "never".into() }).await;
    let trace = TraceContext::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    let ready = single("ready")
        .with_priority(Priority::High)
        .with_unique(unique("until finished", UniqueUntil::Finished))
        .with_start_within(HOUR)
        .with_retry(RetryPolicy::new(7, Backoff::Exponential { first: MINUTE, max: HOUR }))
        .with_schema(2)
        .with_trace(trace.with_tracestate("vendor=value"));
    let held = single("held").with_unique(unique("for a time", UniqueUntil::Elapsed(MINUTE)));
    let delayed = single("delayed").with_delay(HOUR).with_unique(unique("until claimed", UniqueUntil::Claimed));
    push(store, "singles", &[ready, held, delayed]).await;
}

/// Batches with leases, with delays, and without. Returns a job of each.
async fn write_batches(store: &StateStore) -> Vec<JobId> {
    let leased: Vec<_> = (0..5).map(|n| plain(&n.to_string()).with_priority(Priority::Critical)).collect();
    let mut ids = vec![push(store, "batches", &leased).await.remove(0)];
    let mut heard = claim(store, "batches", 2, 2).await;
    store.extend(&queue("batches"), &[Extension::new(heard[0].clone())], HOUR).await.unwrap();
    settle(store, "batches", heard.remove(0), Outcome::Complete(None)).await;
    assert_eq!(claim(store, "batches", 2, 3).await.len(), 2);
    let later = |minutes| plain("later").with_delay(MINUTE * minutes);
    for jobs in [vec![plain("a"), plain("b")], vec![later(60), later(60)], vec![later(10), later(20), later(30)]] {
        ids.push(push(store, "batches", &jobs).await.remove(0));
    }
    ids
}

/// Writes one of each form. Returns the dump, with fixed values in the place of random ones.
async fn write(Fixture { server, store, .. }: &Fixture) -> String {
    write_singles(store).await;
    let batches = write_batches(store).await;
    store.pause(&queue("paused")).await.unwrap();
    push(store, "paused", &[single("waits")]).await;
    store.pause(&queue("parts")).await.unwrap();
    store.resume(&queue("parts")).await.unwrap();
    let waiter = store.waiter();
    assert!(waiter.claim(&request(queue("idle"), 3, 4), 2).await.unwrap().jobs.is_empty());
    let mut text = dump(server, KEYS).await.unwrap();
    for (number, job) in batches.iter().enumerate() {
        text = text.replace(&shared(job), &shared(&assigned(number as u8, 0)));
    }
    let token = server.command(&["HKEYS", "test:{q.idle.0}:waiters"]).await.unwrap().into_array().remove(0);
    text = text.replace(&quoted(token.as_bytes().unwrap()), "\"waiter 1\"");
    for random in ["shape\" \"4:1:", "shape\" \"4:2:", "test:wake:", ":call:"] {
        text = with_fixed_digits(&text, random);
    }
    in_order(&text)
}

/// The bytes that all jobs of a batch share, quoted.
fn shared(job: &JobId) -> String {
    quoted(&job.place().unwrap().0.as_bytes()[..15]).trim_matches('"').to_owned()
}

/// The text with zeros in the place of the 16 hexadecimal digits after each `prefix`, except those of the test's own requests.
fn with_fixed_digits(text: &str, prefix: &str) -> String {
    let mut parts = text.split(prefix);
    let mut fixed = parts.next().unwrap().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(16);
        let is_own = (1..5).any(|number| digits == format!("{number:02x}").repeat(8));
        let _ = write!(fixed, "{prefix}{}{rest}", if is_own { digits } else { "0000000000000000" });
    }
    fixed
}

/// The lines sorted by key; those of a list keep their order. Remembered calls without a number are numbered.
fn in_order(text: &str) -> String {
    let key = |line: &str| line.split('"').nth(1).unwrap().to_owned();
    let value = |line: &str| if line.starts_with("RPUSH") { String::new() } else { line.to_owned() };
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_by_key(|line| (key(line), value(line)));
    let mut ordered = String::new();
    for (number, line) in lines.into_iter().enumerate() {
        let _ = writeln!(ordered, "{}", line.replace(":call:0000000000000000", &format!(":call:{number:016x}")));
    }
    ordered
}

fn golden(layout: u8) -> String {
    let path = format!("{}/tests/state/golden/queue.{layout}.redis", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[tokio::test]
async fn what_is_written_of_a_queue_has_the_golden_layout() {
    let written = write(&golden_fixture().await).await;
    let layout = Layouts::default().written(Aggregate::Queue);
    assert_eq!(written, golden(layout), "the queue in layout {layout}:\n{written}");
}

async fn state(store: &StateStore, name: &str, job: &JobId) -> JobState {
    store.get(&queue(name), job).await.unwrap().unwrap().state
}

async fn read_singles(store: &StateStore) {
    let name = "singles";
    let get = async |job: &str| store.get(&queue(name), &id(job)).await.unwrap().unwrap();
    let running = get("running").await;
    assert_eq!((running.state, running.attempts, running.cancel_requested), (JobState::Running, 1, true));
    assert_eq!(running.progress.as_deref(), Some(&b"half"[..]));
    let retried = get("retried").await;
    assert_eq!((retried.state, retried.last_error.as_deref()), (JobState::Scheduled, Some("no")));
    let completed = get("completed").await;
    assert_eq!((completed.state, completed.result.as_deref()), (JobState::Completed, Some(&b"result"[..])));
    assert_eq!(get("dead").await.state, JobState::Dead);
    for (key, holder) in [("until finished", "ready"), ("for a time", "held"), ("until claimed", "delayed")] {
        let rival = plain("rival").with_unique(unique(key, UniqueUntil::Finished));
        assert_eq!(store.push_one(&queue(name), rival).await.unwrap(), Pushed::Held { by: id(holder) });
    }
    let lease = JobLease::new(id("running"), Fence::new(BEGUN * 1000), Timestamp::from_millis(BEGUN).after(HOUR));
    settle(store, name, lease, Outcome::Complete(None)).await;
    let [ready, held] = store.claim(&request(queue(name), 9, 9)).await.unwrap().jobs.try_into().unwrap();
    assert_eq!((ready.id(), ready.schema, ready.retry.max_attempts), (&id("ready"), 2, 7));
    assert_eq!(ready.trace.unwrap().tracestate(), Some("vendor=value"));
    assert_eq!((held.id(), &held.payload[..]), (&id("held"), &b"payload of held"[..]));
    settle(store, name, ready.lease, Outcome::Complete(None)).await;
    settle(store, name, held.lease, Outcome::Retry { after: MINUTE, error: "once".into() }).await;
    let due = store.list(&queue(name), JobState::Scheduled, PageRequest::default()).await.unwrap().items;
    assert_eq!(due.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["held", "retried", "delayed"]);
}

async fn read_batches(Fixture { store, clock, .. }: &Fixture) {
    let name = "batches";
    let counts = store.counts(&queue(name)).await.unwrap();
    assert_eq!((counts.ready, counts.scheduled, counts.running), (3, 5, 3));
    assert_eq!(state(store, name, &assigned(1, 1)).await, JobState::Ready);
    assert_eq!(state(store, name, &assigned(3, 2)).await, JobState::Scheduled);
    assert_eq!(store.get(&queue(name), &assigned(0, 0)).await.unwrap(), None, "it was completed");
    // The second claim is remembered.
    let repeated = request(queue(name), 2, 3).repeated();
    let leases: Vec<_> = store.claim(&repeated).await.unwrap().jobs.into_iter().map(|job| job.lease).collect();
    let ids: Vec<_> = leases.iter().map(|lease| lease.job.clone()).collect();
    assert_eq!(ids, [assigned(0, 2), assigned(0, 3)]);
    let first = JobLease::new(assigned(0, 1), Fence::new(BEGUN * 1000), Timestamp::from_millis(BEGUN).after(HOUR));
    let settlements: Vec<_> =
        leases.into_iter().chain([first]).map(|lease| Settlement::new(lease, Outcome::Complete(None))).collect();
    let settled = store.settle(&queue(name), &settlements, Durability::Accepted).await.unwrap().value;
    assert_eq!(settled, [Settled::Done; 3]);
    let claimed = async |number| claim(store, name, 9, number).await.into_iter().map(|lease| lease.job);
    assert!(claimed(10).await.eq([assigned(0, 4), assigned(1, 0), assigned(1, 1)]));
    clock.advance(MINUTE * 30);
    assert!(claimed(11).await.eq([assigned(3, 0), assigned(3, 1), assigned(3, 2)]));
}

#[tokio::test]
async fn each_golden_layout_of_a_queue_is_read() {
    for layout in Layouts::default().readable(Aggregate::Queue) {
        let fixture = golden_fixture().await;
        let Fixture { server, store, .. } = &fixture;
        load(server, &golden(layout)).await.unwrap();
        read_singles(store).await;
        assert!(store.claim(&request(queue("paused"), 1, 12)).await.unwrap().paused);
        store.resume(&queue("paused")).await.unwrap();
        assert_eq!(claim(store, "paused", 1, 13).await[0].job, id("waits"));
        // Nobody listens on the channel of the waiter that is registered.
        push(store, "idle", &[plain("a")]).await;
        let waiters = server.command(&["EXISTS", "test:{q.idle.0}:waiters"]).await.unwrap();
        assert_eq!((waiters.as_integer(), store.counts(&queue("idle")).await.unwrap().ready), (Some(0), 1));
        assert_eq!(store.counts(&queue("parts")).await.unwrap().pending(), 0);
        let options = StateOptions::default().with_partitions(queue("parts"), 3);
        let error = crate::open(&server.url(None), options).await.unwrap().counts(&queue("parts")).await.unwrap_err();
        assert!(error.to_string().contains("2 partitions"), "{error}");
        read_batches(&fixture).await;
    }
}

/// A store of a version that reads also the next layout of queues.
async fn next_version(server: &RedisServer, options: StateOptions) -> StateStore {
    let link =
        Link::connect(LinkConfig::new(ServerUrl::parse(&server.url(None)).unwrap(), "tests:next")).await.unwrap();
    let link = link.with_layouts(Layouts::default().with(Aggregate::Queue, 4, 5));
    StateStore::open(link, namespace(), service(), options).await.unwrap()
}

#[tokio::test]
async fn a_queue_keeps_its_layout_and_a_new_one_has_the_newest() {
    let server = RedisServer::state().start().await.unwrap();
    let layout = async |name: &str| {
        let shape = server.command(&["HGET", &format!("test:{{q.{name}.0}}:meta"), "shape"]).await.unwrap();
        shape.as_str().unwrap().split(':').next().unwrap().to_owned()
    };
    let old = crate::open(&server.url(None), StateOptions::default()).await.unwrap();
    push(&old, "old", &[plain("a")]).await;
    let next = next_version(&server, StateOptions::default()).await;
    push(&next, "between", &[plain("a")]).await;
    assert_eq!(layout("between").await, "4", "it writes the old layout until it is told otherwise");
    push(&old, "between", &[plain("b")]).await;

    let told = next_version(&server, StateOptions::default().with_newest_layouts(true)).await;
    for name in ["old", "between", "new"] {
        push(&told, name, &[plain("c")]).await;
    }
    assert_eq!(
        (layout("old").await, layout("between").await, layout("new").await),
        ("4".into(), "4".into(), "5".into())
    );
    push(&next, "new", &[plain("d")]).await;

    // A process that is left of the old version serves the old queues, and changes nothing of the new one.
    push(&old, "old", &[plain("e")]).await;
    let before = dump(&server, "test:{q.new.0}:*").await.unwrap();
    let refusals = [
        old.push_one(&queue("new"), plain("f")).await.map(drop),
        old.claim(&request(queue("new"), 1, 1)).await.map(drop),
        old.counts(&queue("new")).await.map(drop),
        crate::open(&server.url(None), StateOptions::default()).await.map(drop),
    ];
    for error in refusals.map(Result::unwrap_err) {
        let text = "queue data has layout 5, and this process reads layout 4; ";
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains(text), "{error}");
    }
    assert_eq!(dump(&server, "test:{q.new.0}:*").await.unwrap(), before);
}

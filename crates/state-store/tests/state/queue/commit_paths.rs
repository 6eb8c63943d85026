//! The fast path of a commit writes what the slow path writes.

use std::collections::BTreeMap;
use std::time::Duration;

use store_core::{
    Commit, Durability, Extension, Fence, Home, Homes, NewJob, NewRun, Outcome, Priority, Queue, QueueName, RequestId,
    RunEvent, RunId, RunState, RunWrite, SaveRequest, StepAttempt, StepName, StreamName, Ttl, Unique, UniqueKey,
    UniqueUntil, WorkflowRun,
};
use testkit::Value;

use super::LEASE;
use super::crashes::{Fixture, fixture, push, unique};

const ACCEPTED: Durability = Durability::Accepted;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Path {
    Fast,
    Slow,
}

/// What a key holds, in a form that can be compared and shown, and how long it lasts (ms).
type Stored = BTreeMap<String, (Vec<String>, i64)>;

#[tokio::test]
async fn the_fast_path_writes_what_the_slow_path_writes() {
    let (fast_calls, fast) = play(Path::Fast).await;
    let (slow_calls, slow) = play(Path::Slow).await;
    assert!(fast_calls.iter().zip(&slow_calls).all(|(fast, slow)| fast < slow), "{fast_calls:?} {slow_calls:?}");
    assert_eq!(fast.keys().collect::<Vec<_>>(), slow.keys().collect::<Vec<_>>());
    for (key, (content, ttl)) in &fast {
        let (expected, slow_ttl) = &slow[key];
        assert_eq!(content, expected, "{key}");
        assert!((ttl - slow_ttl).abs() < 30_000, "{key} lasts {ttl} ms, and by the slow path {slow_ttl} ms");
    }
}

/// Commits on a server of its own, whose clock is set. Returns how many commands each has called, and what is stored.
async fn play(path: Path) -> (Vec<u64>, Stored) {
    let fixture = fixture().await;
    // Loads the scripts.
    commit_all(&fixture, &QueueName::new("rehearsal").unwrap(), Path::Fast).await;
    let queue = QueueName::new("pages").unwrap();
    let calls = commit_all(&fixture, &queue, path).await;
    (calls, stored(&fixture, &queue).await)
}

/// A chain of commits: each ends a job that the one before it has pushed.
async fn commit_all(fixture: &Fixture, queue: &QueueName, path: Path) -> Vec<u64> {
    let home = fixture.store.home(queue, &UniqueKey::new("key of first").unwrap());
    push(&fixture.store, queue, &[unique("first", UniqueUntil::Finished)]).await.unwrap();
    let new = NewRun::new(run_id(), "importer".try_into().unwrap()).with_request(RequestId::from_bytes([0; 16]));
    assert!(home.runs().create(&new, ACCEPTED).await.unwrap().value.done().is_some());
    let mut calls = Vec::new();
    for number in 1..=4 {
        let job = fixture.claim(queue, 1).await.unwrap().remove(0);
        // The extension shows that the worker has received the job.
        fixture.store.extend(queue, &[Extension::new(job.lease.clone())], LEASE).await.unwrap();
        let commit = Commit::new(job.lease, Outcome::Complete(None)).with_request(RequestId::from_bytes([number; 16]));
        let commit = with_parts(number, commit, &*home).await;
        if path == Path::Slow {
            // As after a script that was interrupted.
            fixture.server.command(&["HSET", &format!("test:{{q.{queue}.0}}:meta"), "moving", ""]).await.unwrap();
        }
        let before = fixture.server.commands_processed().await.unwrap();
        let committed = home.commit(&commit, ACCEPTED).await.unwrap().value;
        calls.push(fixture.server.commands_processed().await.unwrap() - before);
        assert!(committed.clone().done().is_some(), "commit {number}: {committed:?}");
        fixture.clock.advance(Duration::from_millis(1));
    }
    calls
}

fn run_id() -> RunId {
    RunId::new("import").unwrap()
}

/// The commit with this number.
async fn with_parts(number: u8, commit: Commit, home: &dyn Home) -> Commit {
    let job = |payload: &'static str| NewJob::new(payload);
    let keyed = |payload, key, until| job(payload).with_unique(Unique::new(UniqueKey::new(key).unwrap(), until));
    let version = home.runs().get(&run_id()).await.unwrap().unwrap().version;
    let stream = StreamName::new("orders").unwrap();
    let token = home.resume_tokens().load(&stream).await.unwrap().map(|token| token.info.version);
    let save = SaveRequest::new(stream, format!("page {number}"), Fence::new(u64::from(number)), token);
    let write = RunWrite::new(run_id()).with_event(RunEvent::new("page", "1")).with_event(RunEvent::new("page", ""));
    match number {
        1 => commit.with_job(job("2")),
        2 => {
            let attempt = begun(home, WorkflowRun::named("import").unwrap()).await;
            let next = keyed("3", "key of first", UniqueUntil::Finished);
            let write = write.to(RunState::InProgress, version).with_output("half").with_fence(Fence::new(3));
            commit.with_job(next).with_step(attempt, "paid").with_run(write).with_token(save)
        }
        3 => {
            let attempt = begun(home, WorkflowRun::temporal("default", "import", "1").unwrap()).await;
            // The run lasts longer already.
            let attempt = attempt.with_ttl(Ttl::from_secs(60));
            commit
                .with_job(keyed("4", "key of first", UniqueUntil::Finished))
                .with_job(keyed("urgent", "other", UniqueUntil::Claimed).with_priority(Priority::Critical))
                .with_job(job("later").with_delay(Duration::from_secs(60)))
                .with_step(attempt, "")
                .with_run(write.at_sequence(4))
                .with_token(save.with_ttl(Ttl::from_secs(600)))
        }
        _ => commit.with_run(write.to(RunState::Completed, version).with_error("late")).with_token(save),
    }
}

async fn begun(home: &dyn Home, run: WorkflowRun) -> StepAttempt {
    let attempt = StepAttempt::new(run, StepName::new("charge").unwrap(), Fence::new(7));
    assert!(home.steps().begin(&attempt, ACCEPTED).await.unwrap().value.is_started());
    attempt
}

/// All keys of the home, with the remembered commits, but without remembered pushes and claims.
async fn stored(fixture: &Fixture, queue: &QueueName) -> Stored {
    let tag = format!("{{q.{queue}.0}}:");
    let keys = fixture.server.command(&["KEYS", &format!("*{tag}*")]).await.unwrap().as_strings().unwrap();
    let commits = (1..=4).map(|number: u8| format!("call:{}", format!("{number:02x}").repeat(8)));
    let commits: Vec<_> = commits.collect();
    let mut all = Stored::new();
    for key in keys {
        if key.contains(":call:") && !commits.iter().any(|call| key.ends_with(call)) {
            continue;
        }
        let kind = fixture.server.command(&["TYPE", &key]).await.unwrap();
        let value = match kind.as_str() {
            Some("string") => fixture.server.command(&["GET", &key]).await,
            Some("hash") => fixture.server.command(&["HGETALL", &key]).await,
            Some("list") => fixture.server.command(&["LRANGE", &key, "0", "-1"]).await,
            _ => fixture.server.command(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]).await,
        };
        let ttl = fixture.server.command(&["PTTL", &key]).await.unwrap().as_integer().unwrap();
        all.insert(key.replace(&tag, ""), (shown(value.unwrap()), ttl));
    }
    all
}

/// The texts of a value; those of a hash in their order. The shape of a queue is random.
fn shown(value: Value) -> Vec<String> {
    let text = |value: &Value| value.as_bytes().unwrap().escape_ascii().to_string();
    let Value::Array(texts) = &value else { return vec![text(&value)] };
    let mut pairs: Vec<_> = texts.chunks(2).map(|pair| pair.iter().map(text).collect::<Vec<_>>().join(": ")).collect();
    pairs.retain(|pair| !pair.starts_with("shape: "));
    pairs.sort();
    pairs
}

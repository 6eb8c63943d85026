//! A full disk: additions are refused, a drain continues, and additions are accepted when there is room again.
//!
//! The disk is a limit on the size of the child's files (`ulimit -f`), which needs no rights: growth beyond it fails as
//! on a full disk, with `EFBIG`.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use embedded_store::{CacheOptions, EmbeddedCache, EmbeddedState, StateOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use store_core::{
    AgentName, Commit, Durability, Error, Fence, Homes, Kept, KeyValueExt, NewJob, NewRun, Outcome, Queue, QueueExt,
    QueueInspect, Retries, RetryPolicy, RetryRequest, RunEvent, RunId, RunOutcome, RunState, RunWrite, Runs, Schedule,
    ScheduleName, Schedules, SessionId, SessionSave, Sessions, Settled, StepAttempt, StepName, Steps, Ttl, UniqueKey,
    WorkflowRun,
};

use crate::{PATIENCE, claim, key, queue, service};

/// The child's directory. Set only by the tests that start it.
const DIRECTORY: &str = "EMBEDDED_STORE_TEST_FULL_DISK";

/// Runs a test of this file in a process whose files cannot be larger than this many KiB at first.
fn in_a_child(test: &str, directory: &Path, kib: u64) {
    // A shell sets the limit, and ignores the signal that would end the process.
    let script = format!("trap '' XFSZ; ulimit -S -f {} || exit 3; exec \"$@\"", kib * 2);
    let status = Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("full_disk::{test}"), "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .status()
        .unwrap();
    assert!(status.success(), "{test}: {status}");
}

fn limit_files_to(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
}

fn open(directory: &Path) -> EmbeddedState {
    EmbeddedState::open(directory.join("state.redb"), service("orders"), StateOptions::default()).unwrap()
}

async fn push(store: &EmbeddedState) -> Result<(), Error> {
    push_bytes(store, 2000).await
}

async fn push_bytes(store: &EmbeddedState, bytes: usize) -> Result<(), Error> {
    store.push(&queue("mail"), &[NewJob::new(vec![7; bytes])], Durability::Accepted).await.map(drop)
}

/// Pushes until there is no room. Returns how many were acknowledged.
async fn fill(store: &EmbeddedState) -> u64 {
    fill_with(store, 2000).await
}

async fn fill_with(store: &EmbeddedState, bytes: usize) -> u64 {
    for pushed in 0.. {
        match push_bytes(store, bytes).await {
            Ok(()) => {}
            Err(Error::Limit { retry_after: Some(_), .. }) => return pushed,
            Err(error) => panic!("no room, and not {error:?}"),
        }
    }
    unreachable!("a loop without end")
}

async fn drain(store: &EmbeddedState, max: usize, outcome: Outcome) -> u64 {
    let mut done = 0;
    while done < max as u64 {
        let jobs = claim(store, "mail", 20).await.jobs;
        if jobs.is_empty() {
            break;
        }
        for job in jobs {
            assert_eq!(job.payload, vec![7; 2000]);
            let settled = store.settle_one(&queue("mail"), job.lease, outcome.clone()).await.unwrap();
            assert_eq!(settled, Settled::Done);
            done += 1;
        }
    }
    done
}

#[tokio::test]
async fn child_that_fills_drains_and_is_given_room() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let store = open(directory);
    let pushed = fill(&store).await;
    assert!(pushed > 200, "{pushed}");
    assert_eq!(store.counts(&queue("mail")).await.unwrap().ready, pushed, "acknowledged jobs are kept");
    // It stays full, and further attempts break nothing.
    for _ in 0..20 {
        assert!(matches!(push(&store).await, Err(Error::Limit { .. })));
    }
    assert_eq!(drain(&store, 50, Outcome::Complete(None)).await, 60);
    // More room: additions are accepted without a restart.
    limit_files_to(None);
    for _ in 0..500 {
        push(&store).await.unwrap();
    }
    // And full again.
    let len = std::fs::metadata(directory.join("state.redb")).unwrap().len();
    limit_files_to(Some(len));
    let more = fill(&store).await;
    let ready = store.counts(&queue("mail")).await.unwrap().ready;
    assert_eq!(ready, pushed - 60 + 500 + more);
    assert_eq!(drain(&store, usize::MAX, Outcome::Complete(None)).await, ready);
    // The file has room inside.
    push(&store).await.unwrap();
}

#[test]
fn a_full_disk_refuses_additions_and_accepts_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    in_a_child("child_that_fills_drains_and_is_given_room", directory.path(), 6 << 10);
}

#[tokio::test]
async fn child_that_fills_and_dies() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = open(Path::new(&directory));
    let pushed = fill(&store).await;
    std::fs::write(Path::new(&directory).join("pushed"), pushed.to_string()).unwrap();
    std::io::stdout().flush().unwrap();
    if Path::new(&directory).join("crash").exists() {
        std::process::exit(0);
    }
}

#[tokio::test]
async fn child_that_drains_what_it_finds() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let pushed: u64 = std::fs::read_to_string(directory.join("pushed")).unwrap().parse().unwrap();
    let store = open(directory);
    assert_eq!(store.counts(&queue("mail")).await.unwrap().ready, pushed);
    // Retention must not fill the room that they leave.
    let kept = Outcome::Complete(Some(Kept::new(vec![7; 2000], Duration::from_secs(86_400))));
    assert_eq!(drain(&store, usize::MAX, kept).await, pushed);
    assert!(store.counts(&queue("mail")).await.unwrap().completed > 0);
    push(&store).await.unwrap();
}

#[test]
fn a_store_that_is_opened_on_a_full_disk_can_be_drained() {
    for crashes in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        if crashes {
            std::fs::write(directory.path().join("crash"), "").unwrap();
        }
        in_a_child("child_that_fills_and_dies", directory.path(), 6 << 10);
        in_a_child("child_that_drains_what_it_finds", directory.path(), 6 << 10);
    }
}

#[tokio::test]
async fn child_that_fills_drains_and_dies() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = open(Path::new(&directory));
    let pushed = fill(&store).await;
    assert_eq!(drain(&store, usize::MAX, Outcome::Complete(None)).await, pushed);
    // A close would truncate the file.
    std::process::exit(0);
}

#[tokio::test]
async fn child_that_fills_it_again() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = open(Path::new(&directory));
    let pushed = fill(&store).await;
    assert!(pushed > 200, "{pushed}");
    assert_eq!(drain(&store, usize::MAX, Outcome::Complete(None)).await, pushed, "the reserve is left for the drain");
    std::process::exit(0);
}

/// The drained jobs have left room inside the file; the rest of the disk stays full.
#[test]
fn a_drained_store_of_a_process_that_died_uses_the_room_in_its_file() {
    let directory = tempfile::tempdir().unwrap();
    in_a_child("child_that_fills_drains_and_dies", directory.path(), 6 << 10);
    for _ in 0..3 {
        in_a_child("child_that_fills_it_again", directory.path(), 6 << 10);
    }
}

fn assert_full<T: std::fmt::Debug>(answer: Result<T, Error>) {
    assert!(matches!(answer, Err(Error::Limit { retry_after: Some(_), .. })), "{answer:?}");
}

fn run(id: &str) -> NewRun {
    NewRun::new(RunId::new(id).unwrap(), AgentName::new("writer").unwrap())
}

fn step(number: usize) -> StepAttempt {
    let run = WorkflowRun::named("report").unwrap();
    StepAttempt::new(run, StepName::new(format!("step-{number}")).unwrap(), Fence::new(1))
}

const ACCEPTED: Durability = Durability::Accepted;

#[tokio::test]
async fn child_that_adds_in_each_way() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (store, mail) = (open(Path::new(&directory)), queue("mail"));
    let name = ScheduleName::new("hourly").unwrap();
    let schedule = Schedule::every(Duration::from_secs(3600), NewJob::new("send")).unwrap();
    let _ = Schedules::put(&store, &mail, &name, &schedule, None, ACCEPTED).await.unwrap();
    let created = Runs::create(&store, &run("first"), ACCEPTED).await.unwrap().value.done().unwrap();
    for number in 0..10 {
        let _ = Steps::begin(&store, &step(number), ACCEPTED).await.unwrap();
    }
    fill_with(&store, 50_000).await;

    let due = &store.due(&mail, 1).await.unwrap();
    let advance = due.schedules[0].plan(due.now.after(Duration::from_secs(7200)));
    assert_full(store.advance(&mail, &advance, ACCEPTED).await);
    let other = ScheduleName::new("daily").unwrap();
    assert_full(Schedules::put(&store, &mail, &other, &schedule, None, ACCEPTED).await);
    assert_full(Runs::create(&store, &run("second"), ACCEPTED).await);
    let write = RunWrite::new(created.run.clone());
    assert_full(Runs::write(&store, &write.clone().with_event(RunEvent::new("token", "text")), ACCEPTED).await);
    let session = SessionSave::new(SessionId::new("session").unwrap(), AgentName::new("writer").unwrap(), "state");
    assert_full(Sessions::save(&store, &session, ACCEPTED).await);
    assert_full(Steps::begin(&store, &step(10), ACCEPTED).await);
    assert_full(Steps::sleep(&store, &step(11), Duration::from_secs(60), ACCEPTED).await);
    let request = RetryRequest::new(key("mail"), RetryPolicy::default());
    assert_full(Retries::begin(&store, &request, ACCEPTED).await);
    let [first, second] = <[_; 2]>::try_from(claim(&store, "mail", 2).await.jobs).unwrap();
    let home = store.home(&mail, &UniqueKey::new("order").unwrap());
    let commit = Commit::new(first.lease, Outcome::Complete(None));
    assert_full(home.commit(&commit.clone().with_job(NewJob::new("next")), ACCEPTED).await);

    // What ends something continues.
    let _ = home.commit(&commit, ACCEPTED).await.unwrap().value.done().unwrap();
    let end = write.to(RunState::Cancelled, created.version);
    assert!(matches!(Runs::write(&store, &end, ACCEPTED).await.unwrap().value, RunOutcome::Done(_)));
    assert!(Steps::fail(&store, &step(0), "no", ACCEPTED).await.unwrap().value);
    assert_eq!(store.settle_one(&mail, second.lease, Outcome::Complete(None)).await.unwrap(), Settled::Done);
}

#[test]
fn a_full_disk_refuses_each_operation_that_adds() {
    let directory = tempfile::tempdir().unwrap();
    in_a_child("child_that_adds_in_each_way", directory.path(), 6 << 10);
}

#[tokio::test]
async fn child_that_writes_more_than_the_reserve() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = open(Path::new(&directory));
    for number in 0..900 {
        let _ = Steps::begin(&store, &step(number), ACCEPTED).await.unwrap();
    }
    fill_with(&store, 50_000).await;
    // All wait at once, so that a commit that fails follows one that has succeeded.
    let mut ended = tokio::task::JoinSet::new();
    for number in 0..900 {
        let store = store.clone();
        ended.spawn(async move {
            Steps::finish(&store, &step(number), &vec![7; number * 97 % 8000].into(), ACCEPTED).await
        });
    }
    let (mut done, mut refused) = (0, 0);
    while let Some(ended) = ended.join_next().await {
        match ended.unwrap() {
            Ok(_) => done += 1,
            Err(Error::Limit { .. }) => refused += 1,
            Err(error) => panic!("it was not executed: {error:?}"),
        }
    }
    assert!(done > 0 && refused > 0, "{done} were done, {refused} refused");
}

#[test]
fn an_operation_that_exceeds_the_reserve_is_refused_also_after_others() {
    let directory = tempfile::tempdir().unwrap();
    in_a_child("child_that_writes_more_than_the_reserve", directory.path(), 6 << 10);
}

#[tokio::test]
async fn child_that_caches_more_than_fits() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let file = Path::new(&directory).join("cache.redb");
    let cache = EmbeddedCache::open(file, service("a"), CacheOptions::default()).unwrap();
    for number in 0..2000_u32 {
        let ttl = Ttl::from_secs(60 + number);
        let set = cache.set(key(&number.to_string()), vec![7; 10_000].into(), ttl);
        tokio::time::timeout(PATIENCE, set).await.expect("in time").unwrap();
    }
    assert!(cache.get(&key("1999")).await.unwrap().is_some());
    assert!(cache.get(&key("0")).await.unwrap().is_none());
}

#[test]
fn a_cache_on_a_full_disk_evicts_the_entries_that_expire_soonest() {
    let directory = tempfile::tempdir().unwrap();
    in_a_child("child_that_caches_more_than_fits", directory.path(), 6 << 10);
}

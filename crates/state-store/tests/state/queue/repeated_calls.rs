//! Calls that the link repeats while workers complete and discard the jobs: a push adds its jobs once, and a settlement is
//! answered as it was carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis_link::{Link, LinkConfig, ServerUrl};
use state_store::{StateOptions, StateStore};
use store_core::{
    Cancelled, ClaimRequest, ClaimedJob, Deleted, Durability, Error, HolderName, JobState, NewJob, Outcome,
    PageRequest, Pushed, Queue, QueueControl, QueueExt, QueueInspect, Result, Settled, Unique, UniqueKey, UniqueUntil,
};
use testkit::{DEADLINE, FaultProxy, RedisServer, mentions, wait_until};
use tokio::task::JoinHandle;

use super::{LEASE, claim_one, job, push, queue, settle};
use crate::{namespace, open, service};

const CALLS: usize = 200;
const TIMEOUT: Duration = Duration::from_millis(200);

/// How long the server is stopped, in ms: about each time-out of a call, between them, and longer than all of them.
const STOPS: [u64; 12] = [150, 190, 195, 200, 205, 215, 240, 300, 420, 460, 900, 2500];

/// Stops that are longer than the first attempt of a call, and shorter than all of its attempts: a call that is answered was repeated.
const REPEATED: std::ops::RangeInclusive<u64> = 240..=460;

/// At least half of the calls of such a stop are answered.
fn assert_repeated(stop: u64, answered: usize) {
    assert!(!REPEATED.contains(&stop) || answered >= CALLS / 2, "{answered} calls are answered after {stop} ms");
}

/// A link whose calls end early.
async fn impatient(url: &str) -> Link {
    let config = LinkConfig::new(ServerUrl::parse(url).unwrap(), "tests:state");
    Link::connect(config.with_command_timeout(TIMEOUT)).await.unwrap()
}

async fn on(link: &Link) -> StateStore {
    StateStore::open(link.clone(), namespace(), service(), StateOptions::default()).await.unwrap()
}

async fn direct(server: &RedisServer) -> StateStore {
    open(&server.url(None), StateOptions::default()).await.unwrap()
}

async fn claim_some(store: &StateStore, lease: Duration) -> Vec<ClaimedJob> {
    let worker = HolderName::new("worker").unwrap();
    store.claim(&ClaimRequest::new(queue(), worker, 100, lease)).await.unwrap().jobs
}

/// How often each job was completed, by its payload.
type Runs = Arc<Mutex<BTreeMap<String, u32>>>;

/// A worker that completes and discards all jobs at once, until it is aborted.
fn worker(store: StateStore) -> (JoinHandle<()>, Runs) {
    let runs = Runs::default();
    let counted = Arc::clone(&runs);
    let working = tokio::spawn(async move {
        loop {
            let jobs = claim_some(&store, LEASE).await;
            for job in &jobs {
                let done = store.settle_one(&queue(), job.lease.clone(), Outcome::Complete(None)).await.unwrap();
                assert_eq!(done, Settled::Done);
                let name = String::from_utf8(job.payload.to_vec()).unwrap();
                *counted.lock().unwrap().entry(name).or_default() += 1;
            }
            tokio::task::yield_now().await;
        }
    });
    (working, runs)
}

/// Begins calls while the server is stopped for so long, and returns their answers.
async fn while_stopped<T: Send + 'static>(
    server: &RedisServer,
    stop: u64,
    begin: impl FnOnce() -> Vec<JoinHandle<T>>,
) -> Vec<T> {
    server.pause().unwrap();
    let mut calls = begin();
    let all = async {
        let mut answers = Vec::new();
        for call in &mut calls {
            answers.push(call.await.unwrap());
        }
        answers
    };
    let mut all = std::pin::pin!(all);
    let early = tokio::time::timeout(Duration::from_millis(stop), &mut all).await;
    server.resume().unwrap();
    match early {
        Ok(answers) => answers,
        Err(_) => all.await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_pushes_that_are_repeated_run_once_although_they_are_discarded_meanwhile() {
    let server = RedisServer::state().start().await.unwrap();
    let link = impatient(&server.url(None)).await;
    // Pushes of one store are coalesced.
    let mut stores = Vec::new();
    for _ in 0..CALLS {
        stores.push(on(&link).await);
    }
    for store in &stores {
        push(store, &[NewJob::new("rehearsal")]).await;
    }
    let store = direct(&server).await;
    let (working, runs) = worker(store.clone());
    for stop in STOPS {
        let pushing = || {
            let push = |(number, store): (usize, &StateStore)| {
                let (store, name) = (store.clone(), format!("{stop}-{number}"));
                let job = if number % 2 == 0 { NewJob::new(name) } else { job(&name) };
                tokio::spawn(async move { (job.payload.clone(), store.push_one(&queue(), job).await.map(drop)) })
            };
            stores.iter().enumerate().map(push).collect()
        };
        let answers = while_stopped(&server, stop, pushing).await;
        wait_until("all jobs are completed", DEADLINE, async || {
            store.counts(&queue()).await.unwrap().pending() == 0
                // Late copies come on the connections of the link before this.
                && store.get(&queue(), &super::id("none")).await.is_ok_and(|job| job.is_none())
        })
        .await;
        assert_repeated(stop, answers.iter().filter(|(_, answer)| answer.is_ok()).count());
        let runs = runs.lock().unwrap();
        for (payload, answer) in answers {
            let name = String::from_utf8(payload.to_vec()).unwrap();
            let count = runs.get(&name).copied().unwrap_or(0);
            match answer {
                Ok(()) => assert_eq!(count, 1, "{name} after a stop of {stop} ms"),
                Err(Error::Indeterminate { .. }) => assert!(count <= 1, "{name} ran {count} times"),
                Err(error) => assert_eq!(count, 0, "{name}: {error}"),
            }
        }
        assert!(runs.values().filter(|count| **count > 1).count() <= 1, "only the rehearsal has several jobs");
    }
    working.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settlement_that_is_repeated_is_lost_only_if_it_did_not_count() {
    let server = RedisServer::state().start().await.unwrap();
    let link = impatient(&server.url(None)).await;
    let (holder, store) = (on(&link).await, direct(&server).await);
    push(&holder, &[NewJob::new("rehearsal")]).await;
    let rehearsal = claim_one(&holder).await;
    settle(&holder, &rehearsal, Outcome::Complete(None)).await;
    for stop in STOPS {
        for first in (0..CALLS).step_by(40) {
            // Batches, and single jobs.
            let jobs = (first..first + 40).map(|number| format!("{stop}-{number}"));
            let jobs: Vec<_> = jobs.map(|name| if first % 80 == 0 { NewJob::new(name) } else { job(&name) }).collect();
            push(&store, &jobs).await;
        }
        // The leases end about when the first time-out does.
        let (mut leased, lease) = (Vec::new(), Duration::from_millis(300));
        while leased.len() < CALLS {
            leased.extend(claim_some(&store, lease).await);
        }
        let settling = || {
            let settle = |job: ClaimedJob| {
                let holder = holder.clone();
                let lease = job.lease.clone();
                tokio::spawn(async move { (job, holder.settle_one(&queue(), lease, Outcome::Complete(None)).await) })
            };
            leased.into_iter().map(settle).collect()
        };
        let answers: Vec<(ClaimedJob, Result<Settled>)> = while_stopped(&server, stop, settling).await;
        assert_repeated(stop, answers.iter().filter(|(_, answer)| answer.is_ok()).count());
        // All that was lost is completed and discarded by another worker.
        let mut again = BTreeSet::new();
        wait_until("all jobs are completed", DEADLINE, async || {
            for job in claim_some(&store, LEASE).await {
                settle(&store, &job, Outcome::Complete(None)).await;
                assert!(again.insert(job.payload.clone()), "{job:?} is completed twice");
            }
            store.counts(&queue()).await.unwrap().pending() == 0
        })
        .await;
        for (job, answer) in &answers {
            match answer {
                Ok(Settled::Done) => assert!(!again.contains(&job.payload), "{job:?} was done, and ran again"),
                Ok(Settled::Unknown) => {}
                Ok(_) => assert!(again.contains(&job.payload), "{job:?} was lost, and its settlement counted"),
                Err(Error::Indeterminate { .. } | Error::Unavailable { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        // Its holder learns later that the job is not its own any more.
        for (job, _) in answers.iter().filter(|(job, _)| again.contains(&job.payload)) {
            assert_eq!(settle(&store, job, Outcome::Complete(None)).await, Settled::Lost);
        }
    }
}

/// A proxy that cuts the connection after a request, and refuses new ones until `meanwhile` has ended: the link repeats the
/// request behind it.
async fn cut_and_refuse(proxy: &FaultProxy, fired: usize, meanwhile: impl AsyncFnOnce()) {
    proxy.wait_fired(fired).await;
    proxy.reset().await;
    meanwhile().await;
    proxy.pass().await;
}

async fn patient_through(server: &RedisServer, proxy: &FaultProxy) -> StateStore {
    let config = LinkConfig::new(ServerUrl::parse(&server.url_through(proxy, None)).unwrap(), "tests:state");
    let link = Link::connect(config.with_command_timeout(Duration::from_secs(2)).with_max_retries(20)).await.unwrap();
    let store = on(&link).await;
    // The scripts are loaded: a cut must hit their execution.
    push(&store, &[job("rehearsal")]).await;
    let rehearsal = claim_one(&store).await;
    settle(&store, &rehearsal, Outcome::Complete(None)).await;
    store
}

/// Ends all jobs of the queue, each in one way. Returns how many.
async fn end_all(store: &StateStore, way: &str) -> usize {
    let queue = queue();
    if way == "cancelled" {
        let mut waiting = Vec::new();
        for state in [JobState::Ready, JobState::Scheduled] {
            waiting.extend(store.list(&queue, state, PageRequest::default()).await.unwrap().items);
        }
        for job in &waiting {
            assert_eq!(store.cancel(&queue, &job.id).await.unwrap(), Cancelled::Removed);
        }
        return waiting.len();
    }
    let claimed = claim_some(store, LEASE).await;
    for job in &claimed {
        if way == "deleted" {
            settle(store, job, Outcome::Dead { reason: "no".into() }).await;
            assert_eq!(store.delete(&queue, std::slice::from_ref(&job.lease.job)).await.unwrap(), [Deleted::Deleted]);
        } else {
            settle(store, job, Outcome::Complete(None)).await;
        }
    }
    claimed.len()
}

/// Jobs that end in one way while the push of each kind of job waits before its repetition.
async fn ends_within_the_pause(way: &str) {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let (store, direct) = (patient_through(&server, &proxy).await, direct(&server).await);
    let delayed = NewJob::new(format!("{way} scheduled")).with_delay(Duration::from_millis(1));
    let batch = (0..5).map(|_| NewJob::new(format!("{way} batch"))).collect();
    let kinds = [vec![NewJob::new(format!("{way} single"))], vec![job(way)], batch, vec![delayed]];
    for (round, jobs) in kinds.iter().enumerate() {
        proxy.cut_after_request(mentions(&jobs[0].payload));
        let meanwhile = cut_and_refuse(&proxy, round + 1, async || {
            let mut ended = 0;
            wait_until("the jobs have ended", DEADLINE, async || {
                ended += end_all(&direct, way).await;
                ended == jobs.len()
            })
            .await;
        });
        let mail = queue();
        let pushing = store.push(&mail, jobs, Durability::Accepted);
        let (pushed, ()) = tokio::join!(pushing, meanwhile);
        assert_eq!(pushed.unwrap().value.iter().filter(|pushed| pushed.is_new()).count(), jobs.len());
        let counts = direct.counts(&queue()).await.unwrap();
        assert_eq!((counts.pending(), counts.dead), (0, 0), "{way}: {jobs:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_ends_within_the_pause_before_a_repetition_is_not_pushed_again() {
    tokio::join!(
        ends_within_the_pause("discarded"),
        ends_within_the_pause("cancelled"),
        ends_within_the_pause("deleted")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_push_refuses_what_its_first_copy_refused_although_the_reasons_are_gone() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let (store, direct) = (patient_through(&server, &proxy).await, direct(&server).await);
    let keyed = |text: &str| job(text).with_unique(Unique::new(UniqueKey::new("key").unwrap(), UniqueUntil::Finished));
    push(&direct, &[job("taken"), keyed("holder")]).await;
    let jobs = [job("new"), job("taken"), keyed("other")];
    proxy.cut_after_request(mentions(&jobs[0].payload));
    let meanwhile = cut_and_refuse(&proxy, 1, async || {
        let mut ended = 0;
        wait_until("the jobs have ended", DEADLINE, async || {
            ended += end_all(&direct, "discarded").await;
            ended == 3
        })
        .await;
    });
    let mail = queue();
    let (pushed, ()) = tokio::join!(store.push(&mail, &jobs, Durability::Accepted), meanwhile);
    let by = super::id("holder");
    let expected = [Pushed::Created { id: super::id("new") }, Pushed::Duplicate, Pushed::Held { by }];
    assert_eq!(pushed.unwrap().value, expected);
    assert_eq!(direct.counts(&queue()).await.unwrap().pending(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settlement_that_is_repeated_after_its_lease_is_answered_as_it_was_carried_out() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let (store, direct) = (patient_through(&server, &proxy).await, direct(&server).await);
    let retry = || Outcome::Retry { after: Duration::ZERO, error: "no".into() };
    let outcomes = [Outcome::Complete(None), retry(), Outcome::Dead { reason: "no".into() }, Outcome::Release];
    let mut fired = 0;
    for (round, outcome) in outcomes.into_iter().enumerate() {
        for jobs in [vec![NewJob::new("batch"), NewJob::new("batch")], vec![job(&format!("chosen {round}"))]] {
            push(&direct, &jobs).await;
            let held = claim_some(&store, Duration::from_millis(100)).await;
            assert_eq!(held.len(), jobs.len());
            fired += 1;
            proxy.cut_after_request(mentions(format!("{:016}", held[0].lease.fence.get())));
            let meanwhile = cut_and_refuse(&proxy, fired, async || {
                // What is ready again is done by another worker, and discarded.
                wait_until("the other worker is done", DEADLINE, async || {
                    for job in claim_some(&direct, LEASE).await {
                        settle(&direct, &job, Outcome::Complete(None)).await;
                    }
                    let now = server.command(&["TIME"]).await.unwrap().as_strings().unwrap();
                    direct.counts(&queue()).await.unwrap().pending() == 0
                        && now[0].parse::<u64>().unwrap() * 1000 > held[0].lease.until.as_millis()
                })
                .await;
            });
            let settlements: Vec<_> =
                held.iter().map(|job| store_core::Settlement::new(job.lease.clone(), outcome.clone())).collect();
            let mail = queue();
            let settling = store.settle(&mail, &settlements, Durability::Accepted);
            let (settled, ()) = tokio::join!(settling, meanwhile);
            assert_eq!(settled.unwrap().value, vec![Settled::Done; held.len()], "{outcome:?}");
        }
    }
}

/// The first copy of the call is lost before the server receives it.
#[tokio::test]
async fn a_repeated_settlement_is_unknown_for_jobs_that_are_gone_and_for_no_others() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let (store, direct) = (patient_through(&server, &proxy).await, direct(&server).await);
    let batch = || vec![NewJob::new("batch"), NewJob::new("batch")];
    push(&direct, &[batch(), vec![job("gone"), job("taken")]].concat()).await;
    let mut held = claim_some(&store, Duration::from_millis(50)).await;
    assert_eq!(held.len(), 4);
    let mut taken = Vec::new();
    wait_until("the leases have ended", DEADLINE, async || {
        taken.extend(claim_some(&direct, LEASE).await);
        taken.len() == 4
    })
    .await;
    for job in taken.iter().filter(|job| job.lease.job != super::id("taken")) {
        assert_eq!(settle(&direct, job, Outcome::Complete(None)).await, Settled::Done);
    }
    push(&direct, &[batch(), vec![job("held")]].concat()).await;
    held.extend(claim_some(&store, LEASE).await);
    assert_eq!(held.len(), 7);
    let settlements: Vec<_> =
        held.iter().map(|job| store_core::Settlement::new(job.lease.clone(), Outcome::Complete(None))).collect();
    proxy.cut_before_request(mentions(format!("{:016}", held[0].lease.fence.get())));
    let settled = store.settle(&queue(), &settlements, Durability::Accepted).await.unwrap().value;
    proxy.wait_fired(1).await;
    for (job, settled) in held.iter().zip(&settled) {
        let expected = match &job.payload[..] {
            _ if job.lease.until > held[0].lease.until => Settled::Done,
            b"payload of taken" => Settled::Lost,
            _ => Settled::Unknown,
        };
        assert_eq!(*settled, expected, "{job:?}");
    }
    assert_eq!(direct.counts(&queue()).await.unwrap().pending(), 1, "the one that another worker has");
}

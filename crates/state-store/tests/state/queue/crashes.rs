//! A server that dies between two writes of a script. Redis runs a script whole or, after a crash, not at all; others may
//! keep its first writes. After any number of them, a repetition by the link must lead where the script would have led, and a
//! call that is not repeated must lose no job.

use std::collections::BTreeMap;
use std::time::Duration;

use state_store::{StateOptions, StateStore};
use store_core::{
    Backoff, ClaimRequest, ClaimedJob, Clock, Durability, Extension, HolderName, JobId, JobState, Kept, ManualClock,
    NewJob, Outcome, PageRequest, Priority, Pushed, Queue, QueueControl, QueueExt, QueueInspect, QueueName, Result,
    RetryPolicy, Settled, Settlement, Timestamp, Unique, UniqueKey, UniqueUntil,
};
use testkit::{Interrupted, RedisServer, ScriptProxy, random_prefix};

use super::{LEASE, are_new, id, job};
use crate::open;

pub(super) struct Fixture {
    pub(super) server: RedisServer,
    pub(super) proxy: ScriptProxy,
    pub(super) store: StateStore,
    pub(super) clock: ManualClock,
}

pub(super) async fn fixture() -> Fixture {
    fixture_with(StateOptions::default()).await
}

pub(super) async fn fixture_with(options: StateOptions) -> Fixture {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = ScriptProxy::start(&server).await.unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let options = options.with_clock(Clock::Manual(clock.clone()));
    let store = open(&proxy.url(), options).await.unwrap();
    Fixture { server, proxy, store, clock }
}

impl Fixture {
    /// Runs `act` on a fresh queue for each number of writes after which its script is interrupted, until it is not interrupted
    /// any more.
    #[allow(clippy::print_stdout, reason = "shown when it fails")]
    pub(super) async fn interrupt_everywhere<T>(
        &self,
        script: &str,
        then: Interrupted,
        prepare: impl AsyncFn(&QueueName) -> T,
        act: impl AsyncFn(&QueueName, &T) -> Result<()>,
        check: impl AsyncFn(&QueueName),
    ) {
        let rehearsal = QueueName::new(random_prefix()).unwrap();
        act(&rehearsal, &prepare(&rehearsal).await).await.unwrap();
        for writes in 0.. {
            let queue = QueueName::new(random_prefix()).unwrap();
            println!("{script} interrupted after {writes} writes, then {then:?}");
            let prepared = prepare(&queue).await;
            self.proxy.interrupt(script, writes, then).await.unwrap();
            let outcome = act(&queue, &prepared).await;
            let was_interrupted = self.proxy.heal().await.unwrap() || outcome.is_err();
            check(&queue).await;
            if !was_interrupted {
                assert!(writes > 0, "the script writes");
                return;
            }
        }
    }

    pub(super) async fn claim(&self, queue: &QueueName, max: usize) -> Result<Vec<ClaimedJob>> {
        let worker = HolderName::new("worker-1").unwrap();
        Ok(self.store.claim(&ClaimRequest::new(queue.clone(), worker, max, LEASE)).await?.jobs)
    }

    /// Completes all that can be claimed, also what becomes due or is lost, until nothing is pending. How often each job was
    /// delivered.
    pub(super) async fn drain(&self, queue: &QueueName) -> BTreeMap<String, u32> {
        self.drain_by(queue, 100).await
    }

    /// Like `drain`, with so many jobs at a time.
    pub(super) async fn drain_by(&self, queue: &QueueName, max: usize) -> BTreeMap<String, u32> {
        let mut delivered = BTreeMap::new();
        for _ in 0..20 {
            let jobs = self.claim(queue, max).await.unwrap();
            for job in &jobs {
                *delivered.entry(job.id().to_string()).or_default() += 1;
                let done = self.store.settle_one(queue, job.lease.clone(), Outcome::Complete(None)).await.unwrap();
                assert_eq!(done, Settled::Done, "{job:?}");
            }
            if jobs.is_empty() {
                self.clock.advance(LEASE * 2);
            }
        }
        assert_eq!(self.store.counts(queue).await.unwrap().pending(), 0, "nothing is left over");
        delivered
    }

    pub(super) async fn state(&self, queue: &QueueName, job: &str) -> Option<JobState> {
        self.store.get(queue, &id(job)).await.unwrap().map(|info| info.state)
    }

    /// Neither records nor states nor entries are left of jobs that are gone.
    pub(super) async fn assert_clean(&self, queue: &QueueName) {
        let outbox = if queue.is_outbox() { "outbox:" } else { "" };
        let of = queue.as_str().trim_end_matches("~outbox");
        let key = |part: &str| format!("test:{{q.{of}.0}}:{outbox}{part}");
        for part in ["jobs", "state", "ready0", "ready1", "ready2", "ready3", "due", "leased"] {
            let exists = self.server.command(&["EXISTS", &key(part)]).await.unwrap();
            assert_eq!(exists.as_integer(), Some(0), "{part} of {queue}");
        }
        let moving = self.server.command(&["HEXISTS", &key("meta"), "moving"]).await.unwrap();
        assert_eq!(moving.as_integer(), Some(0), "a move of {queue} has not ended");
    }
}

pub(super) fn unique(name: &str, until: UniqueUntil) -> NewJob {
    job(name).with_unique(Unique::new(UniqueKey::new(format!("key of {name}")).unwrap(), until))
}

fn mixture() -> Vec<NewJob> {
    vec![
        job("plain"),
        job("critical").with_priority(Priority::Critical),
        job("delayed").with_delay(Duration::from_secs(5)),
        unique("finished", UniqueUntil::Finished),
        unique("claimed", UniqueUntil::Claimed),
        unique("elapsed", UniqueUntil::Elapsed(Duration::from_secs(5))),
    ]
}

pub(super) async fn push(store: &StateStore, queue: &QueueName, jobs: &[NewJob]) -> Result<Vec<Pushed>> {
    Ok(store.push(queue, jobs, Durability::Accepted).await?.value)
}

#[tokio::test]
async fn an_interrupted_push_that_is_repeated_pushes_each_job_once() {
    let fixture = fixture().await;
    for jobs in [vec![job("a"), job("b")], mixture()] {
        let act = async |queue: &QueueName, (): &()| {
            push(&fixture.store, queue, &jobs).await.map(|pushed| assert!(pushed.iter().all(|job| job.is_new())))
        };
        let check = async |queue: &QueueName| {
            let delivered = fixture.drain(queue).await;
            assert_eq!(delivered.len(), jobs.len());
            assert!(delivered.values().all(|times| *times == 1), "{delivered:?}");
            fixture.assert_clean(queue).await;
        };
        fixture.interrupt_everywhere("queue/push", Interrupted::IsRepeated, async |_| (), act, check).await;
    }
}

#[tokio::test]
async fn an_interrupted_push_that_is_given_up_leaves_whole_jobs_or_none() {
    let fixture = fixture().await;
    let act = async |queue: &QueueName, (): &()| push(&fixture.store, queue, &mixture()).await.map(drop);
    let check = async |queue: &QueueName| {
        let delivered = fixture.drain(queue).await;
        assert!(delivered.values().all(|times| *times == 1), "{delivered:?}");
        // None of its unique keys is held by a job that never was.
        fixture.clock.advance(Duration::from_secs(5));
        let jobs = mixture().into_iter().map(|job| job.with_id(JobId::generate()));
        let pushed = push(&fixture.store, queue, &jobs.collect::<Vec<_>>()).await.unwrap();
        assert_eq!(are_new(&pushed), [true; 6]);
        fixture.drain(queue).await;
        fixture.assert_clean(queue).await;
    };
    fixture.interrupt_everywhere("queue/push", Interrupted::Fails, async |_| (), act, check).await;
}

#[tokio::test]
async fn an_interrupted_claim_loses_no_job() {
    let fixture = fixture().await;
    let prepare = async |queue: &QueueName| {
        let thrice = RetryPolicy::new(3, Backoff::Fixed(Duration::ZERO));
        let first = [
            job("lost").with_retry(thrice),
            unique("last", UniqueUntil::Finished).with_retry(RetryPolicy::never()),
            job("cancelled"),
            job("retried"),
        ];
        push(&fixture.store, queue, &first).await.unwrap();
        let claimed = fixture.claim(queue, 9).await.unwrap();
        let heard: Vec<_> = claimed.iter().map(|job| Extension::new(job.lease.clone())).collect();
        fixture.store.extend(queue, &heard, LEASE).await.unwrap();
        let retry = Outcome::Retry { after: Duration::ZERO, error: "once".into() };
        fixture.store.settle_one(queue, claimed[3].lease.clone(), retry).await.unwrap();
        fixture.store.cancel(queue, &id("cancelled")).await.unwrap();
        push(&fixture.store, queue, &mixture()).await.unwrap();
        let late = unique("late", UniqueUntil::Claimed).with_start_within(Duration::from_secs(1));
        push(&fixture.store, queue, &[late]).await.unwrap();
        fixture.clock.advance(LEASE);
    };
    let act = async |queue: &QueueName, (): &()| fixture.claim(queue, 100).await.map(drop);
    let check = async |queue: &QueueName| {
        let delivered: Vec<_> = fixture.drain(queue).await.into_keys().collect();
        let expected = ["claimed", "critical", "delayed", "elapsed", "finished", "lost", "plain", "retried"];
        assert!(expected.iter().all(|job| delivered.iter().any(|id| id == job)), "{delivered:?}");
        // A death that was not written whole is one lease later.
        assert_eq!(fixture.state(queue, "last").await, Some(JobState::Dead));
        assert_eq!(fixture.state(queue, "late").await, Some(JobState::Dead));
        assert_eq!(fixture.state(queue, "cancelled").await, None);
        assert_eq!(fixture.store.delete(queue, &[id("last"), id("late")]).await.unwrap().len(), 2);
        fixture.assert_clean(queue).await;
        let again = [unique("last", UniqueUntil::Finished), unique("late", UniqueUntil::Claimed)];
        assert_eq!(
            push(&fixture.store, queue, &again).await.unwrap(),
            ["last", "late"].map(|name| Pushed::Created { id: id(name) })
        );
    };
    fixture.interrupt_everywhere("queue/claim", Interrupted::Fails, prepare, act, check).await;
}

/// One job per outcome, and its state then.
fn outcomes() -> Vec<(NewJob, Outcome, Option<JobState>)> {
    let retry = |after| Outcome::Retry { after, error: "no".into() };
    let soon = Duration::from_secs(1);
    let never = RetryPolicy::never();
    vec![
        (job("complete"), Outcome::Complete(None), None),
        (unique("unique", UniqueUntil::Finished), Outcome::Complete(None), None),
        (job("kept"), Outcome::Complete(Some(Kept::new("result", LEASE * 100))), Some(JobState::Completed)),
        (job("retried"), retry(soon), Some(JobState::Scheduled)),
        (job("retried at once"), retry(Duration::ZERO), Some(JobState::Ready)),
        (unique("spent", UniqueUntil::Finished).with_retry(never), retry(soon), Some(JobState::Dead)),
        (job("snoozed"), Outcome::Snooze { after: soon }, Some(JobState::Scheduled)),
        (unique("dead", UniqueUntil::Finished), Outcome::Dead { reason: "no".into() }, Some(JobState::Dead)),
        (job("released"), Outcome::Release, Some(JobState::Ready)),
        (unique("cancelled", UniqueUntil::Finished), Outcome::Cancelled, None),
    ]
}

async fn claim_all_outcomes(fixture: &Fixture, queue: &QueueName) -> Vec<Settlement> {
    let jobs: Vec<_> = outcomes().into_iter().map(|(job, _, _)| job).collect();
    push(&fixture.store, queue, &jobs).await.unwrap();
    let claimed = fixture.claim(queue, 100).await.unwrap();
    claimed.into_iter().zip(outcomes()).map(|(job, (_, outcome, _))| Settlement::new(job.lease, outcome)).collect()
}

/// Settles jobs that are leased. A repetition without a memory of the interrupted call cannot tell what became of those that are
/// gone.
async fn settle_all(fixture: &Fixture, queue: &QueueName, settlements: &[Settlement]) -> Result<()> {
    match fixture.store.settle(queue, settlements, Durability::Accepted).await {
        Ok(settled) => assert!(!settled.value.iter().any(|settled| settled.is_lost()), "{settled:?}"),
        Err(error) => return Err(error),
    }
    Ok(())
}

#[tokio::test]
async fn an_interrupted_settlement_that_is_repeated_counts_once() {
    let fixture = fixture().await;
    let prepare = async |queue: &QueueName| claim_all_outcomes(&fixture, queue).await;
    let act = async |queue: &QueueName, settlements: &Vec<Settlement>| settle_all(&fixture, queue, settlements).await;
    let check = async |queue: &QueueName| {
        for (job, _, state) in outcomes() {
            let id = job.id.clone().unwrap();
            assert_eq!(fixture.state(queue, id.as_str()).await, state, "{id}");
            if job.unique.is_some() {
                let next = job.with_id(JobId::generate());
                assert_eq!(are_new(&push(&fixture.store, queue, &[next]).await.unwrap()), [true]);
            }
        }
        let delivered = fixture.drain(queue).await;
        assert!(delivered.values().all(|times| *times == 1), "{delivered:?}");
        assert_eq!(delivered.len(), 4 + 4);
    };
    fixture.interrupt_everywhere("queue/settle", Interrupted::IsRepeated, prepare, act, check).await;
}

#[tokio::test]
async fn an_interrupted_settlement_that_is_given_up_loses_no_job() {
    let fixture = fixture().await;
    let prepare = async |queue: &QueueName| claim_all_outcomes(&fixture, queue).await;
    let act = async |queue: &QueueName, settlements: &Vec<Settlement>| {
        fixture.store.settle(queue, settlements, Durability::Accepted).await.map(drop)
    };
    let check = async |queue: &QueueName| {
        let delivered = fixture.drain(queue).await;
        for pending in ["retried", "retried at once", "snoozed", "released"] {
            assert!(delivered.contains_key(pending), "{pending}: {delivered:?}");
        }
        let ends = outcomes().into_iter().filter(|(_, outcome, _)| matches!(outcome, Outcome::Dead { .. }));
        for (job, _, _) in ends {
            let id = job.id.unwrap();
            let is_dead = fixture.state(queue, id.as_str()).await == Some(JobState::Dead);
            assert!(is_dead || delivered.contains_key(id.as_str()), "{id}");
        }
        let all: Vec<_> = outcomes().into_iter().map(|(job, _, _)| job.id.unwrap()).collect();
        fixture.store.delete(queue, &all).await.unwrap();
        fixture.assert_clean(queue).await;
    };
    fixture.interrupt_everywhere("queue/settle", Interrupted::Fails, prepare, act, check).await;
}

#[tokio::test]
async fn interrupted_extensions_and_completions_that_are_repeated_count_once() {
    let fixture = fixture().await;
    let prepare = async |queue: &QueueName| {
        push(&fixture.store, queue, &[job("a"), job("b")]).await.unwrap();
        fixture.claim(queue, 2).await.unwrap()
    };
    let extend = async |queue: &QueueName, jobs: &Vec<ClaimedJob>| {
        let extensions = jobs.iter().map(|job| Extension::new(job.lease.clone()).with_progress("half"));
        fixture.store.extend(queue, &extensions.collect::<Vec<_>>(), LEASE * 3).await.map(drop)
    };
    let check = async |queue: &QueueName| {
        let info = fixture.store.get(queue, &id("a")).await.unwrap().unwrap();
        assert_eq!(info.at, Some(fixture.clock.now().after(LEASE * 3)));
        assert_eq!(info.progress.as_deref(), Some(&b"half"[..]));
    };
    fixture.interrupt_everywhere("queue/extend", Interrupted::IsRepeated, prepare, extend, check).await;

    let complete = async |queue: &QueueName, jobs: &Vec<ClaimedJob>| {
        let settlements = jobs.iter().map(|job| Settlement::new(job.lease.clone(), Outcome::Complete(None)));
        let settlements: Vec<_> = settlements.collect();
        settle_all(&fixture, queue, &settlements).await
    };
    let check = async |queue: &QueueName| {
        assert!(fixture.drain(queue).await.is_empty());
        fixture.assert_clean(queue).await;
    };
    fixture.interrupt_everywhere("queue/settle", Interrupted::IsRepeated, prepare, complete, check).await;
}

#[tokio::test]
async fn interrupted_controls_that_are_repeated_lead_where_they_would_have_led() {
    let fixture = fixture().await;
    let (store, names) = (&fixture.store, || vec![id("finished"), id("delayed"), id("plain")]);
    let prepare = async |queue: &QueueName| {
        push(store, queue, &mixture()).await.unwrap();
    };
    let gone = async |queue: &QueueName| {
        for name in ["finished", "delayed", "plain"] {
            assert_eq!(fixture.state(queue, name).await, None);
        }
        let delivered = fixture.drain(queue).await;
        assert_eq!(delivered.into_keys().collect::<Vec<_>>(), ["claimed", "critical", "elapsed"]);
        fixture.assert_clean(queue).await;
    };
    let cancel = async |queue: &QueueName, (): &()| {
        for name in names() {
            store.cancel(queue, &name).await?;
        }
        Ok(())
    };
    fixture.interrupt_everywhere("queue/change", Interrupted::IsRepeated, prepare, cancel, gone).await;
    let delete = async |queue: &QueueName, (): &()| store.delete(queue, &names()).await.map(drop);
    fixture.interrupt_everywhere("queue/change", Interrupted::IsRepeated, prepare, delete, gone).await;

    let promote = async |queue: &QueueName, (): &()| store.promote(queue, &names()).await.map(drop);
    let ready = async |queue: &QueueName| {
        assert_eq!(fixture.claim(queue, 100).await.unwrap().len(), 6);
        assert_eq!(fixture.drain(queue).await.len(), 6);
        fixture.assert_clean(queue).await;
    };
    fixture.interrupt_everywhere("queue/change", Interrupted::IsRepeated, prepare, promote, ready).await;

    let kill = async |queue: &QueueName| {
        prepare(queue).await;
        for job in fixture.claim(queue, 100).await.unwrap() {
            store.settle_one(queue, job.lease, Outcome::Dead { reason: "no".into() }).await.unwrap();
        }
    };
    let replay = async |queue: &QueueName, (): &()| {
        store.replay(queue, &["finished", "delayed", "plain", "claimed"].map(id)).await.map(drop)
    };
    let alive = async |queue: &QueueName| {
        let beside = |name: &str| unique(name, UniqueUntil::Finished).with_id(id("beside"));
        for holder in ["finished", "claimed"] {
            assert_eq!(push(store, queue, &[beside(holder)]).await.unwrap(), [Pushed::Held { by: id(holder) }]);
        }
        assert_eq!(fixture.drain(queue).await.len(), 4);
        let dead = store.list(queue, JobState::Dead, PageRequest::default()).await.unwrap().items;
        assert_eq!(dead.len(), 2);
        for free in ["finished", "claimed"] {
            assert_eq!(are_new(&push(store, queue, &[beside(free)]).await.unwrap()), [true]);
            assert_eq!(fixture.drain(queue).await.len(), 1);
        }
    };
    fixture.interrupt_everywhere("queue/change", Interrupted::IsRepeated, kill, replay, alive).await;
}

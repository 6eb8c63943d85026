//! Schedules: their stored form, a full server, interrupted scripts, stale index entries, how they grow.

use std::sync::Arc;
use std::time::Duration;

use state_store::{StateOptions, StateStore};
use store_core::{
    Advance, Advanced, CatchUp, ClaimRequest, Clock, Durability, Error, HolderName, JobId, JobState, ManualClock,
    NewJob, Outcome, PageRequest, Queue, QueueExt, QueueInspect, QueueName, Result, Schedule, ScheduleName,
    SchedulePut, Schedules, Timestamp, Waiter,
};
use testkit::{Interruption, random_prefix};

use crate::interrupting::Interrupting;
use crate::{Fixture, fixture, fixture_with, open};

const MINUTE: Duration = Duration::from_secs(60);

fn name(text: &str) -> ScheduleName {
    ScheduleName::new(text).unwrap()
}

fn queue(text: &str) -> QueueName {
    QueueName::new(text).unwrap()
}

fn minutely(payload: &'static str) -> Schedule {
    Schedule::every(MINUTE, NewJob::new(payload)).unwrap().with_catch_up(CatchUp::All(3))
}

pub(crate) async fn put(store: &StateStore, queue: &QueueName, payload: &'static str) -> Result<SchedulePut> {
    Ok(store.put(queue, &name("report"), &minutely(payload), None, Durability::Accepted).await?.value)
}

/// Each call on the schedules of a queue, with a schedule that it may not have.
pub(crate) async fn every_call(store: &StateStore, queue: &QueueName) -> [(&'static str, Result<()>); 7] {
    let report = name("report");
    [
        ("put", put(store, queue, "report").await.map(drop)),
        ("get", Schedules::get(store, queue, &report).await.map(drop)),
        ("list", Schedules::list(store, queue, PageRequest::default()).await.map(drop)),
        ("pause", Schedules::pause(store, queue, &report).await.map(drop)),
        ("resume", Schedules::resume(store, queue, &report).await.map(drop)),
        ("due", store.due(queue, 1).await.map(drop)),
        ("delete", Schedules::delete(store, queue, &report).await),
    ]
}

/// Plans what is due first.
async fn planned(store: &StateStore, queue: &QueueName) -> Advance {
    let due = store.due(queue, 1).await.unwrap();
    due.schedules[0].plan(due.now)
}

async fn advance(store: &StateStore, queue: &QueueName, plan: &Advance) -> Result<Advanced> {
    Ok(Schedules::advance(store, queue, plan, Durability::Accepted).await?.value)
}

/// Fires all that is due. Returns how many jobs it pushed.
async fn tick(store: &StateStore, queue: &QueueName) -> usize {
    let (due, mut fired) = (store.due(queue, 50).await.unwrap(), 0);
    for info in &due.schedules {
        if let Advanced::Done { jobs } = advance(store, queue, &info.plan(due.now)).await.unwrap() {
            fired += jobs.len();
        }
    }
    fired
}

async fn since(store: &StateStore, queue: &QueueName) -> Timestamp {
    Schedules::get(store, queue, &name("report")).await.unwrap().unwrap().since
}

/// A failover may lead to a server whose clock is behind.
#[tokio::test]
async fn what_has_fired_does_not_fire_again_when_the_clock_goes_back() {
    let (Fixture { server, store, clock }, queue) = (fixture().await, queue("back"));
    put(&store, &queue, "report").await.unwrap();
    tick(&store, &queue).await;
    let behind = ManualClock::new(clock.now());
    clock.advance(MINUTE);
    assert_eq!(tick(&store, &queue).await, 1);
    let fired = since(&store, &queue).await;
    assert!(fired > behind.now());

    let store = open(&server.url(None), StateOptions::default().with_clock(Clock::Manual(behind))).await.unwrap();
    assert!(
        store.pause(&queue, &name("report")).await.unwrap() && store.resume(&queue, &name("report")).await.unwrap()
    );
    assert_eq!(since(&store, &queue).await, fired);
    let changed = Schedule::every(MINUTE * 2, NewJob::new("report")).unwrap();
    let _ = store.put(&queue, &name("report"), &changed, None, Durability::Accepted).await.unwrap();
    assert_eq!(since(&store, &queue).await, fired);
}

#[tokio::test]
async fn a_schedule_lies_beside_the_jobs_that_it_pushes() {
    let parts = queue("parts");
    let Fixture { server, store, clock } =
        fixture_with(StateOptions::default().with_partitions(parts.clone(), 4)).await;
    put(&store, &parts, "report").await.unwrap();
    tick(&store, &parts).await;
    clock.advance(MINUTE);
    assert_eq!(tick(&store, &parts).await, 1);
    let keys = server.command(&["KEYS", "test:{q.parts.*}:*"]).await.unwrap().as_strings().unwrap();
    let mut of_partition: Vec<_> =
        keys.iter().filter(|key| !key.ends_with(":meta") && !key.contains(":call:")).collect();
    of_partition.sort();
    let tag = of_partition[0].rsplit_once(':').unwrap().0;
    assert!(tag.starts_with("test:{q.parts.0"), "{tag}");
    let expected = ["jobs", "ready2", "schedule_names", "schedules"].map(|part| format!("{tag}:{part}"));
    assert_eq!(of_partition, expected.iter().collect::<Vec<_>>());
    store.delete(&parts, &name("report")).await.unwrap();
    for part in &expected[2..] {
        assert_eq!(server.command(&["EXISTS", part]).await.unwrap().as_integer(), Some(0), "{part}");
    }
}

#[tokio::test]
async fn a_full_server_pauses_resumes_and_deletes_and_fires_later() {
    let Fixture { server, store, .. } = fixture_with(StateOptions::default().with_clock(Clock::Server)).await;
    let mails = queue("mails");
    put(&store, &mails, "report").await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    assert!(matches!(put(&store, &mails, "other").await, Err(Error::Limit { .. })));
    let plan = planned(&store, &mails).await;
    assert!(matches!(advance(&store, &mails, &plan).await, Err(Error::Limit { .. })));
    assert!(
        store.pause(&mails, &name("report")).await.unwrap() && store.resume(&mails, &name("report")).await.unwrap()
    );
    assert_eq!(Schedules::list(&store, &mails, PageRequest::default()).await.unwrap().items.len(), 1);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    let plan = planned(&store, &mails).await;
    assert!(matches!(advance(&store, &mails, &plan).await, Ok(Advanced::Done { .. })));
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    store.delete(&mails, &name("report")).await.unwrap();
}

#[tokio::test]
async fn foreign_data_is_corrupt_and_not_shown() {
    let Fixture { server, store, .. } = fixture().await;
    let mails = queue("mails");
    put(&store, &mails, "report").await.unwrap();
    let plan = planned(&store, &mails).await;
    let _ = store.put(&mails, &name("weekly"), &minutely("other"), None, Durability::Accepted).await.unwrap();
    let long = format!("\u{1}a{}", "canary".repeat(40));
    for damage in ["canary", "\u{2}canary", "\u{1}canary", &long] {
        server.command(&["HSET", "test:{q.mails.0}:jobs", "\u{3}report", damage]).await.unwrap();
        let refusals = [
            Schedules::get(&store, &mails, &name("report")).await.map(drop),
            Schedules::list(&store, &mails, PageRequest::default()).await.map(drop),
        ];
        for error in refusals.map(Result::unwrap_err) {
            assert!(matches!(error, Error::Corrupt { .. }), "{damage:?}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("canary"));
            assert!(error.to_string().contains("`report`"), "{error}");
        }
        let due = store.due(&mails, 2).await.unwrap();
        assert_eq!((due.unreadable, due.schedules.len()), (vec![name("report")], 1), "{damage:?}");
        let advanced = advance(&store, &mails, &plan).await;
        assert!(matches!(advanced, Err(Error::Corrupt { .. }) | Ok(Advanced::Superseded)), "{advanced:?}");
    }
    assert_eq!(store.counts(&mails).await.unwrap().pending(), 0);
}

#[tokio::test]
async fn the_cost_of_a_tick_does_not_grow_with_the_schedules() {
    let Fixture { server, store, clock } = fixture().await;
    let mails = queue("mails");
    let calls = async || server.command_calls().await.unwrap().values().sum::<u64>();
    let mut costs = Vec::new();
    for number in 0..300 {
        let often = if number % 100 == 0 { 1 } else { 100_000 };
        let schedule = Schedule::every(Duration::from_secs(often), NewJob::new("x")).unwrap();
        let _ = store.put(&mails, &name(&format!("s-{number}")), &schedule, None, Durability::Accepted).await.unwrap();
        tick(&store, &mails).await;
        if number % 100 == 0 {
            server
                .command(&["ZREM", "test:{q.mails.0}:schedules", &format!("s-{}", number.max(100) - 100)])
                .await
                .unwrap();
            let mut before = calls().await;
            clock.advance(Duration::from_secs(1));
            assert!(tick(&store, &mails).await <= 1);
            before = calls().await - before;
            costs.push(before);
        }
    }
    assert!(costs[1..].iter().all(|cost| *cost <= costs[1]), "{costs:?}");
}

/// Each call that writes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Call {
    Create,
    Change,
    Pause,
    Resume,
    Delete,
    Fire,
    FireHandingOver,
    Skip,
}

impl Interrupting {
    /// A queue with a schedule, and what a process has read of it.
    async fn scheduled(&self, call: Call) -> (QueueName, Option<Advance>, Option<Arc<dyn Waiter>>) {
        let queue = queue(&random_prefix());
        if call == Call::Create {
            // Else the script would also record the shape.
            store_core::QueueControl::pause(&self.store, &queue).await.unwrap();
            return (queue, None, None);
        }
        put(&self.store, &queue, "a").await.unwrap();
        tick(&self.store, &queue).await;
        if call == Call::Resume {
            assert!(Schedules::pause(&self.store, &queue, &name("report")).await.unwrap());
        }
        if matches!(call, Call::Fire | Call::FireHandingOver) {
            self.clock.advance(MINUTE * 2);
            let plan = planned(&self.store, &queue).await;
            let waiter = self.store.waiter();
            if call == Call::FireHandingOver {
                let request = ClaimRequest::new(queue.clone(), HolderName::new("worker").unwrap(), 1, MINUTE);
                assert!(waiter.claim(&request, 1).await.unwrap().jobs.is_empty());
            }
            return (queue, Some(plan), Some(waiter));
        }
        if call == Call::Skip {
            put(&self.store, &queue, "b").await.unwrap();
            let plan = planned(&self.store, &queue).await;
            return (queue, Some(plan), None);
        }
        (queue, None, None)
    }

    async fn call_on_schedule(&self, call: Call, queue: &QueueName, plan: Option<&Advance>) -> Result<String> {
        let (store, report) = (&self.store, name("report"));
        Ok(match call {
            Call::Create | Call::Change => format!("{:?}", put(store, queue, "b").await?),
            Call::Pause => format!("{:?}", Schedules::pause(store, queue, &report).await?),
            Call::Resume => format!("{:?}", Schedules::resume(store, queue, &report).await?),
            Call::Delete => format!("{:?}", Schedules::delete(store, queue, &report).await?),
            Call::Fire | Call::FireHandingOver | Call::Skip => {
                let advanced = advance(store, queue, plan.unwrap()).await?;
                String::from(if advanced == Advanced::Superseded { "superseded" } else { "done" })
            }
        })
    }

    /// Completes all jobs. Returns the ids of those that were delivered.
    async fn jobs_delivered(&self, queue: &QueueName) -> Vec<JobId> {
        let (mut delivered, worker) = (Vec::new(), HolderName::new("worker").unwrap());
        store_core::QueueControl::resume(&self.store, queue).await.unwrap();
        for _ in 0..4 {
            let request = ClaimRequest::new(queue.clone(), worker.clone(), 100, MINUTE);
            for job in self.store.claim(&request).await.unwrap().jobs {
                self.store.settle_one(queue, job.lease.clone(), Outcome::Complete(None)).await.unwrap();
                delivered.push(job.id().clone());
            }
            // A hand-over whose script was interrupted has leased the jobs.
            self.clock.advance(MINUTE * 2);
        }
        assert_eq!(self.store.counts(queue).await.unwrap().pending(), 0);
        delivered.sort();
        delivered
    }

    /// Whether a process that looks at the queue finds a schedule that is due: no schedule is without an index entry.
    async fn schedule_is_found(&self, queue: &QueueName) -> bool {
        let due = self.store.due(queue, 50).await.unwrap();
        due.next_in.is_some() || !due.schedules.is_empty()
    }
}

/// A repetition leads where the script would have led; without one, nothing or all of a firing has happened.
#[tokio::test]
async fn a_script_that_is_interrupted_after_any_write_fires_once_or_not_at_all() {
    let fixture = Interrupting::start().await;
    let calls = [
        ("schedule/put", Call::Create, "Stored { version: 1 }"),
        ("schedule/put", Call::Change, "Stored { version: 2 }"),
        ("schedule/change", Call::Pause, "true"),
        ("schedule/change", Call::Resume, "true"),
        ("schedule/change", Call::Delete, "()"),
        ("schedule/advance", Call::Fire, "done"),
        ("schedule/advance", Call::FireHandingOver, "done"),
        ("schedule/advance", Call::Skip, "done"),
    ];
    for (script, call, answer) in calls {
        // The script is loaded by its first call.
        let (whole, plan, _waiter) = fixture.scheduled(call).await;
        assert_eq!(fixture.call_on_schedule(call, &whole, plan.as_ref()).await.unwrap(), answer);
        let end = Schedules::get(&fixture.store, &whole, &name("report")).await.unwrap();
        let round = async |interruption: &mut Interruption<'_>| {
            let (queue, plan, _waiter) = fixture.scheduled(call).await;
            let start = Schedules::get(&fixture.store, &queue, &name("report")).await.unwrap();
            let outcome = interruption.during(fixture.call_on_schedule(call, &queue, plan.as_ref())).await;
            let shown = Schedules::get(&fixture.store, &queue, &name("report")).await.unwrap();
            if let Ok(outcome) = outcome {
                assert_eq!(outcome, answer);
                assert_eq!(
                    shown.as_ref().map(|info| (info.version, info.paused)),
                    end.as_ref().map(|info| (info.version, info.paused))
                );
            }
            let is_active = shown.as_ref().is_some_and(|info| !info.paused);
            assert!(!is_active || fixture.schedule_is_found(&queue).await, "no schedule is forgotten");
            if let Some(plan) = &plan {
                let has_fired = shown != start;
                let expected = if has_fired { plan.jobs.clone() } else { Vec::new() };
                // Before the repetition: the jobs are there if, and only if, the firing is recorded.
                let mut delivered = fixture.jobs_delivered(&queue).await;
                assert_eq!(delivered, expected);
                // The process repeats it, and others look at the queue.
                assert_eq!(fixture.call_on_schedule(call, &queue, Some(plan)).await.unwrap(), answer);
                delivered.extend(fixture.jobs_delivered(&queue).await);
                assert_eq!(delivered, plan.jobs, "each job was pushed once");
            }
            // Nothing names a schedule that is gone.
            if call == Call::Delete {
                Schedules::delete(&fixture.store, &queue, &name("report")).await.unwrap();
            } else if shown.is_none() {
                fixture.clock.advance(MINUTE * 2);
                fixture.store.due(&queue, 50).await.unwrap();
            }
            if Schedules::get(&fixture.store, &queue, &name("report")).await.unwrap().is_none() {
                for part in ["schedules", "schedule_names"] {
                    let key = format!("test:{{q.{queue}.0}}:{part}");
                    let left = fixture.server.command(&["EXISTS", &key]).await.unwrap().as_integer();
                    assert_eq!(left, Some(0), "{part}");
                }
            }
        };
        let writes = fixture.proxy.at_each_write(script, format!("{call:?}"), round).await;
        assert!(writes > 1, "{script} writes twice");
    }
}

#[tokio::test]
async fn a_paused_or_missing_schedule_leaves_the_index_when_it_is_due() {
    let Fixture { server, store, clock } = fixture().await;
    let mails = queue("mails");
    put(&store, &mails, "report").await.unwrap();
    assert!(Schedules::pause(&store, &mails, &name("report")).await.unwrap());
    for stale in ["report", "gone"] {
        server.command(&["ZADD", "test:{q.mails.0}:schedules", "1", stale]).await.unwrap();
        server.command(&["ZADD", "test:{q.mails.0}:schedule_names", "0", stale]).await.unwrap();
    }
    clock.advance(MINUTE);
    let due = store.due(&mails, 50).await.unwrap();
    assert_eq!((due.schedules, due.next_in), (vec![], None));
    let names = server.command(&["ZRANGE", "test:{q.mails.0}:schedule_names", "0", "-1"]).await.unwrap();
    assert_eq!(names.as_strings().unwrap(), ["report"]);
    assert_eq!(server.command(&["EXISTS", "test:{q.mails.0}:schedules"]).await.unwrap().as_integer(), Some(0));
    let waiting = QueueInspect::list(&store, &mails, JobState::Ready, PageRequest::default()).await.unwrap().items;
    assert!(waiting.is_empty());
}

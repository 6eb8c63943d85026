//! Partial writes of an interrupted script harm no later job, and are removed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use store_core::{
    Durability, JobState, Kept, NewJob, Outcome, Priority, Pushed, Queue, QueueControl, QueueExt, QueueInspect,
    QueueName, Settlement, Unique, UniqueKey, UniqueUntil,
};
use testkit::{Interrupted, random_prefix};

use super::audit::Stored;
use super::crashes::{Fixture, fixture, push, unique};
use super::{id, job};

/// A queue where `a` runs, which holds a unique key if asked, and its settlement.
async fn running(fixture: &Fixture, queue: &QueueName, is_unique: bool, outcome: Outcome) -> Settlement {
    let a = if is_unique { unique("a", UniqueUntil::Finished) } else { job("a") };
    push(&fixture.store, queue, &[a]).await.unwrap();
    Settlement::new(fixture.claim(queue, 1).await.unwrap().remove(0).lease, outcome)
}

#[tokio::test]
async fn another_settlement_spares_a_job_pushed_since_with_the_same_id() {
    let fixture = fixture().await;
    for is_unique in [false, true] {
        for outcome in [Outcome::Complete(None), Outcome::Cancelled] {
            let prepare = async |queue: &QueueName| running(&fixture, queue, is_unique, outcome.clone()).await;
            let act = async |queue: &QueueName, settlement: &Settlement| {
                let settle = || fixture.store.settle(queue, std::slice::from_ref(settlement), Durability::Accepted);
                let first = settle().await;
                fixture.proxy.heal().await.unwrap();
                let pushed = push(&fixture.store, queue, &[job("a")]).await.unwrap();
                let _receipt = settle().await.unwrap();
                if pushed[0].is_new() {
                    assert_eq!(fixture.state(queue, "a").await, Some(JobState::Ready), "{outcome:?}");
                    assert_eq!(fixture.claim(queue, 9).await.unwrap().remove(0).attempt, 1);
                }
                first.map(drop)
            };
            fixture.interrupt_everywhere("queue/settle", Interrupted::Fails, prepare, act, async |_| ()).await;
        }
    }
}

#[tokio::test]
async fn a_job_that_still_runs_keeps_its_unique_key_and_its_id() {
    let fixture = fixture().await;
    let kept = Kept::new("result", Duration::from_secs(1));
    for outcome in [Outcome::Dead { reason: "no".into() }, Outcome::Complete(Some(kept))] {
        let prepare = async |queue: &QueueName| running(&fixture, queue, true, outcome.clone()).await;
        let act = async |queue: &QueueName, settlement: &Settlement| {
            let first = fixture.store.settle_one(queue, settlement.lease.clone(), outcome.clone()).await;
            fixture.proxy.heal().await.unwrap();
            fixture.clock.advance(Duration::from_secs(2));
            if fixture.state(queue, "a").await == Some(JobState::Running) {
                let rival = unique("a", UniqueUntil::Finished).with_id(id("rival"));
                assert_eq!(
                    push(&fixture.store, queue, &[rival]).await.unwrap(),
                    [Pushed::Held { by: id("a") }],
                    "{outcome:?}"
                );
                assert_eq!(push(&fixture.store, queue, &[job("a")]).await.unwrap(), [Pushed::Duplicate], "{outcome:?}");
                assert_eq!(fixture.state(queue, "a").await, Some(JobState::Running));
            }
            first.map(drop)
        };
        fixture.interrupt_everywhere("queue/settle", Interrupted::Fails, prepare, act, async |_| ()).await;
    }
}

#[tokio::test]
async fn partial_writes_of_a_deletion_are_removed() {
    let fixture = fixture().await;
    let prepare = async |queue: &QueueName| {
        let dead = running(&fixture, queue, false, Outcome::Dead { reason: "no".into() }).await;
        let _receipt = fixture.store.settle(queue, &[dead], Durability::Accepted).await.unwrap();
    };
    let act = async |queue: &QueueName, (): &()| fixture.store.delete(queue, &[id("a")]).await.map(drop);
    let check = async |queue: &QueueName| {
        fixture.clock.advance(Duration::from_secs(31 * 24 * 3600));
        assert!(fixture.claim(queue, 1).await.unwrap().is_empty());
        fixture.assert_clean(queue).await;
    };
    fixture.interrupt_everywhere("queue/change", Interrupted::Fails, prepare, act, check).await;
}

/// Numbers that look random, the same each time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Some job under one of few ids; half of them share two unique keys, which they hold until they are finished.
fn any_job(dice: &mut Dice) -> NewJob {
    let mut job = job(IDS[dice.roll(IDS.len())]).with_priority(Priority::ALL[dice.roll(4)]);
    job.retry.max_attempts = 1 + dice.roll(3) as u16;
    job.delay = Duration::from_secs([0, 0, 5, 50][dice.roll(4)]);
    job.start_within = (dice.roll(4) == 0).then_some(Duration::from_secs(20));
    let key = UniqueKey::new(["k", "l"][dice.roll(2)]).unwrap();
    job.unique = (dice.roll(2) == 0).then(|| Unique::new(key, UniqueUntil::Finished));
    job
}

fn any_outcome(dice: &mut Dice) -> Outcome {
    let after = Duration::from_secs([0, 7][dice.roll(2)]);
    match dice.roll(7) {
        0 => Outcome::Complete(None),
        1 => Outcome::Complete(Some(Kept::new("result", Duration::from_secs(10)))),
        2 => Outcome::Retry { after, error: "no".into() },
        3 => Outcome::Snooze { after },
        4 => Outcome::Dead { reason: "no".into() },
        5 => Outcome::Release,
        _ => Outcome::Cancelled,
    }
}

/// Each job is in the index that its state names, so that it is found again, and no two running jobs hold one unique key.
async fn assert_sound(fixture: &Fixture, queue: &QueueName, holders: &HashMap<String, UniqueKey>, step: usize) {
    let key = |part: &str| format!("test:{{q.{queue}.0}}:{part}");
    let mut held = HashSet::new();
    for name in IDS {
        let Some(info) = fixture.store.get(queue, &id(name)).await.unwrap() else { continue };
        let (set, member) = match info.state {
            JobState::Ready => {
                let list = key(&format!("ready{}", info.priority.index()));
                let place = fixture.server.command(&["LPOS", &list, name]).await.unwrap();
                assert!(place.as_integer().is_some(), "step {step}: {name} is in no list");
                assert_eq!(info.at, None);
                continue;
            }
            JobState::Scheduled => ("due", format!("{}{name}", info.priority.index())),
            JobState::Running => ("leased", name.to_owned()),
            JobState::Completed => ("completed", name.to_owned()),
            JobState::Dead => ("dead", name.to_owned()),
            other => panic!("{name} is {other}"),
        };
        let score = fixture.server.command(&["ZSCORE", &key(set), &member]).await.unwrap();
        assert!(score.as_str().is_some(), "step {step}: {name} is not in {set}");
        if let (JobState::Running, Some(unique)) = (info.state, holders.get(name)) {
            assert!(held.insert(unique), "step {step}: a unique key is held twice");
        }
    }
}

#[tokio::test]
async fn no_job_is_out_of_reach_wherever_scripts_were_interrupted() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for seed in 0..12 {
        let (mut dice, queue) = (Dice(seed), QueueName::new(random_prefix()).unwrap());
        let (mut leases, mut holders) = (Vec::new(), HashMap::new());
        for step in 0..150 {
            let action = dice.roll(9);
            let scripts = ["push", "push", "claim", "claim", "settle", "settle", "change", "change", "change"];
            // A script is known to the proxy once it has run.
            if step > 60 && dice.roll(3) == 0 {
                let script = format!("queue/{}", scripts[action]);
                fixture.proxy.interrupt(&script, dice.roll(7), Interrupted::Fails).await.unwrap();
            }
            let name = id(IDS[dice.roll(IDS.len())]);
            match action {
                0 | 1 => {
                    let job = any_job(&mut dice);
                    let id = job.id.clone().unwrap();
                    let known = store.get(&queue, &id).await.unwrap();
                    if known.is_none() {
                        holders.remove(id.as_str());
                        holders.extend(job.unique.clone().map(|unique| (id.to_string(), unique.key)));
                    }
                    let _ = push(store, &queue, &[job]).await;
                }
                2 | 3 => leases.extend(fixture.claim(&queue, 1 + dice.roll(3)).await.unwrap_or_default()),
                4 | 5 if !leases.is_empty() => {
                    let job = &leases[dice.roll(leases.len())];
                    let _ = store.settle_one(&queue, job.lease.clone(), any_outcome(&mut dice)).await;
                }
                6 => drop(store.cancel(&queue, &name).await),
                7 => drop(store.delete(&queue, &[name]).await),
                8 => drop(store.promote(&queue, &[name]).await),
                _ => {}
            }
            fixture.proxy.heal().await.unwrap();
            fixture.clock.advance(Duration::from_secs([0, 1, 3, 40][dice.roll(4)]));
            assert_sound(&fixture, &queue, &holders, step).await;
            let now = fixture.clock.now().as_millis();
            let found = Stored::read(&fixture.server, &queue).await.violations(now);
            assert_eq!(found, [""; 0], "seed {seed}, step {step}");
        }
        // All that is left can be brought to its end.
        fixture.clock.advance(Duration::from_secs(3600));
        fixture.drain(&queue).await;
        fixture.clock.advance(Duration::from_secs(31 * 24 * 3600));
        fixture.claim(&queue, 1).await.unwrap();
        fixture.assert_clean(&queue).await;
    }
}

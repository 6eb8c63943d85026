//! What a cut script leaves behind harms no later job, and does not stay for ever.

use std::time::Duration;

use store_core::{
    Durability, JobState, Kept, Outcome, Pushed, Queue, QueueControl, QueueExt, QueueName, Settlement, UniqueUntil,
};

use super::crashes::{Scene, push, scene, unique};
use super::{id, job};

/// A queue where `a` runs, which holds a unique key if asked, and its settlement.
async fn running(scene: &Scene, queue: &QueueName, is_unique: bool, outcome: Outcome) -> Settlement {
    let a = if is_unique { unique("a", UniqueUntil::Finished) } else { job("a") };
    push(&scene.store, queue, &[a]).await.unwrap();
    Settlement::new(scene.claim(queue, 1).await.unwrap().remove(0).lease, outcome)
}

#[tokio::test]
async fn a_settlement_sent_again_spares_a_job_pushed_since_with_the_same_id() {
    let scene = scene().await;
    for is_unique in [false, true] {
        for outcome in [Outcome::Complete(None), Outcome::Cancelled] {
            let prepare = async |queue: &QueueName| running(&scene, queue, is_unique, outcome.clone()).await;
            let act = async |queue: &QueueName, settlement: &Settlement| {
                let settle = || scene.store.settle(queue, std::slice::from_ref(settlement), Durability::Accepted);
                let first = settle().await;
                scene.cutter.heal();
                let pushed = push(&scene.store, queue, &[job("a")]).await.unwrap();
                let _receipt = settle().await.unwrap();
                if pushed == [Pushed::Created] {
                    assert_eq!(scene.state(queue, "a").await, Some(JobState::Ready), "{outcome:?}");
                    assert_eq!(scene.claim(queue, 9).await.unwrap().remove(0).attempt, 1);
                }
                first.map(drop)
            };
            scene.cut_everywhere("queue/settle", false, prepare, act, async |_| ()).await;
        }
    }
}

#[tokio::test]
async fn a_job_that_still_runs_keeps_its_unique_key_and_its_id() {
    let scene = scene().await;
    let kept = Kept::new("result", Duration::from_secs(1));
    for outcome in [Outcome::Dead { reason: "no".into() }, Outcome::Complete(Some(kept))] {
        let prepare = async |queue: &QueueName| running(&scene, queue, true, outcome.clone()).await;
        let act = async |queue: &QueueName, settlement: &Settlement| {
            let first = scene.store.settle_one(queue, settlement.lease.clone(), outcome.clone()).await;
            scene.cutter.heal();
            scene.clock.advance(Duration::from_secs(2));
            if scene.state(queue, "a").await == Some(JobState::Running) {
                let rival = unique("a", UniqueUntil::Finished).with_id(id("rival"));
                assert_eq!(push(&scene.store, queue, &[rival]).await.unwrap(), [Pushed::Held(id("a"))], "{outcome:?}");
                assert_eq!(push(&scene.store, queue, &[job("a")]).await.unwrap(), [Pushed::Duplicate], "{outcome:?}");
                assert_eq!(scene.state(queue, "a").await, Some(JobState::Running));
            }
            first.map(drop)
        };
        scene.cut_everywhere("queue/settle", false, prepare, act, async |_| ()).await;
    }
}

#[tokio::test]
async fn what_is_left_of_a_deleted_job_is_tidied_away() {
    let scene = scene().await;
    let prepare = async |queue: &QueueName| {
        let dead = running(&scene, queue, false, Outcome::Dead { reason: "no".into() }).await;
        let _receipt = scene.store.settle(queue, &[dead], Durability::Accepted).await.unwrap();
    };
    let act = async |queue: &QueueName, (): &()| scene.store.delete(queue, &[id("a")]).await.map(drop);
    let check = async |queue: &QueueName| {
        scene.clock.advance(Duration::from_secs(31 * 24 * 3600));
        assert!(scene.claim(queue, 1).await.unwrap().is_empty());
        scene.assert_clean(queue).await;
    };
    scene.cut_everywhere("queue/delete", false, prepare, act, check).await;
}

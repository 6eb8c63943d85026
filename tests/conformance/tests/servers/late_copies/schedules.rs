//! The writes of schedules.

use std::time::Duration;

use store_core::{
    Advance, Advanced, ClaimRequest, Durability, JobState, NewJob, Outcome, PageRequest, QueueName, Schedule,
    ScheduleInfo, ScheduleName, SchedulePut, Schedules, Settled, Settlement,
};
use testkit::{DEADLINE, wait_until};

use super::World;

impl World {
    fn schedules(&self) -> &dyn Schedules {
        self.stores.state.schedules()
    }

    fn scheduled(&self) -> (QueueName, ScheduleName) {
        (QueueName::new(self.text("queue")).unwrap(), ScheduleName::new("report").unwrap())
    }

    async fn put(&self, payload: &'static str) {
        let (queue, name) = self.scheduled();
        let put = self.schedules().put(&queue, &name, &often(payload), None, Durability::Accepted).await;
        assert!(matches!(put.unwrap().value, SchedulePut::Stored { .. }));
    }

    async fn shown(&self) -> Option<ScheduleInfo> {
        let (queue, name) = self.scheduled();
        self.schedules().get(&queue, &name).await.unwrap()
    }

    /// A plan with a job.
    async fn planned(&self) -> Advance {
        self.put("a").await;
        let info = self.shown().await.unwrap();
        let (queue, _) = self.scheduled();
        let mut now = info.since;
        let has_passed = async || {
            now = self.schedules().due(&queue, 1).await.unwrap().now;
            info.next().is_some_and(|next| next <= now)
        };
        wait_until("the time has come", DEADLINE, has_passed).await;
        info.plan(now)
    }

    /// Completes the only ready job.
    async fn complete(&self) {
        let (queue, _) = self.scheduled();
        let worker = store_core::HolderName::new("worker").unwrap();
        let claim = ClaimRequest::new(queue.clone(), worker, 1, Duration::from_secs(60));
        let claim = self.stores.state.claim(&claim).await.unwrap();
        let done = Settlement::new(claim.jobs[0].lease.clone(), Outcome::Complete(None));
        let settled = self.stores.state.settle(&queue, &[done], Durability::Accepted).await.unwrap().value;
        assert_eq!(settled, [Settled::Done]);
    }

    async fn ready(&self) -> usize {
        let (queue, _) = self.scheduled();
        self.stores.state.list(&queue, JobState::Ready, PageRequest::default()).await.unwrap().items.len()
    }
}

fn often(payload: &'static str) -> Schedule {
    Schedule::every(Duration::from_millis(20), NewJob::new(payload)).unwrap()
}

pub(super) async fn put_then_put(world: World) {
    let (queue, name) = world.scheduled();
    let put = world.held(world.schedules().put(&queue, &name, &often("a"), None, Durability::Accepted)).await.value;
    assert_eq!(put, SchedulePut::Stored { version: 1 });
    world.put("b").await;
    world.arrives().await;
    assert_eq!(world.shown().await.map(|info| info.schedule), Some(often("b")));
}

pub(super) async fn put_then_delete(world: World) {
    let (queue, name) = world.scheduled();
    let put = world.held(world.schedules().put(&queue, &name, &often("a"), None, Durability::Accepted)).await.value;
    assert_eq!(put, SchedulePut::Stored { version: 1 });
    world.schedules().delete(&queue, &name).await.unwrap();
    world.arrives().await;
    assert_eq!(world.shown().await, None);
}

pub(super) async fn delete_then_put(world: World) {
    let (queue, name) = world.scheduled();
    world.put("a").await;
    world.held(world.schedules().delete(&queue, &name)).await;
    world.put("b").await;
    world.arrives().await;
    assert_eq!(world.shown().await.map(|info| info.schedule), Some(often("b")));
}

pub(super) async fn pause_then_resume(world: World) {
    let (queue, name) = world.scheduled();
    world.put("a").await;
    assert!(world.held(world.schedules().pause(&queue, &name)).await);
    assert!(world.schedules().resume(&queue, &name).await.unwrap());
    world.arrives().await;
    assert!(!world.shown().await.unwrap().paused);
}

pub(super) async fn resume_then_pause(world: World) {
    let (queue, name) = world.scheduled();
    world.put("a").await;
    assert!(world.schedules().pause(&queue, &name).await.unwrap());
    assert!(world.held(world.schedules().resume(&queue, &name)).await);
    assert!(world.schedules().pause(&queue, &name).await.unwrap());
    world.arrives().await;
    assert!(world.shown().await.unwrap().paused);
}

pub(super) async fn advance_then_complete(world: World) {
    let (plan, (queue, _)) = (world.planned().await, world.scheduled());
    let advanced = world.held(world.schedules().advance(&queue, &plan, Durability::Accepted)).await.value;
    assert_eq!(advanced, Advanced::Done { jobs: plan.jobs.clone() });
    world.complete().await;
    world.arrives().await;
    assert_eq!(world.ready().await, 0, "the job is done");
}

pub(super) async fn advance_then_pause(world: World) {
    let (plan, (queue, name)) = (world.planned().await, world.scheduled());
    let advanced = world.held(world.schedules().advance(&queue, &plan, Durability::Accepted)).await.value;
    assert_eq!(advanced, Advanced::Done { jobs: plan.jobs.clone() });
    assert!(world.schedules().pause(&queue, &name).await.unwrap());
    world.arrives().await;
    assert!(world.shown().await.unwrap().paused);
    assert_eq!(world.schedules().due(&queue, 1).await.unwrap().next_in, None);
}

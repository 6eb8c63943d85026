//! The writes of schedules.

use std::time::Duration;

use store_core::{
    Advanced, CatchUp, Durability, JobState, NewJob, PageRequest, QueueName, Schedule, ScheduleInfo, ScheduleName,
    SchedulePut, Schedules,
};

use super::World;

const MINUTE: Duration = Duration::from_secs(60);

impl World {
    fn schedules(&self) -> &dyn Schedules {
        self.stores.state.schedules()
    }

    fn scheduled(&self) -> (QueueName, ScheduleName) {
        (QueueName::new(format!("{}-schedules", self.place)).unwrap(), ScheduleName::new("report").unwrap())
    }

    async fn shown(&self) -> Option<ScheduleInfo> {
        let (queue, name) = self.scheduled();
        self.schedules().get(&queue, &name).await.unwrap()
    }

    async fn was_put(&self) -> (QueueName, ScheduleName) {
        let (queue, name) = self.scheduled();
        let put = self.schedules().put(&queue, &name, &minutely("a"), None, Durability::Accepted).await.unwrap().value;
        assert_eq!(put, SchedulePut::Stored { version: 1 });
        (queue, name)
    }
}

fn minutely(payload: &'static str) -> Schedule {
    Schedule::every(MINUTE, NewJob::new(payload)).unwrap().with_catch_up(CatchUp::All(3))
}

pub(super) async fn put(world: World) {
    let (queue, name) = world.scheduled();
    for (payload, expected, version) in [("a", Some(0), 1), ("b", Some(1), 2), ("c", None, 3)] {
        let schedule = minutely(payload);
        let put = world.lost(world.schedules().put(&queue, &name, &schedule, expected, Durability::Accepted));
        assert_eq!(put.await.unwrap().value, SchedulePut::Stored { version });
    }
    assert_eq!(world.shown().await.map(|info| (info.version, info.schedule)), Some((3, minutely("c"))));
}

pub(super) async fn delete(world: World) {
    let (queue, name) = world.was_put().await;
    world.lost(world.schedules().delete(&queue, &name)).await.unwrap();
    assert_eq!(world.shown().await, None);
}

pub(super) async fn pause(world: World) {
    let (queue, name) = world.was_put().await;
    assert!(world.lost(world.schedules().pause(&queue, &name)).await.unwrap());
    assert!(world.shown().await.unwrap().paused);
}

pub(super) async fn resume(world: World) {
    let (queue, name) = world.was_put().await;
    assert!(world.schedules().pause(&queue, &name).await.unwrap());
    assert!(world.lost(world.schedules().resume(&queue, &name)).await.unwrap());
    assert!(!world.shown().await.unwrap().paused);
}

pub(super) async fn advance(world: World) {
    let (queue, _) = world.was_put().await;
    for round in 1..=2 {
        world.clock.advance(MINUTE * 3);
        let due = world.schedules().due(&queue, 1).await.unwrap();
        let plan = due.schedules[0].plan(due.now);
        let advanced = world.lost(world.schedules().advance(&queue, &plan, Durability::Accepted)).await.unwrap().value;
        assert_eq!(advanced, Advanced::Done { jobs: plan.jobs.clone() });
        let waiting = world.stores.state.list(&queue, JobState::Ready, PageRequest::default()).await.unwrap().items;
        assert_eq!(waiting.len(), 3 * round, "each job was pushed once");
        let due = world.schedules().due(&queue, 1).await.unwrap();
        assert_eq!((due.schedules, due.next_in), (vec![], Some(MINUTE)));
    }
}

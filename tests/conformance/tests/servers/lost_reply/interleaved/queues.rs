//! Queues and their schedules.

use store_core::{
    Cancelled, ClaimRequest, ClaimedJob, Counts, Deleted, JobId, NewJob, Outcome, Pushed, Replayed, Schedule,
    ScheduleName, SchedulePut, Settled, Settlement,
};

use super::{ACCEPTED, MINUTE, World, holder};

impl World {
    async fn push_again(&self, text: &str) {
        let pushed = self.stores.state.push(&self.queue(), &[job(text)], ACCEPTED).await.unwrap().value;
        assert_eq!(pushed, [Pushed::Created { id: id(text) }]);
    }

    async fn claim_one(&self) -> ClaimedJob {
        let request = ClaimRequest::new(self.queue(), holder("worker"), 1, MINUTE);
        self.stores.state.claim(&request).await.unwrap().jobs.remove(0)
    }

    async fn end(&self, outcome: Outcome) {
        let settlement = Settlement::new(self.claim_one().await.lease, outcome);
        let settled = self.stores.state.settle(&self.queue(), &[settlement], ACCEPTED).await.unwrap().value;
        assert_eq!(settled, [Settled::Done]);
    }

    async fn counts_of_jobs(&self) -> Counts {
        self.stores.state.counts(&self.queue()).await.unwrap()
    }
}

fn id(text: &str) -> JobId {
    JobId::new(text).unwrap()
}

fn job(text: &str) -> NewJob {
    NewJob::new(text.as_bytes().to_vec()).with_id(id(text))
}

fn dead() -> Outcome {
    Outcome::Dead { reason: "broken".to_owned() }
}

pub(super) async fn push(world: World) {
    let (state, queue, jobs) = (&world.stores.state, world.queue(), [job("a")]);
    // The first request reads the shape of the queue.
    let pushed = world.between_behind(1, state.push(&queue, &jobs, ACCEPTED), world.end(Outcome::Complete(None)));
    assert_eq!(pushed.await.value, [Pushed::Created { id: id("a") }]);
    assert_eq!(world.counts_of_jobs().await, Counts::new(0, 0, 0, 0, 0));
}

pub(super) async fn settle(world: World) {
    let (state, queue) = (&world.stores.state, world.queue());
    world.push_again("a").await;
    let settlement = [Settlement::new(world.claim_one().await.lease, Outcome::Complete(None))];
    let settled = world.between(state.settle(&queue, &settlement, ACCEPTED), world.push_again("a"));
    assert_eq!(settled.await.value, [Settled::Done]);
    assert_eq!(world.counts_of_jobs().await, Counts::new(1, 0, 0, 0, 0));
}

pub(super) async fn cancel(world: World) {
    let (state, queue, job) = (&world.stores.state, world.queue(), id("a"));
    world.push_again("a").await;
    assert_eq!(world.between(state.cancel(&queue, &job), world.push_again("a")).await, Cancelled::Removed);
    assert_eq!(world.counts_of_jobs().await, Counts::new(1, 0, 0, 0, 0));
}

pub(super) async fn replay(world: World) {
    let (state, queue, jobs) = (&world.stores.state, world.queue(), [id("a")]);
    world.push_again("a").await;
    world.end(dead()).await;
    assert_eq!(world.between(state.replay(&queue, &jobs), world.end(dead())).await, [Replayed::Replayed]);
    assert_eq!(world.counts_of_jobs().await, Counts::new(0, 0, 0, 0, 1));
}

pub(super) async fn delete(world: World) {
    let (state, queue, jobs) = (&world.stores.state, world.queue(), [id("a")]);
    world.push_again("a").await;
    assert_eq!(world.between(state.delete(&queue, &jobs), world.push_again("a")).await, [Deleted::Deleted]);
    assert_eq!(world.counts_of_jobs().await, Counts::new(1, 0, 0, 0, 0));
}

pub(super) async fn promote(world: World) {
    let (state, queue, jobs) = (&world.stores.state, world.queue(), [id("a")]);
    let _ = state.push(&queue, &[job("a").with_delay(MINUTE)], ACCEPTED).await.unwrap();
    let again = Outcome::Snooze { after: MINUTE };
    assert_eq!(world.between(state.promote(&queue, &jobs), world.end(again)).await, [true]);
    assert_eq!(world.counts_of_jobs().await, Counts::new(0, 1, 0, 0, 0));
}

pub(super) async fn pause(world: World) {
    let (state, queue) = (&world.stores.state, world.queue());
    world.push_again("a").await;
    world.between(state.pause(&queue), async { state.resume(&queue).await.unwrap() }).await;
    assert!(!world.counts_of_jobs().await.paused);
}

pub(super) async fn resume(world: World) {
    let (state, queue) = (&world.stores.state, world.queue());
    world.push_again("a").await;
    state.pause(&queue).await.unwrap();
    world.between(state.resume(&queue), async { state.pause(&queue).await.unwrap() }).await;
    assert!(world.counts_of_jobs().await.paused);
}

fn minutely(payload: &'static str) -> Schedule {
    Schedule::every(MINUTE, NewJob::new(payload)).unwrap()
}

impl World {
    async fn put_minutely(&self, payload: &'static str) {
        let (queue, name) = (self.queue(), ScheduleName::new("report").unwrap());
        let _ = self.stores.state.schedules().put(&queue, &name, &minutely(payload), None, ACCEPTED).await.unwrap();
    }

    /// The payload of the schedule, and whether it is paused.
    async fn minutely(&self) -> Option<(Schedule, bool)> {
        let (queue, name) = (self.queue(), ScheduleName::new("report").unwrap());
        let info = self.stores.state.schedules().get(&queue, &name).await.unwrap();
        info.map(|info| (info.schedule, info.paused))
    }
}

pub(super) async fn put_schedule(world: World) {
    let (queue, name, schedule) = (world.queue(), ScheduleName::new("report").unwrap(), minutely("a"));
    let put = world.stores.state.schedules().put(&queue, &name, &schedule, None, ACCEPTED);
    // The first request reads the shape of the queue.
    let put = world.between_behind(1, put, world.put_minutely("b")).await;
    assert_eq!(put.value, SchedulePut::Stored { version: 1 });
    assert_eq!(world.minutely().await, Some((minutely("b"), false)));
}

pub(super) async fn delete_schedule(world: World) {
    let (queue, name) = (world.queue(), ScheduleName::new("report").unwrap());
    world.put_minutely("a").await;
    world.between(world.stores.state.schedules().delete(&queue, &name), world.put_minutely("b")).await;
    assert_eq!(world.minutely().await, Some((minutely("b"), false)));
}

pub(super) async fn pause_schedule(world: World) {
    let (schedules, queue) = (world.stores.state.schedules(), world.queue());
    let name = ScheduleName::new("report").unwrap();
    world.put_minutely("a").await;
    let resume = async { assert!(schedules.resume(&queue, &name).await.unwrap()) };
    assert!(world.between(schedules.pause(&queue, &name), resume).await);
    assert_eq!(world.minutely().await, Some((minutely("a"), false)));
}

pub(super) async fn resume_schedule(world: World) {
    let (schedules, queue) = (world.stores.state.schedules(), world.queue());
    let name = ScheduleName::new("report").unwrap();
    world.put_minutely("a").await;
    assert!(schedules.pause(&queue, &name).await.unwrap());
    let pause = async { assert!(schedules.pause(&queue, &name).await.unwrap()) };
    assert!(world.between(schedules.resume(&queue, &name), pause).await);
    assert_eq!(world.minutely().await, Some((minutely("a"), true)));
}

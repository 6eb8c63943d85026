//! The writes of the state store, and idempotent requests in both roles.

use std::time::Duration;

use bytes::Bytes;
use store_core::{
    AcquireRequest, Acquired, Beat, Begun, Cancelled, ClaimRequest, Counts, Durability, Extended, Extension,
    Fingerprint, Finished, Idempotency, IdempotentRequest, JobId, JobLease, JobState, Lease, LeaseInfo, NewJob,
    Outcome, PageRequest, Pushed, Replayed, Settled, Settlement, Ttl,
};
use testkit::{DEADLINE, wait_until};

use super::{World, holder, never_repeated};

const LEASE: Duration = Duration::from_secs(60);
const LATER: Duration = Duration::from_secs(3600);
const TTL: Ttl = Ttl::from_secs(600);

fn id() -> JobId {
    JobId::new("a").unwrap()
}

fn job() -> NewJob {
    NewJob::new("payload").with_id(id())
}

impl World {
    async fn pushed(&self, job: NewJob) {
        let pushed = self.stores.state.push(&self.queue(), &[job], Durability::Accepted).await.unwrap().value;
        assert_eq!(pushed, [Pushed::Created { id: id() }]);
    }

    async fn claimed(&self) -> JobLease {
        let request = ClaimRequest::new(self.queue(), holder("worker"), 1, LEASE);
        never_repeated(|| self.stores.state.claim(&request)).await.jobs.remove(0).lease
    }

    async fn settled(&self, lease: JobLease, outcome: Outcome) {
        let settlements = [Settlement::new(lease, outcome)];
        let settled = self.stores.state.settle(&self.queue(), &settlements, Durability::Accepted).await.unwrap();
        assert_eq!(settled.value, [Settled::Done]);
    }

    async fn settled_and_held(&self, lease: JobLease, outcome: Outcome) {
        let settlements = [Settlement::new(lease, outcome)];
        let (queue, accepted) = (self.queue(), Durability::Accepted);
        let settled = self.held(self.stores.state.settle(&queue, &settlements, accepted)).await;
        assert_eq!(settled.value, [Settled::Done]);
    }

    async fn buried(&self) {
        let lease = self.claimed().await;
        self.settled(lease, Outcome::Dead { reason: "broken".to_owned() }).await;
    }

    async fn counts(&self) -> Counts {
        self.stores.state.counts(&self.queue()).await.unwrap()
    }

    async fn state_of_job(&self) -> Option<JobState> {
        self.stores.state.get(&self.queue(), &id()).await.unwrap().map(|info| info.state)
    }

    async fn push_held(&self, job: NewJob) {
        let (queue, jobs) = (self.queue(), [job]);
        let pushed = self.held(self.stores.state.push(&queue, &jobs, Durability::Accepted)).await;
        assert_eq!(pushed.value, [Pushed::Created { id: id() }]);
    }
}

pub(super) async fn push_then_cancel(world: World) {
    world.push_held(job()).await;
    assert_eq!(world.stores.state.cancel(&world.queue(), &id()).await.unwrap(), Cancelled::Removed);
    world.arrives().await;
    assert_eq!((world.counts().await, world.state_of_job().await), (Counts::default(), None));
}

pub(super) async fn push_then_delete(world: World) {
    world.push_held(job()).await;
    world.stores.state.delete(&world.queue(), &[id()]).await.unwrap();
    world.arrives().await;
    assert_eq!((world.counts().await, world.state_of_job().await), (Counts::default(), None));
}

pub(super) async fn push_then_complete(world: World) {
    world.push_held(job()).await;
    world.settled(world.claimed().await, Outcome::Complete(None)).await;
    world.arrives().await;
    assert_eq!((world.counts().await, world.state_of_job().await), (Counts::default(), None));
}

pub(super) async fn push_with_delay_then_promote_and_complete(world: World) {
    world.push_held(job().with_delay(LATER)).await;
    assert_eq!(world.stores.state.promote(&world.queue(), &[id()]).await.unwrap(), [true]);
    world.settled(world.claimed().await, Outcome::Complete(None)).await;
    world.arrives().await;
    assert_eq!((world.counts().await, world.state_of_job().await), (Counts::default(), None));
}

async fn extend_held(world: &World, extension: Extension, lasting: Duration) {
    let (queue, jobs) = (world.queue(), [extension]);
    let extended = world.held(world.stores.state.extend(&queue, &jobs, lasting)).await;
    assert!(matches!(extended[..], [Extended::Until(_)]), "{extended:?}");
}

pub(super) async fn extend_then_extend(world: World) {
    world.pushed(job()).await;
    let lease = world.claimed().await;
    extend_held(&world, Extension::new(lease.clone()), LEASE).await;
    let extended = world.stores.state.extend(&world.queue(), &[Extension::new(lease)], LATER).await.unwrap();
    let [Extended::Until(until)] = extended[..] else { panic!("{extended:?}") };
    world.arrives().await;
    let info = world.stores.state.get(&world.queue(), &id()).await.unwrap().unwrap();
    assert_eq!((info.state, info.at), (JobState::Running, Some(until)));
}

pub(super) async fn extend_then_release(world: World) {
    world.pushed(job()).await;
    let lease = world.claimed().await;
    extend_held(&world, Extension::new(lease.clone()), LEASE).await;
    world.settled(lease, Outcome::Release).await;
    world.arrives().await;
    assert_eq!(world.state_of_job().await, Some(JobState::Ready));
    world.claimed().await;
}

pub(super) async fn extend_with_progress_then_extend(world: World) {
    world.pushed(job()).await;
    let lease = world.claimed().await;
    extend_held(&world, Extension::new(lease.clone()).with_progress("half"), LEASE).await;
    let done = Extension::new(lease).with_progress("all");
    world.stores.state.extend(&world.queue(), &[done], LEASE).await.unwrap();
    world.arrives().await;
    let info = world.stores.state.get(&world.queue(), &id()).await.unwrap().unwrap();
    assert_eq!(info.progress.as_deref(), Some(b"all".as_slice()));
}

pub(super) async fn retry_then_promote(world: World) {
    world.pushed(job()).await;
    let lease = world.claimed().await;
    world.settled_and_held(lease, Outcome::Retry { after: LATER, error: "broken".to_owned() }).await;
    assert_eq!(world.stores.state.promote(&world.queue(), &[id()]).await.unwrap(), [true]);
    world.arrives().await;
    assert_eq!(world.state_of_job().await, Some(JobState::Ready));
}

pub(super) async fn release_then_claim(world: World) {
    world.pushed(job()).await;
    let lease = world.claimed().await;
    world.settled_and_held(lease, Outcome::Release).await;
    let lease = world.claimed().await;
    world.arrives().await;
    assert_eq!(world.state_of_job().await, Some(JobState::Running));
    world.settled(lease, Outcome::Complete(None)).await;
}

pub(super) async fn bury_then_replay(world: World) {
    world.pushed(job()).await;
    let lease = world.claimed().await;
    world.settled_and_held(lease, Outcome::Dead { reason: "broken".to_owned() }).await;
    assert_eq!(world.stores.state.replay(&world.queue(), &[id()]).await.unwrap(), [Replayed::Replayed]);
    world.arrives().await;
    assert_eq!(world.state_of_job().await, Some(JobState::Ready));
}

pub(super) async fn complete_then_push(world: World) {
    world.pushed(job()).await;
    let lease = world.claimed().await;
    world.settled_and_held(lease, Outcome::Complete(None)).await;
    world.pushed(job()).await;
    world.arrives().await;
    assert_eq!(world.state_of_job().await, Some(JobState::Ready));
}

pub(super) async fn cancel_then_push(world: World) {
    world.pushed(job()).await;
    assert_eq!(world.held(world.stores.state.cancel(&world.queue(), &id())).await, Cancelled::Removed);
    world.pushed(job()).await;
    world.arrives().await;
    assert_eq!(world.state_of_job().await, Some(JobState::Ready));
}

pub(super) async fn cancel_a_running_job_then_retry(world: World) {
    world.pushed(job()).await;
    let lease = world.claimed().await;
    assert_eq!(world.held(world.stores.state.cancel(&world.queue(), &id())).await, Cancelled::Requested);
    world.settled(lease, Outcome::Cancelled).await;
    world.pushed(job()).await;
    world.claimed().await;
    world.arrives().await;
    let info = world.stores.state.get(&world.queue(), &id()).await.unwrap().unwrap();
    assert_eq!((info.state, info.cancel_requested), (JobState::Running, false));
}

pub(super) async fn replay_then_bury(world: World) {
    world.pushed(job()).await;
    world.buried().await;
    assert_eq!(world.held(world.stores.state.replay(&world.queue(), &[id()])).await, [Replayed::Replayed]);
    world.buried().await;
    world.arrives().await;
    assert_eq!(world.state_of_job().await, Some(JobState::Dead));
}

pub(super) async fn replay_then_delete(world: World) {
    world.pushed(job()).await;
    world.buried().await;
    assert_eq!(world.held(world.stores.state.replay(&world.queue(), &[id()])).await, [Replayed::Replayed]);
    world.stores.state.delete(&world.queue(), &[id()]).await.unwrap();
    world.arrives().await;
    assert_eq!((world.counts().await, world.state_of_job().await), (Counts::default(), None));
}

pub(super) async fn delete_then_push(world: World) {
    world.pushed(job()).await;
    world.held(world.stores.state.delete(&world.queue(), &[id()])).await;
    world.pushed(job()).await;
    world.arrives().await;
    assert_eq!(world.state_of_job().await, Some(JobState::Ready));
}

pub(super) async fn promote_then_snooze(world: World) {
    world.pushed(job().with_delay(LATER)).await;
    assert_eq!(world.held(world.stores.state.promote(&world.queue(), &[id()])).await, [true]);
    let lease = world.claimed().await;
    world.settled(lease, Outcome::Snooze { after: LATER }).await;
    world.arrives().await;
    assert_eq!(world.state_of_job().await, Some(JobState::Scheduled));
}

pub(super) async fn promote_then_cancel(world: World) {
    world.pushed(job().with_delay(LATER)).await;
    assert_eq!(world.held(world.stores.state.promote(&world.queue(), &[id()])).await, [true]);
    world.stores.state.cancel(&world.queue(), &id()).await.unwrap();
    world.arrives().await;
    assert_eq!((world.counts().await, world.state_of_job().await), (Counts::default(), None));
}

pub(super) async fn pause_then_resume(world: World) {
    world.held(world.stores.state.pause(&world.queue())).await;
    world.stores.state.resume(&world.queue()).await.unwrap();
    world.arrives().await;
    assert!(!world.counts().await.paused);
}

pub(super) async fn resume_then_pause(world: World) {
    world.held(world.stores.state.resume(&world.queue())).await;
    world.stores.state.pause(&world.queue()).await.unwrap();
    world.arrives().await;
    assert!(world.counts().await.paused);
}

fn lease(world: &World, who: &str) -> AcquireRequest {
    AcquireRequest::new(world.lease(), holder(who), LEASE)
}

async fn acquired(world: &World, who: &str) -> Lease {
    let acquired = world.stores.state.acquire(&lease(world, who), Durability::Accepted).await.unwrap().value;
    let Acquired::Yes(lease) = acquired else { panic!("{acquired:?}") };
    lease
}

async fn acquire_held(world: &World) -> Lease {
    let request = lease(world, "one");
    let acquired = world.held(world.stores.state.acquire(&request, Durability::Accepted)).await.value;
    let Acquired::Yes(lease) = acquired else { panic!("{acquired:?}") };
    lease
}

async fn shown(world: &World) -> Option<LeaseInfo> {
    world.stores.state.inspect(&world.lease()).await.unwrap()
}

pub(super) async fn acquire_then_release(world: World) {
    let lease = acquire_held(&world).await;
    assert!(world.stores.state.release(&lease).await.unwrap());
    world.arrives().await;
    assert_eq!(shown(&world).await, None);
}

pub(super) async fn acquire_then_release_and_another(world: World) {
    let lease = acquire_held(&world).await;
    assert!(world.stores.state.release(&lease).await.unwrap());
    let other = acquired(&world, "two").await;
    assert!(world.stores.state.release(&other).await.unwrap());
    world.arrives().await;
    assert_eq!(shown(&world).await, None);
}

pub(super) async fn renew_then_renew(world: World) {
    let lease = acquired(&world, "one").await;
    world.held(world.stores.state.renew(&lease, Duration::from_millis(300))).await.unwrap();
    // On a slow machine the short lease may expire before the long renewal arrives, which then cannot prolong it.
    let Some(until) = world.stores.state.renew(&lease, LATER).await.unwrap() else { return };
    world.arrives().await;
    assert_eq!(shown(&world).await.map(|lease| lease.until), Some(until));
}

pub(super) async fn renew_then_release(world: World) {
    let lease = acquired(&world, "one").await;
    world.held(world.stores.state.renew(&lease, LATER)).await.unwrap();
    assert!(world.stores.state.release(&lease).await.unwrap());
    world.arrives().await;
    assert_eq!(shown(&world).await, None);
}

pub(super) async fn release_then_acquire(world: World) {
    let lease = acquired(&world, "one").await;
    assert!(world.held(world.stores.state.release(&lease)).await);
    let next = acquired(&world, "one").await;
    world.arrives().await;
    assert_eq!(shown(&world).await, Some(next.info()));
}

async fn alive(world: &World) -> Vec<Bytes> {
    let members = world.stores.state.alive(&world.pool(), PageRequest::default()).await.unwrap().items;
    members.into_iter().map(|member| member.details).collect()
}

fn beat(world: &World, details: &'static str) -> Beat {
    Beat::new(world.pool(), holder("one"), LEASE).with_details(details)
}

pub(super) async fn beat_then_leave(world: World) {
    world.held(world.stores.state.beat(&beat(&world, "old"))).await;
    assert!(world.stores.state.leave(&world.pool(), &holder("one")).await.unwrap());
    world.arrives().await;
    assert!(alive(&world).await.is_empty());
}

pub(super) async fn beat_then_beat(world: World) {
    world.held(world.stores.state.beat(&beat(&world, "old"))).await;
    world.stores.state.beat(&beat(&world, "new")).await.unwrap();
    world.arrives().await;
    assert_eq!(alive(&world).await, ["new"]);
}

pub(super) async fn leave_then_beat(world: World) {
    world.stores.state.beat(&beat(&world, "old")).await.unwrap();
    world.held(world.stores.state.leave(&world.pool(), &holder("one"))).await;
    world.stores.state.beat(&beat(&world, "new")).await.unwrap();
    world.arrives().await;
    assert_eq!(alive(&world).await, ["new"]);
}

pub(super) fn request(world: &World) -> IdempotentRequest {
    IdempotentRequest::new(world.key("request"), Fingerprint::new([1; 32]))
}

pub(super) async fn begins_then_abandons(world: &World, store: &dyn Idempotency) {
    let mine = request(world);
    assert_eq!(world.held(store.begin(&mine, TTL)).await, Begun::Started);
    assert!(store.abandon(&mine).await.unwrap());
    world.arrives().await;
    assert_eq!(store.begin(&request(world), TTL).await.unwrap(), Begun::Started);
}

/// The response is kept for a moment; then another attempt begins.
pub(super) async fn finishes_then_begins(world: &World, store: &dyn Idempotency) {
    let (mine, other) = (request(world), request(world));
    assert_eq!(store.begin(&mine, TTL).await.unwrap(), Begun::Started);
    let moment = Ttl::new(Duration::from_millis(1)).unwrap();
    assert_eq!(world.held(store.finish(&mine, &Bytes::from("mine"), moment)).await, Finished::Stored);
    wait_until("the response is over", DEADLINE, async || store.begin(&other, TTL).await.unwrap() == Begun::Started)
        .await;
    assert!(store.abandon(&other).await.unwrap());
    world.arrives().await;
    assert_eq!(store.begin(&request(world), TTL).await.unwrap(), Begun::Started);
}

pub(super) async fn abandons_then_begins(world: &World, store: &dyn Idempotency) {
    let mine = request(world);
    assert_eq!(store.begin(&mine, TTL).await.unwrap(), Begun::Started);
    assert!(world.held(store.abandon(&mine)).await);
    assert_eq!(store.begin(&mine, TTL).await.unwrap(), Begun::Started);
    world.arrives().await;
    assert!(matches!(store.begin(&request(world), TTL).await.unwrap(), Begun::InProgress { .. }));
}

pub(super) async fn begin_then_abandon(world: World) {
    begins_then_abandons(&world, world.stores.state.as_ref()).await;
}

pub(super) async fn finish_then_begin(world: World) {
    finishes_then_begins(&world, world.stores.state.as_ref()).await;
}

pub(super) async fn abandon_then_begin(world: World) {
    abandons_then_begins(&world, world.stores.state.as_ref()).await;
}

//! The writes of the state store.

use std::time::Duration;

use store_core::{
    AcquireRequest, Acquired, Beat, Cancelled, ClaimRequest, ClaimedJob, Counts, Deleted, Durability, Extended,
    Extension, HolderName, JobId, JobInfo, Kept, LeaseName, NewJob, Op, Outcome, PageRequest, PoolName, Pushed,
    Replayed, Settled, Settlement, Wakeup,
};

use super::World;

const LEASE: Duration = Duration::from_secs(60);

fn id(text: &str) -> JobId {
    JobId::new(text).unwrap()
}

fn job(text: &str) -> NewJob {
    NewJob::new(text.as_bytes().to_vec()).with_id(id(text))
}

fn holder(name: &str) -> HolderName {
    HolderName::new(name).unwrap()
}

impl World {
    async fn pushed(&self, jobs: &[NewJob]) {
        let pushed = self.stores.state.push(&self.queue(), jobs, Durability::Accepted).await.unwrap().value;
        assert!(pushed.iter().all(Pushed::is_new), "{pushed:?}");
    }

    async fn claimed(&self, max: usize) -> Vec<ClaimedJob> {
        let request = ClaimRequest::new(self.queue(), holder("worker"), max, LEASE);
        self.stores.state.claim(&request).await.unwrap().jobs
    }

    async fn settled(&self, settlements: &[Settlement]) {
        let (state, queue) = (&self.stores.state, self.queue());
        let settled = state.settle(&queue, settlements, Durability::Accepted).await.unwrap().value;
        assert_eq!(settled, vec![Settled::Done; settlements.len()]);
    }

    async fn counts(&self) -> Counts {
        self.stores.state.counts(&self.queue()).await.unwrap()
    }

    async fn info(&self, text: &str) -> JobInfo {
        self.stores.state.get(&self.queue(), &id(text)).await.unwrap().unwrap()
    }

    /// One dead job.
    async fn buried(&self, text: &str) {
        self.pushed(&[job(text)]).await;
        let lease = self.claimed(1).await.remove(0).lease;
        self.settled(&[Settlement::new(lease, Outcome::Dead { reason: "broken".to_owned() })]).await;
    }
}

pub(super) async fn push(world: World) {
    let (state, queue) = (&world.stores.state, world.queue());
    let jobs = [job("a"), job("b").with_delay(LEASE), job("c")];
    let pushed = world.lost(state.push(&queue, &jobs, Durability::Accepted)).await.unwrap().value;
    assert_eq!(pushed, ["a", "b", "c"].map(|text| Pushed::Created { id: id(text) }));
    assert_eq!(world.counts().await, Counts::new(2, 1, 0, 0, 0));
    let other = world.lost(state.push(&queue, &[job("a")], Durability::Accepted)).await.unwrap().value;
    assert_eq!(other, [Pushed::Duplicate]);
    assert_eq!(world.claimed(10).await.len(), 2);
}

pub(super) async fn claim(world: World) {
    world.pushed(&[job("a"), job("b")]).await;
    let request = ClaimRequest::new(world.queue(), holder("worker"), 1, LEASE);
    world.never_repeated(Op::QueueClaim, world.stores.state.claim(&request)).await;
    assert_eq!(world.counts().await, Counts::new(1, 0, 1, 0, 0));
    let again = world.stores.state.claim(&request.repeated()).await.unwrap().jobs;
    assert_eq!(again.iter().map(|job| job.lease.job.clone()).collect::<Vec<_>>(), [id("a")]);
    assert_eq!(world.counts().await, Counts::new(1, 0, 1, 0, 0));
    world.clock.advance(LEASE);
    let attempts: Vec<u32> = world.claimed(10).await.iter().map(|job| job.attempt).collect();
    assert_eq!(attempts, [1, 1], "the worker never named the first delivery");
}

pub(super) async fn extend(world: World) {
    world.pushed(&[job("a")]).await;
    let extension = Extension::new(world.claimed(1).await.remove(0).lease).with_progress("half way");
    let until = world.clock.now().after(2 * LEASE);
    let extended = world.lost(world.stores.state.extend(&world.queue(), &[extension], 2 * LEASE)).await.unwrap();
    assert_eq!(extended, [Extended::Until(until)]);
    let info = world.info("a").await;
    assert_eq!((info.at, info.progress.as_deref()), (Some(until), Some(b"half way".as_slice())));
}

/// Every outcome in one batch, and again each outcome in a call of its own.
pub(super) async fn settle(world: World) {
    let (state, queue) = (&world.stores.state, world.queue());
    let outcomes = [
        Outcome::Complete(None),
        Outcome::Complete(Some(Kept::new("result", LEASE))),
        Outcome::Retry { after: LEASE, error: "broken".to_owned() },
        Outcome::Snooze { after: LEASE },
        Outcome::Dead { reason: "broken".to_owned() },
        Outcome::Release,
        Outcome::Cancelled,
    ];
    for sizes in [outcomes.len(), 1] {
        let ids: Vec<String> = (0..outcomes.len()).map(|number| format!("{sizes}-{number}")).collect();
        world.pushed(&ids.iter().map(|id| job(id)).collect::<Vec<_>>()).await;
        let claimed = world.claimed(outcomes.len()).await;
        let settlements: Vec<Settlement> =
            claimed.iter().zip(&outcomes).map(|(job, how)| Settlement::new(job.lease.clone(), how.clone())).collect();
        for batch in settlements.chunks(sizes) {
            let settled = world.lost(state.settle(&queue, batch, Durability::Accepted)).await.unwrap().value;
            assert_eq!(settled, vec![Settled::Done; batch.len()]);
        }
        assert_eq!(world.counts().await, Counts::new(1, 2, 0, 1, 1));
        let attempts = [world.info(&ids[2]).await.attempts, world.info(&ids[3]).await.attempts];
        assert_eq!((attempts, world.info(&ids[5]).await.attempts), ([1, 0], 0));
        let all: Vec<JobId> = ids.iter().map(|text| id(text)).collect();
        state.delete(&queue, &all).await.unwrap();
    }
}

/// The registration of a claim whose reply was lost is that of the claim which is sent again.
pub(super) async fn wait(world: World) {
    let waiter = world.stores.state.waiter();
    let request = ClaimRequest::new(world.queue(), holder("worker"), 1, LEASE);
    world.never_repeated(Op::QueueClaim, waiter.claim(&request, 1)).await;
    assert_eq!(waiter.claim(&request.repeated(), 1).await.unwrap().jobs, []);
    world.pushed(&[job("a")]).await;
    let woken = waiter.next(LEASE).await.unwrap();
    assert!(matches!(&woken, Some(Wakeup::Claimed { claim, .. }) if claim.jobs[0].id() == &id("a")), "{woken:?}");
    assert_eq!(world.counts().await, Counts::new(0, 0, 1, 0, 0));
}

pub(super) async fn cancel(world: World) {
    let (state, queue) = (&world.stores.state, world.queue());
    world.pushed(&[job("running"), job("ready"), job("other")]).await;
    let lease = world.claimed(1).await.remove(0).lease;
    let answers = [
        world.lost(state.cancel(&queue, &id("running"))).await.unwrap(),
        world.lost(state.cancel(&queue, &id("ready"))).await.unwrap(),
    ];
    assert_eq!(answers, [Cancelled::Requested, Cancelled::Removed]);
    assert_eq!(world.counts().await, Counts::new(1, 0, 1, 0, 0));
    assert!(world.info("running").await.cancel_requested);
    world.settled(&[Settlement::new(lease, Outcome::Cancelled)]).await;
    assert_eq!(world.claimed(10).await[0].id(), &id("other"));
}

pub(super) async fn replay(world: World) {
    world.buried("a").await;
    let replayed = world.lost(world.stores.state.replay(&world.queue(), &[id("a")])).await.unwrap();
    assert_eq!(replayed, [Replayed::Replayed]);
    assert_eq!(world.counts().await, Counts::new(1, 0, 0, 0, 0));
    assert_eq!((world.claimed(10).await.len(), world.claimed(10).await.len()), (1, 0));
}

pub(super) async fn delete(world: World) {
    world.buried("a").await;
    world.pushed(&[job("b"), job("c")]).await;
    let deleted = world.lost(world.stores.state.delete(&world.queue(), &[id("a"), id("b")])).await.unwrap();
    assert_eq!(deleted, [Deleted::Deleted; 2]);
    assert_eq!(world.counts().await, Counts::new(1, 0, 0, 0, 0));
    assert_eq!(world.claimed(10).await.len(), 1);
}

pub(super) async fn promote(world: World) {
    world.pushed(&[job("a").with_delay(LEASE), job("b").with_delay(2 * LEASE)]).await;
    let promoted = world.lost(world.stores.state.promote(&world.queue(), &[id("a")])).await.unwrap();
    assert_eq!(promoted, [true]);
    assert_eq!(world.counts().await, Counts::new(1, 1, 0, 0, 0));
    assert_eq!((world.claimed(10).await.len(), world.claimed(10).await.len()), (1, 0));
}

pub(super) async fn pause(world: World) {
    world.pushed(&[job("a")]).await;
    world.lost(world.stores.state.pause(&world.queue())).await.unwrap();
    assert!(world.claimed(1).await.is_empty() && world.counts().await.paused);
}

pub(super) async fn resume(world: World) {
    world.pushed(&[job("a")]).await;
    world.stores.state.pause(&world.queue()).await.unwrap();
    world.lost(world.stores.state.resume(&world.queue())).await.unwrap();
    assert!(!world.counts().await.paused && world.claimed(1).await.len() == 1);
}

fn request(world: &World) -> AcquireRequest {
    AcquireRequest::new(LeaseName::new(world.place).unwrap(), holder("one"), LEASE)
}

/// Acquires a lease that is free.
async fn held(world: &World) -> store_core::Lease {
    let acquired = world.stores.state.acquire(&request(world), Durability::Accepted).await.unwrap().value;
    let Acquired::Yes(lease) = acquired else { panic!("{acquired:?}") };
    lease
}

pub(super) async fn acquire(world: World) {
    let (state, asked) = (&world.stores.state, request(&world));
    let acquired = world.lost(state.acquire(&asked, Durability::Accepted)).await.unwrap().value;
    let Acquired::Yes(lease) = acquired else { panic!("{acquired:?}") };
    assert_eq!(state.inspect(&asked.name).await.unwrap(), Some(lease.info()));
    let other = world.lost(state.acquire(&request(&world), Durability::Accepted)).await.unwrap().value;
    assert_eq!(other, Acquired::Taken(lease.info()));
}

pub(super) async fn renew(world: World) {
    let lease = held(&world).await;
    let until = world.clock.now().after(2 * LEASE);
    assert_eq!(world.lost(world.stores.state.renew(&lease, 2 * LEASE)).await.unwrap(), Some(until));
    let shown = world.stores.state.inspect(&lease.name).await.unwrap();
    assert_eq!(shown.map(|lease| lease.until), Some(until));
}

pub(super) async fn release(world: World) {
    let lease = held(&world).await;
    assert!(world.lost(world.stores.state.release(&lease)).await.unwrap());
    assert!(held(&world).await.fence > lease.fence);
}

pub(super) async fn beat(world: World) {
    let (state, pool) = (&world.stores.state, PoolName::new(world.place).unwrap());
    let since = world.clock.now();
    for _ in 0..2 {
        let beat = Beat::new(pool.clone(), holder("one"), LEASE).with_details("busy");
        world.lost(state.beat(&beat)).await.unwrap();
        world.clock.advance(LEASE / 2);
    }
    let members = state.alive(&pool, PageRequest::default()).await.unwrap().items;
    assert_eq!((members.len(), members[0].since, members[0].last), (1, since, since.after(LEASE / 2)));
}

pub(super) async fn leave(world: World) {
    let (state, pool) = (&world.stores.state, PoolName::new(world.place).unwrap());
    for member in ["one", "two"] {
        state.beat(&Beat::new(pool.clone(), holder(member), LEASE)).await.unwrap();
    }
    assert!(world.lost(state.leave(&pool, &holder("one"))).await.unwrap());
    let members = state.alive(&pool, PageRequest::default()).await.unwrap().items;
    assert_eq!((members.len(), &members[0].name), (1, &holder("two")));
}

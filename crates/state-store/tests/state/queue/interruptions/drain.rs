//! A queue is drained, and checked meanwhile and afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use store_core::{
    ClaimRequest, ClaimedJob, Durability, HolderName, JobId, JobState, NewJob, Outcome, PageRequest, Pushed, Queue,
    QueueControl, QueueInspect, Settled, Settlement, Unique, UniqueKey, UniqueUntil,
};
use testkit::random_prefix;

use super::scenario::Scenario;
use super::{End, keys};
use crate::queue::LEASE;

/// What is left of a queue without jobs: the names of keys and of fields of `meta`. KEYS: those of each partition.
const AUDIT: &str = "local left = {}
for first = 0, #KEYS - 1, 14 do
  local meta = KEYS[first + 13]
  for i = 1, 14 do
    if i ~= 13 and redis.call('EXISTS', KEYS[first + i]) == 1 then left[#left + 1] = KEYS[first + i] end
  end
  for _, field in ipairs({'moving', 'alive', 'scheduled', 'running'}) do
    local value = redis.call('HGET', meta, field)
    if value and value ~= '0' then left[#left + 1] = field .. ' ' .. value end
  end
  for _, field in ipairs({'dead_bytes', 'completed_bytes'}) do
    if (redis.call('HGET', meta, field) or '0') ~= '0' then left[#left + 1] = field end
  end
end
return left";

const RIVAL: &str = "rival";

impl Scenario<'_> {
    fn request(&self) -> ClaimRequest {
        ClaimRequest::new(self.queue.clone(), HolderName::new("drain").unwrap(), 100, LEASE)
    }

    /// Completes jobs that are leased, and notes their ends.
    pub(super) async fn complete(&self, jobs: Vec<ClaimedJob>, ends: &mut BTreeMap<String, End>) {
        for job in &jobs {
            let name = String::from_utf8(job.payload.to_vec()).unwrap();
            assert_eq!(ends.insert(name, End::Done), None, "{} is delivered after it was completed", job.id());
        }
        self.push_rivals_of_running(&jobs).await;
        let settlement = |job: ClaimedJob| Settlement::new(job.lease, Outcome::Complete(None));
        let settlements: Vec<_> = jobs.into_iter().map(settlement).collect();
        if !settlements.is_empty() {
            let store = &self.environment.fixture.store;
            let settled = store.settle(&self.queue, &settlements, Durability::Accepted).await.unwrap().value;
            assert_eq!(settled, vec![Settled::Done; settled.len()]);
        }
    }

    /// A job that runs holds its unique key, if it holds it until it is finished.
    async fn push_rivals_of_running(&self, jobs: &[ClaimedJob]) {
        let name = |job: &ClaimedJob| String::from_utf8(job.payload.to_vec()).unwrap();
        let holders = jobs.iter().filter(|job| self.unique.get(&name(job)) == Some(&true));
        let (rivals, held): (Vec<_>, Vec<_>) =
            holders.map(|job| (rival(&name(job)), Pushed::Held { by: job.id().clone() })).unzip();
        if !rivals.is_empty() {
            let store = &self.environment.fixture.store;
            assert_eq!(store.push(&self.queue, &rivals, Durability::Accepted).await.unwrap().value, held);
        }
    }

    #[allow(clippy::print_stdout, reason = "shown when it fails")]
    /// Completes each job once, and removes the dead ones. How each job ended, by its name, in addition to `ends`.
    pub(super) async fn drain(&self, mut ends: BTreeMap<String, End>) -> BTreeMap<String, End> {
        let (store, queue) = (&self.environment.fixture.store, &self.queue);
        for calls in 0.. {
            assert!(calls < 40, "the queue does not become empty");
            let claim = store.claim(&self.request()).await.unwrap();
            self.complete(claim.jobs, &mut ends).await;
            match claim.next {
                Some(next) => self.environment.fixture.clock.advance(next),
                None => break,
            }
        }
        let dead = store.list(queue, JobState::Dead, PageRequest::first(1000)).await.unwrap().items;
        for info in &dead {
            println!("{} is dead: {:?}", info.id, info.last_error);
        }
        let ids: Vec<JobId> = dead.into_iter().map(|info| info.id).collect();
        for id in &ids {
            let name = self.names.get(id).cloned().unwrap_or_default();
            assert_eq!(ends.insert(name, End::Dead), None, "{id} is dead after it was completed");
        }
        if !ids.is_empty() {
            store.delete(queue, &ids).await.unwrap();
        }
        self.audit().await;
        ends
    }

    /// Nothing is left of a queue that was drained, and no unique key is held.
    async fn audit(&self) {
        // Kept results end, and an idle queue is cleaned up.
        let store = &self.environment.fixture.store;
        self.environment.fixture.clock.advance(Duration::from_secs(32 * 24 * 3600));
        store.claim(&self.request()).await.unwrap();
        let rivals: Vec<_> = self.unique.keys().map(|name| rival(name)).collect();
        if !rivals.is_empty() {
            let pushed = store.push(&self.queue, &rivals, Durability::Accepted).await.unwrap().value;
            assert!(pushed.iter().all(Pushed::is_new), "the keys of jobs that are gone are held: {pushed:?}");
            let jobs = store.claim(&self.request()).await.unwrap().jobs;
            assert!(jobs.len() == rivals.len() && jobs.iter().all(|job| job.payload == RIVAL), "{jobs:?}");
            let settlement = |job: ClaimedJob| Settlement::new(job.lease, Outcome::Complete(None));
            let settlements: Vec<_> = jobs.into_iter().map(settlement).collect();
            let _receipt = store.settle(&self.queue, &settlements, Durability::Accepted).await.unwrap();
        }
        store.claim(&self.request()).await.unwrap();
        let mut left = self.environment.on_keys(AUDIT, &keys(&self.queue), &[]).await.as_strings().unwrap();
        left.retain(|key| !(self.has_waiters && key.ends_with(":waiters")));
        assert_eq!(left, Vec::<String>::new(), "left in the empty queue");
    }
}

/// Another job with the unique key of this one.
fn rival(name: &str) -> NewJob {
    let id = JobId::new(random_prefix()).unwrap();
    NewJob::new(RIVAL).with_id(id).with_unique(Unique::new(UniqueKey::new(name).unwrap(), UniqueUntil::Finished))
}

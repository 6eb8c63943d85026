//! Carrying out a step on one engine. The outcome is a text: equal outcomes have equal texts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conformance::Stores;
use store_core::{
    AcquireRequest, Acquired, Beat, Durability, Entry, Fingerprint, HandoffItem, HolderName, IdempotentRequest, JobId,
    JobLease, Key, Lease, LeaseName, ManualClock, Member, PageRequest, PoolName, QueueName, RateCheck, RequestId,
    Result, Timestamp, Ttl, Waiter,
};

use super::generate::{IDS, job_id};
use super::step::Step;

/// Longer than all steps of a sequence together: values expire by the server's own clock.
const LONG: Ttl = Ttl::from_secs(300 * 86400);

/// One engine, and the leases and tokens that it has returned so far.
pub(super) struct World {
    pub(super) stores: Stores,
    pub(super) queue: QueueName,
    pub(super) claimed: Vec<JobLease>,
    /// The jobs with assigned ids that one step has leased, as long as no call has named one of them.
    pub(super) together: Vec<Vec<JobLease>>,
    pub(super) settled: Vec<JobLease>,
    /// The leases that were settled with a result, and the ends of the results.
    pub(super) results: Vec<(JobLease, Timestamp)>,
    pub(super) clock: ManualClock,
    /// The ids that the store has assigned, in the order of the pushes.
    pub(super) assigned: Vec<JobId>,
    /// The number of each of these.
    pub(super) numbers: HashMap<String, usize>,
    /// Whether a separate call removed a job with an assigned id from its batch. If the job was scheduled, the due time of the batch
    /// may remain: a claim may then report a due time that is too early.
    pub(super) may_be_early: bool,
    /// Whether the queue has one order, and one sequence of fences.
    pub(super) is_ordered: bool,
    pub(super) waiting: Option<Arc<dyn Waiter>>,
    /// Whether jobs may have been handed over: it is not defined how many of those that could be, and so how many claims follow.
    pub(super) has_waited: bool,
    /// How many jobs were handed over.
    pub(super) handed_over: usize,
    /// How many commits there were, and the numbers of the keys of their homes.
    pub(super) commits: u8,
    pub(super) homes: BTreeSet<u8>,
    place: String,
    held: Vec<Lease>,
}

impl World {
    pub(super) fn new(place: &str, stores: Stores, clock: ManualClock, is_ordered: bool) -> Self {
        let queue = QueueName::new(format!("{place}-queue")).unwrap();
        Self {
            stores,
            queue,
            claimed: Vec::new(),
            together: Vec::new(),
            settled: Vec::new(),
            results: Vec::new(),
            clock,
            assigned: Vec::new(),
            numbers: HashMap::new(),
            may_be_early: false,
            is_ordered,
            waiting: None,
            has_waited: false,
            handed_over: 0,
            commits: 0,
            homes: BTreeSet::new(),
            place: place.to_owned(),
            held: Vec::new(),
        }
    }

    /// Carries out a step. Errors of one kind are equal.
    pub(super) async fn play(&mut self, step: &Step) -> String {
        let outcome = match self.play_queue(step).await {
            Ok(None) => self.play_other(step).await,
            Ok(Some(outcome)) => Ok(outcome),
            Err(error) => Err(error),
        };
        outcome.map_or_else(|error| format!("error: {}", error.kind()), |outcome| self.named(&outcome))
    }

    /// The text with a name instead of each assigned id, because engines assign different ids.
    pub(super) fn named(&self, text: &str) -> String {
        let (mut named, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(first) = rest.chars().next() {
            // A UUID.
            let id = rest.get(..36).filter(|id| id.as_bytes()[8] == b'-');
            if let Some(number) = id.and_then(|id| self.numbers.get(id)) {
                named.push_str(&format!("new-{number:04}"));
                rest = &rest[36..];
            } else {
                named.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        named
    }

    /// The id with a number.
    pub(super) fn id(&self, number: u8) -> JobId {
        let assigned = number.checked_sub(IDS).and_then(|number| from_end(&self.assigned, usize::from(number)));
        assigned.cloned().unwrap_or_else(|| job_id(number % IDS))
    }

    /// The number that an id has in a push, if the number of an assigned id stands for it.
    pub(super) fn number(&self, number: u8) -> u8 {
        let is_assigned = number.checked_sub(IDS).is_some_and(|number| usize::from(number) < self.assigned.len());
        if is_assigned { number } else { number % IDS }
    }

    async fn play_other(&mut self, step: &Step) -> Result<String> {
        match step {
            Step::Acquire { .. } | Step::Renew(..) | Step::Release(_) | Step::Inspect(_) => self.play_lease(step).await,
            Step::Beat { .. } | Step::Leave(_) | Step::Members => self.play_member(step).await,
            Step::Begin { .. } | Step::Prolong { .. } | Step::Finish { .. } | Step::Abandon { .. } => {
                self.play_idempotency(step).await
            }
            Step::Put { .. } | Step::Take { .. } => self.play_handoff(step).await,
            _ => self.play_cache(step).await,
        }
    }

    async fn play_lease(&mut self, step: &Step) -> Result<String> {
        let state = &self.stores.state;
        let name = |name: u8| LeaseName::new(format!("{}-{name}", self.place)).unwrap();
        Ok(match step {
            Step::Acquire { name: number, holder: who, lasting, request } => {
                let asked =
                    AcquireRequest::new(name(*number), holder(*who), *lasting).with_request(request_id(*request));
                let acquired = state.acquire(&asked, Durability::Accepted).await?.value;
                let outcome = format!("{acquired:?}");
                if let Acquired::Yes(lease) = acquired {
                    self.held.push(lease);
                }
                outcome
            }
            Step::Inspect(number) => format!("{:?}", state.inspect(&name(*number)).await?),
            Step::Renew(number, lasting) => match from_end(&self.held, *number) {
                Some(lease) => format!("{:?}", state.renew(lease, *lasting).await?),
                None => String::new(),
            },
            Step::Release(number) => match from_end(&self.held, *number) {
                Some(lease) => format!("{:?}", state.release(lease).await?),
                None => String::new(),
            },
            _ => String::new(),
        })
    }

    async fn play_member(&self, step: &Step) -> Result<String> {
        let (state, pool) = (&self.stores.state, PoolName::new(&self.place).unwrap());
        Ok(match step {
            Step::Beat { member, lasting } => {
                let beat = Beat::new(pool, holder(*member), *lasting).with_details(vec![*member]);
                format!("{:?}", state.beat(&beat).await?)
            }
            Step::Leave(member) => format!("{:?}", state.leave(&pool, &holder(*member)).await?),
            _ => {
                let show = |members: Vec<Member>| members.into_iter().map(|member| (member.details.clone(), member));
                let alive: Vec<_> = show(state.alive(&pool, PageRequest::first(2)).await?.items).collect();
                let lost = state.lost(&pool, Timestamp::default(), PageRequest::default()).await?.items;
                format!("{alive:?} {:?}", show(lost).collect::<Vec<_>>())
            }
        })
    }

    /// Plays the step on both roles, which must agree, too.
    async fn play_idempotency(&self, step: &Step) -> Result<String> {
        let stores: [&dyn store_core::Idempotency; 2] = [self.stores.state.as_ref(), self.stores.cache.as_ref()];
        let mut outcomes = Vec::new();
        for store in stores {
            outcomes.push(match step {
                Step::Begin { key, content, request, lasting } => {
                    let begun = store.begin(&self.request(*key, *content, *request), ttl(*lasting)).await?;
                    match begun {
                        store_core::Begun::Finished(response) => format!("Finished({response:?})"),
                        begun => format!("{begun:?}"),
                    }
                }
                Step::Finish { key, request, response, keep } => {
                    let (asked, response) = (self.request(*key, 0, *request), Bytes::from_static(response.as_bytes()));
                    format!("{:?}", store.finish(&asked, &response, ttl(*keep)).await?)
                }
                Step::Prolong { key, request, lasting } => {
                    format!("{:?}", store.prolong(&self.request(*key, 0, *request), ttl(*lasting)).await?)
                }
                Step::Abandon { key, request } => {
                    // the contract does not define whether an expired request is still stored; the next begin returns the same
                    store.abandon(&self.request(*key, 0, *request)).await?;
                    String::new()
                }
                _ => String::new(),
            });
        }
        assert_eq!(outcomes[0], outcomes[1], "the two roles of one engine differ");
        Ok(outcomes.swap_remove(0))
    }

    async fn play_handoff(&self, step: &Step) -> Result<String> {
        let stores = &self.stores;
        Ok(match step {
            Step::Put { to_other, key, value, request } => {
                let to = if *to_other { &stores.other_service } else { &stores.service };
                let item = HandoffItem::new(to.clone(), self.key(*key), *value, LONG);
                format!("{:?}", stores.cache.put(&item.with_request(request_id(*request))).await?)
            }
            Step::Take { by_other, key, claim } => {
                let taker = if *by_other { &stores.other } else { &stores.cache };
                format!("{:?}", taker.take(&self.key(*key), request_id(*claim)).await?)
            }
            _ => String::new(),
        })
    }

    async fn play_cache(&self, step: &Step) -> Result<String> {
        let cache = &self.stores.cache;
        let entry = |key: u8, value: &'static str| Entry::new(self.key(key), value, LONG);
        let keys = |keys: &[u8]| keys.iter().map(|key| self.key(*key)).collect::<Vec<Key>>();
        Ok(match step {
            Step::Check(checks) => {
                let check = |(key, rate, cost): &(u8, _, u32)| RateCheck::new(self.key(*key), *rate).with_cost(*cost);
                format!("{:?}", cache.check(&checks.iter().map(check).collect::<Vec<_>>()).await?)
            }
            Step::ResetLimit(key) => format!("{:?}", cache.reset(&[self.key(*key)]).await?),
            Step::Set(key, value) => format!("{:?}", cache.set_many(&[entry(*key, value)]).await?),
            Step::SetIfAbsent(key, value, request) => {
                match cache.set_if_absent(&entry(*key, value), request_id(*request)).await? {
                    store_core::SetIfAbsent::Stored => "Stored".to_owned(),
                    store_core::SetIfAbsent::Present(value) => format!("Present({value:?})"),
                    other => format!("{other:?}"),
                }
            }
            Step::Get(numbers) => format!("{:?}", cache.get_many(&keys(numbers)).await?),
            Step::Unset(numbers) => format!("{:?}", cache.delete_many(&keys(numbers)).await?),
            Step::DeleteIf(key, value) => {
                format!("{:?}", cache.delete_if(&self.key(*key), &Bytes::from_static(value.as_bytes())).await?)
            }
            Step::Add(key, by) => format!("{:?}", cache.add(&self.key(*key), *by, LONG).await?),
            _ => String::new(),
        })
    }

    fn key(&self, key: u8) -> Key {
        Key::new(format!("{}-{key}", self.place)).unwrap()
    }

    fn request(&self, key: u8, content: u8, request: u8) -> IdempotentRequest {
        IdempotentRequest::new(self.key(key), Fingerprint::new([content; 32])).with_request(request_id(request))
    }
}

/// The element with this number, counted from the end.
pub(super) fn from_end<T>(items: &[T], number: usize) -> Option<&T> {
    items.iter().rev().nth(number)
}

pub(super) fn holder(number: u8) -> HolderName {
    HolderName::new(format!("holder-{number}")).unwrap()
}

fn request_id(number: u8) -> RequestId {
    RequestId::from_bytes([number; 16])
}

fn ttl(time: Duration) -> Ttl {
    Ttl::new(time).unwrap()
}

//! The time of a claim while the server is busy with other calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use store_core::{ClaimRequest, Durability, HolderName, Outcome, QueueName, Settlement, StateRole};
use tokio::task::JoinSet;

use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Environment, queue};
use crate::figure::{P50, P99, Sample};
use crate::floor::{Model, Streams};
use crate::load::{drain, from_tasks, push};
use crate::statistics::percentile;
use crate::wire::Commands;

/// Tasks that push, claim and settle, each as fast as its calls are answered.
const TASKS: usize = 8;
/// Jobs of a call.
const BATCH: usize = 50;

struct ClaimLatency;

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    vec![Box::new(ClaimLatency)]
}

#[async_trait]
impl Case for ClaimLatency {
    fn plan(&self) -> Plan {
        let about = "one claim of 50 jobs, while 8 tasks push, claim and settle as fast as they can";
        Plan::new("claim-latency", about).with_headline(P50).with_also(P99)
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let calls = environment.size(2_000);
        let ours = Ours { state: environment.stores().await?.state, queue: queue("claims")?, calls };
        Ok(vec![Box::new(ours), Box::new(Floor { calls })])
    }
}

/// The times of all claims.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<u64>>>);

impl Taken {
    fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(nanos);
    }

    fn add_to(&self, sample: Sample) -> Sample {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut millis = |share| Duration::from_nanos(percentile(&mut taken, share)).as_secs_f64() * 1e3;
        sample.with(P50, millis(0.5)).with(P99, millis(0.99))
    }
}

struct Ours {
    state: Arc<dyn StateRole>,
    queue: QueueName,
    calls: usize,
}

#[async_trait]
impl Side for Ours {
    fn name(&self) -> &str {
        OURS
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let taken = Taken::default();
        let (queue, holder) = (self.queue.clone(), HolderName::new("bench")?);
        let (state, payload, times) = (Arc::clone(&self.state), environment.payload(), taken.clone());
        let settled = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&settled);
        let operation = Arc::new(move |_| {
            let (state, payload, times) = (Arc::clone(&state), payload.clone(), times.clone());
            let (queue, count) = (queue.clone(), Arc::clone(&counter));
            let request = ClaimRequest::new(queue.clone(), holder.clone(), BATCH, Duration::from_secs(60));
            async move {
                push(state.as_ref(), &queue, &payload, BATCH, BATCH).await?;
                let begun = Instant::now();
                let claim = state.claim(&request).await?;
                times.add(begun.elapsed());
                let done = |lease| Settlement::new(lease, Outcome::Complete(None));
                let settlements: Vec<_> = claim.jobs.into_iter().map(|job| done(job.lease)).collect();
                count.fetch_add(settlements.len(), Ordering::Relaxed);
                if !settlements.is_empty() {
                    let _ = state.settle(&queue, &settlements, Durability::Accepted).await?;
                }
                Ok(())
            }
        });
        let sample = environment.measure(self.calls * BATCH, from_tasks(TASKS, 0..self.calls, &operation)).await?;
        // a claim may return fewer jobs than are ready
        let left = self.calls * BATCH - settled.load(Ordering::Relaxed);
        drain(self.state.as_ref(), &self.queue, left, BATCH).await?;
        Ok(taken.add_to(sample))
    }
}

/// The same work with a stream and its consumer group.
struct Floor {
    calls: usize,
}

#[async_trait]
impl Side for Floor {
    fn name(&self) -> &str {
        Streams.name()
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let (taken, calls) = (Taken::default(), self.calls.div_ceil(TASKS));
        Streams.prepare(&mut environment.wire().await?).await?;
        let mut wires = Vec::new();
        for _ in 0..TASKS {
            wires.push(environment.wire().await?);
        }
        let work = async {
            let mut running = JoinSet::new();
            for mut wire in wires {
                let (payload, times) = (environment.payload(), taken.clone());
                running.spawn(async move {
                    let mut commands = Commands::default();
                    for _ in 0..calls {
                        Streams.push(0..BATCH, &payload, &mut commands);
                        wire.exchange(&mut commands).await?;
                        Streams.claim(BATCH.to_string().as_bytes(), &mut commands);
                        let begun = Instant::now();
                        let claimed = wire.exchange(&mut commands).await?.pop().ok_or("a claim without a reply")?;
                        times.add(begun.elapsed());
                        if Streams.settle(claimed, &mut commands) != BATCH {
                            return Err("the floor has lost jobs".into());
                        }
                        wire.exchange(&mut commands).await?;
                    }
                    Result::Ok(())
                });
            }
            while let Some(ended) = running.join_next().await {
                ended??;
            }
            Ok(())
        };
        let sample = environment.measure(calls * TASKS * BATCH, work).await?;
        Ok(taken.add_to(sample))
    }
}

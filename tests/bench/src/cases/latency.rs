//! The time from the push of a job to its handler.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{NewJob, QueueExt, QueueName, StateRole};
use store_worker::{Done, Job};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::whole_life::CONCURRENCY;
use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Engine, Environment, link, queue};
use crate::figure::{Bound, CLIENT_MICROS, P50, P99, SERVER_MICROS, Sample, Target};
use crate::load::{Crew, PATIENCE, from_tasks};
use crate::meter::as_f64;
use crate::statistics::percentile;
use floor::{BRPOP, BRPOP_BY_LINK, Floor, LinkFloor, OnOwnServer, Way};

mod floor;

enum Latency {
    /// 200 jobs per second.
    Idle(Engine),
    /// Half of the highest rate of pushers and worker on this machine.
    HalfLoad,
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    let idle = Engine::ALL.map(|engine| Box::new(Latency::Idle(engine)) as Box<dyn Case>);
    idle.into_iter().chain([Box::new(Latency::HalfLoad) as Box<dyn Case>]).collect()
}

#[async_trait]
impl Case for Latency {
    fn plan(&self) -> Plan {
        match self {
            Latency::Idle(engine) => {
                let plan =
                    Plan::new("latency-idle", "from push to handler at 200 jobs/s").on(*engine).with_headline(P50);
                // 0.15 ms in memory and 0.5 ms in a file, where BRPOP takes 0.18 ms
                let limit = match engine {
                    Engine::Redis => return idle(plan),
                    Engine::EmbeddedMemory => 0.83,
                    Engine::EmbeddedFile => 2.77,
                };
                plan.with_target(Target::new(P50, Bound::AtMostTimes(limit, BRPOP))).with_also(P99)
            }
            Latency::HalfLoad => Plan::new(
                "latency-half-load",
                "from push to handler at half of what this machine can do, pushed singly",
            )
            .with_headline(P50)
            .with_also(P99),
        }
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let state = environment.stores().await?.state;
        let stopwatch = Stopwatch::default();
        let watch = stopwatch.clone();
        let crew = Crew::with_handler(&state, &[queue("latency")?], CONCURRENCY, move |job: Job| {
            watch.arrived(job.payload());
            std::future::ready(Ok(Done::discard()))
        })?;
        let ours = Ours { state, queue: queue("latency")?, crew, stopwatch, pace: Pace { rate: 200.0, ops: 0 } };
        let (rate, seconds, consumers) = match self {
            Latency::Idle(_) => (200.0, 10.0, 1),
            Latency::HalfLoad => (ours.capacity(environment).await? / 2.0, 4.0, 8),
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive count")]
        let pace = Pace { rate, ops: environment.size((rate * seconds) as usize) };
        let mut sides: Vec<Box<dyn Side>> = vec![Box::new(Ours { pace, ..ours })];
        if environment.engine != Engine::Redis {
            let floor = Floor { way: Way::Pop, consumers, pace };
            sides.push(Box::new(OnOwnServer::new(&environment.settings, floor).await?));
        } else {
            let ways = [Way::Pop, Way::Publish].into_iter();
            sides.extend(ways.map(|way| Box::new(Floor { way, consumers, pace }) as Box<dyn Side>));
            if let Latency::Idle(_) = self {
                let link = link(&environment.server()?.url(None), 0).await?;
                sides.push(Box::new(LinkFloor { link, pace }));
            }
        }
        Ok(sides)
    }
}

/// Everything that a job costs is compared with BRPOP by the smallest client, and by the client that the stores use.
fn idle(plan: Plan) -> Plan {
    let limits = [(P50, 1.5), (P99, 2.0), (SERVER_MICROS, 1.5), (CLIENT_MICROS, 2.0)];
    let with_target =
        |plan: Plan, (figure, limit)| plan.with_target(Target::new(figure, Bound::AtMostTimes(limit, BRPOP)));
    let plan = limits.into_iter().fold(plan, with_target);
    limits.into_iter().fold(plan, |plan, (figure, _)| plan.with_also_against(figure, BRPOP_BY_LINK))
}

/// The rate and the number of jobs.
#[derive(Clone, Copy)]
struct Pace {
    rate: f64,
    ops: usize,
}

impl Pace {
    fn ticks(self) -> Ticks {
        let period = Duration::from_secs_f64((1.0 / self.rate).max(0.001));
        Ticks { pace: self, interval: tokio::time::interval(period), begun: Instant::now(), pushed: 0 }
    }
}

/// A schedule of pushes that does not depend on how long the pushes take.
struct Ticks {
    pace: Pace,
    interval: tokio::time::Interval,
    begun: Instant,
    pushed: usize,
}

impl Ticks {
    /// Waits until jobs are due; `None` after the last.
    async fn next(&mut self) -> Option<usize> {
        while self.pushed < self.pace.ops {
            self.interval.tick().await;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive count")]
            let due = ((self.begun.elapsed().as_secs_f64() * self.pace.rate) as usize + 1).min(self.pace.ops);
            if due > self.pushed {
                return Some(due - std::mem::replace(&mut self.pushed, due));
            }
        }
        None
    }
}

/// Writes the time into payloads and reads it when they arrive; both in this process.
#[derive(Clone)]
struct Stopwatch {
    epoch: Instant,
    seen: Arc<Mutex<Vec<u64>>>,
    expected: Arc<AtomicUsize>,
    all: Arc<Notify>,
}

impl Default for Stopwatch {
    fn default() -> Self {
        let (seen, expected, all) = Default::default();
        Self { epoch: Instant::now(), seen, expected, all }
    }
}

impl Stopwatch {
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// 200 bytes that begin with the time.
    fn payload(&self) -> Bytes {
        let mut payload = vec![b'x'; 200];
        payload[..8].copy_from_slice(&self.now().to_le_bytes());
        payload.into()
    }

    fn arrived(&self, payload: &[u8]) {
        let now = self.now();
        let sent = payload.first_chunk().map_or(now, |bytes| u64::from_le_bytes(*bytes));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(now.saturating_sub(sent));
        if seen.len() == self.expected.load(Ordering::Relaxed) {
            self.all.notify_one();
        }
    }

    fn expect(&self, count: usize) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.expected.store(count, Ordering::Relaxed);
    }

    async fn wait(&self) -> Result<()> {
        Ok(tokio::time::timeout(PATIENCE, self.all.notified()).await?)
    }

    fn add_to(&self, sample: Sample) -> Sample {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut millis = |share| Duration::from_nanos(percentile(&mut seen, share)).as_secs_f64() * 1e3;
        sample.with(P50, millis(0.5)).with(P99, millis(0.99))
    }
}

struct Ours {
    state: Arc<dyn StateRole>,
    queue: QueueName,
    crew: Crew,
    stopwatch: Stopwatch,
    pace: Pace,
}

impl Ours {
    /// One push from a task of its own.
    fn operation(&self) -> impl Fn(usize) -> PushFuture + Send + Sync + 'static {
        let (state, queue, stopwatch) = (Arc::clone(&self.state), self.queue.clone(), self.stopwatch.clone());
        move |_| {
            let (state, queue, stopwatch) = (Arc::clone(&state), queue.clone(), stopwatch.clone());
            Box::pin(async move {
                state.push_one(&queue, NewJob::new(stopwatch.payload())).await?;
                Ok(())
            })
        }
    }

    /// Jobs per second when 50 tasks push as fast as they can.
    async fn capacity(&self, environment: &Environment) -> Result<f64> {
        let ops = environment.size(20_000);
        self.stopwatch.expect(ops);
        let begun = Instant::now();
        from_tasks(CONCURRENCY, 0..ops, &Arc::new(self.operation())).await?;
        self.stopwatch.wait().await?;
        Ok(as_f64(ops) / begun.elapsed().as_secs_f64())
    }
}

type PushFuture = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

#[async_trait]
impl Side for Ours {
    fn name(&self) -> &str {
        OURS
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        self.stopwatch.expect(self.pace.ops);
        let before = self.crew.completed();
        let (push, mut pushes) = (self.operation(), JoinSet::new());
        let work = async {
            let mut ticks = self.pace.ticks();
            while let Some(count) = ticks.next().await {
                for _ in 0..count {
                    pushes.spawn(push(0));
                }
                while let Some(ended) = pushes.try_join_next() {
                    ended??;
                }
            }
            while let Some(ended) = pushes.join_next().await {
                ended??;
            }
            self.stopwatch.wait().await
        };
        let sample = environment.measure(self.pace.ops, work).await?;
        self.crew.until_completed(before + self.pace.ops as u64).await?;
        Ok(self.stopwatch.add_to(sample))
    }
}

//! Single calls of each operation of the traits, one after the other, with no other call under way. This is the upper bound of
//! an operation's cost: concurrent calls are coalesced and share it.

mod broadcasts;
mod cache;
pub(super) mod embedded;
mod homes;
mod inventory;
mod queue;
mod retries;
mod runs;
mod schedules;
mod state;
mod steps;
mod tokens;
mod topics;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use store_core::Op;

use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Environment, Stores};
use crate::figure::{Bound, P50, P99, SENT, SERVER_MICROS, Sample, Target};
use crate::floor::Pipelined;
use crate::meter::as_f64;
use crate::sent::count_sent;
use crate::statistics::percentile;

/// The beginning of the cases' names, before the operation's name.
const PREFIX: &str = "each/";
/// The floor.
const PING: &str = "PING";

/// One call that is prepared but not begun.
type Call = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Prepares the calls of one operation, one for each of these numbers.
#[async_trait]
trait Prepare: Send + Sync {
    async fn calls(&self, stores: &Stores, numbers: std::ops::Range<usize>) -> Result<Vec<Call>>;
}

struct Each {
    op: Op,
    prepare: Arc<dyn Prepare>,
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    all().map(|(op, prepare)| Box::new(Each { op, prepare }) as Box<dyn Case>).collect()
}

fn all() -> impl Iterator<Item = (Op, Arc<dyn Prepare>)> {
    queue::all()
        .into_iter()
        .chain(state::all())
        .chain(tokens::all())
        .chain(steps::all())
        .chain(runs::all())
        .chain(homes::all())
        .chain(schedules::all())
        .chain(topics::all())
        .chain(broadcasts::all())
        .chain(retries::all())
        .chain(inventory::all())
        .chain(cache::all())
}

#[async_trait]
impl Case for Each {
    fn plan(&self) -> Plan {
        let name = format!("{PREFIX}{}", self.op.name());
        let plan = Plan::new(name, "single calls of this operation, one after the other, and PING for comparison")
            .with_also(P50)
            .with_also(SENT);
        match self.op {
            Op::QueueExtend | Op::QueueCancel | Op::QueueGet => {
                plan.with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(3.0, PING)))
            }
            Op::HomeCommit => plan.with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.3, homes::FLOOR))),
            _ => plan,
        }
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let ops = environment.size(2_000);
        let ping = Pipelined::new(environment.wire().await?, PING, 1, ops, |_, _, commands| {
            commands.add([b"PING".as_slice()])
        });
        let ours = Ours { stores: environment.stores().await?, prepare: Arc::clone(&self.prepare), ops, done: 0 };
        let mut sides: Vec<Box<dyn Side>> = vec![Box::new(ours), ping.side()];
        if self.op == Op::HomeCommit {
            sides.push(homes::floor(environment, ops).await?);
        }
        Ok(sides)
    }
}

struct Ours {
    stores: Stores,
    prepare: Arc<dyn Prepare>,
    ops: usize,
    done: usize,
}

/// The number of calls from which the average number of sent commands is computed.
const COUNTED: usize = 20;

#[async_trait]
impl Side for Ours {
    fn name(&self) -> &str {
        OURS
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let calls = self.prepare(self.ops).await?;
        let mut taken = Vec::with_capacity(self.ops);
        let work = async {
            for call in calls {
                let begun = Instant::now();
                call.await?;
                taken.push(u64::try_from(begun.elapsed().as_nanos())?);
            }
            Ok(())
        };
        let sample = environment.measure(self.ops, work).await?;
        let calls = self.prepare(COUNTED).await?;
        let work = async {
            for call in calls {
                call.await?;
            }
            Ok(())
        };
        let sent = count_sent(environment, work).await?;
        environment.remove_keys("each").await?;
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a call are far below 2^52")]
        let mut millis = |share| percentile(&mut taken, share) as f64 / 1e6;
        Ok(sample.with(P50, millis(0.5)).with(P99, millis(0.99)).with(SENT, as_f64(sent) / as_f64(COUNTED)))
    }
}

impl Ours {
    async fn prepare(&mut self, count: usize) -> Result<Vec<Call>> {
        let first = self.done;
        self.done += count;
        self.prepare.calls(&self.stores, first..self.done).await
    }
}

/// A call for each item.
fn calls_for<T, S, F, Fut>(store: &Arc<S>, items: impl IntoIterator<Item = T>, call: F) -> Vec<Call>
where
    S: ?Sized,
    F: Fn(Arc<S>, T) -> Fut,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    items.into_iter().map(|item| Box::pin(call(Arc::clone(store), item)) as Call).collect()
}

/// Fails if an answer is not the expected one.
fn expect(holds: bool, op: Op) -> Result<()> {
    if holds { Ok(()) } else { Err(format!("{op} answered what it should not").into()) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use store_core::Op;

    #[test]
    fn every_operation_has_its_case() {
        let have: HashSet<String> = super::cases().iter().map(|case| case.plan().name).collect();
        // opening a store is not an operation of a service; a wait lasts until something happens, and has the cases `idle`
        let without = [Op::Connect, Op::Ping, Op::Probe, Op::QueueWait];
        let missing: Vec<_> = Op::ALL.iter().filter(|op| !without.contains(op)).collect();
        let missing: Vec<_> =
            missing.into_iter().filter(|op| !have.contains(&format!("{}{op}", super::PREFIX))).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

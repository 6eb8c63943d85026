//! The worker's heartbeats.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use store_core::{Beat, Heartbeats, HolderName, PoolName, QueueName};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::stats::count_store_error;
use crate::tally::Tally;
use crate::worker::AbortOnDrop;

const EVERY: Duration = Duration::from_secs(5);
const LASTING: Duration = Duration::from_secs(15);
/// How long a shutdown waits for the pool. A member that could not leave counts as lost later.
const LEAVING: Duration = Duration::from_secs(1);

/// Sends heartbeats until the worker leaves or this is dropped.
pub(crate) struct Beating {
    heartbeats: Arc<dyn Heartbeats>,
    pool: PoolName,
    member: HolderName,
    /// Ends the task after the beat that it is sending.
    end: oneshot::Sender<()>,
    task: AbortOnDrop<()>,
}

/// Starts to send heartbeats.
pub(crate) fn start(
    heartbeats: Arc<dyn Heartbeats>,
    pool: PoolName,
    member: HolderName,
    queues: Vec<QueueName>,
    tally: Arc<Tally>,
) -> Beating {
    let (store, template) = (heartbeats.clone(), Beat::new(pool.clone(), member.clone(), LASTING));
    let (end, mut ended) = oneshot::channel();
    let task = AbortOnDrop(tokio::spawn(async move {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut ended => return,
            }
            let beat = template.clone().with_details(details(&queues, &tally));
            if let Err(error) = store.beat(&beat).await {
                count_store_error(error.op(), error.kind().name());
                tracing::debug!(%error, "a heartbeat was not sent; the next one follows");
            }
        }
    }));
    Beating { heartbeats, pool, member, end, task }
}

impl Beating {
    /// Leaves the pool, if the store answers in time. A beat that is under way ends first: it could be executed after the leave.
    pub(crate) async fn leave(mut self) {
        let _ = self.end.send(());
        let leave = async {
            let _ = (&mut self.task.0).await;
            self.heartbeats.leave(&self.pool, &self.member).await
        };
        let left = timeout(LEAVING, leave).await;
        if !matches!(left, Ok(Ok(_))) {
            tracing::debug!("the pool could not be left; the worker will count as lost there");
        }
    }
}

/// `{"running": 3, "queues": {"email": 3}}`; without the queues if they are too many.
fn details(queues: &[QueueName], tally: &Tally) -> Vec<u8> {
    let running = |(index, name): (usize, &QueueName)| (name.as_str().to_owned(), Value::from(tally.running(index)));
    let total = tally.stats().running;
    let full =
        json!({ "running": total, "queues": Map::from_iter(queues.iter().enumerate().map(running)) }).to_string();
    let text = if full.len() > Beat::MAX_DETAILS_BYTES { json!({ "running": total }).to_string() } else { full };
    text.into_bytes()
}

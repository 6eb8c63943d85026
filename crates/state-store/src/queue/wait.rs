//! [`Queue::wait`](store_core::Queue::wait)

use std::time::Duration;

use redis_link::{Arg, Reply};
use store_core::keys::QueueKeys;
use store_core::{Error, Op, QueueName, Result};

use super::PARTITION;
use crate::StateStore;

const OP: Op = Op::QueueWait;

/// A wait ends after this time even without news, so that a connection that died silently is noticed.
const LONGEST: Duration = Duration::from_secs(60);

pub(super) async fn wait(store: &StateStore, queues: &[QueueName], up_to: Duration) -> Result<Option<QueueName>> {
    let up_to = up_to.min(LONGEST);
    if queues.is_empty() || up_to.is_zero() {
        tokio::time::sleep(up_to).await;
        return Ok(None);
    }
    let wake = |queue: &QueueName| QueueKeys::new(&store.namespace, queue, PARTITION).wake;
    let mut args: Vec<Arg> = queues.iter().map(|queue| Arg::from(wake(queue))).collect();
    args.push(Arg::seconds(up_to));
    let Some(reply) = store.link.blocking(OP, "BLPOP", args, up_to).await? else { return Ok(None) };
    let key = match &reply {
        Reply::List(pair) => pair.first().and_then(Reply::as_str),
        _ => None,
    };
    let woken = queues.iter().find(|queue| key == Some(wake(queue).as_str()));
    woken.cloned().map(Some).ok_or_else(|| Error::corrupt(OP, "the server answered for a queue that was not asked for"))
}

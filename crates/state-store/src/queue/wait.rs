//! [`Queue::wait`](store_core::Queue::wait)

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use redis_link::{Arg, Reply, Script, keys};
use store_core::{Error, Op, QueueName, Result, millis_ceil};

use super::PARTITION;
use crate::StateStore;

const OP: Op = Op::QueueWait;

/// A wait ends after this time even without news, so that a connection that died silently is noticed.
const LONGEST: Duration = Duration::from_secs(60);

pub(super) static WAKE: Script = Script::frees("queue/wake", &[include_str!("../../lua/queue/wake.lua")]);

pub(super) async fn wait(store: &StateStore, queues: &[QueueName], up_to: Duration) -> Result<Option<QueueName>> {
    let up_to = up_to.min(LONGEST);
    if queues.is_empty() || up_to.is_zero() {
        tokio::time::sleep(up_to).await;
        return Ok(None);
    }
    let waiting = Waiting::new(store.clone(), queues, up_to);
    let Some(key) = waiting.await? else { return Ok(None) };
    let woken = queues.iter().find(|queue| wake(store, queue).as_bytes() == key);
    woken.cloned().map(Some).ok_or_else(|| Error::corrupt(OP, "the server answered for a queue that was not asked for"))
}

fn wake(store: &StateStore, queue: &QueueName) -> String {
    keys::wake(&store.namespace, queue, PARTITION)
}

/// The key in which something was found, if anything.
type Found = Result<Option<Vec<u8>>>;

/// A wait that can be dropped: the server is told to end it, and news that came before are left to others.
///
/// Closing the connection would end it as well, but what was popped just then would be lost.
struct Waiting {
    store: StateStore,
    /// What ends it is found under this key.
    stop: String,
    found: Option<Pin<Box<dyn Future<Output = Found> + Send>>>,
    is_sent: bool,
}

impl Waiting {
    fn new(store: StateStore, queues: &[QueueName], up_to: Duration) -> Self {
        let stop = keys::stop(&store.namespace, fastrand::u64(..));
        let mut args = Vec::with_capacity(queues.len() + 2);
        args.push(Arg::from(&stop));
        args.extend(queues.iter().map(|queue| Arg::from(wake(&store, queue))));
        args.push(Arg::seconds(up_to));
        let link = store.link.clone();
        let found = async move {
            let Some(reply) = link.blocking(OP, "BLPOP", args, up_to).await? else { return Ok(None) };
            let key = match &reply {
                Reply::List(pair) => pair.first().and_then(Reply::as_str),
                _ => None,
            };
            let key = key.ok_or_else(|| Error::corrupt(OP, "the server answered without a key"))?;
            Ok(Some(key.as_bytes().to_vec()))
        };
        Self { store, stop, found: Some(Box::pin(found)), is_sent: false }
    }
}

impl Future for Waiting {
    type Output = Found;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Found> {
        self.is_sent = true;
        let Some(found) = self.found.as_mut() else { return Poll::Pending };
        let polled = found.as_mut().poll(context);
        if polled.is_ready() {
            self.found = None;
        }
        polled
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(found) = self.found.take().filter(|_| self.is_sent) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (store, stop) = (self.store.clone(), std::mem::take(&mut self.stop));
            runtime.spawn(async move { end(&store, &stop, found).await });
        }
    }
}

/// Ends a wait. Where the server cannot be reached the wait ends by its time, or with its connection.
async fn end(store: &StateStore, stop: &str, found: impl Future<Output = Found>) {
    let (found, _) = tokio::join!(found, put_baton(store, stop, LONGEST));
    if let Ok(Some(key)) = found
        && key != stop.as_bytes()
        && let Ok(key) = String::from_utf8(key)
    {
        // News that cannot be handed on are as if their bearer had died: whoever waits looks again when its wait is over.
        let _ = put_baton(store, &key, Duration::ZERO).await;
    }
}

async fn put_baton(store: &StateStore, key: &str, lasting: Duration) -> Result<()> {
    store.link.call(OP, &WAKE, &[key], vec![Arg::from(millis_ceil(lasting))]).await.map(drop)
}

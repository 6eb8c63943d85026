//! Scripts that take many independent items in one call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use store_core::{Durability, Error, Op, Reached, Result};

use super::{Batcher, Bounds, Load};
use crate::link::Acknowledged;
use crate::{Answer, Arg, Link, Reply, ReplyReader, Script, keys, wire};

/// How many calls of a script may be under way before others wait.
const UNDER_WAY: usize = 2;
/// How many items one call carries: a server does nothing else meanwhile.
const ITEMS: usize = 128;
/// How many bytes of arguments, or of expected replies, one call carries.
const BYTES: usize = 1 << 20;

/// A script that takes any number of independent items. Its calls are coalesced (see [`Batcher`]), on a server in cluster mode
/// only those whose keys share a slot.
///
/// The script gets the keys of all items in order, and as arguments a common head and then the arguments of all items.
/// It returns `'each'` and then one element per item: a word, a list that begins with a word, or `{'failed', error}`
/// with the text of an error reply. Such an error is the error of this item alone; the other items are executed. So the
/// script reads keys that may hold another type by `redis.pcall`.
#[derive(Clone)]
pub struct SharedScript {
    shared: Arc<Shared>,
    lease: Option<Duration>,
}

struct Shared {
    link: Link,
    op: Op,
    script: &'static Script,
    head: Vec<Arg>,
    calls: Batcher<(u16, Durability), Item, Answered>,
}

/// The answer to an item, the receipt of its call, and what that has reached or `NotDurable`.
type Answered = (Reply, Option<Acknowledged>, Result<Reached>);

struct Item {
    keys: Vec<String>,
    args: Vec<Arg>,
    lease: Option<Duration>,
}

impl fmt::Debug for SharedScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedScript({})", self.shared.script.name())
    }
}

impl SharedScript {
    /// An item with this many bytes is sent alone.
    pub const ALONE: usize = BYTES + 1;

    /// The script of `op`, called through `link`. Each call begins with the arguments of `head`.
    pub fn new(link: &Link, op: Op, script: &'static Script, head: Vec<Arg>) -> Self {
        let bounds = Bounds { under_way: UNDER_WAY, items: ITEMS, bytes: BYTES };
        let (link, calls) = (link.clone(), Batcher::new(op, bounds));
        Self { shared: Arc::new(Shared { link, op, script, head, calls }), lease: None }
    }

    /// The same script, for items of a lease that lasts so long: see [`Link::for_lease`]. The shortest lease of coalesced calls counts.
    #[must_use]
    pub fn for_lease(&self, lasting: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), lease: Some(lasting) }
    }

    /// Calls the script for one item, with `bytes` expected in its arguments or its reply. Returns a reader over the
    /// item's own answer.
    ///
    /// # Errors
    /// Those of [`Link::call`], and of [`Batcher::call`].
    pub async fn call(&self, keys: Vec<String>, args: Vec<Arg>, bytes: usize) -> Result<ReplyReader> {
        self.call_durable(keys, args, bytes, Durability::Accepted).await.map(|(reply, _)| reply)
    }

    /// Like [`SharedScript::call`], and waits until the writes of the whole call have reached `durability`. Returns `NotDurable`
    /// beside the reader, so that the caller can record the write.
    ///
    /// # Errors
    /// Those of [`Link::call_durable`], and of [`Batcher::call`].
    pub async fn call_durable(
        &self,
        keys: Vec<String>,
        args: Vec<Arg>,
        bytes: usize,
        durability: Durability,
    ) -> Result<(ReplyReader, Result<Reached>)> {
        let (shared, items) = (Arc::clone(&self.shared), keys.len());
        let send = move |items| Arc::clone(&shared).send(items, durability);
        let slot = keys.first().filter(|_| self.shared.link.has_slots()).map_or(0, |key| keys::slot_of(key.as_bytes()));
        let (group, load) = ((slot, durability), Load { items, bytes });
        let (reply, receipt, reached) =
            self.shared.calls.call(group, load, Item { keys, args, lease: self.lease }, send).await?;
        Ok((read(self.shared.op, self.shared.script, reply)?.with_receipt(receipt), reached))
    }

    /// A reader over the answer to a call of such a script for one item, which was not coalesced.
    ///
    /// # Errors
    /// The error of the item.
    pub fn only(op: Op, script: &Script, answer: Answer) -> Result<ReplyReader> {
        let (mut answers, receipt) = split(op, answer, 1)?;
        Ok(read(op, script, answers.pop().unwrap_or(Reply::Nil))?.with_receipt(receipt))
    }
}

impl Shared {
    async fn send(self: Arc<Self>, items: Vec<Item>, durability: Durability) -> Result<Vec<Answered>> {
        let (count, mut keys, mut args) = (items.len(), Vec::with_capacity(items.len()), self.head.clone());
        args.reserve(items.iter().map(|item| item.args.len()).sum());
        let lease = items.iter().filter_map(|item| item.lease).min();
        let link = lease.map_or_else(|| self.link.clone(), |lease| self.link.for_lease(lease));
        for item in items {
            keys.extend(item.keys);
            args.extend(item.args);
        }
        let (answer, reached) = link.call_reaching(self.op, self.script, &keys, args, durability).await?;
        let (answers, receipt) = split(self.op, answer, count)?;
        Ok(answers.into_iter().map(|answer| (answer, receipt.clone(), reached.clone())).collect())
    }
}

/// The elements of a reply, one for each item, and the receipt of the call.
fn split(op: Op, answer: Answer, count: usize) -> Result<(Vec<Reply>, Option<Acknowledged>)> {
    let mut reply = answer.reader(op);
    if reply.next_word()?.as_ref() != b"each" {
        return Err(reply.unknown_word());
    }
    if reply.remaining() != count {
        return Err(Error::corrupt(op, "the reply does not have one answer for each item"));
    }
    Ok(((0..count).map(|_| reply.next_reply()).collect::<Result<_>>()?, reply.receipt()))
}

fn read(op: Op, script: &Script, reply: Reply) -> Result<ReplyReader> {
    if let Reply::List(elements) = &reply
        && let [Reply::Bytes(word), Reply::Bytes(error)] = elements.as_slice()
        && word.as_ref() == b"failed"
    {
        return Err(wire::answered(error).into_error(op, script.name()));
    }
    Ok(reply.reader(op))
}

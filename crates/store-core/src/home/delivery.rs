//! What a commit sends elsewhere, and the form in which an outbox stores it.

use std::fmt;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::{
    Error, JobId, Key, NewEvent, NewJob, Op, Priority, QueueName, Result, RetryPolicy, TopicName, TraceContext, Unique,
    UniqueKey, UniqueUntil, millis_ceil, validate_events,
};

const OP: Op = Op::HomeDeliver;
/// The form of an entry. It is part of the layout of queues: another one needs another layout of `queue`, so that processes which do
/// not read it are refused.
const LAYOUT: u8 = b'1';

/// A job for any queue, or an event for a topic, that a commit sends: see [`Commit::deliveries`](crate::Commit::deliveries).
///
/// The commit records it in the outbox of its queue. A worker then delivers it once. Deliveries have no order: a later one can arrive
/// before an earlier one, even of the same commit.
///
/// A job without an id gets one that depends on the entry of the outbox. If another job holds the unique key of a job, the job
/// counts as delivered, because an equivalent job exists. Delays and deadlines of a job begin when it is delivered. What the
/// destination refuses for good becomes a dead job of the outbox, with the reason; operators list it and replay it. Examples:
/// the topic was not declared, or the queue has a job with the same id from another push.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::sync::Arc;
/// use twinstore::home::{Delivery, Home};
/// use twinstore::prelude::*;
/// use twinstore::queue::UniqueKey;
///
/// /// The order is billed and the mail is sent, or neither.
/// async fn bill(home: Arc<dyn Home>, job: Job) -> HandlerResult {
///     let mail = Delivery::job(QueueName::new("mails")?, NewJob::new("your bill"));
///     match home.commit(&job.commit(()).with_delivery(mail), Durability::Accepted).await?.value.done() {
///         Some(_) => Ok(Done::committed()),
///         None => Err(JobError::dead("the lease has ended")),
///     }
/// }
///
/// let (orders, mails) = (QueueName::new("orders")?, QueueName::new("mails")?);
/// stores.state().queue().push_one(&orders, NewJob::new("order 7")).await?;
/// let home = stores.state().home(&orders, &UniqueKey::new("order 7")?);
/// let worker = stores.state().worker().with_queue("orders", move |job: Job| bill(home.clone(), job));
/// twinstore::testing::run_until_empty(worker.build()?, stores.state()).await?;
/// let (outbox, queue) = (orders.outbox(), stores.state().inspect());
/// // In the outbox, until a worker has delivered it.
/// assert_eq!(queue.counts(&outbox).await?.ready + queue.counts(&mails).await?.ready, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// A job to push.
    Job {
        /// The queue, which is no outbox.
        queue: QueueName,
        /// The job.
        job: NewJob,
    },
    /// An event to append. Without a key, its partition depends on the entry.
    Event {
        /// The topic.
        topic: TopicName,
        /// The event.
        event: NewEvent,
    },
}

/// What precedes the payload.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Head {
    Job {
        queue: QueueName,
        id: Option<JobId>,
        delay_ms: u64,
        priority: Priority,
        unique: Option<(UniqueKey, Until)>,
        retry: RetryPolicy,
        start_within_ms: Option<u64>,
        schema: u16,
        traceparent: Option<String>,
        tracestate: Option<String>,
    },
    Event {
        topic: TopicName,
        key: Option<Key>,
    },
}

/// Until when a unique key is held.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Until {
    Claimed,
    Finished,
    ElapsedMs(u64),
}

impl Delivery {
    /// How long an entry is retried: 7 days. An entry that fails later, or that no worker has claimed by then, becomes dead
    /// with the reason `deadline`, followed by the error of the last attempt, if there was one.
    ///
    /// If that error is [`Error::NotDurable`], the destination has the job or the event: check it before you replay the entry. The
    /// destination recognises a replayed entry for 7 days after its last attempt, and later delivers it again.
    pub const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

    /// Pushes a job to a queue.
    pub fn job(queue: QueueName, job: NewJob) -> Self {
        Delivery::Job { queue, job }
    }

    /// Appends an event to a topic.
    pub fn event(topic: TopicName, event: NewEvent) -> Self {
        Delivery::Event { topic, event }
    }

    /// Checks it against the limits of its destination.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`]
    #[doc(hidden)]
    pub fn validate(&self) -> Result<()> {
        match self {
            Delivery::Job { queue, .. } if queue.is_outbox() => {
                Err(Error::invalid_argument(OP, "a job goes to a queue, not to the outbox of one"))
            }
            Delivery::Job { job, .. } => NewJob::validate_all(std::slice::from_ref(job)),
            Delivery::Event { event, .. } => validate_events(std::slice::from_ref(event)),
        }
    }

    /// The payload of an entry: the layout, 4 bytes with the length of a head in JSON, the head, and the payload of the job or event.
    pub(super) fn encode(&self) -> Result<Bytes> {
        let (head, payload) = match self {
            Delivery::Job { queue, job } => (head_of(queue, job), &job.payload),
            Delivery::Event { topic, event } => {
                (Head::Event { topic: topic.clone(), key: event.key.clone() }, &event.payload)
            }
        };
        let head = serde_json::to_vec(&head).map_err(|_| Error::invalid_argument(OP, "it cannot be stored"))?;
        let mut bytes = BytesMut::with_capacity(5 + head.len() + payload.len());
        bytes.put_u8(LAYOUT);
        // Names and texts are bounded.
        bytes.put_u32(head.len() as u32);
        bytes.put_slice(&head);
        bytes.put_slice(payload);
        Ok(bytes.freeze())
    }

    /// Reads the payload of an entry. The push of its job gets an identity from the entry: see `OutboxEntry::delivery`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for the layout of a later version; [`Error::Corrupt`] for what is no entry.
    #[doc(hidden)]
    pub fn decode(mut payload: Bytes) -> Result<Self> {
        let damaged = || Error::corrupt(OP, "the job of the outbox is no entry that a commit has recorded");
        match payload.try_get_u8().map_err(|_| damaged())? {
            LAYOUT => {}
            digit if digit.is_ascii_digit() => {
                let detail = "a later version has recorded the entry; deliver it with that version";
                return Err(Error::unsupported(OP, detail));
            }
            _ => return Err(damaged()),
        }
        let length = usize::try_from(payload.try_get_u32().map_err(|_| damaged())?).map_err(|_| damaged())?;
        if length > payload.len() {
            return Err(damaged());
        }
        let head = serde_json::from_slice(&payload.split_to(length)).map_err(|_| damaged())?;
        let delivery = match head {
            Head::Event { topic, key } => Delivery::Event { topic, event: NewEvent { key, payload } },
            Head::Job {
                queue,
                id,
                delay_ms,
                priority,
                unique,
                retry,
                start_within_ms,
                schema,
                traceparent,
                tracestate,
            } => {
                let trace = traceparent.map(|text| TraceContext::new(&text)).transpose().map_err(|_| damaged())?;
                let job = NewJob {
                    id,
                    payload,
                    delay: Duration::from_millis(delay_ms),
                    priority,
                    unique: unique.map(|(key, until)| Unique::new(key, until.into())),
                    retry,
                    start_within: start_within_ms.map(Duration::from_millis),
                    schema,
                    trace: trace.map(|trace| tracestate.iter().fold(trace, |trace, text| trace.with_tracestate(text))),
                    request: 0,
                };
                Delivery::Job { queue, job }
            }
        };
        delivery.validate().map_err(|_| damaged())?;
        Ok(delivery)
    }
}

fn head_of(queue: &QueueName, job: &NewJob) -> Head {
    Head::Job {
        queue: queue.clone(),
        id: job.id.clone(),
        delay_ms: millis_ceil(job.delay),
        priority: job.priority,
        unique: job.unique.as_ref().map(|unique| (unique.key.clone(), unique.until.into())),
        retry: job.retry,
        start_within_ms: job.start_within.map(millis_ceil),
        schema: job.schema,
        traceparent: job.trace.as_ref().map(|trace| trace.traceparent().to_owned()),
        tracestate: job.trace.as_ref().and_then(TraceContext::tracestate).map(str::to_owned),
    }
}

impl From<UniqueUntil> for Until {
    fn from(until: UniqueUntil) -> Self {
        match until {
            UniqueUntil::Claimed => Until::Claimed,
            UniqueUntil::Finished => Until::Finished,
            UniqueUntil::Elapsed(time) => Until::ElapsedMs(millis_ceil(time)),
        }
    }
}

impl From<Until> for UniqueUntil {
    fn from(until: Until) -> Self {
        match until {
            Until::Claimed => UniqueUntil::Claimed,
            Until::Finished => UniqueUntil::Finished,
            Until::ElapsedMs(time) => UniqueUntil::Elapsed(Duration::from_millis(time)),
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Delivery::Job { queue, job } => f.debug_tuple("Job").field(queue).field(job).finish(),
            Delivery::Event { topic, event } => f.debug_tuple("Event").field(topic).field(event).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backoff;

    fn deliveries() -> [Delivery; 4] {
        let trace = TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let job = NewJob { request: 0, ..NewJob::new(&b"\x00\xff"[..]) };
        let full = NewJob { request: 0, ..NewJob::new("größe") }
            .with_id(JobId::new("a \"b\" \\ ✓").unwrap())
            .with_delay(Duration::from_millis(1_001))
            .with_priority(Priority::Critical)
            .with_unique(Unique::new(UniqueKey::new("k\"").unwrap(), UniqueUntil::Elapsed(Duration::from_millis(7))))
            .with_retry(RetryPolicy::new(3, Backoff::Fixed(Duration::from_millis(5))))
            .with_start_within(Duration::from_millis(9))
            .with_schema(7)
            .with_trace(trace.with_tracestate("a=b"));
        let (queue, topic) = (QueueName::new("mail").unwrap(), TopicName::new("orders").unwrap());
        [
            Delivery::job(queue.clone(), job),
            Delivery::job(queue, full),
            Delivery::event(topic.clone(), NewEvent::new("paid")),
            Delivery::event(topic, NewEvent::new("").with_key(Key::new("k").unwrap())),
        ]
    }

    #[test]
    fn every_entry_comes_back_as_it_was() {
        for delivery in deliveries() {
            assert_eq!(Delivery::decode(delivery.encode().unwrap()).unwrap(), delivery);
        }
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for delivery in deliveries() {
            let whole = delivery.encode().unwrap();
            let head = 5 + u32::from_be_bytes([whole[1], whole[2], whole[3], whole[4]]) as usize;
            for length in 0..head {
                assert!(matches!(Delivery::decode(whole.slice(..length)), Err(Error::Corrupt { .. })), "{length}");
            }
        }
        for text in ["x", "hello, this is a job", "1\0\0\0\x02{}", "1\0\0\0\x04null"] {
            assert!(matches!(Delivery::decode(Bytes::from(text)), Err(Error::Corrupt { .. })), "{text}");
        }
        assert!(matches!(Delivery::decode(Bytes::from("2anything")), Err(Error::Unsupported { .. })));
    }
}

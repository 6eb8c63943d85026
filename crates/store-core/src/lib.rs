//! The contract of Twinstore's two stores: what every engine promises, in traits, types and errors. No I/O.
//!
//! The **cache store** ([`CacheRole`]) may be lost at any moment; nothing is stored in it without a [`Ttl`]. The **worker
//! state store** ([`StateRole`]) must not be lost: an acknowledged write survives what its [`Durability`] covers. The two share
//! no capability that would let them be confused: there is no queue and no lease on the cache, and no value without an
//! owner in the state.
//!
//! Each capability is a small object-safe trait, bytes in, bytes out: depend on the smallest, `Arc<dyn Queue>`. An
//! expected outcome is a value; an [`Error`] means that the question was not answered, and states whether anything was
//! executed. Time is always the server's.

mod broadcasts;
mod durability;
mod error;
mod fence;
mod handoff;
mod heartbeats;
mod home;
mod idempotency;
mod inventory;
mod json;
mod key_value;
mod leases;
mod loss;
pub mod metric;
mod name;
mod notifications;
mod op;
mod page;
mod pressure;
mod queue;
mod rate_limit;
mod resume_tokens;
mod retention;
mod retries;
mod role;
mod runs;
mod schedules;
mod secret;
mod sessions;
mod steps;
mod time;
mod topics;
mod typed;

pub use broadcasts::{Broadcast, BroadcastEvent, BroadcastListener, Broadcasts};
#[doc(hidden)]
pub use broadcasts::{BroadcastSender, validate_message};
pub use durability::{Durabilities, Durability, Reached, Receipt};
pub use error::{Error, ErrorKind, Result, Source};
pub use fence::Fence;
pub use handoff::{Handoff, HandoffItem, Put};
pub use heartbeats::{Beat, Heartbeats, Member};
pub use home::{Commit, CommitParts, Committed, Delivered, Delivery, Home, Homes, OutboxEntry};
pub use idempotency::{Begun, Fingerprint, Finished, Idempotency, IdempotentRequest};
pub use inventory::Inventory;
pub use key_value::{Entry, KeyValue, SetIfAbsent};
pub use leases::{AcquireRequest, Acquired, Lease, LeaseInfo, Leases};
pub use loss::{AcknowledgedWrite, LossReport};
#[doc(hidden)]
pub use name::BatchId;
pub use name::{
    AgentName, BroadcastName, GroupName, HandleKind, HandleName, HolderName, JobId, Key, LeaseName, NameError,
    Namespace, PoolName, QueueName, RequestId, RunId, ScheduleName, ServiceName, SessionId, StepName, StreamName,
    TopicName, UniqueKey,
};
pub use notifications::{Notifications, Notify, Subscribed};
pub use op::{Op, Repeat};
pub use page::{Cursor, Page, PageRequest};
pub use pressure::{Pressure, PressureReading};
pub use queue::{
    Backoff, Cancelled, Claim, ClaimRequest, ClaimedJob, Counts, Deleted, Explanation, Extended, Extension, JobInfo,
    JobLease, JobState, JobType, Kept, MAX_MOVES, NewJob, Outcome, Priority, Pushed, Queue, QueueControl, QueueExt,
    QueueInspect, REGISTRATION, Replayed, RetryPolicy, Settled, Settlement, TraceContext, TypedQueue, Unique,
    UniqueUntil, Waiter, Wakeup, cut_reason, validate_batch, validate_lease,
};
pub use rate_limit::{LimitState, Rate, RateCheck, RateDecision, RateLimit, validate_checks};
pub use resume_tokens::{ResumeToken, ResumeTokenInfo, ResumeTokens, SaveRequest, TokenOutcome, TokenVersion};
pub use retention::{Retention, StateOptions};
pub use retries::{Retries, RetryAttempt, RetryBegun, RetryDecision, RetryFailed, RetryInfo, RetryRequest, RetryState};
pub use role::{CacheRole, Role, Scope, StateRole};
pub use runs::{
    NewRun, RunEvent, RunEvents, RunFilter, RunInfo, RunOutcome, RunPage, RunState, RunWrite, Runs, RunsRemoved,
};
pub use schedules::{Advance, Advanced, CatchUp, DueSchedules, Firing, Schedule, ScheduleInfo, SchedulePut, Schedules};
pub use secret::Secret;
pub use sessions::{Session, SessionOutcome, SessionPage, SessionSave, Sessions};
pub use steps::{StepAttempt, StepBegun, StepInfo, StepState, Steps, WorkflowRun, validate_output};
pub use time::{Clock, ManualClock, Timestamp, Ttl, TtlError, millis_ceil, next_sequence};
pub use topics::{
    Event, EventBatch, EventId, GroupInfo, NewEvent, PartitionInfo, PartitionLease, ReadOutcome, ReadRequest, SeekTo,
    TopicConfig, Topics, validate_events,
};
pub use typed::{KeyValueExt, OnUnavailable, RateLimitExt, TypedHandoff, TypedKeyValue};

//! Placeholder: guide follows.
mod durability;
mod error;
mod fence;
mod name;
mod op;
mod page;
mod role;
mod secret;
mod time;

pub use durability::{Durability, Reached, Receipt};
pub use error::{Error, Result, Source};
pub use fence::Fence;
pub use name::{
    HolderName, JobId, Key, LeaseName, NameError, Namespace, PoolName, QueueName, RequestId, ServiceName, UniqueKey,
};
pub use op::{Op, Repeat};
pub use page::{Cursor, Page, PageRequest};
pub use role::Role;
pub use secret::Secret;
pub use time::{Clock, ManualClock, Timestamp, Ttl, TtlError, millis_ceil};

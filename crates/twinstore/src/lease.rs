//! Leases with fencing tokens, and leadership: one process of several is in charge.
//!
//! [`Leases`] grants a lease to one holder at a time. The [`Fence`] of a lease rises with each grant: a resource that
//! remembers the highest fence refuses a stale holder. A [`Candidate`] acquires and renews a lease in a task of its own.
//! [`Leadership::run_every`] runs periodic work in one process of several.

pub use store_core::{AcquireRequest, Acquired, Fence, Lease, LeaseInfo, LeaseName, Leases};
pub use store_worker::{Candidate, Leadership, Leading, Standing};

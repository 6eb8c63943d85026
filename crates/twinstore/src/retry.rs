//! Retries: how often an operation was tried, why it failed, and when it may be tried again. All processes share this record.
//!
//! Jobs of a queue have retries of their own ([`RetryPolicy`](crate::queue::RetryPolicy)). [`Retries`] is for other operations and
//! takes the same policies.

pub use store_core::{
    Retries, RetryAttempt, RetryBegun, RetryDecision, RetryFailed, RetryInfo, RetryRequest, RetryState,
};

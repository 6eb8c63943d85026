//! Idempotent requests: the first request is executed, its repetitions get the same response.
//!
//! Both stores have [`Idempotency`]. The cache store may evict a key before its time; the worker state store keeps it.

pub use crate::stores::{Operation, OperationError, OperationFailure, Ran};
pub use store_core::{Begun, Fingerprint, Finished, Idempotency, IdempotentRequest};

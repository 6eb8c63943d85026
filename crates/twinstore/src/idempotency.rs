//! Idempotent requests: the first one is executed, repetitions get its response.
//!
//! Both stores have [`Idempotency`]. The cache store may evict a key before its time; the worker state store keeps it.

pub use crate::stores::{Operation, OperationError, OperationFailure, Ran};
pub use store_core::{Begun, Fingerprint, Finished, Idempotency, IdempotentRequest};

//! Idempotent requests: the first request is executed, its repetitions get the same response.
//!
//! Most services use an [`Operation`], which [`State::operation`](crate::State::operation) and
//! [`Cache::operation`](crate::Cache::operation) make. [`Idempotency`] is the interface below it. Both stores have it. The cache store may evict a key before its time; the worker state store keeps it.

pub use crate::stores::{Operation, OperationError, OperationFailure, Ran};
pub use store_core::{Begun, Fingerprint, Finished, Idempotency, IdempotentRequest};

//! Idempotent requests: the first request is executed, its repetitions get the same response.
//!
//! Most services use an [`Operation`], which [`State::operation`](crate::State::operation) and
//! [`Cache::operation`](crate::Cache::operation) make. [`Idempotency`] is the interface below it. Both stores have it:
//!
//! - In the cache store, a key can be lost: it is evicted when memory is full, and a restart or a failover may lose it. A repetition is
//!   then executed again. This suits requests whose second execution wastes work but harms nobody.
//! - In the worker state store, a key is kept until its TTL ends. This is for requests that must not be executed twice, such as a
//!   payment. With `REDIS_STATE_IDEMPOTENCY_DURABILITY=replicated`, and `REDIS_STATE_MIN_REPLICAS` set to the number of all
//!   replicas, a key also survives every failover.
//!
//! To move an operation from the cache store to the worker state store, call `stores.state().operation(…)` instead of
//! `stores.cache().operation(…)`, with the same arguments. Keys are not copied: a request that began in the cache store before the
//! change is new to the state store, so deploy the change when no client repeats older requests.

pub use crate::stores::{Operation, OperationError, OperationFailure, Ran};
pub use store_core::{Begun, Fingerprint, Finished, Idempotency, IdempotentRequest};

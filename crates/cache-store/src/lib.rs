//! The cache store on Redis-compatible servers.
//!
//! [`CacheStore`] implements the capabilities of the cache role: [`KeyValue`](store_core::KeyValue),
//! [`Idempotency`](store_core::Idempotency) and [`RateLimit`](store_core::RateLimit) in the database of the service,
//! [`Handoff`](store_core::Handoff) in the database that all services share. Reads are plain commands; an operation
//! that decides and writes is one Lua script.
//!
//! Every key has a TTL. A full server evicts keys (`volatile-lru`): an evicted value reads as absent and is not an
//! error.

mod handoff;
mod idempotency;
mod key_value;
#[cfg(test)]
mod lua;
mod rate_limit;
mod store;

pub use store::{CacheOptions, CacheStore};

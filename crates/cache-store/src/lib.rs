//! The cache store on Redis-compatible servers.
//!
//! [`CacheStore`] implements the capabilities of the cache role: [`KeyValue`](store_core::KeyValue),
//! [`Idempotency`](store_core::Idempotency) and [`RateLimit`](store_core::RateLimit) in the database of the service,
//! [`Handoff`](store_core::Handoff) in the database that all services share. One value is one plain command; everything
//! that must decide and write at once is one Lua script.
//!
//! Every key that it writes has a TTL. A server that is full evicts by itself (`volatile-lru`): what is gone is absent,
//! never an error.

mod handoff;
mod idempotency;
mod key_value;
mod rate_limit;
mod store;

pub use store::{CacheOptions, CacheStore};

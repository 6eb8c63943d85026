//! The worker state store on Redis-compatible servers.
//!
//! [`StateStore`] implements the capabilities of the state role, each operation as one Lua script: queues
//! ([`Queue`](store_core::Queue), [`QueueInspect`](store_core::QueueInspect),
//! [`QueueControl`](store_core::QueueControl)), leases, heartbeats, and idempotency keys that may not be lost. The scripts
//! take the time from the server, recognise what is sent again, and order their writes such that a server that dies between
//! two of them leaves nothing behind that the next call does not put right.

mod heartbeats;
mod idempotency;
mod leases;
mod queue;
mod store;

pub use store::StateStore;
pub use store_core::StateOptions;

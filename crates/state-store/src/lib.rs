//! The worker state store on Redis-compatible servers.
//!
//! [`StateStore`] implements the capabilities of the state role with Lua scripts, most operations as one script: queues
//! ([`Queue`](store_core::Queue), [`QueueInspect`](store_core::QueueInspect), [`QueueControl`](store_core::QueueControl)), their
//! schedules ([`Schedules`](store_core::Schedules)), leases, heartbeats, resume tokens, steps of workflow runs, retries, runs of agents,
//! sessions, homes, topics, broadcasts, and idempotency keys that must not be lost. The scripts read the server's clock and
//! recognise repeated requests. If
//! a server dies between two writes of a script, the next call repairs the partial write.

mod broadcasts;
mod heartbeats;
mod idempotency;
mod inventory;
mod leases;
#[cfg(test)]
mod lua;
mod notifications;
mod queue;
mod resume_tokens;
mod retries;
mod runs;
mod steps;
mod store;
mod topics;

pub use store::StateStore;
pub use store_core::StateOptions;

//! Both stores inside the process: in memory, or in one durable file each, on redb. For development and tests, for
//! single machines without a server, and as the reference model of every engine.
//!
//! [`EmbeddedState`] has every capability of the state role, [`EmbeddedCache`] every one of the cache role. The clock
//! of the process decides ([`StateOptions::clock`] for tests).
//!
//! * **In memory** a call runs in the task that makes it, and never waits for another thread.
//! * **In a file** one thread writes: it commits all waiting calls with one `fsync`, and then answers them. Answered
//!   calls survive `kill -9` and a power cut. A file is for one process, which opens it once.
//!
//! A dropped call is executed as a whole or not at all. Sending it again is safe if
//! [`Op::repeat`](store_core::Op::repeat) allows it.

mod cache;
mod closed;
mod database;
mod encoding;
mod expiring;
mod fault;
mod file;
mod idempotency;
mod moment;
mod options;
mod rows;
mod state;
mod waiting;

pub use cache::EmbeddedCache;
pub use options::CacheOptions;
pub use state::EmbeddedState;
pub use store_core::StateOptions;

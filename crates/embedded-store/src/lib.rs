//! Both stores inside the process, on redb: in memory, or in one durable file each. For development and tests, for one
//! machine that needs no server, and as the reference model of what every engine does.
//!
//! [`EmbeddedState`] has every capability of the state role, [`EmbeddedCache`] every one of the cache role. The process is
//! its own server: its clock decides ([`StateOptions::clock`] for tests).
//!
//! * **In memory** a call is carried out by the task that makes it, and never waits for another thread.
//! * **In a file** one thread writes: it commits all calls that wait together, with one `fsync`, and then answers them.
//!   What was answered survives `kill -9` and a power cut. A file is for one process, which opens it once.
//!
//! A call that is dropped before it answers is carried out or not, as a whole; sending it again is safe wherever
//! [`Op::repeat`](store_core::Op::repeat) says so.

mod cache;
mod database;
mod encoding;
mod expiring;
mod fault;
mod file;
mod idempotency;
mod moment;
mod news;
mod options;
mod rows;
mod state;

pub use cache::EmbeddedCache;
pub use options::CacheOptions;
pub use state::EmbeddedState;
pub use store_core::StateOptions;

//! Real servers for tests, and ways to break them.
//!
//! - [`RedisServer`] starts a `redis-server` of its own on a free port, with TLS, ACL users, replicas or an append-only
//!   file; it can be killed, started again on its data, paused, and inspected through a small client ([`RespConnection`])
//!   that shares nothing with the code under test. [`RedisServer::cut_power`] imitates a power cut.
//! - [`Sentinels`] starts a primary, replicas and sentinels, and reports who is the primary.
//! - [`Cluster`] starts primaries and replicas that share the slots; [`SlotMigration`] moves a slot step by step.
//! - [`servers`] lists the server programs: the installed `redis-server`, and those that `cargo xtask servers fetch`
//!   fetches. `TESTKIT_SERVER=valkey-9.1` runs any test on another server.
//! - [`FaultProxy`] is a proxy between a client and a server: it delays, holds, resets, and cuts a connection after a chosen
//!   request was executed and before its reply arrives.
//! - [`RemoteServer`] is a server with a cable that can be pulled out: in a network namespace where the machine allows it.
//! - [`ScriptProxy`] is another one, which makes a script end between two of its writes.
//! - [`KvrocksProxy`] makes a server reply like Kvrocks.
//! - [`Program`] runs a binary with exactly the environment that it is given.
//! - [`wait_until`] waits for a condition. Tests do not sleep.
//! - [`CountingAllocator`] counts what a test allocates.
//! - [`open_call_sites`] lets a test capture what its thread logs.
//! - [`golden`] compares the data of a server with a file, and loads it.
//! - [`lua`] checks scripts without a server: names, needs, lengths.
//!
//! Whatever is started here ends with the value that holds it, and at the latest with the test process, however that
//! dies. A failed test keeps its server's directory and prints the end of its log.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use testkit::{FaultProxy, RedisServer, mentions};
//!
//! let server = RedisServer::state().password("secret").start().await?;
//! let proxy = FaultProxy::start(server.address()).await?;
//! proxy.cut_after_request(mentions("INCR"));
//! // … give `server.url_through(&proxy, None)` to the code under test and let it count …
//! assert_eq!(server.command(&["DBSIZE"]).await?.as_integer(), Some(0));
//! # Ok(())
//! # }
//! ```

mod allocations;
mod call_sites;
mod certificates;
mod cluster;
pub mod golden;
mod kvrocks;
pub mod lua;
mod port;
mod program;
mod proxy;
mod remote;
mod resp;
mod script_proxy;
mod sentinels;
mod server;
pub mod servers;
mod skip;
mod topology;
mod wait;

pub use allocations::{Allocated, CountingAllocator};
pub use call_sites::open_call_sites;
pub use cluster::{Cluster, ClusterBuilder, SlotMigration};
pub use kvrocks::KvrocksProxy;
pub use port::free_port;
pub use program::{Exit, Program, RunningProgram};
pub use proxy::{FaultProxy, mentions};
pub use remote::RemoteServer;
pub use resp::{CommandError, RespConnection, Value, frame_end};
pub use script_proxy::{Interrupted, Interruption, ScriptProxy};
pub use sentinels::{Sentinels, SentinelsBuilder};
pub use server::{RedisServer, RedisServerBuilder, StartError};
pub use skip::skipped;
pub use wait::{DEADLINE, wait_until};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A name that no other test uses: `t` and 15 lower-case letters and digits, valid in every place that takes a name.
pub fn random_prefix() -> String {
    let random = std::iter::repeat_with(fastrand::alphanumeric).take(15).collect::<String>();
    format!("t{}", random.to_lowercase())
}

/// Locks for a short, panic-free section; a test that failed elsewhere must not fail the clean-up.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

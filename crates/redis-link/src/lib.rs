//! The link to one Redis-compatible server: connections, TLS, scripts, durable writes, errors, probes.
//!
//! This is the only crate of the workspace that names the client library (fred). No signature shows its types.
//!
//! - [`ServerUrl`] is the address of a store, [`LinkConfig`] how to reach it.
//! - [`Link`] calls scripts and commands: [`call`](Link::call), [`call_durable`](Link::call_durable),
//!   [`command`](Link::command), [`blocking`](Link::blocking). Time-outs apply, [`Op::repeat`](store_core::Op::repeat)
//!   alone decides on retries, and each error states whether the call was executed.
//! - [`Link::subscribe`] receives the messages of a channel ([`Subscription`]).
//! - [`Batcher`] and [`SharedScript`] coalesce calls of one kind.
//! - [`Reply`] and [`ReplyReader`] are the replies and their reader.
//! - [`Capabilities`] are those of a server ([`Link::capabilities`]).
//! - [`Probe`] asks a server about itself, for checks before a service starts.
//! - [`keys`] spells every key of a server; no other module does. [`layout`] has the versions of what is stored there.
//! - [`Breaker`] stops calls to a store that fails.
//!
//! ```no_run
//! use redis_link::{Link, LinkConfig, Script, ServerUrl, args};
//! use store_core::Op;
//!
//! static SET: Script = Script::adds("key_value/set", &["call('SET', KEYS[1], ARGV[2])\nreturn {'set'}"]);
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let url = ServerUrl::parse("redis://127.0.0.1:6379")?;
//! let link = Link::connect(LinkConfig::new(url, "billing:cache")).await?;
//! let answer = link.call(Op::KeyValueSetMany, &SET, &["{billing}:a"], args!["1"]).await?;
//! let mut reply = answer.reader(Op::KeyValueSetMany);
//! assert_eq!(reply.next_word()?.as_ref(), b"set");
//! # Ok(())
//! # }
//! ```
//!
//! # Rules for scripts
//! - Scripts that write are made by [`Script::adds`] or [`Script::frees`]: a copy of a request that arrives after its
//!   deadline changes nothing (see [`Link`]).
//!  - A reply begins with an integer or a word of the script's own, never with stored data. The client library would
//!    take a reply that looks like a pub/sub message for one, and every later reply on that connection would reach the
//!    wrong caller.
//!  - A script reports an error by `redis.error_reply`: `TWCORRUPT what`, `TWINVALID what`, `TWLIMIT [milliseconds]
//!    what` and `TWLAYOUT what` become [`Error::Corrupt`](store_core::Error::Corrupt), [`InvalidArgument`](store_core::Error::InvalidArgument),
//!    [`Limit`](store_core::Error::Limit) and [`Unsupported`](store_core::Error::Unsupported) (see [`layout`]). The text is shown: it must contain no data.

mod address;
mod arg;
mod batcher;
mod breaker;
mod capabilities;
mod clock;
mod config;
pub mod idempotency;
pub mod keys;
pub mod layout;
mod link;
#[cfg(test)]
mod lua;
mod metered;
mod password_file;
mod probe;
mod reply;
mod script;
mod wire;

pub use address::{Endpoint, MAX_DATABASE, ServerUrl, Topology, UrlError};
pub use arg::Arg;
pub use batcher::{Batcher, Bounds, Load, SharedScript, SizeSeen};
pub use breaker::{Breaker, BreakerPermit};
pub use capabilities::Capabilities;
pub use config::{LinkConfig, TlsFile, TlsFileProblem, TlsFiles};
pub use link::{Channel, Event, Link, LossReports, Subscription};
pub use password_file::{PasswordFileError, read_password_file};
pub use probe::{
    ClusterInfo, ClusterNode, Fact, NumberClaim, Owner, Probe, SentinelGroup, ServerInfo, ServerSettings, UserInfo,
    version_of,
};
pub use reply::{Answer, Reply, ReplyReader};
pub use script::Script;
pub use wire::Greeting;

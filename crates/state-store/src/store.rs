//! The store itself: what all capabilities share.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use redis_link::{Arg, Link, args};
use store_core::{Clock, Error, Namespace, Op, Result, StateOptions, keys};

use crate::queue::{self, PushGroups};

/// The worker state store on one server. Clones share its connections.
///
/// Each call is one script in one round trip. A call that is dropped before it answers may have been executed; sending it
/// again is safe, and what a dropped claim took comes back when its lease runs out.
#[derive(Clone)]
pub struct StateStore {
    pub(crate) link: Link,
    pub(crate) namespace: Namespace,
    pub(crate) clock: Clock,
    /// The bounds of what a queue keeps, as its scripts take them.
    pub(crate) bounds: Bytes,
    pub(crate) push_groups: Arc<PushGroups>,
}

impl StateStore {
    /// Opens the namespace on the server that `link` leads to: writes the layout's version into an empty one. Two round trips.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the namespace was written in another layout; those of the link.
    pub async fn open(link: Link, namespace: Namespace, options: StateOptions) -> Result<Self> {
        let key = keys::layout(&namespace);
        let version = keys::LAYOUT_VERSION.to_string();
        link.command(Op::Connect, "SETNX", args![&key, &version]).await?;
        let stored = link.command(Op::Connect, "GET", args![&key]).await?;
        if stored.reply.as_str() != Some(&version) {
            return Err(Error::corrupt(Op::Connect, "the namespace was written by a version with another layout"));
        }
        let bounds = queue::bounds(&options.retention);
        Ok(Self { link, namespace, clock: options.clock, bounds, push_groups: Arc::default() })
    }

    /// The first argument of every script: the time that a test has set, or nothing for the server's.
    pub(crate) fn clock_arg(&self) -> Arg {
        self.clock.manual_now().map_or(Arg::fixed(""), |now| now.as_millis().into())
    }
}

impl fmt::Debug for StateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateStore").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

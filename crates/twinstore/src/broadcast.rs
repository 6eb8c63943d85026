//! Messages to all processes that listen now, such as "read the configuration again". Nothing is stored.
//!
//! [`State::broadcast`](crate::State::broadcast) makes a [`Broadcast`], which publishes values of one type and makes
//! [`BroadcastListener`]s. A listener that may have missed messages gets [`BroadcastEvent::Gap`]. What must not be missed belongs
//! in a [topic](crate::topic).

pub use store_core::{Broadcast, BroadcastEvent, BroadcastListener, BroadcastName, Broadcasts};

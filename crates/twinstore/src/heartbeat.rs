//! Heartbeats: which processes of a pool are alive, what they do, and which were lost.

pub use store_core::{Beat, Heartbeats, Member, PoolName};

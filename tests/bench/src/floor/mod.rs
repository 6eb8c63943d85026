//! Floors: the same work by the smallest commands or scripts, over the smallest client.

mod pipelined;
mod queues;

pub(crate) use pipelined::{Pipelined, Script};
pub(crate) use queues::{Consume, Life, Lists, Model, Push, Streams};

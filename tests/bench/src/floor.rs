//! Floors: the same work with the smallest commands or scripts and the smallest client.

pub(crate) mod one_write;
mod pipelined;
mod queues;
mod redis_benchmark;

pub(crate) use pipelined::{Pipelined, Script};
pub(crate) use queues::{Consume, Life, Lists, Model, Push, Streams};
pub(crate) use redis_benchmark::{RedisBenchmark, Sends};

//! Hand-offs: one service puts a value, another one takes it, once.

pub use store_core::{Handoff, HandoffItem, Put, TypedHandoff};

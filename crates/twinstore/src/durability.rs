//! How far a write has to reach before the call returns, and how far it did.

pub use store_core::{Durability, Reached, Receipt};

//! Both stores inside the process, on redb: in memory, or in one durable file each.

mod cache;
mod options;
mod state;

pub use cache::EmbeddedCache;
pub use options::{CacheOptions, StateOptions};
pub use state::EmbeddedState;

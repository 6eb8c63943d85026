//! Times by the server's clock, and the time to live of cached values.

pub use store_core::{Timestamp, Ttl, TtlError};

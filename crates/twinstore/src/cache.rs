//! Values in the cache store: bytes, typed values, counters, and values that are loaded on demand.
//!
//! [`KeyValue`] keeps bytes and counters, [`TypedKeyValue`] values of one type. [`Loading`] loads a value that the store
//! does not have: one loader per key, early refresh, and the stale value if the loader fails.

mod loading;

pub use loading::{FleetLock, LoadError, Loaded, Loading, LoadingOptions, Origin};
pub use store_core::{Entry, KeyValue, KeyValueExt, SetIfAbsent, TypedKeyValue};

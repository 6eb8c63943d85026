//! Values in the cache store, as bytes, typed, or loaded on demand.

mod loading;

pub use loading::{FleetLock, LoadError, Loaded, Loading, LoadingOptions, Origin};

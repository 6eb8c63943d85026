//! Validated names, keys and ids that several capabilities share.
//!
//! Each is validated when it is made, so that nothing else can become part of a key on a server.

pub use store_core::{HandleName, HolderName, Key, NameError, RequestId, Scope, ServiceName};

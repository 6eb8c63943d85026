//! Names of processes that no other process has.

use super::{HolderName, NameError};

impl HolderName {
    /// A name that no other process has: the prefix, a dash and a random UUID.
    ///
    /// # Errors
    /// [`NameError`] if the prefix is not a valid name, or is longer than 91 bytes.
    pub fn unique(prefix: &str) -> Result<Self, NameError> {
        Self::new(format!("{prefix}-{}", uuid::Uuid::new_v4()))
    }
}

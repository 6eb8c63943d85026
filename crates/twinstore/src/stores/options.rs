//! [`StoresOptions`]: the settings that a service makes in code.

use store_core::Retention;

/// Settings that a service gives in code, for [`Stores::open_with`](crate::Stores::open_with).
///
/// They replace the defaults of the variables. A variable that is set takes precedence, so an operator can change a fleet
/// without a new build: with `REDIS_STATE_RETAIN_DEAD_COUNT=500` the service below keeps 500 dead jobs per queue.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), twinstore::StartError> {
/// use twinstore::Stores;
/// use twinstore::config::{Environment, Retention, StoresOptions};
///
/// let environment = Environment::from_variables([
///     ("SERVICE_NAME", "billing"),
///     ("REDIS_CONN_BASE_URL", "embedded:"),
///     ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
/// ]);
/// let retention = Retention::default().with_dead_count(1000).with_completed_count(1000);
/// let options = StoresOptions::new().with_retention(retention);
/// let stores = Stores::open_with(&environment, options).await?;
/// assert!(stores.warnings().is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StoresOptions {
    retention: Retention,
    newest_layouts: bool,
}

impl StoresOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many dead and completed jobs each queue keeps.
    #[must_use]
    pub fn with_retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Whether both stores write everything in the newest layout that this version knows. Default: `false`, the oldest that it
    /// reads, so that services with the version before it can still read what is written. Set it when each service on the
    /// servers has this version. Where this version reads a single layout, it changes nothing. The variable
    /// `STORE_LAYOUTS` takes precedence.
    #[must_use]
    pub fn with_newest_layouts(mut self, newest: bool) -> Self {
        self.newest_layouts = newest;
        self
    }

    pub(crate) fn newest_layouts(&self) -> bool {
        self.newest_layouts
    }

    pub(crate) fn retention(&self) -> Retention {
        self.retention
    }
}

//! How full the memory of a store is.

use std::time::Duration;

use serde::Serialize;

/// How full the memory of a store is. In ascending order.
///
/// The level rises when the memory use reaches a bound, and falls when it is 3 percentage points below the bound, so the level
/// does not flap.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::health::Pressure;
///
/// # let (stores, _) = twinstore::testing::stores();
/// assert_eq!(stores.health().await.state.pressure, Pressure::Unknown); // an embedded store is not measured
/// assert!(Pressure::Normal < Pressure::Warning && Pressure::Warning < Pressure::Critical);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pressure {
    /// Not measured: a cache or an embedded store, a server without `maxmemory`, or one that hides `INFO`. Nothing is refused.
    #[default]
    Unknown,
    /// Less than 80 % of `maxmemory` is used.
    Normal,
    /// 80 % of `maxmemory` or more is used.
    Warning,
    /// 85 % of `maxmemory` or more is used. Operations that add data are refused; those that drain the store run.
    Critical,
}

impl Pressure {
    /// `unknown`, `normal`, `warning` or `critical`.
    pub fn name(self) -> &'static str {
        match self {
            Pressure::Unknown => "unknown",
            Pressure::Normal => "normal",
            Pressure::Warning => "warning",
            Pressure::Critical => "critical",
        }
    }
}

/// The last report of a store's server about its memory and its replicas. On a cluster, the fields about memory are those of the
/// fullest primary, and each other field is the worst of all primaries.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::health::{Pressure, PressureReading};
///
/// # let (stores, _) = twinstore::testing::stores();
/// let reading: PressureReading = stores.state().pressure().borrow().clone();
/// assert_eq!((reading.level, reading.max_memory), (Pressure::Unknown, None));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PressureReading {
    /// How full the memory is.
    pub level: Pressure,
    /// The address of the server, `host:port`: on a cluster, of the fullest primary.
    pub node: Option<String>,
    /// The memory that the server compares with its limit, in bytes: data and clients, without buffers for replicas and the AOF.
    pub used_memory: Option<u64>,
    /// The limit (`maxmemory`) in bytes; 0 if there is none.
    pub max_memory: Option<u64>,
    /// The memory that the process occupies, in percent of the memory that the server has allocated (`mem_fragmentation_ratio`).
    pub fragmentation_percent: Option<u32>,
    /// How many keys the server has evicted since its start. A worker state store must evict none.
    pub evicted_keys: Option<u64>,
    /// How many replicas are connected.
    pub replicas: Option<u32>,
    /// How many bytes of the replication stream the slowest replica has not received yet; `None` without a replica.
    pub replication_lag_bytes: Option<u64>,
    /// The longest time since a replica last reported to its primary, in whole seconds; `None` without a replica.
    pub replication_lag: Option<Duration>,
}

impl PressureReading {
    /// The used share of the limit in percent; `None` if the use or the limit is unknown, or if there is no limit.
    pub fn used_percent(&self) -> Option<u32> {
        let (used, limit) = (self.used_memory?, self.max_memory.filter(|limit| *limit > 0)?);
        u32::try_from(u128::from(used) * 100 / u128::from(limit)).ok()
    }
}

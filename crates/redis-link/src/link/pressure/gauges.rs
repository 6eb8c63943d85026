//! The gauges of each server.

use std::collections::BTreeMap;
use std::time::Duration;

use store_core::PressureReading;
use store_core::metric::{
    STORE_EVICTED_KEYS, STORE_FRAGMENTATION, STORE_MEMORY_LIMIT, STORE_MEMORY_USED, STORE_REPLICATION_LAG_BYTES,
    STORE_REPLICATION_LAG_SECONDS,
};

/// The servers that have gauges, by address, and how many keys each had evicted.
#[derive(Debug, Default)]
pub(super) struct Gauges(BTreeMap<String, Option<u64>>);

impl Gauges {
    /// Sets the gauges of these servers. Those of an earlier server get 0 if it is not served any more: otherwise its last values
    /// would remain for ever.
    pub(super) fn set(&mut self, role: &'static str, readings: &[PressureReading], is_served: impl Fn(&str) -> bool) {
        for reading in readings {
            let Some(node) = &reading.node else { continue };
            meter(role, node, reading);
            let before = self.0.insert(node.clone(), reading.evicted_keys).flatten();
            if before.is_some() && reading.evicted_keys > before {
                tracing::error!(role, node, keys = reading.evicted_keys, "the server evicts keys: data is lost");
            }
        }
        let mut nothing = PressureReading::default();
        (nothing.used_memory, nothing.max_memory, nothing.fragmentation_percent) = (Some(0), Some(0), Some(0));
        (nothing.evicted_keys, nothing.replication_lag_bytes) = (Some(0), Some(0));
        nothing.replication_lag = Some(Duration::ZERO);
        self.0.retain(|node, _| {
            let is_kept = is_served(node);
            if !is_kept {
                meter(role, node, &nothing);
            }
            is_kept
        });
    }
}

fn meter(role: &'static str, node: &str, reading: &PressureReading) {
    let gauges = [
        (&STORE_MEMORY_USED, reading.used_memory),
        (&STORE_MEMORY_LIMIT, reading.max_memory),
        (&STORE_FRAGMENTATION, reading.fragmentation_percent.map(u64::from)),
        (&STORE_EVICTED_KEYS, reading.evicted_keys),
        (&STORE_REPLICATION_LAG_BYTES, reading.replication_lag_bytes),
        (&STORE_REPLICATION_LAG_SECONDS, reading.replication_lag.map(|lag| lag.as_secs())),
    ];
    for (metric, value) in gauges {
        if let Some(value) = value {
            // Exact up to 2^53.
            metric.gauge(&[role, node]).set(value as f64);
        }
    }
}

//! The keys of the rows of the cache store. Nothing else in this crate builds one.
//!
//! A row of a service begins with its name and a zero. A row that all services share begins with a zero: no service has an
//! empty name.

use store_core::{Key, RequestId, ServiceName};

use super::EmbeddedCache;

impl EmbeddedCache {
    /// A value: its end, a frame byte, the identity of a conditional set, the bytes.
    pub(super) fn value_row(&self, key: &Key) -> Vec<u8> {
        self.own_row("value", key)
    }

    /// A counter.
    pub(super) fn counter_row(&self, key: &Key) -> Vec<u8> {
        self.own_row("counter", key)
    }

    /// An idempotent request and its response.
    pub(super) fn idempotency_row(&self, key: &Key) -> Vec<u8> {
        self.own_row("idempotency", key)
    }

    /// The theoretical arrival time of a smooth rate.
    pub(super) fn gcra_row(&self, key: &Key) -> Vec<u8> {
        self.own_row("gcra", key)
    }

    /// The start of a fixed window and the units used.
    pub(super) fn window_row(&self, key: &Key) -> Vec<u8> {
        self.own_row("window", key)
    }

    fn own_row(&self, kind: &str, key: &Key) -> Vec<u8> {
        let service = self.service.as_str().as_bytes();
        [service, &[0], kind.as_bytes(), b":", key.as_str().as_bytes()].concat()
    }
}

/// A hand-off to a service. The length of the service's name keeps two pairs from sharing a row.
pub(super) fn handoff_row(to: &ServiceName, key: &Key) -> Vec<u8> {
    let head = format!("handoff:{}:{to}:", to.as_str().len());
    [&[0], head.as_bytes(), key.as_str().as_bytes()].concat()
}

/// The put of an item of this row that was taken and then replaced. The braces keep it from being the row of another key.
pub(super) fn handoff_put_row(row: &[u8], put: RequestId) -> Vec<u8> {
    [row, b"{p", put.as_bytes(), b"}"].concat()
}

/// The claim that took such an item, and its value.
pub(super) fn handoff_claim_row(row: &[u8], claim: RequestId) -> Vec<u8> {
    [row, b"{t", claim.as_bytes(), b"}"].concat()
}

#[cfg(test)]
mod tests {
    use store_core::{Key, ServiceName};

    use super::handoff_row;
    use crate::{CacheOptions, EmbeddedCache};

    #[test]
    fn no_two_handoffs_share_a_row() {
        let row = |to: &str, key: &str| handoff_row(&ServiceName::new(to).unwrap(), &Key::new(key).unwrap());
        assert_ne!(row("a:b", "c"), row("a", "b:c"));
        assert_ne!(row("a:", "b"), row("a", ":b"));
    }

    #[test]
    fn no_two_services_share_a_row() {
        let row = |service: &str, key: &str| {
            let cache = EmbeddedCache::in_memory(ServiceName::new(service).unwrap(), CacheOptions::default());
            cache.value_row(&Key::new(key).unwrap())
        };
        assert_ne!(row("a", "k"), row("b", "k"));
        assert_ne!(row("a", "value:k"), row("avalue:", "k"));
    }
}

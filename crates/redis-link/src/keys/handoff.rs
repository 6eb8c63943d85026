//! The keys of hand-offs, in the shared database of the cache store.

use store_core::{Key, RequestId, ServiceName};

use super::digits;

/// `handoff:length:service:key`, in the shared database: string: waiting or taken, put's identity, claim's identity, end
/// (ms), until when there may be keys of [`handoff_put`] and [`handoff_claim`] (ms), value. TTL: the longest of these. The length of
/// the service's name keeps two pairs from sharing a key.
pub fn handoff(to: &ServiceName, key: &Key) -> String {
    format!("handoff:{}:{to}:{key}", to.as_str().len())
}

/// `handoff:length:service:key{pDIGITS}`: string: end (ms). The put of an item that was taken and then replaced by another one, so
/// that it can be repeated. TTL: the item's. No key of [`handoff`] ends in a brace. `lua/handoff/record.lua` of the cache store
/// derives it.
pub fn handoff_put(to: &ServiceName, key: &Key, put: RequestId) -> String {
    format!("{}{{p{}}}", handoff(to, key), digits(put))
}

/// `handoff:length:service:key{tDIGITS}`: string: end (ms), value. The take of an item that was then replaced, as [`handoff_put`].
pub fn handoff_claim(to: &ServiceName, key: &Key, claim: RequestId) -> String {
    format!("{}{{t{}}}", handoff(to, key), digits(claim))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use store_core::{Key, RequestId, ServiceName};

    use super::{handoff, handoff_claim, handoff_put};

    #[test]
    fn no_two_handoffs_share_a_key() {
        let pairs = [("a:b", "c"), ("a", "b:c"), ("a:", "b"), ("a", ":b"), ("a", "::b"), ("a", "c"), ("a", "c:p")];
        let mut keys = BTreeSet::new();
        for (to, key) in pairs {
            let (to, key) = (ServiceName::new(to).unwrap(), Key::new(key).unwrap());
            keys.insert(handoff(&to, &key));
            for id in [[0; 16], [255; 16]].map(RequestId::from_bytes) {
                keys.extend([handoff_put(&to, &key, id), handoff_claim(&to, &key, id)]);
            }
        }
        assert_eq!(keys.len(), pairs.len() * 5);
    }
}

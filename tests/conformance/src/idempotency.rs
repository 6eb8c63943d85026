//! Idempotency keys, which both roles offer: each case runs on both. One file per operation.

mod abandon;
mod begin;
mod finish;
mod prolong;
mod scope;

use store_core::{Fingerprint, IdempotentRequest, Key, Ttl};

use crate::case::Case;

/// The cases of every operation on idempotency keys.
pub(crate) const CASES: &[&[Case]] = &[begin::CASES, prolong::CASES, finish::CASES, abandon::CASES, scope::CASES];

/// How long a request of the cases may be in progress.
const WORKING: Ttl = Ttl::from_secs(10);

/// How long the responses of the cases are kept.
const KEEP: Ttl = Ttl::from_secs(60);

/// A new attempt at the request whose content is `content`.
fn attempt(key: &Key, content: u8) -> IdempotentRequest {
    IdempotentRequest::new(key.clone(), Fingerprint::new([content; 32]))
}

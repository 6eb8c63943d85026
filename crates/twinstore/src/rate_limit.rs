//! Rate limits that all processes of a service share.
//!
//! [`RateLimit::check`] checks several limits, all or nothing. [`RateLimitExt::decide`] also decides if the store is
//! unavailable.

pub use store_core::{LimitState, OnUnavailable, Rate, RateCheck, RateDecision, RateLimit, RateLimitExt};

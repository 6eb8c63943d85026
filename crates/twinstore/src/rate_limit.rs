//! Rate limits that all processes of a service share.
//!
//! [`RateLimitExt::decide`] checks several limits, all or nothing, and also decides if the store is unavailable.
//! [`RateLimit::check`] returns an error then.

pub use store_core::{LimitState, OnUnavailable, Rate, RateCheck, RateDecision, RateLimit, RateLimitExt};

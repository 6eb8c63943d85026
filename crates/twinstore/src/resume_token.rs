//! Resume tokens: where the consumer of a stream continues after a restart, saved by one instance at a time.

pub use store_core::{ResumeToken, ResumeTokenInfo, ResumeTokens, SaveRequest, StreamName, TokenOutcome, TokenVersion};

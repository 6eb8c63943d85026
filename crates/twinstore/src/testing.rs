//! For tests of services (feature `testing`): a clock that the test moves.

pub use store_core::{Clock, ManualClock};

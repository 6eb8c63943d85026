//! Whose time a script goes by.

use std::time::Duration;

use store_core::Clock;

use crate::Arg;

/// The first argument of a script that begins with `clock.lua`: the time that a test has set, in ms, or nothing for the
/// server's.
pub fn clock_arg(clock: &Clock) -> Arg {
    clock.manual_now().map_or(Arg::fixed(""), |now| now.as_millis().into())
}

/// How much later than its stored end an entry may be collected. The stored end decides; collecting must only not come
/// first, and by a clock that stands still it would.
pub fn collection_margin(clock: &Clock) -> Duration {
    match clock {
        Clock::Server => Duration::from_secs(1),
        Clock::Manual(_) => Duration::from_secs(3600),
    }
}

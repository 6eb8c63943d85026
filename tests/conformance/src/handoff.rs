//! Hand-offs between services: one file per operation.

mod put;
mod take;

use store_core::{HandoffItem, Ttl};

use crate::case::Case;
use crate::fixture::Fixture;

/// The cases of every operation on hand-offs.
pub(crate) const CASES: &[&[Case]] = &[put::CASES, take::CASES];

/// Longer than any case takes.
const LONG: Ttl = Ttl::from_secs(600);

fn secs(seconds: u32) -> Ttl {
    Ttl::from_secs(seconds)
}

/// A value for the other service.
fn item(fixture: &Fixture, value: &'static str) -> HandoffItem {
    HandoffItem::new(fixture.other_service.clone(), fixture.key("key"), value, LONG)
}

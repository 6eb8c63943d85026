//! Hand-offs between services: one file per operation.

mod put;
mod take;

use store_core::{HandoffItem, Ttl};

use crate::case::Case;
use crate::stage::Stage;

/// The cases of every operation on hand-offs.
pub(crate) const CASES: &[&[Case]] = &[put::CASES, take::CASES];

/// Longer than any case takes.
const LONG: Ttl = Ttl::from_secs(600);

/// A value for the other service.
fn item(stage: &Stage, value: &'static str) -> HandoffItem {
    HandoffItem::new(stage.other_service.clone(), stage.key("key"), value, LONG)
}

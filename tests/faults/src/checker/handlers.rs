//! The rule for handlers in a run in which slots move and nothing else fails.

use super::{Findings, Rule};
use crate::history::{Call, History};

pub(super) fn check(history: &History, found: &mut Findings) {
    if !history.run.as_ref().is_some_and(|run| run.only_moves_slots) {
        return;
    }
    for operation in &history.operations {
        let is_of_handler = match &operation.call {
            // it is dropped without a reply if its lease is lost
            Call::Handle { .. } => true,
            Call::Push { .. } => operation.actor.ends_with(crate::OF_HANDLER),
            _ => false,
        };
        if is_of_handler && operation.answer().is_none() {
            found.add(
                Rule::HandlerDisturbed,
                format!("operation {} of {}", operation.id, operation.actor),
                [operation],
            );
        }
    }
}

//! Embedded stores in memory although an environment is named.

use store_core::Role;

use crate::draft::Draft;
use crate::settings::Engine;
use crate::variable::ENVIRONMENT;
use crate::{Code, Finding};

/// A service with `STORE_ENVIRONMENT` is one that others depend on, so its state must not end with its process.
pub(crate) fn check(draft: &Draft) -> Vec<Finding> {
    let Some(environment) = &draft.environment else { return Vec::new() };
    let find = |role: Role, code: Code| {
        let what = format!("the {role} store is embedded: in memory, and {ENVIRONMENT} is {environment}");
        Finding::new(code, role, what)
    };
    let is_in_memory = |place: &Option<Engine<_>>| matches!(place, Some(Engine::Embedded(None)));
    let mut findings = Vec::new();
    findings.extend(is_in_memory(&draft.cache).then(|| find(Role::Cache, Code::CacheInMemory)));
    findings.extend(is_in_memory(&draft.state).then(|| find(Role::State, Code::StateInMemory)));
    findings
}

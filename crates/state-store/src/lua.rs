//! The rules for Lua scripts, checked for every script of this crate. `testkit::lua` describes them.

use std::path::Path;

use redis_link::Script;
use testkit::lua::{LuaScript, lines, violations};

fn lua(script: &&'static Script) -> LuaScript<'static> {
    LuaScript::new(script.name(), script.pieces())
}

#[test]
fn every_script_obeys_the_rules() {
    let scripts = [
        &crate::heartbeats::SCRIPTS[..],
        &crate::leases::SCRIPTS,
        &crate::resume_tokens::SCRIPTS,
        &crate::steps::SCRIPTS,
        &crate::runs::SCRIPTS,
        &crate::queue::schedules::SCRIPTS,
        &crate::topics::SCRIPTS,
        &crate::broadcasts::SCRIPTS,
        &crate::retries::SCRIPTS,
        &crate::queue::commit::SCRIPTS,
        &crate::queue::deliver::SCRIPTS,
        &crate::queue::scripts::all(),
    ];
    let scripts = scripts.concat();
    let scripts: Vec<_> = scripts.iter().map(lua).collect();
    let found = violations(Path::new(env!("CARGO_MANIFEST_DIR")), &scripts, &[]).unwrap();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// A change that raises this bound gives the reason in its commit message.
#[test]
fn the_scripts_of_a_queue_have_at_most_1744_lines_together() {
    let scripts = crate::queue::scripts::all();
    let count = lines(scripts.iter().map(lua));
    assert!(count <= 1744, "{count} lines");
}

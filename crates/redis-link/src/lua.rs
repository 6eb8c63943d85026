//! The rules for Lua scripts, checked for every script of this crate. `testkit::lua` describes them.

use std::path::Path;

use testkit::lua::{LuaScript, violations};

use crate::{idempotency, layout, probe, wire};

#[test]
fn every_script_obeys_the_rules() {
    let scripts = [
        &idempotency::SCRIPTS[..],
        &layout::SCRIPTS,
        &probe::owner::SCRIPTS,
        &probe::permissions::SCRIPTS,
        &probe::scripts::SCRIPTS,
        &wire::capabilities::SCRIPTS,
    ]
    .concat();
    let mut scripts: Vec<_> = scripts.iter().map(|script| LuaScript::new(script.name(), script.pieces())).collect();
    // No script of this crate begins with the prelude of those that only read.
    scripts.push(LuaScript::new("a script that reads", vec![include_str!("../lua/clock.lua")]));
    let found = violations(Path::new(env!("CARGO_MANIFEST_DIR")), &scripts, &[]).unwrap();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

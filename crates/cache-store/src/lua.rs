//! The rules for Lua scripts, checked for every script of this crate. `testkit::lua` describes them.

use std::path::Path;

use testkit::lua::{LuaScript, violations};

#[test]
fn every_script_obeys_the_rules() {
    let scripts = [
        &crate::handoff::SCRIPTS[..],
        &crate::key_value::SCRIPTS,
        &crate::key_value::writes::SCRIPTS,
        &crate::rate_limit::SCRIPTS,
    ]
    .concat();
    let scripts: Vec<_> = scripts.iter().map(|script| LuaScript::new(script.name(), script.pieces())).collect();
    let found = violations(Path::new(env!("CARGO_MANIFEST_DIR")), &scripts, &[]).unwrap();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

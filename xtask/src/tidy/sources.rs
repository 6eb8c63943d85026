//! Rules for source files: their length, and what they must not contain.

/// The longest source file, in lines.
const MAX_LINES: usize = 400;

/// The longest script, in lines.
const MAX_SCRIPT_LINES: usize = 200;

/// Tests that need a clock: the test kit (its waits and its delaying proxy), the pause of the suite between two checks, and the
/// fault runs, whose load has a rate and whose faults have a duration.
const CLOCKS: [&str; 3] = ["tests/testkit/src/", "tests/conformance/src/fixture.rs", "tests/faults/src/"];

pub(super) fn check(name: &str, text: &str, violations: &mut Vec<String>) {
    let mut violation = |line: usize, what: &str| violations.push(format!("{name}:{line}: {what}"));
    let lines = text.lines().count();
    if name.ends_with(".rs") {
        if lines > MAX_LINES {
            violation(lines, "more than 400 lines; split the file");
        }
        let tests = name.starts_with("tests/") || name.contains("/tests/");
        for (index, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains(concat!("fred", "::")) && !name.starts_with("crates/redis-link/") {
                violation(index + 1, "only redis-link names the client library");
            }
            if tests && sleeps(code) && !CLOCKS.iter().any(|place| name.starts_with(place)) {
                violation(index + 1, "tests wait on conditions (testkit::wait_until), never on the clock");
            }
            if code.contains(concat!("#[", "ignore]")) {
                violation(index + 1, "a test that is ignored needs a reason");
            }
        }
    }
    if name.ends_with(".lua") && lines > MAX_SCRIPT_LINES {
        violation(lines, "more than 200 lines; one concept is one file");
    }
}

/// Whether the line names a function that waits for a time. (`Steps::sleep` makes a step of a workflow wait, not its caller.)
fn sleeps(code: &str) -> bool {
    let is_import = code.trim_start().starts_with("use ");
    code.contains(concat!("time::sleep", "("))
        || code.contains(concat!("thread::sleep", "("))
        || is_import && code.contains("sleep")
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn violations_are_reported() {
        let mut found = Vec::new();
        check("crates/state-store/src/lib.rs", concat!("use fred", "::prelude;\n"), &mut found);
        check("crates/state-store/tests/a.rs", concat!("use tokio::time::{", "sleep, timeout};\n"), &mut found);
        check("crates/state-store/src/long.rs", &"\n".repeat(401), &mut found);
        check("crates/state-store/lua/queue/push.lua", &"\n".repeat(201), &mut found);
        check("crates/state-store/tests/a.rs", concat!("tokio::time::sleep", "(second).await;\n"), &mut found);
        assert_eq!(found.len(), 5, "{found:?}");
        found.clear();
        check("crates/state-store/tests/a.rs", concat!("store.sleep", "(&attempt, second).await;\n"), &mut found);
        check("crates/redis-link/src/wire.rs", concat!("use fred", "::prelude;\n"), &mut found);
        check("crates/state-store/src/lib.rs", concat!("// fred", "::prelude is not named here\n"), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}

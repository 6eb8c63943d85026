//! Contradictions between a file and its role.

use store_core::Role;
use store_validation::{Code, ConfFinding, Severity, check_server_conf};

use crate::check_text;

const CACHE: &str = "maxmemory 1gb\nmaxmemory-policy volatile-lru\nsave \"\"\nrequirepass x\n";
const STATE: &str = "maxmemory 1gb\nappendonly yes\nrequirepass x\n";

/// The one finding about a right file with this line after it.
fn of(role: Role, line: &str) -> ConfFinding {
    let right = match role {
        Role::Cache => CACHE,
        Role::State => STATE,
    };
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(check_text(folder.path(), role, right), [], "the right file");
    let mut found = check_text(folder.path(), role, format!("{right}{line}\n"));
    assert_eq!(found.len(), 1, "{line}: {found:?}");
    let found = found.remove(0);
    let last = right.lines().count() + line.lines().count();
    assert_eq!((found.line, found.file.ends_with("server.conf")), (Some(last), true), "{line}");
    assert!(found.finding.what.starts_with(&format!("line {last}: ")) && found.finding.role == Some(role), "{line}");
    found
}

#[test]
fn a_file_that_contradicts_its_role_is_an_error_with_its_line_and_the_line_to_write() {
    for (role, line, help) in [
        (Role::State, "maxmemory-policy allkeys-lru", "`maxmemory-policy noeviction`"),
        (Role::State, "maxmemory-policy noeviction\nmaxmemory-policy volatile-lru", "`maxmemory-policy noeviction`"),
        (Role::State, "appendonly NO", "`appendonly yes`"),
        (Role::State, "appendfsync no", "`appendfsync everysec`"),
        (Role::State, "maxmemory-clients 10%", "Remove the line"),
        (Role::State, "rename-command hset \"\"", "Remove the line"),
        (Role::Cache, "maxmemory-policy noeviction", "`maxmemory-policy volatile-lru`"),
        (Role::Cache, "appendonly yes", "`appendonly no`"),
        (Role::Cache, "save 900 1", "`save \"\"`"),
        (Role::Cache, "save 900 1\nsave \"\"\nsave 60 1", "`save \"\"`"),
        (Role::Cache, "databases 1", "`databases 16`"),
        (Role::Cache, "cluster-enabled yes", "`cluster-enabled no`"),
        (Role::Cache, "rename-command EVALSHA x", "Remove the line"),
    ] {
        let found = of(role, line);
        assert_eq!(
            (found.finding.code, found.finding.severity),
            (Code::ConfContradictsRole, Severity::Error),
            "{line}"
        );
        assert!(found.finding.help.contains(help), "{line}: {}", found.finding.help);
    }
}

#[test]
fn the_last_line_of_a_directive_counts_and_the_other_role_is_not_concerned() {
    let folder = tempfile::tempdir().unwrap();
    let right = |role, text: String| assert_eq!(check_text(folder.path(), role, &text), [], "{text}");
    right(Role::State, format!("maxmemory-policy allkeys-lru\n{STATE}maxmemory-policy noeviction\nsave 900 1\n"));
    right(Role::Cache, format!("save 900 1\n{CACHE}maxmemory-clients 10%\nrename-command HSET \"\"\n"));
    right(Role::Cache, format!("slave-priority 5\n{CACHE}user default off\nrename-command KEYS \"\"\n"));
}

/// The defaults of a server suit neither role.
#[test]
fn what_a_file_leaves_out_is_found_without_a_line() {
    let folder = tempfile::tempdir().unwrap();
    for (role, expected) in [
        (Role::Cache, vec!["maxmemory-policy is noeviction by default", "save is on by default"]),
        (Role::State, vec!["appendonly is no by default"]),
    ] {
        let found = check_text(folder.path(), role, "");
        let errors: Vec<_> = found.iter().filter(|found| found.finding.is_error()).collect();
        assert_eq!(errors.len(), expected.len(), "{found:?}");
        assert!(errors.iter().zip(expected).all(|(error, what)| error.finding.what.starts_with(what)), "{found:?}");
        let warnings: Vec<_> = found.iter().filter(|found| !found.finding.is_error()).map(|f| f.finding.code).collect();
        assert_eq!(warnings, [Code::NoMaxmemory, Code::NoPassword]);
        assert!(found.iter().all(|found| found.line.is_none()));
    }
}

#[test]
fn a_finding_names_the_included_file() {
    let folder = tempfile::tempdir().unwrap();
    let included = folder.path().join("memory.conf");
    std::fs::write(&included, "# limits\nmaxmemory 1gb\nmaxmemory-policy allkeys-lfu\nhz ten\n").unwrap();
    let text = format!("appendonly yes\naclfile /users.acl\ninclude {}\n", included.display());
    let found = check_text(folder.path(), Role::State, text);
    let places: Vec<_> = found.iter().map(|found| (found.finding.code, found.file.clone(), found.line)).collect();
    assert_eq!(
        places,
        [(Code::ConfInvalid, included.clone(), Some(4)), (Code::ConfContradictsRole, included, Some(3))]
    );
}

/// If each line were followed, the file would be read 3^16 times.
#[test]
fn a_file_that_includes_itself_is_found_at_each_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("itself.conf");
    let link = folder.path().join("link.conf");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let include = |path: &std::path::Path| format!("include {}\n", path.display());
    std::fs::write(&file, format!("{STATE}{}{}{}", include(&file), include(&link), include(&file))).unwrap();
    let found = check_server_conf(Role::State, &file).unwrap();
    let of_circle = found.iter().filter(|found| found.finding.what.contains("includes itself"));
    assert_eq!(of_circle.filter(|found| found.finding.code == Code::ConfInvalid).count(), 3, "{found:?}");
    assert_eq!(found.len(), 3, "{found:?}");
}

/// Each file includes the next one ten times, without a circle.
#[test]
fn the_number_of_included_files_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let file = |number: usize| folder.path().join(format!("{number}.conf"));
    for number in 0..10 {
        std::fs::write(file(number), format!("include {}\n", file(number + 1).display()).repeat(10)).unwrap();
    }
    std::fs::write(file(10), "").unwrap();
    let found = check_server_conf(Role::Cache, &file(0)).unwrap();
    let of_number = found.iter().filter(|found| found.finding.what.contains("more than 256 files"));
    assert_eq!(of_number.count(), 1, "{found:?}");
}

#[test]
fn no_finding_repeats_a_secret() {
    let canary = "hunter2-canary";
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "requirepass {canary} x\nmasterauth {canary} x\n{canary}\n{canary} x\nuser {canary} #{canary}\nmaxmemory {canary}\n\
         user a >{canary}\nuser a >{canary}\nrename-command\ntls-key-file-pass {canary} {canary}\nsave {canary}\nx.{canary} 1\n"
    );
    let found = check_text(folder.path(), Role::State, text);
    assert!(found.len() >= 10, "{found:?}");
    for found in found {
        assert!(!format!("{found:?}{}", found.finding).contains(canary), "{found:?}");
    }
}

#[test]
fn a_mistyped_directive_is_answered_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let found = check_text(folder.path(), Role::State, format!("{STATE}maxmemmory-policy noeviction\n"));
    assert!(found[0].finding.what.ends_with("did you mean maxmemory-policy?"), "{found:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_of_the_call() {
    let error = check_server_conf(Role::Cache, "/no/such.conf".as_ref()).unwrap_err();
    assert_eq!(error.to_string(), "/no/such.conf: cannot be read");
}

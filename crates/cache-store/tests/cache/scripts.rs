//! The head of each script names its arguments and its reply, and the script keeps to it. Also checks the scripts of
//! other crates that have the same kind of head.

use std::fs;
use std::path::{Path, PathBuf};

const FOLDERS: [(&str, usize); 6] = [
    ("cache-store/lua/handoff", 2),
    ("cache-store/lua/key_value", 5),
    ("cache-store/lua/rate_limit", 2),
    ("redis-link/lua/idempotency", 4),
    ("state-store/lua/heartbeat", 4),
    ("state-store/lua/lease", 4),
];

fn scripts() -> Vec<(PathBuf, String)> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut scripts = Vec::new();
    for (folder, count) in FOLDERS {
        let files = fs::read_dir(crates.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<_> = files.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
        assert_eq!(files.len(), count, "{folder}");
        scripts.extend(files);
    }
    scripts
}

/// The texts between `from` and `to`, everywhere.
fn between<'a>(text: &'a str, from: &str, to: char) -> Vec<&'a str> {
    text.split(from).skip(1).filter_map(|rest| rest.split_once(to)).map(|(inner, _)| inner).collect()
}

/// The reply as a head describes it, over all its lines.
fn returned(head: &str) -> String {
    let lines = head.lines().skip_while(|line| !line.starts_with("-- Returns")).enumerate();
    let own = lines.take_while(|(index, line)| *index == 0 || line.starts_with("--   "));
    own.map(|(_, line)| line).collect()
}

#[test]
fn heads_are_complete_and_files_short() {
    for (path, text) in scripts() {
        assert!(text.lines().count() <= 80, "{path:?}");
        let (head, body): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("--"));
        let (head, body) = (head.join("\n"), body.join("\n"));
        for part in ["-- KEYS", "\n-- Returns  ", "\n-- Retry    ", "\n-- Cost     "] {
            assert!(format!("\n{head}").contains(part), "{path:?} says nothing of {part}");
        }
        for number in between(&body, "ARGV[", ']').into_iter().filter(|inner| inner.parse::<u32>().is_ok_and(|n| n > 1))
        {
            assert!(head.contains(&format!("ARGV[{number}]")), "{path:?} does not name ARGV[{number}]");
        }
        let returns = head.lines().find(|line| line.starts_with("-- Returns")).unwrap();
        let marks = ["return {'", "reply = {'", "answer = {'", "answer = '", "answer[1] = '"];
        let answers = returned(&head);
        for word in marks.iter().flat_map(|mark| between(&body, mark, '\'')) {
            assert!(answers.contains(&format!("'{word}'")), "{path:?} does not name its answer {word}");
        }
        assert!(returns["-- Returns  ".len()..].starts_with('\''), "{path:?} does not begin its answer with a word");
    }
}

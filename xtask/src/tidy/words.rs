//! Words that the glossary has replaced. They must not come back outside the queue's internals.

/// The files with words of the queue's internals, by the beginning of their path, and this rule itself.
const EXEMPT: [&str; 5] = [
    "crates/state-store/src/queue",
    "crates/state-store/lua/queue",
    "crates/state-store/tests/state/queue",
    "crates/embedded-store/src/state/queue",
    "xtask/src/tidy/words.rs",
];

/// Names of keys on a server, which are spelled in these files.
const NAMES_OF_KEYS: [(&str, &str); 2] = [
    ("crates/redis-link/src/keys.rs", "\"parcels\" \"parcel_leases\" \"parcel_of\" \"shelves\" \"shelves_due\""),
    ("crates/notifier/tests/service/kills.rs", ":parcel_of\""),
];

/// A word, its plural, and the word to use instead.
const WORDS: [(&str, &str, &str); 9] = [
    ("parcel", "parcels", "batch"),
    ("family", "families", "group"),
    ("shelf", "shelves", "packed"),
    ("spot", "spots", "place"),
    ("lone", "lones", "single"),
    ("baton", "batons", "wake-up"),
    ("ghost", "ghosts", "stale entry"),
    ("dangling", "danglings", "stale"),
    ("seldom", "seldoms", "slow path"),
];

pub(super) fn check(name: &str, text: &str, violations: &mut Vec<String>) {
    let is_checked = [".rs", ".lua", ".md", ".toml"].iter().any(|extension| name.ends_with(extension));
    if !is_checked || EXEMPT.iter().any(|prefix| name.starts_with(prefix)) {
        return;
    }
    for (index, line) in std::iter::once(name).chain(text.lines()).enumerate() {
        for token in line.split(|letter: char| !letter.is_alphanumeric() && letter != '_') {
            if token == "Together" {
                violations.push(format!("{name}:{index}: write Batcher or \"coalesced\", not \"Together\""));
            }
            for word in words_of(token) {
                let replaced = WORDS.iter().find(|(one, many, _)| word == *one || word == *many);
                if let Some((_, _, instead)) = replaced.filter(|_| !is_name_of_key(name, line, token)) {
                    violations.push(format!("{name}:{index}: write \"{instead}\", not \"{word}\""));
                }
            }
        }
    }
}

/// The words of an identifier, in lower case: `ShelfBounds` and `shelf_bounds` have two.
fn words_of(token: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in token.chars() {
        if letter == '_' || (was_lower && letter.is_uppercase()) {
            words.push(String::new());
        }
        was_lower = letter.is_lowercase();
        if letter != '_' {
            words.last_mut().into_iter().for_each(|word| word.extend(letter.to_lowercase()));
        }
    }
    words
}

fn is_name_of_key(name: &str, line: &str, token: &str) -> bool {
    let is_quoted = |names: &str| names.contains(&format!("{token}\"")) && line.contains(&format!("{token}\""));
    NAMES_OF_KEYS.iter().any(|(file, names)| *file == name && is_quoted(names))
}

#[cfg(test)]
mod tests {
    use super::check;

    fn found(name: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        check(name, text, &mut found);
        found
    }

    #[test]
    fn replaced_words_are_reported_with_their_line_and_replacement() {
        let expected = ["a.rs:2: write \"batch\", not \"parcels\""];
        assert_eq!(found("a.rs", "// fine\n// Parcels of jobs\n"), expected);
        for text in ["with_shelves", "ShelfBounds", "// a lone job", "// two families", "use Together;", "# spot"] {
            assert_eq!(found("a.rs", text).len(), 1, "{text}");
        }
        assert_eq!(found("src/ghosts.rs", "").len(), 1, "names of files are checked");
    }

    #[test]
    fn other_words_and_the_internals_of_the_queue_are_accepted() {
        for text in ["// alone, a clone, hotspot", "// together with others", "shelved", "familiar"] {
            assert_eq!(found("a.rs", text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(found("crates/state-store/lua/queue/shelf.lua", "-- a shelf"), Vec::<String>::new());
        assert_eq!(found("figures.json", "family"), Vec::<String>::new());
        assert_eq!(found("crates/redis-link/src/keys.rs", "key(\"parcel_of\")"), Vec::<String>::new());
        assert_eq!(found("crates/redis-link/src/keys.rs", "// parcel_of").len(), 1);
    }
}

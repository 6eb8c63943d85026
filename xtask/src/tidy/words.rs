//! Words that the glossary has replaced. They must not come back.

/// This rule itself.
const EXEMPT: &str = "xtask/src/tidy/words.rs";

/// A word, its plural, and the word to use instead.
const WORDS: [(&str, &str, &str); 9] = [
    ("parcel", "parcels", "batch"),
    ("family", "families", "batch"),
    ("shelf", "shelves", "batch"),
    ("spot", "spots", "position"),
    ("lone", "lones", "single"),
    ("baton", "batons", "wake-up"),
    ("ghost", "ghosts", "stale entry"),
    ("dangling", "danglings", "stale"),
    ("seldom", "seldoms", "slow path"),
];

pub(super) fn check(name: &str, text: &str, violations: &mut Vec<String>) {
    let is_checked = [".rs", ".lua", ".md", ".toml"].iter().any(|extension| name.ends_with(extension));
    if !is_checked || name == EXEMPT {
        return;
    }
    for (index, line) in std::iter::once(name).chain(text.lines()).enumerate() {
        for token in line.split(|letter: char| !letter.is_alphanumeric() && letter != '_') {
            if token == "Together" {
                violations.push(format!("{name}:{index}: write Batcher or \"coalesced\", not \"Together\""));
            }
            for word in words_of(token) {
                let replaced = WORDS.iter().find(|(one, many, _)| word == *one || word == *many);
                if let Some((_, _, instead)) = replaced {
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
    fn other_words_and_other_files_are_accepted() {
        for text in ["// alone, a clone, hotspot", "// together with others", "shelved", "familiar"] {
            assert_eq!(found("a.rs", text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(found("figures.json", "family"), Vec::<String>::new());
        assert_eq!(found("xtask/src/tidy/words.rs", "shelf"), Vec::<String>::new());
    }
}

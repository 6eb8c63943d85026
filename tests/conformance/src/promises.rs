//! The promises of the state role, each with the cases that show it.

use std::fmt;

mod records;
mod work;

/// Servers that fail and processes that die.
const FAULTS: &str = "cargo xtask faults";

/// A promise of one capability.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    /// The capability.
    pub capability: &'static str,
    /// What it promises.
    pub words: &'static str,
    /// The names of cases that show it.
    pub cases: &'static [&'static str],
    /// Where the rest of it is shown: what needs servers that fail, or processes that die. A file or a command.
    pub elsewhere: &'static [&'static str],
}

impl Promise {
    /// Every promise of the state role.
    pub fn all() -> impl Iterator<Item = &'static Promise> {
        [work::PROMISES, records::PROMISES].into_iter().flatten()
    }

    const fn new(capability: &'static str, words: &'static str, cases: &'static [&'static str]) -> Self {
        Self { capability, words, cases, elsewhere: &[] }
    }

    const fn and(mut self, elsewhere: &'static [&'static str]) -> Self {
        self.elsewhere = elsewhere;
        self
    }
}

/// One line: the capability, the promise, the cases, where else it is shown.
impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.capability, self.words, self.cases.join(", "))?;
        if !self.elsewhere.is_empty() {
            write!(f, "; also {}", self.elsewhere.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use store_core::Op;

    use super::Promise;

    /// The capabilities of the cache role, and what both roles have beside their capabilities.
    const OF_NO_PROMISE: [&str; 4] = ["key_value", "rate_limit", "handoff", "link"];

    #[test]
    fn each_promise_has_cases_and_each_of_them_exists() {
        let names: BTreeSet<_> = crate::all().map(|case| case.name()).collect();
        for promise in Promise::all() {
            assert!(!promise.cases.is_empty(), "{promise}");
            for case in promise.cases {
                assert!(names.contains(*case), "there is no case {case}: {promise}");
            }
        }
    }

    #[test]
    fn each_operation_of_the_state_role_is_part_of_a_promise() {
        let shown: Vec<_> = Promise::all().flat_map(|promise| promise.cases).collect();
        let is_shown =
            |op: &str| shown.iter().any(|case| case.strip_prefix(op).is_some_and(|rest| rest.starts_with('.')));
        let of_the_state = Op::ALL.iter().map(|op| op.name());
        let of_the_state = of_the_state.filter(|op| !OF_NO_PROMISE.iter().any(|group| op.starts_with(group)));
        assert_eq!(of_the_state.filter(|op| !is_shown(op)).collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn no_promise_is_made_twice() {
        let mut seen = BTreeSet::new();
        for promise in Promise::all() {
            assert!(seen.insert((promise.capability, promise.words)), "{promise}");
        }
    }

    #[test]
    fn what_is_shown_elsewhere_exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for place in Promise::all().flat_map(|promise| promise.elsewhere) {
            assert!(*place == super::FAULTS || root.join(place).is_file(), "{place}");
        }
    }
}

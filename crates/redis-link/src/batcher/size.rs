//! How large the values are that come back.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How large a value is taken to be of which nothing is known, in bytes.
const UNKNOWN: usize = 1 << 20;

/// The size that values had lately: how many a call may ask for whose reply should not become too large. Nothing known
/// counts as 1 MiB; a larger value counts at once, smaller ones step by step.
#[derive(Debug)]
pub struct SizeSeen(AtomicUsize);

impl Default for SizeSeen {
    fn default() -> Self {
        Self(AtomicUsize::new(UNKNOWN))
    }
}

impl SizeSeen {
    /// How many bytes a value is expected to have; at least 1.
    pub fn expected(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// The largest value of a reply had so many bytes.
    pub fn note(&self, largest: usize) {
        let expected = self.expected();
        let next = if largest >= expected { largest } else { expected - (expected - largest).div_ceil(2) };
        if next != expected {
            self.0.store(next.max(1), Ordering::Relaxed);
        }
    }

    /// No reply came: it may have been too large.
    pub fn forget(&self) {
        self.0.fetch_max(UNKNOWN, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_ones_count_at_once_and_smaller_ones_step_by_step() {
        let seen = SizeSeen::default();
        assert_eq!(seen.expected(), UNKNOWN);
        seen.note(0);
        assert_eq!(seen.expected(), UNKNOWN / 2);
        (0..30).for_each(|_| seen.note(0));
        assert_eq!(seen.expected(), 1);
        seen.note(4 << 20);
        assert_eq!(seen.expected(), 4 << 20);
        seen.forget();
        assert_eq!(seen.expected(), 4 << 20, "what is known to be larger is not forgotten");
        (0..30).for_each(|_| seen.note(100));
        assert_eq!(seen.expected(), 100);
        seen.forget();
        assert_eq!(seen.expected(), UNKNOWN);
    }
}

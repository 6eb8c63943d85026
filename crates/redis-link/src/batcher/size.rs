//! The sizes of recent values, which bound how many values one call reads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The assumed size of a value before any was read, in bytes.
const UNKNOWN: usize = 1 << 20;

/// The size of recent values. It bounds how many values one call may ask for, so that no reply becomes too large. The
/// initial size is 1 MiB. A larger value raises it immediately, smaller values lower it gradually.
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

    /// Records a reply whose largest value has this many bytes.
    pub fn note(&self, largest: usize) {
        let expected = self.expected();
        let next = if largest >= expected { largest } else { expected - (expected - largest).div_ceil(2) };
        if next != expected {
            self.0.store(next.max(1), Ordering::Relaxed);
        }
    }

    /// Records that no reply came: it may have been too large.
    pub fn forget(&self) {
        self.0.fetch_max(UNKNOWN, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_values_count_immediately_and_smaller_ones_gradually() {
        let seen = SizeSeen::default();
        assert_eq!(seen.expected(), UNKNOWN);
        seen.note(0);
        assert_eq!(seen.expected(), UNKNOWN / 2);
        (0..30).for_each(|_| seen.note(0));
        assert_eq!(seen.expected(), 1);
        seen.note(4 << 20);
        assert_eq!(seen.expected(), 4 << 20);
        seen.forget();
        assert_eq!(seen.expected(), 4 << 20, "a known larger size is kept");
        (0..30).for_each(|_| seen.note(100));
        assert_eq!(seen.expected(), 100);
        seen.forget();
        assert_eq!(seen.expected(), UNKNOWN);
    }
}

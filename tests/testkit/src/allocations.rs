//! How often and how much a test's process allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, counting. A test that wants to count makes it the allocator of its own binary:
///
/// ```
/// #[global_allocator]
/// static COUNTING: testkit::CountingAllocator = testkit::CountingAllocator::new();
///
/// let before = COUNTING.counted();
/// let kept = vec![0_u8; 1000];
/// let since = COUNTING.counted().since(before);
/// assert!(since.times >= 1 && since.bytes >= 1000);
/// # drop(kept);
/// ```
pub struct CountingAllocator {
    times: AtomicU64,
    bytes: AtomicU64,
    freed: AtomicU64,
}

/// What was allocated, whether it was freed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocated {
    /// How often memory was asked for, or asked to grow.
    pub times: u64,
    /// How many bytes; of what grew, its whole new size, since it may have been copied.
    pub bytes: u64,
}

impl CountingAllocator {
    /// Nothing counted.
    #[expect(clippy::new_without_default, reason = "it is made in a static")]
    pub const fn new() -> Self {
        Self { times: AtomicU64::new(0), bytes: AtomicU64::new(0), freed: AtomicU64::new(0) }
    }

    /// What all threads of the process have allocated until now.
    pub fn counted(&self) -> Allocated {
        Allocated { times: self.times.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }

    /// How many bytes all threads of the process have allocated and not freed.
    pub fn live(&self) -> u64 {
        let freed = self.freed.load(Ordering::Relaxed);
        self.bytes.load(Ordering::Relaxed).saturating_sub(freed)
    }

    fn free(&self, bytes: usize) {
        self.freed.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn count(&self, bytes: usize) {
        self.times.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Allocated {
    /// What was allocated after `earlier` was.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { times: self.times - earlier.times, bytes: self.bytes - earlier.bytes }
    }
}

// SAFETY: each method hands its arguments on to the system's allocator as they are, and its answer back.
#[expect(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.free(layout.size());
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count(size);
        self.free(layout.size());
        unsafe { System.realloc(memory, layout, size) }
    }
}

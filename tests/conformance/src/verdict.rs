//! The result of a case: an engine kept its promise or broke it.

use std::fmt;
use std::panic::Location;

/// The result of a case.
pub type Verdict = Result<(), BrokenPromise>;

/// A promise that an engine broke, and the line of the case that found it.
#[derive(Clone)]
pub struct BrokenPromise {
    what: String,
    at: &'static Location<'static>,
}

impl BrokenPromise {
    /// A failure at the line of the caller.
    #[track_caller]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), at: Location::caller() }
    }
}

impl fmt::Display for BrokenPromise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.what, self.at.file(), self.at.line())
    }
}

impl fmt::Debug for BrokenPromise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An operation returned an error, but the case expected a value.
impl<E: std::error::Error> From<E> for BrokenPromise {
    #[track_caller]
    fn from(error: E) -> Self {
        BrokenPromise::new(format!("unexpected error: {error}"))
    }
}

/// Ends the case unless the condition holds.
macro_rules! check {
    ($condition:expr $(,)?) => {
        $crate::verdict::check!($condition, "not so: {}", stringify!($condition))
    };
    ($condition:expr, $($explanation:tt)+) => {
        if !$condition {
            return Err($crate::BrokenPromise::new(format!($($explanation)+)));
        }
    };
}

/// Ends the case unless both are equal.
macro_rules! check_eq {
    ($actual:expr, $expected:expr $(,)?) => {
        match (&$actual, &$expected) {
            (actual, expected) => {
                $crate::verdict::check!(
                    *actual == *expected,
                    "{} is {actual:?}, expected {expected:?}",
                    stringify!($actual)
                )
            }
        }
    };
}

/// Ends the case unless the value has the form of the pattern.
macro_rules! check_matches {
    ($actual:expr, $($pattern:tt)+) => {
        match &$actual {
            actual => $crate::verdict::check!(
                matches!(actual, $($pattern)+),
                "{} is {actual:?}, expected {}",
                stringify!($actual),
                stringify!($($pattern)+)
            ),
        }
    };
}

pub(crate) use {check, check_eq, check_matches};

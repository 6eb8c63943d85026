//! Arguments of commands and scripts.

use std::time::Duration;

use bytes::Bytes;

/// One argument of a command or a script.
///
/// Made from integers, [`Bytes`], `String` and `Vec<u8>` without a copy; from `&str` and `&[u8]` with one.
/// [`args!`](crate::args) makes a list.
#[derive(Clone, PartialEq, Eq)]
pub enum Arg {
    /// Bytes as they are.
    Bytes(Bytes),
    /// A decimal number.
    Int(i64),
}

impl Arg {
    /// A constant text, without a copy.
    pub const fn fixed(text: &'static str) -> Self {
        Arg::Bytes(Bytes::from_static(text.as_bytes()))
    }

    /// Its approximate size in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Arg::Bytes(bytes) => bytes.len(),
            Arg::Int(_) => size_of::<i64>(),
        }
    }

    /// A duration in seconds with three decimals, the form of `BLPOP` and its like. At least one millisecond, because
    /// zero means for ever.
    pub fn seconds(duration: Duration) -> Self {
        let millis = store_core::millis_ceil(duration).max(1);
        Arg::from(format!("{}.{:03}", millis / 1000, millis % 1000))
    }
}

/// Shows the length only: arguments are keys and payloads.
impl std::fmt::Debug for Arg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Arg::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Arg::Int(_) => f.write_str("Int"),
        }
    }
}

impl From<Bytes> for Arg {
    fn from(bytes: Bytes) -> Self {
        Arg::Bytes(bytes)
    }
}

impl From<&Bytes> for Arg {
    fn from(bytes: &Bytes) -> Self {
        Arg::Bytes(bytes.clone())
    }
}

impl From<Vec<u8>> for Arg {
    fn from(bytes: Vec<u8>) -> Self {
        Arg::Bytes(bytes.into())
    }
}

impl From<&[u8]> for Arg {
    fn from(bytes: &[u8]) -> Self {
        Arg::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Arg::Bytes(text.into())
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Arg::Bytes(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<&String> for Arg {
    fn from(text: &String) -> Self {
        Arg::from(text.as_str())
    }
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Arg::Int(number)
    }
}

impl From<i32> for Arg {
    fn from(number: i32) -> Self {
        Arg::Int(number.into())
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Arg::Int(number.into())
    }
}

impl From<u64> for Arg {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or_else(|_| Arg::from(number.to_string()), Arg::Int)
    }
}

impl From<usize> for Arg {
    fn from(number: usize) -> Self {
        i64::try_from(number).map_or_else(|_| Arg::from(number.to_string()), Arg::Int)
    }
}

/// A list of [`Arg`]s from values that convert into one.
///
/// ```
/// let arguments = redis_link::args!["job-1", 3, vec![1_u8, 2]];
/// assert_eq!(arguments.len(), 3);
/// ```
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::Arg::from($value)),*] };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_never_zero_and_rounded_up() {
        assert_eq!(Arg::seconds(Duration::ZERO), Arg::from("0.001"));
        assert_eq!(Arg::seconds(Duration::from_micros(1500)), Arg::from("0.002"));
        assert_eq!(Arg::seconds(Duration::from_millis(61_050)), Arg::from("61.050"));
    }

    #[test]
    fn numbers_above_i64_become_text() {
        assert_eq!(Arg::from(u64::MAX), Arg::from("18446744073709551615"));
        assert_eq!(Arg::from(7_u64), Arg::Int(7));
    }

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", args!["canary", 42]), "[Bytes(6 bytes), Int]");
    }
}

//! Why a name is refused.

/// Why a name is invalid. It does not contain the name, because the name may be private.
///
/// ```
/// use twinstore::name::NameError;
/// use twinstore::queue::QueueName;
///
/// let error = QueueName::new("my mails").unwrap_err();
/// assert!(matches!(error, NameError::Character { character: ' ', position: 2, .. }));
/// assert!(error.to_string().starts_with("a queue name holds ' ' at byte 2"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty.
    #[error("{what} is empty; give it at least one character")]
    Empty {
        /// The kind of name.
        what: &'static str,
    },
    /// It is longer than allowed.
    #[error("{what} has {len} bytes; at most {max} are allowed (hash a longer one)")]
    TooLong {
        /// The kind of name.
        what: &'static str,
        /// The length in bytes.
        len: usize,
        /// The largest length allowed, in bytes.
        max: usize,
    },
    /// It contains a character that is not allowed.
    #[error("{what} holds {character:?} at byte {position}; allowed are {allowed}")]
    Character {
        /// The kind of name.
        what: &'static str,
        /// The character.
        character: char,
        /// The position in bytes.
        position: usize,
        /// The characters allowed, in words.
        allowed: &'static str,
    },
}

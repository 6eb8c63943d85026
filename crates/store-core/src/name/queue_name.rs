//! The names of the queues of types.

use super::QueueName;

impl QueueName {
    /// The name of the queue of a type of jobs.
    ///
    /// A [`JobType::QUEUE`](crate::JobType::QUEUE) that is not a valid name does not compile:
    ///
    /// ```compile_fail
    /// # use twinstore::queue::{JobType, QueueName};
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Mail;
    ///
    /// impl JobType for Mail {
    ///     const QUEUE: &'static str = "my mails"; // a blank is not allowed
    /// }
    ///
    /// QueueName::of::<Mail>();
    /// ```
    pub fn of<T: crate::JobType>() -> Self {
        const {
            assert!(
                is_queue_name(T::QUEUE),
                "JobType::QUEUE is not a valid queue name: give it 1 to 128 ASCII letters, digits and . _ - : / @"
            );
        }
        Self(T::QUEUE.into())
    }
}

/// The same check as that of [`QueueName::new`], for constants.
const fn is_queue_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut position = 0;
    while position < bytes.len() {
        if !matches!(bytes[position], b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b':' | b'/' | b'@')
        {
            return false;
        }
        position += 1;
    }
    !bytes.is_empty() && bytes.len() <= QueueName::MAX_BYTES
}

#[cfg(test)]
mod tests {
    use super::QueueName;

    #[test]
    fn a_constant_name_is_valid_if_and_only_if_the_name_is() {
        let characters = (0..=0x17f).filter_map(char::from_u32).map(|character| format!("a{character}"));
        let texts = characters.chain([0, 1, 128, 129].map(|len| "x".repeat(len)));
        for text in texts {
            assert_eq!(super::is_queue_name(&text), QueueName::new(&text).is_ok(), "{text:?}");
        }
    }
}

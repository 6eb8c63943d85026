//! The names of the queues of types, and of outboxes.

use super::QueueName;

/// What the name of an outbox ends with.
pub(super) const OUTBOX: &str = "~outbox";

impl QueueName {
    /// The outbox of the queue: a queue of its own, in which commits record their deliveries. The outbox of an outbox is itself.
    #[must_use]
    pub fn outbox(&self) -> Self {
        if self.is_outbox() { self.clone() } else { Self(format!("{self}{OUTBOX}").into()) }
    }

    /// Whether it names an outbox.
    pub fn is_outbox(&self) -> bool {
        self.as_str().ends_with(OUTBOX)
    }

    /// The queue that has this outbox; any other queue itself.
    #[doc(hidden)]
    #[must_use]
    pub fn of_outbox(&self) -> Self {
        Self(self.as_str().trim_end_matches(OUTBOX).into())
    }

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
    fn the_outbox_of_a_queue_has_a_name_that_no_other_queue_has() {
        let queue = QueueName::new("x".repeat(QueueName::MAX_BYTES)).unwrap();
        let outbox = queue.outbox();
        assert_eq!(QueueName::new(outbox.as_str()), Ok(outbox.clone()));
        assert!(outbox.is_outbox() && !queue.is_outbox());
        assert_eq!((outbox.outbox(), outbox.of_outbox(), queue.of_outbox()), (outbox.clone(), queue.clone(), queue));
        for text in ["~outbox", "a~outbox~outbox", "a~outboxes", "a~", "a~outbox.b", "a b~outbox"] {
            assert!(QueueName::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_constant_name_is_valid_if_and_only_if_the_name_is() {
        let characters = (0..=0x17f).filter_map(char::from_u32).map(|character| format!("a{character}"));
        let texts = characters.chain([0, 1, 128, 129].map(|len| "x".repeat(len)));
        for text in texts {
            assert_eq!(super::is_queue_name(&text), QueueName::new(&text).is_ok(), "{text:?}");
        }
    }
}

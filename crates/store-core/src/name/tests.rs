//! Names that are accepted and refused.

use super::{Key, NameError, QueueName};

#[test]
fn a_refused_name_says_which_character() {
    assert_eq!(
        QueueName::new("mail{0}"),
        Err(NameError::Character {
            what: "a queue name",
            character: '{',
            position: 4,
            allowed: super::NAME_CHARACTERS
        })
    );
    assert!(matches!(QueueName::new(""), Err(NameError::Empty { .. })));
    assert!(matches!(QueueName::new("x".repeat(129)), Err(NameError::TooLong { len: 129, max: 128, .. })));
}

#[test]
fn keys_take_any_text_but_control_characters_and_braces() {
    assert!(Key::new("größe / 42 ✓").is_ok());
    assert!(Key::new("a\nb").is_err());
    assert!(Key::new("{a}").is_err());
}

#[test]
fn serde_validates() {
    assert!(serde_json::from_str::<QueueName>("\"a b\"").is_err());
    assert_eq!(serde_json::to_string(&QueueName::new("a.b").unwrap()).unwrap(), "\"a.b\"");
}

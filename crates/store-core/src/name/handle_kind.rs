//! The keys of values of typed handles.

use super::{HandleName, Key};

/// The kind of data that a typed handle stores. Two kinds never share a key, even if their handles have the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandleKind {
    /// A value of [`TypedKeyValue`](crate::TypedKeyValue).
    Values,
    /// A value that get-or-load stored.
    Loading,
    /// The lock of a loader.
    LoadingLock,
    /// A hand-off of [`TypedHandoff`](crate::TypedHandoff).
    Handoffs,
    /// A request of a typed idempotent operation.
    Operations,
}

impl HandleKind {
    /// `{kind.name}:key`: the key under which a handle of this kind called `name` keeps the value of `key`, for example
    /// `{loading.prices}:42`. It holds braces, so no key of a caller equals it. Names and keys hold no braces, so no two
    /// handles share a key.
    pub fn key(self, name: &HandleName, key: &Key) -> Key {
        Key(format!("{{{}.{name}}}:{key}", self.as_str()).into())
    }

    fn as_str(self) -> &'static str {
        match self {
            HandleKind::Values => "values",
            HandleKind::Loading => "loading",
            HandleKind::LoadingLock => "loading-lock",
            HandleKind::Handoffs => "handoffs",
            HandleKind::Operations => "operations",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HandleName, Key};
    use super::HandleKind;

    #[test]
    fn no_two_handles_share_a_key() {
        let key = |kind: HandleKind, name: &str, key: &str| {
            kind.key(&HandleName::new(name).unwrap(), &Key::new(key).unwrap())
        };
        assert_eq!(key(HandleKind::Loading, "prices", "42").as_str(), "{loading.prices}:42");
        assert_ne!(key(HandleKind::Values, "prices", "42"), key(HandleKind::Loading, "prices", "42"));
        assert_ne!(key(HandleKind::Values, "a:b", "c"), key(HandleKind::Values, "a", "b:c"));
        assert_ne!(key(HandleKind::Loading, "a", "42"), key(HandleKind::LoadingLock, "a", "42"));
    }
}

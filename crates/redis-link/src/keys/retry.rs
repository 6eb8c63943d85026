//! The keys of retried operations.

use store_core::{Key, Namespace, Scope};

use super::{scoped, scoped_of};

/// `ns:service:{o.key}:retries`, shared `ns:{o.key}:retries`: string: the state of an operation, its attempts and times, the last
/// error. TTL: the longest that a write has set, and 1 s.
pub fn retries(namespace: &Namespace, scope: &Scope, operation: &Key) -> String {
    format!("{}:{{o.{operation}}}:retries", scoped(namespace, scope))
}

/// `ns:service:{o.key}:call:id`: string: a word, once a clearing of the operation was executed. TTL: as long as the call may be
/// repeated.
pub fn clearing(namespace: &Namespace, scope: &Scope, operation: &Key, id: u64) -> String {
    format!("{}:{{o.{operation}}}:call:{id:016x}", scoped(namespace, scope))
}

/// `ns:service:{o.*}:retries`: the pattern of the keys of a scope. No name of a scope holds a character of a pattern.
pub fn operations(namespace: &Namespace, scope: &Scope) -> String {
    format!("{}:{{o.*}}:retries", scoped(namespace, scope))
}

/// The operation that has this key in a scope.
pub fn operation_of(namespace: &Namespace, scope: &Scope, key: &str) -> Option<Key> {
    let (found, operation) = scoped_of(namespace, key, "o.", "retries")?;
    if found == *scope { Key::new(operation).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use store_core::{Key, Namespace, Scope, ServiceName};

    use super::{clearing, operation_of, retries};

    #[test]
    fn an_operation_is_found_by_its_key_in_its_scope() {
        let namespace = Namespace::new("tw").unwrap();
        let scopes = [Scope::Shared, Scope::from(ServiceName::new("a:b").unwrap())];
        let operation = Key::new("mail 7: *").unwrap();
        let [shared, own] = scopes.clone().map(|scope| retries(&namespace, &scope, &operation));
        assert_eq!([shared.as_str(), own.as_str()], ["tw:{o.mail 7: *}:retries", "tw:a:b:{o.mail 7: *}:retries"]);
        assert_eq!(operation_of(&namespace, &scopes[0], &shared), Some(operation.clone()));
        assert_eq!(operation_of(&namespace, &scopes[1], &own), Some(operation));
        assert_eq!(operation_of(&namespace, &scopes[0], &own), None);
        assert_eq!(operation_of(&namespace, &scopes[1], "tw:a:b:{w.n:x}:steps"), None);
        let call = clearing(&namespace, &scopes[0], &Key::new("mail 7: *").unwrap(), 10);
        assert_eq!(call, "tw:{o.mail 7: *}:call:000000000000000a");
        assert_eq!(operation_of(&namespace, &scopes[0], &call), None);
    }
}

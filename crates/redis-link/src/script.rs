//! Scripts: sent by their digest, loaded where the server does not know them.

use std::sync::OnceLock;

use bytes::Bytes;

/// A Lua script with a name. Keep it in a `static`: its digest is computed once.
///
/// ```
/// static TOUCH: redis_link::Script = redis_link::Script::new("lease/renew", "#!lua\nreturn {'renewed'}");
/// assert_eq!(TOUCH.digest().len(), 40);
/// ```
pub struct Script {
    name: &'static str,
    source: &'static str,
    digest: OnceLock<Bytes>,
}

impl Script {
    /// A script called `name` (its file without `.lua`), with its source.
    pub const fn new(name: &'static str, source: &'static str) -> Self {
        Self { name, source, digest: OnceLock::new() }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its text.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// The SHA-1 of its text in hexadecimal digits, by which the server knows it.
    pub fn digest(&self) -> &Bytes {
        self.digest.get_or_init(|| sha1_smol::Sha1::from(self.source).digest().to_string().into())
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Script({})", self.name)
    }
}

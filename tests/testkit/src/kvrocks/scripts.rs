//! Scripts: which ones are loaded, and the commands that they can call.

use std::collections::HashMap;
use std::sync::Mutex;

use sha1_smol::Sha1;

use crate::lock;

/// The table `redis` of a script: some commands are absent or not allowed in scripts, others reply differently.
const SERVER: &str = include_str!("scripts.lua");

/// The flags that Kvrocks refuses.
const REFUSED: [&str; 2] = ["allow-oom", "allow-stale"];

/// The scripts that `SCRIPT LOAD` has stored: the digest of each, in capitals, and the digest of the script that runs instead.
#[derive(Default)]
pub(super) struct Scripts(Mutex<HashMap<String, String>>);

impl Scripts {
    /// The digest of the script that runs instead of the one with this digest, if the latter was loaded.
    pub(super) fn instead_of(&self, digest: &str) -> Option<String> {
        lock(&self.0).get(&digest.to_uppercase()).cloned()
    }

    /// Records that a script was loaded, and returns its digest.
    pub(super) fn note(&self, source: &[u8], instead: &str) -> String {
        let digest = Sha1::from(source).digest().to_string();
        lock(&self.0).insert(digest.to_uppercase(), instead.to_owned());
        digest
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }
}

/// The script that runs instead of this one. Its lines have the same numbers.
///
/// # Errors
/// The text of the error, if the first line has a flag that Kvrocks refuses.
pub(super) fn instead(source: &[u8]) -> Result<Vec<u8>, String> {
    let end = source.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (first, rest) = if source.starts_with(b"#!") { source.split_at(end) } else { (&source[..0], source) };
    let line = String::from_utf8_lossy(first);
    let mut flags =
        line.trim_end().split(' ').filter_map(|word| word.strip_prefix("flags=")).flat_map(|flags| flags.split(','));
    if let Some(refused) = flags.find(|flag| REFUSED.contains(flag)) {
        return Err(format!("{refused} is not supported yet"));
    }
    let server = SERVER.replace('\n', " ");
    Ok([first, server.as_bytes(), rest].concat())
}

//! The file that holds a password.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use store_core::Secret;

/// The most that a server accepts from a client before it logs in; Redis and Valkey close the connection on more.
const LONGEST: u64 = 16 * 1024;

/// Why a password file cannot be used. The text continues "the password file …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordFileError {
    /// The system refuses to open or read it.
    #[error("cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// A directory, a pipe or a device: its content may be endless, or not readable again for the next connection.
    #[error("is not a regular file")]
    NotAFile,
    /// More than 16 KiB: a server accepts no password of that length.
    #[error("holds more than 16 KiB")]
    TooLong,
    /// The bytes are not UTF-8.
    #[error("is not UTF-8 text")]
    NotText,
}

/// Reads the password from a file: its content without one line break (`\n` or `\r\n`) at its end, if there is one. All
/// other characters are part of the password, also blanks and further line breaks. Blocks on the file system.
///
/// # Errors
/// [`PasswordFileError`]; it repeats neither the path nor the content.
pub fn read_password_file(path: &Path) -> Result<Secret, PasswordFileError> {
    let unreadable = |error: io::Error| PasswordFileError::Unreadable(error.kind());
    // Checked before the file is opened: opening a pipe without a writer waits for ever.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(PasswordFileError::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LONGEST + 3).read_to_end(&mut bytes)).map_err(unreadable)?;
    let password = bytes.strip_suffix(b"\n").map_or(&*bytes, |line| line.strip_suffix(b"\r").unwrap_or(line));
    if password.len() as u64 > LONGEST {
        return Err(PasswordFileError::TooLong);
    }
    std::str::from_utf8(password).map(Secret::new).map_err(|_| PasswordFileError::NotText)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn read(content: impl AsRef<[u8]>) -> Result<String, PasswordFileError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        read_password_file(file.path()).map(|password| password.expose().to_owned())
    }

    #[test]
    fn exactly_one_line_end_is_not_part_of_the_password() {
        for (content, password) in [
            ("", ""),
            ("\n", ""),
            ("\r\n", ""),
            ("\r", "\r"),
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            ("secret\n\n", "secret\n"),
            ("secret\r\n\r\n", "secret\r\n"),
            ("secret\n\r", "secret\n\r"),
            (" two words\t \n", " two words\t "),
            ("x\nFLUSHALL\n", "x\nFLUSHALL"),
            ("\0\u{feff}é", "\0\u{feff}é"),
        ] {
            assert_eq!(read(content).as_deref(), Ok(password), "{content:?}");
        }
    }

    #[test]
    fn what_no_server_could_accept_is_refused() {
        assert_eq!(read(b"caf\xe9"), Err(PasswordFileError::NotText));
        let longest = "é".repeat(8 * 1024);
        assert_eq!(read(format!("{longest}\r\n")).as_ref(), Ok(&longest));
        assert_eq!(read(format!("{longest}x\n")), Err(PasswordFileError::TooLong));
        assert_eq!(read("x".repeat(1 << 20)), Err(PasswordFileError::TooLong));
    }

    #[test]
    fn only_a_regular_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_password_file(folder.path()), Err(PasswordFileError::NotAFile));
        let missing = read_password_file(&folder.path().join("missing"));
        assert_eq!(missing, Err(PasswordFileError::Unreadable(io::ErrorKind::NotFound)));
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(read_password_file(&pipe), Err(PasswordFileError::NotAFile));
    }
}

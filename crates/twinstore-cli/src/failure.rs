//! Why a command failed, and its exit code.

use std::error::Error as _;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

/// Why a command ends early, or did not do everything.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments or the env file cannot be used.
    Usage(String),
    /// A service with this configuration would refuse to start.
    Refused(String),
    /// A store returned an error, or something was not done.
    Failed(String),
    /// Something was not done; standard output has the details.
    Incomplete,
    /// Ctrl-C ended the command.
    Interrupted(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Failure::Failed(_) | Failure::Incomplete => 1,
            Failure::Usage(_) => 2,
            Failure::Refused(_) => 78,
            Failure::Interrupted(_) => 130,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) | Failure::Refused(text) | Failure::Failed(text) | Failure::Interrupted(text) => {
                f.write_str(text)
            }
            Failure::Incomplete => Ok(()),
        }
    }
}

impl From<store_core::Error> for Failure {
    fn from(error: store_core::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Failure::Failed(format!("{text}\n`twinstore check` reports what is wrong with the servers"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}

/// The exit code of a command; its error goes to standard error.
pub(crate) fn exit(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    let text = failure.to_string();
    if !text.is_empty() {
        note(&text);
    }
    ExitCode::from(failure.code())
}

/// Writes a message to standard error.
pub(crate) fn note(text: &str) {
    // A closed standard error is ignored: the exit code remains.
    let _ = writeln!(std::io::stderr(), "twinstore: {}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use store_core::{Error, Op};

    use super::Failure;

    /// A command that has begun reports what it did; wrong usage is found before.
    #[test]
    fn an_error_of_a_store_is_never_wrong_usage() {
        for error in [Error::invalid_argument(Op::QueueReplay, "it"), Error::corrupt(Op::QueueReplay, "it")] {
            let failure = Failure::from(error);
            assert!(matches!(failure, Failure::Failed(_)) && failure.code() == 1, "{failure:?}");
        }
    }
}

//! The error for a text that is not the name of a code.

use std::str::FromStr;

use super::Code;
use crate::nearest::nearest;

/// The text is not a code. If it resembles a code, the error suggests that code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a code of a finding{}", nearest.map(|code| format!("; did you mean {code}?")).unwrap_or_default())]
pub struct UnknownCode {
    /// The code that the text resembles most.
    pub nearest: Option<Code>,
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let find = |name: &str| Code::ALL.iter().copied().find(|code| code.name() == name);
        find(text).ok_or_else(|| UnknownCode {
            nearest: nearest(text, Code::ALL.iter().map(|code| code.name())).and_then(find),
        })
    }
}

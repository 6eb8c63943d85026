//! Whether the server runs scripts.

use store_core::{ErrorKind, Op};

use super::{Fact, Probe};
use crate::Script;
use crate::wire::Failure;

static RUNS: Script = Script::new("link/runs", include_str!("../../lua/link/runs.lua"));

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 1] = [&RUNS];

impl Probe {
    /// Whether the server runs scripts. Loads and runs one as the stores do. Unknown if the user may not run any.
    pub async fn runs_scripts(&self) -> Fact<bool> {
        let keys: [&str; 0] = [];
        let failure = match self.run(&RUNS, &keys, Vec::new()).await {
            Ok(reply) => {
                let word = reply.reader(Op::Probe).next_word();
                return Fact::Known(word.is_ok_and(|word| word.as_ref() == b"runs"));
            }
            Err(failure) => failure,
        };
        let is_answer = matches!(failure, Failure::Answered(_));
        let error = failure.into_error(Op::Probe, RUNS.name());
        match error.kind() {
            ErrorKind::Unsupported | ErrorKind::Corrupt | ErrorKind::Unexpected if is_answer => Fact::Known(false),
            _ => Fact::Unknown(error.detail().into_owned()),
        }
    }
}

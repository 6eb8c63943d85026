//! `cargo xtask conformance`: the suite against servers that it did not start.

use clap::Args;

use crate::shell::{cargo, run};

/// Run the conformance suite against two servers of your own
///
/// It works under a random namespace, in the databases 0, 1 and 2 of the cache server, and removes what it made and nothing
/// else. It ends with a line `N passed, N failed, N skipped`.
#[derive(Args)]
pub(crate) struct Conformance {
    /// The cache server: redis://… or rediss://…, without a database number
    #[arg(long, value_name = "URL")]
    cache_url: String,
    /// The worker state server
    #[arg(long, value_name = "URL")]
    state_url: String,
    /// Only the cases whose name holds this
    #[arg(long, default_value = "")]
    filter: String,
}

impl Conformance {
    /// The URLs go through the environment: they may hold passwords, and command lines are shown.
    pub(crate) fn run(self) -> Result<(), String> {
        let mut command = cargo(&["run", "--quiet", "--package", "conformance"]);
        command.env("CONFORMANCE_CACHE_URL", self.cache_url).env("CONFORMANCE_STATE_URL", self.state_url);
        run(command.env("CONFORMANCE_FILTER", self.filter))
    }
}

//! `cargo xtask conformance`: runs the suite against servers that it did not start.

use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::shell::{cargo, run};

/// Run the conformance suite against your own servers
///
/// It works in a random namespace, in the databases 0, 1 and 2 of the cache server, and removes only the keys that it made.
/// It ends with a line `N passed, N failed, N skipped`. The exit code is 0 if every case passed and no key of the suite is
/// left on the servers.
#[derive(Args)]
pub(crate) struct Conformance {
    /// The cache server: redis://… or rediss://…, without a database number
    #[arg(long, value_name = "URL", required_unless_present = "list")]
    cache_url: Option<String>,
    /// The worker state server
    #[arg(long, value_name = "URL", required_unless_present = "list")]
    state_url: Option<String>,
    /// The user of the cache server, instead of that of its URL
    #[arg(long, value_name = "NAME")]
    cache_username: Option<String>,
    /// A file that holds the password of the cache server, instead of that of its URL
    #[arg(long, value_name = "PATH")]
    cache_password_file: Option<PathBuf>,
    /// The certificates (PEM) that are trusted for the cache server, instead of the system's
    #[arg(long, value_name = "PATH")]
    cache_ca_file: Option<PathBuf>,
    /// The certificate (PEM) to show to the cache server
    #[arg(long, value_name = "PATH", requires = "cache_key_file")]
    cache_cert_file: Option<PathBuf>,
    /// The private key (PEM) of that certificate
    #[arg(long, value_name = "PATH", requires = "cache_cert_file")]
    cache_key_file: Option<PathBuf>,
    /// The user of the worker state server, instead of that of its URL
    #[arg(long, value_name = "NAME")]
    state_username: Option<String>,
    /// A file that holds the password of the worker state server, instead of that of its URL
    #[arg(long, value_name = "PATH")]
    state_password_file: Option<PathBuf>,
    /// The certificates (PEM) that are trusted for the worker state server, instead of the system's
    #[arg(long, value_name = "PATH")]
    state_ca_file: Option<PathBuf>,
    /// The certificate (PEM) to show to the worker state server
    #[arg(long, value_name = "PATH", requires = "state_key_file")]
    state_cert_file: Option<PathBuf>,
    /// The private key (PEM) of that certificate
    #[arg(long, value_name = "PATH", requires = "state_cert_file")]
    state_key_file: Option<PathBuf>,
    /// Run only the cases whose name contains this text; no match is an error
    #[arg(long, default_value = "")]
    filter: String,
    /// Run nothing, and list the names of the cases: the operation and the behaviour
    #[arg(long, conflicts_with_all = ["cache_url", "state_url"])]
    list: bool,
}

impl Conformance {
    pub(crate) fn run(self) -> Result<(), String> {
        let mut command = cargo(&["run", "--quiet", "--package", "conformance"]);
        self.describe(&mut command)?;
        run(&mut command)
    }

    /// The URLs go through the environment: they may hold passwords, and command lines are shown.
    fn describe(self, command: &mut Command) -> Result<(), String> {
        for (name, url) in [("CACHE_URL", self.cache_url), ("STATE_URL", self.state_url)] {
            command.env(format!("CONFORMANCE_{name}"), url.unwrap_or_default());
        }
        command.env("CONFORMANCE_FILTER", self.filter).env("CONFORMANCE_LIST", if self.list { "1" } else { "" });
        for (name, value) in [("CACHE_USERNAME", self.cache_username), ("STATE_USERNAME", self.state_username)] {
            command.env(format!("CONFORMANCE_{name}"), value.unwrap_or_default());
        }
        for (name, path) in [
            ("CACHE_PASSWORD_FILE", self.cache_password_file),
            ("CACHE_CA_FILE", self.cache_ca_file),
            ("CACHE_CERT_FILE", self.cache_cert_file),
            ("CACHE_KEY_FILE", self.cache_key_file),
            ("STATE_PASSWORD_FILE", self.state_password_file),
            ("STATE_CA_FILE", self.state_ca_file),
            ("STATE_CERT_FILE", self.state_cert_file),
            ("STATE_KEY_FILE", self.state_key_file),
        ] {
            // the suite runs in the workspace's root
            let path = path.map(std::path::absolute).transpose().map_err(|error| format!("a path: {error}"))?;
            command.env(format!("CONFORMANCE_{name}"), path.unwrap_or_default());
        }
        Ok(())
    }
}

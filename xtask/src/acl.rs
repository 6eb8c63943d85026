//! `cargo xtask acl`: renders the users of a server.

use std::io::Write as _;

use clap::ValueEnum;
use store_core::{Namespace, Role};
use store_validation::acl_file;

/// Print the ACL file of the server with a role; see deploy/README.md
///
/// The user for services has the rights that preflight asks for, and no others. Passwords are placeholders.
#[derive(Debug, clap::Args)]
pub(crate) struct Acl {
    /// The role of the server
    role: OfServer,
    /// The namespace of the state keys, REDIS_STATE_NAMESPACE
    #[arg(long, default_value = "tw")]
    namespace: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OfServer {
    /// The cache store
    Cache,
    /// The worker state store
    State,
}

impl Acl {
    pub(crate) fn run(self) -> Result<(), String> {
        let namespace = Namespace::new(&self.namespace).map_err(|error| format!("--namespace: {error}"))?;
        let role = match self.role {
            OfServer::Cache => Role::Cache,
            OfServer::State => Role::State,
        };
        let text = acl_file(role, &namespace);
        std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("standard output: {error}"))
    }
}

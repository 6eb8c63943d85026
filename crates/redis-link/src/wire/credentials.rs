//! User and password, read anew for each connection.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use fred::error::{Error, ErrorKind};
use fred::types::config::{CredentialProvider, Server};
use store_core::Secret;

use crate::LinkConfig;

/// What an unreadable password file is called in the library's error; see [`super::failure`].
pub(super) const UNREADABLE: &str = "the password file could not be read";

pub(super) fn provider(config: &LinkConfig) -> Arc<dyn CredentialProvider> {
    Arc::new(Credentials {
        username: config.effective_username(),
        password: config.effective_password().cloned(),
        file: config.password_file.clone(),
    })
}

struct Credentials {
    username: Option<String>,
    password: Option<Secret>,
    file: Option<PathBuf>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    async fn fetch(&self, _: Option<&Server>) -> Result<(Option<String>, Option<String>), Error> {
        let password = match &self.file {
            Some(path) => {
                let text = tokio::fs::read_to_string(path).await;
                let text = text.map_err(|_| Error::new(ErrorKind::Auth, UNREADABLE))?;
                Some(text.trim_end_matches(['\n', '\r']).to_owned())
            }
            None => self.password.as_ref().map(|password| password.expose().to_owned()),
        };
        // The library drops a user that comes without a password; a user that needs none takes any.
        let password = password.or_else(|| self.username.as_ref().map(|_| "-".to_owned()));
        Ok((self.username.clone(), password))
    }
}

//! User and password of one connection.
//!
//! With RESP3 the library writes them into an inline `HELLO` that the server splits at blanks and line breaks: the server
//! would run the text after a line break in a password as a command. With RESP2 the library sends them as the arguments of
//! an `AUTH`, an array, which may hold any bytes. So a connection with credentials begins with RESP2, and one that begins
//! with RESP3 has none. Kvrocks has no users, and refuses an `AUTH` that names one for its number of arguments.

use std::fmt;

use async_trait::async_trait;
use fred::error::Error;
use fred::types::config::{CredentialProvider, Server};
use store_core::Secret;

use super::Failure;
use crate::{LinkConfig, Topology, read_password_file};

/// The user of a connection whose `AUTH` names none. Some servers only accept this form for it.
const DEFAULT_USER: &str = "default";

/// The credentials that `AUTH` sends.
pub(super) struct Credentials {
    username: Option<String>,
    password: Option<Secret>,
}

impl Credentials {
    /// The current credentials: a password file is read again for each connection.
    pub(super) async fn read(config: &LinkConfig) -> Result<Self, Failure> {
        let password = match config.password_file.clone() {
            Some(path) => match tokio::task::spawn_blocking(move || read_password_file(&path)).await {
                Ok(Ok(password)) => Some(password),
                Ok(Err(error)) => return Err(Failure::Unauthenticated(format!("the password file {error}").into())),
                Err(_) => return Err(Failure::NotSent("the runtime shuts down".into())),
            },
            None => config.effective_password().cloned(),
        };
        let username = config.effective_username();
        if username.as_ref().is_some_and(|name| name != DEFAULT_USER)
            && matches!(config.url.topology(), Topology::Kvrocks(_))
        {
            return Err(Failure::InvalidArgument(
                "Kvrocks has no users: remove the user, and give the password (or the token of a namespace) alone"
                    .into(),
            ));
        }
        // A user who needs no password may send any. Without one the library sends no AUTH.
        let password = password.or_else(|| username.as_ref().map(|_| Secret::new("")));
        Ok(Self { username: username.filter(|name| name != DEFAULT_USER), password })
    }

    /// Whether there are no credentials to send.
    pub(super) fn are_none(&self) -> bool {
        self.password.is_none()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    async fn fetch(&self, _: Option<&Server>) -> Result<(Option<String>, Option<String>), Error> {
        Ok((self.username.clone(), self.password.as_ref().map(|password| password.expose().to_owned())))
    }
}

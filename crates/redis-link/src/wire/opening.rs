//! Opens a connection.
//!
//! No text from outside (user, password, client name) is ever part of an inline command, and `AUTH` is never sent together
//! with another command: if a server refused it, replies could be matched to the wrong commands.
//!
//! | round trip | with credentials | without |
//! |---|---|---|
//! | 1 | `AUTH`, an array | `HELLO 3`, inline, nothing else in it |
//! | 2, 3 | `CLIENT ID`, `INFO server`, of the library's own accord | the same |
//! | 4 | `HELLO 3`, `SELECT` unless it is database 0, `CLIENT SETNAME`, `TIME`, arrays in one pipeline | the same |
//!
//! A server that only knows RESP2 refuses `HELLO`. A connection with credentials then stays at RESP2; one without is opened
//! again with RESP2.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::config::{Config, ServerConfig, TcpConfig};
use fred::types::{Builder, RespVersion};

use super::credentials::Credentials;
use super::server_clock::ServerClock;
use super::{Driver, Failure, Greeting, Request, Wire, failure, failure::During, tls};
use crate::{Arg, Endpoint, LinkConfig, MAX_DATABASE};

pub(super) struct Opening {
    pub(super) config: LinkConfig,
    pub(super) endpoint: Endpoint,
    /// How many messages wait for a receiver.
    pub(super) buffered_messages: usize,
}

impl Opening {
    pub(super) async fn open(self) -> Result<(Wire, Driver), Failure> {
        let credentials = Credentials::read(&self.config).await?;
        if !credentials.are_none() {
            return self.open_with(RespVersion::RESP2, credentials).await;
        }
        match self.open_with(RespVersion::RESP3, credentials).await {
            Err(failure) if failure.is_unknown_protocol() => {
                self.open_with(RespVersion::RESP2, Credentials::read(&self.config).await?).await
            }
            opened => opened,
        }
    }

    async fn open_with(&self, version: RespVersion, credentials: Credentials) -> Result<(Wire, Driver), Failure> {
        let client = self.client(version, credentials)?;
        let mut driver = Driver(client.init().await.map_err(|error| failure::of_library(&error, During::Connecting))?);
        let mut wire = Wire {
            client,
            greeting: None,
            clock: Arc::new(ServerClock::new()),
            lasting: self.config.command_timeout,
            run: None,
        };
        // The library reports a connection that was closed meanwhile as connected.
        let greeting = tokio::select! {
            greeting = self.greet(&wire) => greeting.map_err(Failure::before_the_call)?,
           () = driver.finished() => return Err(Failure::NotSent("the server closed the connection immediately")),
        };
        if greeting.is_some() {
            // Nothing is under way: every later request is answered in RESP3.
            wire.client.inner().switch_protocol_versions(RespVersion::RESP3);
        }
        wire.greeting = greeting.map(Arc::new);
        Ok((wire, driver))
    }

    /// Changes to RESP3, selects the database, names the connection and reads the server's time. A server that refuses
    /// the name or the time is still usable.
    async fn greet(&self, wire: &Wire) -> Result<Option<Greeting>, Failure> {
        let mut requests = vec![Request::new("HELLO", [Arg::from(3)])];
        // Each connection begins in database 0, which needs no right to select it.
        let selected = self.config.url.database().filter(|number| *number != 0);
        requests.extend(selected.map(|number| Request::new("SELECT", [Arg::from(number)])));
        requests.push(Request::new("CLIENT SETNAME", [Arg::from(self.config.client_name.as_str())]));
        requests.push(Request::new("TIME", []));
        let sent = Instant::now();
        let mut replies = wire.pipeline(requests, self.config.connect_timeout).await?.into_iter();
        let greeting = match replies.next() {
            Some(Ok(reply)) => Some(Greeting::parse(&reply)),
            Some(Err(failure)) if failure.is_unauthenticated() => return Err(failure),
            _ => None,
        };
        if selected.is_some() {
            replies.next().transpose()?;
        }
        if let Some(Err(failure)) = replies.next()
            && failure.is_unauthenticated()
        {
            // A server without HELLO reports here that it wants a password.
            return Err(failure);
        }
        wire.note_time(replies.next().as_ref(), sent);
        Ok(greeting)
    }

    fn client(&self, version: RespVersion, credentials: Credentials) -> Result<Client, Failure> {
        let config = &self.config;
        if config.url.database().is_some_and(|number| number > MAX_DATABASE) {
            return Err(Failure::InvalidArgument("a database number is 0 to 255".into()));
        }
        let mut settings = Config {
            fail_fast: true,
            version,
            server: ServerConfig::new_centralized(self.endpoint.host.as_str(), self.endpoint.port),
            credential_provider: Some(Arc::new(credentials)),
            ..Config::default()
        };
        if config.url.is_tls() {
            settings.tls = Some(tls::connector(&config.tls).map_err(|what| Failure::Tls(what.into()))?);
        }
        let mut builder = Builder::from_config(settings);
        builder.with_connection_config(|connection| {
            connection.connection_timeout = config.connect_timeout;
            connection.internal_command_timeout = config.connect_timeout;
            connection.max_command_attempts = 1;
            connection.max_redirections = 0;
            connection.max_command_buffer_len = 0;
            connection.reconnect_errors = Vec::new();
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        });
        builder.with_performance_config(|performance| {
            performance.default_command_timeout = Duration::ZERO;
            performance.broadcast_channel_capacity = self.buffered_messages;
        });
        builder.build().map_err(|error| failure::of_library(&error, During::Connecting))
    }
}

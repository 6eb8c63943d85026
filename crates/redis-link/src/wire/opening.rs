//! Opens a connection.
//!
//! No text from outside (user, password, client name) is ever part of an inline command, and `AUTH` is never sent together
//! with another command: if a server refused it, replies could be matched to the wrong commands.
//!
//! | round trip | with credentials | without |
//! |---|---|---|
//! | 1 | `AUTH`, an array | `HELLO 3`, inline, nothing else in it; to Kvrocks `PING` |
//! | 2, 3 | `CLIENT ID`, `INFO server`, of the library's own accord | the same |
//! | 4 | `HELLO 3`, `SELECT` unless it is database 0, `CLIENT SETNAME`, `TIME`, and `SCRIPT LOAD` and `EVALSHA` of a script that queries the capabilities, arrays in one pipeline | the same |
//! | 5, 6 | only on a server with fewer capabilities than Redis 7.0 has | the same |
//!
//! A server that supports only RESP2 refuses `HELLO`, or accepts it and stays at RESP2. A connection with credentials, or
//! to Kvrocks (`kvrocks://`), then stays at RESP2, too; another one is opened again with RESP2 after a refusal.
//!
//! Kvrocks sends messages as arrays, even with RESP3, which has pushes for them. A connection that subscribes at Kvrocks uses
//! RESP2, where messages are always arrays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::config::{Config, ServerConfig, TcpConfig};
use fred::types::{Builder, RespVersion};

use super::credentials::Credentials;
use super::server_clock::ServerClock;
use super::{Driver, Failure, Greeting, Request, Wire, capabilities, failure, failure::During, messages, tls};
use crate::{Arg, Capabilities, Endpoint, LinkConfig, MAX_DATABASE, Topology};

pub(super) struct Opening {
    pub(super) config: LinkConfig,
    pub(super) endpoint: Endpoint,
    /// How many messages wait for a receiver.
    pub(super) buffered_messages: usize,
}

impl Opening {
    pub(super) async fn open(self) -> Result<(Wire, Driver), Failure> {
        let credentials = Credentials::read(&self.config).await?;
        if !credentials.are_none() || self.is_kvrocks() {
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
            capabilities: Arc::new(Capabilities::unknown("not asked on this connection", self.is_kvrocks())),
        };
        // The library reports a connection that was closed meanwhile as connected.
        let (greeting, capabilities) = tokio::select! {
            greeted = self.greet(&wire) => greeted.map_err(Failure::before_the_call)?,
           () = driver.finished() => return Err(Failure::NotSent("the server closed the connection immediately".into())),
        };
        wire.greeting = greeting.map(Arc::new);
        if let Some(capabilities) = capabilities {
            wire.capabilities = Arc::new(capabilities);
        }
        Ok((wire, driver))
    }

    fn is_kvrocks(&self) -> bool {
        matches!(self.config.url.topology(), Topology::Kvrocks(_))
    }

    fn receives_messages(&self) -> bool {
        self.buffered_messages != messages::UNUSED
    }

    fn may_use_resp3(&self) -> bool {
        !(self.is_kvrocks() && self.receives_messages())
    }

    /// Changes to RESP3, selects the database, names the connection, reads the server's time, and queries the capabilities. A
    /// server that refuses the name, the time or the query is still usable.
    async fn greet(&self, wire: &Wire) -> Result<(Option<Greeting>, Option<Capabilities>), Failure> {
        let asks = !(self.receives_messages() || self.config.is_of_sentinels);
        let version = if self.may_use_resp3() { 3 } else { 2 };
        let mut requests = vec![Request::new("HELLO", [Arg::from(version)])];
        // Each connection begins in database 0, which needs no right to select it.
        let selected = self.config.url.database().filter(|number| *number != 0);
        requests.extend(selected.map(|number| Request::new("SELECT", [Arg::from(number)])));
        requests.push(Request::new("CLIENT SETNAME", [Arg::from(self.config.client_name.as_str())]));
        requests.push(Request::new("TIME", []));
        requests.extend(asks.then(capabilities::check).into_iter().flatten());
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
        if let Some(greeting) = &greeting {
            // Nothing is under way: every later request is answered in this version.
            let is_old = greeting.protocol == Some(2);
            let version = if is_old { RespVersion::RESP2 } else { RespVersion::RESP3 };
            wire.client.inner().switch_protocol_versions(version);
        }
        let capabilities = match (replies.next(), replies.next()) {
            (Some(loaded), Some(answered)) => {
                let answers = [loaded, answered];
                Some(capabilities::read(wire, answers, greeting.as_ref(), self.config.connect_timeout).await?)
            }
            _ => None,
        };
        Ok((greeting, capabilities))
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

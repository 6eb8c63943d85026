//! The seam to the client library: one connection to one server, which sends one command or one pipeline and answers with
//! replies or a classified failure. Nothing outside this folder names fred.
//!
//! What fred 10.1.0 makes necessary is here and nowhere else:
//! - it repeats a write whose reply was lost unless `max_command_attempts` is 1;
//! - it closes the connection on some error replies and hands that error to every call in flight, so none is asked for;
//! - its bounded buffer can refuse its own order to reconnect, after which it never does: the bound is ours;
//! - a future of its that is dropped leaves a command behind that runs after the next reconnection: see [`Finishing`].

use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::{Config, Options, ReconnectPolicy, Server, ServerConfig, TcpConfig, UnresponsiveConfig};
use fred::types::{Builder, ClusterHash, ConnectHandle, CustomCommand, RespVersion, Value};
use tokio::sync::broadcast::Receiver;

use crate::{Arg, Endpoint, LinkConfig, MAX_DATABASE, Reply, Script};

mod credentials;
mod failure;
mod finishing;
mod frame;
mod tls;

pub(crate) use failure::Failure;

/// Events of a connection: it failed, it is back.
pub(crate) struct Events {
    pub(crate) failed: Receiver<(fred::error::Error, Option<Server>)>,
    pub(crate) connected: Receiver<Server>,
}

/// What happens when the connection is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// It is made again, for ever.
    Reconnects,
    /// It ends: nothing that was sent before can run later.
    Once,
}

/// One command, ready to be sent.
#[derive(Clone)]
pub(crate) struct Request {
    name: &'static str,
    args: Vec<Value>,
    blocks: bool,
}

impl Request {
    /// A command by its name (`"GET"`, `"SCRIPT LOAD"`) with its arguments.
    pub(crate) fn new(name: &'static str, args: impl IntoIterator<Item = Arg>) -> Self {
        Self { name, args: args.into_iter().map(value).collect(), blocks: false }
    }

    /// A script by its digest.
    pub(crate) fn script<K: AsRef<[u8]>>(script: &Script, keys: &[K], args: Vec<Arg>) -> Self {
        let mut values = Vec::with_capacity(2 + keys.len() + args.len());
        values.push(Value::Bytes(script.digest().clone()));
        values.push(value(Arg::from(keys.len())));
        values.extend(keys.iter().map(|key| Value::Bytes(Bytes::copy_from_slice(key.as_ref()))));
        values.extend(args.into_iter().map(value));
        Self { name: "EVALSHA", args: values, blocks: false }
    }

    /// The order to load a script.
    pub(crate) fn load(script: &Script) -> Self {
        Self::new("SCRIPT LOAD", [Arg::fixed(script.source())])
    }

    /// Silence while it waits is no sign of a lost connection.
    pub(crate) fn blocking(mut self) -> Self {
        self.blocks = true;
        self
    }

    fn custom(&self) -> CustomCommand {
        CustomCommand::new_static(self.name, ClusterHash::FirstKey, self.blocks)
    }
}

fn value(arg: Arg) -> Value {
    match arg {
        Arg::Bytes(bytes) => Value::Bytes(bytes),
        Arg::Int(number) => Value::Integer(number),
    }
}

/// One connection to one server.
#[derive(Clone)]
pub(crate) struct Wire {
    client: Client,
}

/// The task that drives a connection. Dropping it closes the connection.
pub(crate) struct Driver(ConnectHandle);

impl Driver {
    /// Whether the connection has ended for good.
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for the end of the connection.
    pub(crate) async fn finished(&mut self) {
        let _ = (&mut self.0).await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Wire {
    /// Opens a connection to `endpoint` within the configured connect time-out.
    pub(crate) async fn open(
        config: &LinkConfig,
        endpoint: &Endpoint,
        lasting: Lasting,
    ) -> Result<(Self, Driver, Events), Failure> {
        let wire = Self { client: client(config, endpoint, lasting)? };
        let events = Events { failed: wire.client.error_rx(), connected: wire.client.reconnect_rx() };
        // The library goes on with an attempt that is given up; what it may still open is closed with the task's result.
        let opening = tokio::spawn(wire.clone().connect(config.connect_timeout));
        match tokio::time::timeout(config.connect_timeout, opening).await {
            Ok(Ok(connected)) => connected.map(|driver| (wire, driver, events)),
            Ok(Err(_)) => Err(Failure::NotSent("the connection attempt was given up")),
            Err(_) => Err(Failure::NotSent("the server did not answer within the connect time-out")),
        }
    }

    async fn connect(self, within: Duration) -> Result<Driver, Failure> {
        let mut driver = Driver(self.client.init().await.map_err(|error| failure::of_connecting(&error))?);
        // The library takes one that was closed meanwhile for connected.
        let answered = tokio::select! {
            answered = self.send(Request::new("PING", []), within, |_| ()) => answered,
            () = driver.finished() => return Err(Failure::NotSent("the server closed the connection at once")),
        };
        match answered {
            Ok(_) | Err(Failure::Answered(_)) => Ok(driver),
            Err(failure) => Err(failure.before_the_call()),
        }
    }

    /// Whether the library believes that it is connected.
    pub(crate) fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    /// The version that the server reported when the connection was made: major and minor.
    pub(crate) fn server_version(&self) -> Option<(u64, u64)> {
        self.client.server_version().map(|version| (version.major, version.minor))
    }

    /// Sends one command. `ended` is called when it has come to its end, which may be after the caller has gone.
    pub(crate) async fn send(
        &self,
        request: Request,
        within: Duration,
        ended: impl FnOnce(&Result<Reply, Failure>) + Send + 'static,
    ) -> Result<Reply, Failure> {
        let client = self.client.with_options(&options(within));
        finishing::finishing(async move {
            let answered = client.custom_raw(request.custom(), request.args).await;
            let result = answered.map_err(|error| failure::of_sending(&error)).and_then(frame::reply);
            ended(&result);
            result
        })
        .await
    }

    /// Sends several commands in one go. Each has its own reply or error reply; the outer failure is the connection's.
    /// Only for connections that end when they are lost: the library may send a pipeline late. And for two commands or
    /// more: of a single one it does not say whether an error is the server's or the connection's.
    pub(crate) async fn pipeline(
        &self,
        requests: Vec<Request>,
        within: Duration,
    ) -> Result<Vec<Result<Reply, Failure>>, Failure> {
        let expected = requests.len();
        let pipeline = self.client.pipeline().with_options(&options(within));
        for request in requests {
            let queued: Result<Value, _> = pipeline.custom(request.custom(), request.args).await;
            queued.map_err(|error| failure::of_sending(&error))?;
        }
        let answered = pipeline.try_all::<Value>().await;
        if answered.len() == expected {
            return Ok(answered.into_iter().map(frame::pipelined).collect());
        }
        Err(answered
            .into_iter()
            .find_map(Result::err)
            .map_or(Failure::Lost("the replies do not match"), |error| failure::of_sending(&error)))
    }

    /// Names the connection; a server that forbids it is not an error.
    pub(crate) async fn set_name(&self, config: &LinkConfig) {
        let request = Request::new("CLIENT SETNAME", [Arg::from(config.client_name.as_str())]);
        if self.send(request, config.command_timeout, |_| ()).await.is_err() {
            tracing::debug!("the connection could not be named");
        }
    }

    /// Makes the connection anew, to wherever the host's name leads now. Calls in flight are answered as lost.
    pub(crate) async fn reconnect(&self) {
        let _ = self.client.force_reconnection().await;
    }
}

/// The failure that an error reply with this text is.
pub(crate) fn answered(error: &[u8]) -> Failure {
    Failure::Answered(failure::ErrorReply::new(&String::from_utf8_lossy(error)))
}

fn options(within: Duration) -> Options {
    Options { timeout: Some(within), max_attempts: Some(1), fail_fast: true, ..Options::default() }
}

fn client(config: &LinkConfig, endpoint: &Endpoint, lasting: Lasting) -> Result<Client, Failure> {
    let database = match config.url.database() {
        // Each connection begins in database 0: no right to select one is needed to stay there.
        None | Some(0) => None,
        Some(number) if number <= MAX_DATABASE => u8::try_from(number).ok(),
        Some(_) => return Err(Failure::Refused("only the databases 0 to 255 can be opened".into())),
    };
    let mut settings = Config {
        fail_fast: true,
        version: RespVersion::RESP3,
        server: ServerConfig::new_centralized(endpoint.host.as_str(), endpoint.port),
        database,
        credential_provider: Some(credentials::provider(config)),
        ..Config::default()
    };
    if config.url.is_tls() {
        settings.tls = Some(tls::connector(&config.tls).map_err(|what| Failure::Refused(what.into()))?);
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
        if lasting == Lasting::Reconnects {
            let silence = config.longest_silence();
            connection.unresponsive = UnresponsiveConfig { max_timeout: Some(silence), interval: silence / 4 };
        }
    });
    builder.with_performance_config(|performance| performance.default_command_timeout = config.command_timeout);
    if lasting == Lasting::Reconnects {
        // The library adds no jitter to the longest pause: it differs per connection instead.
        let mut policy = ReconnectPolicy::new_exponential(0, 10, fastrand::u32(750..1250), 2);
        policy.set_jitter(20);
        builder.set_policy(policy);
    }
    builder.build().map_err(|error| failure::of_connecting(&error))
}

//! The boundary to the client library: one connection to one server, which sends a command or a pipeline and returns
//! replies or a classified failure. Nothing outside this folder names fred.
//!
//! The workarounds for fred 10.1.0 are all here:
//!  - it repeats a write whose reply was lost unless `max_command_attempts` is 1;
//!  - it closes the connection on some error replies and returns that error to every call in flight, so we never send
//!    what could cause one; it also does so on `CLUSTERDOWN`, and all calls in flight are lost;
//!  - its bounded buffer can refuse its own order to reconnect, and then it never reconnects: the bound is ours;
//!  - after a reconnection it may send commands from before it, even if no caller waits for them any more: it never
//!    reconnects, so a connection ends with all its commands;
//!  - with RESP3 it writes credentials into an inline command, which a password can end ([`credentials`]);
//!  - it answers `SUBSCRIBE` before the server does, and a receiver of messages that falls behind loses the oldest ([`messages`]);
//!  - its own time-out costs as much as a command: the calls of a connection share one timer of ours.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::config::Options;
use fred::types::{ClusterHash, ConnectHandle, CustomCommand, Value};

use store_core::{Clock, Timestamp};

use crate::link::ServerRun;
use crate::{Arg, Capabilities, Endpoint, LinkConfig, Reply, Script};

pub(crate) mod capabilities;
mod copies;
mod credentials;
mod failure;
mod frame;
mod greeting;
mod messages;
mod opening;
mod server_clock;
mod tls;

pub(crate) use copies::Copies;
use copies::Deadline;
use failure::During;
pub(crate) use failure::{Failure, Redirection};
pub use greeting::Greeting;
pub(crate) use messages::{Messages, Received};
use opening::Opening;

use server_clock::ServerClock;
pub(crate) use server_clock::time;

/// A command and its reply. The first poll sends the command; dropping it later does not recall it.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;

/// One command, ready to be sent.
#[derive(Clone)]
pub(crate) struct Request<'a> {
    name: &'static str,
    args: Vec<Arg>,
    /// Its first argument for a server that refuses flags in the first line of a script.
    plain: Option<Bytes>,
    blocks: bool,
    /// Of a script that writes.
    expiry: Option<Expiry>,
    /// The copies of the same request, if it can be repeated.
    copies: Option<&'a Copies>,
}

/// The deadline of a copy of a request. The wire writes it when the connection is chosen.
#[derive(Clone, Copy)]
struct Expiry {
    /// The index of its argument.
    place: usize,
    /// The time in ms that a test has set.
    set_ms: Option<u64>,
    sent: Instant,
}

impl<'a> Request<'a> {
    /// A command by its name (`"GET"`, `"SCRIPT LOAD"`) with its arguments.
    pub(crate) fn new(name: &'static str, args: impl IntoIterator<Item = Arg>) -> Self {
        Self { name, args: args.into_iter().collect(), plain: None, blocks: false, expiry: None, copies: None }
    }

    /// A script by its digest, with the link's argument first if it takes one.
    pub(crate) fn script<K: AsRef<[u8]>>(script: &Script, keys: &[K], args: Vec<Arg>, clock: &Clock) -> Self {
        let mut all = Vec::with_capacity(3 + keys.len() + args.len());
        all.push(Arg::Bytes(script.digest().clone()));
        all.push(Arg::from(keys.len()));
        let mut shared = BytesMut::with_capacity(keys.iter().map(|key| key.as_ref().len()).sum());
        all.extend(keys.iter().map(|key| {
            shared.extend_from_slice(key.as_ref());
            Arg::Bytes(shared.split().freeze())
        }));
        let set_ms = clock.manual_now().map(Timestamp::as_millis);
        let expiry = Expiry { place: all.len(), set_ms, sent: Instant::now() };
        if script.takes_clock() {
            all.push(set_ms.map_or(Arg::fixed(""), Arg::from));
        }
        all.extend(args);
        #[cfg(debug_assertions)]
        if let Some(mismatch) = script.mismatch(keys.len(), all.len() - expiry.place) {
            panic!("{}: {mismatch}", script.name());
        }
        let expiry = script.has_deadline().then_some(expiry);
        let plain = Some(script.plain().1.clone());
        Self { name: "EVALSHA", args: all, plain, blocks: false, expiry, copies: None }
    }

    /// The command that loads a script.
    pub(crate) fn load(script: &Script) -> Self {
        let plain = Some(script.plain().0.clone());
        Self { plain, ..Self::new("SCRIPT LOAD", [Arg::from(script.bytes())]) }
    }

    /// Another of these copies, sent at this instant, from which its deadline is counted.
    fn copy<'c>(&self, sent: Instant, copies: &'c Copies) -> Request<'c> {
        let expiry = self.expiry.map(|expiry| Expiry { sent, ..expiry });
        let (args, plain) = (self.args.clone(), self.plain.clone());
        Request { name: self.name, args, plain, blocks: self.blocks, expiry, copies: Some(copies) }
    }

    /// Marks a request whose long silence is no sign of a lost connection.
    pub(crate) fn blocking(mut self) -> Self {
        self.blocks = true;
        self
    }

    /// When a copy with a deadline was sent.
    fn sent(&self) -> Option<Instant> {
        self.expiry.map(|expiry| expiry.sent)
    }

    fn custom(&self) -> CustomCommand {
        CustomCommand::new_static(self.name, ClusterHash::FirstKey, self.blocks)
    }
}

impl From<Arg> for Value {
    fn from(arg: Arg) -> Self {
        match arg {
            Arg::Bytes(bytes) => Value::Bytes(bytes),
            Arg::Int(number) => Value::Integer(number),
        }
    }
}

/// One connection to one server.
#[derive(Clone)]
pub(crate) struct Wire {
    client: Client,
    clock: Arc<ServerClock>,
    /// How long a copy of a request is valid.
    lasting: Duration,
    greeting: Option<Arc<Greeting>>,
    /// The run of the server, for the receipts of writes.
    run: Option<Arc<ServerRun>>,
    capabilities: Arc<Capabilities>,
}

/// The task that drives a connection. Dropping it closes the connection.
pub(crate) struct Driver(ConnectHandle);

impl Driver {
    /// Whether the connection has ended for good.
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits until the connection has ended.
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
    /// Opens a connection to `endpoint` within the configured connect time-out, logs in, selects the database and names
    /// the connection. Four round trips. A lost connection is not reopened, so a request that was sent on it cannot run
    /// later on another.
    pub(crate) async fn open(config: &LinkConfig, endpoint: &Endpoint) -> Result<(Self, Driver), Failure> {
        Self::open_buffering(config, endpoint, messages::UNUSED).await
    }

    /// As [`Wire::open`], for a connection on which messages arrive.
    pub(crate) async fn open_subscriber(config: &LinkConfig, endpoint: &Endpoint) -> Result<(Self, Driver), Failure> {
        Self::open_buffering(config, endpoint, messages::BUFFERED).await
    }

    async fn open_buffering(
        config: &LinkConfig,
        endpoint: &Endpoint,
        buffered_messages: usize,
    ) -> Result<(Self, Driver), Failure> {
        let opening = Opening { config: config.clone(), endpoint: endpoint.clone(), buffered_messages };
        // The library continues an attempt that was given up; the task's result closes the connection that it may still
        // open.
        match tokio::time::timeout(config.connect_timeout, tokio::spawn(opening.open())).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(_)) => Err(Failure::NotSent("the connection attempt was given up".into())),
            Err(_) => Err(Failure::NotSent("the server did not answer within the connect time-out".into())),
        }
    }

    /// What the server reported about itself when the connection was opened; `None` if it does not know `HELLO`.
    pub(crate) fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_deref()
    }

    /// The same connection, with the run of its server.
    pub(crate) fn of_run(self, run: Option<Arc<ServerRun>>) -> Self {
        Self { run, ..self }
    }

    /// The run of its server, if the link keeps receipts of writes.
    pub(crate) fn run(&self) -> Option<&Arc<ServerRun>> {
        self.run.as_ref()
    }

    /// The capabilities of the server when the connection was opened.
    pub(crate) fn capabilities(&self) -> &Arc<Capabilities> {
        &self.capabilities
    }

    fn note_time(&self, reply: Option<&Result<Reply, Failure>>, sent: Instant) {
        if let Some(Ok(reply)) = reply
            && let Some(time) = server_clock::time(reply)
        {
            self.clock.note(time, sent, Instant::now());
        }
    }

    /// Whether both are the same connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.client.id() == other.client.id()
    }

    /// Whether the library regards itself as connected.
    pub(crate) fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    /// Prepares one command without a time-out, for calls that share a connection and a timer.
    pub(crate) fn begin(&self, mut request: Request<'_>) -> Result<Answering, Failure> {
        self.prepare(&mut request)?;
        let (client, clock, sent) = (self.client.clone(), Arc::clone(&self.clock), request.sent());
        let (command, args) = (request.custom(), request.args);
        Ok(Box::pin(async move {
            let answered = client.custom_raw(command, args).await;
            let answered =
                answered.map_err(|error| failure::of_library(&error, During::Sending)).and_then(frame::reply);
            in_time(&clock, sent, answered)
        }))
    }

    /// Sends one command and waits up to `within` for its reply.
    pub(crate) async fn send(&self, mut request: Request<'_>, within: Duration) -> Result<Reply, Failure> {
        self.prepare(&mut request)?;
        let (client, sent) = (self.client.with_options(&options(within)), request.sent());
        let answered = client.custom_raw(request.custom(), request.args).await;
        let answered = answered.map_err(|error| failure::of_library(&error, During::Sending)).and_then(frame::reply);
        in_time(&self.clock, sent, answered)
    }

    /// Sends one or several commands in one write. The reply to the last one.
    pub(crate) async fn send_last(&self, mut requests: Vec<Request<'_>>, within: Duration) -> Result<Reply, Failure> {
        match requests.pop() {
            Some(request) if requests.is_empty() => self.send(request, within).await,
            Some(request) => {
                requests.push(request);
                self.pipeline(requests, within).await?.pop().unwrap_or(Err(Failure::LOST))
            }
            None => Err(Failure::LOST),
        }
    }

    /// Sends several commands in one write. Each has its own reply or error reply; the outer failure is the
    /// connection's. Only for two or more commands: for a single one the library does not distinguish an error of the
    /// server from one of the connection.
    pub(crate) async fn pipeline(
        &self,
        requests: Vec<Request<'_>>,
        within: Duration,
    ) -> Result<Vec<Result<Reply, Failure>>, Failure> {
        let mut sent = Vec::with_capacity(requests.len());
        let pipeline = self.client.pipeline().with_options(&options(within));
        for mut request in requests {
            self.prepare(&mut request)?;
            sent.push(request.sent());
            let queued: Result<Value, _> = pipeline.custom(request.custom(), request.args).await;
            queued.map_err(|error| failure::of_library(&error, During::Sending))?;
        }
        let answered = pipeline.try_all::<Value>().await;
        if answered.len() == sent.len() {
            let answered = answered.into_iter().map(frame::pipelined).zip(sent);
            return Ok(answered.map(|(answered, sent)| in_time(&self.clock, sent, answered)).collect());
        }
        Err(answered
            .into_iter()
            .find_map(Result::err)
            .map_or(Failure::Lost("the replies do not match"), |error| failure::of_library(&error, During::Sending)))
    }

    /// Adapts a request to this server.
    fn prepare(&self, request: &mut Request<'_>) -> Result<(), Failure> {
        if self.capabilities.refuses_flags()
            && let Some(plain) = &request.plain
        {
            request.args[0] = Arg::Bytes(plain.clone());
        }
        self.set_deadline(request)
    }

    /// Writes the deadline into a copy of a request that has one. If the server's time is not known, the deadline is in the
    /// past, and the refusal reports the time. Measures the time again periodically, together with a call. Fails if the
    /// copy must not be sent any more.
    fn set_deadline(&self, request: &mut Request<'_>) -> Result<(), Failure> {
        let Some(Expiry { place, set_ms, sent }) = request.expiry else { return Ok(()) };
        let reading = self.clock.reading(sent);
        let deadline = match request.copies {
            Some(copies) => copies.admit(sent, reading, self.run.as_ref())?,
            None => Deadline::once(reading, self.lasting),
        };
        request.args[place] = deadline.argument(set_ms);
        if self.clock.is_due(sent) {
            let wire = self.clone();
            tokio::spawn(async move {
                let sent = Instant::now();
                let answered = wire.send(Request::new("TIME", []), wire.lasting).await;
                wire.note_time(Some(&answered), sent);
            });
        }
        Ok(())
    }
}

/// Alone recognises the refusal of a copy after its deadline. The refusal corrects the server's clock.
fn in_time(clock: &ServerClock, sent: Option<Instant>, answered: Result<Reply, Failure>) -> Result<Reply, Failure> {
    match (sent, &answered) {
        (Some(sent), Ok(reply)) => match server_clock::late(reply) {
            Some(time) => {
                clock.note(time, sent, Instant::now());
                Err(Failure::Late)
            }
            None => answered,
        },
        _ => answered,
    }
}

/// The failure for an error reply with this text.
pub(crate) fn answered(error: &[u8]) -> Failure {
    Failure::Answered(failure::ErrorReply::new(&String::from_utf8_lossy(error)))
}

fn options(within: Duration) -> Options {
    Options { timeout: Some(within), max_attempts: Some(1), fail_fast: true, ..Options::default() }
}

//! Ingestion of a file to which others append. Any number of processes follow it; the holder of a lease reads, and saves its position in
//! the worker state store. If it dies, another process continues with the first line after the saved position.

use std::fmt::Display;
use std::fs::Metadata;
use std::io::{Error as IoError, ErrorKind, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use twinstore::Error;
use twinstore::idempotency::Fingerprint;
use twinstore::lease::{Fence, LeaseName};
use twinstore::name::HolderName;
use twinstore::resume_token::{SaveRequest, StreamName, TokenOutcome, TokenVersion};

use crate::delivery::{Deliveries, Delivery, Refused};
use crate::ingest::{Fate, Ingest, Pauses};
use crate::report::add;

/// How often a file is looked at that has no more complete lines.
const LOOK: Duration = Duration::from_millis(50);

/// How many bytes at the beginning of a file identify it. A file that others append to keeps them.
const HEAD: u64 = 1024;

const REPLACED: &str = "it was truncated or replaced; follow the new file under another --stream";

/// A file to which others append, and the name under which the position in it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Followed {
    pub(crate) file: PathBuf,
    pub(crate) stream: StreamName,
}

/// A file that was opened, to see whether it is still the same.
pub(crate) struct Grown {
    path: PathBuf,
    opened: Metadata,
}

impl Grown {
    /// Waits a moment for more than the first `position` bytes.
    pub(crate) async fn wait(&self, position: u64) -> std::io::Result<()> {
        tokio::time::sleep(LOOK).await;
        let now = tokio::fs::metadata(&self.path).await?;
        let is_same = (now.dev(), now.ino()) == (self.opened.dev(), self.opened.ino());
        if is_same && now.len() >= position {
            return Ok(());
        }
        Err(IoError::new(ErrorKind::InvalidData, REPLACED))
    }
}

/// A place in a file: saved as the number of the bytes before it, a blank, and the digest of the first [`HEAD`] of them.
#[derive(Debug, PartialEq, Eq)]
struct Position {
    bytes: u64,
    head: String,
}

impl Position {
    fn of(bytes: u64, file: &std::fs::File) -> std::io::Result<Self> {
        let mut head = vec![0; usize::try_from(bytes.min(HEAD)).unwrap_or_default()];
        file.read_exact_at(&mut head, 0).map_err(|error| match error.kind() {
            // It has fewer bytes than were read before.
            ErrorKind::UnexpectedEof => IoError::new(ErrorKind::InvalidData, REPLACED),
            _ => error,
        })?;
        let digest = Fingerprint::of(&head);
        Ok(Self { bytes, head: digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect() })
    }

    fn parse(token: &[u8], followed: &Followed) -> Result<Self, Failure> {
        let parse = || {
            let (bytes, head) = std::str::from_utf8(token).ok()?.split_once(' ')?;
            Some(Self { bytes: bytes.parse().ok()?, head: head.to_owned() })
        };
        let other = || format!("the stream {} belongs to something else: give another --stream", followed.stream);
        parse().ok_or_else(|| Failure::Other(other()))
    }

    fn token(&self) -> String {
        format!("{} {}", self.bytes, self.head)
    }
}

/// Why a process reads no longer.
enum Ended {
    Stopped,
    /// Another process reads.
    Superseded,
}

/// Why a position cannot be kept, or a file not be read.
enum Failure {
    Store(Error),
    Other(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Store(error)
    }
}

/// One line, and where the next one begins.
type Line = (Result<Delivery, Refused>, u64);

/// Ingests the file until it is stopped.
///
/// # Errors
/// Why it cannot continue.
pub(crate) async fn run(ingest: &Ingest, followed: &Followed, complain: impl Fn(String)) -> Result<(), String> {
    // A missing file is an error at the start, also for a process that only stands by.
    tokio::fs::metadata(&followed.file).await.map_err(|error| cannot(followed, &error))?;
    let (shared, name) = (ingest.stores.state().shared(), format!("ingest.{}", followed.stream));
    let name = LeaseName::new(name).map_err(|error| error.to_string())?;
    let holder = HolderName::unique("notifier").map_err(|error| error.to_string())?;
    let candidate = shared.candidate(name, holder).with_lease(ingest.lease.as_duration());
    let leadership = candidate.campaign().map_err(|error| error.to_string())?;
    let mut pauses = Pauses::new();
    let result = loop {
        let fence = tokio::select! {
            fence = leadership.elected() => fence,
            () = ingest.stop.stopped() => break Ok(()),
        };
        match read(ingest, followed, fence, &complain).await {
            Ok(Ended::Stopped) => break Ok(()),
            Ok(Ended::Superseded) => {
                tracing::warn!(file = %followed.file.display(), "another process follows the file")
            }
            Err(Failure::Store(error)) if error.is_retryable() => ingest.outage.begins(&error),
            Err(Failure::Store(error)) => break Err(error.to_string()),
            Err(Failure::Other(failure)) => break Err(failure),
        }
        if ingest.stop.pause(pauses.next()).await {
            break Ok(());
        }
    };
    leadership.resign().await;
    result
}

/// Pushes lines and saves positions as the holder of the lease with this fence.
async fn read(
    ingest: &Ingest,
    followed: &Followed,
    fence: Fence,
    complain: &impl Fn(String),
) -> Result<Ended, Failure> {
    let tokens = ingest.stores.state().resume_tokens();
    let (position, mut version) = match tokens.take_over(&followed.stream, fence).await? {
        TokenOutcome::Done(Some(token)) => (Some(Position::parse(&token.token, followed)?), Some(token.info.version)),
        TokenOutcome::Done(None) => (None, None),
        _ => return Ok(Ended::Superseded),
    };
    let begins = position.as_ref().map_or(0, |position| position.bytes);
    let (mut lines, file, reading) = open(followed, position, ingest.concurrency).await.map_err(Failure::Other)?;
    let mut batch = Vec::new();
    loop {
        let read = tokio::select! {
            read = lines.recv_many(&mut batch, ingest.concurrency) => read,
            () = ingest.stop.stopped() => return Ok(Ended::Stopped),
        };
        if read == 0 {
            return Err(Failure::Other(reading.await.unwrap_or_else(|error| error.to_string())));
        }
        let position = batch.last().map_or(begins, |(_, next)| *next);
        // First the lines are pushed, then the position is saved: a line may be pushed again, which its id reveals, but none is skipped.
        if !push(ingest, batch.drain(..), complain).await? {
            return Ok(Ended::Stopped);
        }
        let position = Position::of(position, &file).map_err(|error| Failure::Other(cannot(followed, &error)))?;
        let request = SaveRequest::new(followed.stream.clone(), position.token(), fence, version);
        match save(ingest, &request).await? {
            Some(saved) => version = Some(saved),
            None => return Ok(Ended::Superseded),
        }
    }
}

/// Starts to read the file from this position, or from the beginning. Returns the file, too. The task returns why it could not continue.
async fn open(
    followed: &Followed,
    saved: Option<Position>,
    ahead: usize,
) -> Result<(mpsc::Receiver<Line>, Arc<std::fs::File>, JoinHandle<String>), String> {
    let explain = |error: IoError| cannot(followed, &error);
    let mut file = File::open(&followed.file).await.map_err(explain)?;
    let opened = file.metadata().await.map_err(explain)?;
    let position = saved.as_ref().map_or(0, |saved| saved.bytes);
    if opened.len() < position {
        let why = format!("it has {} bytes, but {position} were ingested before: {REPLACED}", opened.len());
        return Err(cannot(followed, &why));
    }
    let same = Arc::new(file.try_clone().await.map_err(explain)?.into_std().await);
    if let Some(saved) = saved
        && Position::of(position, &same).map_err(explain)? != saved
    {
        return Err(cannot(followed, &REPLACED));
    }
    file.seek(SeekFrom::Start(position)).await.map_err(explain)?;
    let (sender, lines) = mpsc::channel(ahead);
    let followed = followed.clone();
    let reading = tokio::spawn(async move {
        let grown = Grown { path: followed.file.clone(), opened };
        let mut deliveries = Deliveries::following(BufReader::new(file), position, grown);
        loop {
            match deliveries.next().await {
                Ok(Some(line)) => {
                    if sender.send((line, deliveries.position())).await.is_err() {
                        return "nobody reads any more".to_owned();
                    }
                }
                Ok(None) => return cannot(&followed, &"it ended"),
                Err(error) => return cannot(&followed, &error),
            }
        }
    });
    Ok((lines, same, reading))
}

fn cannot(followed: &Followed, why: &dyn Display) -> String {
    format!("cannot follow {}: {why}", followed.file.display())
}

/// Pushes these lines at the same time; `false` if it was stopped before all were pushed.
async fn push(ingest: &Ingest, lines: impl Iterator<Item = Line>, complain: &impl Fn(String)) -> Result<bool, Failure> {
    let mut under_way = JoinSet::new();
    for (line, _) in lines {
        add(&ingest.tally.received);
        match line {
            Ok(delivery) => {
                under_way.spawn(ingest.clone().accept(delivery));
            }
            Err(refused) => {
                add(&ingest.tally.rejected);
                complain(refused.to_string());
            }
        }
    }
    let mut all = true;
    while let Some(done) = under_way.join_next().await {
        match done {
            Ok(Fate::Accepted(_)) => {}
            Ok(Fate::Rejected(why)) => {
                add(&ingest.tally.rejected);
                complain(why);
            }
            Ok(Fate::Stopped) => all = false,
            Ok(Fate::Failed(error)) => return Err(error.into()),
            Err(error) => return Err(Failure::Other(format!("a delivery was not carried through: {error}"))),
        }
    }
    Ok(all)
}

/// Saves a position until the store answers; `None` if another process reads, or the position was changed by an operator.
async fn save(ingest: &Ingest, request: &SaveRequest) -> Result<Option<TokenVersion>, Failure> {
    let (state, mut pauses) = (ingest.stores.state(), Pauses::new());
    loop {
        match state.resume_tokens().save(request, state.durability()).await {
            Ok(receipt) => {
                ingest.outage.ends();
                return Ok(receipt.value.done().map(|saved| saved.version));
            }
            // The request keeps its identity, so a repetition is recognised.
            Err(error) if error.is_retryable() => {
                ingest.outage.begins(&error);
                if ingest.stop.pause(pauses.next()).await {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

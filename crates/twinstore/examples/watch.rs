//! Several processes watch one file that grows. One of them delivers its lines, the others stand by. If it dies, another one
//! continues from the exact token that it saved.
//!
//! ```sh
//! export SERVICE_NAME=watch REDIS_CONN_BASE_URL=embedded: REDIS_WORKERCACHE_CONN_URL=redis://localhost:6379
//! cargo run --package twinstore --example watch -- FILE
//! ```
//!
//! An embedded file is open in one process at a time, so with `REDIS_WORKERCACHE_CONN_URL=embedded:PATH` the others wait until
//! they can open it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports on its standard output")]

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;
use twinstore::ErrorKind;
use twinstore::lease::{Fence, LeaseName};
use twinstore::name::HolderName;
use twinstore::prelude::*;
use twinstore::resume_token::{SaveRequest, StreamName, TokenOutcome};

type Failure = Box<dyn std::error::Error>;

/// About how many bytes are delivered before a token is saved.
const BATCH: u64 = 100;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let path = std::env::args_os().nth(1).ok_or("usage: watch FILE")?;
    let stores = loop {
        match Stores::from_env().await {
            Ok(stores) => break stores,
            Err(StartError::Store { source, .. }) if source.kind() == ErrorKind::Unavailable => {
                sleep(Duration::from_millis(50)).await;
            }
            Err(error) => error.exit(),
        }
    };
    // Streams belong to the namespace, so the lease of their consumer is one that all services share.
    let (name, holder) = (LeaseName::new("watch")?, HolderName::unique("watch")?);
    let candidate = stores.state().shared().candidate(name, holder).with_lease(Duration::from_secs(2));
    let leadership = candidate.campaign()?;
    println!("stands by");
    loop {
        let fence = leadership.elected().await;
        match consume(stores.state(), path.as_ref(), fence).await {
            Ok(later) => println!("stops {fence}, because {later} consumes the stream"),
            Err(error) => eprintln!("stops {fence}: {error}"),
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Delivers lines and saves tokens until a later holder of the lease has taken over. Returns the fence of that holder.
///
/// It does not check the lease: a process that was suspended may believe that it still holds it. The store refuses its token.
async fn consume(state: &State, path: &Path, fence: Fence) -> Result<Fence, Failure> {
    let (tokens, stream) = (state.resume_tokens(), StreamName::new("lines")?);
    let (mut position, mut version) = match tokens.take_over(&stream, fence).await? {
        TokenOutcome::Done(Some(token)) => (std::str::from_utf8(&token.token)?.parse()?, Some(token.info.version)),
        TokenOutcome::Done(None) => (0, None),
        TokenOutcome::Superseded(later) => return Ok(later),
        _ => unreachable!("a take-over is never a conflict"),
    };
    println!("begins {fence} {position}");
    loop {
        let lines = lines_from(path, position)?;
        if lines.is_empty() {
            sleep(Duration::from_millis(20)).await;
            continue;
        }
        // First the lines are delivered, then the token is saved: lines may be delivered again, but none is skipped.
        lines.lines().for_each(|line| println!("line {fence} {line}"));
        position += lines.len() as u64;
        let save = SaveRequest::new(stream.clone(), position.to_string(), fence, version);
        match tokens.save(&save, state.durability()).await?.value {
            TokenOutcome::Done(saved) => version = Some(saved.version),
            TokenOutcome::Superseded(later) => return Ok(later),
            _ => return Err("another token is stored".into()),
        }
        println!("saved {fence} {position}");
    }
}

/// The next complete lines of the file.
fn lines_from(path: &Path, position: u64) -> Result<String, Failure> {
    let (mut file, mut bytes) = (File::open(path)?, Vec::new());
    file.seek(SeekFrom::Start(position))?;
    file.take(BATCH).read_to_end(&mut bytes)?;
    bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    Ok(String::from_utf8(bytes)?)
}

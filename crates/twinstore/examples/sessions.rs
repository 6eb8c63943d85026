//! Two runs of an agent extend the history of one session, on a store in memory: neither overwrites what the other has said.
//!
//! ```sh
//! cargo run --package twinstore --example sessions
//! ```
#![allow(clippy::print_stdout, reason = "it reports on its standard output")]

use twinstore::prelude::*;
use twinstore::run::{SessionId, SessionOutcome, SessionSave};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Adds a line to the history of a session. If another run was faster, it reads the history again.
async fn say(state: State, session: SessionId, line: String) -> Result<(), Failure> {
    let sessions = state.sessions();
    loop {
        let found = sessions.get(&session).await?;
        let version = found.as_ref().map(|session| session.version);
        let history = found.and_then(|session| session.state).unwrap_or_default();
        let history = format!("{}{line}\n", std::str::from_utf8(&history)?);
        // Lets the other run read the same version.
        tokio::task::yield_now().await;
        let mut save = SessionSave::new(session.clone(), "planner".try_into()?, history);
        if let Some(version) = version {
            save = save.at_version(version);
        }
        match sessions.save(&save, state.durability()).await?.value {
            SessionOutcome::Saved(_) => return Ok(()),
            SessionOutcome::Changed(_) | SessionOutcome::Absent => println!("`{line}` reads the history again"),
            other => return Err(format!("{other:?}").into()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "planner"),
        ("REDIS_CONN_BASE_URL", "embedded:"),
        ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
    ]);
    let stores = Stores::open(&environment).await?;
    let (state, ann) = (stores.state(), SessionId::new("ann")?);
    let lines = ["a trip to Oslo", "by train", "in May"];
    let runs = lines.map(|line| tokio::spawn(say(state.clone(), ann.clone(), line.to_owned())));
    for run in runs {
        run.await??;
    }
    let session = state.sessions().get(&ann).await?.ok_or("it was saved")?;
    let history = session.state.unwrap_or_default();
    println!("{} lines", std::str::from_utf8(&history)?.lines().count());
    // An operator, or the user, has everything deleted that belongs to a prefix.
    println!("{} deleted", state.sessions().clear("a", None).await?.removed);
    stores.close().await;
    Ok(())
}

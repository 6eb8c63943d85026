//! `notifier events`: shows the log of the deliveries.

use std::io::Write as _;

use serde::Serialize;
use twinstore::Stores;
use twinstore::page::PageRequest;
use twinstore::run::{RunEvent, RunEvents, RunId};

use crate::cli::EventsOptions;
use crate::ingest::{Outage, Pauses};
use crate::log::{self, Entry, Log};
use crate::stop::Stop;

/// One line of the output.
#[derive(Serialize)]
struct Line<'a> {
    sequence: u64,
    at_ms: u64,
    event: &'a str,
    #[serde(flatten)]
    entry: Entry<'a>,
}

/// Prints the events that there are, or those and all later ones until it is stopped.
///
/// # Errors
/// Why it cannot continue.
pub(crate) async fn show(stores: &Stores, options: &EventsOptions, stop: &Stop) -> Result<(), String> {
    let run = log::run().map_err(|error| error.to_string())?;
    let showing = async {
        match options.follow {
            true => follow(stores, run, options.from).await,
            false => past(stores, run, options.from).await,
        }
    };
    tokio::select! {
        shown = showing => shown,
        () = stop.stopped() => Ok(()),
    }
}

async fn past(stores: &Stores, run: RunId, mut from: u64) -> Result<(), String> {
    let runs = stores.state().runs();
    while let Some(events) = runs.events(&run, from, PageRequest::MAX_LIMIT).await.map_err(|error| error.to_string())? {
        if !print(&events, from)? || events.events.is_empty() {
            break;
        }
        from = events.next;
    }
    Ok(())
}

async fn follow(stores: &Stores, run: RunId, from: u64) -> Result<(), String> {
    let (state, outage, mut pauses) = (stores.state(), Outage::default(), Pauses::new());
    let log = Log::new(stores, outage.clone());
    let mut watch = state.watch_run(run.clone(), from);
    loop {
        let from = watch.position();
        let followed = match watch.next().await {
            Ok(Some(events)) => {
                outage.ends();
                pauses = Pauses::new();
                if !print(&events, from)? {
                    return Ok(());
                }
                continue;
            }
            // There is no log, or it has expired. The next one begins at 0.
            Ok(None) => {
                watch = state.watch_run(run.clone(), 0);
                log.create().await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = followed {
            if !error.is_retryable() {
                return Err(error.to_string());
            }
            outage.begins(&error);
            tokio::time::sleep(pauses.next()).await;
        }
    }
}

/// Prints events that were read from `from` on. `false` if nobody reads the output any more.
fn print(events: &RunEvents, from: u64) -> Result<bool, String> {
    match events.truncated_before {
        Some(first) if first > from => crate::complain(&format!("events before {first} were removed")),
        Some(first) => crate::complain(&format!(
            "the log ends before event {from}, because it has lost events or is a new one; event {first} and the later ones follow"
        )),
        None => {}
    }
    let mut lines = Vec::new();
    for event in &events.events {
        lines.extend(line(event)?);
    }
    let mut stdout = std::io::stdout();
    match stdout.write_all(&lines).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("cannot print: {error}")),
    }
}

/// Nothing for events of the run itself.
fn line(event: &RunEvent) -> Result<Vec<u8>, String> {
    if event.kind.starts_with("run.") {
        return Ok(Vec::new());
    }
    let other = |error| format!("event {} is none of the notifier: {error}", event.sequence);
    let entry = serde_json::from_slice(&event.data).map_err(other)?;
    let (sequence, at_ms) = (event.sequence, event.at.as_millis());
    let mut line = serde_json::to_vec(&Line { sequence, at_ms, event: &event.kind, entry }).map_err(other)?;
    line.push(b'\n');
    Ok(line)
}

//! A run of an agent with events, which others watch and cancel. Without a verb, one process does everything, on a store in memory.
//! With a verb, several processes share both servers; see the variables of `Stores::from_env`.
//!
//! ```sh
//! cargo run --package twinstore --example agent
//! cargo run --package twinstore --example agent -- run trip-7     # carries the run out until it is cancelled
//! cargo run --package twinstore --example agent -- watch trip-7   # prints its events, from the first one on
//! cargo run --package twinstore --example agent -- cancel trip-7
//! ```
#![allow(clippy::print_stdout, reason = "it reports on its standard output")]

use std::time::Duration;

use twinstore::prelude::*;
use twinstore::run::{NewRun, RunEvent, RunId, RunOutcome, RunState, RunWrite};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Carries a run out: one event every 50 ms. It stops when another process has asked for that.
async fn run(state: &State, id: RunId) -> Result<(), Failure> {
    let (runs, durability) = (state.runs(), state.durability());
    let new = NewRun::new(id.clone(), "planner".try_into()?).with_input("a trip to Oslo");
    let created = runs.create(&new, durability).await?.value.done().ok_or("the id is taken")?;
    let begin = RunWrite::new(id.clone()).to(RunState::InProgress, created.version);
    runs.write(&begin, durability).await?.value.done().ok_or("it was cancelled before it began")?;
    println!("running");
    for part in 0.. {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let append = RunWrite::new(id.clone()).with_event(RunEvent::new("message.part", format!("idea {part}")));
        let current = match runs.write(&append, durability).await?.value {
            RunOutcome::Done(run) | RunOutcome::Illegal(run) => run,
            other => return Err(format!("{other:?}").into()),
        };
        if current.state == RunState::Cancelling {
            let stopped = RunWrite::new(id.clone()).to(RunState::Cancelled, current.version);
            println!("stopping: {}", runs.write(&stopped, durability).await?.value.done().is_some());
            return Ok(());
        }
    }
    Ok(())
}

/// Prints the events of a run until it has ended.
async fn watch(state: &State, id: RunId) -> Result<(), Failure> {
    let mut watch = state.watch_run(id, 0);
    while let Some(events) = watch.next().await? {
        if let Some(first) = events.truncated_before {
            println!("the log begins at {first}");
        }
        for event in events.events {
            println!("{} {} {}", event.sequence, event.kind, String::from_utf8_lossy(&event.data));
        }
    }
    Ok(())
}

/// Asks the agent to stop. The version ensures that this does not overwrite a completion.
async fn cancel(state: &State, id: RunId) -> Result<(), Failure> {
    let current = state.runs().get(&id).await?.ok_or("there is no such run")?;
    let cancel = RunWrite::new(id).to(RunState::Cancelling, current.version);
    println!("{:?}", state.runs().write(&cancel, state.durability()).await?.value.done().map(|run| run.state));
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (verb, id) = (arguments.next(), RunId::new(arguments.next().unwrap_or_else(|| "trip-7".to_owned()))?);
    let variables = ["SERVICE_NAME", "REDIS_CONN_BASE_URL", "REDIS_WORKERCACHE_CONN_URL"];
    let in_memory = Environment::from_variables(variables.into_iter().zip(["planner", "embedded:", "embedded:"]));
    let stores = if verb.is_some() { Stores::from_env().await? } else { Stores::open(&in_memory).await? };
    let state = stores.state();
    match verb.as_deref() {
        None => {
            let after = |ms| tokio::time::sleep(Duration::from_millis(ms));
            let watching = async {
                after(100).await;
                watch(state, id.clone()).await
            };
            let cancelling = async {
                after(300).await;
                cancel(state, id.clone()).await
            };
            tokio::try_join!(run(state, id.clone()), watching, cancelling)?;
        }
        Some("run") => run(state, id).await?,
        Some("watch") => watch(state, id).await?,
        Some("cancel") => cancel(state, id).await?,
        _ => return Err("usage: agent [run|watch|cancel ID]".into()),
    }
    stores.close().await;
    Ok(())
}

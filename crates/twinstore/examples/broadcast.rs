//! A setting that all processes read again when one of them changes it. Here, two listeners in one process, on a store in memory.
//!
//! ```sh
//! cargo run --package twinstore --example broadcast
//! ```
#![allow(clippy::print_stdout, reason = "it reports on its standard output")]

use serde::{Deserialize, Serialize};
use twinstore::broadcast::{Broadcast, BroadcastEvent, BroadcastName};
use twinstore::prelude::*;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Serialize, Deserialize)]
enum Control {
    SetLevel(String),
    Stop,
}

/// Listens until a message stops it.
async fn listen(name: &'static str, controls: Broadcast<Control>, ready: tokio::sync::oneshot::Sender<()>) {
    let mut listener = controls.listen().await.expect("the store is in this process");
    let _ = ready.send(());
    loop {
        match listener.next().await {
            Ok(BroadcastEvent::Message(Control::SetLevel(level))) => println!("{name}: level {level}"),
            Ok(BroadcastEvent::Message(Control::Stop)) => break println!("{name}: stops"),
            // A message may be missing: read what the messages are about from where it is stored.
            Ok(BroadcastEvent::Gap) => println!("{name}: reads the settings"),
            Ok(_) => {}
            Err(error) => break println!("{name}: {error}"),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "settings"),
        ("REDIS_CONN_BASE_URL", "embedded:"),
        ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
    ]);
    let stores = Stores::open(&environment).await?;
    let controls = stores.state().broadcast::<Control>(BroadcastName::new("controls")?);
    let mut listening = Vec::new();
    for name in ["one", "two"] {
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        listening.push(tokio::spawn(listen(name, controls.clone(), ready)));
        is_ready.await?;
    }
    // A process that does not listen now misses it. What must not be missed belongs in a topic.
    let processes = controls.publish(&Control::SetLevel("debug".to_owned())).await?;
    println!("sent to {processes} process");
    controls.publish(&Control::Stop).await?;
    for listener in listening {
        listener.await?;
    }
    stores.close().await;
    Ok(())
}

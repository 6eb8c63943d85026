//! An independent client: it writes to the servers directly, without the library, and waits for replicas.

use std::sync::Arc;
use std::time::Duration;

use testkit::{CommandError, RedisServer, RespConnection};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::environment::Environment;
use crate::history::{Event, Recorder, now};
use crate::workload::QUEUES;

/// How often each server is asked.
const EVERY: Duration = Duration::from_millis(100);

/// How long a server may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long replicas are waited for.
const WAIT_MS: &str = "200";

/// Writes to all servers again and again, with a key of each queue, until `stop` is true. Replicas and nodes of other slots refuse
/// the write. Call it in a `LocalSet`.
pub(crate) fn start(environment: &Arc<Environment>, recorder: &Recorder, stop: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for index in 0..environment.state.members().len() {
        let (environment, recorder, stop) = (environment.clone(), recorder.clone(), stop.clone());
        tasks.spawn_local(async move { ask(&environment, index, &recorder, stop).await });
    }
    tasks
}

async fn ask(environment: &Environment, index: usize, recorder: &Recorder, mut stop: watch::Receiver<bool>) {
    let server = &environment.state.members()[index];
    let mut connection = None;
    while !*stop.borrow() {
        for queue in QUEUES {
            if *stop.borrow() {
                return;
            }
            let key = format!("probe:{{q.{queue}.0}}");
            match tokio::time::timeout(PATIENCE, write(server, &mut connection, &key, environment.replicas)).await {
                Ok(Ok(replicas)) => recorder.write(&Event::Probe { at: now(), queue: queue.to_owned(), replicas }),
                // another server has the key
                Ok(Err(CommandError::Refused(_))) => {}
                _ => connection = None,
            }
        }
        let _ = tokio::time::timeout(EVERY, stop.wait_for(|stop| *stop)).await;
    }
}

/// Writes, and returns how many replicas have confirmed it: at least one, and `wanted`, if they do so in time.
async fn write(
    server: &RedisServer,
    connection: &mut Option<RespConnection>,
    key: &str,
    wanted: u32,
) -> Result<u32, CommandError> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(server.connect().await?),
    };
    connection.command(&["SET", key, "1"]).await?;
    let mut reached = 0;
    for count in 1..=wanted.max(1) {
        let reply = connection.command(&["WAIT", &count.to_string(), WAIT_MS]).await?;
        reached = reply.as_integer().and_then(|reached| u32::try_from(reached).ok()).unwrap_or(0);
        if reached < count {
            break;
        }
    }
    Ok(reached)
}

//! Calls about one plain job take their fast path.

use store_core::{Cancelled, Extension, JobId, NewJob, Outcome, Pushed, Queue, QueueControl, Settled};
use testkit::RedisServer;

use super::{LEASE, claim_one, push, queue, settle};
use crate::{Fixture, fixture};

/// How many commands the server has executed, with those of scripts.
async fn commands(server: &RedisServer) -> u64 {
    let info = server.command(&["INFO", "commandstats"]).await.unwrap();
    let calls = info.as_str().unwrap().lines().filter_map(|line| line.split_once(":calls=")?.1.split_once(','));
    calls.map(|(calls, _)| calls.parse::<u64>().unwrap()).sum()
}

/// The commands of a call, without the `INFO` that counts them.
async fn cost<T>(server: &RedisServer, call: impl Future<Output = T>) -> (T, u64) {
    let before = commands(server).await;
    let answer = call.await;
    (answer, commands(server).await - before - 1)
}

#[tokio::test]
async fn one_call_about_a_plain_job_executes_few_commands() {
    let Fixture { server, store, .. } = fixture().await;
    let pushed = push(&store, &[(); 6].map(|()| NewJob::new("plain"))).await;
    let ids: Vec<&JobId> = pushed.iter().filter_map(Pushed::id).collect();

    // The server gets each script with its first call.
    let mut costs = Vec::new();
    for id in &ids[..2] {
        let (cancelled, commands) = cost(&server, store.cancel(&queue(), id)).await;
        assert_eq!(cancelled.unwrap(), Cancelled::Removed);
        costs.push(commands);
    }
    assert!(costs[1] <= 8, "cancel: {costs:?}");

    let leased = [claim_one(&store).await, claim_one(&store).await];
    for claimed in &leased {
        let extension = [Extension::new(claimed.lease.clone())];
        let (extended, commands) = cost(&server, store.extend(&queue(), &extension, LEASE)).await;
        assert!(extended.unwrap()[0].until().is_some());
        costs.push(commands);
    }
    assert!(costs[3] <= 6, "extend: {costs:?}");

    for claimed in leased {
        let (settled, commands) = cost(&server, settle(&store, &claimed, Outcome::Complete(None))).await;
        assert_eq!(settled, Settled::Done);
        costs.push(commands);
    }
    assert!(costs[5] <= 9, "settle: {costs:?}");
}

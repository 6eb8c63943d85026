//! Texts that look like the frames of a pub/sub connection, sent through every operation of both roles by many concurrent
//! tasks: each caller must get its own reply.

mod broadcasts;
mod cache;
mod homes;
mod retries;
mod runs;
mod schedules;
mod state;
mod steps;
mod topics;

use std::sync::Arc;

use bytes::Bytes;
use store_core::Op;

use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{BrokenPromise, Verdict};

cases! { Op::QueueClaim;
    hostile_texts_through_every_operation_of_the_state_store,
    hostile_texts_through_every_operation_of_the_cache_store,
    hostile_texts_through_both_stores_at_once,
}

/// How many tasks work at the same time.
const TASKS: usize = 50;

/// The first words of pub/sub frames, in any case; each task combines them in its own way.
const WORDS: [&str; 14] = [
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "unsubscribe",
    "punsubscribe",
    "sunsubscribe",
    "message",
    "pmessage",
    "smessage",
    "pubsub",
    "invalidate",
    "MESSAGE",
    "Subscribe",
    "pong",
];

/// The texts of one task: words that would confuse a wrong caller, and a number that shows which task a reply belongs to.
#[derive(Debug, Clone)]
struct Texts {
    task: usize,
}

impl Texts {
    /// A hostile word; the words of a task differ in their order from those of its neighbours.
    fn word(&self, index: usize) -> &'static str {
        WORDS[(self.task + index) % WORDS.len()]
    }

    /// A hostile word as bytes.
    fn bytes(&self, index: usize) -> Bytes {
        Bytes::from_static(self.word(index).as_bytes())
    }

    /// A text that only this task uses.
    fn own(&self, index: usize) -> String {
        format!("{}-{index}", self.task)
    }
}

/// Runs `play` in many concurrent tasks, each with texts of its own.
async fn in_many_tasks<F>(fixture: Fixture, play: impl Fn(Arc<Fixture>, Texts) -> F) -> Verdict
where
    F: Future<Output = Verdict> + Send + 'static,
{
    let fixture = Arc::new(fixture);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(play(Arc::clone(&fixture), Texts { task }));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(BrokenPromise::from)??;
    }
    Ok(())
}

async fn hostile_texts_through_every_operation_of_the_state_store(fixture: Fixture) -> Verdict {
    in_many_tasks(fixture, state::play).await
}

async fn hostile_texts_through_every_operation_of_the_cache_store(fixture: Fixture) -> Verdict {
    in_many_tasks(fixture, cache::play).await
}

async fn hostile_texts_through_both_stores_at_once(fixture: Fixture) -> Verdict {
    in_many_tasks(fixture, async |fixture: Arc<Fixture>, texts: Texts| {
        let both = tokio::join!(state::play(Arc::clone(&fixture), texts.clone()), cache::play(fixture, texts));
        both.0.and(both.1)
    })
    .await
}

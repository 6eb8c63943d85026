//! Notifications of writes. These cases take real time, but none depends on how long they take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store_core::{Op, RunWrite, Subscribed};

use super::{created, events, id, in_states, new, note, written};
use crate::case::cases;
use crate::fixture::{Fixture, look_again};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::RunEvents;
    a_write_notifies_all_who_watch_the_run,
    a_deletion_notifies_those_who_watch_the_run,
    a_dropped_watch_is_not_notified,
}

/// Counts notifications of a run.
struct Bell {
    rung: Arc<AtomicU64>,
    subscribed: Subscribed,
}

impl Bell {
    /// Returns once notifications have begun.
    async fn hang(fixture: &Fixture, run: &str) -> Self {
        let rung = Arc::new(AtomicU64::new(0));
        let ring = Arc::clone(&rung);
        let notify = Arc::new(move || {
            ring.fetch_add(1, Ordering::SeqCst);
        });
        let bell = Self { subscribed: fixture.state.notifications().of_run(&id(run), notify), rung };
        bell.rings_after(0).await;
        bell
    }

    fn rung(&self) -> u64 {
        self.rung.load(Ordering::SeqCst)
    }

    /// Waits until there were more than this many notifications.
    async fn rings_after(&self, before: u64) {
        while self.rung() <= before {
            look_again().await;
        }
    }
}

async fn a_write_notifies_all_who_watch_the_run(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = created(&fixture, &new("1")).await?;
    let bells = [Bell::hang(&fixture, "1").await, Bell::hang(&fixture, "1").await];
    let to = RunWrite::new(id("1")).to(store_core::RunState::InProgress, run.version);
    for (number, write) in [RunWrite::new(id("1")).with_event(note("a")), to].iter().enumerate() {
        let before = bells.each_ref().map(Bell::rung);
        written(&fixture, write).await?;
        for (bell, before) in bells.iter().zip(before) {
            bell.rings_after(before).await;
            // What was written can be read when the notification arrives.
            check_eq!(events(&fixture, "1", 0, 100).await?.next, 2 + number as u64);
        }
    }
    Ok(())
}

async fn a_deletion_notifies_those_who_watch_the_run(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    in_states(&fixture, "1", &[]).await?;
    let bell = Bell::hang(&fixture, "1").await;
    let before = bell.rung();
    check!(fixture.state.runs().delete(&id("1")).await?);
    bell.rings_after(before).await;
    check_eq!(fixture.state.runs().get(&id("1")).await?, None);
    Ok(())
}

async fn a_dropped_watch_is_not_notified(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    let (dropped, other) = (Bell::hang(&fixture, "1").await, Bell::hang(&fixture, "1").await);
    let before = other.rung();
    drop(dropped.subscribed);
    written(&fixture, &RunWrite::new(id("1")).with_event(note("a"))).await?;
    other.rings_after(before).await;
    // The store forgets it soon.
    while Arc::strong_count(&dropped.rung) > 1 {
        look_again().await;
    }
    Ok(())
}

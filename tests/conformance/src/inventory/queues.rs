//! Listing the queues.

use std::collections::BTreeSet;

use store_core::{ClaimRequest, Durability, NewJob, Op, Outcome, QueueExt, QueueName};
use tokio::task::JoinSet;

use super::{listed, spelled};
use crate::case::cases;
use crate::fixture::{Fixture, holder, secs};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

cases! { Op::InventoryQueues;
    a_queue_is_listed_from_its_first_push,
    a_queue_whose_jobs_are_done_is_listed,
    a_paused_queue_is_listed,
    a_queue_that_nobody_used_is_not_listed,
    more_queues_than_one_step_shows_are_all_listed,
}

listed!(queues);

async fn a_queue_is_listed_from_its_first_push(fixture: Fixture) -> Verdict {
    let (single, batch, later) = (fixture.queue("single"), fixture.queue("batch"), fixture.queue("later"));
    fixture.state.push_one(&single, NewJob::new("")).await?;
    let jobs: Vec<_> = (0..20).map(|_| NewJob::new("")).collect();
    check_eq!(fixture.state.push(&batch, &jobs, Durability::Accepted).await?.value.len(), jobs.len());
    fixture.state.push_one(&later, NewJob::new("").with_delay(secs(3600))).await?;
    let listed = listed(&fixture).await?;
    for queue in [single, batch, later] {
        check!(listed.contains(&spelled(&queue)), "{queue} is not among {listed:?}");
    }
    Ok(())
}

async fn a_queue_whose_jobs_are_done_is_listed(fixture: Fixture) -> Verdict {
    let queue = fixture.queue("done");
    fixture.state.push_one(&queue, NewJob::new("")).await?;
    let claim = ClaimRequest::new(queue.clone(), holder("worker"), 1, secs(10));
    for job in fixture.state.claim(&claim).await?.jobs {
        fixture.state.settle_one(&queue, job.lease, Outcome::Complete(None)).await?;
    }
    check!(listed(&fixture).await?.contains(&spelled(&queue)));
    Ok(())
}

async fn a_paused_queue_is_listed(fixture: Fixture) -> Verdict {
    let queue = fixture.queue("paused");
    fixture.state.pause(&queue).await?;
    check!(listed(&fixture).await?.contains(&spelled(&queue)));
    Ok(())
}

async fn a_queue_that_nobody_used_is_not_listed(fixture: Fixture) -> Verdict {
    let queue = fixture.queue("unused");
    fixture.state.counts(&queue).await?;
    fixture.state.resume(&queue).await?;
    let claim = ClaimRequest::new(fixture.queue("used"), holder("worker"), 1, secs(10));
    fixture.state.push_one(&claim.queue, NewJob::new("")).await?;
    check!(!listed(&fixture).await?.contains(&spelled(&queue)));
    Ok(())
}

async fn more_queues_than_one_step_shows_are_all_listed(fixture: Fixture) -> Verdict {
    let names: Vec<QueueName> = (0..1100).map(|number| fixture.queue(&format!("{number}"))).collect();
    let mut pushes = JoinSet::new();
    for name in names.clone() {
        let state = fixture.state.clone();
        pushes.spawn(async move { state.push_one(&name, NewJob::new("")).await });
    }
    while let Some(pushed) = pushes.join_next().await {
        pushed.map_err(|panic| BrokenPromise::new(panic.to_string()))??;
    }
    let listed = listed(&fixture).await?;
    let missing: Vec<_> = names.iter().filter(|name| !listed.contains(&spelled(name))).collect();
    check!(missing.is_empty(), "{} queues are missing, such as {:?}", missing.len(), missing[0]);
    Ok(())
}

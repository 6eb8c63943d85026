//! The durability of pushes and settlements.

use store_core::{Counts, Durability, Error, Op, Outcome, Settled, Settlement};

use super::queue_fixture::{QueueFixture, created, job};
use crate::case::cases;
use crate::engine::Capability;
use crate::fixture::{ms, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::QueuePush;
    a_push_and_a_settlement_can_wait_for_the_disk: Fsync,
    a_push_and_a_settlement_can_wait_for_a_replica: Replication,
    a_level_that_is_not_reached_is_told_and_the_push_stands: Replication,
    a_level_that_the_engine_does_not_know_is_refused_before_anything_is_written,
    a_pushed_job_is_there_when_the_store_is_opened_again: Reopen,
}

const ON_DISK: Durability = Durability::Fsynced { within: secs(10) };
const ON_A_REPLICA: Durability = Durability::Replicated { replicas: 1, within: secs(10) };

/// Pushes a job and completes it, both with this durability, and checks the receipts.
async fn reaches(queue: &QueueFixture, durability: Durability) -> Verdict {
    let receipt = queue.fixture.state.push(&queue.name, &[job("a")], durability).await?;
    check_eq!(receipt.value, [created("a")]);
    check!(receipt.reached.satisfies(durability), "the push reached only {}", receipt.reached);
    let claimed = queue.claim_one().await?;
    let settlement = Settlement::new(claimed.lease, Outcome::Complete(None));
    let receipt = queue.fixture.state.settle(&queue.name, &[settlement], durability).await?;
    check_eq!(receipt.value, [Settled::Done]);
    check!(receipt.reached.satisfies(durability), "the settlement reached only {}", receipt.reached);
    Ok(())
}

async fn a_push_and_a_settlement_can_wait_for_the_disk(queue: QueueFixture) -> Verdict {
    reaches(&queue, ON_DISK).await
}

async fn a_push_and_a_settlement_can_wait_for_a_replica(queue: QueueFixture) -> Verdict {
    reaches(&queue, ON_A_REPLICA).await
}

async fn a_level_that_is_not_reached_is_told_and_the_push_stands(queue: QueueFixture) -> Verdict {
    let too_much = Durability::Replicated { replicas: 100, within: ms(50) };
    let told = queue.fixture.state.push(&queue.name, &[job("a")], too_much).await;
    check_matches!(told, Err(Error::NotDurable { op: Op::QueuePush, reached, .. }) if reached.replicas < 100);
    check_eq!(queue.counts().await?, Counts::new(1, 0, 0, 0, 0));
    Ok(())
}

async fn a_level_that_the_engine_does_not_know_is_refused_before_anything_is_written(queue: QueueFixture) -> Verdict {
    let replicated = Durability::Replicated { replicas: 1, within: ms(50) };
    for (capability, durability) in [(Capability::Fsync, ON_DISK), (Capability::Replication, replicated)] {
        if queue.fixture.can(capability) {
            continue;
        }
        let told = queue.fixture.state.push(&queue.name, &[job("a")], durability).await;
        match told {
            Err(Error::Unsupported { .. }) => check_eq!(queue.counts().await?, Counts::default()),
            // a server without replicas waits for one and times out, but the push is valid
            Err(Error::NotDurable { .. }) => check_eq!(queue.counts().await?.ready, 1),
            // a replica has joined since the capabilities of the engine were determined
            Ok(receipt) => check!(receipt.reached.satisfies(durability), "reached {}", receipt.reached),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn a_pushed_job_is_there_when_the_store_is_opened_again(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    let claimed = queue.claim_one().await?;
    let again = QueueFixture { fixture: queue.fixture.reopen().await?, name: queue.name };
    check_eq!(again.settle(&claimed.lease, Outcome::Complete(None)).await?, Settled::Done);
    let other = if claimed.id().as_str() == "a" { "b" } else { "a" };
    check_eq!(again.claim_ids(10).await?, [other]);
    check!(again.claim(1).await?.jobs.is_empty());
    Ok(())
}

//! Notifications of appends. These cases take real time, but none depends on how long they take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store_core::{Op, Subscribed, TopicConfig};

use super::{Orders, keyed};
use crate::case::cases;
use crate::fixture::{Fixture, look_again};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::TopicAppend;
    an_append_notifies_all_who_wait_for_the_partition,
    an_append_does_not_notify_those_who_wait_for_another_partition,
}

pub(super) const PARTITIONS: u16 = 2;
const APPENDS: u64 = 20;

/// Counts the notifications of a partition.
pub(super) struct Bell {
    rung: Arc<AtomicU64>,
    _subscribed: Subscribed,
}

impl Bell {
    /// Returns once notifications have begun.
    pub(super) async fn hang(orders: &Orders, partition: u16) -> Self {
        let rung = Arc::new(AtomicU64::new(0));
        let ring = Arc::clone(&rung);
        let notify = Arc::new(move || {
            ring.fetch_add(1, Ordering::SeqCst);
        });
        let notifications = orders.state.notifications();
        let bell = Self { _subscribed: notifications.of_partition(&orders.name, partition, PARTITIONS, notify), rung };
        bell.rings_after(0).await;
        bell
    }

    pub(super) fn rung(&self) -> u64 {
        self.rung.load(Ordering::SeqCst)
    }

    /// Waits until there were more than this many notifications.
    pub(super) async fn rings_after(&self, before: u64) {
        while self.rung() <= before {
            look_again().await;
        }
    }
}

async fn an_append_notifies_all_who_wait_for_the_partition(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_partitions(PARTITIONS)).await?;
    let partition = orders.append_all(&[keyed("order-7", "placed")]).await?[0].partition;
    let bells = [Bell::hang(&orders, partition).await, Bell::hang(&orders, partition).await];
    for _ in 0..3 {
        let before = bells.each_ref().map(Bell::rung);
        let id = orders.append_all(&[keyed("order-7", "paid")]).await?[0];
        for (bell, before) in bells.iter().zip(before) {
            bell.rings_after(before).await;
            // What was appended can be read when the notification arrives.
            let partitions = orders.state.topics().inspect(&orders.name).await?;
            check_eq!((id.partition, partitions[usize::from(partition)].last), (partition, id.number));
        }
    }
    Ok(())
}

async fn an_append_does_not_notify_those_who_wait_for_another_partition(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_partitions(PARTITIONS)).await?;
    let bells = [Bell::hang(&orders, 0).await, Bell::hang(&orders, 1).await];
    let before = bells.each_ref().map(Bell::rung);
    let mut partition = 0;
    for _ in 0..APPENDS {
        partition = usize::from(orders.append_all(&[keyed("order-7", "paid")]).await?[0].partition);
    }
    bells[partition].rings_after(before[partition] + APPENDS - 1).await;
    // Notifications may also begin again, after a lost connection.
    let of_other = bells[1 - partition].rung() - before[1 - partition];
    check!(of_other < APPENDS, "{of_other} notifications");
    Ok(())
}

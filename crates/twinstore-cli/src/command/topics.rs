//! `twinstore topics`

use std::collections::BTreeSet;

use serde::Serialize;
use store_core::{GroupName, PartitionInfo, Timestamp, TopicName};

use super::Common;
use crate::failure::Failure;
use crate::output::{Output, Row};
use crate::progress::Progress;
use crate::store::{Store, all};
use crate::time::age;

/// List the topics with their events, and the lag of each group.
///
/// Each group has a line; so has a topic without groups. LAG is the number of retained events that the group has not
/// acknowledged, MISSED the number of those that were removed before, HELD the number of partitions that its consumers hold,
/// each in all partitions together. OLDEST is the age of the oldest event.
///
/// JSON fields: topic, partitions, events, bytes, oldest_ms (null without events), group (null without groups), lag, missed,
/// held.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Topics {
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Serialize)]
struct TopicRow {
    topic: TopicName,
    partitions: usize,
    events: u64,
    bytes: u64,
    oldest_ms: Option<Timestamp>,
    group: Option<GroupName>,
    lag: u64,
    missed: u64,
    held: usize,
}

impl Row for TopicRow {
    const HEADINGS: &'static [&'static str] =
        &["TOPIC", "PARTITIONS", "EVENTS", "BYTES", "OLDEST", "GROUP", "LAG", "MISSED", "HELD"];

    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let of_group = |number: String| if self.group.is_some() { number } else { dash() };
        vec![
            self.topic.to_string(),
            self.partitions.to_string(),
            self.events.to_string(),
            self.bytes.to_string(),
            self.oldest_ms.map_or_else(dash, age),
            self.group.as_ref().map_or_else(dash, ToString::to_string),
            of_group(self.lag.to_string()),
            of_group(self.missed.to_string()),
            of_group(self.held.to_string()),
        ]
    }
}

/// The rows of a topic: one for each group, or one without a group.
fn rows(topic: TopicName, partitions: &[PartitionInfo]) -> Vec<TopicRow> {
    let without_group = TopicRow {
        topic,
        partitions: partitions.len(),
        events: partitions.iter().map(PartitionInfo::events).sum(),
        bytes: partitions.iter().map(|partition| partition.bytes).sum(),
        oldest_ms: partitions.iter().filter_map(|partition| partition.oldest).min(),
        group: None,
        lag: 0,
        missed: 0,
        held: 0,
    };
    let names: BTreeSet<_> = partitions.iter().flat_map(|it| &it.groups).map(|group| &group.group).collect();
    let mut rows = Vec::new();
    for name in names {
        let mut row = TopicRow { group: Some(name.clone()), ..without_group.clone() };
        for partition in partitions {
            // Without a cursor, the group begins with the oldest event.
            let group = partition.groups.iter().find(|group| group.group == *name);
            row.lag += group.map_or_else(|| partition.events(), |group| group.lag);
            row.missed += group.map_or(0, |group| group.truncated);
            row.held += usize::from(group.is_some_and(|group| group.holder.is_some()));
        }
        rows.push(row);
    }
    if rows.is_empty() { vec![without_group] } else { rows }
}

impl Topics {
    pub(super) async fn run(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        let state = store.state();
        let names: Vec<TopicName> = {
            let _spinner = Progress::spinner("looking for topics");
            all(|after| state.declared_topics(after)).await?
        };
        let progress = Progress::of("reading", names.len() as u64);
        let mut found = Vec::with_capacity(names.len());
        for topic in names {
            let partitions = state.topics().inspect(&topic).await?;
            found.extend(rows(topic, &partitions));
            progress.add(1);
        }
        drop(progress);
        output.rows(&found)
    }
}

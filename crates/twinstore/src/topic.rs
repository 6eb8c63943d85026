//! Durable topics: events in partitions, which groups of consumers read in order, each at least once.
//!
//! [`State::topic`](crate::State::topic) makes a [`Topic`], which appends events and makes [`TopicConsumer`]s. [`Topics`] is the
//! interface below it; it also shows partitions and the lag of each group, and removes groups.

pub use crate::stores::{Topic, TopicConsumer};
pub use store_core::{
    Event, EventBatch, EventId, GroupInfo, GroupName, NewEvent, PartitionInfo, PartitionLease, ReadOutcome,
    ReadRequest, SeekTo, TopicConfig, TopicName, Topics,
};

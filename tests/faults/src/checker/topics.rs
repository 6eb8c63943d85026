//! The rules for topics. After the run, the group [`AUDIT`] has read each partition from its beginning, and each other group has
//! read what it had not acknowledged.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::fences::{self, Accepted};
use super::{Findings, Rule, TOLERANCE, check_rising, deliveries, job};
use crate::AUDIT;
use crate::history::{Answer, Call, Destination, Effect, History, Micros, Operation, ReadEvent};

#[derive(Default)]
struct Topic<'a> {
    /// By event: the append or commit that may have been executed. Of several commits of one event, the first.
    appended: HashMap<&'a str, &'a Operation>,
    /// By event: the acknowledged commit that has sent it.
    sent: BTreeMap<&'a str, &'a Operation>,
    /// By event: the deliveries of its entry.
    delivered: HashMap<&'a str, Vec<&'a Operation>>,
    /// The events that may be appended twice.
    arriving_again: HashSet<&'a str>,
    /// By key: the partition of an acknowledged append.
    keys: HashMap<&'a str, (u16, &'a Operation)>,
    partitions: BTreeMap<u16, Partition<'a>>,
}

#[derive(Default)]
struct Partition<'a> {
    /// The acknowledged appends: each event with its number.
    appends: Vec<(u64, &'a str, &'a Operation)>,
    groups: BTreeMap<&'a str, Group<'a>>,
}

#[derive(Default)]
struct Group<'a> {
    reads: Vec<Read<'a>>,
    /// The reads and releases that may have been executed, with their consumers or fences.
    changes: Vec<(Holder<'a>, &'a Operation)>,
    /// The acknowledgements that count: fence and number.
    acknowledged: Vec<(u64, u64, &'a Operation)>,
}

#[derive(PartialEq, Eq)]
enum Holder<'a> {
    Consumer(&'a str),
    Fence(u64),
}

struct Read<'a> {
    operation: &'a Operation,
    consumer: &'a str,
    fence: u64,
    lasts: Micros,
    events: &'a [ReadEvent],
}

pub(super) fn check(history: &History, found: &mut Findings) {
    for (name, topic) in collect(history, found) {
        check_sent(name, &topic, found);
        for (number, partition) in &topic.partitions {
            let subject = format!("partition {number} of {name}");
            check_order(&subject, partition, found);
            check_reads(&subject, &topic, partition, found);
            check_log(&subject, partition, found);
            for (group, reads) in &partition.groups {
                let subject = format!("{group} in {subject}");
                check_again(&subject, reads, found);
                check_fences(&subject, reads, found);
                check_overlap(&subject, reads, found);
            }
        }
    }
}

/// Also checks that the events of each key are in one partition.
fn collect<'a>(history: &'a History, found: &mut Findings) -> BTreeMap<&'a str, Topic<'a>> {
    let mut topics: BTreeMap<&str, Topic<'_>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| operation.effect != Effect::None) {
        match &operation.call {
            Call::Append { topic: name, key, events } => {
                let topic = topics.entry(name).or_default();
                topic.appended.extend(events.iter().map(|event| (event.as_str(), operation)));
                let Some(Answer::Appended { partition, numbers }) = operation.answer() else { continue };
                let (before, by) = topic.keys.entry(key).or_insert((*partition, operation));
                if before != partition {
                    found.add(Rule::TopicOrder, format!("{key} of {name}"), [*by, operation]);
                }
                let events = numbers.iter().zip(events).map(|(number, event)| (*number, event.as_str(), operation));
                topic.partitions.entry(*partition).or_default().appends.extend(events);
            }
            Call::Commit { sent, .. } if deliveries::may_be_done(history, operation) => {
                for sent in sent {
                    let Destination::Event { topic, event } = &sent.to else { continue };
                    let topic = topics.entry(topic).or_default();
                    topic.appended.entry(event).or_insert(operation);
                    if operation.answer() == Some(&Answer::One(true)) {
                        topic.sent.insert(event, operation);
                    }
                }
            }
            Call::Deliver { to: Destination::Event { topic, event }, .. } => {
                let topic = topics.entry(topic).or_default();
                topic.delivered.entry(event).or_default().push(operation);
            }
            Call::ReadTopic { topic, partition, group, consumer } => {
                let group = group_of(&mut topics, topic, *partition, group);
                group.changes.push((Holder::Consumer(consumer), operation));
                if let Some(Answer::Events { fence, lasts_ms, events, .. }) = operation.answer() {
                    let (fence, lasts) = (*fence, lasts_ms * 1000);
                    group.reads.push(Read { operation, consumer, fence, lasts, events });
                }
            }
            Call::Acknowledge { topic, partition, group, fence, number }
                if operation.answer() == Some(&Answer::One(true)) =>
            {
                let group = group_of(&mut topics, topic, *partition, group);
                group.acknowledged.push((*fence, *number, operation));
            }
            Call::ReleasePartition { topic, partition, group, fence } => {
                let group = group_of(&mut topics, topic, *partition, group);
                group.changes.push((Holder::Fence(*fence), operation));
            }
            _ => {}
        }
    }
    for sent in deliveries::arriving_again(history, &job::collect(history)) {
        if let Destination::Event { topic, event } = &sent.to {
            topics.entry(topic).or_default().arriving_again.insert(event);
        }
    }
    topics
}

fn group_of<'a, 't>(
    topics: &'t mut BTreeMap<&'a str, Topic<'a>>,
    topic: &'a str,
    partition: u16,
    group: &'a str,
) -> &'t mut Group<'a> {
    topics.entry(topic).or_default().partitions.entry(partition).or_default().groups.entry(group).or_default()
}

/// The numbers of one append follow each other, and are larger than those of appends that were acknowledged before.
fn check_order(subject: &str, partition: &Partition<'_>, found: &mut Findings) {
    for pair in partition.appends.windows(2) {
        let [(one, _, first), (two, _, second)] = pair else { continue };
        if first.id == second.id && *two != *one + 1 {
            found.add(Rule::TopicOrder, subject, [*first]);
        }
    }
    let numbers: Vec<_> = partition.appends.iter().map(|(number, _, operation)| (*number, *operation)).collect();
    check_rising(Rule::TopicOrder, subject, &numbers, found);
}

/// Each event that was read was appended, has one number, and its number belongs to no other event. Those of a read follow each other.
fn check_reads(subject: &str, topic: &Topic<'_>, partition: &Partition<'_>, found: &mut Findings) {
    let mut by_number: HashMap<u64, (&str, &Operation)> = HashMap::new();
    let mut by_event: HashMap<&str, (u64, &Operation)> = HashMap::new();
    for (number, event, append) in &partition.appends {
        by_number.entry(*number).or_insert((event, append));
        by_event.entry(event).or_insert((*number, append));
    }
    for read in partition.groups.values().flat_map(|group| &group.reads) {
        if read.events.windows(2).any(|pair| pair[1].number != pair[0].number + 1) {
            found.add(Rule::TopicEventSkipped, format!("in one read of {subject}"), [read.operation]);
        }
        for ReadEvent { number, event } in read.events {
            let of_event = || format!("{event} in {subject}");
            if topic.appended.get(event.as_str()).is_none_or(|append| append.start > read.operation.end) {
                found.add(Rule::TopicEventUnknown, of_event(), [read.operation]);
            }
            let (before, by) = by_number.entry(*number).or_insert((event, read.operation));
            if before != event {
                found.add(Rule::TopicEventChanged, format!("{number} of {subject}"), [*by, read.operation]);
            }
            let (before, by) = by_event.entry(event).or_insert((*number, read.operation));
            if before != number && !topic.arriving_again.contains(event.as_str()) {
                found.add(Rule::TopicEventRepeated, of_event(), [*by, read.operation]);
            }
        }
    }
}

/// The log that was read after the run has each acknowledged event at its number, and each group has read all of the log.
fn check_log(subject: &str, partition: &Partition<'_>, found: &mut Findings) {
    let Some(last) = partition.groups.get(AUDIT).and_then(|audit| audit.reads.last()) else { return };
    let reads = partition.groups[AUDIT].reads.iter();
    let log: BTreeMap<u64, (&str, &Operation)> = reads
        .flat_map(|read| read.events.iter().map(|event| (event.number, (event.event.as_str(), read.operation))))
        .collect();
    for (number, event, append) in &partition.appends {
        if log.get(number).is_none_or(|(there, _)| there != event) {
            found.add(Rule::TopicEventLost, format!("{event} in {subject}"), [*append, last.operation]);
        }
    }
    for (name, group) in partition.groups.iter().filter(|(name, _)| **name != AUDIT) {
        let read: HashSet<&str> =
            group.reads.iter().flat_map(|read| read.events).map(|event| event.event.as_str()).collect();
        for (event, audit) in log.values().filter(|(event, _)| !read.contains(event)) {
            let last = group.reads.last().map(|read| read.operation);
            let evidence = last.into_iter().chain([*audit]);
            found.add(Rule::TopicEventSkipped, format!("{event} by {name} in {subject}"), evidence);
        }
    }
}

/// The log that was read after the run has each event that an acknowledged commit has sent.
fn check_sent(name: &str, topic: &Topic<'_>, found: &mut Findings) {
    let audits = || topic.partitions.values().filter_map(|partition| partition.groups.get(AUDIT));
    let Some(last) = audits().filter_map(|audit| audit.reads.last()).next_back() else { return };
    let there: HashSet<&str> = audits()
        .flat_map(|audit| &audit.reads)
        .flat_map(|read| read.events)
        .map(|event| event.event.as_str())
        .collect();
    for (event, commit) in topic.sent.iter().filter(|(event, _)| !there.contains(*event)) {
        let delivered = topic.delivered.get(event).into_iter().flatten();
        let evidence = delivered.chain([commit, &last.operation]).copied();
        found.add(Rule::TopicEventLost, format!("{event} of {name}"), evidence);
    }
}

/// What a group has acknowledged is not delivered to it again.
fn check_again(subject: &str, group: &Group<'_>, found: &mut Findings) {
    let mut acknowledged: Vec<_> = group.acknowledged.iter().collect();
    acknowledged.sort_by_key(|(.., operation)| operation.end);
    let mut ended = acknowledged.into_iter().peekable();
    let mut cursor: Option<(u64, &Operation)> = None;
    for read in &group.reads {
        while let Some((_, number, by)) = ended.next_if(|(.., by)| by.end < read.operation.start) {
            cursor = cursor.filter(|cursor| cursor.0 >= *number).or(Some((*number, by)));
        }
        let first = read.events.first().map(|event| event.number);
        if let (Some(first), Some((number, by))) = (first, cursor)
            && first <= number
        {
            found.add(Rule::TopicEventAgain, format!("{first} to {subject}"), [by, read.operation]);
        }
    }
}

/// The fences of a group rise, and nothing counts under an older one.
fn check_fences(subject: &str, group: &Group<'_>, found: &mut Findings) {
    let mut firsts: BTreeMap<u64, &Operation> = BTreeMap::new();
    for read in &group.reads {
        let first = firsts.entry(read.fence).or_insert(read.operation);
        *first = if read.operation.end < first.end { read.operation } else { *first };
    }
    let takes: Vec<_> = firsts.into_iter().collect();
    check_rising(Rule::TopicFence, subject, &takes, found);
    let reads = group.reads.iter().map(|read| (read.fence, read.operation));
    let acknowledged = group.acknowledged.iter().map(|(fence, _, operation)| (*fence, *operation));
    let writes: Vec<_> = reads
        .chain(acknowledged)
        .map(|(fence, operation)| Accepted { fence, start: operation.start, operation })
        .collect();
    fences::check(Rule::TopicStale, subject, &takes, &writes, found);
}

/// While the lease of a consumer lasts, no other one takes the partition.
fn check_overlap(subject: &str, group: &Group<'_>, found: &mut Findings) {
    for read in &group.reads {
        // its own later reads and its release may end the lease earlier
        let own = group.changes.iter().filter(|(holder, change)| {
            change.id != read.operation.id
                && (*holder == Holder::Consumer(read.consumer) || *holder == Holder::Fence(read.fence))
        });
        let ends = own.filter(|(_, change)| change.latest() > read.operation.start).map(|(_, change)| change.start);
        let until = ends.fold(read.operation.start + read.lasts, Micros::min);
        let newer =
            group.reads.iter().find(|other| other.fence > read.fence && other.operation.end + TOLERANCE < until);
        if let Some(newer) = newer {
            found.add(Rule::TopicOverlap, subject, [read.operation, newer.operation]);
        }
    }
}

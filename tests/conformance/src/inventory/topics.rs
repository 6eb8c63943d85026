//! Listing the topics.

use std::collections::BTreeSet;

use store_core::{Cursor, Durability, Key, NewEvent, Op, TopicConfig, TopicName};
use tokio::task::JoinSet;

use super::{listed, spelled};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

cases! { Op::InventoryDeclaredTopics;
    a_topic_is_listed_from_its_declaration,
    a_topic_whose_partitions_have_expired_is_listed,
    a_topic_that_was_not_declared_is_not_listed,
    more_topics_than_one_step_shows_are_all_listed,
    a_foreign_cursor_is_refused,
}

listed!(declared_topics);

fn topic(fixture: &Fixture, name: &str) -> TopicName {
    TopicName::new(fixture.text(name)).expect("invariant: cases use short plain names")
}

async fn declared(fixture: &Fixture, name: &str, partitions: u16) -> Result<TopicName, BrokenPromise> {
    let topic = topic(fixture, name);
    fixture.state.topics().declare(&topic, &TopicConfig::default().with_partitions(partitions)).await?;
    Ok(topic)
}

/// Appends an event to each partition, or to most of them.
async fn filled(fixture: &Fixture, topic: &TopicName) -> Result<(), BrokenPromise> {
    let key = |number: i32| Key::new(number.to_string()).expect("invariant: a number is a key");
    let events: Vec<_> = (0..20).map(|number| NewEvent::new("x").with_key(key(number))).collect();
    let appended = fixture.state.topics().append(topic, &events, Durability::Accepted).await?.value;
    check_eq!(appended.len(), events.len());
    Ok(())
}

async fn a_topic_is_listed_from_its_declaration(fixture: Fixture) -> Verdict {
    let (empty, full, next) = (
        declared(&fixture, "orders", 1).await?,
        declared(&fixture, "orders.1", 4).await?,
        declared(&fixture, "orders.1.0", 1).await?,
    );
    filled(&fixture, &full).await?;
    filled(&fixture, &next).await?;
    let listed = listed(&fixture).await?;
    for topic in [empty, full, next] {
        check!(listed.contains(&spelled(&topic)), "{topic} is not among {listed:?}");
    }
    Ok(())
}

async fn a_topic_whose_partitions_have_expired_is_listed(fixture: Fixture) -> Verdict {
    let topic = declared(&fixture, "quiet", 2).await?;
    filled(&fixture, &topic).await?;
    fixture.advance(TopicConfig::default().max_age * 3);
    check_eq!(fixture.state.topics().inspect(&topic).await?.iter().map(|it| it.events()).sum::<u64>(), 0);
    check!(listed(&fixture).await?.contains(&spelled(&topic)));
    Ok(())
}

async fn a_topic_that_was_not_declared_is_not_listed(fixture: Fixture) -> Verdict {
    let unknown = topic(&fixture, "unknown");
    check!(fixture.state.topics().inspect(&unknown).await.is_err());
    declared(&fixture, "known", 1).await?;
    check!(!listed(&fixture).await?.contains(&spelled(&unknown)));
    Ok(())
}

async fn more_topics_than_one_step_shows_are_all_listed(fixture: Fixture) -> Verdict {
    let names: Vec<TopicName> = (0..1100).map(|number| topic(&fixture, &number.to_string())).collect();
    let mut declarations = JoinSet::new();
    for name in names.clone() {
        let state = fixture.state.clone();
        declarations.spawn(async move { state.topics().declare(&name, &TopicConfig::default()).await });
    }
    while let Some(declared) = declarations.join_next().await {
        declared.map_err(|panic| BrokenPromise::new(panic.to_string()))??;
    }
    let listed = listed(&fixture).await?;
    let missing: Vec<_> = names.iter().filter(|name| !listed.contains(&spelled(name))).collect();
    check!(missing.is_empty(), "{} topics are missing, such as {:?}", missing.len(), missing[0]);
    Ok(())
}

async fn a_foreign_cursor_is_refused(fixture: Fixture) -> Verdict {
    for text in ["", "-", "dead.17.61", " ", " a{b"] {
        check!(fixture.state.declared_topics(Some(Cursor::new(text))).await.is_err(), "{text:?} was accepted");
    }
    Ok(())
}

//! Hostile texts as topics, groups, keys and payloads.

use store_core::{Durability, NewEvent, ReadRequest, SeekTo, TopicConfig, TopicName};

use super::Texts;
use crate::fixture::{Fixture, holder};
use crate::verdict::{Verdict, check, check_eq};

/// Every operation on topics. Each round begins behind the events of the one before.
pub(super) async fn play(fixture: &Fixture, texts: &Texts) -> Verdict {
    let (topics, accepted) = (fixture.state.topics(), Durability::Accepted);
    let name = TopicName::new(fixture.text(&format!("{}-{}", texts.word(texts.task), texts.task)))?;
    let group = store_core::GroupName::new(texts.word(0))?;
    topics.declare(&name, &TopicConfig::default()).await?;
    topics.seek(&name, &group, SeekTo::End).await?;
    let event = |index| -> Result<NewEvent, store_core::NameError> {
        Ok(NewEvent::new(texts.bytes(index + 1)).with_key(store_core::Key::new(texts.word(index))?))
    };
    let events = (0..4).map(event).collect::<Result<Vec<_>, _>>()?;
    let ids = topics.append(&name, &events, accepted).await?.value;
    let request = ReadRequest::new(name.clone(), 0, group.clone(), holder(texts.word(2)));
    let batch = topics.read(&request).await?.events().ok_or_else(|| crate::BrokenPromise::new("it is taken"))?;
    let read: Vec<_> = batch.events.iter().map(|event| (event.id, event.key.clone(), event.payload.clone())).collect();
    let expected = ids.iter().zip(events).map(|(id, event)| (*id, event.key, event.payload));
    check_eq!(read, expected.collect::<Vec<_>>());
    let shown = topics.inspect(&name).await?.remove(0).groups;
    check_eq!(shown.iter().map(|info| info.group.as_str()).collect::<Vec<_>>(), [texts.word(0)]);
    check_eq!(shown[0].holder, Some(holder(texts.word(2))));
    check!(topics.acknowledge(&batch.lease, ids[3].number, accepted).await?.value);
    topics.release(&batch.lease).await?;
    topics.remove_group(&name, &group).await?;
    Ok(())
}

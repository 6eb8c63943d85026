//! Hostile texts as names and messages of broadcasts.

use store_core::{BroadcastEvent, BroadcastName};

use super::Texts;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check_eq};

/// Every operation on broadcasts.
pub(super) async fn play(fixture: &Fixture, texts: &Texts) -> Verdict {
    let broadcasts = fixture.state.broadcasts();
    let name = BroadcastName::new(fixture.text(&format!("{}-{}", texts.word(texts.task), texts.task)))?;
    let mut listener = broadcasts.listen(&name).await?;
    for message in (0..4).map(|index| texts.bytes(index)) {
        broadcasts.publish(&name, &message).await?;
        check_eq!(listener.next().await?, BroadcastEvent::Message(message));
    }
    Ok(())
}

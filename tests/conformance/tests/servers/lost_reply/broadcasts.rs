//! The writes of broadcasts.

use bytes::Bytes;
use store_core::{BroadcastEvent, BroadcastName};

use super::World;

/// The message is published twice. The listener gets it once, before the next one.
pub(super) async fn publish(world: World) {
    let (broadcasts, name) = (world.stores.state.broadcasts(), BroadcastName::new(world.place).unwrap());
    let mut listener = broadcasts.listen(&name).await.unwrap();
    let message = |text: &'static str| Bytes::from_static(text.as_bytes());
    broadcasts.publish(&name, &message("first")).await.unwrap();
    assert_eq!(world.lost(broadcasts.publish(&name, &message("second"))).await.unwrap(), 1);
    broadcasts.publish(&name, &message("third")).await.unwrap();
    for text in ["first", "second", "third"] {
        assert_eq!(listener.next().await.unwrap(), BroadcastEvent::Message(message(text)));
    }
}

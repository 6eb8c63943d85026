//! The writes of broadcasts.

use bytes::Bytes;
use store_core::{BroadcastEvent, BroadcastName};

use super::World;

/// The late copy is not marked as a repetition, so a listener that got it would return it.
pub(super) async fn publish_then_publish(world: World) {
    let (broadcasts, name) = (world.stores.state.broadcasts(), BroadcastName::new(world.text("control")).unwrap());
    let mut listener = broadcasts.listen(&name).await.unwrap();
    let message = |text: &'static str| Bytes::from_static(text.as_bytes());
    world.held(broadcasts.publish(&name, &message("first"))).await;
    world.arrives().await;
    broadcasts.publish(&name, &message("second")).await.unwrap();
    for text in ["first", "second"] {
        assert_eq!(listener.next().await.unwrap(), BroadcastEvent::Message(message(text)));
    }
}

//! The writes of resume tokens.

use store_core::{Durability, Fence, SaveRequest, StreamName, TokenOutcome, TokenVersion};

use super::World;

const FENCE: Fence = Fence::new(7);

fn stream(world: &World) -> StreamName {
    StreamName::new(world.place).unwrap()
}

/// Saves a first token.
async fn saved(world: &World, token: &'static str) -> TokenVersion {
    let save = SaveRequest::new(stream(world), token, FENCE, None);
    world.stores.state.save(&save, Durability::Accepted).await.unwrap().value.done().unwrap().version
}

pub(super) async fn save(world: World) {
    let (state, stream) = (&world.stores.state, stream(&world));
    let mut expected = None;
    for token in ["1", "2"] {
        let save = SaveRequest::new(stream.clone(), token, FENCE, expected);
        let saved = world.lost(state.save(&save, Durability::Accepted)).await.unwrap().value.done();
        let info = saved.expect("the repetition is no conflict with the first copy");
        let stored = state.load(&stream).await.unwrap().unwrap();
        assert_eq!((stored.info.version, stored.token.as_ref()), (info.version, token.as_bytes()));
        expected = Some(info.version);
    }
    // a save that was refused is refused again
    let wrong = SaveRequest::new(stream.clone(), "3", FENCE, None);
    let refused = world.lost(state.save(&wrong, Durability::Accepted)).await.unwrap().value;
    assert_eq!(refused, TokenOutcome::Conflict(state.load(&stream).await.unwrap()));
}

pub(super) async fn take_over(world: World) {
    let (state, stream) = (&world.stores.state, stream(&world));
    assert_eq!(world.lost(state.take_over(&stream, FENCE)).await.unwrap(), TokenOutcome::Done(None));
    saved(&world, "1").await;
    let later = Fence::new(8);
    let resumed = world.lost(state.take_over(&stream, later)).await.unwrap().done().flatten().unwrap();
    assert_eq!((resumed.info.fence, resumed.token.as_ref()), (later, b"1".as_slice()));
}

pub(super) async fn clear(world: World) {
    let (state, stream) = (&world.stores.state, stream(&world));
    for fence in [Some(FENCE), None] {
        let version = saved(&world, "1").await;
        assert_eq!(world.lost(state.clear(&stream, version, fence)).await.unwrap(), TokenOutcome::Done(()));
        assert_eq!(state.load(&stream).await.unwrap(), None);
    }
}

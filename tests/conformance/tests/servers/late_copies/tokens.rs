//! The writes of resume tokens.

use store_core::{Durability, Fence, ResumeTokenInfo, SaveRequest, StreamName, TokenOutcome, TokenVersion};

use super::World;

const FENCE: Fence = Fence::new(7);
const LATER: Fence = Fence::new(8);

fn request(world: &World, token: &'static str, expected: Option<TokenVersion>) -> SaveRequest {
    SaveRequest::new(stream(world), token, FENCE, expected)
}

fn stream(world: &World) -> StreamName {
    StreamName::new(world.text("stream")).unwrap()
}

async fn saved(world: &World, request: &SaveRequest) -> ResumeTokenInfo {
    world.stores.state.save(request, Durability::Accepted).await.unwrap().value.done().unwrap()
}

async fn save_held(world: &World) -> ResumeTokenInfo {
    let request = request(world, "held", None);
    world.held(world.stores.state.save(&request, Durability::Accepted)).await.value.done().unwrap()
}

async fn shown(world: &World) -> Option<(Fence, bytes::Bytes)> {
    world.stores.state.load(&stream(world)).await.unwrap().map(|token| (token.info.fence, token.token))
}

pub(super) async fn save_then_save(world: World) {
    let first = save_held(&world).await;
    saved(&world, &request(&world, "next", Some(first.version))).await;
    world.arrives().await;
    assert_eq!(shown(&world).await, Some((FENCE, "next".into())));
}

pub(super) async fn save_then_clear(world: World) {
    let first = save_held(&world).await;
    let cleared = world.stores.state.clear(&stream(&world), first.version, Some(FENCE)).await.unwrap();
    assert_eq!(cleared, TokenOutcome::Done(()));
    world.arrives().await;
    assert_eq!(shown(&world).await, None);
}

pub(super) async fn take_over_then_take_over(world: World) {
    saved(&world, &request(&world, "1", None)).await;
    let (state, stream) = (&world.stores.state, stream(&world));
    assert!(world.held(state.take_over(&stream, FENCE)).await.done().flatten().is_some());
    assert!(state.take_over(&stream, LATER).await.unwrap().done().flatten().is_some());
    world.arrives().await;
    assert_eq!(shown(&world).await, Some((LATER, "1".into())));
}

pub(super) async fn clear_then_save(world: World) {
    let first = saved(&world, &request(&world, "1", None)).await;
    let (state, stream) = (&world.stores.state, stream(&world));
    assert_eq!(world.held(state.clear(&stream, first.version, None)).await, TokenOutcome::Done(()));
    saved(&world, &request(&world, "2", None)).await;
    world.arrives().await;
    assert_eq!(shown(&world).await, Some((FENCE, "2".into())));
}

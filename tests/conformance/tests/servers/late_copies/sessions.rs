//! The writes of sessions. A call of several scripts has a late copy of one that writes.

use std::time::Duration;

use store_core::{AgentName, Durability, PageRequest, Session, SessionId, SessionSave, Sessions, Ttl};

use super::World;

const ACCEPTED: Durability = Durability::Accepted;

fn ann() -> SessionId {
    SessionId::new("ann").unwrap()
}

fn new(state: &'static str) -> SessionSave {
    SessionSave::new(ann(), AgentName::new("planner").unwrap(), state).with_ttl(Ttl::from_secs(60))
}

impl World {
    fn sessions(&self) -> &dyn Sessions {
        self.stores.state.sessions()
    }

    async fn session_saved(&self, save: &SessionSave) -> Session {
        self.sessions().save(save, ACCEPTED).await.unwrap().value.saved().unwrap()
    }

    /// The state, and how many sessions are listed.
    async fn session(&self) -> (Option<String>, usize) {
        let state = self.sessions().get(&ann()).await.unwrap().and_then(|session| session.state);
        let listed = self.sessions().list(None, PageRequest::default()).await.unwrap().items.len();
        (state.map(|state| String::from_utf8(state.into()).unwrap()), listed)
    }
}

pub(super) async fn save_then_save(world: World) {
    let first = world.session_saved(&new("one")).await;
    let save = new("two").at_version(first.version);
    let second = world.held_behind(0, world.sessions().save(&save, ACCEPTED)).await.value.saved().unwrap();
    world.session_saved(&new("three").at_version(second.version)).await;
    world.arrives().await;
    assert_eq!(world.session().await, (Some("three".to_owned()), 1));
}

pub(super) async fn first_save_then_delete(world: World) {
    let saved = world.held_behind(1, world.sessions().save(&new("one"), ACCEPTED)).await.value;
    assert!(saved.saved().is_some() && world.sessions().delete(&ann()).await.unwrap());
    world.arrives().await;
    assert_eq!(world.session().await, (None, 0));
}

pub(super) async fn delete_then_save(world: World) {
    world.session_saved(&new("one")).await;
    assert!(world.held_behind(1, world.sessions().delete(&ann())).await);
    world.session_saved(&new("two")).await;
    world.arrives().await;
    assert_eq!(world.session().await, (Some("two".to_owned()), 1));
}

pub(super) async fn sweep_then_save(world: World) {
    let (world, clock) = world.on_manual_clock().await;
    world.session_saved(&new("one")).await;
    clock.advance(Duration::from_secs(71));
    assert_eq!(world.held_behind(2, world.sessions().sweep()).await, 0);
    world.session_saved(&new("two")).await;
    world.arrives().await;
    assert_eq!(world.session().await, (Some("two".to_owned()), 1));
}

pub(super) async fn clear_then_save(world: World) {
    world.session_saved(&new("one")).await;
    assert_eq!(world.held_behind(2, world.sessions().clear("", None)).await.removed, 1);
    world.session_saved(&new("two")).await;
    world.arrives().await;
    assert_eq!(world.session().await, (Some("two".to_owned()), 1));
}

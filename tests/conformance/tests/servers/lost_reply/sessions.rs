//! The writes of sessions. A call of several scripts loses the reply to each of them in turn.

use std::time::Duration;

use store_core::{AgentName, Durability, PageRequest, Session, SessionId, SessionSave, Sessions, Ttl};

use super::World;

const ACCEPTED: Durability = Durability::Accepted;

impl World {
    fn sessions(&self) -> &dyn Sessions {
        self.stores.state.sessions()
    }

    fn new_session(&self, name: &str, state: &'static str) -> SessionSave {
        let (id, agent) = (format!("{}-{name}", self.place), AgentName::new(self.place).unwrap());
        SessionSave::new(SessionId::new(id).unwrap(), agent, state).with_ttl(Ttl::from_secs(60))
    }

    async fn session_saved(&self) -> Session {
        self.sessions().save(&self.new_session("1", "one"), ACCEPTED).await.unwrap().value.saved().unwrap()
    }

    async fn sessions_listed(&self) -> usize {
        let agent = AgentName::new(self.place).unwrap();
        self.sessions().list(Some(&agent), PageRequest::default()).await.unwrap().items.len()
    }
}

pub(super) async fn save(world: World) {
    for (number, skipped) in [0, 1].into_iter().enumerate() {
        let first = world.new_session(&skipped.to_string(), "one");
        let saved = world.lost_behind(skipped, world.sessions().save(&first, ACCEPTED)).await.value;
        let version = saved.saved().unwrap().version;
        assert_eq!(world.sessions_listed().await, number + 1);
        let second = world.new_session(&skipped.to_string(), "two").at_version(version);
        let saved = world.lost_behind(0, world.sessions().save(&second, ACCEPTED)).await.value.saved().unwrap();
        // It was done once: the next version is that of the first copy.
        let read = world.sessions().get(&second.session).await.unwrap().unwrap();
        assert_eq!((read.version, read.state.as_deref()), (saved.version, Some(&b"two"[..])));
        // One that was refused is refused again.
        assert!(
            world
                .lost_behind(
                    0,
                    world.sessions().save(&second.with_request(store_core::RequestId::generate()), ACCEPTED)
                )
                .await
                .value
                .saved()
                .is_none()
        );
    }
}

pub(super) async fn delete(world: World) {
    // It reads the session, deletes it, and removes its entries.
    for skipped in [0, 1, 2] {
        let session = world.session_saved().await.session;
        assert!(world.lost_behind(skipped, world.sessions().delete(&session)).await);
        assert_eq!((world.sessions().get(&session).await.unwrap(), world.sessions_listed().await), (None, 0));
    }
}

pub(super) async fn sweep(world: World) {
    // It finds the session, reads it, and removes its entries.
    for skipped in [0, 1, 2] {
        world.session_saved().await;
        world.clock.advance(Duration::from_secs(71));
        assert_eq!(world.lost_behind(skipped, world.sessions().sweep()).await, 0);
        assert_eq!(world.sessions_listed().await, 0);
    }
}

pub(super) async fn clear(world: World) {
    // It lists the session, and deletes it.
    for skipped in [0, 1, 2, 3] {
        world.session_saved().await;
        assert_eq!(world.lost_behind(skipped, world.sessions().clear(world.place, None)).await.removed, 1);
        assert_eq!(world.sessions_listed().await, 0);
    }
}

//! A record is damaged, for example by an operator, and is deleted.

use store_core::{AgentName, NewRun, RunId, SessionId, SessionSave};

use super::{ACCEPTED, TTL, World};

impl World {
    /// Overwrites the record whose key has this end.
    async fn damage(&self, end: &str) {
        let state = &self.servers[1];
        let keys = state.command(&["KEYS", &format!("*{end}")]).await.unwrap().as_strings().unwrap();
        assert_eq!(keys.len(), 1, "{keys:?}");
        state.command(&["HSET", &keys[0], "run", "1damaged"]).await.unwrap();
    }
}

/// The record is created again before the repetition. A deletion is two scripts: the first looks at the record.
pub(super) async fn delete_run(world: World) {
    let (runs, id) = (world.stores.state.runs(), RunId::new(world.place).unwrap());
    let create = async || {
        let new = NewRun::new(id.clone(), AgentName::new(world.place).unwrap());
        assert!(runs.create(&new, ACCEPTED).await.unwrap().value.done().is_some());
    };
    create().await;
    world.damage(&format!("{{r.{id}}}:run")).await;
    assert!(world.between_behind(1, runs.delete(&id), create()).await);
    assert!(runs.get(&id).await.unwrap().is_some(), "the later run stays");
    assert!(runs.delete(&id).await.unwrap());
}

pub(super) async fn delete_session(world: World) {
    let (sessions, id) = (world.stores.state.sessions(), SessionId::new(world.place).unwrap());
    let save = async || {
        let save = SessionSave::new(id.clone(), AgentName::new(world.place).unwrap(), "signed in").with_ttl(TTL);
        assert!(sessions.save(&save, ACCEPTED).await.unwrap().value.saved().is_some());
    };
    save().await;
    world.damage(&format!("{{s.{id}}}:session")).await;
    assert!(world.between_behind(1, sessions.delete(&id), save()).await);
    assert!(sessions.get(&id).await.unwrap().is_some(), "the later session stays");
}

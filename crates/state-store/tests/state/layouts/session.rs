//! The records of sessions, which have the layout of runs.

use redis_link::layout::Aggregate;
use state_store::StateStore;
use store_core::{
    AgentName, Durability, Error, PageRequest, RequestId, SessionId, SessionOutcome, SessionSave, Sessions, Ttl,
};

fn new() -> SessionSave {
    let save = SessionSave::new(SessionId::new("ann").unwrap(), AgentName::new("planner").unwrap(), "a\0b");
    save.with_ttl(Ttl::from_secs(3600)).with_request(RequestId::from_bytes(*b"0123456789abcdef"))
}

pub(super) async fn write(store: &StateStore) {
    let first = store.save(&new(), Durability::Accepted).await.unwrap().value.saved().unwrap();
    let mut second = new().at_version(first.version);
    second.state = "Hello".into();
    let second = second.with_request(RequestId::from_bytes(*b"fedcba9876543210"));
    assert!(store.save(&second, Durability::Accepted).await.unwrap().value.saved().is_some());
}

pub(super) async fn read(store: &StateStore) {
    let ann = store.get(&new().session).await.unwrap().unwrap();
    assert_eq!((ann.agent.as_str(), ann.state.as_deref()), ("planner", Some(&b"Hello"[..])));
    let first = store.save(&new(), Durability::Accepted).await.unwrap().value;
    assert!(matches!(first, SessionOutcome::Changed(now) if now.version == ann.version));
    let page = store.list(Some(&ann.agent), PageRequest::default()).await.unwrap();
    assert_eq!(page.items.iter().map(|found| found.version).collect::<Vec<_>>(), [ann.version]);
}

/// Every operation that meets a record of another layout. A first save writes entries of listings before it meets one.
pub(super) async fn refusals(store: &StateStore) -> Vec<(Aggregate, Result<(), Error>)> {
    let accepted = Durability::Accepted;
    let listed = store.list(None, PageRequest::default()).await.unwrap();
    assert_eq!((listed.items.len(), listed.unreadable), (0, vec![new().session]));
    let refusals = [
        store.save(&new().at_version(1), accepted).await.map(drop),
        store.get(&new().session).await.map(drop),
        store.delete(&new().session).await.map(drop),
    ];
    refusals.map(|refusal| (Aggregate::Run, refusal)).into()
}

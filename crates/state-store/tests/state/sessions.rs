//! Sessions: first saves that are refused, scripts that are interrupted after each write.

use std::time::Duration;

use store_core::{
    AgentName, Durability, PageRequest, Result, Session, SessionId, SessionOutcome, SessionSave, Sessions, Ttl,
};
use testkit::{Interruption, RedisServer};

use crate::interrupting::Interrupting;
use crate::{Fixture, fixture};
use state_store::StateStore;

const MINUTE: Duration = Duration::from_secs(60);

fn id(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

fn new(name: &str) -> SessionSave {
    SessionSave::new(id(name), AgentName::new("planner").unwrap(), "Hello").with_ttl(Ttl::from_secs(60))
}

async fn save(store: &StateStore, save: &SessionSave) -> Result<SessionOutcome> {
    Ok(store.save(save, Durability::Accepted).await?.value)
}

async fn saved(store: &StateStore, request: &SessionSave) -> Session {
    save(store, request).await.unwrap().saved().unwrap()
}

async fn listed(store: &StateStore) -> Vec<String> {
    let page = Sessions::list(store, None, PageRequest::default()).await.unwrap();
    page.items.iter().map(|session| session.session.to_string()).collect()
}

/// How many commands have written.
async fn writes(server: &RedisServer) -> u64 {
    let calls = server.command_calls().await.unwrap();
    let of = |command: &&str| calls.get(*command).copied().unwrap_or_default();
    ["hset", "zadd", "zrem", "zremrangebyscore", "unlink"].iter().map(of).sum()
}

/// A reader between two pages does not miss it.
#[tokio::test]
async fn a_first_save_of_a_session_that_exists_writes_nothing() {
    let Fixture { server, store, .. } = fixture().await;
    let ann = new("ann");
    for request in [&ann, &new("ben")] {
        saved(&store, request).await;
    }
    let before = writes(&server).await;
    let mut other = new("ann");
    other.agent = AgentName::new("booker").unwrap();
    for refused in [new("ann"), other] {
        assert!(matches!(save(&store, &refused).await.unwrap(), SessionOutcome::Changed(_)));
    }
    assert_eq!(writes(&server).await, before);
    // A repetition writes the same again.
    saved(&store, &ann).await;
    assert!(writes(&server).await > before);
    assert_eq!(listed(&store).await, ["ben", "ann"]);
}

#[tokio::test]
async fn sessions_that_cannot_be_read_hold_up_no_listing_and_no_deletion() {
    let Fixture { server, store, .. } = fixture().await;
    for name in ["ann", "ben", "eve"] {
        saved(&store, &new(name)).await;
    }
    server.command(&["HSET", "test:{s.ben}:session", "run", "1canary"]).await.unwrap();
    let page = Sessions::list(&store, None, PageRequest::default()).await.unwrap();
    assert_eq!((page.items.len(), page.unreadable), (2, vec![id("ben")]));
    assert!(Sessions::delete(&store, &id("ben")).await.unwrap());
    assert_eq!(Sessions::clear(&store, "", None).await.unwrap().removed, 2);
}

/// The state of a session before a call.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    Saved,
    Expired,
}

/// Each call that writes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Call {
    First,
    Save,
    Delete,
    Clear,
    Sweep,
}

/// The requests of one session, whose repetitions are the same requests.
struct Requests {
    first: SessionSave,
    second: SessionSave,
}

impl Interrupting {
    async fn session(&self, before: Before) -> Requests {
        let mut version = 0;
        if !matches!(before, Before::Nothing) {
            version = saved(&self.store, &new("ann")).await.version;
        }
        if matches!(before, Before::Expired) {
            self.clock.advance(MINUTE + Duration::from_secs(11));
        }
        let mut second = new("ann").at_version(version);
        second.state = "Hello again".into();
        Requests { first: new("ann"), second }
    }

    async fn call_on_session(&self, call: Call, requests: &Requests) -> Result<String> {
        let word = |outcome: SessionOutcome| outcome.saved().map_or("refused", |_| "saved").to_owned();
        Ok(match call {
            Call::First => word(save(&self.store, &requests.first).await?),
            Call::Save => word(save(&self.store, &requests.second).await?),
            Call::Delete => {
                // The repetition by a caller finds nothing.
                Sessions::delete(&self.store, &id("ann")).await?;
                "deleted".to_owned()
            }
            Call::Clear => {
                Sessions::clear(&self.store, "a", None).await?;
                "cleared".to_owned()
            }
            Call::Sweep => Sessions::sweep(&self.store).await?.to_string(),
        })
    }

    async fn session_shown(&self) -> Option<String> {
        let session = Sessions::get(&self.store, &id("ann")).await.unwrap()?;
        Some(String::from_utf8_lossy(&session.state.unwrap()).into_owned())
    }
}

/// A repetition leads where the script would have led. Without one, the session is as before the call or as after it, every session is
/// listed, and a sweep removes what names no session.
#[tokio::test]
async fn a_script_that_is_interrupted_after_any_write_can_be_repeated() {
    let fixture = Interrupting::start().await;
    let clean = async || {
        for key in fixture.keys("test:{*").await {
            fixture.server.command(&["DEL", &key]).await.unwrap();
        }
    };
    // Loads the scripts.
    let warm = saved(&fixture.store, &new("warm")).await;
    saved(&fixture.store, &new("warm").at_version(warm.version)).await;
    assert!(Sessions::delete(&fixture.store, &warm.session).await.unwrap());
    let calls = [
        ("run/index", Call::First, Before::Nothing),
        ("run/index", Call::First, Before::Expired),
        ("run/create", Call::First, Before::Nothing),
        ("run/create", Call::First, Before::Expired),
        ("run/write", Call::Save, Before::Saved),
        ("run/delete", Call::Delete, Before::Saved),
        ("run/tidy", Call::Delete, Before::Saved),
        ("run/delete", Call::Clear, Before::Saved),
        ("run/tidy", Call::Clear, Before::Saved),
        ("run/tidy", Call::Sweep, Before::Expired),
    ];
    for (script, call, before) in calls {
        // What happens if nothing is interrupted.
        clean().await;
        let requests = fixture.session(before).await;
        let start = fixture.session_shown().await;
        let answer = fixture.call_on_session(call, &requests).await.unwrap();
        let end = fixture.session_shown().await;
        let round = async |interruption: &mut Interruption<'_>| {
            clean().await;
            let requests = fixture.session(before).await;
            let outcome = interruption.during(fixture.call_on_session(call, &requests)).await;
            if outcome.is_err() {
                let shown = fixture.session_shown().await;
                assert!(shown == start || shown == end, "{shown:?}");
                assert_eq!(listed(&fixture.store).await.len(), usize::from(shown.is_some()), "every session is listed");
            }
            // The caller repeats it, if nobody has.
            assert_eq!(fixture.call_on_session(call, &requests).await.unwrap(), answer);
            assert!(outcome.as_ref().is_ok_and(|got| *got == answer) || outcome.is_err());
            assert_eq!(fixture.session_shown().await, end);
            assert_eq!(listed(&fixture.store).await.len(), usize::from(end.is_some()));
            fixture.clock.advance(2 * MINUTE);
            assert_eq!(Sessions::sweep(&fixture.store).await.unwrap(), 0);
            assert_eq!(fixture.keys("test:{x*").await, [""; 0], "an entry of a listing is left");
        };
        let writes = fixture.proxy.at_each_write(script, format!("{call:?} {before:?}"), round).await;
        assert!(writes > 0, "{script} writes");
    }
}

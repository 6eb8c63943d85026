//! A store whose scripts can be interrupted after each of their writes. Redis runs scripts whole; another server may keep the first
//! writes of one.

use store_core::{Clock, ManualClock, Timestamp};
use testkit::{RedisServer, ScriptProxy};

use crate::open;
use state_store::{StateOptions, StateStore};

pub(crate) struct Interrupting {
    pub(crate) server: RedisServer,
    pub(crate) proxy: ScriptProxy,
    pub(crate) store: StateStore,
    pub(crate) clock: ManualClock,
}

impl Interrupting {
    pub(crate) async fn start() -> Self {
        let server = RedisServer::state().start().await.unwrap();
        let proxy = ScriptProxy::start(&server).await.unwrap();
        let clock = ManualClock::new(Timestamp::from_millis(1_700_000_040_000));
        let options = StateOptions::default().with_clock(Clock::Manual(clock.clone()));
        let store = open(&proxy.url(), options).await.unwrap();
        Self { server, proxy, store, clock }
    }

    /// The keys that match a pattern.
    pub(crate) async fn keys(&self, pattern: &str) -> Vec<String> {
        self.server.command(&["KEYS", pattern]).await.unwrap().as_strings().unwrap()
    }

    /// The keys that match, without the remembered calls, which end soon.
    pub(crate) async fn lasting_keys(&self, pattern: &str) -> Vec<String> {
        let mut keys = self.keys(pattern).await;
        for call in keys.extract_if(.., |key| key.contains(":call:")) {
            let ttl = self.server.command(&["PTTL", &call]).await.unwrap().as_integer().unwrap();
            assert!(ttl <= 60_000 && ttl != -1, "{call}: {ttl}");
        }
        keys
    }
}

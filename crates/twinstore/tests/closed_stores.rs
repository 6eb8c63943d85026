//! What closed embedded stores answer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use twinstore::name::HandleName;
use twinstore::prelude::*;

/// A job of the tests.
#[derive(serde::Serialize, serde::Deserialize)]
struct Number(u32);

impl JobType for Number {
    const QUEUE: &'static str = "numbers";
}

fn environment(cache: &str, state: &str) -> Environment {
    Environment::from_variables([
        ("SERVICE_NAME", "billing"),
        ("REDIS_CONN_BASE_URL", cache),
        ("REDIS_WORKERCACHE_CONN_URL", state),
    ])
}

#[tokio::test]
async fn closed_embedded_stores_refuse_calls_and_give_their_files_back() {
    let folder = std::env::temp_dir().join(format!("twinstore-closed-{}", JobId::generate()));
    std::fs::create_dir(&folder).unwrap();
    let url = |name: &str| format!("embedded:{}", folder.join(name).display());
    let in_files = environment(&url("cache.redb"), &url("state.redb"));
    for environment in [in_files, environment("embedded:", "embedded:")] {
        for _ in 0..2 {
            let stores = Stores::open(&environment).await.unwrap();
            let numbers = stores.state().queue_of::<Number>();
            numbers.push(&Number(7)).await.unwrap();
            let values = stores.cache().values::<u32>(HandleName::new("numbers").unwrap(), Ttl::from_secs(60));
            values.set(&Key::new("k").unwrap(), &7).await.unwrap();
            stores.clone().close().await;
            assert!(matches!(numbers.push(&Number(7)).await, Err(Error::Unavailable { .. })));
            assert!(matches!(values.set(&Key::new("k").unwrap(), &7).await, Err(Error::Unavailable { .. })));
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

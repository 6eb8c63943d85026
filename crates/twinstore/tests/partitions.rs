//! The number of partitions of a queue, which services declare in code.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod service;

use testkit::RedisServer;
use twinstore::config::StoresOptions;
use twinstore::prelude::*;

#[tokio::test]
async fn a_service_that_declares_another_number_of_partitions_is_refused() {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let environment = service::environment(&cache, &state, &[]);
    let name = QueueName::new("numbers").unwrap();
    let push = async |options: StoresOptions| {
        let stores = Stores::open_with(&environment, options).await.unwrap();
        let answer = stores.state().queue().push_one(&name, NewJob::new("1")).await;
        stores.close().await;
        answer
    };
    let declaring = |partitions| StoresOptions::new().with_partitions(name.clone(), partitions);

    assert!(push(declaring(3)).await.unwrap().is_new());
    let shape = state.command(&["HGET", "tw:{q.numbers.0}:meta", "shape"]).await.unwrap();
    assert!(shape.as_str().unwrap().starts_with("4:3:"), "{shape:?}");
    let error = push(declaring(4)).await.unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
    assert!(error.to_string().contains("the queue has 3 partitions, and this service declares 4"), "{error}");
    assert!(push(declaring(3)).await.unwrap().is_new());
    assert!(push(StoresOptions::new()).await.unwrap().is_new());
}

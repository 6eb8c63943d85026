//! A service on two servers.

use testkit::RedisServer;
use twinstore::prelude::*;

/// The environment of the service, with more variables.
pub(crate) fn environment(cache: &RedisServer, state: &RedisServer, more: &[(&str, &str)]) -> Environment {
    let own = [
        ("SERVICE_NAME", "billing".to_owned()),
        ("REDIS_CONN_BASE_URL", cache.url(None)),
        ("REDIS_CACHE_DB", "3".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL", state.url(None)),
    ];
    Environment::from_variables(own.into_iter().chain(more.iter().map(|(name, value)| (*name, (*value).to_owned()))))
}

//! Values and counters: one file per operation. Values expire by the store's own clock, after a short time. The cases wait for
//! that and do not measure it.

mod add;
mod delete_if;
mod delete_many;
mod get_many;
mod handles;
mod set_if_absent;
mod set_many;

use bytes::Bytes;
use store_core::{KeyValueExt, Result, Ttl};

use crate::case::Case;
use crate::fixture::Fixture;

/// The cases of every operation on values and counters.
pub(crate) const CASES: &[&[Case]] = &[
    get_many::CASES,
    handles::CASES,
    set_many::CASES,
    set_if_absent::CASES,
    delete_many::CASES,
    delete_if::CASES,
    add::CASES,
];

/// Longer than any case takes.
const LONG: Ttl = Ttl::from_secs(600);

async fn get(fixture: &Fixture, what: &str) -> Result<Option<Bytes>> {
    fixture.cache.get(&fixture.key(what)).await
}

async fn set(fixture: &Fixture, what: &str, value: &'static str) -> Result<()> {
    fixture.cache.set(fixture.key(what), Bytes::from_static(value.as_bytes()), LONG).await
}

/// Waits until a key has no value. If that never happens, the deadline of the case ends the wait.
async fn gone(fixture: &Fixture, what: &str) -> Result<()> {
    while get(fixture, what).await?.is_some() {
        crate::fixture::look_again().await;
    }
    Ok(())
}

//! The engines inside the process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use embedded_store::{CacheOptions, EmbeddedCache, EmbeddedState, StateOptions};
use store_core::Result;

use crate::engine::{Capability, Engine, Options, Stores};
use crate::fixture::{random_word, service};

/// Both stores in memory.
#[derive(Debug)]
pub struct EmbeddedMemory {
    prefix: String,
}

impl EmbeddedMemory {
    /// An engine with a random prefix.
    pub fn new() -> Self {
        Self { prefix: random_word() }
    }
}

impl Default for EmbeddedMemory {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Engine for EmbeddedMemory {
    fn name(&self) -> &str {
        "embedded memory"
    }

    fn capabilities(&self) -> &[Capability] {
        &[Capability::OneOrder]
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    async fn open(&self, _place: &str, options: &Options) -> Result<Stores> {
        let cache = EmbeddedCache::in_memory(service(&self.prefix), cache_options(options));
        let state = EmbeddedState::in_memory(service(&self.prefix), state_options(options));
        Ok(stores(&self.prefix, state, cache))
    }
}

/// Both stores in files, two new ones for each place.
#[derive(Debug)]
pub struct EmbeddedFile {
    prefix: String,
    directory: PathBuf,
}

impl EmbeddedFile {
    /// An engine that makes its files in `directory` and leaves them there.
    pub fn new(directory: impl AsRef<Path>) -> Self {
        Self { prefix: random_word(), directory: directory.as_ref().to_owned() }
    }
}

#[async_trait]
impl Engine for EmbeddedFile {
    fn name(&self) -> &str {
        "embedded file"
    }

    fn capabilities(&self) -> &[Capability] {
        &[Capability::Reopen, Capability::Fsync, Capability::OneOrder]
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    async fn open(&self, place: &str, options: &Options) -> Result<Stores> {
        let file = |role| self.directory.join(format!("{place}.{role}.redb"));
        let state = EmbeddedState::open(file("state"), service(&self.prefix), state_options(options))?;
        let cache = EmbeddedCache::open(file("cache"), service(&self.prefix), cache_options(options))?;
        Ok(stores(&self.prefix, state, cache))
    }
}

fn state_options(options: &Options) -> StateOptions {
    let own = StateOptions::default().with_clock(options.clock.clone()).with_retention(options.retention);
    let declared = options.partitions.clone().into_iter();
    declared.fold(own, |own, (queue, partitions)| own.with_partitions(queue, partitions))
}

fn cache_options(options: &Options) -> CacheOptions {
    CacheOptions::default().with_clock(options.clock.clone())
}

fn stores(prefix: &str, state: EmbeddedState, cache: EmbeddedCache) -> Stores {
    let other_service = service(&format!("{prefix}-other"));
    let other = cache.for_service(other_service.clone());
    Stores {
        other_state: Arc::new(state.for_service(other_service.clone())),
        shared_state: Arc::new(state.shared()),
        state: Arc::new(state),
        cache: Arc::new(cache),
        other: Arc::new(other),
        service: service(prefix),
        other_service,
    }
}

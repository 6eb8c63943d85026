//! The positions of the change streams, as resume tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bson::Document;
use rigatoni_core::state::StateStoreError;
use tokio::sync::Mutex as AsyncMutex;
use twinstore::durability::Durability;
use twinstore::lease::Fence;
use twinstore::resume_token::{ResumeToken, ResumeTokens, SaveRequest, StreamName, TokenOutcome, TokenVersion};
use twinstore::time::Ttl;

use crate::failed;

/// What this instance knows of a stream that it has taken over.
#[derive(Debug, Clone, Copy)]
struct Known {
    fence: Fence,
    /// The version of the stored token. `None`: there is none.
    version: Option<TokenVersion>,
}

type Shared = Arc<AsyncMutex<Option<Known>>>;

/// Why a save or a deletion changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A later holder of the lock is known: it presented this fence.
    Superseded(Fence),
    /// Another process has changed or deleted the token.
    Changed,
}

/// A refusal is an outcome, an error is none.
pub(crate) type Outcome<T = ()> = Result<Result<T, Refusal>, StateStoreError>;

/// The positions of one instance. Clones share what is known of them.
#[derive(Debug, Clone)]
pub(crate) struct Positions {
    tokens: Arc<dyn ResumeTokens>,
    pub(crate) ttl: Option<Ttl>,
    pub(crate) durability: Durability,
    known: Arc<Mutex<HashMap<StreamName, Shared>>>,
}

impl Positions {
    pub(crate) fn new(tokens: Arc<dyn ResumeTokens>, durability: Durability) -> Self {
        Self { tokens, ttl: None, durability, known: Arc::default() }
    }

    /// Records the fence of a lock that this instance has acquired: from now on, no earlier holder saves.
    pub(crate) async fn take_over(&self, stream: &StreamName, fence: Fence) -> Outcome {
        let known = self.known(stream);
        let mut known = known.lock().await;
        Ok(self.taken_over(stream, fence, &mut known).await?.map(|_| ()))
    }

    /// Replaces the position. Saves of one stream run one after the other.
    pub(crate) async fn save(&self, stream: &StreamName, fence: Fence, token: &Document) -> Outcome {
        let token = bson::to_vec(token)
            .map_err(|error| StateStoreError::Serialization(format!("the resume token is no BSON: {error}")))?;
        let known = self.known(stream);
        let mut known = known.lock().await;
        let version = match *known {
            Some(known) if known.fence == fence => known.version,
            _ => match self.taken_over(stream, fence, &mut known).await? {
                Ok(version) => version,
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        let mut request = SaveRequest::new(stream.clone(), token, fence, version);
        request.ttl = self.ttl;
        // Whether an error has changed the version is not known: the next save asks for it.
        *known = None;
        match self.tokens.save(&request, self.durability).await.map_err(failed)?.value {
            TokenOutcome::Done(saved) => {
                *known = Some(Known { fence, version: Some(saved.version) });
                Ok(Ok(()))
            }
            TokenOutcome::Superseded(later) => Ok(Err(Refusal::Superseded(later))),
            _ => Ok(Err(Refusal::Changed)),
        }
    }

    /// Deletes the position. Without a fence, it is deleted even if another instance holds the lock.
    pub(crate) async fn delete(&self, stream: &StreamName, fence: Option<Fence>) -> Outcome {
        let known = self.known(stream);
        let mut known = known.lock().await;
        let Some(token) = self.tokens.load(stream).await.map_err(failed)? else { return Ok(Ok(())) };
        *known = None;
        match self.tokens.clear(stream, token.info.version, fence).await.map_err(failed)? {
            TokenOutcome::Done(()) => {
                *known = fence.map(|fence| Known { fence, version: None });
                Ok(Ok(()))
            }
            TokenOutcome::Superseded(later) => Ok(Err(Refusal::Superseded(later))),
            _ => Ok(Err(Refusal::Changed)),
        }
    }

    /// The position, also if it has expired.
    pub(crate) async fn load(&self, stream: &StreamName) -> Result<Option<ResumeToken>, StateStoreError> {
        self.tokens.load(stream).await.map_err(failed)
    }

    /// The streams of the namespace that have a token.
    pub(crate) async fn streams(&self) -> Result<Vec<StreamName>, StateStoreError> {
        let (mut streams, mut after) = (Vec::new(), None);
        loop {
            let page = self.tokens.tokens(None, after).await.map_err(failed)?;
            streams.extend(page.items.into_iter().map(|info| info.stream));
            after = page.next;
            if after.is_none() {
                return Ok(streams);
            }
        }
    }

    fn known(&self, stream: &StreamName) -> Shared {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(stream.clone()).or_default().clone()
    }

    async fn taken_over(
        &self,
        stream: &StreamName,
        fence: Fence,
        known: &mut Option<Known>,
    ) -> Outcome<Option<TokenVersion>> {
        match self.tokens.take_over(stream, fence).await.map_err(failed)? {
            TokenOutcome::Done(token) => {
                let version = token.map(|token| token.info.version);
                *known = Some(Known { fence, version });
                Ok(Ok(version))
            }
            TokenOutcome::Superseded(later) => Ok(Err(Refusal::Superseded(later))),
            _ => Ok(Err(Refusal::Changed)),
        }
    }
}

/// The token that a pipeline resumes from. `None` if it has expired.
pub(crate) fn unexpired(token: &ResumeToken) -> Result<Option<Document>, StateStoreError> {
    if token.info.is_expired() {
        return Ok(None);
    }
    let document = bson::from_slice(&token.token)
        .map_err(|error| StateStoreError::Serialization(format!("the stored resume token is no BSON: {error}")))?;
    Ok(Some(document))
}

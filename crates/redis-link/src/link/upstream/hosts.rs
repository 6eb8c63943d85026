//! Several servers: a primary and its replicas. Only the servers themselves report a failover.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::is_primary;
use crate::wire::{Failure, Wire};
use crate::{Endpoint, LinkConfig};

/// How long the other servers have after the first primary has answered.
const GRACE: Duration = Duration::from_millis(200);

pub(crate) struct Hosts {
    all: Vec<Endpoint>,
    /// The primary that was found last.
    last: Mutex<Option<Endpoint>>,
}

impl Hosts {
    pub(super) fn new(all: &[Endpoint]) -> Self {
        Self { all: all.to_vec(), last: Mutex::default() }
    }

    pub(super) fn last(&self) -> Option<Endpoint> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The only server that reports that it is a primary.
    pub(super) async fn primary(&self, config: &LinkConfig) -> Result<Endpoint, Failure> {
        let mut asking = JoinSet::new();
        for host in self.all.clone() {
            let config = config.clone();
            asking.spawn(async move {
                let (wire, _driver) = Wire::open(&config, &host).await?;
                Ok::<_, Failure>(is_primary(&wire, config.connect_timeout).await.then_some(host))
            });
        }
        let (mut primary, mut failed) = (None, Failure::NotSent("none of the servers is a primary"));
        loop {
            let next = match &primary {
                None => asking.join_next().await,
                Some(_) => tokio::time::timeout(GRACE, asking.join_next()).await.unwrap_or(None),
            };
            match next {
                Some(Ok(Ok(Some(_)))) if primary.is_some() => {
                    return Err(Failure::NotSent("two of the servers report that they are primaries"));
                }
                Some(Ok(Ok(found))) => primary = primary.or(found),
                Some(Ok(Err(failure))) => failed = failure,
                Some(Err(_)) => {}
                None => break,
            }
        }
        let primary = primary.ok_or(failed.before_the_call())?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(primary.clone());
        Ok(primary)
    }
}

//! Whether a server proves that a write is on its disk.

use store_core::Op;

use super::{Fact, Probe};
use crate::link::Proof;
use crate::wire::Failure;

impl Probe {
    /// Why this server grants no write [`Fsynced`](store_core::Durability::Fsynced), with the remedy; `None` if it does. Sends the
    /// commands that such a write sends first.
    pub async fn fsync_obstacle(&self) -> Fact<Option<&'static str>> {
        match Proof::ask(&self.opened.wire, self.patience).await {
            Ok(_) => Fact::Known(None),
            Err(Failure::Unsupported(why)) => Fact::Known(Some(why)),
            Err(failure) => Fact::Unknown(failure.into_error(Op::Probe, "CONFIG GET").detail().into_owned()),
        }
    }
}

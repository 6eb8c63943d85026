//! The operations of `Broadcasts`.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{BroadcastName, Op};

use super::{Call, Prepare, calls_for, expect};
use crate::Result;
use crate::environment::Stores;

/// The message.
const MESSAGE: Bytes = Bytes::from_static(&[b'x'; 200]);

pub(super) fn all() -> Vec<(Op, Arc<dyn Prepare>)> {
    [Op::BroadcastPublish, Op::BroadcastListen].map(|op| (op, Arc::new(Calls(op)) as Arc<dyn Prepare>)).into()
}

/// Each message reaches one process. Each call of `listen` subscribes to a name, beside another subscription that keeps the
/// connection open, and unsubscribes.
struct Calls(Op);

#[async_trait]
impl Prepare for Calls {
    async fn calls(&self, stores: &Stores, numbers: Range<usize>) -> Result<Vec<Call>> {
        let op = self.0;
        let name = BroadcastName::new("each")?;
        let listener = Arc::new(stores.state.broadcasts().listen(&name).await?);
        let items = numbers.map(|number| (number, name.clone(), Arc::clone(&listener)));
        Ok(calls_for(&stores.state, items, move |state, (number, name, listener)| async move {
            let broadcasts = state.broadcasts();
            let reached = match op {
                Op::BroadcastPublish => broadcasts.publish(&name, &MESSAGE).await?,
                _ => {
                    let own = BroadcastName::new(format!("each-{number}"))?;
                    drop(broadcasts.listen(&own).await?);
                    1
                }
            };
            drop(listener);
            expect(reached == 1, op)
        }))
    }
}

//! Broadcasts of one type.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{BroadcastListener, Broadcasts};
use crate::json::{from_json, to_json};
use crate::{BroadcastName, Op, Result};

/// The broadcasts of one name, values of one type in JSON. [`Broadcasts`] describes the delivery. Clones share the store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::broadcast::{Broadcast, BroadcastEvent, BroadcastName};
///
/// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// enum Control {
///     Reload,
///     Drain { seconds: u32 },
/// }
///
/// let control: Broadcast<Control> = stores.state().broadcast(BroadcastName::new("control")?);
/// let mut listener = control.listen().await?; // in each process
/// control.publish(&Control::Drain { seconds: 30 }).await?;
/// match listener.next().await? {
///     BroadcastEvent::Message(message) => assert_eq!(message, Control::Drain { seconds: 30 }),
///     _ => unreachable!("no message was missed"), // else: load everything again
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Broadcast<T> {
    broadcasts: Arc<dyn Broadcasts>,
    name: BroadcastName,
    message: PhantomData<fn(T) -> T>,
}

impl<T> Clone for Broadcast<T> {
    fn clone(&self) -> Self {
        Self { broadcasts: self.broadcasts.clone(), name: self.name.clone(), message: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned> Broadcast<T> {
    /// The broadcasts of a name.
    pub fn new(broadcasts: Arc<dyn Broadcasts>, name: BroadcastName) -> Self {
        Self { broadcasts, name, message: PhantomData }
    }

    /// Its name.
    pub fn name(&self) -> &BroadcastName {
        &self.name
    }

    /// Publishes a value: see [`Broadcasts::publish`].
    ///
    /// # Errors
    /// Those of [`Broadcasts::publish`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the value
    /// cannot be written as JSON.
    pub async fn publish(&self, message: &T) -> Result<u64> {
        self.broadcasts.publish(&self.name, &to_json(Op::BroadcastPublish, "the message", message)?).await
    }

    /// Listens from now on: see [`Broadcasts::listen`].
    ///
    /// # Errors
    /// Those of [`Broadcasts::listen`].
    pub async fn listen(&self) -> Result<BroadcastListener<T>> {
        Ok(self.broadcasts.listen(&self.name).await?.decoded(decode))
    }
}

fn decode<T: DeserializeOwned>(json: Bytes) -> Result<T> {
    from_json(Op::BroadcastListen, "the message", &json)
}

//! Identities of requests.

use std::fmt;

/// The identity of one request. The client makes it; the store uses it to recognise a repeated request. It is a credential, so
/// it is not `Serialize`; [`RequestId::as_bytes`] stores one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::name::{HandleName, Key, RequestId};
/// use twinstore::time::Ttl;
///
/// let codes = stores.cache().handoffs::<u32>(HandleName::new("codes")?, Ttl::from_secs(60));
/// let key = Key::new("42")?;
/// codes.put(stores.service().clone(), &key, &1234).await?;
/// let request = RequestId::generate();
/// assert_eq!(codes.take(&key, request).await?, Some(1234));
/// assert_eq!(codes.take(&key, request).await?, Some(1234)); // the same request, repeated
/// assert_eq!(codes.take(&key, RequestId::generate()).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// A new random identity.
    pub fn generate() -> Self {
        Self(uuid::Uuid::new_v4().into_bytes())
    }

    /// A stored identity, for example to repeat a request after a restart.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestId(…)")
    }
}

//! Ids that the library makes.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::JobId;
use crate::Timestamp;

impl JobId {
    /// How many jobs of one push share a batch at most: 64.
    #[doc(hidden)]
    pub const MAX_IN_BATCH: usize = 64;

    /// How many partitions an assigned id can name: 1,024.
    #[doc(hidden)]
    pub const MAX_PARTITIONS: u16 = 1024;

    /// A new id that sorts by its creation time, to a millisecond (UUID version 7, RFC 9562). Ids are not secret: they can be
    /// guessed.
    pub fn generate() -> Self {
        let (millis, random) = draw();
        Self::of_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// The first id of a new batch of a partition. The ids of the batch differ in their last 6 bits, their position (UUID
    /// version 8, RFC 9562: time in ms, random bits, 10 bits of the partition, 6 bits of the position).
    #[doc(hidden)]
    pub fn new_batch(partition: u16) -> BatchId {
        let (millis, random) = draw();
        Self::batch_of(millis, random, partition)
    }

    /// As [`JobId::new_batch`], with another time in its first bits.
    #[doc(hidden)]
    pub fn new_batch_at(time: Timestamp, partition: u16) -> BatchId {
        Self::batch_of(time.as_millis(), draw().1, partition)
    }

    /// The id of a batch of this partition, made from these bytes.
    #[doc(hidden)]
    pub fn batch_from(bytes: [u8; 16], partition: u16) -> BatchId {
        let [a, b, c, d, e, f, random @ ..] = bytes;
        Self::batch_of(u64::from_be_bytes([0, 0, a, b, c, d, e, f]), random, partition)
    }

    fn batch_of(millis: u64, random: [u8; 10], partition: u16) -> BatchId {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        let [high, low] = ((partition % Self::MAX_PARTITIONS) << 6).to_be_bytes();
        (bytes[14], bytes[15]) = (high, low);
        BatchId(uuid::Builder::from_custom_bytes(bytes).into_uuid().into_bytes())
    }

    /// The batch and the position of an assigned id. `None` for any other id.
    #[doc(hidden)]
    pub fn place(&self) -> Option<(BatchId, u8)> {
        let text = self.as_str();
        // An id is a text: the same UUID in capital letters is another id.
        if text.len() != 36 || text.as_bytes()[14] != b'8' || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let uuid = uuid::Uuid::try_parse(text).ok()?;
        let mut bytes = uuid.into_bytes();
        let position = bytes[15] % 64;
        bytes[15] -= position;
        (uuid.get_variant() == uuid::Variant::RFC4122).then_some((BatchId(bytes), position))
    }

    fn of_uuid(uuid: uuid::Uuid) -> Self {
        let mut text = uuid::Uuid::encode_buffer();
        Self(Arc::from(&*uuid.hyphenated().encode_lower(&mut text)))
    }
}

/// What the ids of the jobs of one batch have in common.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchId([u8; 16]);

impl BatchId {
    /// The 16 bytes of the id at position 0.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A stored id. `None` if the bytes are not those of a batch.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes[15].is_multiple_of(64) && bytes[6] >> 4 == 8 && bytes[8] >> 6 == 2).then_some(Self(bytes))
    }

    /// The time in its first bits: of its push, or of the firing of a schedule.
    pub fn time(&self) -> Timestamp {
        let [a, b, c, d, e, f, ..] = self.0;
        Timestamp::from_millis(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// The partition of the batch.
    pub fn partition(&self) -> u16 {
        u16::from_be_bytes([self.0[14], self.0[15]]) >> 6
    }

    /// The id of the job at a position, 0 to 63.
    pub fn job(&self, position: u8) -> JobId {
        let mut bytes = self.0;
        bytes[15] += position % 64;
        JobId::of_uuid(uuid::Uuid::from_bytes(bytes))
    }
}

/// The time in ms, and 10 random bytes.
fn draw() -> (u64, [u8; 10]) {
    thread_local! {
        // Asking the system for random bits each time would cost more than the rest of a push.
        static RANDOM: RefCell<fastrand::Rng> = RefCell::new(fastrand::Rng::with_seed(uuid::Uuid::new_v4().as_u64_pair().1));
    }
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = since_epoch.as_secs() * 1000 + u64::from(since_epoch.subsec_millis());
    let (low, high) = RANDOM.with_borrow_mut(|random| (random.u64(..), random.u16(..)));
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&high.to_be_bytes());
    bytes[2..].copy_from_slice(&low.to_be_bytes());
    (millis, bytes)
}

#[cfg(test)]
mod tests {
    use super::JobId;

    #[test]
    fn a_generated_id_is_a_uuid_of_its_time() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let id = JobId::generate();
        let uuid = uuid::Uuid::parse_str(id.as_str()).unwrap();
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
        assert!(uuid.get_timestamp().unwrap().to_unix().0.abs_diff(now) <= 60);
        assert_eq!(id.place(), None);
    }

    #[test]
    fn an_assigned_id_names_its_batch_partition_and_position() {
        for partition in [0, 1, 11, 1023] {
            let batch = JobId::new_batch(partition);
            assert_eq!(super::BatchId::from_bytes(*batch.as_bytes()), Some(batch));
            assert_eq!(batch.partition(), partition);
            for position in 0..64 {
                let id = batch.job(position);
                assert_eq!(id.place(), Some((batch, position)));
                assert_eq!(JobId::new(id.as_str().to_uppercase()).unwrap().place(), None);
            }
        }
    }

    #[test]
    fn new_ids_differ() {
        let ids: std::collections::HashSet<JobId> = (0..10_000).map(|_| JobId::generate()).collect();
        assert_eq!(ids.len(), 10_000);
        assert_ne!(JobId::new_batch(0), JobId::new_batch(0));
    }
}

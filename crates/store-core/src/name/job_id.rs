//! Ids that the library makes.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::JobId;

impl JobId {
    /// A new id that sorts by its creation time (UUID version 7, RFC 9562): to a millisecond, and strictly within a
    /// thread. Up to 64 ids that a thread makes in one millisecond differ only in the last 6 bits (a counter, RFC 9562
    /// section 6.2): jobs with such ids cost a server less. Ids are not secret: they can be guessed.
    pub fn generate() -> Self {
        thread_local! {
            static NEXT: RefCell<Ids> = RefCell::new(Ids::new());
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = NEXT.with_borrow_mut(|next| next.id(since_epoch));
        let mut text = uuid::Uuid::encode_buffer();
        Self(Arc::from(&*id.hyphenated().encode_lower(&mut text)))
    }
}

/// The ids of one thread.
struct Ids {
    /// 48 bits of milliseconds and 12 of their fraction: of the last group of ids.
    time: u64,
    /// The random bits of that group, and the number of its next id in the last 6.
    rest: u64,
    random: fastrand::Rng,
}

impl Ids {
    /// How many ids differ only in their numbers.
    const GROUP: u64 = 64;

    fn new() -> Self {
        // Asking the system for random bits each time would cost more than the rest of a push.
        let random = fastrand::Rng::with_seed(uuid::Uuid::new_v4().as_u64_pair().1);
        Self { time: 0, rest: Self::GROUP - 1, random }
    }

    fn id(&mut self, since_epoch: Duration) -> uuid::Uuid {
        let millis = since_epoch.as_secs() * 1000 + u64::from(since_epoch.subsec_millis());
        if self.rest % Self::GROUP < Self::GROUP - 1 && millis <= self.time >> 12 {
            self.rest += 1;
        } else {
            let fraction = u64::from(since_epoch.subsec_nanos() % 1_000_000) * 4096 / 1_000_000;
            self.time = (self.time + 1).max(millis << 12 | fraction);
            self.rest = self.random.u64(..) / Self::GROUP * Self::GROUP;
        }
        let mut rest = [0; 10];
        rest[..2].copy_from_slice(&((self.time & 0xfff) as u16).to_be_bytes());
        rest[2..].copy_from_slice(&self.rest.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(self.time >> 12, &rest).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::JobId;

    #[test]
    fn ids_are_uuids_that_rise() {
        let ids: Vec<JobId> = (0..10_000).map(|_| JobId::generate()).collect();
        assert!(ids.is_sorted_by(|one, next| one < next));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        for id in [&ids[0], &ids[9_999]] {
            let uuid = uuid::Uuid::parse_str(id.as_str()).unwrap();
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
            assert!(uuid.get_timestamp().unwrap().to_unix().0.abs_diff(now) <= 60);
        }
        let elsewhere = std::thread::spawn(JobId::generate).join().unwrap();
        assert!(!ids.contains(&elsewhere));
    }
}

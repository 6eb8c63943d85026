//! Ids of jobs, determined by the seed.

use twinstore::queue::JobId;

/// Makes ids: UUIDs of version 7 in groups as the stores make them, and texts.
pub(crate) struct Ids {
    actor: String,
    count: u64,
}

impl Ids {
    pub(crate) fn new(actor: &str) -> Self {
        Self { actor: actor.replace('/', "-"), count: 0 }
    }

    /// A text.
    pub(crate) fn text(&mut self) -> JobId {
        self.count += 1;
        JobId::new(format!("{}-{}", self.actor, self.count)).expect("a valid id")
    }

    /// So many UUIDs that differ in their last 6 bits; at most 64.
    pub(crate) fn grouped(&mut self, count: usize, random: &mut fastrand::Rng) -> Vec<JobId> {
        self.count += 1;
        let millis = 1_700_000_000_000 + self.count;
        let mut rest = [0; 10];
        random.fill(&mut rest);
        let id = |number: usize| {
            rest[9] = rest[9] & 0xc0 | number as u8 & 0x3f;
            let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &rest).into_uuid();
            JobId::new(uuid.hyphenated().to_string()).expect("a valid id")
        };
        (0..count.min(64)).map(id).collect()
    }
}

//! The identity of a workflow run.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::{JobId, NameError, QueueName, StepName, Timestamp};

/// A workflow run: one execution of a series of steps.
///
/// Ids are any text of 1 to [`WorkflowRun::MAX_ID_BYTES`] bytes: what Temporal accepts with its default limits. Two runs are
/// the same if and only if they are made by the same function from the same ids.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::lease::Fence;
/// use twinstore::step::WorkflowRun;
///
/// // Continue-as-new and a reset make a new run of Temporal: it has another run id, hence steps of its own.
/// let first = WorkflowRun::temporal("default", "order {7}", "0b8f2c4e-9c1d-4a43-8f0e-2f6a1f0e6a77")?;
/// let second = WorkflowRun::temporal("default", "order {7}", "5d1b6a0c-0f5e-4d9b-9b62-0c8c5f3d2c11")?;
/// for (run, number) in [(&first, 1), (&second, 2)] {
///     let carried_out: u64 = stores.state().run(run.clone(), Fence::new(1)).step("1", async || Ok(number)).await?;
///     assert_eq!(carried_out, number);
/// }
/// assert!(WorkflowRun::named("x".repeat(1001)).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WorkflowRun {
    kind: Kind,
    ids: Arc<[String]>,
}

/// What carries the run out. The letters are part of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Temporal = b't' as isize,
    Job = b'j' as isize,
    Named = b'n' as isize,
}

impl WorkflowRun {
    /// How many steps a run may have.
    pub const MAX_STEPS: u32 = 1000;

    /// The largest length of an id, in bytes: Temporal's default (`limit.maxIDLength`).
    pub const MAX_ID_BYTES: usize = StepName::MAX_BYTES;

    /// A run of a Temporal workflow: Temporal's namespace, the workflow id, the run id. Its steps are activities, by their ids.
    ///
    /// # Errors
    /// [`NameError`] if an id is empty or too long.
    pub fn temporal(namespace: &str, workflow_id: &str, run_id: &str) -> Result<Self, NameError> {
        let ids = [("a Temporal namespace", namespace), ("a workflow id", workflow_id), ("a run id", run_id)];
        Self::of(Kind::Temporal, ids)
    }

    /// The run of a job. `pushed_at` distinguishes it from an earlier job that had the same id. A retry, a snooze and a replay of
    /// the job are the same run.
    pub fn of_job(queue: &QueueName, job: &JobId, pushed_at: Timestamp) -> Self {
        let ids = [queue.as_str().to_owned(), job.as_str().to_owned(), pushed_at.as_millis().to_string()];
        Self { kind: Kind::Job, ids: ids.into() }
    }

    /// Another run, by a name of the caller's choice.
    ///
    /// # Errors
    /// [`NameError`] if the name is empty or too long.
    pub fn named(name: impl AsRef<str>) -> Result<Self, NameError> {
        Self::of(Kind::Named, [("the name of a run", name.as_ref())])
    }

    fn of<const N: usize>(kind: Kind, ids: [(&'static str, &str); N]) -> Result<Self, NameError> {
        for (what, id) in ids {
            match id.len() {
                0 => return Err(NameError::Empty { what }),
                1..=Self::MAX_ID_BYTES => {}
                len => return Err(NameError::TooLong { what, len, max: Self::MAX_ID_BYTES }),
            }
        }
        Ok(Self { kind, ids: ids.map(|(_, id)| id.to_owned()).into() })
    }

    /// Whether Temporal carries the run out. Then its attempts are counted for each step, and it belongs to all services.
    pub fn is_temporal(&self) -> bool {
        self.kind == Kind::Temporal
    }

    /// Whether it is the run of a job.
    #[doc(hidden)]
    pub fn is_of_job(&self) -> bool {
        self.kind == Kind::Job
    }

    /// The letter of its kind, and its ids. The letter determines how many there are.
    #[doc(hidden)]
    pub fn parts(&self) -> (u8, &[String]) {
        (self.kind as u8, &self.ids)
    }
}

/// The kind and the ids with colons between them, as in the run's key and in loss reports: `n:import-7`, `t:namespace:workflow:run`,
/// `j:queue:job:milliseconds`. No two runs have the same text: in an id, each byte of a colon, a brace, a percent sign and a control character is `%` and
/// two hexadecimal digits, and the kind determines how many ids there are.
impl fmt::Display for WorkflowRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char(char::from(self.kind as u8))?;
        for id in &*self.ids {
            f.write_char(':')?;
            for character in id.chars() {
                if character.is_control() || matches!(character, '%' | ':' | '{' | '}') {
                    let mut bytes = [0; 4];
                    character.encode_utf8(&mut bytes).bytes().try_for_each(|byte| write!(f, "%{byte:02X}"))?;
                } else {
                    f.write_char(character)?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for WorkflowRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkflowRun").field(&self.ids).finish()
    }
}

//! Work that runs only while a process leads.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use store_core::Fence;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::leadership::{Leadership, Standing};

/// One term of a leadership, which the leader's work gets.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::lease::{LeaseName, Leading};
/// use twinstore::name::HolderName;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let candidate = stores.state().candidate(LeaseName::new("migration")?, HolderName::unique("host")?);
/// let leadership = candidate.campaign()?;
/// let work = async |leading: Leading| (leading.is_leading(), leading.fence());
/// let (is_leading, fence) = leadership.run_while_leading(work).await;
/// assert!(is_leading && Some(fence) == leadership.fence());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Leading {
    fence: Fence,
    standing: watch::Receiver<Standing>,
}

impl Leading {
    /// The fencing token of this term. Present it with every write, so that a write that arrives late is refused.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Whether this term continues, by the local monotonic clock. Blocking code must check it, because such code cannot be
    /// cancelled.
    pub fn is_leading(&self) -> bool {
        self.standing.borrow().fence() == Some(self.fence)
    }

    /// Returns when this term is over: when the lease is lost, or a tenth of its time before it can have expired.
    async fn ended(&self) {
        let mut standing = self.standing.clone();
        loop {
            let until = match *standing.borrow_and_update() {
                current @ Standing::Leader { until, .. } if current.fence() == Some(self.fence) => until,
                _ => return,
            };
            tokio::select! {
                () = sleep_until(until) => {}
                changed = standing.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Runs `work` to its end, or until this term ends.
    async fn run<W: Future>(&self, work: W) -> Option<W::Output> {
        let mut work = pin!(work);
        // The work is not polled after its term, even if this task runs late.
        let guarded =
            poll_fn(
                |context| {
                    if self.is_leading() { work.as_mut().poll(context).map(Some) } else { Poll::Ready(None) }
                },
            );
        tokio::select! {
            biased;
            () = self.ended() => None,
            output = guarded => output,
        }
    }
}

impl Leadership {
    /// Runs `work` while this process leads, and returns its output when it ends.
    ///
    /// Waits for the election, starts `work`, and drops it at its next `await` when the term ends: when the lease is lost, or a
    /// tenth of its time before it can have expired, whether the store answers or not. Then it waits for the next election
    /// and starts `work` again. Dropping the returned future drops the work as well; [`Leadership::resign`] then gives the
    /// lease back.
    ///
    /// The work of two processes can overlap only if the work blocks its thread or a process is suspended. To be safe in these
    /// cases, present [`Leading::fence`] with every write.
    ///
    /// ```
    /// # use twinstore::lease::LeaseName;
    /// # use twinstore::name::HolderName;
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, _) = twinstore::testing::stores();
    /// # let candidate = stores.state().candidate(LeaseName::new("migration")?, HolderName::unique("host")?);
    /// let leadership = candidate.campaign()?;
    /// let migrated = leadership.run_while_leading(async |leading| {
    ///     // migrate, presenting `leading.fence()`
    ///     # let _ = leading.fence();
    ///     7
    /// });
    /// assert_eq!(migrated.await, 7);
    /// leadership.resign().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run_while_leading<F, Fut>(&self, mut work: F) -> Fut::Output
    where
        F: FnMut(Leading) -> Fut,
        Fut: Future,
    {
        loop {
            let term = Leading { fence: self.elected().await, standing: self.changes() };
            if let Some(output) = term.run(work(term.clone())).await {
                return output;
            }
        }
    }

    /// Runs `work` at the interval `every` while this process leads and the returned future is polled. It never returns.
    ///
    /// The first run of a term begins at the election, so a change of leader can shorten one interval. A run that takes longer
    /// than `every` delays the next one; runs do not overlap. Otherwise it behaves like [`Leadership::run_while_leading`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinstore::lease::LeaseName;
    /// # use twinstore::name::HolderName;
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, _) = twinstore::testing::stores();
    /// # let candidate = stores.state().candidate(LeaseName::new("reports")?, HolderName::unique("host")?);
    /// let leadership = candidate.campaign()?;
    /// # let (stop, mut stopped) = tokio::sync::mpsc::channel(1);
    /// tokio::select! {
    ///     _ = leadership.run_every(Duration::from_secs(60), async |leading| {
    ///         // write the report, presenting `leading.fence()`
    ///         # let _ = leading.fence();
    ///         # let _ = stop.send(()).await;
    ///     }) => {}
    ///     _ = stopped.recv() => {} // for example until `worker.run()` returns
    /// }
    /// leadership.resign().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// If `every` is zero.
    pub async fn run_every<F, Fut>(&self, every: Duration, mut work: F) -> Infallible
    where
        F: FnMut(Leading) -> Fut,
        Fut: Future<Output = ()>,
    {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let term = Leading { fence: self.elected().await, standing: self.changes() };
            ticks.reset_immediately();
            while term.is_leading() {
                let ended = tokio::select! {
                    biased;
                    () = term.ended() => true,
                    _ = ticks.tick() => false,
                };
                if !ended {
                    term.run(work(term.clone())).await;
                }
            }
        }
    }
}

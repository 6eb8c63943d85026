//! One behaviour that every engine must show.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use store_core::Op;

use crate::engine::{Capability, Engine};
use crate::fixture::Fixture;
use crate::verdict::{BrokenPromise, Verdict};

/// If a case takes longer than this, it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// The boxed body of a case.
pub(crate) type Running = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// One behaviour of one operation.
#[derive(Clone, Copy)]
pub struct Case {
    /// The operation.
    pub op: Op,
    /// The behaviour, as words joined by underscores.
    pub behaviour: &'static str,
    /// The capabilities that the case needs.
    pub needs: &'static [Capability],
    pub(crate) run: fn(Fixture) -> Running,
}

impl Case {
    /// The operation, a dot, the behaviour: `queue.claim.a_higher_priority_goes_first`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.op, self.behaviour)
    }

    /// The capabilities that the engine lacks; if there are any, the case is skipped.
    pub fn lacks(&self, engine: &dyn Engine) -> Option<Capability> {
        self.needs.iter().copied().find(|need| !engine.capabilities().contains(need))
    }

    /// Runs the case at a new place of the engine.
    ///
    /// # Errors
    /// [`BrokenPromise`] if the engine behaves differently, panics, or takes longer than a minute.
    pub async fn run(&self, engine: &Arc<dyn Engine>) -> Verdict {
        let (body, engine) = (self.run, Arc::clone(engine));
        let running = tokio::spawn(async move { body(Fixture::open(&engine).await?).await });
        let abort = running.abort_handle();
        match tokio::time::timeout(DEADLINE, running).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(panic)) => Err(BrokenPromise::new(format!("it panicked: {panic}"))),
            Err(_) => {
                abort.abort();
                Err(BrokenPromise::new(format!("it did not end within {DEADLINE:?}")))
            }
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({})", self.name())
    }
}

/// Declares the cases of one operation in a file: the operation, then the functions, each with the capabilities
/// that it needs beyond the minimum (`name: Reopen`).
macro_rules! cases {
    ($op:expr; $($behaviour:ident $(: $($need:ident)+)?),+ $(,)?) => {
        pub(crate) const CASES: &[$crate::Case] = &[$($crate::Case {
            op: $op,
            behaviour: stringify!($behaviour),
            needs: &[$($($crate::Capability::$need),+)?],
            run: |fixture| Box::pin($behaviour(From::from(fixture))),
        }),+];
    };
}

pub(crate) use cases;

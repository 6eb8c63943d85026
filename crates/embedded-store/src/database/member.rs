//! An operation in a group.

use store_core::{Error, Op, Result};
use tokio::sync::oneshot;

use crate::fault::Fault;
use crate::rows::Change;

/// An operation, and whether it adds to the stored data. One that adds is refused while the disk is full. One that claims,
/// settles, renews or removes does not add.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) op: Op,
    pub(crate) adds: bool,
}

impl Operation {
    /// An operation that adds to the stored data.
    pub(crate) fn adding(op: Op) -> Self {
        Self { op, adds: true }
    }
}

impl From<Op> for Operation {
    /// An operation that does not add.
    fn from(op: Op) -> Self {
        Self { op, adds: false }
    }
}

/// An operation in a group.
pub(super) trait Member: Send {
    fn operation(&self) -> Operation;
    fn op(&self) -> Op {
        self.operation().op
    }
    /// Writes into the transaction. The answer is kept until the transaction is committed.
    fn apply(&mut self, change: &mut Change<'_>) -> Result<(), Fault>;
    fn answer(self: Box<Self>);
    fn fail(self: Box<Self>, error: Error);
}

pub(super) struct Call<T, F> {
    pub(super) operation: Operation,
    pub(super) apply: F,
    pub(super) outcome: Option<Result<T>>,
    pub(super) reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Member for Call<T, F>
where
    T: Send,
    F: Fn(&mut Change<'_>) -> Result<T, Fault> + Send,
{
    fn operation(&self) -> Operation {
        self.operation
    }

    fn apply(&mut self, change: &mut Change<'_>) -> Result<(), Fault> {
        self.outcome = match (self.apply)(change) {
            Ok(value) => Some(Ok(value)),
            Err(Fault::Refused(error)) => Some(Err(error)),
            Err(fault) => return Err(fault),
        };
        Ok(())
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // The caller may have dropped its call.
            let _ = self.reply.send(outcome);
        }
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

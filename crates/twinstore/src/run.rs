//! Runs of agents: their states, their payloads, their events, and listings of them. Records of sessions.
//!
//! One service creates a run, another one carries it out, a third one watches or cancels it. [`Runs`] has the operations;
//! [`RunWatch`] returns the events of a run as they are appended. [`Sessions`] has the records of the sessions to which runs belong.

pub use crate::stores::RunWatch;
pub use store_core::{
    AgentName, NewRun, RunEvent, RunEvents, RunFilter, RunId, RunInfo, RunOutcome, RunPage, RunState, RunWrite, Runs,
    RunsRemoved, Session, SessionId, SessionOutcome, SessionPage, SessionSave, Sessions,
};

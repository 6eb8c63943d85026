//! The reference service as whole processes, on embedded and on real stores, and what happens when they are killed.

mod inputs;
mod kills;
mod refusals;
mod runs;
mod stage;

//! One connection with a constant number of operations under way, like a client that many tasks share.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;
use crate::case::Side;
use crate::environment::Environment;
use crate::figure::Sample;
use crate::wire::{Commands, Wire};

/// Operations of one or more steps, each step one command, over one connection.
pub(crate) struct Pipelined<F> {
    wire: Wire,
    name: &'static str,
    window: usize,
    ops: usize,
    steps: usize,
    encode: F,
    /// The keys that contain this text are removed after each round.
    leaves: Option<&'static str>,
    done: usize,
}

impl<F> Pipelined<F>
where
    F: Fn(usize, usize, &mut Commands) + Send + Sync + 'static,
{
    /// `ops` operations per round, `window` of them under way. `encode` adds the command of a step (counted from 0) of the
    /// operation with this unique number. A step begins after the answer to the step before.
    pub(crate) fn new(wire: Wire, name: &'static str, window: usize, ops: usize, encode: F) -> Self {
        Self { wire, name, window, ops, steps: 1, encode, leaves: None, done: 0 }
    }

    /// With this many steps.
    pub(crate) fn with_steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// With keys that contain this text, which are removed after each round.
    pub(crate) fn with_leaves(mut self, part: &'static str) -> Self {
        self.leaves = Some(part);
        self
    }

    /// As a side.
    pub(crate) fn side(self) -> Box<dyn Side> {
        Box::new(self)
    }

    async fn operate(&mut self) -> Result<()> {
        let (mut next, end) = (self.done, self.done + self.ops);
        let mut under_way = VecDeque::with_capacity(self.window);
        let mut commands = Commands::default();
        while next < end && under_way.len() < self.window {
            (self.encode)(next, 0, &mut commands);
            under_way.push_back((next, 0));
            next += 1;
        }
        self.wire.send(&mut commands).await?;
        while let Some((op, step)) = under_way.pop_front() {
            if self.wire.has_none_waiting()? {
                self.wire.send(&mut commands).await?;
            }
            self.wire.receive().await?;
            let following = if step + 1 < self.steps {
                Some((op, step + 1))
            } else if next < end {
                next += 1;
                Some((next - 1, 0))
            } else {
                None
            };
            if let Some((op, step)) = following {
                (self.encode)(op, step, &mut commands);
                under_way.push_back((op, step));
            }
        }
        self.done = end;
        Ok(())
    }
}

#[async_trait]
impl<F> Side for Pipelined<F>
where
    F: Fn(usize, usize, &mut Commands) + Send + Sync + 'static,
{
    fn name(&self) -> &str {
        self.name
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let sample = environment.measure(self.ops, self.operate()).await?;
        if let Some(part) = self.leaves {
            environment.remove_keys(part).await?;
        }
        Ok(sample)
    }
}

/// A loaded script.
#[derive(Debug, Clone)]
pub(crate) struct Script(Bytes);

impl Script {
    /// Loads it.
    pub(crate) async fn load(wire: &mut Wire, text: &str) -> Result<Self> {
        Ok(Self(wire.load(text).await?))
    }

    /// Adds its call.
    pub(crate) fn call(&self, keys: &[&[u8]], arguments: &[&[u8]], commands: &mut Commands) {
        let count = keys.len().to_string();
        let mut call: Vec<&[u8]> = Vec::with_capacity(3 + keys.len() + arguments.len());
        call.extend([b"EVALSHA".as_slice(), &self.0, count.as_bytes()]);
        call.extend(keys);
        call.extend(arguments);
        commands.add(call);
    }
}

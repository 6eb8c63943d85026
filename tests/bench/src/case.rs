//! What a benchmark is.

use async_trait::async_trait;

use crate::Result;
use crate::environment::{Engine, Environment};
use crate::figure::{Figure, PER_SECOND, SERVER_MICROS, Sample, Target};

/// One benchmark: our way of doing something, beside other ways.
#[async_trait]
pub trait Case: Send + Sync {
    /// What it is, and what is asked of it.
    fn plan(&self) -> Plan;

    /// Prepares its sides on an empty environment; ours is the first and called [`OURS`].
    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>>;
}

/// The name of the side that is measured against the others.
pub const OURS: &str = "twinstore";

/// One way of doing what a case measures.
#[async_trait]
pub trait Side: Send {
    /// Its name: [`OURS`], or what the floor is made of.
    fn name(&self) -> &str;

    /// One round: prepares what it needs, measures, and removes what it left behind.
    async fn round(&mut self, environment: &Environment) -> Result<Sample>;
}

/// What a case is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// Its name in tables and filters.
    pub name: String,
    /// One sentence.
    pub about: &'static str,
    /// On which engine it runs.
    pub engine: Engine,
    /// The figure that its row shows first.
    pub headline: Figure,
    /// Further figures worth a row of their own although nothing is asked of them.
    pub also: Vec<Figure>,
    /// What is asked of our side.
    pub targets: Vec<Target>,
    /// Whether the first round of each side does not count. Default yes.
    pub warms_up: bool,
}

impl Plan {
    /// A case on Redis whose figure is the server's CPU.
    pub fn new(name: impl Into<String>, about: &'static str) -> Self {
        let (also, targets) = Default::default();
        Self { name: name.into(), about, engine: Engine::Redis, headline: SERVER_MICROS, also, targets, warms_up: true }
    }

    /// The same on another engine; an embedded one has no server, and shows its rate.
    #[must_use]
    pub fn on(mut self, engine: Engine) -> Self {
        self.name.push_str(engine.suffix());
        self.engine = engine;
        if engine != Engine::Redis {
            self.headline = PER_SECOND;
        }
        self
    }

    /// With another figure first.
    #[must_use]
    pub fn with_headline(mut self, figure: Figure) -> Self {
        self.headline = figure;
        self
    }

    /// With one more figure.
    #[must_use]
    pub fn with_also(mut self, figure: Figure) -> Self {
        self.also.push(figure);
        self
    }

    /// For what costs the same the first time, such as memory: every round counts.
    #[must_use]
    pub fn without_warm_up(mut self) -> Self {
        self.warms_up = false;
        self
    }

    /// With one more target.
    #[must_use]
    pub fn with_target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }
}

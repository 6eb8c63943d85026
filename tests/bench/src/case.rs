//! A benchmark and its sides.

use async_trait::async_trait;

use crate::Result;
use crate::environment::{Engine, Environment};
use crate::figure::{Figure, PER_SECOND, SERVER_MICROS, Sample, Target};

/// One benchmark: this library's way of doing something, and other ways for comparison.
#[async_trait]
pub trait Case: Send + Sync {
    /// Its name, engine, figures and targets.
    fn plan(&self) -> Plan;

    /// Prepares its sides on an empty environment. The first is this library's; its name is [`OURS`].
    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>>;
}

/// The name of the side that is compared with the others.
pub const OURS: &str = "twinstore";

/// One way of doing the work of a case.
#[async_trait]
pub trait Side: Send {
    /// Its name: [`OURS`], or the commands of the floor.
    fn name(&self) -> &str;

    /// One round: prepares its data, measures, and removes its data.
    async fn round(&mut self, environment: &Environment) -> Result<Sample>;
}

/// A figure that gets a row of its own.
#[derive(Debug, Clone, Copy)]
pub struct Also {
    /// The figure.
    pub figure: Figure,
    /// The side that it is compared with; `None` for the first floor.
    pub against: Option<&'static str>,
}

/// The description of a case.
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
    /// Further figures that get a row although they have no target.
    pub also: Vec<Also>,
    /// The targets of this library's side.
    pub targets: Vec<Target>,
    /// Whether the first round of each side is a warm-up that does not count. Default: yes.
    pub warms_up: bool,
}

impl Plan {
    /// A case on Redis whose figure is the server's CPU.
    pub fn new(name: impl Into<String>, about: &'static str) -> Self {
        let (also, targets) = Default::default();
        Self { name: name.into(), about, engine: Engine::Redis, headline: SERVER_MICROS, also, targets, warms_up: true }
    }

    /// With another engine. An embedded engine has no server, so its headline is the rate.
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
        self.also.push(Also { figure, against: None });
        self
    }

    /// With one more figure, compared with this side.
    #[must_use]
    pub fn with_also_against(mut self, figure: Figure, side: &'static str) -> Self {
        self.also.push(Also { figure, against: Some(side) });
        self
    }

    /// Without a warm-up: every round counts. For figures that are the same the first time, such as memory.
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

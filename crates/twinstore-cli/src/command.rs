//! The subcommands, one file each.

mod cancel;
mod dead;
mod explain;
mod job;
mod jobs;
mod leases;
mod pause;
mod queues;
mod replay;
mod tokens;
mod topics;
mod workers;

use crate::failure::{Failure, note};
use crate::output::Output;
use crate::store::{Source, Store};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Check(store_validation::ConfigCheck),
    Queues(queues::Queues),
    Jobs(jobs::Jobs),
    Dead(dead::Dead),
    Replay(replay::Replay),
    Cancel(cancel::Cancel),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Explain(explain::Explain),
    Leases(leases::Leases),
    Tokens(tokens::Tokens),
    Topics(topics::Topics),
    Workers(workers::Workers),
}

/// The arguments of every subcommand except `check`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    #[command(flatten)]
    source: Source,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
}

/// The argument of every subcommand that changes something.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Write {
    /// Make the change; without it the command reports what it would do
    #[arg(long)]
    write: bool,
}

impl Command {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let common = match self {
            Command::Check(_) => return Err(Failure::Usage("check is not a command on an open store".to_owned())),
            Command::Queues(queues::Queues { common })
            | Command::Jobs(jobs::Jobs { common, .. })
            | Command::Dead(dead::Dead { common, .. })
            | Command::Replay(replay::Replay { common, .. })
            | Command::Cancel(cancel::Cancel { common, .. })
            | Command::Pause(pause::Pause { common, .. })
            | Command::Resume(pause::Resume { common, .. })
            | Command::Explain(explain::Explain { common, .. })
            | Command::Leases(leases::Leases { common })
            | Command::Tokens(tokens::Tokens { common, .. })
            | Command::Topics(topics::Topics { common })
            | Command::Workers(workers::Workers { common, .. }) => common,
        };
        let store = Store::open(&common.source).await?;
        let mut output = Output::new(common.json);
        let done = self.run_on(&store, &mut output).await;
        store.close().await;
        done
    }

    async fn run_on(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        match self {
            Command::Check(_) => Ok(()),
            Command::Queues(command) => command.run(store, output).await,
            Command::Jobs(command) => command.run(store, output).await,
            Command::Dead(command) => command.run(store, output).await,
            Command::Replay(command) => command.run(store, output).await,
            Command::Cancel(command) => command.run(store, output).await,
            Command::Pause(command) => command.run(store, output).await,
            Command::Resume(command) => command.run(store, output).await,
            Command::Explain(command) => command.run(store, output).await,
            Command::Leases(command) => command.run(store, output).await,
            Command::Tokens(command) => command.run(store, output).await,
            Command::Topics(command) => command.run(store, output).await,
            Command::Workers(command) => command.run(store, output).await,
        }
    }
}

impl Write {
    /// Without `--write`, reports on standard error that nothing was changed.
    fn report(self) {
        if !self.write {
            note("nothing was changed; --write makes the change");
        }
    }
}

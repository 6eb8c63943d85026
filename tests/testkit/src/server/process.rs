use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use super::StartError;

const LOG: &str = "redis.log";

/// Kills the server and removes its directory when the test process ends without having done so: its end closes the
/// pipe on which this waits. Servers held in statics, which are never dropped, depend on it.
const WATCHDOG: &str = r#"read -r _; kill -9 "$1"; rm -rf -- "$2""#;

/// A running server process; ended by being dropped.
pub(super) struct Process {
    server: Child,
    watchdog: Child,
    is_paused: bool,
}

impl Process {
    /// Starts `program` in `directory` with these arguments; its output is appended to the log there.
    pub(super) fn start(
        program: &Path,
        arguments: &[OsString],
        directory: &Path,
        environment: &[(&str, PathBuf)],
    ) -> Result<Self, StartError> {
        let log = File::options().create(true).append(true).open(directory.join(LOG))?;
        let started = Command::new(program)
            .args(arguments)
            .current_dir(directory)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        let mut server = started.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StartError::NotInstalled { program: program.display().to_string() },
            _ => StartError::System(error),
        })?;
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &server.id().to_string()])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match watchdog {
            Ok(watchdog) => Ok(Self { server, watchdog, is_paused: false }),
            Err(error) => {
                end(&mut server);
                Err(error.into())
            }
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.server.id()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.server.try_wait(), Ok(None))
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Limits the size of the files that it may write; `None`: to that of this process.
    pub(super) fn limit_files(&self, bytes: Option<u64>) -> io::Result<()> {
        let own = getrlimit(Resource::Fsize);
        let limit = Rlimit { current: bytes.or(own.current), maximum: own.maximum };
        prlimit(Some(Pid::from_child(&self.server)), Resource::Fsize, limit)?;
        Ok(())
    }

    /// Sends STOP or CONT.
    pub(super) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        kill_process(Pid::from_child(&self.server), signal)?;
        self.is_paused = signal == Signal::STOP;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.watchdog);
        end(&mut self.server);
    }
}

/// Kills and reaps. Both fail only for a process that is gone already.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The whole log of the server in `directory`.
pub(super) fn log(directory: &Path) -> String {
    fs::read(directory.join(LOG)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The last 30 lines of that log.
pub(super) fn log_tail(directory: &Path) -> String {
    let log = log(directory);
    let lines = log.lines().collect::<Vec<_>>();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

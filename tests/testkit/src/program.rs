use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::lock;
use crate::wait::{DEADLINE, holds_within};

/// A binary to run: arguments, input, and exactly the environment variables that are given here.
pub struct Program {
    command: Command,
    input: Option<Vec<u8>>,
}

impl Program {
    /// The program at `path`, without arguments, with an empty environment and empty input.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let mut command = Command::new(path.into());
        command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Self { command, input: None }
    }

    /// The binary `name` of this workspace, from the directory where the running test was built.
    ///
    /// # Errors
    /// When it is not there; the text says how to build it.
    pub fn built(name: &str) -> io::Result<Self> {
        let test = std::env::current_exe()?;
        // tests lie in <profile>/deps, binaries in <profile>
        let folder = test.ancestors().nth(2).unwrap_or(&test);
        let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        if path.is_file() {
            return Ok(Self::new(path));
        }
        let text = format!("the program `{name}` is not built; run `cargo build --package {name}` first");
        Err(io::Error::new(io::ErrorKind::NotFound, text))
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<std::ffi::OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the working directory; by default the test's own.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<std::path::Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// What it reads from its standard input, followed by the end of input.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the system cannot start it.
    pub fn start(mut self) -> io::Result<RunningProgram> {
        self.command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = self.command.spawn()?;
        if let (Some(mut pipe), Some(input)) = (child.stdin.take(), self.input) {
            // a program that ends before it has read everything closes the pipe: no error of the test
            tokio::spawn(async move { drop(pipe.write_all(&input).await) });
        }
        let (stdout, stderr) = (Captured::default(), Captured::default());
        let readers = [
            child.stdout.take().map(|pipe| tokio::spawn(capture(pipe, Arc::clone(&stdout)))),
            child.stderr.take().map(|pipe| tokio::spawn(capture(pipe, Arc::clone(&stderr)))),
        ];
        Ok(RunningProgram { child, readers: readers.into_iter().flatten().collect(), stdout, stderr })
    }

    /// Starts it and waits for its end, at most [`DEADLINE`].
    ///
    /// # Errors
    /// When the system cannot start it.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn run(self) -> io::Result<Exit> {
        Ok(self.start()?.wait_exit(DEADLINE).await)
    }
}

type Captured = Arc<Mutex<Vec<u8>>>;

/// How a program ended and all that it wrote.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output; what is no UTF-8 is replaced.
    pub stdout: String,
    /// Its standard error; what is no UTF-8 is replaced.
    pub stderr: String,
}

/// A started program; killed by being dropped.
pub struct RunningProgram {
    child: Child,
    readers: Vec<JoinHandle<()>>,
    stdout: Captured,
    stderr: Captured,
}

impl RunningProgram {
    /// Its process id; `None` after its end was waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its standard output until now.
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// Its standard error until now.
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Waits until a complete line of either output satisfies `matches`, now or later, and returns it.
    ///
    /// # Panics
    /// When there is none within [`DEADLINE`]; the message contains both outputs.
    pub async fn wait_line(&self, matches: impl Fn(&str) -> bool) -> String {
        let mut found = None;
        let search = async || {
            found = [self.stdout(), self.stderr()].iter().find_map(|output| {
                let complete = output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
                complete.map(|line| line.trim_end_matches('\r')).find(|line| matches(line)).map(str::to_owned)
            });
            found.is_some()
        };
        holds_within(DEADLINE, search).await;
        found.unwrap_or_else(|| panic!("no such line within {DEADLINE:?}\n{self:?}"))
    }

    /// Kills it with SIGKILL and waits for its end.
    pub async fn kill(&mut self) -> Exit {
        // fails only when it has ended by itself
        let _ = self.child.start_kill();
        self.wait_exit(DEADLINE).await
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Errors
    /// When it has ended already.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Interrupts it as Ctrl-C does (SIGINT).
    ///
    /// # Errors
    /// When it has ended already.
    pub fn interrupt(&self) -> io::Result<()> {
        self.signal(Signal::INT)
    }

    /// Stops it where it stands (SIGSTOP), as a machine that hangs.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When it has ended already.
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits until it has ended and everything that it wrote was read.
    ///
    /// # Panics
    /// When it runs on after `deadline`; the message contains both outputs.
    pub async fn wait_exit(&mut self, deadline: Duration) -> Exit {
        let Ok(status) = tokio::time::timeout(deadline, self.child.wait()).await else {
            panic!("still running after {deadline:?}\n{self:?}");
        };
        let status = status.expect("invariant: a child of this process can be waited for");
        for reader in self.readers.drain(..) {
            // a grandchild may hold the pipe open; what the program itself wrote has been read long before
            let _ = tokio::time::timeout(Duration::from_secs(1), reader).await;
        }
        Exit { code: status.code(), signal: status.signal(), stdout: self.stdout(), stderr: self.stderr() }
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = self.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the program has ended"))?;
        Ok(kill_process(id, signal)?)
    }
}

impl fmt::Debug for RunningProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--- stdout\n{}\n--- stderr\n{}", self.stdout(), self.stderr())
    }
}

fn text(captured: &Captured) -> String {
    String::from_utf8_lossy(&lock(captured)).into_owned()
}

async fn capture(mut pipe: impl AsyncRead + Unpin, captured: Captured) {
    let mut chunk = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        lock(&captured).extend_from_slice(&chunk[..length]);
    }
}
